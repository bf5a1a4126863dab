// SPDX-License-Identifier: Apache-2.0
// The system calls that our servers make once they run, and no other: see lib/base/confine.h.
#pragma once

#include <span>
#include <string_view>

#include "lib/base/confine.h"
#include "lib/base/result.h"
#include "lib/log/log.h"

namespace tulle::sandbox {

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

struct Options {
  int fd = 1;                           // where a refused call is told, one line for each call
  bool json = false;                    // as log::Sink writes it
  bool off = false;                     // tell nothing
  std::string_view target = "linkerd";  // of that line; lives as long as the process
  std::span<const AllowedCall> also{};  // beyond what every server of ours needs; at most 32
};

// Once all threads run and all ports are open. Allowed stay: connections over IPv4 and IPv6, files
// that are read, memory that is not executed, what a process asks about itself. Not in builds with
// sanitizers, whose runtime makes calls of its own: Unsupported.
Result<void> enter(const Options& options);

// The same for a program, which goes on where it cannot be had: then a line in the log says so.
// TULLE_SANDBOX=off in the environment: for tools that make calls in the program's name (valgrind,
// some profilers).
void limit_system_calls(const Options& options, const log::Logger& log);

}  // namespace tulle::sandbox
