// SPDX-License-Identifier: Apache-2.0
#include "lib/base/text.h"
#include "proto/message.h"
#include "proxy/snapshot/convert.h"
#include "proxy/snapshot/convert_common.h"

namespace tulle::proxy {
namespace {

std::optional<net::Cidr> cidr(const pb::net::IPNetwork& from) {
  if (!from.ip) return std::nullopt;
  const auto ip = convert::ip(*from.ip);
  if (!ip || from.prefix_len > (ip->is_v4() ? 32U : 128U)) return std::nullopt;
  return net::Cidr{*ip, static_cast<std::uint8_t>(from.prefix_len)};
}

Meta meta_from_labels(const std::map<std::string, std::string>& labels, std::string_view kind) {
  const auto get = [&](const char* key) {
    const auto at = labels.find(key);
    return at == labels.end() ? std::string_view{} : std::string_view(at->second);
  };
  const std::string_view name = get("name");
  if (name.starts_with("default:")) return Meta::implicit(std::string(name.substr(8)));
  if (get("group").empty() && get("kind") == "default") return Meta::implicit(std::string(name));
  return Meta{std::string(get("group").empty() ? "policy.linkerd.io" : get("group")),
              std::string(get("kind").empty() ? kind : get("kind")),
              "",
              std::string(name),
              "",
              0};
}

// nullopt: malformed, the whole policy is invalid.
std::optional<Authorization> authorization(const pb::inbound::Authz& from,
                                           const Unsupported& unsupported) {
  Authorization to;
  if (from.networks.empty() || !from.authentication) return std::nullopt;
  for (const auto& network : from.networks) {
    if (!network.net) return std::nullopt;
    const auto net = cidr(*network.net);
    if (!net) return std::nullopt;
    NetworkMatch match{*net, {}};
    for (const auto& except : network.except) {
      const auto carved = cidr(except);
      if (!carved) return std::nullopt;
      match.except.push_back(*carved);
    }
    to.networks.push_back(std::move(match));
  }
  if (from.metadata) {
    auto meta = convert::meta(*from.metadata);
    if (!meta) return std::nullopt;
    to.meta = std::move(*meta);
  } else {
    if (!from.labels.contains("name")) return std::nullopt;
    to.meta = meta_from_labels(from.labels, "serverauthorization");
  }
  to.audit = to.meta == Meta::implicit("audit");

  using Permit = pb::inbound::Authn::PermitCase;
  switch (from.authentication->permit_case) {
    case Permit::unauthenticated: to.kind = Authorization::Kind::Unauthenticated; break;
    case Permit::meshTLS: {
      using Clients = pb::inbound::Authn_PermitMeshTLS::ClientsCase;
      const auto& mesh = *from.authentication->meshTLS;
      switch (mesh.clients_case) {
        case Clients::unauthenticated: to.kind = Authorization::Kind::TlsUnauthenticated; break;
        case Clients::identities:
          to.kind = Authorization::Kind::TlsAuthenticated;
          for (const auto& identity : mesh.identities->identities)
            to.identities.push_back(identity.name);
          for (const auto& suffix : mesh.identities->suffixes) {
            std::string text;
            for (const std::string& part : suffix.parts) text += concat(".", part);
            to.suffixes.push_back(std::move(text));
          }
          break;
        case Clients::none:
          unsupported("authorization client kind");
          to.kind = Authorization::Kind::Unsupported;
          break;
      }
      break;
    }
    case Permit::none:
      unsupported("authorization kind");
      to.kind = Authorization::Kind::Unsupported;
      break;
  }
  return to;
}

bool authorizations(const std::vector<pb::inbound::Authz>& from, const Unsupported& unsupported,
                    std::vector<Authorization>& to) {
  for (const auto& authz : from) {
    auto converted = authorization(authz, unsupported);
    if (!converted) return false;
    to.push_back(std::move(*converted));
  }
  return true;
}

std::optional<Filter> filter(const pb::inbound::HttpRoute_Filter& from,
                             const Unsupported& unsupported) {
  using Kind = pb::inbound::HttpRoute_Filter::KindCase;
  switch (from.kind_case) {
    case Kind::failure_injector: return convert::filter(*from.failure_injector);
    case Kind::request_header_modifier: return convert::filter(*from.request_header_modifier);
    case Kind::redirect: return convert::filter(*from.redirect);
    case Kind::none: break;
  }
  unsupported("inbound route filter");
  return Filter{};
}
std::optional<Filter> filter(const pb::inbound::GrpcRoute_Filter& from,
                             const Unsupported& unsupported) {
  using Kind = pb::inbound::GrpcRoute_Filter::KindCase;
  switch (from.kind_case) {
    case Kind::failure_injector: return convert::filter(*from.failure_injector);
    case Kind::request_header_modifier: return convert::filter(*from.request_header_modifier);
    case Kind::none: break;
  }
  unsupported("inbound route filter");
  return Filter{};
}

template <typename PbRoute>
bool routes(const std::vector<PbRoute>& from, const std::vector<Authorization>& server,
            const Unsupported& unsupported, std::vector<InboundRoute>& to) {
  for (const PbRoute& route : from) {
    InboundRoute made;
    if (!route.metadata) return false;
    auto meta = convert::meta(*route.metadata);
    auto hosts = convert::hosts(route.hosts);
    if (!meta || !hosts) return false;
    made.meta = std::move(*meta);
    made.hosts = std::move(*hosts);
    if (!authorizations(route.authorizations, unsupported, made.authorizations)) return false;
    made.authorizations.insert(made.authorizations.end(), server.begin(), server.end());
    if constexpr (requires { route.probe; }) {
      if (route.probe) made.probe_target = route.probe->target;
    }
    for (const auto& rule : route.rules) {
      RuleBase compiled;
      for (const auto& match : rule.matches) {
        auto converted = convert::match(match);
        if (!converted) return false;
        compiled.matches.push_back(std::move(*converted));
      }
      for (const auto& entry : rule.filters) {
        auto converted = filter(entry, unsupported);
        if (!converted) return false;
        compiled.filters.push_back(std::move(*converted));
      }
      made.rules.push_back(std::move(compiled));
    }
    to.push_back(std::move(made));
  }
  return true;
}

InboundRoute catch_all(const std::vector<Authorization>& server) {
  InboundRoute route;
  route.meta = Meta::implicit("default");
  route.authorizations = server;
  route.rules.emplace_back();
  return route;
}

bool rate_limit(const pb::Box<pb::inbound::HttpLocalRateLimit>& from, const ServerPolicy* previous,
                ServerPolicy& to) {
  if (!from) return true;
  RateLimit::Spec spec;
  if (from->metadata) {
    auto meta = convert::meta(*from->metadata);
    if (!meta) return false;
    spec.meta = std::move(*meta);
  }
  if (from->total) spec.total = from->total->requestsPerSecond;
  if (from->identity) spec.identity = from->identity->requestsPerSecond;
  for (const auto& entry : from->overrides) {
    RateLimit::Override made{entry.limit ? entry.limit->requestsPerSecond : 0, {}};
    if (entry.clients) {
      for (const auto& identity : entry.clients->identities)
        made.identities.push_back(identity.name);
    }
    spec.overrides.push_back(std::move(made));
  }
  if (previous != nullptr && previous->rate_limit && previous->rate_limit->spec() == spec) {
    to.rate_limit = previous->rate_limit;
  } else {
    to.rate_limit = std::make_shared<RateLimit>(std::move(spec));
  }
  return true;
}

std::string convert_server(const pb::inbound::Server& server, const ServerPolicy* previous,
                           const Unsupported& unsupported, ServerPolicy& to) {
  if (!server.protocol) return "the policy has no protocol";
  if (!server.labels.contains("name")) return "the policy has no name";
  to.meta = meta_from_labels(server.labels, "server");
  std::vector<Authorization> list;
  if (!authorizations(server.authorizations, unsupported, list))
    return "an authorization is malformed";
  list.push_back(localhost_authorization());

  using Kind = pb::inbound::ProxyProtocol::KindCase;
  using Protocol = ServerPolicy::Protocol;
  const pb::inbound::ProxyProtocol& protocol = *server.protocol;
  bool ok = true;
  bool bytes = false;
  switch (protocol.kind_case) {
    case Kind::detect: {
      to.protocol = Protocol::Detect;
      const auto timeout =
          protocol.detect->timeout ? pb::from_pb(*protocol.detect->timeout) : std::nullopt;
      if (!timeout) return "the detect timeout is missing or negative";
      to.detect_timeout = *timeout;
      ok = routes(protocol.detect->http_routes, list, unsupported, to.routes) &&
           rate_limit(protocol.detect->http_local_rate_limit, previous, to);
      bytes = true;
      break;
    }
    case Kind::http1:
      to.protocol = Protocol::Http1;
      ok = routes(protocol.http1->routes, list, unsupported, to.routes) &&
           rate_limit(protocol.http1->local_rate_limit, previous, to);
      break;
    case Kind::http2:
      to.protocol = Protocol::Http2;
      ok = routes(protocol.http2->routes, list, unsupported, to.routes) &&
           rate_limit(protocol.http2->local_rate_limit, previous, to);
      break;
    case Kind::grpc:
      to.protocol = Protocol::Grpc;
      ok = routes(protocol.grpc->routes, list, unsupported, to.routes);
      break;
    case Kind::opaque:
      to.protocol = Protocol::Opaque;
      bytes = true;
      break;
    case Kind::tls:
      to.protocol = Protocol::Tls;
      bytes = true;
      break;
    case Kind::none: unsupported("server protocol"); return "the protocol is not known";
  }
  if (!ok) return "a route is malformed";
  if (to.routes.empty()) to.routes.push_back(catch_all(list));
  if (bytes) to.authorizations = std::move(list);
  return {};
}

std::vector<NetworkMatch> everywhere() {
  return {{*net::Cidr::parse("0.0.0.0/0"), {}}, {*net::Cidr::parse("::/0"), {}}};
}

}  // namespace

ServerPolicyPtr server_policy_from(const pb::inbound::Server& server, const ServerPolicy* previous,
                                   const Unsupported& unsupported) {
  auto policy = std::make_shared<ServerPolicy>();
  const std::string problem = convert_server(server, previous, unsupported, *policy);
  if (!problem.empty()) {
    *policy = ServerPolicy{};
    policy->meta = Meta::implicit("invalid");
    policy->invalid = problem;
  }
  return policy;
}

std::string_view to_string(DefaultPolicy policy) noexcept {
  switch (policy) {
    case DefaultPolicy::Deny: return "deny";
    case DefaultPolicy::AllAuthenticated: return "all-authenticated";
    case DefaultPolicy::AllUnauthenticated: return "all-unauthenticated";
    case DefaultPolicy::ClusterAuthenticated: return "cluster-authenticated";
    case DefaultPolicy::ClusterUnauthenticated: return "cluster-unauthenticated";
    case DefaultPolicy::Audit: return "audit";
  }
  return "deny";
}

ServerPolicyPtr default_server_policy(const Config& config, std::uint16_t port) {
  auto policy = std::make_shared<ServerPolicy>();
  policy->protocol = config.opaque_ports.contains(port) ? ServerPolicy::Protocol::Opaque
                                                        : ServerPolicy::Protocol::Detect;
  policy->detect_timeout = config.inbound.detect_timeout;
  const std::string name(to_string(config.default_policy));
  policy->meta = Meta::implicit(name);
  if (config.default_policy != DefaultPolicy::Deny) {
    Authorization authorization;
    authorization.meta = Meta::implicit(name);
    const bool cluster = config.default_policy == DefaultPolicy::ClusterAuthenticated ||
                         config.default_policy == DefaultPolicy::ClusterUnauthenticated;
    if (cluster) {
      for (const net::Cidr& net : config.cluster_networks)
        authorization.networks.push_back({net, {}});
    } else {
      authorization.networks = everywhere();
    }
    const bool authenticated = config.default_policy == DefaultPolicy::AllAuthenticated ||
                               config.default_policy == DefaultPolicy::ClusterAuthenticated;
    authorization.kind = authenticated ? Authorization::Kind::TlsAuthenticated
                                       : Authorization::Kind::Unauthenticated;
    if (authenticated) authorization.suffixes.emplace_back();
    authorization.audit = config.default_policy == DefaultPolicy::Audit;
    policy->authorizations.push_back(std::move(authorization));
  }
  policy->authorizations.push_back(localhost_authorization());
  policy->routes.push_back(catch_all(policy->authorizations));
  return policy;
}

ServerPolicyPtr server_policy_until_known(const Config& config, std::uint16_t port) {
  if (config.identity.in_this_pod() && !config.policy.in_this_pod())
    return default_server_policy(config, port);
  auto policy = std::make_shared<ServerPolicy>();
  policy->known = false;
  policy->protocol = config.opaque_ports.contains(port) ? ServerPolicy::Protocol::Opaque
                                                        : ServerPolicy::Protocol::Detect;
  policy->detect_timeout = config.inbound.detect_timeout;
  policy->meta = Meta::implicit("unknown");
  return policy;
}

}  // namespace tulle::proxy
