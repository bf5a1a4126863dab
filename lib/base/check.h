// SPDX-License-Identifier: Apache-2.0
// Checks of our own reasoning: where one fails, the process stops at once, with a line that says
// where.
#pragma once

namespace tulle {
// Prints "file:line: message" to stderr and aborts.
[[noreturn]] void check_failed(const char* what, const char* file, int line) noexcept;
}  // namespace tulle

// A corrupt invariant or no memory: ends the process, in every build.
#define TULLE_CHECK(condition)                                                \
  do {                                                                        \
    if (!(condition)) [[unlikely]]                                            \
      ::tulle::check_failed("check failed: " #condition, __FILE__, __LINE__); \
  } while (false)

// A promise of the caller: bounds, states. As TULLE_CHECK in debug and sanitizer builds; in release
// the same check without words, since it stands in a thousand places of the request path.
#ifdef NDEBUG
#include "lib/base/hardened.h"
#define TULLE_ASSERT(condition)       \
  do {                                \
    if (!(condition)) [[unlikely]]    \
      ::tulle::precondition_failed(); \
  } while (false)
#else
#define TULLE_ASSERT(condition) TULLE_CHECK(condition)
#endif

#define TULLE_UNREACHABLE() ::tulle::check_failed("unreachable code reached", __FILE__, __LINE__)
