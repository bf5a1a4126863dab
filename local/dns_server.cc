// SPDX-License-Identifier: Apache-2.0
#include "local/dns_server.h"

namespace tulle::local {
namespace {

constexpr std::size_t kPlainUdp = 512;  // RFC 1035 §4.2.1
constexpr Duration kIdle = 10s;

}  // namespace

std::string DnsServer::reply_to(Bytes query, bool udp) const {
  const auto message = dns::decode(query);
  if (!message || message->response) return {};
  const std::size_t limit = !udp            ? dns::kMaxMessage
                            : message->edns ? std::size_t{dns::kEdnsSize}
                                            : kPlainUdp;
  return dns::encode(answer_(*message), limit);
}

std::string DnsServer::start(net::SocketFactory& sockets,
                             const std::vector<net::IpAddr>& addresses) {
  for (const net::IpAddr& ip : addresses) {
    auto udp = net::bind_udp(loop_, sockets, {ip, 53});
    auto tcp = net::listen_tcp(loop_, sockets, {ip, 53}, {});
    if (!udp || !tcp) return "cannot listen on " + ip.to_string() + " port 53";
    udp_.push_back(*std::move(udp));
    tcp_.push_back(*std::move(tcp));
  }
  for (const auto& socket : udp_) servers_.spawn(serve_udp(*socket));
  for (const auto& listener : tcp_) servers_.spawn(accept(*listener));
  return {};
}

net::Task<void> DnsServer::serve_udp(net::UdpSocket& socket) {
  std::uint8_t query[dns::kEdnsSize];
  for (;;) {
    net::SocketAddr from;
    const auto size = socket.try_receive(MutableBytes(query, sizeof query), &from);
    if (!size && size.error().code == Errc::WouldBlock) {
      socket.io().readable = false;
      co_await net::readable(socket.io());
      continue;
    }
    if (!size) continue;  // an ICMP error of an earlier answer
    const std::string reply = reply_to(Bytes(query, *size), true);
    // A full queue loses the answer, as UDP may; the client asks again.
    if (!reply.empty()) (void)socket.try_send_to(as_bytes(reply), from).has_value();
  }
}

net::Task<void> DnsServer::accept(net::TcpListener& listener) {
  for (;;) {
    auto accepted = co_await listener.accept();
    if (!accepted) co_return;
    auto guest = net::GuestStream::make(admission_, nullptr, *std::move(accepted));
    if (guest != nullptr) connections_.spawn(serve_tcp(std::move(guest)));
  }
}

net::Task<void> DnsServer::serve_tcp(net::StreamPtr stream) {
  std::uint8_t block[2 + 4096];
  for (;;) {
    // RFC 1035 §4.2.2: two octets of length.
    const auto head =
        co_await net::read_exactly(*stream, MutableBytes(block, 2), loop_.after(kIdle));
    if (!head) co_return;
    const std::size_t size = std::size_t{block[0]} << 8 | block[1];
    if (size > sizeof block - 2) co_return;
    const auto body =
        co_await net::read_exactly(*stream, MutableBytes(block + 2, size), loop_.after(kIdle));
    if (!body) co_return;
    const std::string reply = reply_to(Bytes(block + 2, size), false);
    if (reply.empty()) co_return;
    std::string framed;
    framed += static_cast<char>(reply.size() >> 8);
    framed += static_cast<char>(reply.size() & 0xFF);
    framed += reply;
    const auto written = co_await net::write_all(*stream, as_bytes(framed), loop_.after(kIdle));
    if (!written) co_return;
  }
}

}  // namespace tulle::local
