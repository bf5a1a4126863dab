// SPDX-License-Identifier: Apache-2.0
// What the operator has decided for the whole mesh, as the roles need it, and the names that follow
// from it. Plain values; made once by main.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/ports.h"
#include "lib/base/time.h"
#include "lib/k8s/objects.h"
#include "lib/net/address.h"

namespace tulle::control {

// Who may come in where no Server says otherwise (docs/reference/control-plane.md §6.3).
enum class DefaultPolicy {
  AllUnauthenticated,
  AllAuthenticated,
  ClusterUnauthenticated,
  ClusterAuthenticated,
  Deny,
  Audit,
};
std::optional<DefaultPolicy> parse_default_policy(std::string_view text) noexcept;
std::string_view to_string(DefaultPolicy policy) noexcept;

inline constexpr std::string_view kMeshedLabel = "linkerd.io/control-plane-ns";
inline constexpr std::string_view kOpaquePortsAnnotation = "config.linkerd.io/opaque-ports";
inline constexpr std::string_view kSkipInboundAnnotation = "config.linkerd.io/skip-inbound-ports";
inline constexpr std::string_view kDefaultPolicyAnnotation =
    "config.linkerd.io/default-inbound-policy";
inline constexpr std::string_view kRequireIdentityAnnotation =
    "config.linkerd.io/proxy-require-identity-inbound-ports";
inline constexpr std::string_view kTrustRootAnnotation = "linkerd.io/trust-root-sha256";
inline constexpr std::string_view kProxyContainer = "linkerd-proxy";

struct MeshConfig {
  std::string controller_namespace = "linkerd";
  std::string cluster_domain = "cluster.local";
  std::string trust_domain = "cluster.local";
  // The ranges of pods, Services and nodes: "the cluster" of cluster-(un)authenticated.
  std::vector<net::Cidr> cluster_networks;
  // Where kubelets probe from; no route for probes without it.
  std::vector<net::Cidr> probe_networks;
  DefaultPolicy default_inbound_policy = DefaultPolicy::AllUnauthenticated;
  PortSet default_opaque_ports;
  // Send every meshed connection to the peer's inbound port with a transport header, as Linkerd's
  // chart does; otherwise only opaque ones.
  bool force_transport_header = true;
  bool ipv6 = true;
  // Meshed peers speak HTTP/2 to each other also for what applications send as HTTP/1.
  bool h2_upgrade = true;
  // How a proxy keeps HTTP/2 connections to another one alive.
  struct KeepAlive {
    Duration interval = 10s;
    Duration timeout = 3s;
    bool while_idle = true;
  } meshed_keep_alive;
  // Its EgressNetworks are for clients of every namespace.
  std::string global_egress_namespace = "linkerd-egress";

  MeshConfig();

  // <sa>.<ns>.serviceaccount.identity.<controller namespace>.<trust domain>
  std::string identity_of(std::string_view service_account, std::string_view ns) const;
  // <service>.<ns>.svc.<cluster domain>
  std::string fqdn(std::string_view service, std::string_view ns) const;
};

inline constexpr std::string_view kDefaultOpaquePorts = "25,587,3306,4444,5432,6379,9300,11211";
inline constexpr std::string_view kDefaultClusterNetworks =
    "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fd00::/8";

// The proxy container of a pod, as a container or a native sidecar; null if it has none.
const k8s::Container* proxy_container(const k8s::Pod& pod) noexcept;
// Meshed: labelled *and* carrying a proxy. Pods of the control plane itself have the label only.
bool is_meshed(const k8s::Pod& pod) noexcept;
// The pod's service account, "default" if it names none.
std::string_view service_account_of(const k8s::Pod& pod) noexcept;
// The port of an address in the proxy's environment ("0.0.0.0:4143"), if it is there.
std::optional<std::uint16_t> proxy_port(const k8s::Pod& pod, std::string_view variable) noexcept;

}  // namespace tulle::control
