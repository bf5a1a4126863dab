// SPDX-License-Identifier: Apache-2.0
#include "control/policy/probes.h"

#include <algorithm>
#include <array>

#include "control/policy/authz.h"
#include "control/wire.h"
#include "lib/base/text.h"
#include "lib/k8s/node_addresses.h"

namespace tulle::control {
namespace {

// A probe's port name is one of its own container.
bool is_on(const k8s::Container& container, const k8s::IntOrString& port, std::uint16_t wanted) {
  if (!port.is_name()) return port.number == wanted;
  return std::any_of(container.ports.begin(), container.ports.end(),
                     [&](const k8s::ContainerPort& own) {
                       return own.name == port.name && own.container_port == wanted;
                     });
}

ProbeTarget target_of(const k8s::HttpGetAction& get) {
  ProbeTarget target{get.path.substr(0, get.path.find('#')), get.scheme == "HTTPS"};
  if (target.text.empty() || target.text[0] != '/') target.text.insert(target.text.begin(), '/');
  return target;
}

// The address after that of the network.
net::Cidr first_address(const net::Cidr& network) {
  std::array<std::uint8_t, 16> octets{};
  const Bytes from = network.ip.octets();
  std::copy(from.begin(), from.end(), octets.begin());
  const std::size_t last = from.size() - 1;
  for (std::size_t bit = network.prefix; bit < from.size() * 8; ++bit)
    octets[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> (bit % 8)));
  octets[last] |= 1;
  const auto at = [&](std::size_t i) { return static_cast<std::uint32_t>(octets[i]); };
  const net::IpAddr ip = network.ip.is_v4()
                             ? net::IpAddr::v4(at(0) << 24U | at(1) << 16U | at(2) << 8U | at(3))
                             : net::IpAddr::v6(octets);
  return {ip, static_cast<std::uint8_t>(from.size() * 8)};
}

net::Cidr one_host(const net::IpAddr& ip) {
  return {ip, static_cast<std::uint8_t>(ip.is_v4() ? 32 : 128)};
}

}  // namespace

std::vector<ProbeTarget> probes_on(const k8s::Pod& pod, std::uint16_t port) {
  std::vector<ProbeTarget> out;
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : *list) {
      for (const auto* const probe :
           {&container.liveness, &container.readiness, &container.startup}) {
        if (!*probe || !(*probe)->http_get) continue;
        if (!is_on(container, (*probe)->http_get->port, port)) continue;
        ProbeTarget target = target_of(*(*probe)->http_get);
        if (std::find(out.begin(), out.end(), target) == out.end())
          out.push_back(std::move(target));
      }
    }
  }
  return out;
}

std::vector<net::Cidr> node_addresses(const View& view, const MeshConfig& config,
                                      const k8s::Pod& pod) {
  std::vector<net::Cidr> out;
  const auto add = [&](const net::Cidr& address) {
    const bool asked =
        std::any_of(config.probe_networks.begin(), config.probe_networks.end(),
                    [&](const net::Cidr& network) { return network.contains(address.ip); });
    if (asked && std::find(out.begin(), out.end(), address) == out.end()) out.push_back(address);
  };
  const auto add_text = [&](std::string_view text) {
    if (const auto cidr = net::Cidr::parse(trim(text))) add(one_host(cidr->ip));
  };
  if (pod.status.host_ip) add(one_host(*pod.status.host_ip));
  const k8s::Node* const node =
      pod.spec.node_name.empty() ? nullptr : view.node(pod.spec.node_name);
  if (node == nullptr) return out;
  for (const k8s::NodeAddress& address : node->status.addresses) add_text(address.address);
  const auto add_network = [&](std::string_view text) {
    if (const auto cidr = net::Cidr::parse(text)) add(first_address(*cidr));
  };
  add_network(node->spec.pod_cidr);
  for (const std::string& cidr : node->spec.pod_cidrs) add_network(cidr);
  for (const std::string_view key : k8s::kNodeAddressAnnotations) {
    const std::string* const list = node->meta.annotations.find(key);
    if (list == nullptr) continue;
    for (const std::string_view one : split(*list, ',')) add_text(one);
  }
  return out;
}

pb::inbound::HttpRoute probe_route(const std::vector<net::Cidr>& networks,
                                   const std::vector<ProbeTarget>& targets) {
  pb::inbound::HttpRoute probe;
  probe.metadata = default_metadata("probe");
  probe.authorizations.push_back(unauthenticated_from(networks, "probe"));
  std::vector<std::string_view> paths;
  for (const ProbeTarget& target : targets) {
    if (std::find(paths.begin(), paths.end(), target.path()) != paths.end()) continue;
    paths.push_back(target.path());
    auto& match = probe.rules.emplace_back().matches.emplace_back();
    match.path.make().set_exact(std::string(target.path()));
    match.method.make().set_registered(pb::http_types::HttpMethod::Registered::GET);
  }
  return probe;
}

}  // namespace tulle::control
