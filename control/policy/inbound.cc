// SPDX-License-Identifier: Apache-2.0
#include "control/policy/inbound.h"

#include <algorithm>

#include "control/destination/workload_endpoint.h"
#include "control/policy/authz.h"
#include "control/wire.h"
#include "lib/base/text.h"
#include "proto/message.h"

namespace tulle::control {
namespace {

using namespace pb::inbound;  // NOLINT: the messages of this file

constexpr Duration kDetectTimeout = 10s;

DefaultPolicy default_policy_of(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                                std::uint16_t port) {
  DefaultPolicy policy = config.default_inbound_policy;
  if (const std::string* const text =
          view.inherited_annotation(pod.meta, kDefaultPolicyAnnotation)) {
    policy = parse_default_policy(*text).value_or(policy);
  }
  const std::string* const strict = pod.meta.annotations.find(kRequireIdentityAnnotation);
  if (strict == nullptr || !PortSet::from_annotation(*strict, &pod).contains(port)) return policy;
  switch (policy) {
    case DefaultPolicy::AllUnauthenticated:
    case DefaultPolicy::Audit: return DefaultPolicy::AllAuthenticated;
    case DefaultPolicy::ClusterUnauthenticated: return DefaultPolicy::ClusterAuthenticated;
    default: return policy;
  }
}

// The paths that the kubelet asks on this port.
std::vector<std::string> probe_paths(const k8s::Pod& pod, std::uint16_t port) {
  std::vector<std::string> out;
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : *list) {
      for (const auto* const probe :
           {&container.liveness, &container.readiness, &container.startup}) {
        if (!*probe || !(*probe)->http_get) continue;
        const k8s::HttpGetAction& get = *(*probe)->http_get;
        const bool same =
            get.port.is_name() ? named_port(pod, get.port.name) == port : get.port.number == port;
        // The query is no part of what a path matches.
        std::string path = get.path.substr(0, get.path.find('?'));
        if (path.empty() || path[0] != '/') path.insert(0, "/");
        if (same && std::find(out.begin(), out.end(), path) == out.end()) out.push_back(path);
      }
    }
  }
  return out;
}

std::vector<HttpRoute> http_routes(const MeshConfig& config, const k8s::Pod& pod,
                                   std::uint16_t port) {
  std::vector<HttpRoute> out;
  HttpRoute& route = out.emplace_back();
  route.metadata = default_metadata("default");
  route.rules.emplace_back().matches.emplace_back().path.make().set_prefix("/");

  const auto paths = probe_paths(pod, port);
  if (paths.empty() || config.probe_networks.empty()) return out;
  HttpRoute& probes = out.emplace_back();
  probes.metadata = default_metadata("probe");
  probes.authorizations.push_back(unauthenticated_from(config.probe_networks, "probe"));
  for (const std::string& path : paths) {
    auto& match = probes.rules.emplace_back().matches.emplace_back();
    match.path.make().set_exact(path);
    match.method.make().set_registered(pb::http_types::HttpMethod::Registered::GET);
  }
  return out;
}

GrpcRoute grpc_route() {
  GrpcRoute route;
  route.metadata = default_metadata("default");
  route.rules.emplace_back().matches.emplace_back().rpc.make();
  return route;
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
    http1.routes = http_routes(config, pod, port);
    http1.local_rate_limit = rate_limit(view, config, server);
  } else if (name == "HTTP/2") {
    auto& http2 = out.set_http2();
    http2.routes = http_routes(config, pod, port);
    http2.local_rate_limit = rate_limit(view, config, server);
  } else if (name == "gRPC") {
    out.set_grpc().routes.push_back(grpc_route());
  } else {
    auto& detect = out.set_detect();
    detect.timeout = pb::to_pb(kDetectTimeout);
    detect.http_routes = http_routes(config, pod, port);
    detect.http_local_rate_limit = rate_limit(view, config, server);
  }
  return out;
}

// The default for ports that no Server selects.
pb::inbound::Server default_server(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                                   std::uint16_t port) {
  pb::inbound::Server out;
  const DefaultPolicy policy = default_policy_of(view, config, pod, port);
  const bool opaque = is_opaque_port(view, config, pod, port);
  out.protocol = protocol_of(view, config, pod, port, nullptr, opaque ? "opaque" : "");
  out.labels = {{"group", ""}, {"kind", "default"}, {"name", std::string(to_string(policy))}};
  out.authorizations = default_authorizations(config, policy);
  return out;
}

}  // namespace

grpc::StatusOr<PortQuery> parse_port_query(const PortSpec& request) {
  auto workload = parse_workload(request.workload);
  if (!workload) return grpc::Status{grpc::Code::InvalidArgument, "not a workload"};
  if (request.port == 0 || request.port > 65535) {
    return grpc::Status{grpc::Code::InvalidArgument, "not a port"};
  }
  return PortQuery{*std::move(workload), static_cast<std::uint16_t>(request.port)};
}

grpc::StatusOr<pb::inbound::Server> server_of(const View& view, const MeshConfig& config,
                                              const PortQuery& query) {
  const k8s::Pod* const pod =
      query.workload.pod.empty() ? nullptr : view.pod(query.workload.ns, query.workload.pod);
  if (pod == nullptr || !pod->meta.labels.contains(kMeshedLabel)) {
    return grpc::Status{grpc::Code::NotFound, "the workload is not known"};
  }
  for (const k8s::Server* const server : view.servers(pod->meta.ns)) {
    if (!selects(*server, *pod, query.port)) continue;
    pb::inbound::Server out;
    out.protocol = protocol_of(view, config, *pod, query.port, server, server->spec.proxy_protocol);
    out.labels = {
        {"group", std::string(k8s::kPolicyGroup)}, {"kind", "server"}, {"name", server->meta.name}};
    out.authorizations = server_authorizations(view, config, *server);
    return out;
  }
  return default_server(view, config, *pod, query.port);
}

}  // namespace tulle::control
