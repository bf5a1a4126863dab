// SPDX-License-Identifier: Apache-2.0
#include "lib/base/text.h"
#include "lib/net/copy.h"
#include "lib/net/stream.h"
#include "proxy/inbound/forged_id.h"
#include "proxy/inbound/session.h"
#include "proxy/protocol/detect.h"

namespace tulle::proxy {
namespace {

metrics::Labels byte_labels(const InboundSession& session, const ServerPolicy& policy) {
  const net::SocketAddr target = session.worker.named(session.target);
  metrics::Labels labels = target_labels(target);
  labels.append(server_labels(policy.meta, target.port));
  return labels;
}

// A policy that says opaque is the operator's word that no requests come, and a server that spoke
// first serves none.
bool may_be_requests(const InboundSession& session) {
  return !session.greeted && session.port.get()->protocol != ServerPolicy::Protocol::Opaque;
}

void tell_of_forgery(InboundSession& session) {
  const net::SocketAddr target = session.worker.named(session.target);
  metrics::Labels labels{{"error", "forged client id"}};
  session.worker.metrics().inbound_tcp_errors.get(labels.append(target_labels(target)))->add();
  session.worker.log().info("Connection ended",
                            {{"client", session.peer.addr.to_string()},
                             {"target", session.target.to_string()},
                             {"reason", "a line l5d-client-id among bytes that are no request"}});
}

// Copies until done, or until a policy update no longer admits the peer.
net::Task<void> copy_until_done(net::Stream& client, net::Stream& server, net::Signal& finished,
                                bool& done) {
  [[maybe_unused]] const net::CopyOutcome outcome = co_await net::copy_duplex(client, server);
  done = true;
  finished.notify_all();
}

}  // namespace

const Authorization* authorize_bytes(InboundSession& session) {
  const ServerPolicyPtr& policy = session.port.get();
  if (!policy->known) {
    metrics::Labels labels{{"error", "policy unknown"}};
    session.worker.metrics()
        .inbound_tcp_errors.get(labels.append(target_labels(session.worker.named(session.target))))
        ->add();
    return nullptr;
  }
  const Authorization* const permit = find_bytes_permit(*policy, session.peer);
  metrics::Labels labels = byte_labels(session, *policy);
  Metrics& metrics = session.worker.metrics();
  if (permit == nullptr) {
    labels.append(peer_labels(session.peer));
    metrics.tcp_authz_deny.get(labels)->add();
    session.worker.log().info(
        "Connection denied",
        {{"client", session.peer.addr.to_string()},
         {"target", session.target.to_string()},
         {"server", policy->meta.name},
         {"reason", holds_requests_only(*policy) ? "not HTTP where routes or limits apply"
                                                 : "unauthorized"}});
    return nullptr;
  }
  labels.append(authz_labels(permit->meta));
  labels.append(peer_labels(session.peer));
  metrics.tcp_authz_allow.get(labels)->add();
  if (permit->audit) {
    session.worker.log().info("Request allowed", {{"client", session.peer.addr.to_string()},
                                                  {"server", policy->meta.name}});
  }
  return permit;
}

net::Task<void> forward_bytes(InboundSession session, net::StreamPtr dialled) {
  session.trying = {};  // it is bytes: others may find out again
  if (session.source != nullptr) session.source->settled();
  if (authorize_bytes(session) == nullptr) {
    session.stream->abort();
    co_return;
  }
  net::Signal finished{session.worker.loop()};
  bool done = false;
  bool permitted = true;
  std::function<void(const ServerPolicyPtr&)> recheck = [&](const ServerPolicyPtr& policy) {
    permitted = find_bytes_permit(*policy, session.peer) != nullptr;
    if (!permitted) finished.notify_all();
  };
  session.port.listen(&recheck);
  struct Unlisten {
    PortHandle& port;
    std::function<void(const ServerPolicyPtr&)>& recheck;
    ~Unlisten() { port.unlisten(&recheck); }
  };
  UndecidedStream* undecided = nullptr;
  WatchedStream* bytes = nullptr;
  {
    const Unlisten unlisten{session.port, recheck};
    if (!dialled) {
      auto connected = co_await session.local->connect();
      if (!connected) {
        session.worker.metrics()
            .inbound_tcp_errors
            .get(metrics::Labels{{"error", "i/o"}}.append(
                target_labels(session.worker.named(session.target))))
            ->add();
        session.worker.log().debug(
            "connect to the application failed",
            {{"target", session.target.to_string()}, {"errno", connected.error().os_errno}});
        session.stream->abort();
        co_return;
      }
      dialled = std::move(*connected);
    }
    if (!session.proxy_head.empty()) {
      const Deadline by =
          session.worker.loop().after(session.worker.config().inbound.connect_timeout);
      const Bytes head = as_bytes(session.proxy_head);
      const Result<void> sent = co_await net::write_all(*dialled, head, by);
      if (!sent) {
        session.stream->abort();
        co_return;
      }
    }
    if (session.undecided) {
      auto watched =
          std::make_unique<UndecidedStream>(std::move(session.stream), ProxyHeads::LookBehind);
      undecided = watched.get();
      session.stream = std::move(watched);
    }
    if (may_be_requests(session)) {
      auto stream = std::make_unique<WatchedStream>(std::move(session.stream));
      bytes = stream.get();
      session.stream = std::move(stream);
    }
    net::TaskScope scope;
    if (permitted) scope.spawn(copy_until_done(*session.stream, *dialled, finished, done));
    while (!done && permitted) {
      [[maybe_unused]] const bool told = co_await finished.wait();
    }
  }
  if (!permitted) {
    metrics::Labels labels = byte_labels(session, *session.port.get());
    labels.append(peer_labels(session.peer));
    session.worker.metrics().tcp_authz_terminate.get(labels)->add();
    session.stream->abort();
    dialled->abort();
    co_return;
  }
  if (bytes != nullptr && bytes->forged()) {
    tell_of_forgery(session);
    co_return;  // copying has cut both sides
  }
  if (undecided == nullptr || !undecided->turned()) co_return;
  // Silence was none of bytes: the client speaks HTTP, and nothing came back so far.
  session.worker.learned().http(session.target);
  const bool http2 = undecided->http2();
  session.stream = undecided->release();
  session.undecided = false;
  dialled.reset();
  co_await serve_inbound_http(std::move(session), http2);
}

}  // namespace tulle::proxy
