# Makes llama.cpp correct on Intel processors with AMX. GCC before 11.5, 12.4 and 13.3 believes that
# _tile_loadconfig reads 8 bytes (GCC bug 114098) and drops the stores of the other 56: the first token that a
# quantised model reads ends in a segmentation fault. Read right after project(), like llama.cmake.
function(keep_amx_tile_config)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND TARGET ggml-cpu)
        get_target_property(folder ggml-cpu SOURCE_DIR)
        set_source_files_properties("${folder}/ggml-cpu/amx/mmq.cpp"
            TARGET_DIRECTORY ggml-cpu PROPERTIES COMPILE_OPTIONS "-fno-tree-dse;-fno-dse")
    endif()
endfunction()
cmake_language(DEFER CALL keep_amx_tile_config)
