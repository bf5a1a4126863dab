// SPDX-License-Identifier: Apache-2.0
#include "control/destination/profile.h"

#include <algorithm>

#include "control/destination/endpoints.h"
#include "control/destination/workload_endpoint.h"
#include "control/wire.h"
#include "lib/base/text.h"
#include "proto/message.h"

namespace tulle::control {
namespace {

using Profile = pb::destination::DestinationProfile;

void add_budget(Profile& profile) {
  auto& budget = profile.retry_budget.make();
  budget.retry_ratio = 0.2F;
  budget.min_retries_per_second = 10;
  budget.ttl = pb::to_pb(10s);
}

Profile service_profile(const View& view, const MeshConfig& config, const k8s::Service& service,
                        std::uint16_t port) {
  Profile profile;
  // A port that the Service does not have: outbound policy says what becomes of it.
  if (find_service_port(service, port) == nullptr) return profile;
  const k8s::ObjectMeta& meta = service.meta;
  profile.fully_qualified_name = config.fqdn(meta.name, meta.ns);
  profile.parent_ref = resource_metadata("core", "Service", meta.ns, meta.name, port);
  profile.profile_ref = resource_metadata("linkerd.io", "", meta.ns, "");
  profile.opaque_protocol = is_opaque_service_port(view, config, service, port);
  add_budget(profile);
  return profile;
}

Profile pod_profile(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                    const net::SocketAddr& address, const ClientContext& client) {
  Profile profile;
  const std::string zone(view.zone(pod.spec.node_name));
  const std::string client_zone(client.node.empty() ? "" : view.zone(client.node));
  auto endpoint = pod_endpoint(view, config, pod, address, zone, client_zone);
  endpoint.metric_labels["namespace"] = pod.meta.ns;
  profile.endpoint = std::move(endpoint);
  profile.opaque_protocol = is_opaque_port(view, config, pod, address.port);
  add_budget(profile);
  return profile;
}

Profile external_profile(const View& view, const MeshConfig& config,
                         const k8s::ExternalWorkload& workload, const net::SocketAddr& address,
                         const ClientContext& client) {
  Profile profile;
  const std::string_view zone = workload.meta.labels.get("topology.kubernetes.io/zone");
  const std::string client_zone(client.node.empty() ? "" : view.zone(client.node));
  auto endpoint = external_endpoint(view, config, workload, address, zone, client_zone);
  endpoint.metric_labels["namespace"] = workload.meta.ns;
  profile.endpoint = std::move(endpoint);
  profile.opaque_protocol = is_opaque_port(view, config, workload, address.port);
  add_budget(profile);
  return profile;
}

Profile bare_profile(const MeshConfig& config, const net::SocketAddr& address) {
  Profile profile;
  auto& endpoint = profile.endpoint.make();
  endpoint.addr = to_wire(address);
  endpoint.weight = 10'000;
  profile.opaque_protocol = config.default_opaque_ports.contains(address.port);
  add_budget(profile);
  return profile;
}

// Running pods, without those that are going away where another is left: an address may pass from
// one pod to the next before the first is gone.
std::vector<const k8s::Pod*> living(std::vector<const k8s::Pod*> pods) {
  std::erase_if(pods, [](const k8s::Pod* pod) { return pod->status.phase != "Running"; });
  const auto stays = [](const k8s::Pod* pod) { return !pod->meta.deleted.has_value(); };
  if (std::any_of(pods.begin(), pods.end(), stays)) {
    std::erase_if(pods, [&](const k8s::Pod* pod) { return !stays(pod); });
  }
  return pods;
}

// The container port behind a host port of the pod; 0 if there is none.
std::uint16_t behind_host_port(const k8s::Pod& pod, std::uint16_t host_port) {
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : *list) {
      for (const k8s::ContainerPort& port : container.ports) {
        if (port.host_port == host_port) return static_cast<std::uint16_t>(port.container_port);
      }
    }
  }
  return 0;
}

grpc::StatusOr<Profile> address_profile(const View& view, const MeshConfig& config,
                                        const net::SocketAddr& address,
                                        const ClientContext& client) {
  const auto services = view.services_at(address.ip);
  if (services.size() > 1) {
    return grpc::Status{grpc::Code::FailedPrecondition, "several services have this address"};
  }
  if (!services.empty()) return service_profile(view, config, *services.front(), address.port);

  auto pods = view.pods_at(address.ip);
  // The node's own address belongs to no single pod.
  std::erase_if(pods, [](const k8s::Pod* pod) { return pod->spec.host_network; });
  pods = living(std::move(pods));
  if (pods.size() > 1) {
    return grpc::Status{grpc::Code::FailedPrecondition, "several pods have this address"};
  }
  if (!pods.empty()) return pod_profile(view, config, *pods.front(), address, client);

  auto on_host = view.pods_on_host(address.ip);
  std::erase_if(on_host, [&](const k8s::Pod* pod) {
    return behind_host_port(*pod, address.port) == 0 || pod->status.pod_ips.empty();
  });
  on_host = living(std::move(on_host));
  if (!on_host.empty()) {
    // Past the node's port mapping, to the pod itself: its proxy listens there only.
    const k8s::Pod& pod = *on_host.front();
    const net::SocketAddr inside{pod.status.pod_ips.front().ip,
                                 behind_host_port(pod, address.port)};
    return pod_profile(view, config, pod, inside, client);
  }
  if (const auto machines = view.externals_at(address.ip); !machines.empty()) {
    return external_profile(view, config, *machines.front(), address, client);
  }
  return bare_profile(config, address);
}

grpc::StatusOr<Profile> instance_profile(const View& view, const MeshConfig& config,
                                         const ProfileQuery& query) {
  // An unready instance may be asked for by name; it is found through the Service all the same.
  const auto set = endpoints_of(view, config, {query.service, query.target.port, query.client});
  if (!set) return set.status();
  for (const auto& [address, endpoint] : set->endpoints) {
    const auto pods = living(view.pods_at(address.ip));
    if (!pods.empty()) return pod_profile(view, config, *pods.front(), address, query.client);
  }
  return grpc::Status{grpc::Code::NotFound, "no pod has this host name in the service"};
}

}  // namespace

const k8s::ServicePort* find_service_port(const k8s::Service& service, std::uint16_t port) {
  for (const k8s::ServicePort& candidate : service.spec.ports) {
    const bool tcp = candidate.protocol.empty() || candidate.protocol == "TCP";
    if (candidate.port == port && tcp) return &candidate;
  }
  return nullptr;
}

bool is_opaque_service_port(const View& view, const MeshConfig& config, const k8s::Service& service,
                            std::uint16_t port) {
  const std::string* const annotation =
      view.inherited_annotation(service.meta, kOpaquePortsAnnotation);
  return annotation != nullptr ? PortSet::from_annotation(*annotation, service).contains(port)
                               : config.default_opaque_ports.contains(port);
}

grpc::StatusOr<ProfileQuery> parse_profile_query(const pb::destination::GetDestination& request,
                                                 const MeshConfig& config) {
  auto authority = parse_authority(request.path);
  if (!authority) {
    return grpc::Status{grpc::Code::InvalidArgument, concat("not an authority: ", request.path)};
  }
  ProfileQuery query{*std::move(authority), {}, parse_context(request.context_token)};
  if (query.target.ip() != nullptr) return query;
  auto service = parse_service_name(query.target.name(), config.cluster_domain);
  if (!service) {
    return grpc::Status{grpc::Code::InvalidArgument,
                        concat("not the name of a service: ", query.target.name())};
  }
  query.service = *std::move(service);
  return query;
}

grpc::StatusOr<Profile> profile_of(const View& view, const MeshConfig& config,
                                   const ProfileQuery& query) {
  if (const net::IpAddr* const ip = query.target.ip()) {
    return address_profile(view, config, {*ip, query.target.port}, query.client);
  }
  const k8s::Service* const service = view.service(query.service.ns, query.service.service);
  if (service == nullptr) return Profile{};
  if (service->spec.type == "ExternalName") {
    return grpc::Status{grpc::Code::InvalidArgument, "the service is of type ExternalName"};
  }
  if (!query.service.instance.empty()) return instance_profile(view, config, query);
  return service_profile(view, config, *service, query.target.port);
}

}  // namespace tulle::control
