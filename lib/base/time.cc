// SPDX-License-Identifier: Apache-2.0
#include "lib/base/time.h"

#include <atomic>
#include <cstdio>
#include <ctime>

#include "lib/base/clock_offset.h"

namespace tulle {
namespace {

std::atomic<WallOffset> offset{nullptr};
std::atomic<std::int64_t> test_shift{0};  // nanoseconds

}  // namespace

void set_wall_offset_for_testing(WallOffset seconds) noexcept {
  offset.store(seconds, std::memory_order_relaxed);
}

void shift_wall_clock_for_testing(Duration by) noexcept {
  test_shift.fetch_add(by.count(), std::memory_order_relaxed);
}

TimePoint monotonic_now() noexcept {
  timespec ts{};
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return TimePoint{std::chrono::seconds{ts.tv_sec} + std::chrono::nanoseconds{ts.tv_nsec}};
}

WallTime wall_now() noexcept {
  timespec ts{};
  ::clock_gettime(CLOCK_REALTIME, &ts);
  const WallOffset shifted = offset.load(std::memory_order_relaxed);
  const std::int64_t seconds = shifted != nullptr ? shifted() : 0;
  return WallTime{
      std::chrono::seconds{ts.tv_sec + seconds} +
      std::chrono::nanoseconds{ts.tv_nsec + test_shift.load(std::memory_order_relaxed)}};
}

std::string format_rfc3339(WallTime time, bool with_fraction) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t unix_seconds = seconds.time_since_epoch().count();
  std::tm parts{};
  ::gmtime_r(&unix_seconds, &parts);
  char text[64];
  std::size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  if (with_fraction) {
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time - seconds);
    n += static_cast<std::size_t>(std::snprintf(text + n, sizeof text - n, ".%06lld",
                                                static_cast<long long>(micros.count())));
  }
  text[n++] = 'Z';
  return std::string(text, n);
}

}  // namespace tulle
