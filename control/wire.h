// SPDX-License-Identifier: Apache-2.0
// Our values as messages of the proxy API (docs/reference/wire-api.md §3).
#pragma once

#include <string>
#include <string_view>

#include "lib/net/address.h"
#include "proto/meta.pb.h"
#include "proto/net.pb.h"

namespace tulle::control {

pb::net::IPAddress to_wire(const net::IpAddr& ip);
pb::net::TcpAddress to_wire(const net::SocketAddr& address);
pb::net::IPNetwork to_wire(const net::Cidr& network);
// Nothing if the address or its port is missing or out of range.
std::optional<net::SocketAddr> from_wire(const pb::net::TcpAddress& address);

// Metadata of something that is no resource, e.g. "all-unauthenticated".
pb::meta::Metadata default_metadata(std::string_view name);
pb::meta::Metadata resource_metadata(std::string_view group, std::string_view kind,
                                     std::string_view ns, std::string_view name,
                                     std::uint16_t port = 0);

}  // namespace tulle::control
