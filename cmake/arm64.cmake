set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# Tests run emulated, with the page size of a Raspberry Pi 5.
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64-static;-p;16384")
