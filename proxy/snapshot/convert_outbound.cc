// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "lib/base/text.h"
#include "proto/message.h"
#include "proxy/snapshot/convert.h"
#include "proxy/snapshot/convert_common.h"

namespace tulle::proxy {
namespace {

// The first problem met; conversions go on quietly once it is set.
struct Problem {
  std::string text;
  bool set(std::string_view what) {
    if (text.empty()) text = what;
    return false;
  }
};

bool load_options(const pb::outbound::Backend_BalanceP2c& from, EwmaOptions& to, Problem& problem) {
  const auto take = [](const pb::Box<pb::protobuf::Duration>& box, Duration& out) {
    if (!box) return true;
    const auto value = pb::from_pb(*box);
    if (!value) return false;
    out = *value;
    return true;
  };
  using Load = pb::outbound::Backend_BalanceP2c::LoadCase;
  switch (from.load_case) {
    case Load::peak_ewma:
      if (!from.peak_ewma->default_rtt || !from.peak_ewma->decay ||
          !take(from.peak_ewma->default_rtt, to.default_rtt) ||
          !take(from.peak_ewma->decay, to.decay)) {
        return problem.set("a balancer's load is malformed");
      }
      break;
    case Load::penalty_peak_ewma:
      to.penalize = true;
      if (!take(from.penalty_peak_ewma->default_rtt, to.default_rtt) ||
          !take(from.penalty_peak_ewma->decay, to.decay) ||
          !take(from.penalty_peak_ewma->penalty, to.penalty) ||
          !take(from.penalty_peak_ewma->max_retry_after, to.max_retry_after)) {
        return problem.set("a balancer's load is malformed");
      }
      break;
    case Load::none: return problem.set("a balancer has no load");
  }
  if (to.decay <= Duration::zero()) to.decay = 10s;
  return true;
}

// A path must be "name:port".
bool valid_path(std::string_view path) {
  const auto colon = path.rfind(':');
  return colon != std::string_view::npos && colon != 0 &&
         parse_number<std::uint16_t>(path.substr(colon + 1)).has_value();
}

bool backend(const pb::Box<pb::outbound::Backend>& from, Backend& to, Problem& problem) {
  if (!from) return problem.set("a backend is missing");
  if (!from->metadata) return problem.set("a backend has no metadata");
  auto meta = convert::meta(*from->metadata);
  if (!meta) return problem.set("a backend has no metadata");
  to.meta = std::move(*meta);
  if (!from->queue) return problem.set("a backend has no queue");
  using Kind = pb::outbound::Backend::KindCase;
  switch (from->kind_case) {
    case Kind::forward:
      to.kind = Backend::Kind::Forward;
      to.endpoint = endpoint_from(*from->forward, {});
      if (!to.endpoint || to.endpoint->addr.port == 0)
        return problem.set("a forward address is malformed");
      break;
    case Kind::balancer: {
      to.kind = Backend::Kind::Balance;
      const auto& discovery = from->balancer->discovery;
      if (!discovery ||
          discovery->kind_case != pb::outbound::Backend_EndpointDiscovery::KindCase::dst ||
          !valid_path(discovery->dst->path)) {
        return problem.set("a balancer's discovery is malformed");
      }
      to.path = discovery->dst->path;
      return load_options(*from->balancer, to.load, problem);
    }
    case Kind::none: to.kind = Backend::Kind::Fail; break;
  }
  return true;
}

bool filter(const pb::outbound::HttpRoute_Filter& from, const Unsupported& /*unsupported*/,
            std::vector<Filter>& to, Problem& problem) {
  using Kind = pb::outbound::HttpRoute_Filter::KindCase;
  std::optional<Filter> made;
  switch (from.kind_case) {
    case Kind::failure_injector: made = convert::filter(*from.failure_injector); break;
    case Kind::request_header_modifier:
      made = convert::filter(*from.request_header_modifier);
      break;
    case Kind::redirect: made = convert::filter(*from.redirect); break;
    case Kind::response_header_modifier:
      made = convert::filter(*from.response_header_modifier);
      break;
    case Kind::none: return problem.set("a route filter is not known");
  }
  if (!made) return problem.set("a route filter is malformed");
  to.push_back(std::move(*made));
  return true;
}
bool filter(const pb::outbound::GrpcRoute_Filter& from, const Unsupported& /*unsupported*/,
            std::vector<Filter>& to, Problem& problem) {
  using Kind = pb::outbound::GrpcRoute_Filter::KindCase;
  std::optional<Filter> made;
  switch (from.kind_case) {
    case Kind::failure_injector: made = convert::filter(*from.failure_injector); break;
    case Kind::request_header_modifier:
      made = convert::filter(*from.request_header_modifier);
      break;
    case Kind::none: return problem.set("a route filter is not known");
  }
  if (!made) return problem.set("a route filter is malformed");
  to.push_back(std::move(*made));
  return true;
}
// Opaque and TLS filters refuse; they are folded into the backend's failure.
template <typename PbFilter>
bool byte_filter(const PbFilter& from, bool& forbidden, std::string& invalid, Problem& problem) {
  switch (from.kind_case) {
    case PbFilter::KindCase::invalid:
      invalid =
          from.invalid && !from.invalid->message.empty() ? from.invalid->message : "invalid route";
      return true;
    case PbFilter::KindCase::forbidden: forbidden = true; return true;
    case PbFilter::KindCase::none: break;
  }
  return problem.set("a route filter is not known");
}

template <typename PbRouteBackend>
bool route_backend(const PbRouteBackend& from, const Unsupported& unsupported, Backend& to,
                   Problem& problem) {
  if (!backend(from.backend, to, problem)) return false;
  for (const auto& entry : from.filters) {
    if constexpr (requires {
                    entry.kind_case == std::decay_t<decltype(entry)>::KindCase::forbidden;
                  }) {
      bool forbidden = false;
      std::string invalid;
      if (!byte_filter(entry, forbidden, invalid, problem)) return false;
      to.kind = Backend::Kind::Fail;
    } else {
      if (!filter(entry, unsupported, to.filters, problem)) return false;
    }
  }
  return true;
}

template <typename PbDistribution>
bool distribution(const pb::Box<PbDistribution>& from, const Unsupported& unsupported,
                  Distribution& to, Problem& problem) {
  if (!from) return problem.set("a rule has no backends");
  using Kind = typename PbDistribution::KindCase;
  switch (from->kind_case) {
    case Kind::empty: to.kind = Distribution::Kind::Empty; return true;
    case Kind::first_available:
      to.kind = Distribution::Kind::FirstAvailable;
      for (const auto& entry : from->first_available->backends) {
        if (!route_backend(entry, unsupported, to.backends.emplace_back(), problem)) return false;
      }
      break;
    case Kind::random_available: {
      to.kind = Distribution::Kind::Random;
      std::uint64_t total = 0;
      for (const auto& entry : from->random_available->backends) {
        if (!entry.backend) return problem.set("a backend is missing");
        Backend& made = to.backends.emplace_back();
        made.weight = entry.weight;
        total += entry.weight;
        if (!route_backend(*entry.backend, unsupported, made, problem)) return false;
      }
      if (to.backends.size() > 1 && total == 0) return problem.set("all weights are zero");
      if (to.backends.size() == 1 && total == 0) to.backends.front().weight = 1;
      break;
    }
    case Kind::none: return problem.set("a distribution is not known");
  }
  if (to.backends.empty()) return problem.set("a distribution has no backends");
  return true;
}

template <typename PbRoute>
bool http_routes(const std::vector<PbRoute>& from, const Unsupported& unsupported,
                 std::vector<OutboundRoute>& to, Problem& problem) {
  for (const PbRoute& route : from) {
    OutboundRoute made;
    auto meta = route.metadata ? convert::meta(*route.metadata) : std::nullopt;
    auto hosts = convert::hosts(route.hosts);
    if (!meta || !hosts) return problem.set("a route's metadata or host is malformed");
    made.meta = std::move(*meta);
    made.hosts = std::move(*hosts);
    for (const auto& rule : route.rules) {
      OutboundRule compiled;
      for (const auto& match : rule.matches) {
        auto converted = convert::match(match);
        if (!converted) return problem.set("a route match is malformed");
        compiled.matches.push_back(std::move(*converted));
      }
      for (const auto& entry : rule.filters) {
        if (!filter(entry, unsupported, compiled.filters, problem)) return false;
      }
      if (!distribution(rule.backends, unsupported, compiled.distribution, problem)) return false;
      compiled.allow_l5d_headers = rule.allow_l5d_request_headers;
      if (rule.retry) unsupported("retries");
      const bool timeouts = rule.timeouts && (rule.timeouts->request || rule.timeouts->response ||
                                              rule.timeouts->idle);
      if (timeouts || rule.requestTimeout) unsupported("timeouts");
      if (rule.allow_l5d_request_headers) unsupported("per-request overrides");
      made.rules.push_back(std::move(compiled));
    }
    to.push_back(std::move(made));
  }
  return true;
}

template <typename PbRoute>
bool byte_rule(const PbRoute& route, const Unsupported& unsupported, OpaqueRule& to,
               Problem& problem) {
  auto meta = route.metadata ? convert::meta(*route.metadata) : std::nullopt;
  if (!meta) return problem.set("a route has no metadata");
  to.meta = std::move(*meta);
  if (route.rules.size() != 1) return problem.set("a byte route needs exactly one rule");
  const auto& rule = route.rules.front();
  if (!rule.filters.empty() &&
      !byte_filter(rule.filters.front(), to.forbidden, to.invalid, problem)) {
    return false;
  }
  return distribution(rule.backends, unsupported, to.distribution, problem);
}

bool opaque(const pb::outbound::ProxyProtocol_Opaque& from, const Unsupported& unsupported,
            ClientPolicy& to, Problem& problem) {
  if (from.routes.size() > 1) return problem.set("more than one opaque route");
  if (from.routes.empty()) return true;
  return byte_rule(from.routes.front(), unsupported, to.opaque.emplace(), problem);
}

bool convert_policy(const pb::outbound::OutboundPolicy& policy, const Unsupported& unsupported,
                    ClientPolicy& to, Problem& problem) {
  auto meta = policy.metadata ? convert::meta(*policy.metadata) : std::nullopt;
  if (!meta) return problem.set("the policy has no metadata");
  to.parent = std::move(*meta);
  if (!policy.protocol) return problem.set("the policy has no protocol");
  const pb::outbound::ProxyProtocol& protocol = *policy.protocol;
  using Kind = pb::outbound::ProxyProtocol::KindCase;
  using Protocol = ClientPolicy::Protocol;
  const auto breaker = [&](const pb::Box<pb::outbound::FailureAccrual>& accrual) {
    if (accrual) unsupported("circuit breaking");
  };
  switch (protocol.kind_case) {
    case Kind::detect: {
      to.protocol = Protocol::Detect;
      const auto& detect = *protocol.detect;
      if (!detect.timeout || !detect.opaque || !detect.http1 || !detect.http2) {
        return problem.set("the detect protocol is incomplete");
      }
      if (!pb::from_pb(*detect.timeout)) return problem.set("the detect timeout is negative");
      breaker(detect.http1->failure_accrual);
      return opaque(*detect.opaque, unsupported, to, problem) &&
             http_routes(detect.http1->routes, unsupported, to.http1, problem) &&
             http_routes(detect.http2->routes, unsupported, to.http2, problem);
    }
    case Kind::http1:
      to.protocol = Protocol::Http1;
      breaker(protocol.http1->failure_accrual);
      return http_routes(protocol.http1->routes, unsupported, to.http1, problem);
    case Kind::http2:
      to.protocol = Protocol::Http2;
      breaker(protocol.http2->failure_accrual);
      return http_routes(protocol.http2->routes, unsupported, to.http2, problem);
    case Kind::grpc:
      to.protocol = Protocol::Grpc;
      breaker(protocol.grpc->failure_accrual);
      return http_routes(protocol.grpc->routes, unsupported, to.http2, problem);
    case Kind::opaque:
      to.protocol = Protocol::Opaque;
      return opaque(*protocol.opaque, unsupported, to, problem);
    case Kind::tls:
      to.protocol = Protocol::Tls;
      for (const auto& route : protocol.tls->routes) {
        OpaqueRule rule;
        if (!byte_rule(route, unsupported, rule, problem)) return false;
        TlsRouteMatch made;
        made.meta = rule.meta;
        made.rule.distribution = std::move(rule.distribution);
        made.forbidden = rule.forbidden;
        made.invalid = std::move(rule.invalid);
        for (const auto& sni : route.snis) {
          using Match = pb::tls_route::SniMatch::MatchCase;
          switch (sni.match_case) {
            case Match::exact: made.snis.push_back({false, sni.exact}); break;
            case Match::suffix: {
              std::string suffix;
              for (const std::string& label : sni.suffix->reverse_labels)
                suffix = concat(".", label, suffix);
              made.snis.push_back({true, suffix});
              break;
            }
            case Match::none: return problem.set("an SNI match is malformed");
          }
        }
        to.tls.push_back(std::move(made));
      }
      return true;
    case Kind::none:
      unsupported("client protocol");
      return problem.set("the protocol is not known");
  }
  return true;
}

}  // namespace

std::optional<net::SocketAddr> address_from(const pb::net::TcpAddress& addr) {
  if (!addr.ip) return std::nullopt;
  const auto ip = convert::ip(*addr.ip);
  if (!ip) return std::nullopt;
  return net::SocketAddr{*ip, static_cast<std::uint16_t>(addr.port)};
}

pb::net::TcpAddress address_to(const net::SocketAddr& addr) {
  pb::net::TcpAddress out;
  pb::net::IPAddress& ip = out.ip.make();
  if (addr.ip.is_v4()) {
    ip.ip_case = pb::net::IPAddress::IpCase::ipv4;
    ip.ipv4 = addr.ip.v4_value();
  } else {
    ip.ip_case = pb::net::IPAddress::IpCase::ipv6;
    pb::net::IPv6& v6 = ip.ipv6.make();
    const Bytes octets = addr.ip.octets();
    for (std::size_t i = 0; i < 8; ++i) {
      v6.first = v6.first << 8 | octets[i];
      v6.last = v6.last << 8 | octets[8 + i];
    }
  }
  out.port = addr.port;
  return out;
}

EndpointPtr endpoint_from(const pb::destination::WeightedAddr& from,
                          const std::map<std::string, std::string>& set_labels) {
  if (!from.addr) return nullptr;
  const auto addr = address_from(*from.addr);
  if (!addr) return nullptr;
  auto to = std::make_shared<EndpointInfo>();
  to->addr = *addr;
  std::map<std::string, std::string> labels = from.metric_labels;
  labels.insert(set_labels.begin(), set_labels.end());
  to->labels.assign(labels.begin(), labels.end());
  if (from.tls_identity) {
    const pb::destination::TlsIdentity& tls = *from.tls_identity;
    using Strategy = pb::destination::TlsIdentity::StrategyCase;
    if (tls.server_name) to->server_name = tls.server_name->name;
    switch (tls.strategy_case) {
      case Strategy::dns_like_identity:
        to->identity = tls.dns_like_identity->name;
        if (to->server_name.empty()) to->server_name = to->identity;
        break;
      case Strategy::uri_like_identity: to->identity = tls.uri_like_identity->uri; break;
      case Strategy::none: break;
    }
    // Asked for TLS, but not in a way that can be done: an error, never plain text.
    to->tls_broken = to->identity.empty() || to->server_name.empty();
  }
  if (from.protocol_hint) {
    using Hint = pb::destination::ProtocolHint::ProtocolCase;
    switch (from.protocol_hint->protocol_case) {
      case Hint::h2: to->hint = EndpointInfo::Hint::H2; break;
      case Hint::opaque: to->hint = EndpointInfo::Hint::Opaque; break;
      case Hint::none: break;
    }
    if (from.protocol_hint->opaque_transport) {
      const std::uint32_t port = from.protocol_hint->opaque_transport->inbound_port;
      if (port >= 1 && port <= 65534) to->transport_port = static_cast<std::uint16_t>(port);
    }
  }
  if (from.authority_override && valid_path(from.authority_override->authority_override)) {
    to->authority_override = from.authority_override->authority_override;
  }
  if (from.http2) {
    const pb::destination::Http2ClientParams& http2 = *from.http2;
    if (http2.keep_alive && http2.keep_alive->interval && http2.keep_alive->timeout) {
      const auto interval = pb::from_pb(*http2.keep_alive->interval);
      const auto timeout = pb::from_pb(*http2.keep_alive->timeout);
      if (interval && timeout) {
        to->keep_alive = EndpointInfo::KeepAlive{*interval, *timeout, http2.keep_alive->while_idle};
      }
    }
    if (http2.flow_control && http2.flow_control->initial_connection_window_size != 0 &&
        http2.flow_control->initial_stream_window_size != 0) {
      to->connection_window = http2.flow_control->initial_connection_window_size;
      to->stream_window = http2.flow_control->initial_stream_window_size;
    }
  }
  return to;
}

ClientPolicyPtr client_policy_from(const pb::outbound::OutboundPolicy& policy,
                                   const Unsupported& unsupported) {
  auto to = std::make_shared<ClientPolicy>();
  Problem problem;
  if (!convert_policy(policy, unsupported, *to, problem))
    return invalid_client_policy(problem.text);
  return to;
}

ClientPolicyPtr invalid_client_policy(std::string why) {
  auto to = std::make_shared<ClientPolicy>();
  to->parent = Meta::implicit("invalid");
  to->invalid = std::move(why);
  return to;
}

ClientPolicyPtr forward_policy(EndpointPtr endpoint, std::string meta_name, bool is_opaque) {
  auto to = std::make_shared<ClientPolicy>();
  to->protocol = is_opaque ? ClientPolicy::Protocol::Opaque : ClientPolicy::Protocol::Detect;
  to->parent = Meta::implicit(meta_name);
  Backend backend;
  backend.kind = Backend::Kind::Forward;
  backend.meta = to->parent;
  backend.endpoint = std::move(endpoint);
  OpaqueRule opaque_rule;
  opaque_rule.meta = to->parent;
  opaque_rule.distribution.kind = Distribution::Kind::FirstAvailable;
  opaque_rule.distribution.backends = {backend};
  OutboundRoute route;
  route.meta = to->parent;
  OutboundRule& rule = route.rules.emplace_back();
  rule.distribution = opaque_rule.distribution;
  to->http1 = {route};
  to->http2 = {route};
  to->opaque = std::move(opaque_rule);
  return to;
}

}  // namespace tulle::proxy
