// SPDX-License-Identifier: Apache-2.0
#include "proxy/outbound/serve.h"

#include <algorithm>

#include "lib/base/text.h"
#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "proxy/outbound/session.h"
#include "proxy/protocol/detect.h"
#include "proxy/request/http_outcome.h"

namespace tulle::proxy {
namespace {

void refused(Worker& worker, const net::SocketAddr& target, std::string_view error) {
  metrics::Labels labels = target_labels(target);
  worker.metrics().outbound_tcp_errors.get(labels.add("error", error))->add();
}

struct EarlyBytes {
  net::StreamPtr dialled;
  bool server_spoke = false;
  Learned::Try trying;  // until the protocol is known
};

// A silent client may stand before a server that speaks first (inbound/early.h is the peer's half).
net::Task<EarlyBytes> dial_early_outbound(OutboundSession& session, std::shared_ptr<Plan> plan,
                                          Deadline by) {
  EarlyBytes outcome;
  Worker& worker = session.worker;
  Learned& learned = worker.learned();
  if (learned.of(session.target) == Learned::What::Http) co_return outcome;
  if (learned.of(session.target) != Learned::What::ServerFirst) {
    const Heard heard = co_await hear_client(session.stream, worker.loop().after(kFirstByteHold));
    if (heard != Heard::Nothing) co_return outcome;
  }
  // A server that is known to speak first is dialled by everybody, others by one connection that
  // finds out.
  while (learned.of(session.target) != Learned::What::ServerFirst && !outcome.trying) {
    outcome.trying = learned.begin_try(session.target);
    if (outcome.trying) break;
    const Deadline next = by.earlier(worker.loop().after(20ms));
    const Heard heard = co_await hear_client(session.stream, next);
    if (heard != Heard::Nothing || by.passed(worker.loop().now()) ||
        learned.of(session.target) == Learned::What::Http) {
      co_return outcome;
    }
  }
  worker.metrics().early_dials.get({{"direction", "outbound"}})->add();
  Result<net::StreamPtr> dialled = co_await connect_backend(worker, plan->opaque);
  if (!dialled) co_return outcome;
  outcome.dialled = std::move(*dialled);
  const First first = co_await who_speaks_first(session.stream, outcome.dialled, by);
  outcome.server_spoke = first.server_speaks_first();
  if (outcome.server_spoke) learned.server_first(session.target);
  if (first.server == Heard::Http) learned.http(session.target);
  // The end or a failure may be a refusal by the peer's proxy: of no use, and no word about what
  // the application speaks.
  if (first.server == Heard::Http || first.server == Heard::Gone) outcome.dialled.reset();
  co_return outcome;
}

// Targets that a worker knows at a time; each costs two control-plane streams.
constexpr std::size_t kMaxTargets = 10'000;
// Together with detection for the answer below it stays under the 3 s of docs/design.md §3.11.
constexpr Duration kUnknownWait = 2800ms;

// Tells an HTTP client why its target cannot be served.
class Unknown final : public http::Handler {
 public:
  explicit Unknown(OutboundSession& session) : session_(session) {}
  net::Task<Result<http::Response>> handle(http::Request request) override {
    const std::string message = concat("no policy for ", session_.target.to_string(),
                                       ": the control plane does not answer");
    const ReplyOptions options{session_.worker.config().informational_headers, message};
    co_return reply(request, Cause::Failfast, options);
  }

 private:
  OutboundSession& session_;
};

net::Task<void> refuse_unknown(OutboundSession session) {
  Result<DetectedHttp> detected =
      co_await detect_http(std::move(session.stream), session.worker.loop().after(50ms));
  if (!detected) co_return;
  if (detected->spoken != Spoken::Http1 && detected->spoken != Spoken::Http2) {
    detected->stream->abort();
    co_return;
  }
  if (session.source != nullptr) session.source->settled();
  Unknown handler(session);
  net::Drain& drain = session.worker.outbound_drain();
  if (detected->spoken == Spoken::Http2) {
    h2::ServerOptions options;
    options.guard = session.worker.guard(session.client.ip);
    co_await h2::serve(std::move(detected->stream), handler, options, drain);
  } else {
    http1::ServerOptions options;
    options.guard = session.worker.guard(session.client.ip);
    co_await http1::serve(std::move(detected->stream), handler, options, drain);
  }
}

}  // namespace

net::Task<void> serve_outbound(Worker& worker, net::Accepted accepted) {
  // Where was the application's connection going before the kernel redirected it to us?
  const Result<net::SocketAddr> target = net::original_dst(accepted);
  if (!target) {
    worker.log().warn("no original destination; connection dropped",
                      {{"client", accepted.client.to_string()}});
    co_return;
  }
  if (target->ip.is_loopback()) {
    refused(worker, *target, "unexpected");
    worker.log().info("cannot initiate connections on the loopback interface",
                      {{"target", target->to_string()}});
    co_return;
  }
  auto counted = std::make_unique<CountedStream>(std::move(accepted.stream), worker.accounts());
  counted->set_metrics(worker.outbound_client(*target));
  counted->leave_with(worker.outbound_drain());
  if (worker.client_policies().size() >= kMaxTargets &&
      !worker.client_policies().contains(*target)) {
    refused(worker, *target, "loadshed");
    worker.metrics().shed.get({{"direction", "outbound"}, {"reason", "targets"}})->add();
    counted->abort();
    co_return;
  }
  CountedStream* const source = counted.get();
  OutboundSession session{
      worker,  accepted.client,    *target, worker.client_policies().acquire(*target),
      nullptr, std::move(counted), false,   source};

  // A target never seen waits for the control plane, but not for ever (docs/design.md §3.11).
  const Duration wait = std::min<Duration>(worker.config().outbound.failfast_timeout, kUnknownWait);
  const Deadline known_by = worker.loop().after(wait);
  while (!session.handle.get()) {
    const bool told = co_await session.handle.changed().wait(known_by);
    if (!told && !session.handle.get()) {
      refused(worker, *target, "failfast");
      worker.log().warn("no policy for the target yet: the control plane does not answer",
                        {{"target", target->to_string()}});
      co_await refuse_unknown(std::move(session));
      co_return;
    }
  }

  co_await serve_outbound_known(std::move(session));
}

net::Task<void> serve_outbound_known(OutboundSession session) {
  Worker& worker = session.worker;
  const ClientPolicyPtr policy = session.handle.get();
  using Protocol = ClientPolicy::Protocol;
  const std::shared_ptr<Plan> plan = worker.plan(policy, family_of(session.target.ip));
  plan->connections->add();

  switch (policy->protocol) {
    case Protocol::Http1: co_await serve_outbound_http(std::move(session), false); co_return;
    case Protocol::Http2:
    case Protocol::Grpc: co_await serve_outbound_http(std::move(session), true); co_return;
    case Protocol::Tls: co_await serve_outbound_tls(std::move(session)); co_return;
    case Protocol::Opaque: co_await serve_outbound_opaque(std::move(session), nullptr); co_return;
    case Protocol::Detect: break;
  }

  // One span of time for all of it: early dial and detection together.
  const TimePoint began = worker.loop().now();
  const Deadline detect_by = worker.loop().after(worker.config().outbound.detect_timeout);
  EarlyBytes early;
  const bool usable = policy->opaque && !policy->opaque->forbidden &&
                      policy->opaque->invalid.empty() && policy->invalid.empty();
  if (usable) {
    early = co_await dial_early_outbound(session, plan, detect_by);
    if (early.server_spoke) {
      early.trying = {};
      co_await serve_outbound_opaque(std::move(session), std::move(early.dialled));
      co_return;
    }
  }
  // Where bytes would be refused there is no hurry to find that it is bytes.
  const Duration hold = usable ? kLineHold : worker.config().outbound.detect_timeout;
  Result<DetectedHttp> detected = co_await detect_http(std::move(session.stream), detect_by, hold);
  const bool spoke = detected && detected->spoken != Spoken::Ended;
  plan->detection.count(spoke ? static_cast<int>(detected->spoken) : -1,
                        worker.loop().now() - began);
  if (!detected) co_return;  // the application left before it spoke
  if (detected->spoken == Spoken::Timeout && usable) {
    // Silent for so long, though HTTP had been seen here: does this server speak first after all?
    if (!early.dialled) {
      Result<net::StreamPtr> dialled = co_await connect_backend(worker, session.current().opaque);
      if (dialled) early.dialled = std::move(*dialled);
    }
    Heard server = Heard::Nothing;
    if (early.dialled) {
      const Deadline by = worker.loop().after(kLateHold);
      const First first = co_await who_speaks_first(detected->stream, early.dialled, by);
      if (first.server_speaks_first()) worker.learned().server_first(session.target);
      server = first.server;
    }
    if (server == Heard::Http || server == Heard::Gone) early.dialled.reset();
    if (server == Heard::Http) {  // then the client will, too
      const Deadline late = worker.loop().after(kSilentHold);
      detected = co_await detect_http(std::move(detected->stream), late, kSilentHold);
      if (!detected) co_return;
    }
  }
  session.stream = std::move(detected->stream);
  if (detected->spoken == Spoken::Http1 || detected->spoken == Spoken::Http2) {
    worker.learned().http(session.target);
    early.trying = {};
    early.dialled.reset();
    co_await serve_outbound_http(std::move(session), detected->spoken == Spoken::Http2);
    co_return;
  }
  early.trying = {};
  session.undecided = detected->undecided;
  // The end of a client that has said nothing reaches its server, unless that speaks HTTP: there is
  // nothing to say to one.
  if (!spoke && (!usable || worker.learned().of(session.target) == Learned::What::Http)) co_return;
  co_await serve_outbound_opaque(std::move(session), std::move(early.dialled));
}

net::Task<void> serve_outbound_opaque(OutboundSession session, net::StreamPtr dialled) {
  Plan& plan = session.current();
  const ClientPolicy& policy = *plan.policy;
  static const Meta kNoRoute = Meta::implicit("invalid");
  ByteRoute route{policy.opaque ? &policy.opaque->meta : &kNoRoute, &plan.opaque, "", false, ""};
  if (!policy.invalid.empty() || !policy.opaque || !policy.opaque->invalid.empty()) {
    route.distribution = nullptr;
    route.refused_as = "invalid_policy";
  } else if (policy.opaque->forbidden) {
    route.distribution = nullptr;
    route.refused_as = "forbidden";
  }
  const std::shared_ptr<Plan> keep = session.plan;
  co_await forward_outbound_bytes(std::move(session), std::move(route), std::move(dialled));
}

// TLS of the application itself: routed by SNI, never terminated.
net::Task<void> serve_outbound_tls(OutboundSession session) {
  Worker& worker = session.worker;
  Result<DetectedTls> hello = co_await detect_tls(
      std::move(session.stream), worker.loop().after(worker.config().outbound.detect_timeout));
  if (!hello || hello->ended) co_return;
  session.stream = std::move(hello->stream);
  Plan& plan = session.current();
  const std::shared_ptr<Plan> keep = session.plan;
  std::optional<MatchKey> best;
  std::size_t chosen = 0;
  for (std::size_t i = 0; hello->tls && !hello->sni.empty() && i < plan.policy->tls.size(); ++i) {
    const std::optional<MatchKey> key = match_hosts(plan.policy->tls[i].snis, hello->sni);
    if (key && (!best || *key > *best)) {
      best = key;
      chosen = i;
    }
  }
  if (!best) {
    refused(worker, session.target, "unexpected");
    session.stream->abort();
    co_return;
  }
  const TlsRouteMatch& found = plan.policy->tls[chosen];
  ByteRoute route{&found.meta, &plan.tls[chosen], "", true, hello->sni};
  if (found.forbidden || !found.invalid.empty()) {
    route.distribution = nullptr;
    route.refused_as = found.forbidden ? "forbidden" : "invalid_policy";
  }
  co_await forward_outbound_bytes(std::move(session), std::move(route), nullptr);
}

}  // namespace tulle::proxy
