// SPDX-License-Identifier: Apache-2.0
// The authorizations of an inbound port: which peers may come in (docs/reference/proxy.md §2.2,
// docs/reference/wire-api.md §7).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/net/address.h"
#include "proxy/route/meta.h"

namespace tulle::proxy {

// The authenticated other side of a connection, as far as mesh TLS told.
struct Peer {
  enum class Tls : std::uint8_t {
    None,         // plain text; reason says why
    Terminated,   // mesh TLS with us
    Passthrough,  // TLS for somebody else; bytes only
  };
  Tls tls = Tls::None;
  std::string identity;                                   // client id; empty: none was presented
  std::string sni;                                        // Passthrough only
  std::string_view no_tls_reason = "no_tls_from_remote";  // None only
  net::SocketAddr addr;
  bool tulle = false;  // Terminated only: a proxy of our kind (mesh_tls.h)
};

struct NetworkMatch {
  net::Cidr net;
  std::vector<net::Cidr> except;
  bool contains(const net::IpAddr& ip) const noexcept;
};

struct Authorization {
  enum class Kind : std::uint8_t {
    Unauthenticated,     // anyone
    TlsUnauthenticated,  // mesh TLS, identity optional
    TlsAuthenticated,    // an identity equal to one of `identities` or under one of `suffixes`
    Unsupported,         // something this build does not know: admits nobody
  };
  Kind kind = Kind::Unsupported;
  std::vector<NetworkMatch> networks;
  std::vector<std::string> identities;
  std::vector<std::string> suffixes;  // ".a.b"; "" = any identity
  Meta meta;
  bool audit = false;  // admits, and whatever only it admits is logged

  bool permits(const Peer& peer) const noexcept;
};

// The first that permits the peer; null if none does.
const Authorization* find_permit(std::span<const Authorization> authorizations,
                                 const Peer& peer) noexcept;

// The implicit one that every port has: anything from 127.0.0.1 and ::1.
Authorization localhost_authorization();

}  // namespace tulle::proxy
