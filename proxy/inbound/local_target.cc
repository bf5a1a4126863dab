// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/local_target.h"

#include "proxy/worker.h"

namespace tulle::proxy {
namespace {

PoolOptions pool_options(const Config& config) {
  PoolOptions options;
  options.http1_idle = config.inbound.pool_idle;
  options.max_idle = config.inbound.max_idle_per_endpoint;
  options.h2.stream_window = config.h2_client_stream_window;
  options.h2.connection_window = config.h2_client_connection_window;
  return options;
}

}  // namespace

LocalTarget::LocalTarget(Worker& worker, net::SocketAddr addr)
    : worker_(worker),
      addr_(addr),
      transport_(worker.metrics().transport(
          Direction::Inbound, false, {{"tls", "no_identity"}, {"no_tls_reason", "loopback"}})),
      pool_(worker.loop(), *this, pool_options(worker.config()), worker.random().next()) {}

net::Task<Result<net::StreamPtr>> LocalTarget::dial(Session session) {
  // A connection to the inbound port itself would come back to us.
  if (addr_.port == worker_.config().inbound_listen.port)
    co_return Error{Errc::Forbidden, "inbound loop"};
  if (Dialer* const instead = worker_.dialer()) co_return co_await instead->dial(session);
  const Deadline by = worker_.loop().after(worker_.config().inbound.connect_timeout);
  auto tcp = co_await net::connect_tcp(worker_.loop(), worker_.sockets(), addr_,
                                       worker_.config().inbound.connect, by);
  if (!tcp) co_return tcp.error();
  auto counted = std::make_unique<CountedStream>(std::move(*tcp), worker_.accounts());
  counted->set_metrics(transport_);
  co_return net::StreamPtr(std::move(counted));
}

std::shared_ptr<LocalTarget> InboundTargets::at(const net::SocketAddr& addr) {
  auto& slot = targets_[addr];
  if (!slot) slot = std::make_shared<LocalTarget>(worker_, addr);
  return slot;
}

void InboundTargets::sweep() {
  std::erase_if(targets_, [](const auto& entry) {
    return entry.second.use_count() == 1 && entry.second->pool().idle();
  });
}

}  // namespace tulle::proxy
