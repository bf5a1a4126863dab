// SPDX-License-Identifier: Apache-2.0
// The kinds of linkerd.io and workload.linkerd.io, as plain structs with their descriptions (see
// objects.h). Of ServiceProfiles the conditions of routes and responses are not read yet.
#pragma once

#include <string>
#include <vector>

#include "lib/k8s/objects.h"

namespace tulle::k8s {

// A named class of requests. Kept for the validator and for counts; not served yet.
struct ProfileRoute {
  std::string name;
  bool is_retryable = false;
  std::string timeout;  // a Go duration, "" means none
  friend bool operator==(const ProfileRoute&, const ProfileRoute&) = default;
};

// A share of the traffic, which goes to another authority than the profile's own.
struct WeightedDestination {
  std::string authority;
  IntOrString weight;  // a quantity: 1, 500m
  friend bool operator==(const WeightedDestination&, const WeightedDestination&) = default;
};

// `opaque_ports`: "25,3306,8000-8099", one item each.
struct ServiceProfileSpec {
  std::vector<ProfileRoute> routes;
  std::vector<WeightedDestination> dst_overrides;
  std::vector<std::string> opaque_ports;
  friend bool operator==(const ServiceProfileSpec&, const ServiceProfileSpec&) = default;
};

// Its name is the Service's name in DNS.
struct ServiceProfile {
  static constexpr KindName kKind{"linkerd.io", "ServiceProfile"};
  ObjectMeta meta;
  ServiceProfileSpec spec;
  friend bool operator==(const ServiceProfile&, const ServiceProfile&) = default;
};

// How the workload proves itself: a SPIFFE URI or a name, and the name that clients send as SNI.
struct WorkloadTls {
  std::string identity;
  std::string server_name;
  friend bool operator==(const WorkloadTls&, const WorkloadTls&) = default;
};

// The port named "linkerd-proxy" is where the workload's proxy takes mesh connections; without one
// it is 4143.
struct WorkloadPort {
  std::string name;
  std::int32_t port = 0;
  std::string protocol;  // "" means TCP
  friend bool operator==(const WorkloadPort&, const WorkloadPort&) = default;
};

struct ExternalWorkloadSpec {
  WorkloadTls tls;
  std::vector<WorkloadPort> ports;
  std::vector<PodIp> ips;
  friend bool operator==(const ExternalWorkloadSpec&, const ExternalWorkloadSpec&) = default;
};

// The condition "Ready" decides whether it is an endpoint.
struct ExternalWorkloadStatus {
  std::vector<Condition> conditions;
  friend bool operator==(const ExternalWorkloadStatus&, const ExternalWorkloadStatus&) = default;
};

// A machine outside of the cluster that is part of the mesh.
struct ExternalWorkload {
  static constexpr KindName kKind{"workload.linkerd.io", "ExternalWorkload"};
  ObjectMeta meta;
  ExternalWorkloadSpec spec;
  ExternalWorkloadStatus status;
  friend bool operator==(const ExternalWorkload&, const ExternalWorkload&) = default;
};

// The descriptions: names of fields as in YAML and JSON.
template <typename V>
void describe(V& v, ProfileRoute& x) {
  v.field("name", x.name);
  v.field("isRetryable", x.is_retryable);
  v.field("timeout", x.timeout);
}
template <typename V>
void describe(V& v, WeightedDestination& x) {
  v.field("authority", x.authority);
  v.field("weight", x.weight);
}
template <typename V>
void describe(V& v, ServiceProfileSpec& x) {
  v.field("routes", x.routes);
  v.field("dstOverrides", x.dst_overrides);
  v.field("opaquePorts", x.opaque_ports);
}
template <typename V>
void describe(V& v, ServiceProfile& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}
template <typename V>
void describe(V& v, WorkloadTls& x) {
  v.field("identity", x.identity);
  v.field("serverName", x.server_name);
}
template <typename V>
void describe(V& v, WorkloadPort& x) {
  v.field("name", x.name);
  v.field("port", x.port);
  v.field("protocol", x.protocol);
}
template <typename V>
void describe(V& v, ExternalWorkloadSpec& x) {
  v.field("meshTLS", x.tls);
  v.field("meshTls", x.tls);  // as v1alpha1 has it
  v.field("ports", x.ports);
  v.field("workloadIPs", x.ips);
}
template <typename V>
void describe(V& v, ExternalWorkloadStatus& x) {
  v.field("conditions", x.conditions);
}
template <typename V>
void describe(V& v, ExternalWorkload& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
  v.field("status", x.status);
}

}  // namespace tulle::k8s
