// SPDX-License-Identifier: Apache-2.0
#include "proxy/endpoint/local_target.h"

#include <algorithm>

#include "lib/net/stream.h"
#include "proxy/config/limits.h"

namespace tulle::proxy {
namespace {

PoolOptions pool_options(const Config& config, std::size_t& idle) {
  PoolOptions options;
  options.http1_idle = config.inbound.pool_idle;
  options.max_idle = config.inbound.max_idle_per_endpoint;
  options.shared_idle = &idle;
  options.http1 = http1_limits(config.inbound);
  options.h2.max_header_list = carried_list_limit(config.inbound);
  options.h2.stream_window = config.h2_client_stream_window;
  options.h2.connection_window = config.h2_client_connection_window;
  return options;
}

// A name of a client that none of another kind can have: identities hold no NUL.
std::string client_of(const Peer& peer) {
  if (!peer.identity.empty()) return peer.identity;
  std::string key(peer.tls == Peer::Tls::Terminated ? 2 : 1, '\0');
  key += as_text(peer.addr.ip.octets());
  return key;
}

}  // namespace

LocalTarget::LocalTarget(const EndpointContext& context, net::SocketAddr addr,
                         const Reached& reached)
    : context_(context),
      addr_(addr),
      reached_(reached),
      transport_(context.metrics.transport(
          Direction::Inbound, false, {{"tls", "no_identity"}, {"no_tls_reason", "loopback"}})) {}

std::shared_ptr<HttpPool> LocalTarget::pool_for(const Peer& peer) {
  std::shared_ptr<HttpPool>& slot = pools_[client_of(peer)];
  if (!slot) {
    slot = std::make_shared<HttpPool>(
        context_.loop, *this, pool_options(context_.config, idle_http1_), context_.random.next());
  }
  return slot;
}

void LocalTarget::sweep() {
  std::erase_if(pools_, [](const auto& entry) {
    return entry.second.use_count() == 1 && entry.second->idle();
  });
}

std::shared_ptr<LocalTarget> LocalTarget::with_head(std::string head) const {
  auto made = std::make_shared<LocalTarget>(context_, addr_, reached_);
  made->head_ = std::move(head);
  return made;
}

net::Task<Result<Dialled>> LocalTarget::dial(Session session) {
  Result<Dialled> dialled = co_await dial_bare(session);
  if (!dialled || head_.empty()) co_return dialled;
  const Deadline by = context_.loop.after(context_.config.inbound.connect_timeout);
  const Result<void> sent = co_await net::write_all(*dialled->stream, as_bytes(head_), by);
  if (!sent) co_return sent.error();
  co_return dialled;
}

net::Task<Result<Dialled>> LocalTarget::dial_bare(Session session) {
  // A connection to the inbound port itself would come back to us.
  if (addr_.port == context_.config.inbound_listen.port)
    co_return Error{Errc::Forbidden, "inbound loop"};
  if (Dialer* const instead = context_.instead) co_return co_await instead->dial(session);
  const Deadline by = context_.loop.after(context_.config.inbound.connect_timeout);
  auto tcp = co_await net::connect_tcp(context_.loop, context_.sockets, addr_,
                                       context_.config.inbound.connect, by);
  if (!tcp) co_return tcp.error();
  auto counted = std::make_unique<CountedStream>(std::move(*tcp), context_.accounts);
  counted->set_metrics(transport_);
  reached_(addr_.port);
  Dialled dialled;
  dialled.stream = std::move(counted);
  co_return dialled;
}

net::Task<Result<net::StreamPtr>> LocalTarget::connect() {
  Result<Dialled> dialled = co_await dial(Session::Opaque);
  if (!dialled) co_return dialled.error();
  co_return std::move(dialled->stream);
}

std::shared_ptr<LocalTarget> InboundTargets::at(const net::SocketAddr& addr) {
  if (targets_.size() >= sweep_at_) {
    sweep();
    sweep_at_ = std::max<std::size_t>(256, 2 * targets_.size());
  }
  auto& slot = targets_[addr];
  if (!slot) slot = std::make_shared<LocalTarget>(context_, addr, reached_);
  return slot;
}

void InboundTargets::sweep() {
  std::erase_if(targets_, [](const auto& entry) {
    entry.second->sweep();
    return entry.second.use_count() == 1 && entry.second->idle();
  });
}

}  // namespace tulle::proxy
