# Keeps the compile of llama-cpp-python short. It compiles a helper library, llama-common, that it neither
# loads nor ships; that is a third of the work. The Makefile has only the shipped targets built
# (SKBUILD_BUILD_TARGETS), and this file takes away the install rule that would miss the one left out.
#
# CMake reads it right after project(llama_cpp), when given -DCMAKE_PROJECT_llama_cpp_INCLUDE=<this file>.
function(install)
    if(ARGC GREATER 1 AND "${ARGV0};${ARGV1}" STREQUAL "TARGETS;llama-common")
        return()
    endif()
    _install(${ARGV}) # CMake keeps the command that a function of the same name replaces
endfunction()
