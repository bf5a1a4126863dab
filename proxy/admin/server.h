// SPDX-License-Identifier: Apache-2.0
// The admin port (proxy.md §1.6): ready, live, metrics, log level, environment, shutdown; HTTP/1.1 and
// HTTP/2, plain or mesh TLS. What changes anything answers to loopback only.
#pragma once

#include <memory>

#include "lib/http/message.h"
#include "lib/net/drain.h"
#include "lib/net/socket.h"

namespace tulle::proxy {

class Proxy;

class AdminServer {
 public:
  explicit AdminServer(Proxy& proxy) : proxy_(proxy) {}
  Result<void> listen();

 private:
  net::Task<void> accept_all();
  net::Task<void> serve(net::Accepted accepted);

  Proxy& proxy_;
  net::Drain drain_;
  std::unique_ptr<net::TcpListener> listener_;
  net::TaskScope scope_;
};

}  // namespace tulle::proxy
