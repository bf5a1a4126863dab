# What release programs and their libraries are compiled with, ours and BoringSSL, so that a defect ends the program instead of
# being used: writes beyond known sizes, a smashed return address, a jump over the stack's guard page, values that nobody set,
# jumps to where no function begins. tools/check-binary looks for it in the program.
set(TULLE_HARDENED -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  list(APPEND TULLE_HARDENED -fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  list(APPEND TULLE_HARDENED -mbranch-protection=standard)
endif()

# The same bytes wherever the checkout and the build folder are: no path of this machine in the program (a compiler cache makes
# them relative), and names that the compiler makes up depend on the object's name only.
file(RELATIVE_PATH TULLE_UP ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR})
string(REGEX REPLACE "/+$" "" TULLE_UP "${TULLE_UP}")
set(TULLE_REPRODUCIBLE -ffile-prefix-map=${PROJECT_SOURCE_DIR}/= -ffile-prefix-map=${TULLE_UP}/= -ffile-prefix-map=${PROJECT_BINARY_DIR}/=)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  string(REPLACE "<FLAGS>" "<FLAGS> -frandom-seed=<OBJECT>" CMAKE_CXX_COMPILE_OBJECT "${CMAKE_CXX_COMPILE_OBJECT}")
  string(REPLACE "<FLAGS>" "<FLAGS> -frandom-seed=<OBJECT>" CMAKE_C_COMPILE_OBJECT "${CMAKE_C_COMPILE_OBJECT}")
endif()
