// SPDX-License-Identifier: Apache-2.0
#include "control/policy/inbound.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "control/destination/workload_endpoint.h"
#include "control/policy/authz.h"
#include "control/policy/life.h"
#include "control/policy/probes.h"
#include "control/policy/routes.h"
#include "control/wire.h"
#include "lib/base/text.h"
#include "proto/message.h"

namespace tulle::control {
namespace {

using namespace pb::inbound;  // NOLINT: the messages of this file

constexpr Duration kDetectTimeout = 10s;

// What the pod says, else its namespace, else the mesh. A word that is none of the modes says
// nothing: a pod whose annotation is misspelt is not more open than its namespace.
DefaultPolicy configured_policy(const View& view, const MeshConfig& config, const k8s::Pod& pod) {
  const auto said = [](const std::string* text) {
    return text != nullptr ? parse_default_policy(*text) : std::nullopt;
  };
  if (const auto own = said(pod.meta.annotations.find(kDefaultPolicyAnnotation))) return *own;
  const k8s::Namespace* const ns = view.name_space(pod.meta.ns);
  const auto inherited =
      said(ns != nullptr ? ns->meta.annotations.find(kDefaultPolicyAnnotation) : nullptr);
  return inherited.value_or(config.default_inbound_policy);
}

DefaultPolicy default_policy_of(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                                std::uint16_t port) {
  DefaultPolicy policy = configured_policy(view, config, pod);
  const std::string* const strict = pod.meta.annotations.find(kRequireIdentityAnnotation);
  if (strict == nullptr || !PortSet::from_annotation(*strict, pod).contains(port)) return policy;
  switch (policy) {
    case DefaultPolicy::AllUnauthenticated:
    case DefaultPolicy::Audit: return DefaultPolicy::AllAuthenticated;
    case DefaultPolicy::ClusterUnauthenticated: return DefaultPolicy::ClusterAuthenticated;
    default: return policy;
  }
}

// What a filter is on the way in; nullopt for one that concerns only responses, which is left out.
// One that is not known might forbid, so that its rule fails (docs/design.md §3.9).
template <typename Filter>
std::optional<Filter> filter_of(const k8s::RouteFilter& from) {
  Filter out;
  if (from.type == "ResponseHeaderModifier") return std::nullopt;
  if (from.type == "RequestHeaderModifier" && from.request_headers) {
    out.set_request_header_modifier() = request_modifier(*from.request_headers);
    return out;
  }
  if constexpr (requires { out.set_redirect(); }) {
    if (from.type == "RequestRedirect" && from.redirect) {
      out.set_redirect() = redirect(*from.redirect);
      return out;
    }
  }
  auto& failure = out.set_failure_injector();
  constexpr bool kGrpc = std::is_same_v<Filter, GrpcRoute_Filter>;
  if constexpr (kGrpc) {
    failure.code = static_cast<std::uint32_t>(grpc::Code::Unimplemented);
  } else {
    failure.status = 500;
  }
  failure.message = concat("the route's filter ", from.type, " is not supported");
  return out;
}

// A route that is attached to the Server, with its own authorizations.
template <typename Message, typename Object>
Message attached_route(const View& view, const MeshConfig& config, const Object& object) {
  Message out;
  out.metadata = resource_metadata(Object::kKind.group, Object::kKind.kind, "", object.meta.name);
  out.hosts = host_matches(object.spec.hostnames);
  out.authorizations = route_authorizations(view, config, Object::kKind, object.meta);
  for (const auto& from : object.spec.rules) {
    typename std::decay_t<decltype(out.rules)>::value_type rule;
    for (const auto& match : from.matches) {
      auto made = [&] {
        if constexpr (std::is_same_v<Message, GrpcRoute>)
          return grpc_match(match);
        else
          return http_match(match);
      }();
      if (made) rule.matches.push_back(*std::move(made));
    }
    // A rule without a match of its own matches everything; one whose matches mean nothing,
    // nothing.
    if (rule.matches.empty() && !from.matches.empty()) continue;
    if (rule.matches.empty()) {
      if constexpr (std::is_same_v<Message, GrpcRoute>) {
        rule.matches.emplace_back().rpc.make();
      } else {
        rule.matches.emplace_back().path.make().set_prefix("/");
      }
    }
    for (const k8s::RouteFilter& filter : from.filters) {
      using Filter = typename std::decay_t<decltype(rule.filters)>::value_type;
      if (auto made = filter_of<Filter>(filter)) rule.filters.push_back(*std::move(made));
    }
    out.rules.push_back(std::move(rule));
  }
  if (object.spec.rules.empty()) {
    auto& match = out.rules.emplace_back().matches.emplace_back();
    if constexpr (std::is_same_v<Message, GrpcRoute>) {
      match.rpc.make();
    } else {
      match.path.make().set_prefix("/");
    }
  }
  return out;
}

std::vector<GrpcRoute> attached_grpc_routes(const View& view, const MeshConfig& config,
                                            const k8s::Server& server) {
  std::vector<GrpcRoute> out;
  for (const auto* const route : view.routes_of<k8s::GrpcRoute>(server.meta.ns)) {
    if (is_attached(route->meta, route->spec.parents, server)) {
      out.push_back(attached_route<GrpcRoute>(view, config, *route));
    }
  }
  return out;
}

// HTTPRoutes of both groups, oldest first. Where a GRPCRoute is attached they are in conflict with
// it and have no effect (docs/reference/control-plane.md §6.8).
std::vector<HttpRoute> attached_http_routes(const View& view, const MeshConfig& config,
                                            const k8s::Server& server) {
  struct Found {
    std::pair<std::int64_t, std::string_view> order;
    HttpRoute route;
  };
  std::vector<Found> found;
  const auto collect = [&](const auto& routes) {
    for (const auto* const route : routes) {
      if (!is_attached(route->meta, route->spec.parents, server)) continue;
      const std::int64_t age = route->meta.created ? route->meta.created->unix_seconds
                                                   : std::numeric_limits<std::int64_t>::max();
      found.push_back({{age, route->meta.name}, attached_route<HttpRoute>(view, config, *route)});
    }
  };
  for (const auto* const grpc : view.routes_of<k8s::GrpcRoute>(server.meta.ns)) {
    if (is_attached(grpc->meta, grpc->spec.parents, server)) return {};
  }
  collect(view.routes_of<k8s::PolicyHttpRoute>(server.meta.ns));
  collect(view.routes_of<k8s::HttpRoute>(server.meta.ns));
  std::stable_sort(found.begin(), found.end(),
                   [](const Found& a, const Found& b) { return a.order < b.order; });
  std::vector<HttpRoute> out;
  for (Found& one : found) out.push_back(std::move(one.route));
  return out;
}

// Would the route take a GET of this path, whatever else the request carries?
bool takes(const HttpRoute& route, std::string_view path) {
  using Path = pb::http_route::PathMatch::KindCase;
  using Method = pb::http_types::HttpMethod;
  const auto matches = [&](const pb::http_route::HttpRouteMatch& match) {
    if (!match.headers.empty() || !match.query_params.empty()) return false;
    if (match.method && !(match.method->type_case == Method::TypeCase::registered &&
                          match.method->registered == Method::Registered::GET)) {
      return false;
    }
    if (match.path->kind_case == Path::exact) return match.path->exact == path;
    if (match.path->kind_case != Path::prefix) return false;
    const std::string_view prefix = match.path->prefix;
    if (!path.starts_with(prefix)) return false;
    return prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
  };
  return route.hosts.empty() &&
         std::any_of(route.rules.begin(), route.rules.end(), [&](const HttpRoute_Rule& rule) {
           return rule.filters.empty() &&
                  std::any_of(rule.matches.begin(), rule.matches.end(), matches);
         });
}

// The kubelet's probes pass whatever routes are attached: a pod that is not ready helps nobody.
// Only they: whoever else asks their paths meets the routes. A proxy that does not know `probe`
// takes the authorizations of the first attached route that has the path, too.
void add_attached_probes(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                         std::uint16_t port, const std::vector<HttpRoute>& attached,
                         std::vector<HttpRoute>& out) {
  const std::vector<net::Cidr> node = node_addresses(view, config, pod);
  if (node.empty()) return;
  for (const ProbeTarget& target : probes_on(pod, port)) {
    if (target.https) continue;
    HttpRoute& probe = out.emplace_back(probe_route(node, {target}));
    probe.probe.make().target = target.text;
    for (const HttpRoute& route : attached) {
      if (!takes(route, target.path())) continue;
      probe.authorizations.insert(probe.authorizations.end(), route.authorizations.begin(),
                                  route.authorizations.end());
      break;
    }
  }
}

std::vector<HttpRoute> http_routes(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                                   std::uint16_t port, const k8s::Server* server) {
  std::vector<HttpRoute> attached;
  if (server != nullptr) attached = attached_http_routes(view, config, *server);
  std::vector<HttpRoute> out;
  if (attached.empty()) {
    HttpRoute& route = out.emplace_back();
    route.metadata = default_metadata("default");
    route.rules.emplace_back().matches.emplace_back().path.make().set_prefix("/");
  }
  if (attached.empty()) {
    const std::vector<ProbeTarget> probes = probes_on(pod, port);
    if (!probes.empty() && !config.probe_networks.empty())
      out.push_back(probe_route(config.probe_networks, probes));
  } else {
    add_attached_probes(view, config, pod, port, attached, out);
  }
  // Of two that match equally well the first counts: the probes.
  for (HttpRoute& route : attached) out.push_back(std::move(route));
  return out;
}

std::vector<GrpcRoute> grpc_routes(const View& view, const MeshConfig& config,
                                   const k8s::Server* server) {
  std::vector<GrpcRoute> out;
  if (server != nullptr) out = attached_grpc_routes(view, config, *server);
  if (!out.empty()) return out;
  GrpcRoute& route = out.emplace_back();
  route.metadata = default_metadata("default");
  route.rules.emplace_back().matches.emplace_back().rpc.make();
  return out;
}

// The oldest rate limit of the Server, if any.
pb::Box<HttpLocalRateLimit> rate_limit(const View& view, const MeshConfig& config,
                                       const k8s::Server* server) {
  pb::Box<HttpLocalRateLimit> out;
  if (server == nullptr) return out;
  for (const auto* const policy : view.rate_limits(server->meta.ns)) {
    if (policy->spec.target.name != server->meta.name) continue;
    HttpLocalRateLimit& limit = out.make();
    limit.metadata = resource_metadata(k8s::kPolicyGroup, "HTTPLocalRateLimitPolicy",
                                       policy->meta.ns, policy->meta.name);
    if (policy->spec.total) {
      limit.total.make().requestsPerSecond = policy->spec.total->requests_per_second;
    }
    if (policy->spec.identity) {
      limit.identity.make().requestsPerSecond = policy->spec.identity->requests_per_second;
    }
    for (const k8s::RateLimitOverride& item : policy->spec.overrides) {
      auto& over = limit.overrides.emplace_back();
      over.limit.make().requestsPerSecond = item.requests_per_second;
      auto& clients = over.clients.make();
      for (const k8s::TargetRef& ref : item.clients) {
        clients.identities.emplace_back().name =
            config.identity_of(ref.name, ref.ns.empty() ? policy->meta.ns : ref.ns);
      }
    }
    return out;
  }
  return out;
}

ProxyProtocol protocol_of(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                          std::uint16_t port, const k8s::Server* server, std::string_view name) {
  ProxyProtocol out;
  if (name == "opaque") {
    out.set_opaque();
  } else if (name == "TLS") {
    out.set_tls();
  } else if (name == "HTTP/1") {
    auto& http1 = out.set_http1();
    http1.routes = http_routes(view, config, pod, port, server);
    http1.local_rate_limit = rate_limit(view, config, server);
  } else if (name == "HTTP/2") {
    auto& http2 = out.set_http2();
    http2.routes = http_routes(view, config, pod, port, server);
    http2.local_rate_limit = rate_limit(view, config, server);
  } else if (name == "gRPC") {
    out.set_grpc().routes = grpc_routes(view, config, server);
  } else {
    auto& detect = out.set_detect();
    detect.timeout = pb::to_pb(kDetectTimeout);
    detect.http_routes = http_routes(view, config, pod, port, server);
    detect.http_local_rate_limit = rate_limit(view, config, server);
  }
  return out;
}

// Whose port it is: a pod, or a machine outside of the cluster in the shape of one, without probes.
struct Workplace {
  const k8s::Pod& pod;
  const k8s::ExternalWorkload* external = nullptr;

  bool selected(const k8s::Server& server, std::uint16_t port) const {
    return external != nullptr ? selects(server, *external, port) : selects(server, pod, port);
  }
  bool opaque(const View& view, const MeshConfig& config, std::uint16_t port) const {
    return external != nullptr ? is_opaque_port(view, config, *external, port)
                               : is_opaque_port(view, config, pod, port);
  }
};

k8s::Pod in_the_shape_of_a_pod(const k8s::ExternalWorkload& workload) {
  k8s::Pod pod;
  pod.meta = workload.meta;
  k8s::Container container;
  for (const k8s::WorkloadPort& from : workload.spec.ports) {
    k8s::ContainerPort& port = container.ports.emplace_back();
    port.name = from.name;
    port.container_port = from.port;
    port.protocol = from.protocol;
  }
  pod.spec.containers.edit().push_back(std::move(container));
  return pod;
}

// A port under one policy of a known name, with the routes that it has by default.
pb::inbound::Server default_server(const View& view, const MeshConfig& config,
                                   const Workplace& place, std::uint16_t port,
                                   DefaultPolicy policy) {
  pb::inbound::Server out;
  const bool opaque = place.opaque(view, config, port);
  out.protocol = protocol_of(view, config, place.pod, port, nullptr, opaque ? "opaque" : "");
  out.labels = {{"group", ""}, {"kind", "default"}, {"name", std::string(to_string(policy))}};
  out.authorizations = default_authorizations(config, policy);
  return out;
}

// Is there a policy for this port that could not be read? Nobody comes in before it can be.
bool is_closed(const View& view, const Workplace& place, std::uint16_t port,
               const k8s::Server* server) {
  const k8s::ObjectMeta& meta = place.pod.meta;
  const auto closes = [&](const Closure* closure) {
    if (!closure->server.empty()) return server != nullptr && server->meta.name == closure->server;
    if (closure->pods && !closure->pods->matches(meta.labels)) return false;
    return !closure->port || port_matches(*closure->port, place.pod, port);
  };
  const auto closures = view.closures(meta.ns);
  return std::any_of(closures.begin(), closures.end(), closes);
}

pb::inbound::Server server_on(const View& view, const MeshConfig& config, const Workplace& place,
                              std::uint16_t port) {
  const k8s::Pod& pod = place.pod;
  const auto servers = view.servers(pod.meta.ns);
  const auto at = std::find_if(servers.begin(), servers.end(), [&](const k8s::Server* server) {
    return place.selected(*server, port);
  });
  const k8s::Server* const server = at != servers.end() ? *at : nullptr;
  if (is_closed(view, place, port, server)) {
    return default_server(view, config, place, port, DefaultPolicy::Deny);
  }
  if (server != nullptr) {
    pb::inbound::Server out;
    out.protocol = protocol_of(view, config, pod, port, server, server->spec.proxy_protocol);
    out.labels = {
        {"group", std::string(k8s::kPolicyGroup)}, {"kind", "server"}, {"name", server->meta.name}};
    out.authorizations = server_authorizations(view, config, *server);
    return out;
  }
  return default_server(view, config, place, port, default_policy_of(view, config, pod, port));
}

// A workload that nobody knows, where something that cannot be read may concern it: it may be what
// the same text defines.
bool may_be_closed(const View& view, const Workload& workload) {
  return !view.closures(workload.ns).empty();
}

}  // namespace

grpc::StatusOr<PortQuery> parse_port_query(const PortSpec& request) {
  auto workload = parse_workload(request.workload);
  if (!workload) return grpc::Status{grpc::Code::InvalidArgument, "not a workload"};
  if (request.port == 0 || request.port > 65535) {
    return grpc::Status{grpc::Code::InvalidArgument, "not a port"};
  }
  return PortQuery{*std::move(workload), static_cast<std::uint16_t>(request.port),
                   request.wants_life};
}

grpc::StatusOr<pb::inbound::Server> server_of(const View& view, const MeshConfig& config,
                                              const PortQuery& query) {
  const Workload& workload = query.workload;
  if (!workload.external.empty()) {
    const auto* const external = view.external(workload.ns, workload.external);
    if (external == nullptr) {
      return grpc::Status{grpc::Code::NotFound, "the external workload is not known"};
    }
    const k8s::Pod shape = in_the_shape_of_a_pod(*external);
    return server_on(view, config, {shape, external}, query.port);
  }
  const k8s::Pod* const pod = workload.pod.empty() ? nullptr : view.pod(workload.ns, workload.pod);
  if (pod == nullptr && may_be_closed(view, workload)) {
    k8s::Pod unknown;
    unknown.meta.ns = workload.ns;
    unknown.meta.name = workload.pod;
    return default_server(view, config, {unknown}, query.port, DefaultPolicy::Deny);
  }
  if (pod == nullptr || !pod->meta.labels.contains(kMeshedLabel)) {
    return grpc::Status{grpc::Code::NotFound, "the workload is not known"};
  }
  pb::inbound::Server out = server_on(view, config, {*pod}, query.port);
  if (query.wants_life) out.life = life_of(*pod);
  return out;
}

}  // namespace tulle::control
