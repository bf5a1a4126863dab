// SPDX-License-Identifier: Apache-2.0
// The value formats of annotations (docs/reference/control-plane.md §1.1), as strict parsers:
// nullopt for anything that is not exactly in the format.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tulle::inject {

// As Go's ParseBool: 1 t T true TRUE True, 0 f F false FALSE False.
std::optional<bool> parse_go_bool(std::string_view text) noexcept;
// "enabled" or "disabled".
std::optional<bool> parse_toggle(std::string_view text) noexcept;
// A Go duration, not negative: "1h2m3.5s", "300ms", "0"; units ns us µs ms s m h.
std::optional<std::chrono::nanoseconds> parse_go_duration(std::string_view text) noexcept;
// A Kubernetes quantity, not negative ("100m", "20Mi", "1.5", "2e3"): its amount.
std::optional<double> parse_quantity(std::string_view text) noexcept;

struct Ports {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  friend bool operator==(const Ports&, const Ports&) = default;
};
// "80", "1000-2000".
std::optional<Ports> parse_ports_item(std::string_view text) noexcept;
// A comma list, items trimmed, one trailing comma tolerated; "" is the empty list.
std::optional<std::vector<Ports>> parse_ports_list(std::string_view text);
std::string to_string(const Ports& ports);
std::string to_string(const std::vector<Ports>& list);  // "80,1000-2000"
// The trimmed items, without empty ones.
std::vector<std::string_view> list_items(std::string_view text);

}  // namespace tulle::inject
