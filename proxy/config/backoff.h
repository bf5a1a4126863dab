// SPDX-License-Identifier: Apache-2.0
// Exponential back-off (docs/reference/proxy.md §1.4): base_n = min(MIN·2ⁿ, MAX), wait = base +
// U(0, base·jitter), never above MAX.
#pragma once

#include <algorithm>

#include "lib/base/text.h"
#include "lib/base/time.h"

namespace tulle::proxy {

// `jitter`: up to this share is added at random, so that clients of one server do not come back
// together. `min` > 0.
struct BackoffOptions {
  Duration min = 100ms;
  Duration max = 60s;
  double jitter = 0.1;
};

// Not thread-safe. Waits nowhere itself.
class Backoff {
 public:
  Backoff(BackoffOptions options, std::uint64_t seed) : options_(options), random_(seed) {}
  // How long to wait before the next try; grows with each call.
  Duration next() {
    Duration base = options_.max;
    if (attempt_ < 40 && options_.min * (std::int64_t{1} << attempt_) < options_.max) {
      base = options_.min * (std::int64_t{1} << attempt_);
      ++attempt_;
    }
    const double extra = static_cast<double>(base.count()) * options_.jitter * random_.unit();
    return std::min(base + Duration{static_cast<std::int64_t>(extra)}, options_.max);
  }
  // After a success: the next wait is `min` again.
  void reset() noexcept { attempt_ = 0; }

 private:
  BackoffOptions options_;
  Random random_;
  unsigned attempt_ = 0;
};

}  // namespace tulle::proxy
