# Three verbs and one interface target; nothing else is needed to describe the tree.
#
#   queenright_library(NAME SOURCES ... MAY_USE ... WRAPS ...)
#       a static library of this folder. MAY_USE are layers its public headers may show;
#       WRAPS are third-party libraries only this target may see.
#   queenright_program(NAME SOURCES ... MAY_USE ... WRAPS ...)
#   queenright_test(NAME SOURCES ... MAY_USE ... [TIMEOUT seconds] [LABELS ...])
#       a cmocka program, run by ctest under its own name.

option(QUEENRIGHT_WERROR "Warnings are errors (developers and CI)" OFF)
option(QUEENRIGHT_BENCH "Build the programs in bench/" OFF)
set(QUEENRIGHT_SANITIZE "" CACHE STRING "Value for -fsanitize=, e.g. address,undefined")

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(zmq REQUIRED IMPORTED_TARGET libzmq)
pkg_search_module(msgpack REQUIRED IMPORTED_TARGET msgpack msgpack-c)
pkg_check_modules(curl REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(microhttpd REQUIRED IMPORTED_TARGET libmicrohttpd)

add_library(queenright_flags INTERFACE)
target_compile_features(queenright_flags INTERFACE c_std_17)
target_compile_definitions(queenright_flags INTERFACE _GNU_SOURCE)
target_compile_options(queenright_flags INTERFACE
  -Wall -Wextra
  -Wshadow                  # a shadowed name is read wrongly by people
  -Wstrict-prototypes -Wmissing-prototypes  # what is not declared in a header is static
  -Wpointer-arith -Wcast-qual -Wwrite-strings
  -Wvla                     # stack use must be visible
  -Wformat=2 -Wundef
  $<$<C_COMPILER_ID:GNU>:-Wimplicit-fallthrough> # clang does not read uthash.h's own comments
  -UNDEBUG                  # asserts are for programmer errors, and kept in release
  -fno-strict-aliasing      # headers of messages are read in place
  -fstack-protector-strong
  # An actor embeds the one message that tells it the time; gcc has no word for that.
  $<$<C_COMPILER_ID:Clang>:-Wno-gnu-variable-sized-type-not-at-end>)
# Bound at start: a late binding would save vector registers, with what memcpy last held, on the
# stack; and the table of bound functions is read-only from then on.
target_link_options(queenright_flags INTERFACE -Wl,-z,relro,-z,now)
if(QUEENRIGHT_WERROR)
  target_compile_options(queenright_flags INTERFACE -Werror)
endif()
if(QUEENRIGHT_SANITIZE)
  target_compile_options(queenright_flags INTERFACE
    -fsanitize=${QUEENRIGHT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(queenright_flags INTERFACE -fsanitize=${QUEENRIGHT_SANITIZE})
endif()

function(queenright_target_setup name)
  cmake_parse_arguments(arg "" "" "SOURCES;MAY_USE;WRAPS" ${ARGN})
  set_target_properties(${name} PROPERTIES C_EXTENSIONS ON)
  target_link_libraries(${name} PRIVATE queenright_flags ${arg_WRAPS})
  if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/include")
    target_include_directories(${name} PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/include")
  endif()
endfunction()

function(queenright_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;MAY_USE;WRAPS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  queenright_target_setup(${name} ${ARGN})
  target_link_libraries(${name} PUBLIC ${arg_MAY_USE})
endfunction()

function(queenright_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;MAY_USE;WRAPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  queenright_target_setup(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE ${arg_MAY_USE})
endfunction()

function(queenright_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;MAY_USE;WRAPS;LABELS" ${ARGN})
  queenright_program(${name} SOURCES ${arg_SOURCES} MAY_USE ${arg_MAY_USE}
                     WRAPS PkgConfig::cmocka ${arg_WRAPS})
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  if(QUEENRIGHT_SANITIZE)
    math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5") # what a sanitizer costs at most
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()
