// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/formats.h"

#include <cmath>

#include "lib/base/text.h"

namespace tulle::inject {
namespace {

// Takes "12", "3.5" or ".5" off the front.
std::optional<double> take_decimal(std::string_view& text) noexcept {
  double value = 0;
  double scale = 1;
  std::size_t digits = 0;
  while (!text.empty() && ascii_digit(text[0])) {
    value = value * 10 + (text[0] - '0');
    text.remove_prefix(1);
    ++digits;
  }
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    while (!text.empty() && ascii_digit(text[0])) {
      scale /= 10;
      value += scale * (text[0] - '0');
      text.remove_prefix(1);
      ++digits;
    }
  }
  if (digits == 0 || digits > 30) return std::nullopt;
  return value;
}

struct Unit {
  std::string_view name;
  double size;
};

}  // namespace

std::optional<bool> parse_go_bool(std::string_view text) noexcept {
  for (const std::string_view word : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == word) return true;
  }
  for (const std::string_view word : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

std::optional<bool> parse_toggle(std::string_view text) noexcept {
  if (text == "enabled") return true;
  if (text == "disabled") return false;
  return std::nullopt;
}

std::optional<std::chrono::nanoseconds> parse_go_duration(std::string_view text) noexcept {
  constexpr Unit kUnits[] = {{"ns", 1},   {"us", 1e3}, {"µs", 1e3}, {"μs", 1e3},
                             {"ms", 1e6}, {"s", 1e9},  {"m", 60e9}, {"h", 3600e9}};
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    const auto amount = take_decimal(text);
    if (!amount) return std::nullopt;
    const Unit* found = nullptr;
    for (const Unit& unit : kUnits) {
      // The longest that fits: "ms" before "m".
      if (text.starts_with(unit.name) &&
          (found == nullptr || unit.name.size() > found->name.size())) {
        found = &unit;
      }
    }
    if (found == nullptr) return std::nullopt;
    text.remove_prefix(found->name.size());
    total += *amount * found->size;
  }
  if (total > 9e18) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(std::llround(total)));
}

std::optional<double> parse_quantity(std::string_view text) noexcept {
  constexpr Unit kUnits[] = {{"", 1},        {"n", 1e-9},    {"u", 1e-6},    {"m", 1e-3},
                             {"k", 1e3},     {"M", 1e6},     {"G", 1e9},     {"T", 1e12},
                             {"P", 1e15},    {"E", 1e18},    {"Ki", 0x1p10}, {"Mi", 0x1p20},
                             {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50}, {"Ei", 0x1p60}};
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto amount = take_decimal(text);
  if (!amount) return std::nullopt;
  for (const Unit& unit : kUnits) {
    if (text == unit.name) return *amount * unit.size;
  }
  if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) return std::nullopt;
  text.remove_prefix(1);
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto exponent = parse_number<int>(text);
  if (!exponent || *exponent > 30 || *exponent < -30) return std::nullopt;
  return *amount * std::pow(10.0, *exponent);
}

std::optional<Ports> parse_ports_item(std::string_view text) noexcept {
  const std::size_t dash = text.find('-');
  const auto first = parse_number<std::uint16_t>(trim(text.substr(0, dash)));
  const auto last = dash == std::string_view::npos
                        ? first
                        : parse_number<std::uint16_t>(trim(text.substr(dash + 1)));
  if (!first || !last || *first > *last) return std::nullopt;
  return Ports{*first, *last};
}

std::optional<std::vector<Ports>> parse_ports_list(std::string_view text) {
  std::vector<Ports> out;
  text = trim(text);
  if (text.ends_with(',')) text.remove_suffix(1);
  if (trim(text).empty()) return out;
  for (const std::string_view item : split(text, ',')) {
    const auto ports = parse_ports_item(trim(item));
    if (!ports) return std::nullopt;
    out.push_back(*ports);
  }
  return out;
}

std::string to_string(const Ports& ports) {
  std::string out = std::to_string(ports.first);
  if (ports.last != ports.first) out += "-" + std::to_string(ports.last);
  return out;
}

std::string to_string(const std::vector<Ports>& list) {
  std::string out;
  for (const Ports& ports : list) {
    if (!out.empty()) out += ',';
    out += to_string(ports);
  }
  return out;
}

std::vector<std::string_view> list_items(std::string_view text) {
  std::vector<std::string_view> out;
  for (const std::string_view item : split(text, ',')) {
    if (!trim(item).empty()) out.push_back(trim(item));
  }
  return out;
}

}  // namespace tulle::inject
