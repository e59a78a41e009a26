# SPDX-License-Identifier: Apache-2.0
#
# Compiler settings that every target shares: build type, ccache, warnings, sanitizers. Included
# once by the top-level CMakeLists.txt before any target exists.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

# A launcher chosen by the user stays as it is; plain `ccache` gets the settings below like our
# own. base_dir and nohashdir let two clones share results; the sloppiness values are what ccache
# asks for before it caches a compilation that reads a precompiled header.
find_program(DEVMEM_CCACHE ccache)
if(DEVMEM_CCACHE AND (NOT CMAKE_CXX_COMPILER_LAUNCHER
                      OR CMAKE_CXX_COMPILER_LAUNCHER MATCHES "^([^;]*/)?ccache$"))
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${DEVMEM_CCACHE})
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_compile_options(-Wthread-safety)
else()
  # GCC 12 at -O3 sees overlapping copies inside std::string that are not there (GCC bug 105329).
  add_compile_options(-Wno-restrict)
endif()
if(DEVMEM_WERROR)
  add_compile_options(-Werror)
endif()

# A release is optimised across files: the receive path runs through many small functions of
# several of them, and gains 8 to 12 percent. The objects carry machine code too, so that an
# installed static library serves any linker. Other presets build faster without.
option(DEVMEM_LTO "Link-time optimisation of release builds (GCC)" ON)
if(DEVMEM_LTO AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "Release")
  # Not -ftree-slp-vectorize, which -O3 brings: it gathers neighbouring fields of a descriptor into
  # vector registers, and that costs the receive path more than the wide store saves.
  add_compile_options(-flto=auto -ffat-lto-objects -fno-tree-slp-vectorize)
  add_link_options(-flto=auto -fno-tree-slp-vectorize)
endif()

# Without -fno-sanitize-recover=all, ubsan reports an error and the program still exits 0.
set(sanitize ${DEVMEM_SANITIZE})
if(DEVMEM_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "DEVMEM_FUZZ needs clang++ (libFuzzer); the compiler is "
                        "${CMAKE_CXX_COMPILER_ID}. Use `cmake --preset fuzz`.")
  endif()
  set(compile_sanitize "-fsanitize=address,undefined,fuzzer-no-link")
  set(sanitize "address,undefined")
elseif(sanitize)
  set(compile_sanitize "-fsanitize=${sanitize}")
endif()
if(sanitize)
  add_compile_options(${compile_sanitize} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${sanitize})
endif()
