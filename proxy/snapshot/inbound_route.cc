// SPDX-License-Identifier: Apache-2.0
#include "proxy/snapshot/server_policy.h"

namespace tulle::proxy {

std::optional<Found> find_inbound_route(const ServerPolicy& policy,
                                        const http::RequestHead& request, const Peer& peer) {
  const auto probes = [&](const InboundRoute& route) {
    return !route.probe_target.empty() && request.path == route.probe_target &&
           !route.authorizations.empty() && route.authorizations.front().permits(peer);
  };
  const auto others = [](const InboundRoute& route) { return route.probe_target.empty(); };
  std::optional<Found> found = find_route(policy.routes, request, probes);
  if (!found) found = find_route(policy.routes, request, others);
  return found;
}

}  // namespace tulle::proxy
