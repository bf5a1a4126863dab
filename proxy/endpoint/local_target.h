// SPDX-License-Identifier: Apache-2.0
// The local application at one address: how it is dialled, and the connections to it that are kept.
// Clients do not share them: whatever an application and we may one day read differently, what
// comes of it stays with the client that caused it. A client is an identity, or, without one, an
// address: that is what policy tells apart.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "lib/net/address.h"
#include "proxy/endpoint/dialer.h"
#include "proxy/endpoint/endpoint.h"
#include "proxy/endpoint/http_pool.h"
#include "proxy/observe/metrics.h"
#include "proxy/route/authorization.h"

namespace tulle::proxy {

class LocalTarget final : public Dialer {
 public:
  // `reached` is called with the port of each connection that was made; both outlive the target.
  using Reached = std::function<void(std::uint16_t port)>;
  LocalTarget(const EndpointContext& context, net::SocketAddr addr, const Reached& reached);
  const net::SocketAddr& addr() const noexcept { return addr_; }
  // The connections for this client; looked up once for each of its own. Does not outlive the
  // target.
  std::shared_ptr<HttpPool> pool_for(const Peer& peer);
  net::Task<Result<Dialled>> dial(Session session) override;
  // The same application, for one client whose connections to it all begin with these bytes: shared
  // with nobody.
  std::shared_ptr<LocalTarget> with_head(std::string head) const;
  // A connection for bytes.
  net::Task<Result<net::StreamPtr>> connect();

  // Forgets pools that no client holds and that keep no connection.
  void sweep();
  bool idle() const noexcept { return pools_.empty(); }
  std::size_t pools() const noexcept { return pools_.size(); }

 private:
  net::Task<Result<Dialled>> dial_bare(Session session);
  const EndpointContext& context_;
  net::SocketAddr addr_;
  std::string head_;
  const Reached& reached_;
  std::shared_ptr<TransportMetrics> transport_;
  std::size_t idle_http1_ = 0;  // in all pools
  std::unordered_map<std::string, std::shared_ptr<HttpPool>> pools_;
};

class InboundTargets {
 public:
  InboundTargets(const EndpointContext& context, LocalTarget::Reached reached)
      : context_(context), reached_(std::move(reached)) {}
  std::shared_ptr<LocalTarget> at(const net::SocketAddr& addr);
  // Forgets targets that no connection holds and that keep no connection.
  void sweep();

 private:
  const EndpointContext& context_;
  LocalTarget::Reached reached_;
  std::unordered_map<net::SocketAddr, std::shared_ptr<LocalTarget>> targets_;
  std::size_t sweep_at_ = 256;  // by many at once, between two sweeps of the worker's
};

}  // namespace tulle::proxy
