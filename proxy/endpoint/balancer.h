// SPDX-License-Identifier: Apache-2.0
// Picks an endpoint for each request or connection of one backend (docs/reference/proxy.md §3.7):
// power of two choices over peak-EWMA load among endpoints that can be used; waits in a bounded
// queue while there is none, and fails fast once that has lasted. Never latches: the first usable
// endpoint ends it. One per worker and backend.
#pragma once

#include <memory>
#include <vector>

#include "lib/base/text.h"
#include "lib/net/loop.h"
#include "proxy/config/backoff.h"
#include "proxy/endpoint/peak_ewma.h"
#include "proxy/observe/balancer_metrics.h"
#include "proxy/snapshot/endpoint_info.h"

namespace tulle::proxy {

class Endpoint;

// How long, and how many at once, may wait for an endpoint.
struct QueueLimits {
  Duration failfast = 3s;
  std::uint32_t capacity = 10'000;
};

struct BalancerOptions {
  EwmaOptions load;
  QueueLimits requests;
};

class Balancer {
 public:
  // Makes the worker's endpoint objects; endpoints that stay keep theirs.
  class EndpointFactory {
   public:
    virtual std::shared_ptr<Endpoint> make_endpoint(const EndpointPtr& info) = 0;

   protected:
    ~EndpointFactory() = default;
  };

  // A pick counts as in flight until it is destroyed.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&&) noexcept;
    Lease& operator=(Lease&&) noexcept;
    ~Lease();
    Endpoint& operator*() const noexcept;
    Endpoint* operator->() const noexcept;
    explicit operator bool() const noexcept { return slot_ != nullptr; }
    const std::shared_ptr<Endpoint>& endpoint() const noexcept;
    // A latency sample for the estimate; the first call counts.
    void record(Duration rtt);
    const EwmaOptions& load_options() const noexcept;
    struct Slot;

   private:
    friend class Balancer;
    explicit Lease(std::shared_ptr<Slot> slot);
    std::shared_ptr<Slot> slot_;
  };

  // `metrics` may be null.
  Balancer(net::Loop& loop, EndpointFactory& factory, const BalancerOptions& options,
           std::uint64_t seed, std::unique_ptr<BalancerMetrics> metrics = nullptr);

  void update(const EndpointSet& set);
  // An endpoint for one request, at once if there is one. `avoid`: not this one if another can be
  // used (a re-dispatch). While all fail, plain-text ones are tried all the same and meshed ones
  // waited for. Errors: Unavailable with where = "no endpoints" or "all endpoints failed" for who
  // had waited, or "discovery failed"; ResourceExhausted for who comes while nothing has been
  // usable that long already (fail-fast), or when the queue is full.
  net::Task<Result<Lease>> pick(const Endpoint* avoid = nullptr) {
    return pick(avoid, options_.requests, metrics_.get());
  }
  // For one connection of bytes. `metrics`: of connections(), may be null.
  net::Task<Result<Lease>> pick(const Endpoint* avoid, QueueLimits limits,
                                BalancerMetrics* metrics);
  // What is counted of connections that carry bytes, and of those that TLS routes carry, from the
  // first one on; null before.
  BalancerMetrics* connections(bool tls) noexcept { return (tls ? tls_ : connections_).get(); }
  void count_connections(std::unique_ptr<BalancerMetrics> metrics, QueueLimits limits, bool tls);
  // Could pick() give something now that can be reached, as far as is known? If not, what is due to
  // be tried again is probed.
  bool ready();
  // Could another endpoint than this one be reached now, as far as is known?
  bool usable_besides(const Endpoint* endpoint) const noexcept;

  const EndpointSet& endpoints() const noexcept { return set_; }
  // Tells the metrics how many endpoints can be used now.
  void fold();
  std::uint32_t queued() const noexcept { return queued_; }

 private:
  // A random one of the usable endpoints but these two; perhaps only of those that can be reached.
  std::shared_ptr<Lease::Slot> draw(const Lease::Slot* other, const Endpoint* avoid,
                                    bool only_reachable);
  std::shared_ptr<Lease::Slot> choose(const Endpoint* avoid);
  std::shared_ptr<Lease::Slot> choose_now(const Endpoint* avoid);
  void gate(bool open);

  net::Loop& loop_;
  EndpointFactory& factory_;
  BalancerOptions options_;
  Random random_;
  EndpointSet set_;
  std::vector<std::shared_ptr<Lease::Slot>> slots_;  // sorted by address
  net::Signal changed_;
  std::uint32_t queued_ = 0;
  TimePoint unready_since_ = kNever;
  std::unique_ptr<BalancerMetrics> metrics_;      // of requests
  std::unique_ptr<BalancerMetrics> connections_;  // of connections for bytes
  std::unique_ptr<BalancerMetrics> tls_;          // of those of TLS routes
};

}  // namespace tulle::proxy
