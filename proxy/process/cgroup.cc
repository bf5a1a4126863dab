// SPDX-License-Identifier: Apache-2.0
#include "proxy/process/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "lib/net/socket.h"

namespace tulle::proxy {
std::optional<std::string> Cgroup::read(const char* name) const {
  const net::Fd fd{::open(concat(root_, "/", name).c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) return std::nullopt;
  char buffer[8192];
  const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
  if (n < 0) return std::nullopt;
  return std::string(buffer, static_cast<std::size_t>(n));
}

std::optional<unsigned> Cgroup::cpus() const {
  std::optional<std::int64_t> quota;
  std::optional<std::int64_t> period;
  if (const auto text = read("cpu.max")) {
    const std::string_view line = trim(*text);
    const auto space = line.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    quota = parse_number<std::int64_t>(line.substr(0, space));
    period = parse_number<std::int64_t>(line.substr(space + 1));
  } else {
    const auto quota_text = read("cpu/cpu.cfs_quota_us");
    const auto period_text = read("cpu/cpu.cfs_period_us");
    if (quota_text) quota = parse_number<std::int64_t>(trim(*quota_text));
    if (period_text) period = parse_number<std::int64_t>(trim(*period_text));
  }
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<unsigned>((*quota + *period - 1) / *period);
}

}  // namespace tulle::proxy
