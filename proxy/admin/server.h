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

class AdminServer {
 public:
  using Credentials = std::shared_ptr<const tls::Credentials>;
  // All outlive the server; `credentials` are null before the first certificate.
  AdminServer(AdminHost& host, net::SocketFactory& sockets, const Credentials& credentials);
  Result<void> listen();
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
