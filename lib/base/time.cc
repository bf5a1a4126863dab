// SPDX-License-Identifier: Apache-2.0
#include "lib/base/time.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace tulle {
namespace {

std::int64_t read_offset_seconds(const char* path) noexcept {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[32] = {};
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  return n > 0 ? std::strtoll(text, nullptr, 10) : 0;
}

std::int64_t wall_offset_seconds() noexcept {
  static const char* const path = std::getenv("TULLE_CLOCK_OFFSET_FILE");
  if (path == nullptr || *path == '\0') return 0;
  static std::atomic<std::int64_t> value{0};
  static std::atomic<std::int64_t> read_at{-1};
  const std::int64_t second = monotonic_now().time_since_epoch() / 1s;
  if (read_at.exchange(second, std::memory_order_relaxed) != second) {
    value.store(read_offset_seconds(path), std::memory_order_relaxed);
  }
  return value.load(std::memory_order_relaxed);
}

std::atomic<std::int64_t> test_shift{0};  // nanoseconds

}  // namespace

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
  return WallTime{
      std::chrono::seconds{ts.tv_sec + wall_offset_seconds()} +
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
