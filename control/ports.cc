// SPDX-License-Identifier: Apache-2.0
#include "control/ports.h"

#include <set>
#include <unordered_map>
#include <unordered_set>

#include "lib/base/text.h"

namespace tulle::control {
namespace {

using Range = std::pair<std::uint16_t, std::uint16_t>;

bool is_tcp(std::string_view protocol) { return protocol.empty() || protocol == "TCP"; }

std::optional<Range> parse_item(std::string_view item) {
  const std::size_t dash = item.find('-');
  const auto low = parse_number<std::uint16_t>(item.substr(0, dash));
  const auto high =
      dash == std::string_view::npos ? low : parse_number<std::uint16_t>(item.substr(dash + 1));
  if (!low || !high || *low > *high) return std::nullopt;
  return Range{*low, *high};
}

// The TCP ports behind each name of something: one walk over it, whatever the number of names that
// somebody asks for.
class Names {
 public:
  explicit Names(const k8s::Pod& pod) {
    for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
      for (const k8s::Container& container : *list) {
        for (const k8s::ContainerPort& port : container.ports)
          add(port.name, port.protocol, port.container_port);
      }
    }
  }
  explicit Names(const k8s::ExternalWorkload& workload) {
    for (const k8s::WorkloadPort& port : workload.spec.ports)
      add(port.name, port.protocol, port.port);
  }
  // A Service's port goes by its own name and by that of its target.
  explicit Names(const k8s::Service& service) {
    for (const k8s::ServicePort& port : service.spec.ports) {
      add(port.name, port.protocol, port.port);
      if (port.target_port && port.target_port->name != port.name)
        add(port.target_port->name, port.protocol, port.port);
    }
  }
  const std::vector<std::uint16_t>& operator()(std::string_view name) const {
    static const std::vector<std::uint16_t> kNone;
    const auto found = ports_.find(name);
    return found == ports_.end() ? kNone : found->second;
  }

 private:
  void add(std::string_view name, std::string_view protocol, std::int64_t port) {
    if (name.empty() || !is_tcp(protocol) || port < 0 || port > 65535) return;
    ports_[name].push_back(static_cast<std::uint16_t>(port));
  }
  std::unordered_map<std::string_view, std::vector<std::uint16_t>> ports_;
};

}  // namespace

std::optional<PortSet> PortSet::parse(std::string_view text) {
  PortSet set;
  if (text.ends_with(',')) text.remove_suffix(1);
  if (trim(text).empty()) return set;
  for (const std::string_view item : split(text, ',')) {
    const auto range = parse_item(trim(item));
    if (!range) return std::nullopt;
    set.ranges_.push_back(*range);
  }
  return set;
}

// `named(item)` gives the ports of a name.
template <typename Named>
PortSet PortSet::read(std::string_view text, const Named& named) {
  PortSet set;
  std::unordered_set<std::string_view> items;
  for (const std::string_view raw : split(text, ',')) {
    const std::string_view item = trim(raw);
    if (item.empty() || !items.insert(item).second) continue;
    if (const auto range = parse_item(item)) {
      set.ranges_.push_back(*range);
    } else {
      for (const std::uint16_t port : named(item)) set.add(port);
    }
  }
  set.drop_repeated();
  return set;
}

PortSet PortSet::from_annotation(std::string_view text) {
  return read(text, [](std::string_view) { return std::vector<std::uint16_t>(); });
}

PortSet PortSet::from_annotation(std::string_view text, const k8s::Pod& pod) {
  return read(text, Names(pod));
}

PortSet PortSet::from_annotation(std::string_view text, const k8s::ExternalWorkload& workload) {
  return read(text, Names(workload));
}

std::optional<PortSet> PortSet::from_whole_annotation(std::string_view text, const k8s::Pod& pod) {
  text = trim(text);
  if (text.ends_with(',')) text.remove_suffix(1);
  if (trim(text).empty()) return PortSet();
  const Names names(pod);
  for (const std::string_view item : split(text, ',')) {
    if (!parse_item(trim(item)) && names(trim(item)).empty()) return std::nullopt;
  }
  return from_annotation(text, pod);
}

PortSet PortSet::from_annotation(std::string_view text, const k8s::Service& service) {
  return read(text, Names(service));
}

void PortSet::drop_repeated() {
  std::set<Range> seen;
  std::erase_if(ranges_, [&](const Range& range) { return !seen.insert(range).second; });
}

void PortSet::add(std::int64_t port) {
  if (port < 0 || port > 65535) return;
  const auto number = static_cast<std::uint16_t>(port);
  ranges_.emplace_back(number, number);
}

bool PortSet::contains(std::uint16_t port) const noexcept {
  for (const auto& [low, high] : ranges_) {
    if (port >= low && port <= high) return true;
  }
  return false;
}

PortSet named_ports(const k8s::Container& container, std::string_view name) {
  PortSet out;
  if (name.empty()) return out;
  for (const k8s::ContainerPort& port : container.ports) {
    if (port.name == name && is_tcp(port.protocol)) out.add(port.container_port);
  }
  return out;
}

PortSet named_ports(const k8s::Pod& pod, std::string_view name) {
  PortSet out;
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : *list) {
      for (const auto& [low, high] : named_ports(container, name).ranges()) out.add(low);
    }
  }
  return out;
}

PortSet named_ports(const k8s::ExternalWorkload& workload, std::string_view name) {
  PortSet out;
  if (name.empty()) return out;
  for (const k8s::WorkloadPort& port : workload.spec.ports) {
    if (port.name == name && is_tcp(port.protocol)) out.add(port.port);
  }
  return out;
}

}  // namespace tulle::control
