// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/server.h"

#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "proxy/protocol/detect.h"
#include "proxy/protocol/mesh_tls.h"

namespace tulle::proxy {
namespace {

constexpr Duration kDetectTimeout = 1s;
constexpr Duration kHeadTime = 10s;
constexpr Duration kIdleTime = 2min;
// Probes come on new connections, so new ones always get in; answers are short, so none may stay
// for not being read.
constexpr net::Admission::Limits kLimits{.total = 512, .per_source = 256, .busy_gives_way = true};

// The place of a connection, which must live as long as it is waited for anywhere.
class Guest final : public net::Place {
 public:
  Guest(net::Admission& admission, const net::IpAddr& client, net::TcpStream& stream)
      : Place(admission, client), stream_(stream) {}

 private:
  void give_way() override { stream_.abort(); }
  net::TcpStream& stream_;
};

std::shared_ptr<metrics::Counter> shed(AdminHost& host, std::string_view reason) {
  return host.metrics().shed.get({{"direction", "admin"}, {"reason", reason}});
}

}  // namespace

AdminServer::AdminServer(AdminHost& host, net::SocketFactory& sockets,
                         const Credentials& credentials)
    : unfinished_(std::size_t{1} * 1024 * 1024, shed(host, "unfinished")),
      admission_(kLimits, {shed(host, "no_place"), shed(host, "gave_way")}),
      host_(host),
      sockets_(sockets),
      credentials_(credentials) {}

Result<void> AdminServer::listen() {
  auto listener = net::listen_tcp(host_.loop(), sockets_, host_.config().admin_listen,
                                  host_.config().inbound.accept);
  if (!listener) return listener.error();
  listener_ = std::move(*listener);
  scope_.spawn(accept_all());
  return {};
}

net::Task<void> AdminServer::accept_all() {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener_->accept();
    if (!accepted) co_return;
    if (admission_.admit(accepted->client.ip)) scope_.spawn(serve(std::move(*accepted)));
  }
}

void AdminServer::fold_accounts() {
  accounts_.for_each([](Account& account) { account.fold(); });
}

net::Task<void> AdminServer::serve(net::Accepted accepted) {
  Peer peer;
  peer.addr = accepted.client;
  const std::uint16_t port = host_.config().admin_listen.port;
  auto counted = std::make_unique<CountedStream>(std::move(accepted.stream), accounts_,
                                                 &unfinished_, accepted.client.ip);
  CountedStream& source = *counted;
  Guest guest(admission_, accepted.client.ip, source.tcp());
  const Deadline by = host_.loop().after(kDetectTimeout);
  Result<DetectedTls> hello = co_await detect_tls(std::move(counted), by);
  if (!hello) co_return;
  net::StreamPtr stream = std::move(hello->stream);
  if (hello->tls) {
    if (hello->sni != host_.config().server_name) co_return;
    Result<MeshAccepted> mesh = co_await accept_mesh(std::move(stream), credentials_, false, by);
    if (!mesh) co_return;
    peer.tls = Peer::Tls::Terminated;
    peer.identity = std::move(mesh->identity);
    stream = std::move(mesh->stream);
  }
  metrics::Labels labels = target_labels(host_.config().admin_listen);
  labels.append(peer_labels(peer)).append(server_labels(host_.server_policy(port)->meta, port));
  source.set_metrics(host_.metrics().transport(Direction::Inbound, true, labels));
  Result<DetectedHttp> detected =
      co_await detect_http(std::move(stream), host_.loop().after(kDetectTimeout));
  if (!detected || detected->spoken == Spoken::NotHttp) co_return;
  source.settled();
  net::Guard guard;
  guard.heads = &unfinished_;
  guard.client = accepted.client.ip;
  guard.place = &guest;
  guard.head_time = kHeadTime;
  guard.idle_time = kIdleTime;
  const bool meshed = peer.tls == Peer::Tls::Terminated;
  AdminHandler handler(host_, std::move(peer));
  // A silent peer of the mesh will speak HTTP/2, others HTTP/1.
  const bool http2 =
      detected->spoken == Spoken::Http2 || (detected->spoken == Spoken::Timeout && meshed);
  if (http2) {
    h2::ServerOptions options;
    options.max_concurrent_streams = 100;
    options.guard = guard;
    co_await h2::serve(std::move(detected->stream), handler, options, drain_);
  } else {
    http1::ServerOptions options;
    options.guard = guard;
    co_await http1::serve(std::move(detected->stream), handler, options, drain_);
  }
}

}  // namespace tulle::proxy
