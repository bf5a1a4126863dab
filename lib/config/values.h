// SPDX-License-Identifier: Apache-2.0
// The value formats of the environment (docs/reference/proxy.md §1.4), as strict parsers: nullopt
// for anything that is not exactly in the format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/time.h"
#include "lib/net/address.h"

namespace tulle::config {

// "10s", " 500ms", "365d", "0"; units ms s m h d; no floats, no space before the unit.
std::optional<Duration> parse_duration(std::string_view text);
// "true" or "false".
std::optional<bool> parse_bool(std::string_view text);
// "80,443,1000-2000"; empty items are ignored; a reversed range is an error.
std::optional<std::vector<std::pair<std::uint16_t, std::uint16_t>>> parse_ports(
    std::string_view text);
// "10.0.0.1,fd00::1"; no spaces, no empty items.
std::optional<std::vector<net::IpAddr>> parse_ips(std::string_view text);
// "10.0.0.0/8, fd00::/8"; items are trimmed, empty ones ignored.
std::optional<std::vector<net::Cidr>> parse_networks(std::string_view text);
// "svc.cluster.local.,example.com"; lower case without a trailing dot; "." (everything) gives "".
std::optional<std::vector<std::string>> parse_suffixes(std::string_view text);
// Is `name` (a trailing dot is ignored) equal to or under one of the suffixes, label-wise?
bool under_suffix(std::string_view name, const std::vector<std::string>& suffixes) noexcept;
// "host:port", "1.2.3.4:80", "[::1]:80".
struct HostPort {
  std::string host;  // without brackets
  std::uint16_t port = 0;
};
std::optional<HostPort> parse_host_port(std::string_view text);
// RFC 1123 labels; a trailing dot is allowed if `absolute_ok`.
bool is_dns_name(std::string_view name, bool absolute_ok = true) noexcept;

}  // namespace tulle::config
