// SPDX-License-Identifier: Apache-2.0
// What the kubelet asks of a pod by HTTP, and from which addresses it comes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/config.h"
#include "control/index/index.h"
#include "proto/inbound.pb.h"

namespace tulle::control {

struct ProbeTarget {
  std::string text;  // path and query
  bool https = false;
  std::string_view path() const noexcept {
    return std::string_view(text).substr(0, text.find('?'));
  }
  friend bool operator==(const ProbeTarget&, const ProbeTarget&) = default;
};

// Those of all containers on this port, each once.
std::vector<ProbeTarget> probes_on(const k8s::Pod& pod, std::uint16_t port);

// The addresses from which the kubelet of the pod's node comes, as far as they are probe networks:
// what the pod says of its host, what the Node says of itself, and the first address of each of its
// pod networks, which most network plug-ins give to the node's end. Empty: nothing is known.
std::vector<net::Cidr> node_addresses(const View& view, const MeshConfig& config,
                                      const k8s::Pod& pod);

// GET of each path, from these networks, by anyone.
pb::inbound::HttpRoute probe_route(const std::vector<net::Cidr>& networks,
                                   const std::vector<ProbeTarget>& targets);

}  // namespace tulle::control
