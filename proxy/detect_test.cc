// SPDX-License-Identifier: Apache-2.0
#include "proxy/detect.h"

#include <gtest/gtest.h>

#include "lib/testing/sim.h"
#include "proxy/inbound/early.h"

namespace tulle::proxy {
namespace {

using testing::PipeEnd;
using testing::SimLoop;

net::Task<void> http(net::StreamPtr stream, Deadline by, std::optional<Result<DetectedHttp>>* out) {
  out->emplace(co_await detect_http(std::move(stream), by));
}
net::Task<void> tls(net::StreamPtr stream, Deadline by, std::optional<Result<DetectedTls>>* out) {
  out->emplace(co_await detect_tls(std::move(stream), by));
}

// The outcome after each piece was written; the number of pieces that it took.
struct Seen {
  Spoken spoken;
  std::size_t pieces;
  std::string replayed;
};
std::optional<Seen> seen(const std::vector<std::string>& pieces) {
  SimLoop loop;
  auto [client, server] = loop.pipe();
  std::optional<Result<DetectedHttp>> detected;
  net::TaskScope scope;
  scope.spawn(http(std::move(server), loop.get().after(10s), &detected));
  std::size_t written = 0;
  for (const std::string& piece : pieces) {
    EXPECT_TRUE(client->try_write(as_bytes(piece)));
    loop.drain();
    ++written;
    if (detected) break;
  }
  if (!detected || !*detected) return std::nullopt;
  std::string replayed;
  std::uint8_t buffer[256];
  for (;;) {
    const Result<std::size_t> n = (*detected)->stream->try_read(buffer);
    if (!n) break;
    replayed.append(reinterpret_cast<const char*>(buffer), *n);
  }
  return Seen{(*detected)->spoken, written, replayed};
}

TEST(DetectHttp, DecidesAsSoonAsItCan) {
  EXPECT_EQ(seen({"GET / HTTP/1.1\r\nHost: a\r\n\r\n"})->spoken, Spoken::Http1);
  EXPECT_EQ(seen({"G", "ET", " /a HT", "TP/1.0\r\n"})->spoken, Spoken::Http1);
  EXPECT_EQ(seen({"CONNECT a:1 HTTP/1.1\r\n"})->spoken, Spoken::Http1);
  EXPECT_EQ(seen({"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"})->spoken, Spoken::Http2);
  EXPECT_EQ(seen({"PRI * HTTP", "/2.0"})->spoken, Spoken::Http2);
  // Bytes that begin no method decide at once, at any length.
  for (const std::string& first :
       {std::string("\x00", 1), std::string("\x16\x03\x01"), std::string("*1\r\n$4\r\nPING\r\n"),
        std::string("\x00\x00\x00\x08\x04\xd2\x16\x2f", 8), std::string(" ")}) {
    const auto outcome = seen({first, "more"});
    ASSERT_TRUE(outcome) << first;
    EXPECT_EQ(outcome->spoken, Spoken::NotHttp);
    EXPECT_EQ(outcome->pieces, 1U);
    EXPECT_EQ(outcome->replayed, first);
  }
  EXPECT_EQ(seen({"PING\r\n"})->spoken, Spoken::NotHttp);
  EXPECT_EQ(seen({"EHLO example.com\r\n"})->spoken, Spoken::NotHttp);
  EXPECT_EQ(seen({"GET key\r\n"})->spoken, Spoken::NotHttp);
  EXPECT_EQ(seen({"PRI * HTTP/3.0\r\n"})->spoken, Spoken::NotHttp);
  EXPECT_EQ(seen({std::string(40, 'A')})->spoken, Spoken::NotHttp);
}

TEST(DetectHttp, WhatWasReadComesAgain) {
  const auto outcome = seen({"GE", "T / HT", "TP/1.1\r\nX: y\r\n\r\nbody"});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->replayed, "GET / HTTP/1.1\r\nX: y\r\n\r\nbody");
}

TEST(DetectHttp, SilenceAndHalfAWordTimeOut) {
  for (const std::string& said : {std::string(), std::string("GE")}) {
    SimLoop loop;
    auto [client, server] = loop.pipe();
    std::optional<Result<DetectedHttp>> detected;
    net::TaskScope scope;
    scope.spawn(http(std::move(server), loop.get().after(10s), &detected));
    if (!said.empty()) EXPECT_TRUE(client->try_write(as_bytes(said)));
    loop.advance(9s);
    EXPECT_FALSE(detected);
    loop.advance(1s);
    ASSERT_TRUE(detected && *detected);
    EXPECT_EQ((*detected)->spoken, Spoken::Timeout);
  }
}

TEST(DetectHttp, AClientThatLeavesIsNoProtocol) {
  SimLoop loop;
  auto [client, server] = loop.pipe();
  std::optional<Result<DetectedHttp>> detected;
  net::TaskScope scope;
  scope.spawn(http(std::move(server), loop.get().after(10s), &detected));
  client.reset();
  loop.drain();
  ASSERT_TRUE(detected);
  ASSERT_FALSE(*detected);
  EXPECT_EQ(detected->error().code, Errc::Eof);
}

TEST(DetectTls, PlainTextAndSilence) {
  SimLoop loop;
  auto [client, server] = loop.pipe();
  std::optional<Result<DetectedTls>> detected;
  net::TaskScope scope;
  scope.spawn(tls(std::move(server), loop.get().after(10s), &detected));
  EXPECT_TRUE(client->try_write(as_bytes("GET / HTTP/1.1\r\n")));
  loop.drain();
  ASSERT_TRUE(detected && *detected);
  EXPECT_FALSE((*detected)->tls);
  auto [silent, other] = loop.pipe();
  detected.reset();
  scope.spawn(tls(std::move(other), loop.get().after(10s), &detected));
  loop.advance(10s);
  ASSERT_TRUE(detected);
  ASSERT_FALSE(*detected);
  EXPECT_EQ(detected->error().code, Errc::Timeout);
}

TEST(ServerSpeaksFirst, WhoeverDoes) {
  const auto first = [](const std::function<void(PipeEnd & client, PipeEnd & server)>& act) {
    SimLoop loop;
    auto [client, client_side] = loop.pipe();
    auto [server, server_side] = loop.pipe();
    // Nothing is there yet, and the streams know it.
    std::uint8_t byte[1];
    EXPECT_FALSE(client_side->try_read(byte));
    EXPECT_FALSE(server_side->try_read(byte));
    std::optional<bool> answer;
    net::TaskScope scope;
    scope.spawn([](net::Stream& c, net::Stream& s, Deadline by,
                   std::optional<bool>* out) -> net::Task<void> {
      const bool spoke = co_await server_speaks_first(c, s, by);
      *out = spoke;
    }(*client_side, *server_side, loop.get().after(1s), &answer));
    loop.drain();
    act(*client, *server);
    loop.advance(1s);
    return answer;
  };
  EXPECT_EQ(first([](PipeEnd&, PipeEnd& server) {
              EXPECT_TRUE(server.try_write(as_bytes("220 hello")));
            }),
            true);
  EXPECT_EQ(
      first([](PipeEnd& client, PipeEnd&) { EXPECT_TRUE(client.try_write(as_bytes("GET"))); }),
      false);
  EXPECT_EQ(first([](PipeEnd&, PipeEnd&) {}), false);
}

}  // namespace
}  // namespace tulle::proxy
