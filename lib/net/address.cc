// SPDX-License-Identifier: Apache-2.0
#include "lib/net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>

#include "lib/base/text.h"

namespace tulle::net {

IpAddr IpAddr::v4(std::uint32_t host_order) noexcept {
  IpAddr ip;
  ip.octets_[0] = static_cast<std::uint8_t>(host_order >> 24);
  ip.octets_[1] = static_cast<std::uint8_t>(host_order >> 16);
  ip.octets_[2] = static_cast<std::uint8_t>(host_order >> 8);
  ip.octets_[3] = static_cast<std::uint8_t>(host_order);
  return ip;
}

IpAddr IpAddr::v6(const std::array<std::uint8_t, 16>& octets) noexcept {
  static constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0,    0,
                                                           0, 0, 0, 0, 0xFF, 0xFF};
  IpAddr ip;
  if (std::equal(kMapped.begin(), kMapped.end(), octets.begin())) {
    std::copy(octets.begin() + 12, octets.end(), ip.octets_.begin());
    return ip;
  }
  ip.octets_ = octets;
  ip.v4_ = false;
  return ip;
}

std::optional<IpAddr> IpAddr::parse(std::string_view text) noexcept {
  char copy[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof copy || text.find('\0') != std::string_view::npos)
    return std::nullopt;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  std::array<std::uint8_t, 16> octets{};
  if (text.find(':') == std::string_view::npos) {
    if (::inet_pton(AF_INET, copy, octets.data()) != 1) return std::nullopt;
    IpAddr ip;
    ip.octets_ = octets;
    return ip;
  }
  if (::inet_pton(AF_INET6, copy, octets.data()) != 1) return std::nullopt;
  return v6(octets);
}

bool IpAddr::is_loopback() const noexcept {
  if (v4_) return octets_[0] == 127;
  return std::all_of(octets_.begin(), octets_.end() - 1, [](auto o) { return o == 0; }) &&
         octets_[15] == 1;
}

bool IpAddr::is_unspecified() const noexcept {
  return std::all_of(octets_.begin(), octets_.end(), [](auto o) { return o == 0; });
}

std::uint32_t IpAddr::v4_value() const noexcept {
  return static_cast<std::uint32_t>(octets_[0]) << 24 |
         static_cast<std::uint32_t>(octets_[1]) << 16 |
         static_cast<std::uint32_t>(octets_[2]) << 8 | octets_[3];
}

Bytes IpAddr::octets() const noexcept { return Bytes(octets_).first(v4_ ? 4 : 16); }

std::string IpAddr::to_string() const {
  if (v4_) {  // for each new connection: four numbers need no printf, which inet_ntop uses
    char digits[sizeof "255.255.255.255"];
    char* at = digits;
    for (std::size_t i = 0; i < 4; ++i) {
      if (i != 0) *at++ = '.';
      at = std::to_chars(at, std::end(digits), octets_[i]).ptr;
    }
    return {digits, at};
  }
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(AF_INET6, octets_.data(), text, sizeof text);
  return text;
}

std::optional<SocketAddr> SocketAddr::parse(std::string_view text) noexcept {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  if (!port) return std::nullopt;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) return std::nullopt;
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  const auto ip = IpAddr::parse(host);
  if (!ip) return std::nullopt;
  return SocketAddr{*ip, *port};
}

std::optional<SocketAddr> SocketAddr::from_native(const sockaddr_storage& native) noexcept {
  if (native.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &native, sizeof in);
    return SocketAddr{IpAddr::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)};
  }
  if (native.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &native, sizeof in);
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), &in.sin6_addr, octets.size());
    return SocketAddr{IpAddr::v6(octets), ntohs(in.sin6_port)};
  }
  return std::nullopt;
}

socklen_t SocketAddr::to_native(sockaddr_storage& native) const noexcept {
  std::memset(&native, 0, sizeof native);
  if (ip.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(ip.v4_value());
    std::memcpy(&native, &in, sizeof in);
    return sizeof in;
  }
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  std::memcpy(&in.sin6_addr, ip.octets().data(), 16);
  std::memcpy(&native, &in, sizeof in);
  return sizeof in;
}

std::string SocketAddr::to_string() const {
  std::string text = ip.is_v4() ? ip.to_string() : concat("[", ip.to_string(), "]");
  text += ':';
  append_number(text, port);
  return text;
}

std::optional<Cidr> Cidr::parse(std::string_view text) noexcept {
  const auto slash = text.find('/');
  const auto ip = IpAddr::parse(text.substr(0, slash));
  if (!ip) return std::nullopt;
  const std::uint8_t bits = ip->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return Cidr{*ip, bits};
  const auto prefix = parse_number<std::uint8_t>(text.substr(slash + 1));
  if (!prefix || *prefix > bits) return std::nullopt;
  return Cidr{*ip, *prefix};
}

bool Cidr::contains(const IpAddr& address) const noexcept {
  if (ip.is_v4() != address.is_v4()) return false;
  const Bytes a = ip.octets();
  const Bytes b = address.octets();
  const std::size_t whole = prefix / 8;
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin()))
    return false;
  const unsigned rest = prefix % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xFF << (8 - rest));
  return ((a[whole] ^ b[whole]) & mask) == 0;
}

std::string Cidr::to_string() const {
  std::string text = ip.to_string();
  text += '/';
  append_number(text, prefix);
  return text;
}

}  // namespace tulle::net
