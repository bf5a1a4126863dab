// SPDX-License-Identifier: Apache-2.0
// What a server's guard keeps its clients to: heads that end, requests that come, places that say
// what happens.
#include <gtest/gtest.h>

#include "lib/http1/connection.h"
#include "lib/testing/sim.h"

namespace tulle::http1 {
namespace {

using testing::PipeEnd;
using testing::SimLoop;

class Slow final : public http::Handler {
 public:
  explicit Slow(net::Loop& l) : loop(l) {}
  net::Task<Result<http::Response>> handle(http::Request request) override {
    const http::Request kept = std::move(request);
    if (delay != Duration::zero()) co_await net::sleep_for(loop, delay);
    co_return http::make_text_response(loop, 200, "ok");
  }
  net::Loop& loop;
  Duration delay{};
};

class Seen final : public net::Place {
 public:
  explicit Seen(net::Admission& admission) : Place(admission, net::IpAddr::v4(0x0A000001)) {}
  bool gone = false;

 private:
  void give_way() override { gone = true; }
};

struct Guarded : ::testing::Test {
  Guarded() : handler(loop) {
    auto [a, b] = loop.pipe();
    client = std::move(a);
    ServerOptions options;
    options.guard.heads = &heads;
    options.guard.client = net::IpAddr::v4(0x0A000001);
    options.guard.place = &place;
    options.guard.head_time = 10s;
    options.guard.idle_time = 60s;
    scope.spawn(serve(std::move(b), handler, options, drain));
  }
  void send(std::string_view text) {
    EXPECT_TRUE(client->try_write(as_bytes(text)));
    loop.drain();
  }
  std::string received() {
    loop.drain();
    std::string got(as_text(client->pending()));
    std::uint8_t buffer[65536];
    while (client->try_read(buffer) && !client->pending().empty()) {
    }
    return got;
  }
  bool idle() {  // the one place gives way only while idle
    return admission.admit(net::IpAddr::v4(0x0A000002)) && place.gone;
  }
  static constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  SimLoop loop;
  net::Drain drain;
  net::HeldBytes heads{100'000};
  net::Admission admission{{.total = 1, .per_source = 1}};
  Seen place{admission};
  Slow handler;
  std::unique_ptr<PipeEnd> client;
  net::TaskScope scope;
};

// Clients that end their requests with one empty line too many (RFC 9112 §2.2) are idle after it: a
// 408 would be taken for the answer to the next request.
TEST_F(Guarded, AnEmptyLineIsNoHead) {
  send(std::string(kGet) + "\r\n");
  EXPECT_EQ(received().substr(0, 12), "HTTP/1.1 200");
  loop.advance(70s);
  EXPECT_TRUE(client->peer_closed());
  EXPECT_EQ(received(), "");
}

TEST_F(Guarded, AHeadThatDoesNotEndIsAnsweredAndClosed) {
  send("GET / HTTP/1.1\r\nHos");
  EXPECT_EQ(heads.total(), 19U);
  for (int i = 0; i < 4; ++i) {  // a byte now and then is no new beginning
    loop.advance(2s);
    send("t");
  }
  EXPECT_EQ(received(), "");
  loop.advance(2100ms);
  EXPECT_EQ(received().find("HTTP/1.1 408 "), 0U);
  EXPECT_TRUE(client->peer_closed());
  EXPECT_EQ(heads.total(), 0U);
}

TEST_F(Guarded, ALaterHeadHasItsOwnTime) {
  for (int i = 0; i < 3; ++i) {
    send(kGet.substr(0, 10));
    loop.advance(8s);
    send(kGet.substr(10));
    EXPECT_EQ(received().find("HTTP/1.1 200 "), 0U);
    EXPECT_EQ(heads.total(), 0U);
  }
  // Also one that begins in the bytes of the request before it.
  send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET");
  EXPECT_EQ(heads.total(), 3U);
  loop.advance(11s);
  EXPECT_NE(received().find("HTTP/1.1 408 "), std::string::npos);
}

TEST_F(Guarded, AnIdleConnectionEndsWithoutAWord) {
  loop.advance(59s);
  EXPECT_FALSE(client->peer_closed());
  send(kGet);
  EXPECT_EQ(received().find("HTTP/1.1 200 "), 0U);
  loop.advance(59s);
  EXPECT_FALSE(client->peer_closed());
  loop.advance(2s);
  EXPECT_TRUE(client->peer_closed());
  EXPECT_EQ(received(), "");
}

TEST_F(Guarded, ARequestUnderWayHasAllTime) {
  handler.delay = 1h;
  send(kGet);
  loop.advance(59min);
  EXPECT_FALSE(client->peer_closed());
  EXPECT_FALSE(idle());
  loop.advance(70s);
  EXPECT_EQ(received().find("HTTP/1.1 200 "), 0U);
  EXPECT_TRUE(idle());
}

TEST_F(Guarded, TheOldestHeadOfAllGivesWay) {
  send("GET / HTTP/1.1\r\nX: " + std::string(50'000, 'x'));
  EXPECT_GT(heads.total(), 50'000U);
  struct Other final : net::HeldBytes::Holder {
    Other(net::HeldBytes& held, std::uint32_t client) : Holder(&held, net::IpAddr::v4(client)) {}
    void give_way() override { gone = true; }
    bool gone = false;
  } second(heads, 0x0A000002), third(heads, 0x0A000003);
  second.hold(30'000);
  third.hold(30'000);
  loop.drain();
  EXPECT_TRUE(client->peer_closed());
  EXPECT_FALSE(second.gone || third.gone);
  EXPECT_EQ(heads.total(), 60'000U);
}

}  // namespace
}  // namespace tulle::http1
