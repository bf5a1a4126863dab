// SPDX-License-Identifier: Apache-2.0
#include "local/services.h"

#include <algorithm>
#include <map>
#include <set>

#include "lib/base/text.h"

namespace tulle::local {
namespace {

constexpr std::uint32_t kTtl = 5;  // seconds: pods come and go
constexpr std::uint32_t kNegativeTtl = 5;

std::string protocol_of(const k8s::ServicePort& port) {
  return port.protocol.empty() ? "TCP" : port.protocol;
}

std::string lower(std::string text) {
  for (char& c : text) c = ascii_lower(c);
  return text;
}

// "10-244-0-10": the first label of a pod that has no host name.
std::string dashed(const net::IpAddr& ip) {
  std::string text = ip.to_string();
  std::replace(text.begin(), text.end(), ip.is_v4() ? '.' : ':', '-');
  return text;
}

std::string first_label(const PodView& pod, const net::IpAddr& ip, const ServiceInput& service) {
  const bool named = !pod.hostname.empty() && pod.subdomain == service.object.meta.name;
  return named ? pod.hostname : dashed(ip);
}

void add_rule(std::string& out, const net::IpAddr& vip, const k8s::ServicePort& port,
              const std::vector<Backend>& to) {
  const bool v4 = vip.is_v4();
  const std::string family = v4 ? "ip" : "ip6";
  out +=
      concat("    ", family, " daddr ", vip.to_string(), " ", lower(protocol_of(port)), " dport ");
  append_number(out, port.port);
  out += concat(" dnat ", family, " to numgen random mod ");
  append_number(out, to.size());
  out += " map { ";
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (i > 0) out += ", ";
    append_number(out, i);
    out += concat(" : ", (v4 ? to[i].pod->ip4 : to[i].pod->ip6).to_string(), " . ");
    append_number(out, to[i].port);
  }
  out += " }\n";
}

}  // namespace

bool selects(const ServiceInput& service, const PodView& pod) {
  const auto& selector = service.object.spec.selector;
  if (selector.empty() || pod.ns != service.object.meta.ns) return false;
  return std::all_of(selector.begin(), selector.end(), [&](const auto& entry) {
    const std::string* const value = pod.labels.find(entry.first);
    return value != nullptr && *value == entry.second;
  });
}

std::vector<std::uint16_t> target_ports(const k8s::ServicePort& port, const PodView& pod) {
  if (!port.target_port || (!port.target_port->is_name() && port.target_port->number == 0)) {
    return {static_cast<std::uint16_t>(port.port)};
  }
  if (!port.target_port->is_name()) {
    return {static_cast<std::uint16_t>(port.target_port->number)};
  }
  std::vector<std::uint16_t> out;
  for (const k8s::ContainerPort& candidate : pod.ports) {
    const std::string protocol = candidate.protocol.empty() ? "TCP" : candidate.protocol;
    if (candidate.name != port.target_port->name || protocol != protocol_of(port)) continue;
    out.push_back(static_cast<std::uint16_t>(candidate.container_port));
  }
  return out;
}

std::vector<Backend> backends(const ServiceInput& service, const k8s::ServicePort& port,
                              const std::vector<PodView>& pods, bool ready_only) {
  std::vector<Backend> out;
  for (const PodView& pod : pods) {
    if (!pod.running || !selects(service, pod)) continue;
    if (ready_only && !pod.ready && !service.object.spec.publish_not_ready_addresses) continue;
    for (const std::uint16_t number : target_ports(port, pod)) out.push_back({&pod, number});
  }
  return out;
}

std::vector<Json> endpoint_slices(const ServiceInput& service, const std::vector<PodView>& pods) {
  std::vector<Json> out;
  const auto& meta = service.object.meta;
  const bool ready_always = service.object.spec.publish_not_ready_addresses;
  std::vector<bool> families;  // true: IPv4
  if (service.addresses.empty()) {
    families = {true, false};
  } else {
    for (const net::IpAddr& ip : service.addresses) families.push_back(ip.is_v4());
  }
  // Pods that resolve the ports to the same numbers share a slice.
  using Numbers = std::vector<std::vector<std::uint16_t>>;  // for each port of the Service
  std::map<Numbers, std::vector<const PodView*>> groups;
  for (const PodView& pod : pods) {
    if (!pod.running || !selects(service, pod)) continue;
    Numbers numbers;
    std::size_t most = 1;
    for (const k8s::ServicePort& port : service.object.spec.ports) {
      numbers.push_back(target_ports(port, pod));
      most = std::max(most, numbers.back().size());
    }
    // A slice has a name once, so that the second port of a name goes to a second slice.
    for (std::size_t nth = 0; nth < most; ++nth) {
      Numbers part;
      for (const auto& ports : numbers) {
        part.push_back(nth < ports.size() ? std::vector{ports[nth]} : std::vector<std::uint16_t>());
      }
      groups[part].push_back(&pod);
    }
  }
  for (const bool v4 : families) {
    std::size_t count = 0;
    for (const auto& [numbers, members] : groups) {
      Json slice;
      std::string name = concat(meta.name, v4 ? "-v4-" : "-v6-");
      append_number(name, count++);
      slice["apiVersion"] = "discovery.k8s.io/v1";
      slice["kind"] = "EndpointSlice";
      slice["metadata"] = {{"name", name},
                           {"namespace", meta.ns},
                           {"labels",
                            {{"kubernetes.io/service-name", meta.name},
                             {"endpointslice.kubernetes.io/managed-by", "tulle-local"}}}};
      slice["addressType"] = v4 ? "IPv4" : "IPv6";
      slice["ports"] = Json::array();
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (numbers[i].empty()) continue;
        const k8s::ServicePort& port = service.object.spec.ports[i];
        Json entry = {{"port", numbers[i].front()}, {"protocol", protocol_of(port)}};
        entry["name"] = port.name;
        if (!port.app_protocol.empty()) entry["appProtocol"] = port.app_protocol;
        slice["ports"].push_back(std::move(entry));
      }
      slice["endpoints"] = Json::array();
      for (const PodView* const pod : members) {
        Json endpoint;
        endpoint["addresses"] = {(v4 ? pod->ip4 : pod->ip6).to_string()};
        endpoint["conditions"] = {
            {"ready", pod->ready || ready_always}, {"serving", pod->ready}, {"terminating", false}};
        endpoint["nodeName"] = "local";
        endpoint["targetRef"] = {{"kind", "Pod"}, {"name", pod->name}, {"namespace", pod->ns}};
        if (!pod->hostname.empty() && pod->subdomain == meta.name)
          endpoint["hostname"] = pod->hostname;
        slice["endpoints"].push_back(std::move(endpoint));
      }
      out.push_back(std::move(slice));
    }
  }
  return out;
}

std::string translation_rules(const std::vector<ServiceInput>& services,
                              const std::vector<PodView>& pods) {
  std::string out = "table inet tulle_local\ndelete table inet tulle_local\n";
  out += "table inet tulle_local {\n";
  // A pod that is its own backend must get answers from somebody else, or it would drop them.
  std::string own4;
  std::string own6;
  for (const PodView& pod : pods) {
    if (!pod.running) continue;
    own4 += concat(own4.empty() ? "" : ", ", pod.ip4.to_string(), " . ", pod.ip4.to_string());
    own6 += concat(own6.empty() ? "" : ", ", pod.ip6.to_string(), " . ", pod.ip6.to_string());
  }
  const auto set = [&](std::string_view name, std::string_view family, const std::string& members) {
    out += concat("  set ", name, " { typeof ", family, " saddr . ", family, " daddr; ");
    if (!members.empty()) out += concat("elements = { ", members, " } ");
    out += "}\n";
  };
  set("own4", "ip", own4);
  set("own6", "ip6", own6);
  out += "  chain translate {\n    type nat hook prerouting priority -100;\n";
  for (const ServiceInput& service : services) {
    for (const net::IpAddr& vip : service.addresses) {
      for (const k8s::ServicePort& port : service.object.spec.ports) {
        const auto to = backends(service, port, pods, true);
        if (!to.empty()) add_rule(out, vip, port, to);
      }
    }
  }
  out += "  }\n  chain answer {\n    type nat hook postrouting priority 100;\n";
  out += concat("    ip saddr . ip daddr @own4 snat ip to ", kGateway, "\n");
  out += concat("    ip6 saddr . ip6 daddr @own6 snat ip6 to ", kGateway6, "\n  }\n");
  // What is still going to a cluster address here has nobody behind it.
  out += "  chain nobody {\n    type filter hook prerouting priority 0;\n";
  for (const auto& [family, network, dns] :
       {std::tuple{"ip", kServiceNetwork, kDnsAddress}, {"ip6", kServiceNetwork6, kDnsAddress6}}) {
    const std::string match = concat(family, " daddr ", network, " ", family, " daddr != ", dns);
    out += concat("    ", match, " meta l4proto tcp reject with tcp reset\n");
    out += concat("    ", match, " reject\n");
  }
  return out + "  }\n}\n";
}

dns::Message Zone::answer(const dns::Message& query, const std::vector<ServiceInput>& services,
                          const std::vector<PodView>& pods) const {
  dns::Message reply;
  reply.id = query.id;
  reply.response = true;
  reply.edns = query.edns;
  reply.question = query.question;
  reply.negative_ttl = kNegativeTtl;
  reply.rcode = dns::Rcode::NxDomain;
  const std::string& name = query.question.name;
  const dns::Type type = query.question.type;
  const std::string suffix = concat(".svc.", domain_);
  if (!name.ends_with(suffix)) {
    // Names that others hang under exist, though they have no records.
    if (name == domain_ || name == suffix.substr(1)) reply.rcode = dns::Rcode::NoError;
    return reply;
  }
  // From the right: namespace, Service, then a pod's label or _port._protocol.
  const std::vector<std::string_view> labels =
      split(std::string_view(name).substr(0, name.size() - suffix.size()), '.');
  const std::string_view ns = labels.back();
  const auto add_address = [&](const std::string& owner, const net::IpAddr& ip) {
    const dns::Type own = ip.is_v4() ? dns::Type::A : dns::Type::Aaaa;
    if (type != own) return;
    dns::Record record;
    record.name = owner;
    record.type = own;
    record.ttl = kTtl;
    record.address = ip;
    if (std::find(reply.answers.begin(), reply.answers.end(), record) == reply.answers.end()) {
      reply.answers.push_back(std::move(record));
    }
  };
  const auto add_srv = [&](std::uint16_t port, std::string target) {
    dns::Record record;
    record.name = name;
    record.type = dns::Type::Srv;
    record.ttl = kTtl;
    record.srv = {0, 100, port, std::move(target)};
    if (std::find(reply.answers.begin(), reply.answers.end(), record) == reply.answers.end()) {
      reply.answers.push_back(std::move(record));
    }
  };
  if (labels.size() == 1) {
    const bool known = std::any_of(services.begin(), services.end(),
                                   [&](const ServiceInput& s) { return s.object.meta.ns == ns; });
    if (known) reply.rcode = dns::Rcode::NoError;
    return reply;
  }
  for (const ServiceInput& service : services) {
    const auto& object = service.object;
    if (object.meta.ns != ns || object.meta.name != labels[labels.size() - 2]) continue;
    const std::string host = concat(object.meta.name, ".", ns, suffix);
    const bool headless = service.addresses.empty();
    std::vector<const PodView*> members;
    for (const PodView& pod : pods) {
      if (!headless || !pod.running || !selects(service, pod)) continue;
      if (pod.ready || object.spec.publish_not_ready_addresses) members.push_back(&pod);
    }
    const auto srv_of = [&](const k8s::ServicePort& port) {
      if (!headless) return add_srv(static_cast<std::uint16_t>(port.port), host);
      for (const PodView* const pod : members) {
        for (const std::uint16_t number : target_ports(port, *pod)) {
          add_srv(number, concat(first_label(*pod, pod->ip4, service), ".", host));
          if (first_label(*pod, pod->ip4, service) != first_label(*pod, pod->ip6, service))
            add_srv(number, concat(first_label(*pod, pod->ip6, service), ".", host));
        }
      }
    };
    if (labels.size() == 2) {
      reply.rcode = dns::Rcode::NoError;
      for (const net::IpAddr& ip : service.addresses) add_address(name, ip);
      for (const PodView* const pod : members) {
        add_address(name, pod->ip4);
        add_address(name, pod->ip6);
      }
      if (type == dns::Type::Srv) {
        for (const k8s::ServicePort& port : object.spec.ports) srv_of(port);
      }
    } else if (labels.size() == 3) {
      for (const PodView* const pod : members) {
        for (const net::IpAddr& ip : {pod->ip4, pod->ip6}) {
          if (labels[0] != first_label(*pod, ip, service)) continue;
          reply.rcode = dns::Rcode::NoError;
          add_address(name, ip);
        }
      }
    } else if (labels.size() == 4 && labels[0].starts_with('_') && labels[1].starts_with('_')) {
      for (const k8s::ServicePort& port : object.spec.ports) {
        if (labels[0].substr(1) != port.name || labels[1].substr(1) != lower(protocol_of(port)))
          continue;
        reply.rcode = dns::Rcode::NoError;
        if (type == dns::Type::Srv) srv_of(port);
      }
    }
  }
  return reply;
}

}  // namespace tulle::local
