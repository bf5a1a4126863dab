// SPDX-License-Identifier: Apache-2.0
// Real sockets on loopback: a name server of a few lines, honest or not.
#include "lib/dns/exchange.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <string>

#include "lib/base/text.h"

namespace tulle::dns {
namespace {

class ExchangeTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto made = net::Loop::create();
    ASSERT_TRUE(made);
    loop = std::move(*made);
    exchange = std::make_unique<SocketExchange>(*loop, sockets);
    const net::SocketAddr any{*net::IpAddr::parse(GetParam()), 0};
    // The kernel picks the port, as far as the address can be asked for: of the listener.
    auto listening = net::listen_tcp(*loop, sockets, any, {});
    if (!listening) GTEST_SKIP() << "no " << GetParam();
    listener = std::move(*listening);
    at = listener->local_addr();
    auto bound = net::bind_udp(*loop, sockets, at);
    ASSERT_TRUE(bound);
    udp = std::move(*bound);
  }
  // Runs the loop until the task ends.
  template <typename T>
  std::optional<T> run(net::Task<T> task) {
    std::optional<T> out;
    net::TaskScope scope;
    const auto capture = [](net::Task<T> inner, std::optional<T>* into) -> net::Task<void> {
      into->emplace(co_await std::move(inner));
    };
    scope.spawn(capture(std::move(task), &out));
    for (int turn = 0; turn < 1000 && !out; ++turn) loop->run_once(100ms);
    return out;
  }
  static Message answer(const Message& query) {
    Message message = query;
    message.response = true;
    message.answers = {{.name = query.question.name,
                        .type = Type::A,
                        .ttl = 5,
                        .address = *net::IpAddr::parse("10.0.0.1")}};
    return message;
  }
  // Answers each datagram with what `reply` makes of it: several messages, each perhaps a lie.
  using Reply = std::vector<std::string> (*)(const Message& query);
  static net::Task<void> serve_udp(net::UdpSocket* socket, Reply reply) {
    std::uint8_t buffer[2048];
    for (;;) {
      net::SocketAddr from;
      const Result<std::size_t> size = socket->try_receive(buffer, &from);
      if (!size) {
        if (size.error().code != Errc::WouldBlock) co_return;
        co_await net::readable(socket->io());
        continue;
      }
      const Result<Message> query = decode(Bytes(buffer, *size));
      if (!query) continue;
      for (const std::string& bytes : reply(*query)) {
        const Result<void> sent = socket->try_send_to(as_bytes(bytes), from);
        EXPECT_TRUE(sent);
      }
    }
  }
  static net::Task<void> serve_tcp(net::TcpListener* listener, bool lie) {
    Result<net::Accepted> accepted = co_await listener->accept();
    if (!accepted) co_return;
    std::uint8_t head[2];
    const Result<void> got = co_await net::read_exactly(*accepted->stream, head);
    if (!got) co_return;
    std::uint8_t body[512];
    const std::size_t size = std::size_t{head[0]} << 8 | head[1];
    const Result<void> rest =
        co_await net::read_exactly(*accepted->stream, MutableBytes(body, size));
    if (!rest) co_return;
    Message message = answer(*decode(Bytes(body, size)));
    if (lie) message.question.name = "other";
    // More than UDP would carry.
    while (!lie && message.answers.size() < 500) message.answers.push_back(message.answers[0]);
    const std::string bytes = encode(message);
    std::string framed{static_cast<char>(bytes.size() >> 8),
                       static_cast<char>(bytes.size() & 0xFF)};
    framed += bytes;
    const Result<void> written = co_await net::write_all(*accepted->stream, as_bytes(framed));
    EXPECT_TRUE(written);
    std::uint8_t end[1];
    const Result<std::size_t> ended = co_await net::read_some(*accepted->stream, end);
    EXPECT_TRUE(ended);
  }

  net::HostSockets sockets;
  std::unique_ptr<net::Loop> loop;
  std::unique_ptr<SocketExchange> exchange;
  std::unique_ptr<net::TcpListener> listener;
  std::unique_ptr<net::UdpSocket> udp;
  net::SocketAddr at;
};

TEST_P(ExchangeTest, AsksOverUdp) {
  net::TaskScope server;
  server.spawn(serve_udp(udp.get(), [](const Message& query) {
    EXPECT_TRUE(query.edns);
    return std::vector<std::string>{encode(answer(query))};
  }));
  const auto message = run(exchange->over_udp(at, {"web.ns", Type::A}, true, loop->after(5s)));
  ASSERT_TRUE(message && *message);
  EXPECT_EQ((*message)->answers.at(0).address.to_string(), "10.0.0.1");
}

TEST_P(ExchangeTest, ForgedAnswersAreIgnored) {
  net::TaskScope server;
  server.spawn(serve_udp(udp.get(), [](const Message& query) {
    Message other_id = answer(query);
    other_id.id = static_cast<std::uint16_t>(query.id + 1);
    Message other_name = answer(query);
    other_name.question.name = "bank.example";
    Message other_type = answer(query);
    other_type.question.type = Type::Aaaa;
    Message truth = answer(query);
    truth.answers[0].ttl = 77;
    return std::vector<std::string>{encode(other_id), encode(other_name), encode(other_type),
                                    "junk",           encode(query),      encode(truth)};
  }));
  const auto message = run(exchange->over_udp(at, {"web.ns", Type::A}, true, loop->after(5s)));
  ASSERT_TRUE(message && *message);
  EXPECT_EQ((*message)->answers.at(0).ttl, 77U);
}

TEST_P(ExchangeTest, AsksOverTcp) {
  net::TaskScope server;
  server.spawn(serve_tcp(listener.get(), false));
  const auto message = run(exchange->over_tcp(at, {"web.ns", Type::A}, true, loop->after(5s)));
  ASSERT_TRUE(message && *message);
  EXPECT_EQ((*message)->answers.size(), 500U);
}

TEST_P(ExchangeTest, AForeignAnswerOverTcpIsAnError) {
  net::TaskScope server;
  server.spawn(serve_tcp(listener.get(), true));
  const auto message = run(exchange->over_tcp(at, {"web.ns", Type::A}, true, loop->after(5s)));
  ASSERT_TRUE(message);
  ASSERT_FALSE(*message);
  EXPECT_EQ(message->error().code, Errc::Protocol);
}

TEST_P(ExchangeTest, SilenceEndsAtTheDeadline) {
  const auto message = run(exchange->over_udp(at, {"web.ns", Type::A}, true, loop->after(20ms)));
  ASSERT_TRUE(message);
  ASSERT_FALSE(*message);
  EXPECT_EQ(message->error().code, Errc::Timeout);
}

TEST_P(ExchangeTest, NobodyThereIsRefused) {
  udp.reset();
  listener.reset();
  const auto over_udp = run(exchange->over_udp(at, {"web.ns", Type::A}, true, loop->after(5s)));
  ASSERT_TRUE(over_udp);
  ASSERT_FALSE(*over_udp);
  EXPECT_EQ(over_udp->error().code, Errc::Refused);
  const auto over_tcp = run(exchange->over_tcp(at, {"web.ns", Type::A}, true, loop->after(5s)));
  ASSERT_TRUE(over_tcp);
  ASSERT_FALSE(*over_tcp);
  EXPECT_EQ(over_tcp->error().code, Errc::Refused);
}

INSTANTIATE_TEST_SUITE_P(BothFamilies, ExchangeTest, ::testing::Values("127.0.0.1", "::1"));

}  // namespace
}  // namespace tulle::dns
