// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/detect.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lib/testing/sim.h"

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
  ASSERT_TRUE(detected && *detected);
  EXPECT_EQ((*detected)->spoken, Spoken::Ended);
  EXPECT_FALSE((*detected)->undecided);
  // A reset is the end of it.
  auto [other, theirs] = loop.pipe();
  detected.reset();
  scope.spawn(http(std::move(theirs), loop.get().after(10s), &detected));
  other->abort();
  loop.drain();
  ASSERT_TRUE(detected);
  ASSERT_FALSE(*detected);
  EXPECT_EQ(detected->error().code, Errc::Reset);
}

// A line without an end that no request begins with is decided 20 ms after its last byte.
TEST(DetectHttp, HalfAWordThatIsNoMethodIsNotWaitedFor) {
  for (const std::string& said : {std::string("hello"), std::string("a"), std::string("ruok"),
                                  std::string("SET k"), std::string("\r\n")}) {
    SimLoop loop;
    auto [client, server] = loop.pipe();
    std::optional<Result<DetectedHttp>> detected;
    net::TaskScope scope;
    scope.spawn(http(std::move(server), loop.get().after(10s), &detected));
    loop.advance(5s);
    for (const char& c : said) {
      EXPECT_TRUE(client->try_write(as_bytes({&c, 1})));
      loop.advance(19ms);
      EXPECT_FALSE(detected) << said;
    }
    loop.advance(2ms);
    ASSERT_TRUE(detected && *detected) << said;
    EXPECT_EQ((*detected)->spoken, Spoken::NotHttp) << said;
    EXPECT_TRUE((*detected)->undecided) << said;
  }
}

// A request in single bytes is one, also slowly.
TEST(DetectHttp, SingleBytesWithPauses) {
  for (const std::string& request :
       {std::string("GET / HTTP/1.1\r\n"), std::string("X-ODD /a HTTP/1.1\r\n"),
        std::string("\r\nPOST /a HTTP/1.0\n"), std::string("PRI * HTTP/2.0\r\n")}) {
    SimLoop loop;
    auto [client, server] = loop.pipe();
    std::optional<Result<DetectedHttp>> detected;
    net::TaskScope scope;
    scope.spawn(http(std::move(server), loop.get().after(10s), &detected));
    for (const char& c : request) {
      EXPECT_TRUE(client->try_write(as_bytes({&c, 1})));
      loop.advance(15ms);
    }
    ASSERT_TRUE(detected && *detected) << request;
    EXPECT_EQ((*detected)->spoken, request[0] == 'P' ? Spoken::Http2 : Spoken::Http1) << request;
  }
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

net::Task<void> whoever(net::StreamPtr* client, net::StreamPtr* server, Deadline by,
                        std::optional<First>* out) {
  const First first = co_await who_speaks_first(*client, *server, by);
  *out = first;
}

struct Greeting {
  // `act` once both are listened to; what was heard, and what the server's stream gives afterwards.
  explicit Greeting(const std::function<void(PipeEnd& client, PipeEnd& server)>& act) {
    auto [client, client_side] = loop.pipe();
    auto [server, server_side] = loop.pipe();
    net::StreamPtr from_client = std::move(client_side);
    net::StreamPtr from_server = std::move(server_side);
    // Nothing is there yet, and the streams know it.
    std::uint8_t byte[1];
    EXPECT_FALSE(from_client->try_read(byte));
    EXPECT_FALSE(from_server->try_read(byte));
    std::optional<First> answer;
    net::TaskScope scope;
    scope.spawn(whoever(&from_client, &from_server, loop.get().after(1s), &answer));
    loop.drain();
    act(*client, *server);
    loop.advance(1s);
    if (answer) first = *answer;
    EXPECT_TRUE(answer);
    std::uint8_t room[256];
    for (;;) {
      const Result<std::size_t> n = from_server->try_read(room);
      if (!n || *n == 0) break;
      replayed += as_text(Bytes(room, *n));
    }
  }
  SimLoop loop;
  First first;
  std::string replayed;
};

TEST(WhoSpeaksFirst, OnlyBytesOfAnApplicationAreSpeech) {
  const auto says = [](std::string_view text) {
    return Greeting(
        [text](PipeEnd&, PipeEnd& server) { EXPECT_TRUE(server.try_write(as_bytes(text))); });
  };
  const std::string_view settings("\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", 15);
  const std::string_view empty_settings("\0\0\0\x04\0\0\0\0\0", 9);
  for (const std::string_view greeting :
       {std::string_view("220 hello\r\n"), std::string_view("\x4a\0\0\0\x0a", 5),
        std::string_view("H"), std::string_view("HELO\r\n"), std::string_view("\0\0\0\x05hello", 9),
        std::string_view("\0\0\x07\x04\0\0\0\0\0", 9), std::string_view("*")}) {
    const Greeting heard = says(greeting);
    EXPECT_EQ(heard.first.server_speaks_first(), greeting != "H") << greeting;
    EXPECT_EQ(heard.replayed, greeting);  // nothing is lost, whatever was decided
  }
  for (const std::string_view http :
       {settings, empty_settings, std::string_view("HTTP/1.1 408 Request Timeout\r\n")}) {
    const Greeting heard = says(http);
    EXPECT_EQ(heard.first.server, Heard::Http);
    EXPECT_FALSE(heard.first.server_speaks_first());
    EXPECT_EQ(heard.replayed, http);
  }
  EXPECT_EQ(Greeting([](PipeEnd&, PipeEnd& server) { server.abort(); }).first.server, Heard::Gone);
  EXPECT_EQ(
      Greeting([](PipeEnd&, PipeEnd& server) { EXPECT_TRUE(server.try_shutdown()); }).first.server,
      Heard::Gone);
  EXPECT_EQ(
      Greeting([](PipeEnd& client, PipeEnd&) { EXPECT_TRUE(client.try_shutdown()); }).first.client,
      Heard::Gone);
  EXPECT_EQ(Greeting([](PipeEnd& client, PipeEnd&) {
              EXPECT_TRUE(client.try_write(as_bytes("GET")));
            }).first.client,
            Heard::Bytes);
  EXPECT_FALSE(Greeting([](PipeEnd&, PipeEnd&) {}).first.server_speaks_first());
  // Both at once: the client's word counts.
  EXPECT_FALSE(Greeting([](PipeEnd& client, PipeEnd& server) {
                 EXPECT_TRUE(client.try_write(as_bytes("GET")));
                 EXPECT_TRUE(server.try_write(as_bytes("220")));
               }).first.server_speaks_first());
}

TEST(Undecided, ARequestThatComesAfterAllIsNotPassed) {
  SimLoop loop;
  auto [client, ours] = loop.pipe();
  UndecidedStream stream(std::move(ours));
  std::uint8_t room[100];
  const auto read = [&] { return stream.try_read(room); };
  EXPECT_TRUE(client->try_write(as_bytes("FRO")));
  EXPECT_EQ(*read(), 3U);
  EXPECT_TRUE(client->try_write(as_bytes("B / HTTP/1.1\r\nl5d-client-id: x\r\n")));
  EXPECT_EQ(read().error().code, Errc::Forbidden);
  EXPECT_EQ(read().error().code, Errc::Forbidden);
  ASSERT_TRUE(stream.turned());
  EXPECT_FALSE(stream.http2());
  stream.abort();  // whoever copied gives up: the client does not hear of it
  EXPECT_FALSE(client->peer_aborted());
  const net::StreamPtr again = stream.release();
  const Result<std::size_t> n = again->try_read(room);
  ASSERT_TRUE(n);
  EXPECT_EQ(as_text(Bytes(room, *n)), "FROB / HTTP/1.1\r\nl5d-client-id: x\r\n");
}

TEST(Undecided, ARequestWithMoreThanCanBeKeptIsServedAsHttp) {
  SimLoop loop;
  auto [client, ours] = loop.pipe();
  UndecidedStream stream(std::move(ours));
  const std::string request =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + std::string(40'000, 'x');
  EXPECT_EQ(*client->try_write(as_bytes(request)), request.size());
  std::vector<std::uint8_t> room(192 * 1024);
  EXPECT_EQ(stream.try_read(room).error().code, Errc::Forbidden);
  ASSERT_TRUE(stream.turned());
  const net::StreamPtr again = stream.release();
  std::string all;
  for (;;) {
    const Result<std::size_t> n = again->try_read(room);
    if (!n) break;
    all += as_text(Bytes(room.data(), *n));
  }
  EXPECT_EQ(all, request);
}

TEST(Undecided, OnceTheServerHasAnsweredARequestIsCutOff) {
  SimLoop loop;
  auto [client, ours] = loop.pipe();
  UndecidedStream stream(std::move(ours));
  std::uint8_t room[100];
  EXPECT_TRUE(client->try_write(as_bytes("FRO")));
  EXPECT_TRUE(stream.try_read(room));
  EXPECT_TRUE(stream.try_write(as_bytes("what?")));
  EXPECT_TRUE(client->try_write(as_bytes("B / HTTP/1.1\r\n")));
  EXPECT_EQ(stream.try_read(room).error().code, Errc::Forbidden);
  EXPECT_FALSE(stream.turned());
  stream.abort();
  EXPECT_TRUE(client->peer_aborted());
}

TEST(Undecided, BytesPass) {
  SimLoop loop;
  auto [client, ours] = loop.pipe();
  UndecidedStream stream(std::move(ours));
  std::uint8_t room[100];
  for (const std::string_view piece : {"hel", "lo\n", "GET / HTTP/1.1\r\n"}) {
    EXPECT_TRUE(client->try_write(as_bytes(piece)));
    EXPECT_EQ(*stream.try_read(room), piece.size());
  }
  EXPECT_FALSE(stream.turned());
}

}  // namespace
}  // namespace tulle::proxy
