// SPDX-License-Identifier: Apache-2.0
#include "proxy/route/authorization.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::proxy {

bool NetworkMatch::contains(const net::IpAddr& ip) const noexcept {
  return net.contains(ip) && std::none_of(except.begin(), except.end(),
                                          [&](const net::Cidr& e) { return e.contains(ip); });
}

bool Authorization::permits(const Peer& peer) const noexcept {
  if (std::none_of(networks.begin(), networks.end(),
                   [&](const NetworkMatch& match) { return match.contains(peer.addr.ip); })) {
    return false;
  }
  switch (kind) {
    case Kind::Unauthenticated: return true;
    case Kind::TlsUnauthenticated: return peer.tls == Peer::Tls::Terminated;
    case Kind::TlsAuthenticated: break;
    case Kind::Unsupported: return false;
  }
  if (peer.tls != Peer::Tls::Terminated || peer.identity.empty()) return false;
  const std::string_view id = peer.identity;
  if (std::find(identities.begin(), identities.end(), id) != identities.end()) return true;
  const bool is_uri = id.find("://") != std::string_view::npos;
  return std::any_of(suffixes.begin(), suffixes.end(), [&](const std::string& suffix) {
    if (suffix.empty()) return true;
    return !is_uri && id.size() > suffix.size() && id.ends_with(suffix);
  });
}

const Authorization* find_permit(std::span<const Authorization> authorizations,
                                 const Peer& peer) noexcept {
  for (const Authorization& authorization : authorizations) {
    if (authorization.permits(peer)) return &authorization;
  }
  return nullptr;
}

Authorization localhost_authorization() {
  Authorization localhost;
  localhost.kind = Authorization::Kind::Unauthenticated;
  localhost.networks = {{*net::Cidr::parse("127.0.0.1/32"), {}},
                        {*net::Cidr::parse("::1/128"), {}}};
  localhost.meta = Meta::implicit("localhost");
  return localhost;
}

}  // namespace tulle::proxy
