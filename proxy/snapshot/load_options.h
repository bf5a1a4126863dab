// SPDX-License-Identifier: Apache-2.0
// How the load of a backend's endpoints is estimated, as its policy says.
#pragma once

#include <compare>

#include "lib/base/time.h"

namespace tulle::proxy {

struct EwmaOptions {
  Duration default_rtt = 30ms;  // stands in until an endpoint has answered once
  Duration decay = 10s;         // after this long a sample keeps 37 % of its weight
  bool penalize = false;        // failures count as slow (PenaltyPeakEwma)
  Duration penalty = 5s;
  Duration max_retry_after = 300s;
  friend auto operator<=>(const EwmaOptions&, const EwmaOptions&) = default;
};

}  // namespace tulle::proxy
