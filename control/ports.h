// SPDX-License-Identifier: Apache-2.0
// Sets of ports as annotations and flags write them: "25,3306,8000-8099" (control-plane.md §1.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/k8s/objects.h"

namespace tulle::control {

class PortSet {
 public:
  // The strict form, for flags: nullopt if any item is not N or A-B with 0 ≤ A ≤ B ≤ 65535.
  static std::optional<PortSet> parse(std::string_view text);
  // The lenient form of annotations: items are trimmed, wrong ones are left out, and an item may be
  // the name of one of the pod's container ports.
  static PortSet from_annotation(std::string_view text, const k8s::Pod* pod = nullptr);

  bool contains(std::uint16_t port) const noexcept;
  bool empty() const noexcept { return ranges_.empty(); }
  friend bool operator==(const PortSet&, const PortSet&) = default;

 private:
  std::vector<std::pair<std::uint16_t, std::uint16_t>> ranges_;
};

// The container port of that name in the pod's containers and init containers.
std::optional<std::uint16_t> named_port(const k8s::Pod& pod, std::string_view name) noexcept;

}  // namespace tulle::control
