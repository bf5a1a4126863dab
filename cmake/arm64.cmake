# arm64 from amd64: Debian's cross compiler, libraries of tools/arm64-sysroot. Tests run emulated.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/../tools/arm64-sysroot OUTPUT_VARIABLE TULLE_ARM64_ROOT
  OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "tools/arm64-sysroot failed")
endif()
# Programs (protoc, python3) are this machine's, libraries and headers the others'.
set(CMAKE_FIND_ROOT_PATH ${TULLE_ARM64_ROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_C_FLAGS_INIT "-idirafter ${TULLE_ARM64_ROOT}/usr/include")
set(CMAKE_CXX_FLAGS_INIT "-idirafter ${TULLE_ARM64_ROOT}/usr/include")
# Boards run ARMv8.0; what newer processors have beyond it is chosen at run time. Programs start with pages of 4 to 64 KiB.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-L${TULLE_ARM64_ROOT}/usr/lib/aarch64-linux-gnu -Wl,-z,max-page-size=65536")
# QEMU_PAGESIZE in the environment tells the page size (16384: a Raspberry Pi 5).
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static)
