# Adjusts the compile of llama-cpp-python. CMake reads this file right after project(llama_cpp), when given
# -DCMAKE_PROJECT_llama_cpp_INCLUDE=<this file>.

# Shorter: llama-cpp-python compiles a helper library, llama-common, that it neither loads nor ships; that is a
# third of the work. The Makefile builds only the shipped targets (SKBUILD_BUILD_TARGETS), and this function
# removes the install rule that would miss the one left out.
function(install)
    if(ARGC GREATER 1 AND "${ARGV0};${ARGV1}" STREQUAL "TARGETS;llama-common")
        return()
    endif()
    _install(${ARGV}) # CMake keeps the command that a function of the same name replaces
endfunction()

include("${CMAKE_CURRENT_LIST_DIR}/amx.cmake")
