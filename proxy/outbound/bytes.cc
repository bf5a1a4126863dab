// SPDX-License-Identifier: Apache-2.0
#include "lib/base/text.h"
#include "lib/net/copy.h"
#include "proxy/outbound/session.h"
#include "proxy/protocol/detect.h"

namespace tulle::proxy {
namespace {

net::Task<Result<net::StreamPtr>> connect_balanced(Worker& worker,
                                                   std::shared_ptr<BalancedBackend> backend,
                                                   bool tls) {
  const QueueLimits limits{worker.config().tcp_failfast_timeout,
                           worker.config().tcp_queue_capacity};
  Balancer& balancer = backend->for_connections(limits, tls);
  Result<Balancer::Lease> lease =
      co_await balancer.pick(nullptr, limits, balancer.connections(tls));
  if (!lease) co_return lease.error();
  TimePoint began = worker.loop().now();
  Result<net::StreamPtr> stream = co_await (*lease)->connect();
  // The load of bytes is the time that connecting takes; connections that stand add none.
  if (stream) lease->record(worker.loop().now() - began);
  // Not one byte was sent: another endpoint may be tried once (docs/design.md §3.10).
  if (stream || stream.error().code == Errc::Unauthenticated) co_return stream;
  Result<Balancer::Lease> second = co_await balancer.pick(&**lease, limits, nullptr);
  if (!second || second->endpoint() == lease->endpoint()) co_return stream;
  began = worker.loop().now();
  Result<net::StreamPtr> again = co_await (*second)->connect();
  if (again) second->record(worker.loop().now() - began);
  co_return again;
}

// Counts a connection of one route from here to its end (outbound_{tcp,tls}_route_*).
class RouteConnection {
 public:
  RouteConnection(Metrics& metrics, const metrics::Labels& labels, bool tls)
      : close_(tls ? metrics.tls_route_close : metrics.tcp_route_close), labels_(labels) {
    (tls ? metrics.tls_route_open : metrics.tcp_route_open).get(labels)->add();
  }
  ~RouteConnection() { close_.get(labels_.add("error", error_))->add(); }
  void failed(std::string_view error) noexcept { error_ = error; }

 private:
  metrics::Family<metrics::Counter>& close_;
  metrics::Labels labels_;
  std::string_view error_;
};

}  // namespace

Plan& OutboundSession::current() {
  const ClientPolicyPtr& policy = handle.get();
  if (!plan || plan->policy != policy) plan = worker.plan(policy, family_of(target.ip));
  return *plan;
}

net::Task<Result<net::StreamPtr>> connect_backend(Worker& worker, PlannedDistribution& distribution,
                                                  bool tls) {
  PlannedBackend* const backend = distribution.choose(worker.random());
  if (backend == nullptr || backend->spec->kind == Backend::Kind::Fail) {
    co_return Error{Errc::Forbidden, "no backend"};
  }
  if (backend->forward) {
    const std::shared_ptr<Endpoint> forward = backend->forward;
    co_return co_await forward->connect();
  }
  std::shared_ptr<BalancedBackend> balanced = backend->balanced;
  co_return co_await connect_balanced(worker, std::move(balanced), tls);
}

net::Task<void> forward_outbound_bytes(OutboundSession session, ByteRoute route,
                                       net::StreamPtr dialled) {
  Worker& worker = session.worker;
  if (session.source != nullptr) session.source->settled();
  metrics::Labels route_labels = parent_labels(session.plan->policy->parent);
  route_labels.append(outbound_route_labels(*route.meta));
  if (route.tls) {
    route_labels.add("hostname", worker.config().hostname_labels ? std::string_view(route.sni)
                                                                 : std::string_view{});
  } else {
    std::string port;
    append_number(port, session.target.port);
    route_labels.add("target_ip", session.target.ip.to_string()).add("target_port", port);
  }
  std::optional<RouteConnection> counted;
  counted.emplace(worker.metrics(), route_labels, route.tls);
  if (route.distribution == nullptr) {
    counted->failed(route.refused_as);
    metrics::Labels labels = target_labels(session.target);
    worker.metrics().outbound_tcp_errors.get(labels.add("error", "unexpected"))->add();
    worker.log().info("Connection refused by policy",
                      {{"target", session.target.to_string()},
                       {"parent", session.plan->policy->parent.name},
                       {"reason", route.refused_as}});
    session.stream->abort();
    co_return;
  }
  if (!dialled) {
    Result<net::StreamPtr> connected =
        co_await connect_backend(worker, *route.distribution, route.tls);
    if (!connected) {
      const Error& error = connected.error();
      std::string_view label = "i/o";
      if (error.code == Errc::Unavailable) label = "failfast";
      if (error.code == Errc::ResourceExhausted) label = "loadshed";
      if (error.code == Errc::Forbidden) label = "unexpected";
      if (error.code == Errc::Unauthenticated) label = "identity required";
      counted->failed(error.code == Errc::Forbidden ? "invalid_backend" : "unexpected");
      metrics::Labels labels = target_labels(session.target);
      worker.metrics().outbound_tcp_errors.get(labels.add("error", label))->add();
      worker.log().info("Failed to connect", {{"target", session.target.to_string()},
                                              {"step", error.where},
                                              {"error", to_string(error.code)},
                                              {"errno", error.os_errno}});
      session.stream->abort();
      co_return;
    }
    dialled = std::move(*connected);
  }
  UndecidedStream* undecided = nullptr;
  if (session.undecided) {
    auto watched = std::make_unique<UndecidedStream>(std::move(session.stream));
    undecided = watched.get();
    session.stream = std::move(watched);
  }
  [[maybe_unused]] const net::CopyOutcome outcome =
      co_await net::copy_duplex(*session.stream, *dialled);
  if (undecided == nullptr || !undecided->turned()) co_return;
  // Silence was none of bytes: the client speaks HTTP, and nothing came back so far.
  worker.learned().http(session.target);
  counted.reset();
  const bool http2 = undecided->http2();
  session.stream = undecided->release();
  session.undecided = false;
  dialled.reset();
  co_await serve_outbound_http(std::move(session), http2);
}

}  // namespace tulle::proxy
