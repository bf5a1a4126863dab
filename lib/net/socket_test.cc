// SPDX-License-Identifier: Apache-2.0
#include "lib/net/socket.h"

#include <gtest/gtest.h>

#include <string>

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
