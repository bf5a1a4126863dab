# tulle_library(net SOURCES a.cc … DEPS tulle::base TESTS a_test.cc …)
#   a static library tulle_net with the alias tulle::net, and one test program net_test of its TESTS
#   (TEST_DEPS: more libraries for the tests only).
# tulle_program(tulle-proxy SOURCES main.cc … DEPS …)
#   an executable, put into ${CMAKE_BINARY_DIR}/bin. LTO: optimized as a whole in release builds. CLOCK: tests need one whose clock
#   they can step (lib/base/clock_offset.h): in release builds a second one of the same objects, target NAME-for-tests,
#   bin-for-tests/NAME; in others it is the same program.
# tulle_fuzzer(http1_codec SOURCES x_fuzz.cc DEPS …)
#   with clang and TULLE_FUZZ=ON a libFuzzer program fuzz_NAME, and a test that tries the same inputs each time (`./run soak`
#   tries others); otherwise a program that replays its corpus once, as a test.

function(tulle_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;TESTS;TEST_DEPS" ${ARGN})
  add_library(tulle_${name} STATIC ${ARG_SOURCES})
  add_library(tulle::${name} ALIAS tulle_${name})
  target_link_libraries(tulle_${name} PUBLIC tulle_options ${ARG_DEPS})
  if(ARG_TESTS AND TULLE_TESTS)
    tulle_test(${name}_test SOURCES ${ARG_TESTS} DEPS tulle::${name} ${ARG_TEST_DEPS})
  endif()
endfunction()

# Whether a program is optimized as a whole when it is linked. Not by default: it takes as long as compiling.
function(tulle_link_time name wanted)
  if(NOT TULLE_LTO)
    return()
  endif()
  if(wanted)
    target_link_options(${name} PRIVATE -flto=auto -O2)
  else()
    target_link_options(${name} PRIVATE -fno-lto)
  endif()
endfunction()

# All unit test programs, all fuzz targets, for who wants just these; and the unit tests that wait for a real clock, which
# `./run soak` repeats under load, as it does all tests in namespaces (label timing).
add_custom_target(unit_tests)
add_custom_target(fuzzers)
add_custom_target(timing_tests)
set(TULLE_TIMING_TESTS control_test dns_test http1_test net_test proxy_test)

function(tulle_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES} $<TARGET_OBJECTS:tulle_clock_offset>)
  target_link_libraries(${name} PRIVATE tulle_options ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  tulle_link_time(${name} FALSE)
  add_dependencies(unit_tests ${name})
  add_test(NAME ${name} COMMAND ${name})
  set(labels unit)
  if(name IN_LIST TULLE_TIMING_TESTS)
    list(APPEND labels timing)
    add_dependencies(timing_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS "${labels}"
    SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
  if(CMAKE_CROSSCOMPILING)
    # A program cannot start itself again under the emulator, which is what death tests do here; and limits of time are wider.
    # It has no openat2 either, on which all that is made below a root rests (local/below.h), and makes no namespaces of processes.
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "GTEST_FILTER=-*DeathTest.*:Below.*:Sandbox.ItsFirstProcess*;TULLE_EMULATED=1" TIMEOUT 300)
  endif()
endfunction()

function(tulle_program name)
  cmake_parse_arguments(ARG "LTO;CLOCK" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE tulle_options ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  tulle_link_time(${name} ${ARG_LTO})
  if(ARG_CLOCK AND CMAKE_BUILD_TYPE STREQUAL "Release")
    add_executable(${name}-for-tests EXCLUDE_FROM_ALL $<TARGET_OBJECTS:${name}> $<TARGET_OBJECTS:tulle_clock_offset>)
    target_link_libraries(${name}-for-tests PRIVATE tulle_options ${ARG_DEPS})
    set_target_properties(${name}-for-tests PROPERTIES LINKER_LANGUAGE CXX OUTPUT_NAME ${name}
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin-for-tests)
    tulle_link_time(${name}-for-tests FALSE)
  elseif(ARG_CLOCK)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:tulle_clock_offset>)
  endif()
endfunction()

function(tulle_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  set(corpus ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
  add_executable(fuzz_${name} ${ARG_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE tulle_options ${ARG_DEPS})
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  tulle_link_time(fuzz_${name} FALSE)
  add_dependencies(fuzzers fuzz_${name})
  if(TULLE_FUZZ)
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} -runs=20000 -seed=1 -max_total_time=20 -timeout=5 -rss_limit_mb=2048 -artifact_prefix=${CMAKE_BINARY_DIR}/fuzz/ ${CMAKE_BINARY_DIR}/fuzz/corpus_${name} ${corpus})
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz/corpus_${name} ${corpus})
  else()
    target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/fuzz/replay_main.cc)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${corpus})
  endif()
  set_tests_properties(fuzz_${name} PROPERTIES TIMEOUT 120 LABELS fuzz)
endfunction()
