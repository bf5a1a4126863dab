// SPDX-License-Identifier: Apache-2.0
// The parts of tulle-node, each as a function of its arguments (the program's name and the verb
// left out) that returns the exit status. Small on purpose: plain system calls, no event loop.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "lib/base/time.h"

namespace tulle::node {

using Arguments = std::vector<std::string_view>;

inline constexpr int kUsage = 64;        // EX_USAGE
inline constexpr int kUnavailable = 69;  // EX_UNAVAILABLE
inline constexpr int kOsError = 71;      // EX_OSERR

// A line on standard error.
void say(std::string_view text);

// Redirects the pod's connections (docs/reference/control-plane.md §2.1, §2.2).
int init(const Arguments& arguments);
// Waits until the proxy is ready, then becomes or runs a command (docs/reference/control-plane.md
// §9).
int await(const Arguments& arguments);
// Proves that a pod's connections are redirected (docs/reference/control-plane.md §2.6).
int validate(const Arguments& arguments);

// "10s", "500ms", "2m", "1h", "1d", "0": a whole number with a unit; nullopt for anything else.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept;

// Until the descriptor has one of the events (poll(2)): true; false when the time has come first.
bool wait_for(int fd, short events, TimePoint until);

}  // namespace tulle::node
