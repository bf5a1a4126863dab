// SPDX-License-Identifier: Apache-2.0
// The kinds of Kubernetes objects that a mesh reads, as plain structs with only the fields used,
// and the one description of each kind (describe) from which YAML and JSON are read. Policies are
// in policy_objects.h. To read documents, see manifest.h. Names and meanings: the Kubernetes API
// reference v1, discovery.k8s.io/v1.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/k8s/decoder.h"
#include "lib/k8s/meta.h"
#include "lib/net/address.h"

namespace tulle::k8s {

// The name of a kind; the version is not part of it.
struct KindName {
  std::string_view group;  // "" is the core group
  std::string_view kind;
  bool namespaced = true;
};

struct Namespace {
  static constexpr KindName kKind{"", "Namespace", false};
  ObjectMeta meta;
  friend bool operator==(const Namespace&, const Namespace&) = default;
};

struct ServiceAccount {
  static constexpr KindName kKind{"", "ServiceAccount"};
  ObjectMeta meta;
  friend bool operator==(const ServiceAccount&, const ServiceAccount&) = default;
};

// The networks of the pods on this node; the first address of each is where the node itself speaks
// to its pods from (probes).
struct NodeSpec {
  std::string pod_cidr;
  std::vector<std::string> pod_cidrs;  // of both families; the first is pod_cidr
  friend bool operator==(const NodeSpec&, const NodeSpec&) = default;
};

struct NodeAddress {
  std::string type;  // InternalIP, ExternalIP, Hostname, …
  std::string address;
  friend bool operator==(const NodeAddress&, const NodeAddress&) = default;
};

struct NodeStatus {
  std::vector<NodeAddress> addresses;
  friend bool operator==(const NodeStatus&, const NodeStatus&) = default;
};

struct Node {
  static constexpr KindName kKind{"", "Node", false};
  ObjectMeta meta;
  NodeSpec spec;
  NodeStatus status;
  friend bool operator==(const Node&, const Node&) = default;
};

// What stands between a pod and the workload that it belongs to: only whose they are is of
// interest.
struct ReplicaSet {
  static constexpr KindName kKind{"apps", "ReplicaSet"};
  ObjectMeta meta;
  friend bool operator==(const ReplicaSet&, const ReplicaSet&) = default;
};

struct Job {
  static constexpr KindName kKind{"batch", "Job"};
  ObjectMeta meta;
  friend bool operator==(const Job&, const Job&) = default;
};

// A port that the container declares. It opens nothing, but policies and Services find it by its
// name.
struct ContainerPort {
  std::string name;
  std::int32_t container_port = 0;
  std::int32_t host_port = 0;  // 0 = none
  std::string protocol;        // "" means TCP
  friend bool operator==(const ContainerPort&, const ContainerPort&) = default;
};

// Read for what a proxy was told by its injector, such as its inbound port.
struct EnvVar {
  std::string name;
  std::string value;  // "" also when it comes from elsewhere (valueFrom)
  friend bool operator==(const EnvVar&, const EnvVar&) = default;
};

// `port` may be the name of a port of the container.
struct HttpGetAction {
  std::string path;  // "" means "/"
  IntOrString port;
  std::string scheme;  // "" means HTTP
  friend bool operator==(const HttpGetAction&, const HttpGetAction&) = default;
};

// Only probes over HTTP matter here: they must pass the policy of their port.
struct Probe {
  std::optional<HttpGetAction> http_get;
  friend bool operator==(const Probe&, const Probe&) = default;
};

struct Container {
  std::string name;
  std::vector<ContainerPort> ports;
  std::vector<EnvVar> env;
  std::optional<Probe> liveness;
  std::optional<Probe> readiness;
  std::optional<Probe> startup;
  std::string restart_policy;  // "" means the pod's; Always makes an init container a sidecar
  friend bool operator==(const Container&, const Container&) = default;
};

inline std::uint64_t mix_hash(std::uint64_t h, const Container& container) noexcept {
  h = mix_hash(h, container.name);
  for (const ContainerPort& port : container.ports) {
    h = (h ^ static_cast<std::uint64_t>(port.container_port)) * 1099511628211ULL;
  }
  return h;
}

// Sidecars are those init containers that say restartPolicy Always.
struct PodSpec {
  std::string service_account;  // "" means "default"
  std::string node_name;
  std::string restart_policy;  // Never, OnFailure; "" means Always
  bool host_network = false;
  std::string hostname;
  std::string subdomain;
  Shared<Container> containers;
  Shared<Container> init_containers;
  friend bool operator==(const PodSpec&, const PodSpec&) = default;
};

struct PodIp {
  net::IpAddr ip;
  friend bool operator==(const PodIp&, const PodIp&) = default;
};

// Of a pod or a workload. "Ready" True makes it an endpoint.
struct Condition {
  std::string type;
  std::string status;  // True, False, Unknown
  friend bool operator==(const Condition&, const Condition&) = default;
};

inline std::uint64_t mix_hash(std::uint64_t h, const Condition& condition) noexcept {
  return mix_hash(mix_hash(h, condition.type), condition.status);
}

// A container that has ended; it may be started again.
struct ContainerTerminated {
  std::int32_t exit_code = 0;
  friend bool operator==(const ContainerTerminated&, const ContainerTerminated&) = default;
};

struct ContainerState {
  std::optional<ContainerTerminated> terminated;  // absent: waits or runs
  friend bool operator==(const ContainerState&, const ContainerState&) = default;
};

struct ContainerStatus {
  std::string name;
  ContainerState state;
  friend bool operator==(const ContainerStatus&, const ContainerStatus&) = default;
};

inline std::uint64_t mix_hash(std::uint64_t h, const ContainerStatus& container) noexcept {
  h = mix_hash(h, container.name);
  return (h ^ (container.state.terminated ? 1 : 0)) * 1099511628211ULL;
}

// Written by the kubelet; a phase of Succeeded or Failed does not change any more.
struct PodStatus {
  std::string phase;  // Pending, Running, Succeeded, Failed, Unknown
  std::optional<net::IpAddr> pod_ip;
  std::vector<PodIp> pod_ips;  // has pod_ip too once an object was read whole
  std::optional<net::IpAddr> host_ip;
  Shared<Condition> conditions;
  Shared<ContainerStatus> containers;  // containerStatuses: not those of init containers
  friend bool operator==(const PodStatus&, const PodStatus&) = default;
};

struct Pod {
  static constexpr KindName kKind{"", "Pod"};
  ObjectMeta meta;
  PodSpec spec;
  PodStatus status;
  friend bool operator==(const Pod&, const Pod&) = default;
};

// `target_port` is a port of the pod, by number or by name.
struct ServicePort {
  std::string name;  // "" if the only one
  std::int32_t port = 0;
  std::optional<IntOrString> target_port;  // absent: same as port
  std::string protocol;                    // "" means TCP
  std::string app_protocol;
  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

// An empty selector selects nothing: somebody else writes the endpoints.
struct ServiceSpec {
  std::string type;        // "" means ClusterIP
  std::string cluster_ip;  // an address, "None" or ""
  std::vector<std::string> cluster_ips;
  std::vector<std::string> ip_families;  // IPv4, IPv6; empty: not said
  std::vector<ServicePort> ports;
  StringMap selector;
  std::string internal_traffic_policy;  // "" means Cluster
  bool publish_not_ready_addresses = false;
  friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

struct Service {
  static constexpr KindName kKind{"", "Service"};
  ObjectMeta meta;
  ServiceSpec spec;
  // The addresses among clusterIP and clusterIPs, each once.
  std::vector<net::IpAddr> addresses() const;
  bool headless() const noexcept { return spec.cluster_ip == "None"; }
  friend bool operator==(const Service&, const Service&) = default;
};

// Absent `ready` counts as ready; `serving` is readiness without regard to termination.
struct EndpointConditions {
  std::optional<bool> ready;
  std::optional<bool> serving;
  std::optional<bool> terminating;
  friend bool operator==(const EndpointConditions&, const EndpointConditions&) = default;
};

// The pod or external workload behind an endpoint.
struct ObjectReference {
  std::string kind;
  std::string ns;
  std::string name;
  friend bool operator==(const ObjectReference&, const ObjectReference&) = default;
};

struct ZoneHint {
  std::string name;
  friend bool operator==(const ZoneHint&, const ZoneHint&) = default;
};

// Zones whose clients should use the endpoint; counted only if every endpoint of the Service has
// hints.
struct EndpointHints {
  std::vector<ZoneHint> for_zones;
  friend bool operator==(const EndpointHints&, const EndpointHints&) = default;
};

struct Endpoint {
  std::vector<std::string> addresses;  // checked to be addresses of the slice's family
  EndpointConditions conditions;
  std::string hostname;
  std::string node_name;
  std::string zone;
  std::optional<ObjectReference> target;
  EndpointHints hints;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// Found by `name`, which is that of the Service's port, not of the container's.
struct EndpointPort {
  std::string name;
  std::optional<std::int32_t> port;  // absent: every port
  std::string protocol;              // "" means TCP
  std::string app_protocol;
  friend bool operator==(const EndpointPort&, const EndpointPort&) = default;
};

// A part of a Service's endpoints; kServiceLabel says of which. One address may stand in two slices
// while it moves.
struct EndpointSlice {
  static constexpr KindName kKind{"discovery.k8s.io", "EndpointSlice"};
  static constexpr std::string_view kServiceLabel = "kubernetes.io/service-name";
  ObjectMeta meta;
  std::string address_type;  // IPv4, IPv6, FQDN
  std::vector<Endpoint> endpoints;
  std::vector<EndpointPort> ports;
  friend bool operator==(const EndpointSlice&, const EndpointSlice&) = default;
};

// The descriptions: names of fields as in YAML and JSON, in the order of the structs. A field that
// is not described is skipped without being looked at (decoder.h).
template <typename V>
void describe(V& v, OwnerReference& x) {
  v.field("kind", x.kind);
  v.field("name", x.name);
  v.field("controller", x.controller);
}
template <typename V>
void describe(V& v, ObjectMeta& x) {
  v.field("name", x.name);
  v.field("namespace", x.ns);
  v.field("uid", x.uid);
  v.field("labels", x.labels);
  v.field("annotations", x.annotations);
  v.field("ownerReferences", x.owners);
  v.field("creationTimestamp", x.created);
  v.field("deletionTimestamp", x.deleted);
}
template <typename V>
void describe(V& v, SelectorRequirement& x) {
  v.field("key", x.key);
  v.field("operator", x.op);
  v.field("values", x.values);
}
template <typename V>
void describe(V& v, LabelSelector& x) {
  v.field("matchLabels", x.match_labels);
  v.field("matchExpressions", x.match_expressions);
}
template <typename V>
void describe(V& v, Namespace& x) {
  v.field("metadata", x.meta);
}
template <typename V>
void describe(V& v, ServiceAccount& x) {
  v.field("metadata", x.meta);
}
template <typename V>
void describe(V& v, NodeSpec& x) {
  v.field("podCIDR", x.pod_cidr);
  v.field("podCIDRs", x.pod_cidrs);
}
template <typename V>
void describe(V& v, NodeAddress& x) {
  v.field("type", x.type);
  v.field("address", x.address);
}
template <typename V>
void describe(V& v, NodeStatus& x) {
  v.field("addresses", x.addresses);
}
template <typename V>
void describe(V& v, Node& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
  v.field("status", x.status);
}
template <typename V>
void describe(V& v, ReplicaSet& x) {
  v.field("metadata", x.meta);
}
template <typename V>
void describe(V& v, Job& x) {
  v.field("metadata", x.meta);
}
template <typename V>
void describe(V& v, ContainerPort& x) {
  v.field("name", x.name);
  v.field("containerPort", x.container_port);
  v.field("hostPort", x.host_port);
  v.field("protocol", x.protocol);
}
template <typename V>
void describe(V& v, EnvVar& x) {
  v.field("name", x.name);
  v.field("value", x.value);
}
template <typename V>
void describe(V& v, HttpGetAction& x) {
  v.field("path", x.path);
  v.field("port", x.port);
  v.field("scheme", x.scheme);
}
template <typename V>
void describe(V& v, Probe& x) {
  v.field("httpGet", x.http_get);
}
template <typename V>
void describe(V& v, Container& x) {
  v.field("name", x.name);
  v.field("ports", x.ports);
  v.field("env", x.env);
  v.field("livenessProbe", x.liveness);
  v.field("readinessProbe", x.readiness);
  v.field("startupProbe", x.startup);
  v.field("restartPolicy", x.restart_policy);
}
template <typename V>
void describe(V& v, PodSpec& x) {
  v.field("serviceAccountName", x.service_account);
  v.field("nodeName", x.node_name);
  v.field("restartPolicy", x.restart_policy);
  v.field("hostNetwork", x.host_network);
  v.field("hostname", x.hostname);
  v.field("subdomain", x.subdomain);
  v.field("containers", x.containers);
  v.field("initContainers", x.init_containers);
}
template <typename V>
void describe(V& v, PodIp& x) {
  v.field("ip", x.ip);
}
template <typename V>
void describe(V& v, Condition& x) {
  v.field("type", x.type);
  v.field("status", x.status);
}
template <typename V>
void describe(V& v, ContainerTerminated& x) {
  v.field("exitCode", x.exit_code);
}
template <typename V>
void describe(V& v, ContainerState& x) {
  v.field("terminated", x.terminated);
}
template <typename V>
void describe(V& v, ContainerStatus& x) {
  v.field("name", x.name);
  v.field("state", x.state);
}
template <typename V>
void describe(V& v, PodStatus& x) {
  v.field("phase", x.phase);
  v.field("podIP", x.pod_ip);
  v.field("podIPs", x.pod_ips);
  v.field("hostIP", x.host_ip);
  v.field("conditions", x.conditions);
  v.field("containerStatuses", x.containers);
}
template <typename V>
void describe(V& v, Pod& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
  v.field("status", x.status);
}
template <typename V>
void describe(V& v, ServicePort& x) {
  v.field("name", x.name);
  v.field("port", x.port);
  v.field("targetPort", x.target_port);
  v.field("protocol", x.protocol);
  v.field("appProtocol", x.app_protocol);
}
template <typename V>
void describe(V& v, ServiceSpec& x) {
  v.field("type", x.type);
  v.field("clusterIP", x.cluster_ip);
  v.field("clusterIPs", x.cluster_ips);
  v.field("ipFamilies", x.ip_families);
  v.field("ports", x.ports);
  v.field("selector", x.selector);
  v.field("internalTrafficPolicy", x.internal_traffic_policy);
  v.field("publishNotReadyAddresses", x.publish_not_ready_addresses);
}
template <typename V>
void describe(V& v, Service& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}
template <typename V>
void describe(V& v, EndpointConditions& x) {
  v.field("ready", x.ready);
  v.field("serving", x.serving);
  v.field("terminating", x.terminating);
}
template <typename V>
void describe(V& v, ObjectReference& x) {
  v.field("kind", x.kind);
  v.field("namespace", x.ns);
  v.field("name", x.name);
}
template <typename V>
void describe(V& v, ZoneHint& x) {
  v.field("name", x.name);
}
template <typename V>
void describe(V& v, EndpointHints& x) {
  v.field("forZones", x.for_zones);
}
template <typename V>
void describe(V& v, Endpoint& x) {
  v.field("addresses", x.addresses);
  v.field("conditions", x.conditions);
  v.field("hostname", x.hostname);
  v.field("nodeName", x.node_name);
  v.field("zone", x.zone);
  v.field("targetRef", x.target);
  v.field("hints", x.hints);
}
template <typename V>
void describe(V& v, EndpointPort& x) {
  v.field("name", x.name);
  v.field("port", x.port);
  v.field("protocol", x.protocol);
  v.field("appProtocol", x.app_protocol);
}
template <typename V>
void describe(V& v, EndpointSlice& x) {
  v.field("metadata", x.meta);
  v.field("addressType", x.address_type);
  v.field("endpoints", x.endpoints);
  v.field("ports", x.ports);
}

}  // namespace tulle::k8s
