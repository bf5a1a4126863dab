// SPDX-License-Identifier: Apache-2.0
#include "lib/net/copy.h"
#include "proxy/outbound/session.h"

namespace tulle::proxy {
namespace {

net::Task<Result<net::StreamPtr>> connect_balanced(BalancedBackend& backend) {
  Result<Balancer::Lease> lease = co_await backend.balancer().pick();
  if (!lease) co_return lease.error();
  Result<net::StreamPtr> stream = co_await (*lease)->connect();
  // Not one byte was sent: another endpoint may be tried once (design rule 3.10).
  if (stream || stream.error().code == Errc::Unauthenticated) co_return stream;
  Result<Balancer::Lease> second = co_await backend.balancer().pick(&**lease);
  if (!second || second->endpoint() == lease->endpoint()) co_return stream;
  co_return co_await (*second)->connect();
}

}  // namespace

Plan& OutboundSession::current() {
  const ClientPolicyPtr& policy = handle.get();
  if (!plan || plan->policy != policy) plan = make_plan(worker, policy);
  return *plan;
}

net::Task<Result<net::StreamPtr>> connect_backend(Worker& worker, PlannedDistribution& distribution) {
  PlannedBackend* const backend = distribution.choose(worker.random());
  if (backend == nullptr || backend->spec->kind == Backend::Kind::Fail) {
    co_return Error{Errc::Unavailable, "no backend"};
  }
  if (backend->forward) co_return co_await backend->forward->connect();
  const std::shared_ptr<BalancedBackend> balanced = backend->balanced;
  co_return co_await connect_balanced(*balanced);
}

net::Task<void> forward_outbound_bytes(OutboundSession session, PlannedDistribution* distribution,
                                       net::StreamPtr dialled) {
  Worker& worker = session.worker;
  if (!dialled) {
    Result<net::StreamPtr> connected = co_await connect_backend(worker, *distribution);
    if (!connected) {
      const bool failfast = connected.error().code == Errc::Unavailable;
      metrics::Labels labels = target_labels(session.target);
      labels.add("error", failfast ? "failfast" : "i/o");
      worker.metrics().outbound_tcp_errors.get(labels)->add();
      worker.log().info("Failed to connect", {{"target", session.target.to_string()},
                                              {"step", connected.error().where},
                                              {"error", to_string(connected.error().code)},
                                              {"errno", connected.error().os_errno}});
      session.stream->abort();
      co_return;
    }
    dialled = std::move(*connected);
  }
  [[maybe_unused]] const net::CopyOutcome outcome = co_await net::copy_duplex(*session.stream, *dialled);
}

}  // namespace tulle::proxy
