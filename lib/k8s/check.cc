// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/check.h"

#include <algorithm>
#include <unordered_set>

#include "lib/base/text.h"

namespace tulle::k8s {
namespace {

// Collects the first violation; `at` builds paths.
class Checker {
 public:
  void fail(std::string path, std::string reason) {
    if (!first_) first_ = Violation{std::move(path), std::move(reason)};
  }
  void require(bool holds, std::string_view path, std::string_view reason) {
    if (!holds) fail(std::string(path), std::string(reason));
  }
  void required(const std::string& value, std::string_view path) {
    require(!value.empty(), path, "is required");
  }
  void one_of(std::string_view value, std::initializer_list<std::string_view> allowed,
              std::string_view path) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
    std::string reason = concat("\"", value, "\" is not one of ");
    for (const std::string_view word : allowed) {
      if (word.empty()) continue;
      if (reason.back() != ' ') reason += ", ";
      reason += word;
    }
    fail(std::string(path), std::move(reason));
  }
  void port(std::int64_t value, std::string_view path) {
    require(value >= 1 && value <= 65535, path, "must be a port from 1 to 65535");
  }
  void port(const IntOrString& value, std::string_view path) {
    if (!value.is_name()) port(value.number, path);
  }
  std::optional<Violation> take() { return std::move(first_); }

 private:
  std::optional<Violation> first_;
};

std::string at(std::string_view list, std::size_t index, std::string_view field = {}) {
  std::string path = concat(list, "[");
  append_number(path, index);
  path += ']';
  if (!field.empty()) path += concat(".", field);
  return path;
}

void check_selector(Checker& c, const LabelSelector& selector, std::string_view path) {
  for (std::size_t i = 0; i < selector.match_expressions.size(); ++i) {
    const SelectorRequirement& term = selector.match_expressions[i];
    const std::string base = concat(path, ".matchExpressions");
    c.required(term.key, at(base, i, "key"));
    c.one_of(term.op, {"In", "NotIn", "Exists", "DoesNotExist"}, at(base, i, "operator"));
    const bool lists = term.op == "In" || term.op == "NotIn";
    c.require(lists != term.values.empty(), at(base, i, "values"),
              lists ? "must not be empty" : "must be empty with this operator");
  }
}

void check(Checker&, Namespace&) {}
void check(Checker&, ServiceAccount&) {}
void check(Checker&, ReplicaSet&) {}
void check(Checker&, Job&) {}
void check(Checker&, ServiceProfile&) {}
void check(Checker&, ExternalWorkload&) {}
void check(Checker&, Node&) {}

void check_containers(Checker& c, const Shared<Container>& containers, std::string_view path) {
  for (std::size_t i = 0; i < containers.size(); ++i) {
    c.required(containers[i].name, at(path, i, "name"));
    for (std::size_t k = 0; k < containers[i].ports.size(); ++k) {
      const ContainerPort& port = containers[i].ports[k];
      c.port(port.container_port, at(at(path, i, "ports"), k, "containerPort"));
      c.require(port.host_port >= 0 && port.host_port <= 65535,
                at(at(path, i, "ports"), k, "hostPort"), "must be a port");
      c.one_of(port.protocol, {"", "TCP", "UDP", "SCTP"}, at(at(path, i, "ports"), k, "protocol"));
    }
  }
}

void check(Checker& c, Pod& pod) {
  check_containers(c, pod.spec.containers, "spec.containers");
  check_containers(c, pod.spec.init_containers, "spec.initContainers");
  c.one_of(pod.status.phase, {"", "Pending", "Running", "Succeeded", "Failed", "Unknown"},
           "status.phase");
  auto& ips = pod.status.pod_ips;
  if (pod.status.pod_ip &&
      std::find(ips.begin(), ips.end(), PodIp{*pod.status.pod_ip}) == ips.end()) {
    ips.insert(ips.begin(), PodIp{*pod.status.pod_ip});
  }
}

void check(Checker& c, Service& service) {
  const ServiceSpec& spec = service.spec;
  c.one_of(spec.type, {"", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}, "spec.type");
  c.one_of(spec.internal_traffic_policy, {"", "Cluster", "Local"}, "spec.internalTrafficPolicy");
  const auto is_ip = [](const std::string& text) {
    return text.empty() || text == "None" || net::IpAddr::parse(text).has_value();
  };
  c.require(is_ip(spec.cluster_ip), "spec.clusterIP", "must be an IP address or None");
  for (std::size_t i = 0; i < spec.cluster_ips.size(); ++i) {
    c.require(is_ip(spec.cluster_ips[i]), at("spec.clusterIPs", i),
              "must be an IP address or None");
  }
  for (std::size_t i = 0; i < spec.ip_families.size(); ++i) {
    c.one_of(spec.ip_families[i], {"IPv4", "IPv6"}, at("spec.ipFamilies", i));
  }
  if (service.spec.cluster_ip.empty() && !spec.cluster_ips.empty()) {
    service.spec.cluster_ip = spec.cluster_ips.front();
  }
  std::unordered_set<std::string_view> names;
  for (std::size_t i = 0; i < spec.ports.size(); ++i) {
    const ServicePort& port = spec.ports[i];
    c.port(port.port, at("spec.ports", i, "port"));
    // 0 means absent, as the API server has it.
    if (port.target_port && (port.target_port->is_name() || port.target_port->number != 0)) {
      c.port(*port.target_port, at("spec.ports", i, "targetPort"));
    }
    c.one_of(port.protocol, {"", "TCP", "UDP", "SCTP"}, at("spec.ports", i, "protocol"));
    c.require(spec.ports.size() == 1 || !port.name.empty(), at("spec.ports", i, "name"),
              "is required where there are several ports");
    if (!names.insert(port.name).second) c.fail(at("spec.ports", i, "name"), "occurs twice");
  }
}

void check(Checker& c, EndpointSlice& slice) {
  c.one_of(slice.address_type, {"IPv4", "IPv6", "FQDN"}, "addressType");
  if (slice.address_type == "FQDN") return;
  for (std::size_t i = 0; i < slice.endpoints.size(); ++i) {
    const auto& addresses = slice.endpoints[i].addresses;
    for (std::size_t k = 0; k < addresses.size(); ++k) {
      const auto ip = net::IpAddr::parse(addresses[k]);
      c.require(ip && ip->is_v4() == (slice.address_type == "IPv4"),
                at(at("endpoints", i, "addresses"), k),
                concat("must be an address of type ", slice.address_type));
    }
  }
  for (std::size_t i = 0; i < slice.ports.size(); ++i) {
    if (slice.ports[i].port) c.port(*slice.ports[i].port, at("ports", i, "port"));
  }
}

void check(Checker& c, Server& server) {
  const ServerSpec& spec = server.spec;
  c.require(spec.port.is_name() || spec.port.number != 0, "spec.port", "is required");
  c.port(spec.port, "spec.port");
  c.require(spec.pod_selector.has_value() != spec.external_workload_selector.has_value(), "spec",
            "must have exactly one of podSelector and externalWorkloadSelector");
  if (spec.pod_selector) check_selector(c, *spec.pod_selector, "spec.podSelector");
  if (spec.external_workload_selector) {
    check_selector(c, *spec.external_workload_selector, "spec.externalWorkloadSelector");
  }
  c.one_of(spec.proxy_protocol, {"", "unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"},
           "spec.proxyProtocol");
  c.one_of(spec.access_policy,
           {"", "deny", "audit", "all-authenticated", "all-unauthenticated",
            "cluster-authenticated", "cluster-unauthenticated"},
           "spec.accessPolicy");
}

void check_networks(Checker& c, const std::vector<NetworkMatch>& networks, std::string_view path) {
  for (std::size_t i = 0; i < networks.size(); ++i) {
    const NetworkMatch& network = networks[i];
    if (!network.cidr) {
      c.fail(at(path, i, "cidr"), "is required");
      continue;
    }
    for (std::size_t k = 0; k < network.except.size(); ++k) {
      const net::Cidr& hole = network.except[k];
      const std::string where = at(at(path, i, "except"), k);
      c.require(network.cidr->contains(hole.ip) && hole.prefix >= network.cidr->prefix, where,
                "is outside of the network");
      c.require(hole.prefix != network.cidr->prefix, where, "takes away the whole network");
    }
  }
}

// A DNS-like identity with an optional leading "*" label, or a SPIFFE id.
bool is_identity(std::string_view identity) {
  constexpr std::string_view kSpiffe = "spiffe://";
  if (identity == "*") return true;
  if (!identity.starts_with(kSpiffe)) {
    if (identity.starts_with("*.")) identity.remove_prefix(2);
    return is_subdomain(identity);
  }
  std::string_view rest = identity.substr(kSpiffe.size());
  if (rest.empty() || identity.size() > 2048) return false;
  const auto segments = split(rest, '/');
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].empty() || segments[i] == "." || segments[i] == "..") return false;
    for (const char ch : segments[i]) {
      const bool upper = ch >= 'A' && ch <= 'Z';
      const bool plain =
          ascii_digit(ch) || (ch >= 'a' && ch <= 'z') || ch == '.' || ch == '-' || ch == '_';
      if (!plain && !(upper && i > 0)) return false;
    }
  }
  return true;
}

void check(Checker& c, ServerAuthorization& authz) {
  const ServerAuthorizationSpec& spec = authz.spec;
  c.require(spec.server.name.empty() == spec.server.selector.has_value(), "spec.server",
            "must have exactly one of name and selector");
  if (spec.server.selector) check_selector(c, *spec.server.selector, "spec.server.selector");
  if (spec.client.networks) check_networks(c, *spec.client.networks, "spec.client.networks");
  c.require(!(spec.client.unauthenticated && spec.client.mesh_tls), "spec.client",
            "must not have both unauthenticated and meshTLS");
  if (!spec.client.mesh_tls) return;
  const MeshTlsClient& tls = *spec.client.mesh_tls;
  c.require(!tls.unauthenticated_tls || (tls.identities.empty() && tls.service_accounts.empty()),
            "spec.client.meshTLS", "must not have identities with unauthenticatedTLS");
  for (std::size_t i = 0; i < tls.identities.size(); ++i) {
    c.require(is_identity(tls.identities[i]), at("spec.client.meshTLS.identities", i),
              "is not an identity");
  }
  for (std::size_t i = 0; i < tls.service_accounts.size(); ++i) {
    c.required(tls.service_accounts[i].name, at("spec.client.meshTLS.serviceAccounts", i, "name"));
  }
}

bool is_core(std::string_view group) { return group.empty() || group == "core"; }
bool is_service_account(const TargetRef& ref) {
  return is_core(ref.group) && ref.kind == "ServiceAccount";
}

void check(Checker& c, AuthorizationPolicy& policy) {
  const TargetRef& target = policy.spec.target;
  c.required(target.kind, "spec.targetRef.kind");
  c.required(target.name, "spec.targetRef.name");
  const bool gateway = target.group == "gateway.networking.k8s.io";
  const bool ours = target.group == kPolicyGroup;
  const bool known = (ours && target.kind == "Server") ||
                     ((ours || gateway) && target.kind == "HTTPRoute") ||
                     (gateway && target.kind == "GRPCRoute") ||
                     (is_core(target.group) && target.kind == "Namespace");
  c.require(known, "spec.targetRef", "must be a Server, a Namespace, an HTTPRoute or a GRPCRoute");
  c.require(target.kind != "Namespace" || target.name == policy.meta.ns, "spec.targetRef.name",
            "must be the policy's own namespace");
  // Without it nobody would be asked for anything; who means that writes an empty list.
  if (!policy.spec.required) {
    c.fail("spec.requiredAuthenticationRefs", "is required");
    return;
  }
  const std::vector<TargetRef>& refs = *policy.spec.required;
  int mesh = 0, network = 0, account = 0;
  for (std::size_t i = 0; i < refs.size(); ++i) {
    const TargetRef& ref = refs[i];
    const bool policy_kind = ref.group == kPolicyGroup;
    if (policy_kind && ref.kind == "MeshTLSAuthentication") {
      ++mesh;
    } else if (policy_kind && ref.kind == "NetworkAuthentication") {
      ++network;
    } else if (is_service_account(ref)) {
      ++account;
    } else {
      c.fail(at("spec.requiredAuthenticationRefs", i),
             "must be a MeshTLSAuthentication, a NetworkAuthentication or a ServiceAccount");
    }
    c.required(ref.name, at("spec.requiredAuthenticationRefs", i, "name"));
  }
  c.require(mesh + account <= 1, "spec.requiredAuthenticationRefs",
            "must have at most one MeshTLSAuthentication or ServiceAccount");
  c.require(network <= 1, "spec.requiredAuthenticationRefs",
            "must have at most one NetworkAuthentication");
}

void check(Checker& c, MeshTlsAuthentication& authn) {
  const MeshTlsAuthenticationSpec& spec = authn.spec;
  c.require(spec.identities.empty() != spec.identity_refs.empty(), "spec",
            "must have exactly one of identities and identityRefs");
  for (std::size_t i = 0; i < spec.identities.size(); ++i) {
    c.require(is_identity(spec.identities[i]), at("spec.identities", i), "is not an identity");
  }
  for (std::size_t i = 0; i < spec.identity_refs.size(); ++i) {
    const TargetRef& ref = spec.identity_refs[i];
    const bool is_namespace = is_core(ref.group) && ref.kind == "Namespace";
    c.require(is_service_account(ref) || is_namespace, at("spec.identityRefs", i),
              "must be a ServiceAccount or a Namespace");
    c.require(!is_namespace || ref.ns.empty(), at("spec.identityRefs", i, "namespace"),
              "must be absent for a Namespace");
    // A Namespace without a name means the object's own.
    c.require(is_namespace || !ref.name.empty(), at("spec.identityRefs", i, "name"), "is required");
  }
}

void check(Checker& c, NetworkAuthentication& authn) {
  c.require(!authn.spec.networks.empty(), "spec.networks", "must not be empty");
  check_networks(c, authn.spec.networks, "spec.networks");
}

void check(Checker& c, HttpLocalRateLimitPolicy& policy) {
  const HttpLocalRateLimitPolicySpec& spec = policy.spec;
  c.require(spec.target.group == kPolicyGroup && spec.target.kind == "Server", "spec.targetRef",
            "must be a Server");
  c.required(spec.target.name, "spec.targetRef.name");
  const std::uint32_t most =
      spec.total ? spec.total->requests_per_second : std::numeric_limits<std::uint32_t>::max();
  c.require(most > 0, "spec.total.requestsPerSecond", "must not be 0");
  if (spec.identity) {
    const std::uint32_t rate = spec.identity->requests_per_second;
    c.require(rate > 0 && rate <= most, "spec.identity.requestsPerSecond",
              "must be from 1 to the total");
  }
  for (std::size_t i = 0; i < spec.overrides.size(); ++i) {
    const std::uint32_t rate = spec.overrides[i].requests_per_second;
    c.require(rate > 0 && rate <= most, at("spec.overrides", i, "requestsPerSecond"),
              "must be from 1 to the total");
    for (std::size_t k = 0; k < spec.overrides[i].clients.size(); ++k) {
      c.require(is_service_account(spec.overrides[i].clients[k]),
                at(at("spec.overrides", i, "clientRefs"), k), "must be a ServiceAccount");
    }
  }
}

template <typename M>
void check_route(Checker& c, const RouteSpec<M>& spec) {
  for (std::size_t i = 0; i < spec.parents.size(); ++i) {
    c.required(spec.parents[i].name, at("spec.parentRefs", i, "name"));
    if (spec.parents[i].port) c.port(*spec.parents[i].port, at("spec.parentRefs", i, "port"));
  }
  for (std::size_t i = 0; i < spec.rules.size(); ++i) {
    const std::string backends = at("spec.rules", i, "backendRefs");
    for (std::size_t k = 0; k < spec.rules[i].backends.size(); ++k) {
      c.required(spec.rules[i].backends[k].name, at(backends, k, "name"));
      c.require(spec.rules[i].backends[k].weight >= 0, at(backends, k, "weight"),
                "must not be negative");
    }
  }
}
template <typename M, const KindName& kName>
void check(Checker& c, Route<M, kName>& route) {
  if constexpr (kName.group == kPolicyGroup) {
    for (ParentRef& parent : route.spec.parents) {
      if (!parent.group) parent.group = kPolicyGroup;  // the default of the CRD
    }
  }
  check_route(c, route.spec);
}

void check(Checker& c, EgressNetwork& egress) {
  c.one_of(egress.spec.traffic_policy, {"Allow", "Deny"}, "spec.trafficPolicy");
  if (!egress.spec.networks) return;
  c.require(!egress.spec.networks->empty(), "spec.networks", "must not be empty");
  check_networks(c, *egress.spec.networks, "spec.networks");
}

}  // namespace

bool is_subdomain(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  char before = '.';
  for (const char c : name) {
    const bool alnum = ascii_digit(c) || (c >= 'a' && c <= 'z');
    if (!alnum && c != '-' && c != '.') return false;
    if (!alnum && (before == '.' || (c == '.' && before == '-'))) return false;
    before = c;
  }
  return before != '.' && before != '-';
}

std::optional<Violation> complete_and_check(Object& object) {
  return std::visit(
      [](auto& value) {
        Checker checker;
        ObjectMeta& meta = value.meta;
        if (!value.kKind.namespaced) meta.ns.clear();
        if (value.kKind.namespaced && meta.ns.empty()) meta.ns = "default";
        checker.required(meta.name, "metadata.name");
        checker.require(is_subdomain(meta.name), "metadata.name",
                        "must be lower-case letters, digits, '-' and '.'");
        checker.require(meta.ns.empty() || is_subdomain(meta.ns), "metadata.namespace",
                        "must be lower-case letters, digits and '-'");
        check(checker, value);
        return checker.take();
      },
      object);
}

}  // namespace tulle::k8s
