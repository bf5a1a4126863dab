// SPDX-License-Identifier: Apache-2.0
// Spreads requests over the endpoints of one backend: of two drawn at random, the one with the
// lower load, where load = moving average of latency that jumps up at peaks × (requests in flight +
// 1) (docs/reference/proxy.md §3.7). This file is the estimate of one endpoint; choosing is in
// balancer.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "proxy/snapshot/load_options.h"

namespace tulle::proxy {

// 24 bytes an endpoint; the options are the backend's. Not thread-safe: one for each worker.
class PeakEwma {
 public:
  PeakEwma(const EwmaOptions& options, TimePoint now)
      : rtt_ns_(static_cast<double>(options.default_rtt.count())), stamp_(now) {}

  // `rtt` below 1 ms counts as 1 ms.
  void record(Duration rtt, TimePoint now, const EwmaOptions& options) noexcept {
    const auto sample = static_cast<double>(std::max<Duration>(rtt, 1ms).count());
    const double current = estimate(now, options);
    if (sample > current) {
      rtt_ns_ = sample;
    } else {
      const double weight = decay_weight(now, options);
      rtt_ns_ = current * weight + sample * (1 - weight);
    }
    stamp_ = now;
  }
  // What is compared between endpoints; in nanoseconds, so never 0.
  double load(TimePoint now, const EwmaOptions& options) const noexcept {
    return estimate(now, options) * static_cast<double>(pending_ + 1);
  }
  // A request is under way to the endpoint; each is followed by one finished().
  void began() noexcept { ++pending_; }
  void finished() noexcept { --pending_; }
  std::uint32_t pending() const noexcept { return pending_; }

 private:
  double decay_weight(TimePoint now, const EwmaOptions& options) const noexcept {
    const auto passed = static_cast<double>((now - stamp_).count());
    return std::exp(-std::max(passed, 0.0) / static_cast<double>(options.decay.count()));
  }
  // An estimate that is not renewed fades toward 0, so that an endpoint that was slow is tried
  // again.
  double estimate(TimePoint now, const EwmaOptions& options) const noexcept {
    return std::max(rtt_ns_ * decay_weight(now, options), 1.0);
  }
  double rtt_ns_;
  TimePoint stamp_;
  std::uint32_t pending_ = 0;
};

}  // namespace tulle::proxy
