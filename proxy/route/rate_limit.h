// SPDX-License-Identifier: Apache-2.0
// Local rate limits of an inbound port (docs/reference/proxy.md §2.2): token buckets with a burst
// of one second, kept as one atomic each, because they are one for the whole proxy, whatever the
// number of workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "lib/base/time.h"
#include "proxy/route/meta.h"

namespace tulle::proxy {

// Generic cell rate algorithm: `next_` is the theoretical arrival time of the next request.
class RateBucket {
 public:
  // `per_second` > 0; a full bucket holds the requests of one second.
  explicit RateBucket(std::uint32_t per_second) : interval_(1'000'000'000LL / per_second) {}
  // Takes one request out of the bucket, or says false and takes nothing. From any worker, without
  // a lock.
  bool admit(TimePoint now) noexcept {
    const std::int64_t at = now.time_since_epoch().count();
    std::int64_t expected = next_.load(std::memory_order_relaxed);
    for (;;) {
      const std::int64_t start = expected > at ? expected : at;
      if (start - at > 1'000'000'000LL - interval_) return false;
      if (next_.compare_exchange_weak(expected, start + interval_, std::memory_order_relaxed)) {
        return true;
      }
    }
  }

 private:
  const std::int64_t interval_;
  std::atomic<std::int64_t> next_{0};
};

class RateLimit {
 public:
  struct Override {
    std::uint32_t per_second;
    std::vector<std::string> identities;  // share one bucket
    friend bool operator==(const Override&, const Override&) = default;
  };
  struct Spec {
    std::optional<Meta> meta;
    std::uint32_t total = 0;     // 0: none
    std::uint32_t identity = 0;  // each client identity; unauthenticated clients share one
    std::vector<Override> overrides;
    friend bool operator==(const Spec&, const Spec&) = default;
  };
  enum class Scope : std::uint8_t { None, Total, Identity };

  // Buckets are full at first. A policy update with an equal Spec keeps the RateLimit, so that it
  // fills no bucket.
  explicit RateLimit(Spec spec);
  // None: admitted. Otherwise the scope that refused.
  Scope admit(const std::string& identity, TimePoint now);
  const Spec& spec() const noexcept { return spec_; }

 private:
  static constexpr std::size_t kMaxIdentities = 10'000;  // beyond: they share the last bucket
  Spec spec_;
  std::optional<RateBucket> total_;
  std::unordered_map<std::string, std::shared_ptr<RateBucket>> overrides_;
  std::mutex mutex_;  // guards identities_; taken only when a per-identity limit is set
  std::unordered_map<std::string, std::unique_ptr<RateBucket>> identities_;
  std::unique_ptr<RateBucket> overflow_;
};

}  // namespace tulle::proxy
