// SPDX-License-Identifier: Apache-2.0
#include "control/ports.h"

#include "lib/base/text.h"

namespace tulle::control {
namespace {

using Range = std::pair<std::uint16_t, std::uint16_t>;

std::optional<Range> parse_item(std::string_view item) {
  const std::size_t dash = item.find('-');
  const auto low = parse_number<std::uint16_t>(item.substr(0, dash));
  const auto high =
      dash == std::string_view::npos ? low : parse_number<std::uint16_t>(item.substr(dash + 1));
  if (!low || !high || *low > *high) return std::nullopt;
  return Range{*low, *high};
}

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

PortSet PortSet::from_annotation(std::string_view text, const k8s::Pod* pod) {
  PortSet set;
  for (const std::string_view raw : split(text, ',')) {
    const std::string_view item = trim(raw);
    if (const auto range = parse_item(item)) {
      set.ranges_.push_back(*range);
    } else if (pod != nullptr) {
      if (const auto port = named_port(*pod, item)) set.ranges_.push_back({*port, *port});
    }
  }
  return set;
}

bool PortSet::contains(std::uint16_t port) const noexcept {
  for (const auto& [low, high] : ranges_) {
    if (port >= low && port <= high) return true;
  }
  return false;
}

std::optional<std::uint16_t> named_port(const k8s::Pod& pod, std::string_view name) noexcept {
  if (name.empty()) return std::nullopt;
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : *list) {
      for (const k8s::ContainerPort& port : container.ports) {
        if (port.name == name) return static_cast<std::uint16_t>(port.container_port);
      }
    }
  }
  return std::nullopt;
}

}  // namespace tulle::control
