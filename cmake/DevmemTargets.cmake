# SPDX-License-Identifier: Apache-2.0
#
# The few kinds of target that devmem has, one function each. Every folder's CMakeLists.txt calls
# these and nothing else, so flags, include paths, test discovery and installation are decided here.

include(GoogleTest)

# devmem_library(<name> SOURCES a.cc... [HEADERS a.h...] [DEPS target...])
#
# A static library of one folder, with the alias devmem::<x>: devmem_wire is devmem::wire, and
# devmem itself is devmem::devmem. A library without SOURCES is an interface library. DEPS are
# public.
function(devmem_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;DEPS")
  devmem_refuse_unparsed(devmem_library ${name} "${arg_UNPARSED_ARGUMENTS}")
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES} ${arg_HEADERS})
    set(scope PUBLIC)
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  else()
    add_library(${name} INTERFACE)
    target_sources(${name} PRIVATE ${arg_HEADERS})
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_compile_features(${name} ${scope} cxx_std_20)
  target_link_libraries(${name} ${scope} ${arg_DEPS})
  string(REGEX REPLACE "^devmem_" "" short_name ${name})
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${short_name})
  add_library(devmem::${short_name} ALIAS ${name})
endfunction()

# devmem_program(<name> SOURCES a.cc... [DEPS target...])
#
# A program of tools/ or examples/. It is built into <build>/bin.
function(devmem_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  devmem_refuse_unparsed(devmem_program ${name} "${arg_UNPARSED_ARGUMENTS}")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
endfunction()

# devmem_tests(<exe> SOURCES a_test.cc... [DEPS target...] [LABELS label...] [TIMEOUT seconds]
#              [RESOURCE_LOCK name])
#
# One GoogleTest program per folder; each TEST becomes a ctest test of its own. Labels in use:
# `threads` (also run under tsan) and `system` (needs namespaces or outside programs). The timeout
# is for one TEST and leaves room for sanitizers on a busy machine. GTEST_SKIP() shows as skipped.
# The target <label>_tests builds the programs of one label. A fuzz build has no such programs.
function(devmem_tests exe)
  if(NOT DEVMEM_TESTS OR DEVMEM_FUZZ)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT;RESOURCE_LOCK" "SOURCES;DEPS;LABELS")
  devmem_refuse_unparsed(devmem_tests ${exe} "${arg_UNPARSED_ARGUMENTS}")
  devmem_program(${exe} SOURCES ${arg_SOURCES} DEPS ${arg_DEPS} GTest::gtest GTest::gtest_main)
  devmem_reuse_test_pch(${exe})
  # Link-time optimisation of a test program takes minutes and makes no test better.
  target_link_options(${exe} PRIVATE $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-fno-lto>)
  set(properties)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  list(APPEND properties TIMEOUT ${arg_TIMEOUT})
  if(arg_LABELS)
    # gtest_discover_tests cannot pass a list on, so several labels travel as one joined string;
    # `ctest -L threads` searches, and finds its label in `system+threads` too.
    list(JOIN arg_LABELS "+" labels)
    list(APPEND properties LABELS ${labels})
    foreach(label IN LISTS arg_LABELS)
      devmem_collect(${label}_tests ${exe})
    endforeach()
  endif()
  if(arg_RESOURCE_LOCK)
    list(APPEND properties RESOURCE_LOCK ${arg_RESOURCE_LOCK})
  endif()
  gtest_discover_tests(${exe} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120
                       WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
                       PROPERTIES ${properties})
endfunction()

# Lets a test program share one precompiled gtest and StatusOr: 1.3 s less for each test file. The
# owner of the precompiled header is itself a program, because a library is compiled with -fPIC, a
# program with -fPIE, and the compiler refuses a header made with the other one.
function(devmem_reuse_test_pch exe)
  if(NOT DEVMEM_PCH)
    return()
  endif()
  if(NOT TARGET devmem_test_pch)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/devmem_test_pch.cc
         CONTENT "int main() { return 0; }\n")
    add_executable(devmem_test_pch EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/devmem_test_pch.cc)
    target_link_libraries(devmem_test_pch PRIVATE GTest::gtest absl::statusor)
    target_precompile_headers(devmem_test_pch PRIVATE <gtest/gtest.h> <absl/status/statusor.h>)
  endif()
  target_precompile_headers(${exe} REUSE_FROM devmem_test_pch)
  # The flags are what ccache needs to recognise a precompiled header that it has seen before.
  foreach(target IN ITEMS ${exe} devmem_test_pch)
    set_target_properties(${target} PROPERTIES PCH_WARN_INVALID OFF)
    target_compile_options(${target} PRIVATE
                           $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>
                           "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
  endforeach()
endfunction()

# devmem_fuzzer(<exe> SOURCE a_fuzz.cc CORPUS folder [DEPS target...])
#
# SOURCE defines LLVMFuzzerTestOneInput. With DEVMEM_FUZZ it is linked with libFuzzer into
# <build>/fuzz; otherwise with a small main that replays the corpus. Either way ctest replays
# CORPUS. The target `fuzzers` builds them all.
function(devmem_fuzzer exe)
  if(NOT DEVMEM_TESTS)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SOURCE;CORPUS" "DEPS")
  devmem_refuse_unparsed(devmem_fuzzer ${exe} "${arg_UNPARSED_ARGUMENTS}")
  get_filename_component(corpus ${arg_CORPUS} ABSOLUTE)
  if(DEVMEM_FUZZ)
    devmem_program(${exe} SOURCES ${arg_SOURCE} DEPS ${arg_DEPS})
    target_link_options(${exe} PRIVATE -fsanitize=fuzzer)
    set(replay ${exe} -runs=0 -artifact_prefix=${CMAKE_BINARY_DIR}/fuzz/${exe}- ${corpus})
  else()
    devmem_program(${exe} SOURCES ${arg_SOURCE} ${PROJECT_SOURCE_DIR}/cmake/fuzz_replay.cc
                   DEPS ${arg_DEPS})
    set(replay ${exe} ${corpus})
  endif()
  set_target_properties(${exe} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  set_property(GLOBAL APPEND PROPERTY DEVMEM_FUZZERS "${exe} ${corpus}")
  devmem_collect(fuzzers ${exe})
  devmem_sentence(sentence ${exe})
  add_test(NAME Fuzz.${sentence}SurvivesItsCorpus COMMAND ${replay})
  set_tests_properties(Fuzz.${sentence}SurvivesItsCorpus PROPERTIES TIMEOUT 300 LABELS fuzz)
endfunction()

# devmem_benchmark(<exe> SOURCES a_benchmark.cc... [DEPS target...])
#
# A Google Benchmark program in <build>/bin; tools/bench runs them.
function(devmem_benchmark exe)
  if(NOT DEVMEM_BENCHMARKS)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  devmem_refuse_unparsed(devmem_benchmark ${exe} "${arg_UNPARSED_ARGUMENTS}")
  devmem_program(${exe} SOURCES ${arg_SOURCES} DEPS ${arg_DEPS} benchmark::benchmark_main)
endfunction()

# Writes <build>/fuzzers.txt, one "<exe> <corpus folder>" a line, for `tools/test --long`.
function(devmem_write_fuzzer_list)
  get_property(fuzzers GLOBAL PROPERTY DEVMEM_FUZZERS)
  list(JOIN fuzzers "\n" lines)
  file(WRITE ${CMAKE_BINARY_DIR}/fuzzers.txt "${lines}\n")
endfunction()

# Adds <exe> to what `cmake --build <build> --target <group>` builds.
function(devmem_collect group exe)
  if(NOT TARGET ${group})
    add_custom_target(${group})
  endif()
  add_dependencies(${group} ${exe})
endfunction()

# Turns tcp_header_fuzz into TcpHeader.
function(devmem_sentence result exe)
  string(REGEX REPLACE "_fuzz$" "" stem ${exe})
  string(REPLACE "_" ";" words ${stem})
  set(sentence "")
  foreach(word IN LISTS words)
    string(SUBSTRING ${word} 0 1 first)
    string(SUBSTRING ${word} 1 -1 rest)
    string(TOUPPER ${first} first)
    string(APPEND sentence ${first}${rest})
  endforeach()
  set(${result} ${sentence} PARENT_SCOPE)
endfunction()

# A misspelt keyword would otherwise be swallowed silently.
function(devmem_refuse_unparsed function name unparsed)
  if(unparsed)
    message(FATAL_ERROR "${function}(${name}): unknown arguments: ${unparsed}")
  endif()
endfunction()
