// SPDX-License-Identifier: Apache-2.0
#include "lib/net/copy.h"

#include <gtest/gtest.h>

#include <string>

#include "lib/net/socket.h"
#include "lib/testing/endless.h"
#include "lib/testing/sim.h"

namespace tulle::net {
namespace {

Task<void> join(Stream* a, Stream* b, CopyOutcome* out) { *out = co_await copy_duplex(*a, *b); }

std::string read_all(testing::SimLoop& loop, Stream& stream) {
  std::string got;
  std::uint8_t buffer[1000];
  for (int turn = 0; turn < 10'000; ++turn) {
    loop.drain();
    const Result<std::size_t> n = stream.try_read(buffer);
    if (!n && n.error().code == Errc::WouldBlock) continue;
    if (!n || *n == 0) break;
    got += as_text(Bytes(buffer, *n));
  }
  return got;
}

TEST(CopyDuplex, PropagatesHalfClose) {
  testing::SimLoop loop;
  auto [client, left] = loop.pipe(64);
  auto [right, server] = loop.pipe(64);
  CopyOutcome outcome;
  TaskScope scope;
  scope.spawn(join(left.get(), right.get(), &outcome));
  EXPECT_TRUE(client->try_write(as_bytes("question")));
  EXPECT_TRUE(client->try_shutdown());
  EXPECT_EQ(read_all(loop, *server), "question");
  EXPECT_FALSE(scope.empty());
  EXPECT_TRUE(server->try_write(as_bytes("a longer answer")));
  EXPECT_TRUE(server->try_shutdown());
  EXPECT_EQ(read_all(loop, *client), "a longer answer");
  loop.drain();
  EXPECT_TRUE(scope.empty());
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.forward, 8U);
  EXPECT_EQ(outcome.backward, 15U);
}

TEST(CopyDuplex, AResetCutsTheOtherSide) {
  testing::SimLoop loop;
  auto [client, left] = loop.pipe();
  auto [right, server] = loop.pipe();
  CopyOutcome outcome;
  TaskScope scope;
  scope.spawn(join(left.get(), right.get(), &outcome));
  client->abort();
  loop.drain();
  EXPECT_TRUE(scope.empty());
  EXPECT_TRUE(outcome.error);
  EXPECT_TRUE(server->peer_aborted());
}

// A receiver that is full for a moment is what bulk looks like: once it has taken a megabyte, the
// sender's window must be left alone.
TEST(CopyDuplex, LittleIsHeldForAReceiverThatIsSlowOrNotKnown) {
  constexpr std::size_t kPiece = 100'000;
  testing::SimLoop loop;
  auto [client, left] = loop.pipe(2 * kPiece);
  auto [right, server] = loop.pipe(kPiece);
  CopyOutcome outcome;
  TaskScope scope;
  scope.spawn(join(left.get(), right.get(), &outcome));
  const std::string piece(kPiece, 'x');
  std::vector<std::uint8_t> buffer(kPiece);
  const auto carry = [&, &sender = *client, &receiver = *server](Duration pause, int times) {
    for (int i = 0; i < times; ++i) {
      while (sender.try_write(as_bytes(piece))) loop.drain();
      loop.advance(pause);
      std::size_t got = 0;
      while (got < kPiece) {
        const Result<std::size_t> n = receiver.try_read(MutableBytes(buffer).subspan(got));
        if (!n) break;
        got += *n;
      }
      EXPECT_EQ(got, kPiece);
    }
  };
  carry(1ms, 5);
  EXPECT_TRUE(left->holds_little());  // who knows
  carry(1ms, 10);
  EXPECT_FALSE(left->holds_little());
  carry(10ms, 20);
  EXPECT_FALSE(left->holds_little());
  carry(200ms, 20);
  EXPECT_TRUE(left->holds_little());
  carry(10ms, 20);
  EXPECT_FALSE(left->holds_little());
}

// Whether it comes in large pieces or in small ones.
TEST(CopyDuplex, LittleIsHeldAlsoOfWhatComesInSmallPieces) {
  testing::SimLoop loop;
  auto [client, left] = loop.pipe(200'000);
  auto [right, server] = loop.pipe(1'000'000);
  left->set_max_read(5000);
  CopyOutcome outcome;
  TaskScope scope;
  scope.spawn(join(left.get(), right.get(), &outcome));
  const std::string piece(5000, 'x');
  const auto carry = [&, &sender = *client](int times) {
    for (int i = 0; i < times; ++i) {
      EXPECT_TRUE(sender.try_write(as_bytes(piece)));
      loop.drain();
    }
  };
  carry(10);
  EXPECT_FALSE(left->holds_little());  // a short exchange
  carry(10);
  EXPECT_TRUE(left->holds_little());
  std::vector<std::uint8_t> buffer(100'000);
  for (int i = 0; i < 220; ++i) {
    carry(1);
    EXPECT_TRUE(server->try_read(buffer));
  }
  EXPECT_FALSE(left->holds_little());
}

Task<void> proxy_once(Loop* loop, SocketFactory* sockets, TcpListener* at, SocketAddr to,
                      CopyOutcome* out) {
  Result<Accepted> accepted = co_await at->accept();
  auto server = co_await connect_tcp(*loop, *sockets, to, {}, {});
  EXPECT_TRUE(accepted && server);
  *out = co_await copy_duplex(*accepted->stream, **server);
}
Task<void> echo_once(TcpListener* at) {
  Result<Accepted> accepted = co_await at->accept();
  std::vector<std::uint8_t> buffer(5000);
  for (;;) {
    const Result<std::size_t> n = co_await read_some(*accepted->stream, buffer);
    if (!n || *n == 0) break;
    const Result<void> written = co_await write_all(*accepted->stream, Bytes(buffer.data(), *n));
    if (!written) break;
  }
  const Result<void> done = co_await shutdown_write(*accepted->stream);
  EXPECT_TRUE(done);
}
Task<void> send_all(Stream* stream, const std::string* text) {
  const Result<void> written = co_await write_all(*stream, as_bytes(*text));
  EXPECT_TRUE(written);
  const Result<void> done = co_await shutdown_write(*stream);
  EXPECT_TRUE(done);
}
Task<void> ask(Loop* loop, SocketFactory* sockets, SocketAddr to, const std::string* text,
               std::string* got) {
  auto stream = co_await connect_tcp(*loop, *sockets, to, {}, {});
  EXPECT_TRUE(stream);
  TaskScope scope;
  scope.spawn(send_all(stream->get(), text));
  std::vector<std::uint8_t> buffer(5000);
  for (;;) {
    const Result<std::size_t> n = co_await read_some(**stream, buffer);
    if (!n || *n == 0) break;
    *got += as_text(Bytes(buffer.data(), *n));
  }
  co_await scope.join();
}

TEST(CopyDuplex, SplicesPlainTcp) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  HostSockets sockets;
  auto server = listen_tcp(**loop, sockets, *SocketAddr::parse("127.0.0.1:0"), {});
  auto proxy = listen_tcp(**loop, sockets, *SocketAddr::parse("127.0.0.1:0"), {});
  ASSERT_TRUE(server && proxy);
  const std::string text(3'000'000, 'z');
  std::string got;
  CopyOutcome outcome;
  TaskScope scope;
  scope.spawn(echo_once(server->get()));
  scope.spawn(proxy_once(loop->get(), &sockets, proxy->get(), (*server)->local_addr(), &outcome));
  scope.spawn(ask(loop->get(), &sockets, (*proxy)->local_addr(), &text, &got));
  for (int turn = 0; turn < 100'000 && !scope.empty(); ++turn) (*loop)->run_once(1s);
  EXPECT_EQ(got.size(), text.size());
  EXPECT_EQ(outcome.forward, text.size());
  EXPECT_EQ(outcome.backward, text.size());
}

Task<void> copy(Stream* a, Stream* b) {
  [[maybe_unused]] const CopyOutcome outcome = co_await copy_duplex(*a, *b);
}

// Bulk between two sides that never block ends its turn after a megabyte.
TEST(CopyThrough, LetsOthersHaveTheirTurn) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  constexpr std::size_t kMost = std::size_t{64} * 1024 * 1024;
  testing::EndlessStream a(**loop, "", std::string(4096, 'a'), kMost);
  testing::EndlessStream b(**loop, "", std::string(4096, 'b'), kMost);
  TaskScope scope;
  scope.spawn(copy(&a, &b));
  for (int turn = 1; turn <= 3; ++turn) {
    (*loop)->run_once(0ms);
    EXPECT_LE(a.given, static_cast<std::size_t>(turn + 1) * 4 * 1024 * 1024);
    EXPECT_LE(b.given, static_cast<std::size_t>(turn + 1) * 4 * 1024 * 1024);
  }
  while (!scope.empty()) (*loop)->run_once(1h);
  EXPECT_EQ(a.given, kMost);
  EXPECT_EQ(b.taken, kMost);
}

}  // namespace
}  // namespace tulle::net
