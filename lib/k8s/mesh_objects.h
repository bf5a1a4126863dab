// SPDX-License-Identifier: Apache-2.0
// The kinds of linkerd.io and workload.linkerd.io, as plain structs with their descriptions (see
// objects.h). Of ServiceProfiles the conditions of routes and responses are not read yet.
#pragma once

#include <string>
#include <vector>

#include "lib/k8s/objects.h"

namespace tulle::k8s {

struct ProfileRoute {
  std::string name;
  bool is_retryable = false;
  std::string timeout;  // a Go duration, "" means none
  friend bool operator==(const ProfileRoute&, const ProfileRoute&) = default;
};

struct WeightedDestination {
  std::string authority;
  IntOrString weight;  // a quantity: 1, 500m
  friend bool operator==(const WeightedDestination&, const WeightedDestination&) = default;
};

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

struct WorkloadTls {
  std::string identity;
  std::string server_name;
  friend bool operator==(const WorkloadTls&, const WorkloadTls&) = default;
};

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
