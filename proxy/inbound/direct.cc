// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/direct.h"

#include "lib/base/text.h"
#include "proxy/inbound/known.h"
#include "proxy/protocol/mesh_tls.h"
#include "proxy/protocol/transport_header.h"

namespace tulle::proxy {
namespace {

net::Task<Result<ParsedHeader>> read_header(net::Stream& stream, ByteQueue& held, Deadline by) {
  for (;;) {
    const MutableBytes room = stream.loop().scratch();
    const Result<std::size_t> n = stream.try_read(room);
    if (n && *n == 0) co_return Error{Errc::Eof, "read the transport header"};
    if (n) {
      held.append(Bytes(room.data(), *n));
      Result<std::optional<ParsedHeader>> parsed = parse_transport_header(held.data());
      if (!parsed) co_return parsed.error();
      if (*parsed) co_return **parsed;
      continue;
    }
    if (n.error().code != Errc::WouldBlock) co_return n.error();
    const bool in_time = co_await net::readable(stream.io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "read the transport header"};
  }
}

}  // namespace

net::Task<void> serve_direct(Worker& worker, net::SocketAddr target, net::SocketAddr client,
                             std::unique_ptr<CountedStream> stream, CountedStream& source) {
  const auto refuse = [&](std::string_view error, std::string_view why) {
    worker.metrics()
        .inbound_tcp_errors.get(metrics::Labels{{"error", error}}.append(target_labels(target)))
        ->add();
    worker.log().debug("direct connection refused",
                       {{"client", client.to_string()}, {"reason", why}});
  };
  const Deadline by = worker.loop().after(worker.config().inbound.detect_timeout);
  Result<DetectedTls> hello = co_await detect_tls(std::move(stream), by);
  if (!hello) {
    source_gone(worker, target, hello.error());
    co_return;
  }
  if (hello->ended) co_return;
  if (!hello->tls || hello->sni != worker.config().server_name) {
    refuse("unexpected", "not mesh TLS");
    co_return;
  }
  Result<MeshAccepted> mesh =
      co_await accept_mesh(std::move(hello->stream), worker.credentials(), true, by);
  if (!mesh) {
    refuse("unexpected", mesh.error().where);
    co_return;
  }
  if (mesh->identity.empty() || !mesh->transport) {
    refuse("unexpected", mesh->identity.empty() ? "no client identity" : "no transport protocol");
    co_return;
  }
  ByteQueue held;
  Result<ParsedHeader> parsed = co_await read_header(*mesh->stream, held, by);
  if (!parsed) {
    refuse("unexpected", parsed.error().where);
    co_return;
  }
  if (!parsed->header.name.empty()) {
    refuse("gateway domain invalid", "this version is no gateway");
    co_return;
  }
  const net::SocketAddr local{target.ip, parsed->header.port};
  if (local.port == worker.config().inbound_listen.port) {
    refuse("unexpected", "inbound loop");
    co_return;
  }
  PortHandle watched = watch_port(worker, local.port);
  if (!watched) {
    refuse("loadshed", "too many ports");
    co_return;
  }
  InboundSession session{worker, local,   std::move(watched),
                         Peer{}, nullptr, worker.inbound_targets().at(local)};
  session.peer.addr = client;
  session.source = &source;
  session.peer.tls = Peer::Tls::Terminated;
  session.peer.identity = std::move(mesh->identity);
  session.peer.tulle = mesh->tulle;
  co_await policy_known(session);
  static constexpr std::string_view kProtocols[] = {"", "http/1", "http/2"};
  worker.metrics()
      .transport_header
      .get({{"session_protocol", kProtocols[static_cast<std::size_t>(parsed->header.session)]},
            {"target_port", port_label(worker.named(local).port)},
            {"target_name", ""},
            {"client_id", session.peer.identity}})
      ->add();
  held.consume(parsed->size);
  session.stream = std::make_unique<net::ReplayStream>(std::move(mesh->stream), std::move(held));
  source.set_metrics(worker.metrics().transport(Direction::Inbound, true, source_labels(session)));
  const Session said = parsed->header.session;
  co_await serve_as_said(std::move(session), said);
}

net::Task<void> serve_as_said(InboundSession session, Session said) {
  switch (said) {
    // What a client says of its bytes opens nothing: the port's policy decides whether they are
    // looked at.
    case Session::Opaque: co_await serve_secured(std::move(session), nullptr); break;
    case Session::Http1: co_await serve_inbound_http(std::move(session), false); break;
    case Session::Http2: co_await serve_inbound_http(std::move(session), true); break;
  }
}

}  // namespace tulle::proxy
