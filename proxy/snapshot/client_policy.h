// SPDX-License-Identifier: Apache-2.0
// Where connections to one target go: an immutable snapshot made from the client policy and the
// profile of the target (docs/reference/proxy.md §3.2–3.6, docs/reference/wire-api.md §5.3 and §8).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/time.h"
#include "proxy/route/route.h"
#include "proxy/snapshot/endpoint_info.h"
#include "proxy/snapshot/load_options.h"

namespace tulle::proxy {

// One place that requests or connections may go to.
struct Backend {
  enum class Kind : std::uint8_t {
    Balance,  // over the endpoints that discovery gives for `path`
    Forward,  // to this one endpoint
    Fail,     // the policy names no way to reach it
  };
  Kind kind = Kind::Fail;
  Meta meta;
  std::string path;      // Balance: "name:port"
  EwmaOptions load;      // Balance
  EndpointPtr endpoint;  // Forward
  std::vector<Filter> filters;
  std::uint32_t weight = 1;
};

// How one of the backends is chosen: none (503), the first that can serve, or at random by weight
// among those that can.
struct Distribution {
  enum class Kind : std::uint8_t { Empty, FirstAvailable, Random };
  Kind kind = Kind::Empty;
  std::vector<Backend> backends;
};

// `allow_l5d_headers`: a request may override timeouts and retries by l5d-* headers; accepted,
// without effect in this version.
struct OutboundRule : RuleBase {
  Distribution distribution;
  bool allow_l5d_headers = false;
};

// Routes are compared by host first, then by the best match of a rule (route.h).
struct OutboundRoute {
  Meta meta;
  std::vector<HostMatch> hosts;
  std::vector<OutboundRule> rules;
};

// TLS of the application, by its SNI; `invalid` not empty: refused, and why.
struct TlsRouteMatch {
  Meta meta;
  std::vector<HostMatch> snis;
  OutboundRule rule;
  bool forbidden = false;
  std::string invalid;
};

// Bytes: one route at most.
struct OpaqueRule {
  Meta meta;
  Distribution distribution;
  bool forbidden = false;
  std::string invalid;
};

// All of a target. Which of the route lists counts follows from the protocol that is stated or
// found.
struct ClientPolicy {
  enum class Protocol : std::uint8_t { Detect, Http1, Http2, Grpc, Opaque, Tls };
  Protocol protocol = Protocol::Detect;
  Meta parent;
  std::string invalid;    // not empty: HTTP 500, bytes refused
  std::string authority;  // default authority of requests without one; empty for bare endpoints
  std::vector<OutboundRoute> http1;
  std::vector<OutboundRoute> http2;  // also gRPC
  std::optional<OpaqueRule> opaque;
  std::vector<TlsRouteMatch> tls;
};
using ClientPolicyPtr = std::shared_ptr<const ClientPolicy>;

}  // namespace tulle::proxy
