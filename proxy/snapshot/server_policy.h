// SPDX-License-Identifier: Apache-2.0
// The policy of an inbound port: an immutable snapshot, replaced whole by each update
// (docs/reference/proxy.md §2.2, docs/reference/wire-api.md §7).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/base/time.h"
#include "proxy/route/authorization.h"
#include "proxy/route/rate_limit.h"
#include "proxy/route/route.h"

namespace tulle::proxy {

struct InboundRoute {
  Meta meta;
  std::vector<HostMatch> hosts;
  // The route's own list, then the server's, then localhost: the first that permits admits.
  std::vector<Authorization> authorizations;
  std::vector<RuleBase> rules;
  // A probe beside routes of the user's, by path and query: only whom the first authorization
  // admits meets it. Empty for all others.
  std::string probe_target;
};

struct ServerPolicy {
  enum class Protocol : std::uint8_t { Detect, Http1, Http2, Grpc, Opaque, Tls };
  Protocol protocol = Protocol::Detect;
  bool known = true;  // false: nobody has told it yet, and nothing may come in
  Duration detect_timeout = 10s;
  Meta meta;
  std::string invalid;  // not empty: why HTTP requests fail with 500 and bytes are refused
  // Of bytes: the server's list, then localhost. Empty list for HTTP-only protocols.
  std::vector<Authorization> authorizations;
  std::vector<InboundRoute> routes;
  std::shared_ptr<RateLimit> rate_limit;  // carried over between snapshots with equal limits
};
using ServerPolicyPtr = std::shared_ptr<const ServerPolicy>;

// Do rules stand here that only requests can be held to (routes that somebody attached, with their
// authorizations, or a rate limit)? Then bytes do not pass, unless the Server says opaque or TLS:
// they would pass by those rules.
inline bool holds_requests_only(const ServerPolicy& policy) noexcept {
  if (policy.protocol != ServerPolicy::Protocol::Detect) return false;
  if (policy.rate_limit) return true;
  for (const InboundRoute& route : policy.routes) {
    if (route.meta.kind != "default") return true;
  }
  return false;
}

// The authorization that admits the peer's bytes; null if none does.
inline const Authorization* find_bytes_permit(const ServerPolicy& policy,
                                              const Peer& peer) noexcept {
  return holds_requests_only(policy) ? nullptr : find_permit(policy.authorizations, peer);
}

// The rule that serves the request of this peer; nullopt if none does. Probes go first: the kubelet
// is answered whatever routes there are.
std::optional<Found> find_inbound_route(const ServerPolicy& policy,
                                        const http::RequestHead& request, const Peer& peer);

}  // namespace tulle::proxy
