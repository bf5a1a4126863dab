// SPDX-License-Identifier: Apache-2.0
// The DNS server of a mesh: UDP and TCP on the fabric's DNS addresses. What it answers is decided
// by a function, usually Zone (services.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/dns/message.h"
#include "lib/net/admission.h"
#include "lib/net/loop.h"
#include "lib/net/task.h"

namespace tulle::local {

class DnsServer {
 public:
  using Answer = std::function<dns::Message(const dns::Message& query)>;
  DnsServer(net::Loop& loop, Answer answer) : loop_(loop), answer_(std::move(answer)) {}
  // Binds all addresses (port 53) and serves until destroyed; a text says what failed.
  std::string start(net::SocketFactory& sockets, const std::vector<net::IpAddr>& addresses);

 private:
  net::Task<void> serve_udp(net::UdpSocket& socket);
  net::Task<void> accept(net::TcpListener& listener);
  net::Task<void> serve_tcp(net::StreamPtr stream);
  // The reply to one query, at most `limit` bytes; "" if it deserves none.
  std::string reply_to(Bytes query, bool udp) const;

  net::Loop& loop_;
  Answer answer_;
  std::vector<std::unique_ptr<net::UdpSocket>> udp_;
  std::vector<std::unique_ptr<net::TcpListener>> tcp_;
  // A query takes moments; who holds a connection open for longer makes room for whoever comes.
  net::Admission admission_{{.total = 256, .per_source = 32}};
  net::TaskScope connections_;
  net::TaskScope servers_;
};

}  // namespace tulle::local
