// SPDX-License-Identifier: Apache-2.0
#include "control/policy/outbound.h"

#include <algorithm>
#include <limits>

#include "control/destination/profile.h"
#include "control/wire.h"
#include "lib/base/text.h"
#include "proto/message.h"

namespace tulle::control {
namespace {

using namespace pb::outbound;  // NOLINT: the messages of this file
using pb::meta::Metadata;

constexpr Duration kDetectTimeout = 10s;

void add_queue(Backend& backend) {
  auto& queue = backend.queue.make();
  queue.capacity = 100;
  queue.failfast_timeout = pb::to_pb(3s);
}

Backend service_backend(const MeshConfig& config, std::string_view ns, std::string_view name,
                        std::uint16_t port) {
  Backend backend;
  backend.metadata = resource_metadata("core", "Service", ns, name, port);
  auto& balancer = backend.set_balancer();
  std::string path = concat(config.fqdn(name, ns), ":");
  append_number(path, port);
  balancer.discovery.make().set_dst().path = std::move(path);
  auto& ewma = balancer.set_peak_ewma();
  ewma.default_rtt = pb::to_pb(30ms);
  ewma.decay = pb::to_pb(10s);
  add_queue(backend);
  return backend;
}

// To where the client was going anyway.
Backend forward_backend(Metadata metadata, const net::SocketAddr& to) {
  Backend backend;
  backend.metadata = std::move(metadata);
  auto& forward = backend.set_forward();
  forward.addr = to_wire(to);
  forward.weight = 1;
  add_queue(backend);
  return backend;
}

HttpRoute http_route(std::string_view name, Backend backend) {
  HttpRoute route;
  route.metadata = default_metadata(name);
  auto& rule = route.rules.emplace_back();
  rule.matches.emplace_back().path.make().set_prefix("/");
  auto& first = rule.backends.make().set_first_available();
  first.backends.emplace_back().backend = std::move(backend);
  return route;
}

OpaqueRoute opaque_route(std::string_view name, Backend backend) {
  OpaqueRoute route;
  route.metadata = default_metadata(name);
  auto& first = route.rules.emplace_back().backends.make().set_first_available();
  first.backends.emplace_back().backend = std::move(backend);
  return route;
}

ProxyProtocol detect(HttpRoute http, OpaqueRoute opaque) {
  ProxyProtocol out;
  auto& detect = out.set_detect();
  detect.timeout = pb::to_pb(kDetectTimeout);
  detect.opaque.make().routes.push_back(std::move(opaque));
  detect.http1.make().routes.push_back(http);
  detect.http2.make().routes.push_back(std::move(http));
  return out;
}

OutboundPolicy service_policy(const View& view, const MeshConfig& config,
                              const k8s::Service* service, std::string_view ns,
                              std::string_view name, std::uint16_t port) {
  OutboundPolicy out;
  out.metadata = resource_metadata("core", "Service", ns, name, port);
  const Backend backend = service_backend(config, ns, name, port);
  const k8s::ServicePort* const defined =
      service != nullptr ? find_service_port(*service, port) : nullptr;
  const std::string_view app = defined != nullptr ? std::string_view(defined->app_protocol) : "";
  auto& protocol = out.protocol.make();
  if (app == "http") {
    protocol.set_http1().routes.push_back(http_route("http", backend));
    return out;
  }
  if (app == "kubernetes.io/h2c") {
    protocol.set_http2().routes.push_back(http_route("http", backend));
    return out;
  }
  // What the application says of its port counts for more than a list of ports.
  const bool opaque =
      !app.empty() || (service != nullptr ? is_opaque_service_port(view, config, *service, port)
                                          : config.default_opaque_ports.contains(port));
  if (opaque) {
    protocol.set_opaque().routes.push_back(opaque_route("opaq", backend));
  } else {
    protocol = detect(http_route("http", backend), opaque_route("opaq", backend));
  }
  return out;
}

// A Service's address with a port that it does not have: every connection is refused.
OutboundPolicy undefined_port(const k8s::Service& service, std::uint16_t port) {
  OutboundPolicy out;
  out.metadata = resource_metadata("core", "Service", service.meta.ns, service.meta.name, port);
  auto& route = out.protocol.make().set_opaque().routes.emplace_back();
  route.metadata = default_metadata("undefined-port");
  auto& rule = route.rules.emplace_back();
  rule.backends.make().set_empty();
  rule.filters.emplace_back().set_forbidden();
  return out;
}

OutboundPolicy egress_fallback(const net::SocketAddr& to) {
  constexpr std::string_view kName = "egress-fallback";
  const Backend backend = forward_backend(default_metadata(kName), to);
  OutboundPolicy out;
  out.metadata = default_metadata(kName);
  out.protocol = detect(http_route(kName, backend), opaque_route(kName, backend));
  return out;
}

bool in_any(const std::vector<net::Cidr>& networks, const net::IpAddr& ip) {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const net::Cidr& network) { return network.contains(ip); });
}

// Length of the longest prefix of the network that has the address; -1 if it has it not.
int match_length(const MeshConfig& config, const k8s::EgressNetwork& network,
                 const net::IpAddr& ip) {
  if (!network.spec.networks) return in_any(config.cluster_networks, ip) ? -1 : 0;
  int best = -1;
  for (const k8s::NetworkMatch& match : *network.spec.networks) {
    if (match.cidr && match.cidr->contains(ip) && !in_any(match.except, ip)) {
      best = std::max(best, static_cast<int>(match.cidr->prefix));
    }
  }
  return best;
}

// Those of the client's namespace, if it has any at all; else the mesh-wide ones.
const k8s::EgressNetwork* find_egress(const View& view, const MeshConfig& config,
                                      std::string_view client_ns, const net::IpAddr& ip) {
  const auto all = view.egress_networks();
  for (const std::string_view ns : {client_ns, std::string_view(config.global_egress_namespace)}) {
    const k8s::EgressNetwork* best = nullptr;
    int longest = -1;
    bool any = false;
    const auto age = [](const k8s::EgressNetwork* network) {
      return network->meta.created ? network->meta.created->unix_seconds
                                   : std::numeric_limits<std::int64_t>::max();
    };
    for (const k8s::EgressNetwork* const network : all) {
      if (network->meta.ns != ns) continue;
      any = true;
      const int length = match_length(config, *network, ip);
      if (length < 0 || length < longest) continue;
      // They come in the order of their names.
      if (length == longest && age(network) >= age(best)) continue;
      best = network;
      longest = length;
    }
    if (any) return best;
  }
  return nullptr;
}

// Is there an EgressNetwork for this client that could not be read? What it forbids nobody knows.
bool is_egress_closed(const View& view, const MeshConfig& config, std::string_view client_ns,
                      const net::IpAddr& ip) {
  if (in_any(config.cluster_networks, ip)) return false;
  return view.egress_closed(client_ns) || view.egress_closed(config.global_egress_namespace);
}

OutboundPolicy egress_policy(const k8s::EgressNetwork& network, const net::SocketAddr& to) {
  const bool allow = network.spec.traffic_policy == "Allow";
  const Metadata metadata = resource_metadata(k8s::kPolicyGroup, "EgressNetwork", network.meta.ns,
                                              network.meta.name, to.port);
  const Backend backend = forward_backend(metadata, to);
  HttpRoute http = http_route(allow ? "http-egress-allow" : "http-egress-deny", backend);
  OpaqueRoute opaque = opaque_route(allow ? "tcp-egress-allow" : "tcp-egress-deny", backend);
  if (!allow) {
    auto& failure = http.rules[0].filters.emplace_back().set_failure_injector();
    failure.status = 403;
    failure.message = "traffic not allowed";
    opaque.rules[0].filters.emplace_back().set_forbidden();
  }
  OutboundPolicy out;
  out.metadata = metadata;
  out.protocol = detect(std::move(http), std::move(opaque));
  return out;
}

}  // namespace

grpc::StatusOr<TrafficQuery> parse_traffic_query(const TrafficSpec& request,
                                                 const MeshConfig& config) {
  const auto invalid = [](std::string message) {
    return grpc::Status{grpc::Code::InvalidArgument, std::move(message)};
  };
  TrafficQuery query;
  auto source = parse_workload(request.source_workload);
  if (!source) return invalid("not a workload");
  query.source = *std::move(source);
  switch (request.target_case) {
    case TrafficSpec::TargetCase::addr:
      query.address = from_wire(*request.addr);
      if (!query.address) return invalid("not an address");
      return query;
    case TrafficSpec::TargetCase::authority: {
      const auto authority = parse_authority(request.authority);
      if (!authority) return invalid("not an authority");
      query.port = authority->port;
      auto service = authority->ip() == nullptr
                         ? parse_policy_name(authority->name(), config.cluster_domain)
                         : std::nullopt;
      if (!service) return grpc::Status{grpc::Code::NotFound, "not the name of a service"};
      query.service = *std::move(service);
      return query;
    }
    case TrafficSpec::TargetCase::none: break;
  }
  return invalid("no target");
}

grpc::StatusOr<OutboundPolicy> outbound_policy_of(const View& view, const MeshConfig& config,
                                                  const TrafficQuery& query) {
  if (!query.address) {
    // Whether the Service exists is for its endpoints to say.
    return service_policy(view, config, view.service(query.service.ns, query.service.service),
                          query.service.ns, query.service.service, query.port);
  }
  const net::SocketAddr& to = *query.address;
  if (const auto services = view.services_at(to.ip); !services.empty()) {
    const k8s::Service& service = *services.front();
    if (find_service_port(service, to.port) == nullptr) return undefined_port(service, to.port);
    return service_policy(view, config, &service, service.meta.ns, service.meta.name, to.port);
  }
  if (is_egress_closed(view, config, query.source.ns, to.ip)) {
    k8s::EgressNetwork unread;  // allows nothing
    unread.meta.ns = query.source.ns;
    return egress_policy(unread, to);
  }
  if (const auto* const network = find_egress(view, config, query.source.ns, to.ip)) {
    return egress_policy(*network, to);
  }
  if (!in_any(config.cluster_networks, to.ip)) return egress_fallback(to);
  return grpc::Status{grpc::Code::NotFound, "no service has this address"};
}

}  // namespace tulle::control
