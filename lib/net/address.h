// SPDX-License-Identifier: Apache-2.0
// Internet addresses as values: IpAddr, SocketAddr (ip + port), Cidr. No name resolution here.
// IPv4-mapped IPv6 addresses are normalised to IPv4 wherever an address is made.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"

namespace tulle::net {

class IpAddr {
 public:
  IpAddr() = default;  // 0.0.0.0
  static IpAddr v4(std::uint32_t host_order) noexcept;
  // A v4-mapped address becomes IPv4.
  static IpAddr v6(const std::array<std::uint8_t, 16>& octets) noexcept;
  // "10.0.0.1", "fd00::1"; no brackets, no zone.
  static std::optional<IpAddr> parse(std::string_view text) noexcept;

  bool is_v4() const noexcept { return v4_; }
  bool is_v6() const noexcept { return !v4_; }
  // 127.0.0.0/8 or ::1.
  bool is_loopback() const noexcept;
  // 0.0.0.0 or ::.
  bool is_unspecified() const noexcept;
  std::uint32_t v4_value() const noexcept;  // host order; only if is_v4()
  // 4 or 16 octets, network order.
  Bytes octets() const noexcept;
  std::string to_string() const;

  friend auto operator<=>(const IpAddr&, const IpAddr&) = default;

 private:
  std::array<std::uint8_t, 16> octets_{};  // IPv4 uses the first four
  bool v4_ = true;
};

// Where a TCP or UDP socket is. Compares by address, then port.
struct SocketAddr {
  IpAddr ip;
  std::uint16_t port = 0;

  // "10.0.0.1:80", "[fd00::1]:80".
  static std::optional<SocketAddr> parse(std::string_view text) noexcept;
  static std::optional<SocketAddr> from_native(const sockaddr_storage& native) noexcept;
  // Returns the length that goes with it.
  socklen_t to_native(sockaddr_storage& native) const noexcept;
  std::string to_string() const;
  friend auto operator<=>(const SocketAddr&, const SocketAddr&) = default;
};

// A network: the addresses that share the first `prefix` bits with `ip`.
struct Cidr {
  IpAddr ip;
  std::uint8_t prefix = 0;

  // "10.0.0.0/8", "fd00::/8", or a bare address (a host route). Host bits may be set.
  static std::optional<Cidr> parse(std::string_view text) noexcept;
  // False for an address of the other family.
  bool contains(const IpAddr& address) const noexcept;
  std::string to_string() const;
  friend auto operator<=>(const Cidr&, const Cidr&) = default;
};

}  // namespace tulle::net

template <>
struct std::hash<tulle::net::IpAddr> {
  std::size_t operator()(const tulle::net::IpAddr& ip) const noexcept {
    const tulle::Bytes octets = ip.octets();
    return std::hash<std::string_view>{}(tulle::as_text(octets));
  }
};
template <>
struct std::hash<tulle::net::SocketAddr> {
  std::size_t operator()(const tulle::net::SocketAddr& addr) const noexcept {
    return std::hash<tulle::net::IpAddr>{}(addr.ip) * 31 + addr.port;
  }
};
