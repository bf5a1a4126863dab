// SPDX-License-Identifier: Apache-2.0
// Release builds check bounds, too: the compiler includes this before everything else
// (CMakeLists.txt). The standard library's own checks (_GLIBCXX_ASSERTIONS: spans, views, vectors,
// optionals, pointers) would carry the name of each function and condition, a tenth of the program;
// here a failed one is a call without arguments.
#pragma once

namespace tulle {
// Prints where the program was, as an offset that addr2line takes, and aborts.
[[noreturn, gnu::cold]] void precondition_failed() noexcept;
}  // namespace tulle

#if defined(__GLIBCXX__) || __has_include(<bits/c++config.h>)
#include <bits/c++config.h>
#ifdef _GLIBCXX_ASSERTIONS
#undef __glibcxx_assert_impl
#define __glibcxx_assert_impl(condition)                                      \
  if (__builtin_expect(!bool(condition), false)) { /* NOLINT: as it stands */ \
    __glibcxx_constexpr_assert(false);                                        \
    ::tulle::precondition_failed();                                           \
  }
#endif
#endif
