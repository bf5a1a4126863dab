// SPDX-License-Identifier: Apache-2.0
// Time. Deadlines use the monotonic clock; certificate dates use the wall clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace tulle {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;
using namespace std::chrono_literals;

inline constexpr TimePoint kNever = TimePoint::max();

// The monotonic clock, read now (event loops cache it: net::Loop::now()).
TimePoint monotonic_now() noexcept;

// The wall clock. In programs that are built for tests plus the offset in the file named by
// TULLE_CLOCK_OFFSET_FILE, if that is set, so that tests step a clock without touching the
// machine's (clock_offset.h).
WallTime wall_now() noexcept;
// For unit tests: from now on wall_now() of this process is so much later than it would be.
void shift_wall_clock_for_testing(Duration by) noexcept;

// RFC 3339, UTC, e.g. "2026-11-24T12:00:00Z"; with_fraction adds microseconds.
std::string format_rfc3339(WallTime time, bool with_fraction = false);

// A point in time by which something must be done; handed down unchanged through a call chain.
class Deadline {
 public:
  Deadline() = default;  // never
  explicit Deadline(TimePoint at) : at_(at) {}
  static Deadline never() { return {}; }
  TimePoint at() const noexcept { return at_; }
  bool is_never() const noexcept { return at_ == kNever; }
  bool passed(TimePoint now) const noexcept { return now >= at_; }
  Deadline earlier(Deadline other) const noexcept { return at_ < other.at_ ? *this : other; }

 private:
  TimePoint at_ = kNever;
};

}  // namespace tulle
