// SPDX-License-Identifier: Apache-2.0
#include "control/wire.h"

#include <array>
#include <optional>

namespace tulle::control {

pb::net::IPAddress to_wire(const net::IpAddr& ip) {
  pb::net::IPAddress out;
  if (ip.is_v4()) {
    out.set_ipv4(ip.v4_value());
    return out;
  }
  auto& v6 = out.set_ipv6();
  const Bytes octets = ip.octets();
  for (std::size_t i = 0; i < 8; ++i) v6.first = v6.first << 8 | octets[i];
  for (std::size_t i = 8; i < 16; ++i) v6.last = v6.last << 8 | octets[i];
  return out;
}

pb::net::TcpAddress to_wire(const net::SocketAddr& address) {
  pb::net::TcpAddress out;
  out.ip = to_wire(address.ip);
  out.port = address.port;
  return out;
}

pb::net::IPNetwork to_wire(const net::Cidr& network) {
  pb::net::IPNetwork out;
  out.ip = to_wire(network.ip);
  out.prefix_len = network.prefix;
  return out;
}

std::optional<net::SocketAddr> from_wire(const pb::net::TcpAddress& address) {
  if (!address.ip || address.port == 0 || address.port > 65535) return std::nullopt;
  using Case = pb::net::IPAddress::IpCase;
  net::SocketAddr out;
  out.port = static_cast<std::uint16_t>(address.port);
  switch (address.ip->ip_case) {
    case Case::ipv4: out.ip = net::IpAddr::v4(address.ip->ipv4); return out;
    case Case::ipv6: {
      std::array<std::uint8_t, 16> octets{};
      for (std::size_t i = 0; i < 8; ++i) {
        octets[7 - i] = static_cast<std::uint8_t>(address.ip->ipv6->first >> (8 * i));
        octets[15 - i] = static_cast<std::uint8_t>(address.ip->ipv6->last >> (8 * i));
      }
      out.ip = net::IpAddr::v6(octets);
      return out;
    }
    case Case::none: break;
  }
  return std::nullopt;
}

pb::meta::Metadata default_metadata(std::string_view name) {
  pb::meta::Metadata out;
  out.set_default(std::string(name));
  return out;
}

pb::meta::Metadata resource_metadata(std::string_view group, std::string_view kind,
                                     std::string_view ns, std::string_view name,
                                     std::uint16_t port) {
  pb::meta::Metadata out;
  auto& resource = out.set_resource();
  resource.group = group;
  resource.kind = kind;
  resource.namespace_ = ns;
  resource.name = name;
  resource.port = port;
  return out;
}

}  // namespace tulle::control
