// SPDX-License-Identifier: Apache-2.0
// The admin port: HTTP/1.1 and HTTP/2, plain or mesh TLS. The answers are in handler.h.
#pragma once

#include <memory>

#include "lib/http/message.h"
#include "lib/net/admission.h"
#include "lib/net/drain.h"
#include "lib/net/socket.h"
#include "lib/tls/credentials.h"
#include "proxy/admin/handler.h"
#include "proxy/observe/counted_stream.h"

namespace tulle::proxy {

// On the control loop. A new connection gets in, the longest idle one goes when there are too many
// (lib/net/admission.h).
class AdminServer {
 public:
  using Credentials = std::shared_ptr<const tls::Credentials>;
  // All outlive the server; `credentials` are null before the first certificate.
  AdminServer(AdminHost& host, net::SocketFactory& sockets, const Credentials& credentials);
  // Binds ADMIN_LISTEN_ADDR and accepts from then on, before there is a certificate: probes ask by
  // then. Fails with the system's error.
  Result<void> listen();
  // After listen(); its port is that of the system where the configured one is 0.
  net::SocketAddr local_addr() const noexcept { return listener_->local_addr(); }
  // Adds what live connections have moved to the counters.
  void fold_accounts();

 private:
  net::Task<void> accept_all();
  net::Task<void> serve(net::Accepted accepted);

  net::HeldBytes unfinished_;
  net::Admission admission_;

  AdminHost& host_;
  net::SocketFactory& sockets_;
  const Credentials& credentials_;
  net::Drain drain_;
  AccountList accounts_;
  std::unique_ptr<net::TcpListener> listener_;
  net::TaskScope scope_;
};

}  // namespace tulle::proxy
