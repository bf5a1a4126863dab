// SPDX-License-Identifier: Apache-2.0
#include "lib/net/socket.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <string>
#include <vector>

namespace tulle::net {
namespace {

Task<void> serve_one(TcpListener* listener) {
  Result<Accepted> accepted = co_await listener->accept();
  EXPECT_TRUE(accepted);
  std::uint8_t buffer[1024];
  for (;;) {
    const Result<std::size_t> n = co_await read_some(*accepted->stream, buffer);
    if (!n || *n == 0) break;
    const Result<void> written = co_await write_all(*accepted->stream, Bytes(buffer, *n));
    if (!written) break;
  }
}

Task<void> call(Loop* loop, SocketFactory* sockets, SocketAddr to, std::string* got, bool* done) {
  auto stream = co_await connect_tcp(*loop, *sockets, to, {}, loop->after(5s));
  EXPECT_TRUE(stream);
  if (!stream) {
    *done = true;
    co_return;
  }
  const std::string text(100'000, 'x');
  TaskScope scope;
  const Result<void> written = co_await write_all(**stream, as_bytes(std::string_view("hello")));
  EXPECT_TRUE(written);
  std::uint8_t buffer[64];
  const Result<std::size_t> n = co_await read_some(**stream, buffer, loop->after(5s));
  EXPECT_TRUE(n);
  if (n) *got = as_text(Bytes(buffer, *n));
  *done = true;
}

class Sockets : public ::testing::TestWithParam<const char*> {};

TEST_P(Sockets, ConnectEchoAndEnd) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  HostSockets sockets;
  auto listener = listen_tcp(**loop, sockets, *SocketAddr::parse(GetParam()), {});
  ASSERT_TRUE(listener) << listener.error().os_errno;
  std::string got;
  bool done = false;
  TaskScope scope;
  scope.spawn(serve_one(listener->get()));
  scope.spawn(call(loop->get(), &sockets, (*listener)->local_addr(), &got, &done));
  for (int turn = 0; turn < 1000 && !done; ++turn) (*loop)->run_once(100ms);
  EXPECT_EQ(got, "hello");
}
INSTANTIATE_TEST_SUITE_P(BothFamilies, Sockets, ::testing::Values("127.0.0.1:0", "[::1]:0"));

Task<void> accept_one(TcpListener* listener, Accepted* into) {
  Result<Accepted> accepted = co_await listener->accept();
  EXPECT_TRUE(accepted);
  if (accepted) *into = std::move(*accepted);
}

TEST(Sockets, AcceptedOnesHaveTheOptionsOfTheirListener) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  HostSockets sockets;
  TcpOptions options;
  options.keepalive = 41s;
  options.user_timeout = 7s;
  options.unsent = 99'000;
  auto listener = listen_tcp(**loop, sockets, *SocketAddr::parse("127.0.0.1:0"), options);
  ASSERT_TRUE(listener);
  Accepted accepted;
  std::string got;
  bool done = false;
  TaskScope scope;
  scope.spawn(accept_one(listener->get(), &accepted));
  scope.spawn(call(loop->get(), &sockets, (*listener)->local_addr(), &got, &done));
  for (int turn = 0; turn < 1000 && !accepted.stream; ++turn) (*loop)->run_once(100ms);
  ASSERT_TRUE(accepted.stream);
  const auto option = [&](int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(accepted.stream->fd(), level, name, &value, &size), 0);
    return value;
  };
  EXPECT_NE(option(IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_NE(option(SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 41);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 7000);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_NOTSENT_LOWAT), 99'000);
}

// A program that never forks leaves it to close(2) to take descriptors off epoll: a number that
// comes again is another's.
TEST(Sockets, NumbersOfClosedOnesComeAgain) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  (*loop)->never_forks();
  HostSockets sockets;
  auto listener = listen_tcp(**loop, sockets, *SocketAddr::parse("127.0.0.1:0"), {});
  ASSERT_TRUE(listener);
  for (int round = 0; round < 50; ++round) {
    std::string got;
    bool done = false;
    TaskScope scope;
    scope.spawn(serve_one(listener->get()));
    scope.spawn(call(loop->get(), &sockets, (*listener)->local_addr(), &got, &done));
    for (int turn = 0; turn < 1000 && !scope.empty(); ++turn) (*loop)->run_once(100ms);
    EXPECT_EQ(got, "hello");
  }
}

// What does not fit into the socket at once, while the other side reads late, twice.
Task<void> send_much(TcpStream* stream, std::size_t size, bool* sent) {
  const std::string text(size, 'x');
  for (int part = 0; part < 2; ++part) {
    const Result<void> written = co_await write_all(*stream, as_bytes(text));
    EXPECT_TRUE(written);
  }
  *sent = true;
}
Task<void> connect_to(Loop* loop, SocketFactory* sockets, SocketAddr to,
                      std::unique_ptr<TcpStream>* into) {
  auto stream = co_await connect_tcp(*loop, *sockets, to, {}, loop->after(5s));
  EXPECT_TRUE(stream);
  if (stream) *into = std::move(*stream);
}

TEST(Sockets, AFullSocketWakesItsWriterAgainAndAgain) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  HostSockets sockets;
  auto listener = listen_tcp(**loop, sockets, *SocketAddr::parse("127.0.0.1:0"), {});
  ASSERT_TRUE(listener);
  Accepted accepted;
  std::unique_ptr<TcpStream> client;
  TaskScope scope;
  scope.spawn(accept_one(listener->get(), &accepted));
  scope.spawn(connect_to(loop->get(), &sockets, (*listener)->local_addr(), &client));
  for (int turn = 0; turn < 1000 && !(accepted.stream && client); ++turn) (*loop)->run_once(100ms);
  ASSERT_TRUE(accepted.stream && client);
  constexpr std::size_t kPart = std::size_t{8} << 20;
  for (TcpStream* const from : {client.get(), accepted.stream.get()}) {
    TcpStream* const to = from == client.get() ? accepted.stream.get() : client.get();
    bool sent = false;
    std::size_t got = 0;
    TaskScope sending;
    sending.spawn(send_much(from, kPart, &sent));
    std::vector<std::uint8_t> room(64 * 1024);
    for (int turn = 0; turn < 100'000 && got < 2 * kPart; ++turn) {
      (*loop)->run_once(10ms);
      while (const Result<std::size_t> n = to->try_read(room)) {
        if (*n == 0) break;
        got += *n;
      }
    }
    EXPECT_EQ(got, 2 * kPart);
    (*loop)->run_once(10ms);
    EXPECT_TRUE(sent);
  }
}

Task<void> connect_refused(Loop* loop, SocketFactory* sockets, SocketAddr to, Errc* code) {
  auto stream = co_await connect_tcp(*loop, *sockets, to, {}, loop->after(5s));
  *code = stream ? Errc::Internal : stream.error().code;
}

TEST(Sockets, RefusedIsRefused) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  HostSockets sockets;
  SocketAddr nobody;
  {
    auto listener = listen_tcp(**loop, sockets, *SocketAddr::parse("127.0.0.1:0"), {});
    ASSERT_TRUE(listener);
    nobody = (*listener)->local_addr();
  }
  Errc code = Errc::Internal;
  TaskScope scope;
  scope.spawn(connect_refused(loop->get(), &sockets, nobody, &code));
  for (int turn = 0; turn < 1000 && !scope.empty(); ++turn) (*loop)->run_once(100ms);
  EXPECT_EQ(code, Errc::Refused);
}

}  // namespace
}  // namespace tulle::net
