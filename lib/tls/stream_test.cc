// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/stream.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <string>

#include "lib/testing/sim.h"
#include "lib/tls/native.h"
#include "lib/tls/test_support.h"

namespace tulle::tls::test {
namespace {

using testing::SimLoop;

struct Streams {
  TlsResult client = Error{Errc::Internal, "not run"};
  TlsResult server = Error{Errc::Internal, "not run"};
};

net::Task<void> run_client(net::StreamPtr inner, CredentialsPtr credentials, ClientOptions options,
                           Deadline by, Streams* out) {
  out->client =
      co_await connect_tls(std::move(inner), std::move(credentials), std::move(options), by);
}
net::Task<void> run_server(net::StreamPtr inner, CredentialsPtr credentials, Deadline by,
                           Streams* out) {
  out->server = co_await accept_tls(std::move(inner), std::move(credentials), ServerOptions{}, by);
}

Streams connect(SimLoop& loop, CredentialsPtr client, CredentialsPtr server, ClientOptions options,
                std::size_t slice = 0, std::size_t capacity = 256 * 1024) {
  Streams out;
  auto [a, b] = loop.pipe(capacity);
  a->set_max_read(slice);
  b->set_max_read(slice);
  net::TaskScope scope;
  const Deadline by = loop.get().after(10s);
  scope.spawn(run_server(std::move(b), std::move(server), by, &out));
  scope.spawn(run_client(std::move(a), std::move(client), std::move(options), by, &out));
  loop.drain();
  if (!scope.empty()) loop.advance(11s);
  return out;
}

Streams connected(SimLoop& loop, std::size_t slice = 0, std::size_t capacity = 256 * 1024) {
  Streams out = connect(loop, ca().for_name("c"), ca().for_name("s"), {"s", "s"}, slice, capacity);
  EXPECT_TRUE(out.client && out.server);
  return out;
}

std::string pattern(std::size_t size) {
  std::string out;
  out.reserve(size);
  for (std::size_t i = 0; out.size() < size; ++i) out += static_cast<char>(i * 131 >> 3);
  return out;
}

TEST(TlsStream, BothSidesLearnWhoTheOtherIs) {
  SimLoop loop;
  for (const std::size_t capacity : {std::size_t{100}, std::size_t{256 * 1024}}) {
    for (const std::size_t slice : {0U, 1U, 700U}) {
      Streams pair = connected(loop, slice, capacity);
      ASSERT_TRUE(pair.client && pair.server);
      EXPECT_EQ((*pair.server)->peer_identity(), "c");
      EXPECT_EQ((*pair.client)->peer_identity(), "s");
      EXPECT_EQ((*pair.client)->group(), "X25519MLKEM768");
      EXPECT_EQ((*pair.client)->alpn(), "");
    }
  }
}

TEST(TlsStream, CarriesBytesBothWaysAndEnds) {
  SimLoop loop;
  Streams pair = connected(loop);
  net::Stream& client = **pair.client;
  net::Stream& server = **pair.server;
  const std::string sent = pattern(300'000);
  std::string got;
  Bytes left = as_bytes(sent);
  std::vector<std::uint8_t> buffer(100'000);
  for (int turn = 0; turn < 1000 && got.size() < sent.size(); ++turn) {
    if (!left.empty()) {
      const Result<std::size_t> n = client.try_write(left);
      if (n) left = left.subspan(*n);
    } else {
      (void)client.try_flush();
    }
    const Result<std::size_t> n = server.try_read(buffer);
    if (n) got += as_text(Bytes(buffer.data(), *n));
  }
  EXPECT_TRUE(got == sent);
  EXPECT_TRUE(client.try_shutdown());
  const Result<std::size_t> end = server.try_read(buffer);
  ASSERT_TRUE(end);
  EXPECT_EQ(*end, 0U);
  EXPECT_TRUE(server.try_write(as_bytes("half-closed")));
  const Result<std::size_t> back = client.try_read(buffer);
  ASSERT_TRUE(back);
  EXPECT_EQ(as_text(Bytes(buffer.data(), *back)), "half-closed");
}

// All streams of a loop share its scratch memory: what one has read of it must be its own
// afterwards.
TEST(TlsStream, ReadersWithSmallBuffersDoNotDisturbEachOther) {
  SimLoop loop;
  const std::string sent = pattern(50'000);
  for (const std::size_t size : {1U, 37U, 1000U, 8192U, 30'000U}) {
    std::vector<Streams> pairs;
    for (int i = 0; i < 3; ++i) {
      pairs.push_back(connected(loop));
      ASSERT_TRUE(pairs.back().client && pairs.back().server);
      Bytes left = as_bytes(sent);
      while (!left.empty()) {
        const Bytes next = left.first(std::min<std::size_t>(left.size(), 700));
        const Result<std::size_t> n = (*pairs.back().client)->try_write(next);
        ASSERT_TRUE(n);
        left = left.subspan(*n);
      }
    }
    std::vector<std::string> got(pairs.size());
    std::vector<std::uint8_t> buffer(size);
    for (bool more = true; more;) {
      more = false;
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        const Result<std::size_t> n = (*pairs[i].server)->try_read(buffer);
        if (!n) {
          ASSERT_EQ(n.error().code, Errc::WouldBlock);
          continue;
        }
        got[i] += as_text(Bytes(buffer.data(), *n));
        more = true;
      }
    }
    for (const std::string& each : got) EXPECT_TRUE(each == sent) << size;
  }
}

// A client may speak right after its Finished, in the same segment.
TEST(TlsStream, BytesThatComeWithTheHandshakeAreRead) {
  SimLoop loop;
  Streams out;
  auto [a, b] = loop.pipe();
  net::TaskScope scope;
  const Deadline by = loop.get().after(10s);
  auto client = *Engine::connect(ca().for_name("c"), {"s", "s"});
  scope.spawn(run_server(std::move(b), ca().for_name("s"), by, &out));
  const auto send = [&, &end = a] {
    const std::size_t size = client->outgoing().size();
    ASSERT_TRUE(end->try_write(client->outgoing().data()));
    client->outgoing().consume(size);
  };
  (void)client->handshake();
  send();
  loop.drain();
  client->feed(a->pending());
  ASSERT_TRUE(client->handshake());
  client->keep();
  ASSERT_TRUE(client->write(as_bytes("early")));
  send();
  loop.drain();
  ASSERT_TRUE(out.server);
  EXPECT_TRUE((*out.server)->io().readable);
  // Another session uses the scratch memory in between.
  Streams other = connected(loop);
  std::uint8_t room[100];
  const Result<std::size_t> n = (*out.server)->try_read(room);
  ASSERT_TRUE(n);
  EXPECT_EQ(as_text(Bytes(room, *n)), "early");
}

TEST(TlsStream, HoldsAtMostOneWriteBack) {
  SimLoop loop;
  Streams pair = connected(loop, 0, 4000);
  ASSERT_TRUE(pair.client && pair.server);
  const std::string sent(1'000'000, 'x');
  const Result<std::size_t> first = (*pair.client)->try_write(as_bytes(sent));
  ASSERT_TRUE(first);
  EXPECT_LE(*first, Engine::kMaxWrite);
  EXPECT_EQ((*pair.client)->try_write(as_bytes(sent)).error().code, Errc::WouldBlock);
  EXPECT_EQ((*pair.client)->try_flush().error().code, Errc::WouldBlock);
  std::size_t got = 0;
  std::vector<std::uint8_t> buffer(10'000);
  for (int turn = 0; turn < 1000 && got < *first; ++turn) {
    const Result<std::size_t> n = (*pair.server)->try_read(buffer);
    if (n) got += *n;
    (void)(*pair.client)->try_flush();
  }
  EXPECT_EQ(got, *first);
  EXPECT_TRUE((*pair.client)->try_flush());
}

TEST(TlsStream, RefusalsAreHeardOnBothSides) {
  SimLoop loop;
  Streams pair = connect(loop, ca().for_name("c"), ca().for_name("other"), {"s", "s"});
  ASSERT_FALSE(pair.client);
  EXPECT_EQ(pair.client.error().code, Errc::Unauthenticated);
  ASSERT_FALSE(pair.server);
  EXPECT_EQ(pair.server.error().code, Errc::Tls);
  EXPECT_EQ(pair.server.error().detail, 42U);
  Streams bare = connect(loop, ca().for_name("c"), ca().anchors_only(), {"s", "s"});
  EXPECT_EQ(bare.server.error().code, Errc::Tls);
  EXPECT_FALSE(bare.client);
}

TEST(TlsStream, SilentPeersTimeOut) {
  SimLoop loop;
  auto [a, b] = loop.pipe();
  Streams out;
  net::TaskScope scope;
  scope.spawn(run_server(std::move(b), ca().for_name("s"), loop.get().after(10s), &out));
  loop.advance(11s);
  ASSERT_FALSE(out.server);
  EXPECT_EQ(out.server.error().code, Errc::Timeout);
}

TEST(TlsStream, PeersThatLeaveAreNoticed) {
  SimLoop loop;
  auto [a, b] = loop.pipe();
  Streams out;
  net::TaskScope scope;
  scope.spawn(run_server(std::move(b), ca().for_name("s"), loop.get().after(10s), &out));
  a.reset();
  loop.drain();
  ASSERT_FALSE(out.server);
  EXPECT_EQ(out.server.error().code, Errc::Reset);
  // Without a close_notify what came may have been cut short.
  Streams pair = connected(loop);
  pair.client = Error{Errc::Internal, "gone"};
  std::uint8_t room[10];
  EXPECT_EQ((*pair.server)->try_read(room).error().code, Errc::Reset);
}

// A server as others run them: it keeps sessions, so it sends tickets once the handshake is done.
// They wake the reader and are no bytes of the application.
TEST(TlsStream, TicketsAreNoBytes) {
  SimLoop loop;
  const PrivateKey key = PrivateKey::generate();
  const Certificate leaf = ca().leaf("s", key);
  const bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_method()));
  const native::Ptr<X509> own = native::parse(as_bytes(leaf.der));
  const native::Ptr<X509> issuer = native::parse(as_bytes(ca().issuer.certificate.der));
  ASSERT_TRUE(SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION));
  ASSERT_TRUE(SSL_CTX_use_certificate(context.get(), own.get()));
  ASSERT_TRUE(SSL_CTX_add1_chain_cert(context.get(), issuer.get()));
  ASSERT_TRUE(SSL_CTX_use_PrivateKey(context.get(), key.native()));
  // It asks for a certificate, as proxies do: so the tickets come after the client's last flight.
  SSL_CTX_set_custom_verify(context.get(), SSL_VERIFY_PEER,
                            [](SSL*, std::uint8_t*) { return ssl_verify_ok; });
  const bssl::UniquePtr<SSL> server(SSL_new(context.get()));
  BIO* const in = BIO_new(BIO_s_mem());
  BIO* const out = BIO_new(BIO_s_mem());
  SSL_set_bio(server.get(), in, out);
  SSL_set_accept_state(server.get());

  Streams streams;
  auto [a, b] = loop.pipe();
  net::TaskScope scope;
  scope.spawn(
      run_client(std::move(a), ca().for_name("c"), {"s", "s"}, loop.get().after(10s), &streams));
  std::vector<std::uint8_t> room(65536);
  std::size_t afterwards = 0;  // bytes that the server sent once the client was done
  for (int turn = 0; turn < 10; ++turn) {
    loop.drain();
    while (const Result<std::size_t> n = b->try_read(room)) {
      if (*n == 0) break;
      BIO_write(in, room.data(), static_cast<int>(*n));
    }
    // BoringSSL holds the tickets back until something is written.
    if (SSL_do_handshake(server.get()) == 1) SSL_write(server.get(), "", 0);
    const int n = BIO_read(out, room.data(), static_cast<int>(room.size()));
    if (n <= 0) continue;
    if (streams.client) afterwards += static_cast<std::size_t>(n);
    EXPECT_TRUE(b->try_write(Bytes(room.data(), static_cast<std::size_t>(n))));
  }
  ASSERT_TRUE(streams.client);
  EXPECT_GT(afterwards, 0U);
  EXPECT_TRUE((*streams.client)->io().readable);
  EXPECT_EQ((*streams.client)->try_read(room).error().code, Errc::WouldBlock);
  ASSERT_EQ(SSL_write(server.get(), "hi", 2), 2);
  const int n = BIO_read(out, room.data(), static_cast<int>(room.size()));
  ASSERT_GT(n, 0);
  EXPECT_TRUE(b->try_write(Bytes(room.data(), static_cast<std::size_t>(n))));
  const Result<std::size_t> got = (*streams.client)->try_read(room);
  ASSERT_TRUE(got);
  EXPECT_EQ(as_text(Bytes(room.data(), *got)), "hi");
}

}  // namespace
}  // namespace tulle::tls::test
