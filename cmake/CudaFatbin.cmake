# cuda_fatbins(<target> SOURCES a.cu ... ARCHS 80 86 ...) compiles each source for the GPU architectures and embeds the bytes in <target>:
# SASS for every architecture, and PTX of the first, which the driver of any newer GPU can compile. Without sources (no nvcc) the
# table of images is empty and everything else stays the same.
function(cuda_fatbins target)
  cmake_parse_arguments(F "" "TOOLKIT" "SOURCES;ARCHS" ${ARGN})
  set(gencode)
  foreach(arch IN LISTS F_ARCHS)
    list(APPEND gencode -gencode arch=compute_${arch},code=sm_${arch})
  endforeach()
  if(F_ARCHS)
    list(GET F_ARCHS 0 oldest)
    list(APPEND gencode -gencode arch=compute_${oldest},code=compute_${oldest})
  endif()

  set(folder ${CMAKE_CURRENT_BINARY_DIR}/fatbin)
  file(MAKE_DIRECTORY ${folder})
  set(DECLARATIONS "")
  set(ENTRIES "")
  foreach(source IN LISTS F_SOURCES)
    get_filename_component(name ${source} NAME_WE)
    set(bin ${folder}/${name}.fatbin)
    # Makefiles know dependency files since CMake 3.20; before, any header may be one.
    if(CMAKE_GENERATOR STREQUAL "Ninja" OR NOT CMAKE_VERSION VERSION_LESS 3.20)
      set(depends DEPENDS ${source} DEPFILE ${bin}.d)
    else()
      file(GLOB_RECURSE headers ${CMAKE_CURRENT_SOURCE_DIR}/native/*.h ${CMAKE_CURRENT_SOURCE_DIR}/native/*.cuh)
      set(depends DEPENDS ${source} ${headers})
    endif()
    # Ninja compiles again whatever its dependency file calls by another name than it does: relative to the build folder.
    # The numbers mean what they do in the CPU kernels: no contraction, denormals are zero.
    add_custom_command(OUTPUT ${bin}
      COMMAND ${NVCC} -fatbin -std=c++17 -O3 --fmad=false --ftz=true --compress-mode=size -Xptxas -warn-spills
              --expt-relaxed-constexpr -I${CMAKE_CURRENT_SOURCE_DIR}/native -ccbin ${CMAKE_CXX_COMPILER} ${gencode}
              -MD -MF ${bin}.d -MT fatbin/${name}.fatbin -o ${bin} ${source}
      ${depends} VERBATIM
      COMMENT "Compiling ${name}.cu for sm ${F_ARCHS}")
    file(CONFIGURE OUTPUT ${folder}/${name}.S CONTENT [[
  .section .rodata
  .balign 16
  .hidden @name@_fatbin
  .globl @name@_fatbin
@name@_fatbin:
  .incbin "@bin@"
  .section .note.GNU-stack,"",@progbits
]] @ONLY)
    set_source_files_properties(${folder}/${name}.S PROPERTIES OBJECT_DEPENDS ${bin})
    target_sources(${target} PRIVATE ${folder}/${name}.S)
    string(APPEND DECLARATIONS "extern \"C\" __attribute__((visibility(\"hidden\"))) const unsigned char ${name}_fatbin[];\n")
    string(APPEND ENTRIES "    {\"${name}\", ${name}_fatbin},\n")
  endforeach()
  string(REPLACE ";" "\", \"" architectures "${F_ARCHS}")
  if(F_ARCHS)
    set(architectures "\"${architectures}\", ")
  endif()
  file(CONFIGURE OUTPUT ${folder}/images.cpp CONTENT [[
#include "cuda/driver.h"

@DECLARATIONS@
namespace noisewright::cuda {
const Image kImages[] = {
@ENTRIES@    {nullptr, nullptr},
};
const int kToolkitVersion = @F_TOOLKIT@;
const char* const kArchitectures[] = {@architectures@nullptr};
}  // namespace noisewright::cuda
]] @ONLY)
  target_sources(${target} PRIVATE ${folder}/images.cpp)
endfunction()
