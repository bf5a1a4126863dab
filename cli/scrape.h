// SPDX-License-Identifier: Apache-2.0
// Reads the metrics of every proxy of a mesh on this machine, from within the pods' own network
// namespaces, so no policy of theirs stands between. Needs root.
#pragma once

#include <chrono>
#include <vector>

#include "cli/stats.h"
#include "local/state.h"

namespace tulle::cli {

// Looks twice, `window` apart; once if it is 0 (then `before` is empty: everything since the start).
std::vector<PodSamples> scrape(const local::Json& status, std::chrono::nanoseconds window);

}  // namespace tulle::cli
