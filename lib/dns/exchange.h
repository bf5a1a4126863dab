// SPDX-License-Identifier: Apache-2.0
// One question to one name server, over UDP or TCP. No retries, no cache, no choice of servers:
// that is the Resolver. An interface, so that tests answer in virtual time.
#pragma once

#include "lib/base/time.h"
#include "lib/dns/message.h"
#include "lib/net/address.h"
#include "lib/net/socket.h"
#include "lib/net/task.h"

namespace tulle::dns {

class Exchange {
 public:
  virtual ~Exchange() = default;
  // Sends the question and returns the first message that answers it. Timeout when `by` passes,
  // Refused when nobody listens, otherwise the error of the socket.
  virtual net::Task<Result<Message>> over_udp(net::SocketAddr server, Question question, bool edns,
                                              Deadline by) = 0;
  virtual net::Task<Result<Message>> over_tcp(net::SocketAddr server, Question question, bool edns,
                                              Deadline by) = 0;
};

// A socket for each question, so that the kernel draws a new source port for each; ids are random
// (RFC 5452). A datagram that does not come from the server, or does not repeat the question, is
// ignored.
class SocketExchange final : public Exchange {
 public:
  // Both must outlive every task.
  SocketExchange(net::Loop& loop, net::SocketFactory& sockets) : loop_(loop), sockets_(sockets) {}
  net::Task<Result<Message>> over_udp(net::SocketAddr server, Question question, bool edns,
                                      Deadline by) override;
  net::Task<Result<Message>> over_tcp(net::SocketAddr server, Question question, bool edns,
                                      Deadline by) override;

 private:
  net::Loop& loop_;
  net::SocketFactory& sockets_;
};

}  // namespace tulle::dns
