// SPDX-License-Identifier: Apache-2.0
// Authorizations of a Server: from ServerAuthorizations, AuthorizationPolicies and default policies
// (docs/reference/control-plane.md §6.3, §6.4).
#pragma once

#include <string_view>
#include <vector>

#include "control/config.h"
#include "control/index/index.h"
#include "proto/inbound.pb.h"

namespace tulle::control {

// The one authorization that a default policy stands for; none for Deny.
std::vector<pb::inbound::Authz> default_authorizations(const MeshConfig& config,
                                                       DefaultPolicy policy);
// Everyone of these networks, under the name of something that is no resource.
pb::inbound::Authz unauthenticated_from(const std::vector<net::Cidr>& networks,
                                        std::string_view name);
// All that apply to this Server. What refers to an authentication that does not exist is left out:
// it admits nobody.
std::vector<pb::inbound::Authz> server_authorizations(const View& view, const MeshConfig& config,
                                                      const k8s::Server& server);

// Those of policies that target one route, besides the Server's.
std::vector<pb::inbound::Authz> route_authorizations(const View& view, const MeshConfig& config,
                                                     const k8s::KindName& kind,
                                                     const k8s::ObjectMeta& route);

}  // namespace tulle::control
