// SPDX-License-Identifier: Apache-2.0
// One gRPC port of the control plane. One socket serves both worlds: a connection whose first byte
// is 0x16 is TLS, with a certificate chosen by SNI; anything else is plain HTTP/2 and is accepted
// from this machine only.
#pragma once

#include <memory>
#include <string_view>

#include "control/identity/own_certificates.h"
#include "control/serve/bounds.h"
#include "lib/grpc/server.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/net/drain.h"

namespace tulle::control {

// The families that all ports share.
struct PortMetrics {
  explicit PortMetrics(metrics::Registry& registry);
  metrics::Family<metrics::Counter>& accepted;
  metrics::Family<metrics::Counter>& refused;
};

class GrpcPort {
 public:
  // `own` may be null: then there is no TLS.
  GrpcPort(net::Loop& loop, const log::Logger& log, grpc::Server& server,
           const OwnCertificates* own, net::Drain& drain, const PortMetrics& metrics,
           PortBounds& bounds, std::string_view name);

  Result<void> listen(net::SocketFactory& sockets, net::SocketAddr at);
  // The address that it has, e.g. after listening on port 0.
  net::SocketAddr address() const noexcept { return listener_->local_addr(); }
  // Accepts until stop().
  net::Task<void> run();
  void stop() noexcept { listener_->close(); }
  std::size_t connections() const noexcept { return connections_.size(); }

 private:
  net::Task<void> serve(std::unique_ptr<net::GuestStream> stream, net::SocketAddr client);
  // Serves requests. `known`: who is at the other end has shown who he is.
  net::Task<void> speak(net::StreamPtr stream, http::Handler& handler, net::GuestStream& guest,
                        const net::IpAddr& client, bool known);
  // A connection that may be served, with what is known of its other end; null otherwise.
  struct Secured {
    net::StreamPtr stream;
    grpc::Peer peer;
  };
  net::Task<Secured> secure(std::unique_ptr<net::GuestStream> stream, net::SocketAddr client);
  net::Task<Secured> accept_tls(std::unique_ptr<net::GuestStream> stream, net::SocketAddr client);

  net::Loop& loop_;
  log::Logger log_;
  grpc::Server& server_;
  const OwnCertificates* own_;
  net::Drain& drain_;
  PortBounds& bounds_;
  net::Admission admission_;
  std::shared_ptr<metrics::Counter> accepted_tls_;
  std::shared_ptr<metrics::Counter> accepted_plain_;
  std::shared_ptr<metrics::Counter> refused_;
  std::unique_ptr<net::TcpListener> listener_;
  net::TaskScope connections_;  // destroyed first
};

}  // namespace tulle::control
