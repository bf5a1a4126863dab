// SPDX-License-Identifier: Apache-2.0
#include "control/config.h"

#include "lib/base/text.h"

namespace tulle::control {
namespace {

constexpr std::pair<std::string_view, DefaultPolicy> kPolicies[] = {
    {"all-unauthenticated", DefaultPolicy::AllUnauthenticated},
    {"all-authenticated", DefaultPolicy::AllAuthenticated},
    {"cluster-unauthenticated", DefaultPolicy::ClusterUnauthenticated},
    {"cluster-authenticated", DefaultPolicy::ClusterAuthenticated},
    {"deny", DefaultPolicy::Deny},
    {"audit", DefaultPolicy::Audit},
};

}  // namespace

std::optional<DefaultPolicy> parse_default_policy(std::string_view text) noexcept {
  for (const auto& [name, policy] : kPolicies) {
    if (name == text) return policy;
  }
  return std::nullopt;
}

std::string_view to_string(DefaultPolicy policy) noexcept {
  for (const auto& [name, value] : kPolicies) {
    if (value == policy) return name;
  }
  return "";
}

MeshConfig::MeshConfig() {
  default_opaque_ports = *PortSet::parse(kDefaultOpaquePorts);
  for (const std::string_view item : split(kDefaultClusterNetworks, ',')) {
    cluster_networks.push_back(*net::Cidr::parse(item));
  }
}

std::string MeshConfig::identity_of(std::string_view service_account, std::string_view ns) const {
  return concat(service_account, ".", ns, ".serviceaccount.identity.", controller_namespace, ".",
                trust_domain);
}

std::string MeshConfig::fqdn(std::string_view service, std::string_view ns) const {
  return concat(service, ".", ns, ".svc.", cluster_domain);
}

const k8s::Container* proxy_container(const k8s::Pod& pod) noexcept {
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : *list) {
      if (container.name == kProxyContainer) return &container;
    }
  }
  return nullptr;
}

bool is_meshed(const k8s::Pod& pod) noexcept {
  return pod.meta.labels.contains(kMeshedLabel) && proxy_container(pod) != nullptr;
}

std::string_view service_account_of(const k8s::Pod& pod) noexcept {
  return pod.spec.service_account.empty() ? std::string_view("default")
                                          : std::string_view(pod.spec.service_account);
}

std::optional<std::uint16_t> proxy_port(const k8s::Pod& pod, std::string_view variable) noexcept {
  const k8s::Container* const proxy = proxy_container(pod);
  if (proxy == nullptr) return std::nullopt;
  for (const k8s::EnvVar& env : proxy->env) {
    if (env.name != variable) continue;
    const auto address = net::SocketAddr::parse(env.value);
    if (!address || address->port == 0) return std::nullopt;
    return address->port;
  }
  return std::nullopt;
}

}  // namespace tulle::control
