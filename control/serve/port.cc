// SPDX-License-Identifier: Apache-2.0
#include "control/serve/port.h"

#include "lib/h2/connection.h"
#include "lib/tls/stream.h"

namespace tulle::control {
namespace {

constexpr std::uint8_t kTlsHandshake = 0x16;
// Proxies keep their watches for as long as they live: a connection with calls under way stays, and
// is bounded by where it comes from. A node may stand for all of its pods, a cloud's /64 for all
// of a zone.
constexpr net::Admission::Limits kLimits{.total = 20'000, .per_source = 4096};
constexpr Duration kIdleTime = 5min;  // without a call
// Whoever is known may have a stream for each target it ever talks to: a proxy that waits for
// streams on its one connection would wait for ever.
constexpr std::uint32_t kStreams = 250;
constexpr std::uint32_t kStreamsOfKnown = 5000;

// Adds to each request of a connection who is at its other end.
class PeerHandler final : public http::Handler {
 public:
  PeerHandler(grpc::Server& server, grpc::Peer peer) : server_(server), peer_(std::move(peer)) {}
  net::Task<Result<http::Response>> handle(http::Request request) override {
    return server_.serve(std::move(request), peer_);
  }

 private:
  grpc::Server& server_;
  grpc::Peer peer_;
};

// Waits for the first byte and leaves it where it is.
net::Task<Result<std::uint8_t>> peek_byte(net::TcpStream& stream, Deadline by) {
  std::uint8_t byte = 0;
  for (;;) {
    const Result<std::size_t> n = stream.try_peek({&byte, 1});
    if (n && *n == 1) co_return byte;
    if (n) co_return Error{Errc::Eof, "first byte"};
    if (n.error().code != Errc::WouldBlock) co_return n.error();
    stream.io().readable = false;
    const bool in_time = co_await net::readable(stream.io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "first byte"};
  }
}

}  // namespace

PortMetrics::PortMetrics(metrics::Registry& registry)
    : accepted(registry.counter("tulle_control_connections_total", "Connections accepted")),
      refused(registry.counter("tulle_control_refused_connections_total",
                               "Connections that were not served")) {}

GrpcPort::GrpcPort(net::Loop& loop, const log::Logger& log, grpc::Server& server,
                   const OwnCertificates* own, net::Drain& drain, const PortMetrics& metrics,
                   PortBounds& bounds, std::string_view name)
    : loop_(loop),
      log_(log),
      server_(server),
      own_(own),
      drain_(drain),
      bounds_(bounds),
      admission_(kLimits, bounds.counters(name)) {
  accepted_tls_ = metrics.accepted.get({{"port", name}, {"tls", "true"}});
  accepted_plain_ = metrics.accepted.get({{"port", name}, {"tls", "false"}});
  refused_ = metrics.refused.get({{"port", name}});
}

Result<void> GrpcPort::listen(net::SocketFactory& sockets, net::SocketAddr at) {
  net::TcpOptions options;
  options.keepalive = 10s;
  options.user_timeout = 30s;
  auto listener = net::listen_tcp(loop_, sockets, at, options);
  if (!listener) return listener.error();
  listener_ = *std::move(listener);
  return {};
}

net::Task<void> GrpcPort::run() {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener_->accept();
    if (!accepted) co_return;
    const net::SocketAddr client = accepted->client;
    auto guest = net::GuestStream::make(admission_, &bounds_.unfinished, *std::move(accepted));
    if (guest != nullptr) connections_.spawn(serve(std::move(guest), client));
  }
}

net::Task<void> GrpcPort::serve(std::unique_ptr<net::GuestStream> stream, net::SocketAddr client) {
  net::GuestStream& guest = *stream;
  Secured secured = co_await secure(std::move(stream), client);
  if (secured.stream == nullptr) co_return;
  guest.arrival().over();
  const bool known = !secured.peer.identity.empty();
  PeerHandler handler(server_, std::move(secured.peer));
  co_await speak(std::move(secured.stream), handler, guest, client.ip, known);
}

// No coroutine: options would stay in its frame for as long as the connection lives.
net::Task<void> GrpcPort::speak(net::StreamPtr stream, http::Handler& handler,
                                net::GuestStream& guest, const net::IpAddr& client, bool known) {
  h2::ServerOptions options;
  options.max_concurrent_streams = known ? kStreamsOfKnown : kStreams;
  options.guard.heads = &bounds_.unfinished;
  options.guard.client = client;
  options.guard.place = &guest;
  options.guard.head_time = kHeadTime;
  options.guard.idle_time = kIdleTime;
  return h2::serve(std::move(stream), handler, options, drain_);
}

net::Task<GrpcPort::Secured> GrpcPort::secure(std::unique_ptr<net::GuestStream> stream,
                                              net::SocketAddr client) {
  const Deadline by = loop_.after(kHeadTime);
  const Result<std::uint8_t> first = co_await peek_byte(stream->tcp(), by);
  if (!first) co_return Secured{};
  if (*first == kTlsHandshake) co_return co_await accept_tls(std::move(stream), client);
  if (!client.ip.is_loopback()) {
    refused_->add();
    log_.debug("plain text is refused", {{"client", client.to_string()}});
    stream->abort();
    co_return Secured{};
  }
  accepted_plain_->add();
  Secured plain{std::move(stream), {{}, client}};
  co_return plain;
}

net::Task<GrpcPort::Secured> GrpcPort::accept_tls(std::unique_ptr<net::GuestStream> stream,
                                                  net::SocketAddr client) {
  const OwnCertificates* const own = own_;
  tls::ChooseCredentials choose = [own](std::string_view name) {
    return own != nullptr ? own->choose(name) : nullptr;
  };
  const tls::ServerOptions options;
  const Deadline by = loop_.after(kHeadTime);
  net::StreamPtr inner = std::move(stream);
  Result<std::unique_ptr<tls::TlsStream>> session =
      co_await tls::accept_tls(std::move(inner), std::move(choose), options, by);
  if (!session) {
    refused_->add();
    log_.debug("a handshake has failed",
               {{"client", client.to_string()}, {"reason", session.error().where}});
    co_return Secured{};
  }
  accepted_tls_->add();
  Secured secured;
  secured.peer = {std::string_view((*session)->peer_identity()), client};
  secured.stream = *std::move(session);
  co_return secured;
}

}  // namespace tulle::control
