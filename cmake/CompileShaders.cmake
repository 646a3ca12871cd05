# Compiles GLSL compute shaders to SPIR-V at build time and embeds them as arrays of words.
#
# VKBERT_GLSLC: the compiler. tools/setup leaves a newer one than the distribution's in .cache/glslc; it is preferred
# because GL_KHR_cooperative_matrix needs shaderc of 2023.8 or later, and GL_NV_cooperative_matrix2 of 2024.4.
# VKBERT_GLSLC_HAS_COOPERATIVE_MATRIX and VKBERT_GLSLC_HAS_COOPERATIVE_MATRIX2 tell.
find_program(VKBERT_GLSLC NAMES glslc PATHS ${PROJECT_SOURCE_DIR}/.cache/glslc/bin NO_DEFAULT_PATH)
find_program(VKBERT_GLSLC NAMES glslc REQUIRED)
find_program(VKBERT_SPIRV_VAL NAMES spirv-val PATHS ${PROJECT_SOURCE_DIR}/.cache/glslc/bin NO_DEFAULT_PATH)
find_program(VKBERT_SPIRV_VAL NAMES spirv-val)

# vkbert_glslc_has(RESULT EXTENSION WITHOUT): whether glslc takes the extension; if not, says what is left out.
function(vkbert_glslc_has result extension without)
  if(DEFINED ${result})
    return()
  endif()
  file(WRITE ${CMAKE_BINARY_DIR}/probe.comp "#version 450\n#extension ${extension} : require\nvoid main(){}\n")
  execute_process(COMMAND ${VKBERT_GLSLC} --target-env=vulkan1.3 -o ${CMAKE_BINARY_DIR}/probe.spv
                          ${CMAKE_BINARY_DIR}/probe.comp RESULT_VARIABLE probe OUTPUT_QUIET ERROR_QUIET)
  if(probe EQUAL 0)
    set(${result} ON CACHE INTERNAL "")
  else()
    set(${result} OFF CACHE INTERNAL "")
    message(STATUS "glslc has no ${extension}: ${without} are left out (run tools/setup)")
  endif()
endfunction()
vkbert_glslc_has(VKBERT_GLSLC_HAS_COOPERATIVE_MATRIX GL_KHR_cooperative_matrix "matrix-core kernels")
vkbert_glslc_has(VKBERT_GLSLC_HAS_COOPERATIVE_MATRIX2 GL_NV_cooperative_matrix2 "their epilogues in registers")

# vkbert_shader(TARGET NAME SOURCE [DEFINES a=b ...] [AS_WRITTEN]): SOURCE.comp, compiled with the defines, becomes
#   extern const vkbert::Shader vkbert::shaders::NAME   (declared by VKBERT_DECLARE_SHADER(NAME), runtime/kernels.hpp)
# AS_WRITTEN: neither optimized nor validated, for SPIR-V that SPIRV-Tools do not know.
function(vkbert_shader target name source)
  cmake_parse_arguments(arg "AS_WRITTEN" "ENVIRONMENT" "DEFINES" ${ARGN})
  if(NOT arg_ENVIRONMENT)
    set(arg_ENVIRONMENT vulkan1.1)
  endif()
  list(TRANSFORM arg_DEFINES PREPEND -D)
  set(words ${CMAKE_CURRENT_BINARY_DIR}/${name}.inc)
  set(spv ${CMAKE_CURRENT_BINARY_DIR}/${name}.spv)
  set(unit ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  set(validate "")
  set(optimize -O)
  if(arg_AS_WRITTEN)
    set(optimize -O0)
  elseif(VKBERT_SPIRV_VAL)
    set(validate COMMAND ${VKBERT_SPIRV_VAL} --target-env ${arg_ENVIRONMENT} ${spv})
  endif()
  add_custom_command(
    OUTPUT ${words} ${spv}
    COMMAND ${VKBERT_GLSLC} ${optimize} --target-env=${arg_ENVIRONMENT} -I${PROJECT_SOURCE_DIR} ${arg_DEFINES} -MD -MF ${spv}.d -MT ${words}
            -o ${spv} ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    ${validate}
    COMMAND ${VKBERT_GLSLC} ${optimize} --target-env=${arg_ENVIRONMENT} -I${PROJECT_SOURCE_DIR} ${arg_DEFINES} -mfmt=num
            -o ${words} ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    DEPFILE ${spv}.d
    COMMENT "glslc ${name}"
    VERBATIM)
  file(CONFIGURE OUTPUT ${unit} CONTENT [[
#include "runtime/kernels.hpp"
namespace vkbert::shaders {
static const uint32_t @name@_words[] = {
#include "@words@"
};
extern const Shader @name@;
const Shader @name@{"@name@", @name@_words};
}
]] @ONLY)
  set_source_files_properties(${unit} PROPERTIES OBJECT_DEPENDS ${words})
  target_sources(${target} PRIVATE ${unit})
endfunction()
