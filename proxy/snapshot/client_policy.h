// SPDX-License-Identifier: Apache-2.0
// Where connections to one target go: an immutable snapshot made from the client policy and the
// profile of the target (proxy.md §3.2–3.6, wire-api.md §5.3 and §8).
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

struct Distribution {
  enum class Kind : std::uint8_t { Empty, FirstAvailable, Random };
  Kind kind = Kind::Empty;
  std::vector<Backend> backends;
};

struct OutboundRule : RuleBase {
  Distribution distribution;
  bool allow_l5d_headers = false;
};

struct OutboundRoute {
  Meta meta;
  std::vector<HostMatch> hosts;
  std::vector<OutboundRule> rules;
};

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
