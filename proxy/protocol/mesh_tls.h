// SPDX-License-Identifier: Apache-2.0
// Mesh TLS as the proxy's steps use it: accept for our own name, connect to a named peer. One place
// that knows lib/tls.
#pragma once

#include <memory>
#include <string>

#include "lib/net/stream.h"
#include "lib/tls/credentials.h"
#include "proxy/route/authorization.h"

namespace tulle::proxy {

inline constexpr std::string_view kTransportAlpn = "transport.l5d.io/v1";
// How two proxies of our kind know each other before the first byte (docs/decisions/0011): offered
// by our clients beside what others know, chosen by our servers only. The number is that of what
// they may then say to each other (spelling.h, the marks of orig_proto.h).
inline constexpr std::string_view kTulleAlpn = "tulle/1";
inline constexpr std::string_view kTulleTransportAlpn = "tulle/1+transport.l5d.io/v1";

struct MeshAccepted {
  net::StreamPtr stream;
  std::string identity;    // empty: the client presented no certificate
  bool transport = false;  // the client speaks the transport header
  bool tulle = false;      // the client is a proxy of our kind
};
// `offer_transport`: the server side of connections addressed to the inbound port itself.
net::Task<Result<MeshAccepted>> accept_mesh(net::StreamPtr tcp,
                                            std::shared_ptr<const tls::Credentials> credentials,
                                            bool offer_transport, Deadline by);

struct MeshConnected {
  net::StreamPtr stream;
  bool transport = false;  // the server agreed to the transport header
  bool tulle = false;      // the server is a proxy of our kind
};
// Unauthenticated: the server is not `identity`.
net::Task<Result<MeshConnected>> connect_mesh(net::StreamPtr tcp,
                                              std::shared_ptr<const tls::Credentials> credentials,
                                              std::string server_name, std::string identity,
                                              bool offer_transport, Deadline by);

}  // namespace tulle::proxy
