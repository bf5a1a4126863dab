// SPDX-License-Identifier: Apache-2.0
// State that is one for the whole proxy, however many workers it has (docs/design.md §3.1):
// requests in flight, what was learned of targets, the memory limit. Every member is safe to use
// from any worker.
#pragma once

#include <atomic>
#include <cstdint>

#include "proxy/process/memory_limit.h"
#include "proxy/protocol/learned.h"

namespace tulle::proxy {

struct ProxyWide {
  // Requests that wait for a response head now (bound: MAX_IN_FLIGHT).
  std::atomic<std::uint32_t> in_flight_inbound{0};
  std::atomic<std::uint32_t> in_flight_outbound{0};
  LearnedTargets learned;
  MemoryLimit memory = MemoryLimit::of_this_process();
};

// Counts one request from here to its end; `count` outlives it.
class InFlight {
 public:
  explicit InFlight(std::atomic<std::uint32_t>& count) : count_(count) {
    count_.fetch_add(1, std::memory_order_relaxed);
  }
  ~InFlight() { count_.fetch_sub(1, std::memory_order_relaxed); }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  std::atomic<std::uint32_t>& count_;
};

}  // namespace tulle::proxy
