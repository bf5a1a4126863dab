// SPDX-License-Identifier: Apache-2.0
// The local application at one address: how it is dialled, and the connections to it that are kept.
// Clients do not share them: whatever an application and we may one day read differently, what
// comes of it stays with the client that caused it. A client is an identity, or, without one, an
// address: that is what policy tells apart.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "lib/net/address.h"
#include "proxy/observe/metrics.h"
#include "proxy/policy/authorization.h"
#include "proxy/pool/dialer.h"
#include "proxy/pool/http_pool.h"

namespace tulle::proxy {

class Worker;

class LocalTarget final : public Dialer {
 public:
  LocalTarget(Worker& worker, net::SocketAddr addr);
  const net::SocketAddr& addr() const noexcept { return addr_; }
  // The connections for this client; looked up once for each of its own. Does not outlive the
  // target.
  std::shared_ptr<HttpPool> pool_for(const Peer& peer);
  net::Task<Result<Dialled>> dial(Session session) override;
  // A connection for bytes.
  net::Task<Result<net::StreamPtr>> connect();

  // Forgets pools that no client holds and that keep no connection.
  void sweep();
  bool idle() const noexcept { return pools_.empty(); }
  std::size_t pools() const noexcept { return pools_.size(); }

 private:
  Worker& worker_;
  net::SocketAddr addr_;
  std::shared_ptr<TransportMetrics> transport_;
  std::size_t idle_http1_ = 0;  // in all pools
  std::unordered_map<std::string, std::shared_ptr<HttpPool>> pools_;
};

class InboundTargets {
 public:
  explicit InboundTargets(Worker& worker) : worker_(worker) {}
  std::shared_ptr<LocalTarget> at(const net::SocketAddr& addr);
  // Forgets targets that no connection holds and that keep no connection.
  void sweep();

 private:
  Worker& worker_;
  std::unordered_map<net::SocketAddr, std::shared_ptr<LocalTarget>> targets_;
  std::size_t sweep_at_ = 256;  // by many at once, between two sweeps of the worker's
};

}  // namespace tulle::proxy
