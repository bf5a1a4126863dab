// SPDX-License-Identifier: Apache-2.0
#include "control/destination/workload_endpoint.h"

#include "control/wire.h"
#include "lib/base/text.h"
#include "proto/message.h"

namespace tulle::control {
namespace {

constexpr std::uint32_t kWeight = 10'000;
constexpr std::uint16_t kInboundPort = 4143;
constexpr std::uint16_t kControlPort = 4190;
constexpr std::uint16_t kAdminPort = 4191;

// Where the peer's proxy listens: its environment says, else the port it declares, else the
// default.
std::uint16_t inbound_port(const k8s::Pod& pod) {
  if (const auto port = proxy_port(pod, "LINKERD2_PROXY_INBOUND_LISTEN_ADDR")) return *port;
  for (const k8s::ContainerPort& port : proxy_container(pod)->ports) {
    if (port.name == kProxyContainer) return static_cast<std::uint16_t>(port.container_port);
  }
  return kInboundPort;
}

bool is_proxy_own_port(const k8s::Pod& pod, std::uint16_t port) {
  return port == proxy_port(pod, "LINKERD2_PROXY_CONTROL_LISTEN_ADDR").value_or(kControlPort) ||
         port == proxy_port(pod, "LINKERD2_PROXY_ADMIN_LISTEN_ADDR").value_or(kAdminPort);
}

WorkloadName named(std::string_view kind, std::string_view name) {
  WorkloadName out{"", std::string(name)};
  for (const char c : kind) out.kind += ascii_lower(c);
  return out;
}

void add_zone(std::string_view zone, std::string_view client_zone,
              std::map<std::string, std::string>& labels) {
  labels["zone"] = zone;
  const bool known = !zone.empty() && !client_zone.empty();
  labels["zone_locality"] = !known ? "unknown" : zone == client_zone ? "local" : "remote";
}

void add_labels(const View& view, const k8s::Pod& pod, std::string_view zone,
                std::string_view client_zone, std::map<std::string, std::string>& labels) {
  const WorkloadName owner = workload_of(view, pod);
  labels["pod"] = pod.meta.name;
  labels[owner.kind == "job" ? "k8s_job" : owner.kind] = owner.name;
  labels["serviceaccount"] = service_account_of(pod);
  if (const std::string_view ns = pod.meta.labels.get(kMeshedLabel); !ns.empty()) {
    labels["control_plane_ns"] = ns;
  }
  if (const std::string_view hash = pod.meta.labels.get("pod-template-hash"); !hash.empty()) {
    labels["pod_template_hash"] = hash;
  }
  add_zone(zone, client_zone, labels);
}

}  // namespace

WorkloadName workload_of(const View& view, const k8s::Pod& pod) {
  // An injected pod says it in a label.
  for (const std::string_view kind : {"deployment", "statefulset", "daemonset", "cronjob", "job",
                                      "replicaset", "replicationcontroller"}) {
    const std::string_view name = pod.meta.labels.get(concat("linkerd.io/proxy-", kind));
    if (!name.empty()) return {std::string(kind), std::string(name)};
  }
  if (pod.meta.owners.size() != 1) return {"pod", pod.meta.name};
  const k8s::OwnerReference& owner = pod.meta.owners.front();
  const k8s::OwnerReference* const above = view.owner_of(owner.kind, pod.meta.ns, owner.name);
  // What else makes ReplicaSets (a Rollout) is no workload that dashboards know.
  const bool known = above != nullptr && (owner.kind == "Job" || above->kind == "Deployment" ||
                                          above->kind == "StatefulSet" ||
                                          above->kind == "DaemonSet" || above->kind == "Job");
  return known ? named(above->kind, above->name) : named(owner.kind, owner.name);
}

namespace {

// Names of Servers and labels of workloads mean something only within their namespace.
template <typename Workload>
bool selected(const k8s::Server& server, const std::optional<k8s::LabelSelector>& selector,
              const Workload& workload, std::uint16_t port) {
  return server.meta.ns == workload.meta.ns && selector &&
         selector->matches(workload.meta.labels) && port_matches(server.spec.port, workload, port);
}

template <typename Workload>
bool opaque(const View& view, const MeshConfig& config, const Workload& workload,
            std::uint16_t port) {
  const std::string* const annotation =
      view.inherited_annotation(workload.meta, kOpaquePortsAnnotation);
  if (annotation != nullptr ? PortSet::from_annotation(*annotation, workload).contains(port)
                            : config.default_opaque_ports.contains(port)) {
    return true;
  }
  for (const k8s::Server* const server : view.servers(workload.meta.ns)) {
    if (server->spec.proxy_protocol == "opaque" && selects(*server, workload, port)) return true;
  }
  return false;
}

}  // namespace

bool port_matches(const k8s::IntOrString& wanted, const k8s::Pod& pod, std::uint16_t port) {
  return wanted.is_name() ? named_ports(pod, wanted.name).contains(port) : wanted.number == port;
}

bool port_matches(const k8s::IntOrString& wanted, const k8s::ExternalWorkload& workload,
                  std::uint16_t port) {
  return wanted.is_name() ? named_ports(workload, wanted.name).contains(port)
                          : wanted.number == port;
}

bool selects(const k8s::Server& server, const k8s::Pod& pod, std::uint16_t port) {
  return selected(server, server.spec.pod_selector, pod, port);
}

bool selects(const k8s::Server& server, const k8s::ExternalWorkload& workload, std::uint16_t port) {
  return selected(server, server.spec.external_workload_selector, workload, port);
}

bool is_opaque_port(const View& view, const MeshConfig& config, const k8s::Pod& pod,
                    std::uint16_t port) {
  return opaque(view, config, pod, port);
}

bool is_opaque_port(const View& view, const MeshConfig& config,
                    const k8s::ExternalWorkload& workload, std::uint16_t port) {
  return opaque(view, config, workload, port);
}

pb::destination::Http2ClientParams meshed_http2_params(const MeshConfig& config) {
  pb::destination::Http2ClientParams out;
  auto& keep_alive = out.keep_alive.make();
  keep_alive.interval = pb::to_pb(config.meshed_keep_alive.interval);
  keep_alive.timeout = pb::to_pb(config.meshed_keep_alive.timeout);
  keep_alive.while_idle = config.meshed_keep_alive.while_idle;
  return out;
}

pb::destination::WeightedAddr pod_endpoint(const View& view, const MeshConfig& config,
                                           const k8s::Pod& pod, const net::SocketAddr& address,
                                           std::string_view zone, std::string_view client_zone) {
  pb::destination::WeightedAddr out;
  out.addr = to_wire(address);
  out.weight = kWeight;
  add_labels(view, pod, zone, client_zone, out.metric_labels);
  const std::string* const skipped = pod.meta.annotations.find(kSkipInboundAnnotation);
  const auto ports =
      skipped != nullptr ? PortSet::from_whole_annotation(*skipped, pod) : std::nullopt;
  const bool skips = ports && ports->contains(address.port);
  // A proxy is there, and traffic to this port passes through it.
  if (!is_meshed(pod) || skips) return out;

  pb::destination::ProtocolHint hint;
  const bool opaque = is_opaque_port(view, config, pod, address.port);
  if (opaque) {
    hint.set_opaque();
  } else if (config.h2_upgrade) {
    hint.set_h2();
  }
  if ((opaque || config.force_transport_header) && !is_proxy_own_port(pod, address.port)) {
    hint.opaque_transport.make().inbound_port = inbound_port(pod);
  }
  out.protocol_hint = std::move(hint);

  out.http2 = meshed_http2_params(config);

  if (pod.meta.labels.get(kMeshedLabel) == config.controller_namespace) {
    const std::string identity = config.identity_of(service_account_of(pod), pod.meta.ns);
    auto& tls = out.tls_identity.make();
    tls.set_dns_like_identity().name = identity;
    tls.server_name.make().name = identity;
  }
  return out;
}

pb::destination::WeightedAddr external_endpoint(const View& view, const MeshConfig& config,
                                                const k8s::ExternalWorkload& workload,
                                                const net::SocketAddr& address,
                                                std::string_view zone,
                                                std::string_view client_zone) {
  pb::destination::WeightedAddr out;
  out.addr = to_wire(address);
  out.weight = kWeight;
  out.metric_labels["external_workload"] = workload.meta.name;
  if (workload.meta.owners.size() == 1) {
    const WorkloadName owner =
        named(workload.meta.owners.front().kind, workload.meta.owners.front().name);
    out.metric_labels[owner.kind] = owner.name;
  }
  add_zone(zone, client_zone, out.metric_labels);

  // Whether HTTP/2 is in use between pods says nothing of machines that are not of the cluster.
  pb::destination::ProtocolHint hint;
  if (is_opaque_port(view, config, workload, address.port)) {
    hint.set_opaque();
  } else {
    hint.set_h2();
  }
  std::uint16_t inbound = kInboundPort;
  for (const auto& [low, high] : named_ports(workload, kProxyContainer).ranges()) inbound = low;
  hint.opaque_transport.make().inbound_port = inbound;
  out.protocol_hint = std::move(hint);
  out.http2 = meshed_http2_params(config);

  auto& tls = out.tls_identity.make();
  tls.set_uri_like_identity().uri = workload.spec.tls.identity;
  tls.server_name.make().name = workload.spec.tls.server_name;
  return out;
}

}  // namespace tulle::control
