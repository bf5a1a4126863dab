// SPDX-License-Identifier: Apache-2.0
// What a reader of the index depends on, as numbers: a change of the index publishes topics, and
// whoever read under one of them is told. A topic is a hash; two that collide cost a needless look,
// nothing else.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/net/address.h"

namespace tulle::control {

using Topic = std::uint64_t;

namespace topics {
Topic pod(std::string_view ns, std::string_view name) noexcept;
Topic pods_in(std::string_view ns) noexcept;  // any pod of the namespace
Topic service(std::string_view ns, std::string_view name) noexcept;
// Its EndpointSlices, and the pods that they name.
Topic endpoints(std::string_view ns, std::string_view service) noexcept;
Topic address(const net::IpAddr& ip) noexcept;  // who owns this address: Services and pods
Topic policies_in(
    std::string_view ns) noexcept;  // Servers, authorizations, authentications, limits
Topic external(std::string_view ns, std::string_view name) noexcept;  // an ExternalWorkload
Topic externals_in(std::string_view ns) noexcept;                     // any of the namespace
// A ReplicaSet or Job: whose it is.
Topic owner(std::string_view kind, std::string_view ns, std::string_view name) noexcept;
Topic node(std::string_view name) noexcept;
Topic ns(std::string_view name) noexcept;
Topic namespaces() noexcept;                    // every Namespace
Topic egress() noexcept;                        // every EgressNetwork
Topic routes_of(std::string_view ns) noexcept;  // routes with a parent in this namespace
Topic statuses() noexcept;  // whatever the status of a route or policy may depend on
}  // namespace topics

// A set of topics, small and usually read in whole.
class TopicSet {
 public:
  void add(Topic topic) {
    for (const Topic known : topics_) {
      if (known == topic) return;
    }
    topics_.push_back(topic);
  }
  void clear() noexcept { topics_.clear(); }
  auto begin() const noexcept { return topics_.begin(); }
  auto end() const noexcept { return topics_.end(); }
  std::size_t size() const noexcept { return topics_.size(); }

 private:
  std::vector<Topic> topics_;
};

}  // namespace tulle::control
