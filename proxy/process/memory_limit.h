// SPDX-License-Identifier: Apache-2.0
// The memory limit of the proxy's cgroup (version 1 or 2). From 90 % of it on, requests are shed,
// so that the kernel does not end the proxy and all its connections (docs/design.md §3.12). What
// the kernel can take back at once (inactive file pages) does not count.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "lib/base/time.h"
#include "lib/net/socket.h"

namespace tulle::proxy {

class MemoryLimit {
 public:
  // No limit.
  MemoryLimit() = default;
  // As the kernel says in /proc/self/cgroup; no limit if there is none or it cannot be read.
  static MemoryLimit of_this_process();
  // The files of one cgroup.
  MemoryLimit(std::uint64_t limit, net::Fd usage, net::Fd stat);
  MemoryLimit(MemoryLimit&& other) noexcept;

  // Is it used to 90 %? From any thread; looks at most every 100 ms, and only when asked.
  bool short_of(TimePoint now) noexcept;
  std::uint64_t limit() const noexcept { return limit_; }

 private:
  bool look() const noexcept;
  std::uint64_t limit_ = 0;  // bytes; 0: none
  net::Fd usage_;
  net::Fd stat_;
  std::atomic<std::int64_t> next_look_{0};
  std::atomic<bool> short_{false};
};

}  // namespace tulle::proxy
