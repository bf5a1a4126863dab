// SPDX-License-Identifier: Apache-2.0
// Sets of ports as annotations and flags write them: "25,3306,8000-8099"
// (docs/reference/control-plane.md §1.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/k8s/mesh_objects.h"
#include "lib/k8s/objects.h"

namespace tulle::control {

class PortSet {
 public:
  // The strict form, for flags: nullopt if any item is not N or A-B with 0 ≤ A ≤ B ≤ 65535.
  static std::optional<PortSet> parse(std::string_view text);
  // The lenient form of annotations: items are trimmed, wrong ones are left out, and an item may be
  // the name of container ports of the pod, or of ports of the Service: of all that have it.
  static PortSet from_annotation(std::string_view text);
  static PortSet from_annotation(std::string_view text, const k8s::Pod& pod);
  static PortSet from_annotation(std::string_view text, const k8s::ExternalWorkload& workload);
  static PortSet from_annotation(std::string_view text, const k8s::Service& service);

  // The same where one wrong item makes the whole list wrong, as the injector reads lists of ports
  // that are skipped: nullopt then.
  static std::optional<PortSet> from_whole_annotation(std::string_view text, const k8s::Pod& pod);

  bool contains(std::uint16_t port) const noexcept;
  bool empty() const noexcept { return ranges_.empty(); }
  void add(std::int64_t port);  // one that no port can have is left out
  // As they were added, each [low, high], once.
  const std::vector<std::pair<std::uint16_t, std::uint16_t>>& ranges() const& { return ranges_; }
  std::vector<std::pair<std::uint16_t, std::uint16_t>> ranges() && { return std::move(ranges_); }
  friend bool operator==(const PortSet&, const PortSet&) = default;

 private:
  template <typename Named>
  static PortSet read(std::string_view text, const Named& named);
  void drop_repeated();
  std::vector<std::pair<std::uint16_t, std::uint16_t>> ranges_;
};

// The TCP ports of that name. A name may stand for several ports: containers, init containers
// (sidecars among them) and workloads each have their own, and what is said of the name is said of
// all. None if there is no such name.
PortSet named_ports(const k8s::Pod& pod, std::string_view name);
PortSet named_ports(const k8s::Container& container, std::string_view name);
PortSet named_ports(const k8s::ExternalWorkload& workload, std::string_view name);

}  // namespace tulle::control
