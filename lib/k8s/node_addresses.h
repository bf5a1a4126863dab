// SPDX-License-Identifier: Apache-2.0
// Where a Node says which addresses it has towards its pods, besides its status and the networks of
// its pods: what network plug-ins write there, and users of those that we do not know (the first).
// Each annotation is a list of addresses, with or without prefix.
#pragma once

#include <array>
#include <string_view>

namespace tulle::k8s {

inline constexpr std::array<std::string_view, 9> kNodeAddressAnnotations = {
    "config.tulle.io/probe-addresses",       "network.cilium.io/ipv4-cilium-host",
    "network.cilium.io/ipv6-cilium-host",    "io.cilium.network.ipv4-cilium-host",
    "io.cilium.network.ipv6-cilium-host",    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",         "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
};

}  // namespace tulle::k8s
