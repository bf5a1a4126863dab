// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/mesh_tls.h"

#include "lib/tls/stream.h"

namespace tulle::proxy {

net::Task<Result<MeshAccepted>> accept_mesh(net::StreamPtr tcp,
                                            std::shared_ptr<const tls::Credentials> credentials,
                                            bool offer_transport, Deadline by) {
  tls::ServerOptions options;
  options.alpn = offer_transport;
  options.prefer = offer_transport ? kTulleTransportAlpn : kTulleAlpn;
  Result<std::unique_ptr<tls::TlsStream>> stream =
      co_await tls::accept_tls(std::move(tcp), std::move(credentials), options, by);
  if (!stream) co_return stream.error();
  MeshAccepted accepted;
  accepted.identity = (*stream)->peer_identity();
  const std::string chosen = (*stream)->alpn();
  accepted.tulle = chosen == (offer_transport ? kTulleTransportAlpn : kTulleAlpn);
  accepted.transport = offer_transport && (accepted.tulle || chosen == kTransportAlpn);
  accepted.stream = std::move(*stream);
  co_return Result<MeshAccepted>(std::move(accepted));
}

net::Task<Result<MeshConnected>> connect_mesh(net::StreamPtr tcp,
                                              std::shared_ptr<const tls::Credentials> credentials,
                                              std::string server_name, std::string identity,
                                              bool offer_transport, Deadline by) {
  tls::ClientOptions options;
  options.server_name = std::move(server_name);
  options.identity = std::move(identity);
  options.alpn = offer_transport;
  options.prefer = offer_transport ? kTulleTransportAlpn : kTulleAlpn;
  Result<std::unique_ptr<tls::TlsStream>> stream =
      co_await tls::connect_tls(std::move(tcp), std::move(credentials), std::move(options), by);
  if (!stream) co_return stream.error();
  MeshConnected connected;
  const std::string chosen = (*stream)->alpn();
  connected.tulle = chosen == (offer_transport ? kTulleTransportAlpn : kTulleAlpn);
  connected.transport = offer_transport && (connected.tulle || chosen == kTransportAlpn);
  connected.stream = std::move(*stream);
  co_return Result<MeshConnected>(std::move(connected));
}

}  // namespace tulle::proxy
