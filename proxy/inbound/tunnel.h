// SPDX-License-Identifier: Apache-2.0
// What began as a request and goes on as bytes (a WebSocket, CONNECT over HTTP/1 and HTTP/2): it
// ends when the port's policy no longer admits the request that it began with, as opaque
// connections do.
#pragma once

#include <functional>

#include "lib/http/message.h"
#include "proxy/inbound/session.h"

namespace tulle::proxy {

// Holds a request to the policy of now, for as long as this lives.
class HeldToPolicy {
 public:
  // `head`: the request as it was routed. `end` is called once, as soon as it is not admitted any
  // more, perhaps at once; it must not destroy this.
  HeldToPolicy(const InboundSession& session, http::RequestHead head, std::function<void()> end);
  ~HeldToPolicy() { port_.unlisten(&recheck_); }
  HeldToPolicy(const HeldToPolicy&) = delete;
  HeldToPolicy& operator=(const HeldToPolicy&) = delete;
  bool ended() const noexcept { return ended_; }

 private:
  void recheck(const ServerPolicy& policy);
  Worker& worker_;
  net::SocketAddr target_;
  PortHandle port_;
  Peer peer_;
  http::RequestHead head_;
  std::function<void()> end_;
  std::function<void(const ServerPolicyPtr&)> recheck_;
  bool ended_ = false;
};

// The application's side of an upgraded connection.
class Tunnel final : public net::Stream {
 public:
  Tunnel(net::StreamPtr inner, const InboundSession& session, http::RequestHead head);
  Result<std::size_t> try_read(MutableBytes into) override { return inner_->try_read(into); }
  Result<std::size_t> try_write(Bytes bytes) override { return inner_->try_write(bytes); }
  Result<void> try_flush() override { return inner_->try_flush(); }
  Result<void> try_shutdown() override { return inner_->try_shutdown(); }
  void abort() noexcept override { inner_->abort(); }
  net::IoState& io() noexcept override { return inner_->io(); }
  void hold_little(bool on) noexcept override { inner_->hold_little(on); }
  net::TcpStream* plain_tcp() noexcept override { return inner_->plain_tcp(); }

 private:
  net::StreamPtr inner_;
  HeldToPolicy held_;
};

// A tunnel in one stream of HTTP/2: carries what the application sends, `from`, on to `to`. Ends
// both streams when policy does: `to` fails, which resets the client's, and `from` is dropped,
// which resets the application's.
net::Task<void> carry_tunnel(const InboundSession& session, http::RequestHead head,
                             http::BodyReader from, http::BodyWriter to);

}  // namespace tulle::proxy
