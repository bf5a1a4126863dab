// SPDX-License-Identifier: Apache-2.0
// One address that can serve a backend, as discovery described it (docs/reference/proxy.md §3.9,
// docs/reference/wire-api.md §5.1).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/time.h"
#include "lib/net/address.h"

namespace tulle::proxy {

struct EndpointInfo {
  enum class Hint : std::uint8_t { None, H2, Opaque };
  struct KeepAlive {
    Duration interval{};
    Duration timeout{};
    bool while_idle = false;
    friend bool operator==(const KeepAlive&, const KeepAlive&) = default;
  };

  net::SocketAddr addr;
  std::vector<std::pair<std::string, std::string>> labels;  // sorted; exported with the prefix dst_
  // Mesh identity: empty = plain text. `tls_broken`: discovery asked for TLS in a way that cannot
  // be used; every use is an error, never plain text (docs/design.md §3.9).
  std::string identity;
  std::string server_name;
  bool tls_broken = false;
  Hint hint = Hint::None;
  std::uint16_t transport_port =
      0;  // the peer proxy's inbound port for the transport header; 0: none
  std::string authority_override;  // "host:port"
  std::optional<KeepAlive> keep_alive;
  std::uint32_t stream_window = 0;  // 0: the proxy's own setting
  std::uint32_t connection_window = 0;

  bool meshed() const noexcept { return !identity.empty(); }
  friend bool operator==(const EndpointInfo&, const EndpointInfo&) = default;
};

using EndpointPtr = std::shared_ptr<const EndpointInfo>;

// Endpoints are asked for in the family of the address that the application connected to: it may
// listen on that one only (docs/decisions/0012-families.md).
enum class Family : std::uint8_t { V4, V6 };
inline Family family_of(const net::IpAddr& ip) noexcept {
  return ip.is_v6() ? Family::V6 : Family::V4;
}

// What discovery is asked for.
struct EndpointKey {
  std::string path;  // "name:port"
  Family family = Family::V4;
  friend auto operator<=>(const EndpointKey&, const EndpointKey&) = default;
};

// All endpoints of one backend; sorted by address.
struct EndpointSet {
  bool known = false;   // discovery has answered
  bool exists = true;   // false: discovery says there is no such service
  std::string failure;  // terminal answer: why nothing will ever come
  std::vector<EndpointPtr> endpoints;
};

}  // namespace tulle::proxy

template <>
struct std::hash<tulle::proxy::EndpointKey> {
  std::size_t operator()(const tulle::proxy::EndpointKey& key) const noexcept {
    return std::hash<std::string>{}(key.path) ^ static_cast<std::size_t>(key.family);
  }
};
