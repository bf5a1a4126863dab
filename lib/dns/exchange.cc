// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/exchange.h"

#include <sys/random.h>

#include <cerrno>
#include <optional>

namespace tulle::dns {
namespace {

std::uint16_t random_id() {
  std::uint16_t id = 0;
  while (::getrandom(&id, sizeof id, 0) != sizeof id) {
    if (errno != EINTR) break;
  }
  return id;
}

Message make_query(Question question, bool edns) {
  Message query;
  query.id = random_id();
  query.question = std::move(question);
  query.edns = edns;
  return query;
}

// The message if it answers the query; anything else may be forged and says nothing.
std::optional<Message> match(Bytes bytes, const Message& query) {
  Result<Message> message = decode(bytes);
  if (!message || !message->response || message->id != query.id) return std::nullopt;
  if (message->question != query.question) return std::nullopt;
  return std::move(*message);
}

}  // namespace

net::Task<Result<Message>> SocketExchange::over_udp(net::SocketAddr server, Question question,
                                                    bool edns, Deadline by) {
  const Message query = make_query(std::move(question), edns);
  auto socket = net::connect_udp(loop_, sockets_, server);
  if (!socket) co_return socket.error();
  const std::string bytes = encode(query);
  for (;;) {
    const Result<void> sent = (*socket)->try_send(as_bytes(bytes));
    if (sent) break;
    if (sent.error().code != Errc::WouldBlock) co_return sent.error();
    const bool in_time = co_await net::writable((*socket)->io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "send a DNS query"};
  }
  for (;;) {
    const MutableBytes scratch = loop_.scratch();
    const Result<std::size_t> size = (*socket)->try_receive(scratch);
    if (size) {
      std::optional<Message> message = match(scratch.first(*size), query);
      if (message) co_return std::move(*message);
      continue;
    }
    if (size.error().os_errno == ECONNREFUSED) {
      co_return Error{Errc::Refused, "receive a DNS answer", ECONNREFUSED};
    }
    if (size.error().code != Errc::WouldBlock) co_return size.error();
    const bool in_time = co_await net::readable((*socket)->io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "receive a DNS answer"};
  }
}

net::Task<Result<Message>> SocketExchange::over_tcp(net::SocketAddr server, Question question,
                                                    bool edns, Deadline by) {
  const Message query = make_query(std::move(question), edns);
  const net::TcpOptions options;
  auto stream = co_await net::connect_tcp(loop_, sockets_, server, options, by);
  if (!stream) co_return stream.error();
  const std::string body = encode(query);
  std::string framed;  // RFC 1035 §4.2.2: two octets of length first
  framed += static_cast<char>(body.size() >> 8);
  framed += static_cast<char>(body.size() & 0xFF);
  framed += body;
  const Result<void> written = co_await net::write_all(**stream, as_bytes(framed), by);
  if (!written) co_return written.error();
  std::uint8_t head[2];
  const Result<void> got_head = co_await net::read_exactly(**stream, head, by);
  if (!got_head) co_return got_head.error();
  std::string answer(std::size_t{head[0]} << 8 | head[1], '\0');
  const MutableBytes into(reinterpret_cast<std::uint8_t*>(answer.data()), answer.size());
  const Result<void> got = co_await net::read_exactly(**stream, into, by);
  if (!got) co_return got.error();
  std::optional<Message> message = match(into, query);
  if (!message) co_return Error{Errc::Protocol, "read a DNS answer"};
  co_return std::move(*message);
}

}  // namespace tulle::dns
