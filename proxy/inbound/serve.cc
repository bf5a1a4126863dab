// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/serve.h"

#include "lib/base/text.h"
#include "proxy/inbound/direct.h"
#include "proxy/inbound/early.h"
#include "proxy/inbound/known.h"
#include "proxy/inbound/session.h"
#include "proxy/protocol/detect.h"
#include "proxy/protocol/mesh_tls.h"

namespace tulle::proxy {

net::Task<void> forward_end(InboundSession session, net::StreamPtr dialled);

namespace {

void refused(Worker& worker, const net::SocketAddr& target, std::string_view error) {
  worker.metrics()
      .inbound_tcp_errors
      .get(metrics::Labels{{"error", error}}.append(target_labels(worker.named(target))))
      ->add();
}

}  // namespace

net::Task<void> serve_inbound(Worker& worker, net::Accepted accepted) {
  // Where was this connection going before the kernel redirected it to us?
  const Result<net::SocketAddr> target = net::original_dst(accepted);
  if (!target) {
    worker.log().warn("no original destination; connection dropped",
                      {{"client", accepted.client.to_string()}});
    co_return;
  }
  if (!worker.owns(target->ip)) {
    refused(worker, *target, "unexpected");
    co_return;
  }
  auto counted = std::make_unique<CountedStream>(std::move(accepted.stream), worker.accounts(),
                                                 &worker.unfinished(), accepted.client.ip);
  CountedStream& source = *counted;
  source.leave_with(worker.inbound_drain());
  if (target->port == worker.config().inbound_listen.port) {
    co_await serve_direct(worker, *target, accepted.client, std::move(counted), source);
    co_return;
  }

  // A live handle: rules that change while the connection lives reach its later requests and bytes.
  PortHandle port = watch_port(worker, target->port);
  if (!port) {
    refused(worker, *target, "loadshed");
    co_return;
  }
  InboundSession session{worker,
                         *target,
                         std::move(port),
                         Peer{},
                         std::move(counted),
                         worker.inbound_targets().at(*target)};
  session.peer.addr = accepted.client;
  session.source = &source;
  co_await policy_known(session);
  using Protocol = ServerPolicy::Protocol;
  const ServerPolicyPtr first = session.port.get();

  // Opaque ports skip detection, so a server may speak first.
  if (first->protocol == Protocol::Opaque) {
    session.peer.no_tls_reason = "port_skipped";
    source.set_metrics(
        worker.metrics().transport(Direction::Inbound, true, source_labels(session)));
    co_await forward_bytes(std::move(session), nullptr);
    co_return;
  }

  // A server that speaks first is not made to wait for a client that does not.
  const Deadline by = worker.loop().after(worker.config().inbound.detect_timeout);
  net::StreamPtr dialled;
  if (first->protocol == Protocol::Detect || first->protocol == Protocol::Tls) {
    EarlyOutcome early = co_await dial_early(session, by);
    if (early.server_spoke) {
      early.trying = {};
      session.greeted = true;
      source.set_metrics(
          worker.metrics().transport(Direction::Inbound, true, source_labels(session)));
      co_await forward_bytes(std::move(session), std::move(early.dialled));
      co_return;
    }
    dialled = std::move(early.dialled);
    if (dialled) session.trying = std::move(early.trying);
  }

  // Mesh TLS is terminated; foreign TLS and plain text pass through with no peer.
  Result<DetectedTls> hello = co_await detect_tls(std::move(session.stream), by);
  if (!hello) {
    source_gone(worker, *target, hello.error());
    co_return;
  }
  if (hello->ended) {
    source.set_metrics(
        worker.metrics().transport(Direction::Inbound, true, source_labels(session)));
    session.stream = std::move(hello->stream);
    co_await forward_end(std::move(session), std::move(dialled));
    co_return;
  }
  if (hello->tls && hello->sni == worker.config().server_name) {
    Result<MeshAccepted> mesh =
        co_await accept_mesh(std::move(hello->stream), worker.credentials(), false, by);
    if (!mesh) {
      refused(worker, *target,
              mesh.error().code == Errc::Timeout ? "tls detection timeout" : "unexpected");
      worker.log().debug("mesh TLS failed",
                         {{"client", accepted.client.to_string()}, {"step", mesh.error().where}});
      co_return;
    }
    session.peer.tls = Peer::Tls::Terminated;
    session.peer.identity = std::move(mesh->identity);
    session.peer.tulle = mesh->tulle;
    session.stream = std::move(mesh->stream);
  } else {
    if (hello->tls && !hello->sni.empty()) {
      session.peer.tls = Peer::Tls::Passthrough;
      session.peer.sni = hello->sni;
    }
    session.stream = std::move(hello->stream);
  }
  source.set_metrics(worker.metrics().transport(Direction::Inbound, true, source_labels(session)));
  co_await serve_secured(std::move(session), std::move(dialled));
}

// A client that ended its side before its first byte: an upload of nothing, or somebody who only
// looks whether the port is open. Its end reaches the application, by one connection, where bytes
// may; a port that serves HTTP has nothing to say to it.
net::Task<void> forward_end(InboundSession session, net::StreamPtr dialled) {
  using Protocol = ServerPolicy::Protocol;
  const ServerPolicyPtr policy = session.port.get();
  const bool bytes = policy->protocol != Protocol::Http1 && policy->protocol != Protocol::Http2 &&
                     policy->protocol != Protocol::Grpc;
  if (!bytes || session.worker.learned().of(session.target) == Learned::What::Http ||
      find_bytes_permit(*policy, session.peer) == nullptr) {
    co_return;
  }
  co_await forward_bytes(std::move(session), std::move(dialled));
}

// From here on the peer is known: which protocol, then requests or bytes.
net::Task<void> serve_secured(InboundSession session, net::StreamPtr dialled) {
  Worker& worker = session.worker;
  const ServerPolicyPtr policy = session.port.get();
  using Protocol = ServerPolicy::Protocol;
  const bool terminated = session.peer.tls == Peer::Tls::Terminated;
  if (session.peer.tls == Peer::Tls::Passthrough || policy->protocol == Protocol::Tls ||
      policy->protocol == Protocol::Opaque) {
    co_await forward_bytes(std::move(session), std::move(dialled));
    co_return;
  }
  if (policy->protocol == Protocol::Http2 || policy->protocol == Protocol::Grpc) {
    co_await serve_inbound_http(std::move(session), true);
    co_return;
  }
  if (policy->protocol == Protocol::Http1 && !terminated) {
    co_await serve_inbound_http(std::move(session), false);
    co_return;
  }
  const Duration timeout = policy->protocol == Protocol::Http1
                               ? worker.config().inbound.detect_timeout
                               : policy->detect_timeout;
  const TimePoint began = worker.loop().now();
  const Deadline by = worker.loop().after(timeout);
  // After TLS a silent client may again stand before a server that speaks first.
  if (terminated && !dialled && policy->protocol == Protocol::Detect) {
    EarlyOutcome early = co_await dial_early(session, by);
    if (early.server_spoke) {
      early.trying = {};
      session.greeted = true;
      co_await forward_bytes(std::move(session), std::move(early.dialled));
      co_return;
    }
    dialled = std::move(early.dialled);
    session.trying = std::move(early.trying);
  }
  // Where a policy refuses bytes there is no hurry to find that it is bytes.
  const bool bytes = !policy->known || find_bytes_permit(*policy, session.peer) != nullptr;
  const Duration hold = bytes ? kLineHold : timeout;
  constexpr ProxyHeads kLook = ProxyHeads::LookBehind;
  Result<DetectedHttp> detected = co_await detect_http(std::move(session.stream), by, hold, kLook);
  worker.inbound_detection(policy, worker.named(session.target).port)
      .count(
          detected && detected->spoken != Spoken::Ended ? static_cast<int>(detected->spoken) : -1,
          worker.loop().now() - began);
  if (!detected) {
    source_gone(worker, session.target, detected.error());
    co_return;
  }
  session.proxy_head = std::move(detected->proxy_head);
  if (detected->spoken == Spoken::Timeout && policy->protocol == Protocol::Detect) {
    LateOutcome late;
    session.stream = std::move(detected->stream);
    if (bytes) late = co_await learn_late(session, std::move(dialled));
    dialled = std::move(late.dialled);
    detected->stream = std::move(session.stream);
    if (!bytes || late.http) {
      // It will not become bytes, but it may still become a request, and be answered as one.
      const Deadline more = worker.loop().after(kSilentHold);
      detected = co_await detect_http(std::move(detected->stream), more, kSilentHold, kLook);
      if (!detected) co_return;
      session.proxy_head += detected->proxy_head;
    }
  }
  session.stream = std::move(detected->stream);
  session.undecided = detected->undecided;
  const bool http = detected->spoken == Spoken::Http1 || detected->spoken == Spoken::Http2;
  if (http) worker.learned().http(session.target);
  session.trying = {};
  switch (detected->spoken) {
    case Spoken::Http1:
    case Spoken::Http2:
      dialled.reset();
      co_await serve_inbound_http(std::move(session), detected->spoken == Spoken::Http2);
      co_return;
    case Spoken::Timeout:
      if (policy->protocol == Protocol::Http1) {
        co_await serve_inbound_http(std::move(session), false);
        co_return;
      }
      break;
    case Spoken::NotHttp: break;
    case Spoken::Ended: co_await forward_end(std::move(session), std::move(dialled)); co_return;
  }
  co_await forward_bytes(std::move(session), std::move(dialled));
}

// A client that left before it said what it wanted is no error of anybody's.
void source_gone(Worker& worker, const net::SocketAddr& target, const Error& error) {
  if (error.code == Errc::Eof || error.code == Errc::Reset) return;
  refused(worker, target, error.code == Errc::Timeout ? "tls detection timeout" : "i/o");
}

}  // namespace tulle::proxy
