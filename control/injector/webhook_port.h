// SPDX-License-Identifier: Apache-2.0
// One HTTPS port that the API server calls: TLS 1.3, HTTP/2 or HTTP/1.1, reviews in JSON. The API
// server shows no certificate, so anybody in the cluster may ask: everything is bounded.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "control/injector/review.h"
#include "control/serve/bounds.h"
#include "lib/http/message.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/net/drain.h"
#include "lib/tls/engine.h"

namespace tulle::control {

class WebhookPort {
 public:
  struct Options {
    bool any_path = true;                                  // false: only POST /
    std::size_t max_body = std::size_t{10} * 1024 * 1024;  // of one review; 413 beyond
    Duration body_timeout = 10s;
  };
  // `certificate` gives the serving certificate for each new connection; null while there is none.
  WebhookPort(net::Loop& loop, const log::Logger& log, Webhook& webhook,
              std::function<tls::CredentialsPtr()> certificate, net::Drain& drain,
              metrics::Registry& metrics, PortBounds& bounds, std::string_view name,
              Options options);

  Result<void> listen(net::SocketFactory& sockets, net::SocketAddr at);
  net::SocketAddr address() const noexcept { return listener_->local_addr(); }
  // Accepts until stop().
  net::Task<void> run();
  void stop() noexcept { listener_->close(); }
  std::size_t connections() const noexcept { return connections_.size(); }

 private:
  class Handler final : public http::Handler {
   public:
    Handler(WebhookPort& port, const net::IpAddr& client) : port_(port), client_(client) {}
    net::Task<Result<http::Response>> handle(http::Request request) override;

   private:
    WebhookPort& port_;
    const net::IpAddr client_;
  };
  net::Task<void> serve(std::unique_ptr<net::GuestStream> stream, net::IpAddr client);
  net::Task<Result<http::Response>> respond(http::Request request, net::IpAddr client);
  // The body of a review; a status to refuse it with if it has none to be answered.
  struct Body;
  net::Task<std::uint16_t> read_body(http::BodyReader body, Body* into);
  http::Response refuse(std::uint16_t status);

  net::Loop& loop_;
  log::Logger log_;
  Webhook& webhook_;
  std::function<tls::CredentialsPtr()> certificate_;
  net::Drain& drain_;
  const std::string name_;
  const Options options_;
  metrics::Family<metrics::Counter>& answers_;
  std::shared_ptr<metrics::Histogram> latency_;
  PortBounds& bounds_;
  net::Admission admission_;
  std::unique_ptr<net::TcpListener> listener_;
  net::TaskScope connections_;  // destroyed first
};

// Serving credentials of a certificate with its key: no client certificate is asked for.
Result<tls::CredentialsPtr> serving_credentials(std::vector<tls::Certificate> chain,
                                                tls::PrivateKey key);

}  // namespace tulle::control
