// SPDX-License-Identifier: Apache-2.0
#include "proxy/process/memory_limit.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/base/text.h"

namespace tulle::proxy {
namespace {

constexpr std::uint64_t kNoLimit = std::uint64_t{1}
                                   << 60;  // version 1 says "none" with a number near 2^63

// A file of /proc or /sys is one read.
std::string read_fd(int fd) {
  char buffer[8192];
  const ssize_t n = ::pread(fd, buffer, sizeof buffer, 0);
  return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
}

std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

std::uint64_t number_of(std::string_view text) {
  return parse_number<std::uint64_t>(first_line(text)).value_or(0);
}

// The value of "NAME VALUE" in lines of such.
std::uint64_t field(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view line = first_line(text);
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ' ')
      return number_of(line.substr(name.size() + 1));
  }
  return 0;
}

net::Fd open_in(const std::string& folder, std::string_view name) {
  return net::Fd{::open(concat(folder, "/", name).c_str(), O_RDONLY | O_CLOEXEC)};
}

struct Names {
  std::string_view limit, usage;
};
constexpr Names kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes"};
constexpr Names kVersion2{"memory.max", "memory.current"};

}  // namespace

MemoryLimit::MemoryLimit(std::uint64_t limit, net::Fd usage, net::Fd stat)
    : limit_(usage && limit < kNoLimit ? limit : 0),
      usage_(std::move(usage)),
      stat_(std::move(stat)) {}

MemoryLimit::MemoryLimit(MemoryLimit&& other) noexcept
    : limit_(other.limit_), usage_(std::move(other.usage_)), stat_(std::move(other.stat_)) {}

MemoryLimit MemoryLimit::of_this_process() {
  const net::Fd self{::open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC)};
  if (!self) return {};
  const std::string text = read_fd(self.get());
  std::string_view left = text;
  while (!left.empty()) {
    // ID:CONTROLLERS:PATH
    const std::string_view line = first_line(left);
    left.remove_prefix(std::min(left.size(), line.size() + 1));
    const auto colon = line.find(':');
    const auto second = line.find(':', colon + 1);
    if (colon == line.npos || second == line.npos) continue;
    const std::string_view controllers = line.substr(colon + 1, second - colon - 1);
    const bool v2 = controllers.empty();
    if (!v2 && controllers != "memory") continue;
    const Names& names = v2 ? kVersion2 : kVersion1;
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    // A container that does not see its own path sees its cgroup as the root.
    for (const std::string& folder : {concat(root, line.substr(second + 1)), root}) {
      const net::Fd limit = open_in(folder, names.limit);
      if (!limit) continue;
      const std::uint64_t bytes = number_of(read_fd(limit.get()));  // "max" is no number
      if (bytes == 0 || bytes >= kNoLimit) continue;
      return {bytes, open_in(folder, names.usage), open_in(folder, "memory.stat")};
    }
  }
  return {};
}

bool MemoryLimit::look() const noexcept {
  const std::uint64_t bound = limit_ / 10 * 9;
  const std::uint64_t used = number_of(read_fd(usage_.get()));
  if (used < bound) return false;
  const std::string stat = stat_ ? read_fd(stat_.get()) : std::string();
  const std::uint64_t reclaimable =
      std::max(field(stat, "inactive_file"), field(stat, "total_inactive_file"));
  return used - std::min(used, reclaimable) >= bound;
}

bool MemoryLimit::short_of(TimePoint now) noexcept {
  if (limit_ == 0) return false;
  const std::int64_t at = now.time_since_epoch().count();
  std::int64_t due = next_look_.load(std::memory_order_relaxed);
  const std::int64_t next = at + std::chrono::nanoseconds(100ms).count();
  if (at >= due && next_look_.compare_exchange_strong(due, next, std::memory_order_relaxed)) {
    short_.store(look(), std::memory_order_relaxed);
  }
  return short_.load(std::memory_order_relaxed);
}

}  // namespace tulle::proxy
