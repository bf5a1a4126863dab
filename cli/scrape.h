// SPDX-License-Identifier: Apache-2.0
// Reads the metrics of every proxy: of a mesh on this machine from within the pods' own network
// namespaces, so no policy of theirs stands between (needs root); of a cluster through the API
// server.
#pragma once

#include <chrono>
#include <vector>

#include "cli/cluster.h"
#include "cli/stats.h"
#include "local/state.h"

namespace tulle::cli {

// Looks twice, `window` apart; once if it is 0 (then `before` is empty: everything since the
// start).
std::vector<PodSamples> scrape(const local::Json& status, std::chrono::nanoseconds window);
// The same for the pods of one namespace ("": of all) that have all these labels ("": any). A
// problem says why there are no pods; a proxy that cannot be asked is only not `reached`.
std::vector<PodSamples> scrape(Cluster& cluster, const std::string& ns, const std::string& selector,
                               std::chrono::nanoseconds window, std::string& problem);

}  // namespace tulle::cli
