// SPDX-License-Identifier: Apache-2.0
// A reference to the resource that a piece of policy came from; it labels metrics
// (docs/reference/wire-api.md §3.2).
#pragma once

#include <cstdint>
#include <string>

namespace tulle::proxy {

struct Meta {
  std::string group;
  std::string kind;
  std::string ns;
  std::string name;
  std::string section;
  std::uint16_t port = 0;

  // An implicit object, not a resource: group "" and kind "default".
  static Meta implicit(std::string name) { return Meta{"", "default", "", std::move(name), "", 0}; }
  friend bool operator==(const Meta&, const Meta&) = default;
};

}  // namespace tulle::proxy
