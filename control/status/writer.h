// SPDX-License-Identifier: Apache-2.0
// Writes the statuses of routes and policies to the API server (docs/reference/control-plane.md
// §6.8): looks after every change that may concern one, and every ten seconds at all of them;
// patches those that say something else. Only the leader writes. Entries of other controllers stay
// as they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/index/index.h"
#include "lib/k8s/client.h"
#include "lib/k8s/lease.h"
#include "lib/log/log.h"
#include "lib/net/loop.h"

namespace tulle::control {

class StatusWriter {
 public:
  static constexpr Duration kEvery = 10s;
  static constexpr Duration kSettle = 200ms;  // changes come in groups
  static constexpr Duration kPatchTimeout = 5s;

  // All must outlive it.
  StatusWriter(k8s::ApiClient& client, Index& index, const MeshConfig& config,
               const k8s::LeaderElection& election, const log::Logger& log);

  // Works until it is destroyed.
  net::Task<void> run();

  struct Stats {
    std::uint64_t patches = 0;     // that succeeded
    std::uint64_t api_errors = 0;  // that the server refused
    std::uint64_t timeouts = 0;
  };
  const Stats& stats() const noexcept { return stats_; }

 private:
  struct Patch {
    k8s::Resource resource;
    std::string ns;
    std::string name;
    std::string body;
  };
  // What is to be written; depends on what it has read.
  std::vector<Patch> wanted(TopicSet& seen) const;
  template <typename Route>
  void add_routes(const View& view, const k8s::Resource& resource, std::vector<Patch>& out) const;
  net::Task<void> write(const Patch& patch);

  k8s::ApiClient& client_;
  Index& index_;
  const MeshConfig& config_;
  const k8s::LeaderElection& election_;
  log::Logger log_;
  Stats stats_;
};

}  // namespace tulle::control
