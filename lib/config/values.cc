// SPDX-License-Identifier: Apache-2.0
#include "lib/config/values.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::config {

std::optional<Duration> parse_duration(std::string_view text) {
  text = trim(text);
  const auto digits = text.find_first_not_of("0123456789");
  const std::string_view number = text.substr(0, digits);
  const std::string_view unit = digits == std::string_view::npos ? "" : text.substr(digits);
  const auto value = parse_number<std::int64_t>(number);
  if (!value || number.front() == '-') return std::nullopt;
  std::int64_t scale = 0;
  if (unit == "ms") scale = 1'000'000;
  if (unit == "s") scale = 1'000'000'000;
  if (unit == "m") scale = 60 * 1'000'000'000LL;
  if (unit == "h") scale = 3'600 * 1'000'000'000LL;
  if (unit == "d") scale = 86'400 * 1'000'000'000LL;
  if (unit.empty()) return *value == 0 ? std::optional<Duration>(Duration{0}) : std::nullopt;
  if (scale == 0 || *value > INT64_MAX / scale) return std::nullopt;
  return Duration{*value * scale};
}

std::optional<bool> parse_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::optional<std::vector<std::pair<std::uint16_t, std::uint16_t>>> parse_ports(
    std::string_view text) {
  std::vector<std::pair<std::uint16_t, std::uint16_t>> ports;
  for (const std::string_view piece : split(text, ',')) {
    const std::string_view item = trim(piece);
    if (item.empty()) continue;
    const auto dash = item.find('-');
    const auto first = parse_number<std::uint16_t>(item.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_number<std::uint16_t>(item.substr(dash + 1));
    if (!first || !last || *first > *last) return std::nullopt;
    ports.emplace_back(*first, *last);
  }
  return ports;
}

std::optional<std::vector<net::IpAddr>> parse_ips(std::string_view text) {
  std::vector<net::IpAddr> ips;
  for (const std::string_view item : split(text, ',')) {
    const auto ip = net::IpAddr::parse(item);
    if (!ip) return std::nullopt;
    ips.push_back(*ip);
  }
  return ips;
}

std::optional<std::vector<net::Cidr>> parse_networks(std::string_view text) {
  std::vector<net::Cidr> networks;
  for (const std::string_view piece : split(text, ',')) {
    const std::string_view item = trim(piece);
    if (item.empty()) continue;
    const auto network = net::Cidr::parse(item);
    if (!network || item.find('/') == std::string_view::npos) return std::nullopt;
    networks.push_back(*network);
  }
  return networks;
}

std::optional<std::vector<std::string>> parse_suffixes(std::string_view text) {
  std::vector<std::string> suffixes;
  for (const std::string_view piece : split(text, ',')) {
    std::string_view item = trim(piece);
    if (item.empty()) continue;
    if (item == ".") {
      suffixes.emplace_back();
      continue;
    }
    if (!is_dns_name(item)) return std::nullopt;
    if (item.ends_with('.')) item.remove_suffix(1);
    std::string lower(item);
    std::transform(lower.begin(), lower.end(), lower.begin(), ascii_lower);
    suffixes.push_back(std::move(lower));
  }
  return suffixes;
}

bool under_suffix(std::string_view name, const std::vector<std::string>& suffixes) noexcept {
  if (name.ends_with('.')) name.remove_suffix(1);
  return std::any_of(suffixes.begin(), suffixes.end(), [&](const std::string& suffix) {
    if (suffix.empty()) return true;
    if (name.size() < suffix.size()) return false;
    const auto at = name.size() - suffix.size();
    return iequals(name.substr(at), suffix) && (at == 0 || name[at - 1] == '.');
  });
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  if (const auto addr = net::SocketAddr::parse(text))
    return HostPort{addr->ip.to_string(), addr->port};
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  const std::string_view host = text.substr(0, colon);
  if (!port || !is_dns_name(host)) return std::nullopt;
  return HostPort{std::string(host), *port};
}

bool is_dns_name(std::string_view name, bool absolute_ok) noexcept {
  if (name.ends_with('.')) {
    if (!absolute_ok) return false;
    name.remove_suffix(1);
  }
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  char previous = '.';
  for (const char c : name) {
    if (c == '.') {
      if (label == 0 || previous == '-') return false;
      label = 0;
    } else {
      const bool alnum =
          ascii_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '_';
      if (!alnum && !(c == '-' && label != 0)) return false;
      if (++label > 63) return false;
    }
    previous = c;
  }
  return label != 0 && previous != '-';
}

}  // namespace tulle::config
