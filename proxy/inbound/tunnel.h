// SPDX-License-Identifier: Apache-2.0
// A connection that was upgraded (a WebSocket, CONNECT): its bytes end when the port's policy no
// longer admits the request that it began with, as those of opaque connections do.
#pragma once

#include <functional>

#include "lib/http/message.h"
#include "proxy/inbound/session.h"

namespace tulle::proxy {

class Tunnel final : public net::Stream {
 public:
  // `inner`: the application's side. `head`: the request as it was routed.
  Tunnel(net::StreamPtr inner, const InboundSession& session, http::RequestHead head);
  ~Tunnel() override { port_.unlisten(&recheck_); }
  // Reads, writes and ends are the inner stream's; a tunnel that policy ends aborts it.
  Result<std::size_t> try_read(MutableBytes into) override { return inner_->try_read(into); }
  Result<std::size_t> try_write(Bytes bytes) override { return inner_->try_write(bytes); }
  Result<void> try_flush() override { return inner_->try_flush(); }
  Result<void> try_shutdown() override { return inner_->try_shutdown(); }
  void abort() noexcept override { inner_->abort(); }
  net::IoState& io() noexcept override { return inner_->io(); }
  void hold_little(bool on) noexcept override { inner_->hold_little(on); }
  net::TcpStream* plain_tcp() noexcept override { return inner_->plain_tcp(); }

 private:
  // Called with each new policy of the port; counts in inbound_tcp_authz_terminate_total when it
  // ends the tunnel.
  void recheck(const ServerPolicy& policy);
  net::StreamPtr inner_;
  Worker& worker_;
  net::SocketAddr target_;
  PortHandle port_;
  Peer peer_;
  http::RequestHead head_;
  std::function<void(const ServerPolicyPtr&)> recheck_;
  bool ended_ = false;
};

}  // namespace tulle::proxy
