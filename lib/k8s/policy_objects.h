// SPDX-License-Identifier: Apache-2.0
// The policy kinds of policy.linkerd.io, as plain structs with their descriptions (see objects.h).
// Versions of a kind differ only by fields that older ones lack, so one struct reads them all.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/k8s/objects.h"

namespace tulle::k8s {

inline constexpr std::string_view kPolicyGroup = "policy.linkerd.io";

// A reference within the namespace of the object that holds it, unless ns is set.
struct TargetRef {
  std::string group;
  std::string kind;
  std::string name;
  std::string ns;
  friend bool operator==(const TargetRef&, const TargetRef&) = default;
};

// Addresses of clients: those in `cidr` but not in one of `except`.
struct NetworkMatch {
  std::optional<net::Cidr> cidr;  // required: a network that is not named is not everything
  std::vector<net::Cidr> except;
  friend bool operator==(const NetworkMatch&, const NetworkMatch&) = default;
};

// Selects one port of the pods or the external workloads that have the labels, and says how it is
// served.
struct ServerSpec {
  std::optional<LabelSelector> pod_selector;
  std::optional<LabelSelector> external_workload_selector;
  IntOrString port;
  std::string proxy_protocol;  // "" means unknown: detect
  std::string access_policy;   // "" means deny
  friend bool operator==(const ServerSpec&, const ServerSpec&) = default;
};

// A port of workloads, the thing that authorizations, routes and rate limits attach to.
struct Server {
  static constexpr KindName kKind{kPolicyGroup, "Server"};
  ObjectMeta meta;
  ServerSpec spec;
  friend bool operator==(const Server&, const Server&) = default;
};

// Servers in the namespace of the object: by name, or by their labels.
struct ServerSelector {
  std::string name;
  std::optional<LabelSelector> selector;
  friend bool operator==(const ServerSelector&, const ServerSelector&) = default;
};

struct ServiceAccountRef {
  std::string name;
  std::string ns;  // "" means the namespace of the object
  friend bool operator==(const ServiceAccountRef&, const ServiceAccountRef&) = default;
};

// Clients that prove an identity. `identities`: "*" is any, "*.x.y" any below x.y, anything else
// one exactly. `unauthenticated_tls`: mesh TLS is enough, no identity is asked for, and the lists
// do not count.
struct MeshTlsClient {
  bool unauthenticated_tls = false;
  std::vector<std::string> identities;
  std::vector<ServiceAccountRef> service_accounts;
  friend bool operator==(const MeshTlsClient&, const MeshTlsClient&) = default;
};

// Who may come: from one of the networks (absent or empty: those of the cluster), and either
// anybody or clients with mesh TLS. Neither of both grants nothing.
struct ClientSpec {
  std::optional<std::vector<NetworkMatch>> networks;
  bool unauthenticated = false;
  std::optional<MeshTlsClient> mesh_tls;
  friend bool operator==(const ClientSpec&, const ClientSpec&) = default;
};

struct ServerAuthorizationSpec {
  ServerSelector server;
  ClientSpec client;
  friend bool operator==(const ServerAuthorizationSpec&, const ServerAuthorizationSpec&) = default;
};

// The older form of an AuthorizationPolicy: it names Servers and clients in one object.
struct ServerAuthorization {
  static constexpr KindName kKind{kPolicyGroup, "ServerAuthorization"};
  ObjectMeta meta;
  ServerAuthorizationSpec spec;
  friend bool operator==(const ServerAuthorization&, const ServerAuthorization&) = default;
};

// `target`: a Server, a route, or the Namespace with all its Servers. `required`: authentications
// that must all be met, at most one for networks and one for identities; two of a kind, or one that
// is not there or not known, grant nothing. None: everybody.
struct AuthorizationPolicySpec {
  TargetRef target;
  // Required, but may be empty: then everybody is admitted.
  std::optional<std::vector<TargetRef>> required;
  friend bool operator==(const AuthorizationPolicySpec&, const AuthorizationPolicySpec&) = default;
};

struct AuthorizationPolicy {
  static constexpr KindName kKind{kPolicyGroup, "AuthorizationPolicy"};
  ObjectMeta meta;
  AuthorizationPolicySpec spec;
  friend bool operator==(const AuthorizationPolicy&, const AuthorizationPolicy&) = default;
};

// Identities as in MeshTlsClient; references name ServiceAccounts, or a Namespace with all of its.
struct MeshTlsAuthenticationSpec {
  std::vector<std::string> identities;
  std::vector<TargetRef> identity_refs;
  friend bool operator==(const MeshTlsAuthenticationSpec&,
                         const MeshTlsAuthenticationSpec&) = default;
};

struct MeshTlsAuthentication {
  static constexpr KindName kKind{kPolicyGroup, "MeshTLSAuthentication"};
  ObjectMeta meta;
  MeshTlsAuthenticationSpec spec;
  friend bool operator==(const MeshTlsAuthentication&, const MeshTlsAuthentication&) = default;
};

// A client comes from one of these.
struct NetworkAuthenticationSpec {
  std::vector<NetworkMatch> networks;
  friend bool operator==(const NetworkAuthenticationSpec&,
                         const NetworkAuthenticationSpec&) = default;
};

struct NetworkAuthentication {
  static constexpr KindName kKind{kPolicyGroup, "NetworkAuthentication"};
  ObjectMeta meta;
  NetworkAuthenticationSpec spec;
  friend bool operator==(const NetworkAuthentication&, const NetworkAuthentication&) = default;
};

// More than 0: the validator refuses 0.
struct RateLimit {
  std::uint32_t requests_per_second = 0;
  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

// The ServiceAccounts in `clients` share this one limit, in place of `identity`.
struct RateLimitOverride {
  std::uint32_t requests_per_second = 0;
  std::vector<TargetRef> clients;
  friend bool operator==(const RateLimitOverride&, const RateLimitOverride&) = default;
};

// `target`: a Server. `total`: of all requests together; `identity`: of each client identity, with
// one for all clients that have none. Counted in each proxy by itself. An absent limit does not
// limit.
struct HttpLocalRateLimitPolicySpec {
  TargetRef target;
  std::optional<RateLimit> total;
  std::optional<RateLimit> identity;
  std::vector<RateLimitOverride> overrides;
  friend bool operator==(const HttpLocalRateLimitPolicySpec&,
                         const HttpLocalRateLimitPolicySpec&) = default;
};

// A condition of a status as it is written, so that those of other controllers can be kept.
struct StatusCondition {
  std::string type;
  std::string status;
  std::string reason;
  std::string message;
  std::string last_transition;
  std::int64_t observed_generation = 0;
  friend bool operator==(const StatusCondition&, const StatusCondition&) = default;
};

// Statuses are written by control/status and never decide anything.
struct PolicyStatus {
  std::vector<StatusCondition> conditions;
  std::optional<TargetRef> target;
  friend bool operator==(const PolicyStatus&, const PolicyStatus&) = default;
};

struct HttpLocalRateLimitPolicy {
  static constexpr KindName kKind{kPolicyGroup, "HTTPLocalRateLimitPolicy"};
  ObjectMeta meta;
  HttpLocalRateLimitPolicySpec spec;
  PolicyStatus status;
  friend bool operator==(const HttpLocalRateLimitPolicy&,
                         const HttpLocalRateLimitPolicy&) = default;
};

// Addresses outside of the cluster; `traffic_policy` is for what no route of the network names.
struct EgressNetworkSpec {
  std::string traffic_policy;                         // Allow, Deny
  std::optional<std::vector<NetworkMatch>> networks;  // absent: all outside of the cluster networks
  friend bool operator==(const EgressNetworkSpec&, const EgressNetworkSpec&) = default;
};

// Counts for clients in its own namespace; the mesh's (in the namespace that the chart names) for
// those whose namespace has none.
struct EgressNetwork {
  static constexpr KindName kKind{kPolicyGroup, "EgressNetwork"};
  ObjectMeta meta;
  EgressNetworkSpec spec;
  PolicyStatus status;
  friend bool operator==(const EgressNetwork&, const EgressNetwork&) = default;
};

// The descriptions: names of fields as in YAML and JSON, in the order of the structs.
template <typename V>
void describe(V& v, TargetRef& x) {
  v.field("group", x.group);
  v.field("kind", x.kind);
  v.field("name", x.name);
  v.field("namespace", x.ns);
}
template <typename V>
void describe(V& v, NetworkMatch& x) {
  v.field("cidr", x.cidr);
  v.field("except", x.except);
}
template <typename V>
void describe(V& v, ServerSpec& x) {
  v.field("podSelector", x.pod_selector);
  v.field("externalWorkloadSelector", x.external_workload_selector);
  v.field("port", x.port);
  v.field("proxyProtocol", x.proxy_protocol);
  v.field("accessPolicy", x.access_policy);
}
template <typename V>
void describe(V& v, Server& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}
template <typename V>
void describe(V& v, ServerSelector& x) {
  v.field("name", x.name);
  v.field("selector", x.selector);
}
template <typename V>
void describe(V& v, ServiceAccountRef& x) {
  v.field("name", x.name);
  v.field("namespace", x.ns);
}
template <typename V>
void describe(V& v, MeshTlsClient& x) {
  v.field("unauthenticatedTLS", x.unauthenticated_tls);
  v.field("identities", x.identities);
  v.field("serviceAccounts", x.service_accounts);
}
template <typename V>
void describe(V& v, ClientSpec& x) {
  v.field("networks", x.networks);
  v.field("unauthenticated", x.unauthenticated);
  v.field("meshTLS", x.mesh_tls);
}
template <typename V>
void describe(V& v, ServerAuthorizationSpec& x) {
  v.field("server", x.server);
  v.field("client", x.client);
}
template <typename V>
void describe(V& v, ServerAuthorization& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}
template <typename V>
void describe(V& v, AuthorizationPolicySpec& x) {
  v.field("targetRef", x.target);
  v.field("requiredAuthenticationRefs", x.required);
}
template <typename V>
void describe(V& v, AuthorizationPolicy& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}
template <typename V>
void describe(V& v, MeshTlsAuthenticationSpec& x) {
  v.field("identities", x.identities);
  v.field("identityRefs", x.identity_refs);
}
template <typename V>
void describe(V& v, MeshTlsAuthentication& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}
template <typename V>
void describe(V& v, NetworkAuthenticationSpec& x) {
  v.field("networks", x.networks);
}
template <typename V>
void describe(V& v, NetworkAuthentication& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}
template <typename V>
void describe(V& v, RateLimit& x) {
  v.field("requestsPerSecond", x.requests_per_second);
}
template <typename V>
void describe(V& v, RateLimitOverride& x) {
  v.field("requestsPerSecond", x.requests_per_second);
  v.field("clientRefs", x.clients);
}
template <typename V>
void describe(V& v, StatusCondition& x) {
  v.field("type", x.type);
  v.field("status", x.status);
  v.field("reason", x.reason);
  v.field("message", x.message);
  v.field("lastTransitionTime", x.last_transition);
  v.field("observedGeneration", x.observed_generation);
}
template <typename V>
void describe(V& v, PolicyStatus& x) {
  v.field("conditions", x.conditions);
  v.field("targetRef", x.target);
}
template <typename V>
void describe(V& v, HttpLocalRateLimitPolicySpec& x) {
  v.field("targetRef", x.target);
  v.field("total", x.total);
  v.field("identity", x.identity);
  v.field("overrides", x.overrides);
}
template <typename V>
void describe(V& v, HttpLocalRateLimitPolicy& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
  v.field("status", x.status);
}
template <typename V>
void describe(V& v, EgressNetworkSpec& x) {
  v.field("trafficPolicy", x.traffic_policy);
  v.field("networks", x.networks);
}
template <typename V>
void describe(V& v, EgressNetwork& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
  v.field("status", x.status);
}

}  // namespace tulle::k8s
