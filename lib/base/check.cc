// SPDX-License-Identifier: Apache-2.0
#include "lib/base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "lib/base/hardened.h"

// Where the program was loaded; the linker's own name.
extern "C" [[gnu::visibility("hidden")]] const char __ehdr_start[];  // NOLINT

namespace tulle {
namespace {

[[noreturn]] void die(const char* text, int n, std::size_t room) noexcept {
  if (n > 0) {
    const auto size = static_cast<std::size_t>(n) < room ? static_cast<std::size_t>(n) : room - 1;
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, size);
  }
  std::abort();
}

}  // namespace

void check_failed(const char* what, const char* file, int line) noexcept {
  char text[512];
  die(text, std::snprintf(text, sizeof text, "%s:%d: %s\n", file, line, what), sizeof text);
}

[[gnu::noinline]] void precondition_failed() noexcept {
  char text[128];
  const auto offset = static_cast<const char*>(__builtin_return_address(0)) - __ehdr_start;
  die(text,
      std::snprintf(text, sizeof text, "a precondition failed at %#tx (addr2line -e PROGRAM)\n",
                    offset),
      sizeof text);
}

}  // namespace tulle
