// SPDX-License-Identifier: Apache-2.0
// The admin ports: /ready, /live (and /ping), /metrics over HTTP/1. Nothing here changes anything.
#pragma once

#include <functional>
#include <memory>

#include "control/serve/bounds.h"
#include "lib/http/message.h"
#include "lib/metrics/metrics.h"
#include "lib/net/drain.h"

namespace tulle::control {

class AdminPort {
 public:
  // `ready` says "" when all is well, else what is missing.
  AdminPort(net::Loop& loop, metrics::Registry& metrics, std::function<std::string()> ready,
            net::Drain& drain, PortBounds& bounds, std::string_view name);

  Result<void> listen(net::SocketFactory& sockets, net::SocketAddr at);
  net::SocketAddr address() const noexcept { return listener_->local_addr(); }
  net::Task<void> run();
  void stop() noexcept { listener_->close(); }

 private:
  class Handler final : public http::Handler {
   public:
    explicit Handler(AdminPort& port) : port_(port) {}
    net::Task<Result<http::Response>> handle(http::Request request) override;

   private:
    AdminPort& port_;
  };
  net::Task<void> serve(std::unique_ptr<net::GuestStream> stream, net::IpAddr client);

  net::Loop& loop_;
  metrics::Registry& metrics_;
  std::function<std::string()> ready_;
  net::Drain& drain_;
  PortBounds& bounds_;
  net::Admission admission_;
  Handler handler_{*this};
  std::unique_ptr<net::TcpListener> listener_;
  net::TaskScope connections_;
};

}  // namespace tulle::control
