// SPDX-License-Identifier: Apache-2.0
// Control-plane messages into policy snapshots. An element that may restrict traffic and is not
// understood fails closed and is told to `unsupported` (docs/design.md §3.9); what is malformed
// gives an invalid policy.
#pragma once

#include <functional>
#include <string_view>

#include "lib/base/result.h"
#include "proto/destination.pb.h"
#include "proto/inbound.pb.h"
#include "proto/outbound.pb.h"
#include "proxy/config/config.h"
#include "proxy/snapshot/client_policy.h"
#include "proxy/snapshot/server_policy.h"

namespace tulle::proxy {

// Called with the name of a feature each time a message uses it (tulle_unsupported_total{feature}).
using Unsupported = std::function<void(std::string_view feature)>;

// `previous` lends its rate buckets when the limits are unchanged; may be null.
ServerPolicyPtr server_policy_from(const pb::inbound::Server& server, const ServerPolicy* previous,
                                   const Unsupported& unsupported);
// The policy that the environment's default makes of a port.
ServerPolicyPtr default_server_policy(const Config& config, std::uint16_t port);
// The policy of a port until its own is known: nothing comes in. But where the identity service
// runs behind this very proxy and policies come from elsewhere, it is the environment's default:
// who tells policies needs a certificate first.
ServerPolicyPtr server_policy_until_known(const Config& config, std::uint16_t port);

// Null, with the address missing, when the endpoint cannot be used at all.
EndpointPtr endpoint_from(const pb::destination::WeightedAddr& addr,
                          const std::map<std::string, std::string>& set_labels);
std::optional<net::SocketAddr> address_from(const pb::net::TcpAddress& addr);
pb::net::TcpAddress address_to(const net::SocketAddr& addr);

ClientPolicyPtr client_policy_from(const pb::outbound::OutboundPolicy& policy,
                                   const Unsupported& unsupported);
ClientPolicyPtr invalid_client_policy(std::string why);
// Everything goes to one endpoint: no policy was found, or the profile names one
// (docs/reference/proxy.md §3.2).
ClientPolicyPtr forward_policy(EndpointPtr endpoint, std::string meta_name, bool opaque);

}  // namespace tulle::proxy
