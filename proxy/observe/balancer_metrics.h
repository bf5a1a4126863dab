// SPDX-License-Identifier: Apache-2.0
// Counts of one balancer and the queue before it (docs/reference/proxy.md §6.4,
// outbound_http_balancer_*). Series are shared by the balancers of all workers for one backend, so
// each adds only what changed with it.
#pragma once

#include <memory>

#include "lib/base/time.h"
#include "lib/metrics/metrics.h"

namespace tulle::proxy {

class BalancerMetrics {
 public:
  // Gauges count what is now, counters what has been. gate_*: fail-fast begins (shut) and ends
  // (open).
  struct Series {
    std::shared_ptr<metrics::Gauge> p2c_endpoints;
    std::shared_ptr<metrics::Counter> reset, add, remove;  // p2c_updates_total{op}
    std::shared_ptr<metrics::Gauge> queue_length;
    std::shared_ptr<metrics::Counter> queue_requests;
    std::shared_ptr<metrics::Histogram> queue_latency;
    std::shared_ptr<metrics::Counter> gate_open, gate_shut;
    // Seconds since 1970 at which fail-fast last ended and began; 0: never.
    std::shared_ptr<metrics::Gauge> gate_open_time, gate_shut_time;
    std::shared_ptr<metrics::Gauge> gate_timeout;
    std::shared_ptr<metrics::Gauge> ready, pending;  // endpoints{endpoint_state}
  };
  explicit BalancerMetrics(Series series) : series_(std::move(series)) {}
  // Takes its endpoints out of the gauges.
  ~BalancerMetrics() { endpoints(0, 0); }
  BalancerMetrics(const BalancerMetrics&) = delete;
  BalancerMetrics& operator=(const BalancerMetrics&) = delete;

  // Discovery has told something: its first state, or what came and went since.
  void updated(bool first, bool added, bool removed) {
    if (first) {
      series_.reset->add();
      return;
    }
    if (added) series_.add->add();
    if (removed) series_.remove->add();
  }
  // How many there are now, and how many of them can be used.
  void endpoints(std::int64_t all, std::int64_t usable) {
    series_.p2c_endpoints->add(all - all_);
    series_.ready->add(usable - usable_);
    series_.pending->add((all - usable) - (all_ - usable_));
    all_ = all;
    usable_ = usable;
  }
  // A request has begun to wait (1) or has stopped (-1).
  void queued(std::int64_t change) { series_.queue_length->add(change); }
  // An endpoint was chosen, after this wait.
  void picked(Duration waited) {
    series_.queue_requests->add();
    series_.queue_latency->observe(std::chrono::duration<double>(waited).count());
  }
  // Fail-fast begins or ends.
  void gate(bool open) {
    if (open == open_) return;
    open_ = open;
    (open ? series_.gate_open : series_.gate_shut)->add();
    const auto now = std::chrono::floor<std::chrono::seconds>(wall_now());
    (open ? series_.gate_open_time : series_.gate_shut_time)->set(now.time_since_epoch().count());
  }
  // The configured patience, printed in seconds.
  void timeout(Duration failfast) { series_.gate_timeout->set(failfast / std::chrono::seconds(1)); }

 private:
  Series series_;
  std::int64_t all_ = 0;
  std::int64_t usable_ = 0;
  bool open_ = true;
};

}  // namespace tulle::proxy
