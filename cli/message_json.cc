// SPDX-License-Identifier: Apache-2.0
#include "cli/message_json.h"

#include <algorithm>
#include <array>

#include "lib/base/text.h"

namespace tulle::cli {

std::string text_of(const pb::net::IPAddress& ip) {
  using Case = pb::net::IPAddress::IpCase;
  if (ip.ip_case == Case::ipv4) return net::IpAddr::v4(ip.ipv4).to_string();
  if (ip.ip_case != Case::ipv6 || !ip.ipv6) return "";
  std::array<std::uint8_t, 16> octets;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    octets[i] =
        static_cast<std::uint8_t>((i < 8 ? ip.ipv6->first : ip.ipv6->last) >> 8 * (7 - i % 8));
  }
  return net::IpAddr::v6(octets).to_string();
}

std::string text_of(const pb::net::TcpAddress& address) {
  const std::string ip = address.ip ? text_of(*address.ip) : "";
  return ip.find(':') == std::string::npos ? concat(ip, ":", std::to_string(address.port))
                                           : concat("[", ip, "]:", std::to_string(address.port));
}

std::string text_of(const pb::protobuf::Duration& duration) {
  const std::string millis = std::to_string(duration.nanos / 1'000'000);
  if (duration.nanos == 0) return concat(std::to_string(duration.seconds), "s");
  return concat(std::to_string(duration.seconds), ".",
                std::string(3 - std::min<std::size_t>(3, millis.size()), '0'), millis, "s");
}

void MessageJson::blob(std::string_view name, const std::string& value) {
  if (value.empty()) return;
  const bool text =
      std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
  out.set(name, text ? value : base64_encode(as_bytes(value)));
}

void MessageJson::enumeration(
    std::string_view name, std::int32_t value,
    std::initializer_list<std::pair<std::int32_t, std::string_view>> names) {
  for (const auto& [number, called] : names) {
    if (number == value) {
      out.set(name, called);
      return;
    }
  }
  out.set(name, value);
}

}  // namespace tulle::cli
