// SPDX-License-Identifier: Apache-2.0
#include "lib/base/clock_offset.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "lib/base/time.h"

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

std::int64_t offset_of_file() noexcept {
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

[[maybe_unused]] const bool installed = [] {
  set_wall_offset_for_testing(&offset_of_file);
  return true;
}();

}  // namespace
}  // namespace tulle
