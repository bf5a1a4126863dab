// SPDX-License-Identifier: Apache-2.0
// The API server as the source of the index: one reflector for each resource that some role reads
// (lib/k8s/reflector.h). The index is complete once every resource was listed; from then on it
// holds the last known state, whatever happens to the connection, and after a gap objects that were
// deleted meanwhile go. Resources of CRDs that are not installed count as empty and are looked for
// every half minute.
//
// An object that cannot be read (which the API server and our webhook should not let happen) keeps
// its last good state, and is counted and named in the log.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/index/index.h"
#include "lib/k8s/client.h"
#include "lib/k8s/reflector.h"
#include "lib/log/log.h"

namespace tulle::control {

class KubernetesSource {
 public:
  // All must outlive it.
  KubernetesSource(k8s::ApiClient& client, Index& index, const log::Logger& log,
                   std::uint64_t seed);
  ~KubernetesSource();
  KubernetesSource(const KubernetesSource&) = delete;
  KubernetesSource& operator=(const KubernetesSource&) = delete;

  // Begins to follow everything; `on_synced` is called once, when the index is complete.
  void start(std::function<void()> on_synced);
  bool synced() const noexcept { return synced_; }
  // What is not complete yet, for /ready: "pods (403 Forbidden: …), nodes"; "" if nothing is.
  std::string missing() const;
  // Objects that stand in the index with an older state than they have, or not at all.
  std::size_t broken_objects() const noexcept;

  struct ResourceState {
    std::string_view resource;
    std::string_view group;
    k8s::Reflector::Stats stats;
    bool synced;
    bool behind;  // not followed at the moment
  };
  std::vector<ResourceState> resources() const;

 private:
  class Feed;
  template <typename T>
  class TypedFeed;
  template <typename T>
  void add(const k8s::Reflector::Options& options);
  void feed_synced();

  k8s::ApiClient& client_;
  Index& index_;
  log::Logger log_;
  Random random_;
  std::vector<std::unique_ptr<Feed>> feeds_;
  std::function<void()> on_synced_;
  std::size_t complete_ = 0;  // feeds that were listed
  bool synced_ = false;
  net::TaskScope tasks_;  // destroyed first
};

}  // namespace tulle::control
