// SPDX-License-Identifier: Apache-2.0
// The system calls that a running proxy makes, and no other: see lib/base/confine.h.
#pragma once

#include "lib/base/result.h"

namespace tulle::proxy {

// Built with a sanitizer, whose runtime makes calls of its own.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

struct SandboxLog {
  int fd = 1;         // where a refused call is told, one line for each call
  bool json = false;  // as log::Sink writes it
  bool off = false;   // tell nothing
};

// Once all threads run and all ports are open. Not in builds with sanitizers, whose runtime makes
// calls of its own: Unsupported.
Result<void> enter_sandbox(const SandboxLog& log);

}  // namespace tulle::proxy
