// SPDX-License-Identifier: Apache-2.0
// Connections to the API server: address, TCP, TLS 1.3 with ordinary server-name verification,
// ALPN. An interface, so that tests connect to a server in memory.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/dns/resolver.h"
#include "lib/k8s/access.h"
#include "lib/net/socket.h"
#include "lib/net/stream.h"
#include "lib/net/task.h"
#include "lib/tls/credentials.h"

namespace tulle::k8s {

struct Dialed {
  net::StreamPtr stream;
  bool http2 = true;  // otherwise HTTP/1.1
};

// The purpose of a connection: requests in any version of HTTP, or one that leaves HTTP, which only
// HTTP/1.1 can.
enum class Speak : std::uint8_t { Http, Http1 };

class Dialer {
 public:
  virtual ~Dialer() = default;
  // Errors: those of connect(2) and TLS; NotFound (no such host), Invalid (a credential cannot be
  // used: `where` says which), Timeout.
  virtual net::Task<Result<Dialed>> dial(Speak speak, Deadline by) = 0;
};

// The real one. CA, client certificate and key are read again for each connection.
class ServerDialer final : public Dialer {
 public:
  // Loop and sockets must outlive it, and it every dial.
  ServerDialer(net::Loop& loop, net::SocketFactory& sockets, ClusterAccess access,
               std::uint64_t seed);
  net::Task<Result<Dialed>> dial(Speak speak, Deadline by) override;

 private:
  struct Names {
    Names(net::Loop& loop, net::SocketFactory& sockets, std::uint64_t seed)
        : exchange(loop, sockets), resolver(loop, exchange, {}, seed) {}
    dns::SocketExchange exchange;
    dns::Resolver resolver;
  };
  net::Task<Result<Dialed>> dial_one(net::SocketAddr to, Speak speak, Deadline by);
  Result<tls::CredentialsPtr> credentials(Speak speak);

  net::Loop& loop_;
  net::SocketFactory& sockets_;
  const ClusterAccess access_;
  std::unique_ptr<Names> names_;  // null if the host is an address
  tls::CredentialsPtr credentials_;
  std::string credentials_of_;  // digest of what they were made from
};

}  // namespace tulle::k8s
