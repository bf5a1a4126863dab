// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/server.h"

#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "proxy/detect.h"
#include "proxy/mesh_tls.h"
#include "proxy/proxy.h"

namespace tulle::proxy {
namespace {

constexpr Duration kDetectTimeout = 1s;

}  // namespace

Result<void> AdminServer::listen() {
  auto listener = net::listen_tcp(proxy_.loop(), proxy_.sockets(), proxy_.config().admin_listen,
                                  proxy_.config().inbound.accept);
  if (!listener) return listener.error();
  listener_ = std::move(*listener);
  scope_.spawn(accept_all());
  return {};
}

net::Task<void> AdminServer::accept_all() {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener_->accept();
    if (!accepted) co_return;
    scope_.spawn(serve(std::move(*accepted)));
  }
}

void AdminServer::fold_accounts() {
  accounts_.for_each([](Account& account) { account.fold(); });
}

net::Task<void> AdminServer::serve(net::Accepted accepted) {
  Peer peer;
  peer.addr = accepted.client;
  const std::uint16_t port = proxy_.config().admin_listen.port;
  auto counted = std::make_unique<CountedStream>(std::move(accepted.stream), accounts_);
  CountedStream& source = *counted;
  const Deadline by = proxy_.loop().after(kDetectTimeout);
  Result<DetectedTls> hello = co_await detect_tls(std::move(counted), by);
  if (!hello) co_return;
  net::StreamPtr stream = std::move(hello->stream);
  if (hello->tls) {
    if (hello->sni != proxy_.config().server_name) co_return;
    Result<MeshAccepted> mesh =
        co_await accept_mesh(std::move(stream), proxy_.credentials(), false, by);
    if (!mesh) co_return;
    peer.tls = Peer::Tls::Terminated;
    peer.identity = std::move(mesh->identity);
    stream = std::move(mesh->stream);
  }
  metrics::Labels labels = target_labels(proxy_.config().admin_listen);
  labels.append(peer_labels(peer)).append(server_labels(proxy_.server_policy(port)->meta, port));
  source.set_metrics(proxy_.metrics().transport(Direction::Inbound, true, labels));
  Result<DetectedHttp> detected =
      co_await detect_http(std::move(stream), proxy_.loop().after(kDetectTimeout));
  if (!detected || detected->spoken == Spoken::NotHttp) co_return;
  const bool meshed = peer.tls == Peer::Tls::Terminated;
  AdminHandler handler(proxy_, std::move(peer));
  // A silent peer of the mesh will speak HTTP/2, others HTTP/1.
  const bool http2 =
      detected->spoken == Spoken::Http2 || (detected->spoken == Spoken::Timeout && meshed);
  if (http2) {
    const h2::ServerOptions options;
    co_await h2::serve(std::move(detected->stream), handler, options, drain_);
  } else {
    const http1::ServerOptions options;
    co_await http1::serve(std::move(detected->stream), handler, options, drain_);
  }
}

}  // namespace tulle::proxy
