// SPDX-License-Identifier: Apache-2.0
// The local application at one address: how it is dialled, and the connections to it that are kept
// (pooled by authority, form and version across clients; design rule 3.4).
#pragma once

#include <memory>
#include <unordered_map>

#include "lib/net/address.h"
#include "proxy/observe/metrics.h"
#include "proxy/pool/dialer.h"
#include "proxy/pool/http_pool.h"

namespace tulle::proxy {

class Worker;

class LocalTarget final : public Dialer {
 public:
  LocalTarget(Worker& worker, net::SocketAddr addr);
  const net::SocketAddr& addr() const noexcept { return addr_; }
  HttpPool& pool() noexcept { return pool_; }
  net::Task<Result<net::StreamPtr>> dial(Session session) override;

 private:
  Worker& worker_;
  net::SocketAddr addr_;
  std::shared_ptr<TransportMetrics> transport_;
  HttpPool pool_;
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
};

}  // namespace tulle::proxy
