// SPDX-License-Identifier: Apache-2.0
#include "proxy/endpoint/http_pool.h"

#include <gtest/gtest.h>

#include "lib/testing/sim.h"

namespace tulle::proxy {
namespace {

using testing::SimLoop;

// Says on which connection a request came.
class App final : public http::Handler {
 public:
  App(net::Loop& loop, int connection) : loop_(loop), connection_(connection) {}
  net::Task<Result<http::Response>> handle(http::Request request) override {
    if (request.path == "/slow") co_await net::sleep_for(loop_, 10s);
    http::Response response = http::make_text_response(loop_, 200, std::to_string(connection_));
    response.close_connection = request.path == "/close";
    co_return response;
  }

 private:
  net::Loop& loop_;
  int connection_;
};

// Every dial makes a connection to an App in memory, or fails as told.
class TestDialer final : public Dialer {
 public:
  explicit TestDialer(SimLoop& loop) : loop_(loop) {}
  net::Task<Result<Dialled>> dial(Session session) override {
    ++dials;
    if (delay != Duration::zero()) co_await net::sleep_for(loop_.get(), delay);
    if (failures > 0) {
      --failures;
      co_return Error{Errc::Refused, "connect", 111};
    }
    auto [ours, theirs] = loop_.pipe();
    apps_.push_back(std::make_unique<App>(loop_.get(), dials));
    if (session == Session::Http2) {
      h2::ServerOptions options;
      options.max_concurrent_streams = max_streams;
      scope_.spawn(h2::serve(std::move(theirs), *apps_.back(), options, drain_));
    } else {
      scope_.spawn(http1::serve(std::move(theirs), *apps_.back(), http1::ServerOptions{}, drain_));
    }
    Dialled dialled;
    dialled.stream = std::move(ours);
    co_return dialled;
  }
  int dials = 0;
  int failures = 0;
  Duration delay{};
  std::uint32_t max_streams = 0;

 private:
  SimLoop& loop_;
  net::Drain drain_;
  std::vector<std::unique_ptr<App>> apps_;
  net::TaskScope scope_;
};

struct HttpPoolTest : ::testing::Test {
  HttpPoolTest() : dialer(loop), pool(loop, dialer, options(), 1) {}
  static PoolOptions options() {
    PoolOptions made;
    made.max_idle = 3;
    return made;
  }
  static http::Request request(std::string_view authority, std::string_view path = "/",
                               bool http2 = false) {
    http::Request made;
    made.method = "GET";
    made.path = path;
    made.authority = authority;
    made.scheme = "http";
    made.version = http2 ? http::Version::Http2 : http::Version::Http11;
    if (!http2 && !authority.empty()) made.headers.add("Host", authority);
    return made;
  }
  // The request lives as long as the exchange.
  static net::Task<Result<http::Response>> over_http1(HttpPool& to, http::Request request,
                                                      bool keep) {
    co_return co_await to.send_http1(request, keep, Deadline::never());
  }
  static net::Task<Result<http::Response>> over_http2(HttpPool& to, http::Request request) {
    co_return co_await to.send_http2(request, Deadline::never());
  }
  static net::Task<void> fetch(net::Task<Result<http::Response>> task, std::string* out) {
    Result<http::Response> response = co_await std::move(task);
    if (!response) {
      *out = std::string(response.error().where);
      co_return;
    }
    std::string body;
    while (!response->body.ended()) {
      body += as_text(response->body.data());
      response->body.consume(response->body.data().size());
      if (!response->body.ready()) {
        [[maybe_unused]] const bool told = co_await response->body.changed();
      }
    }
    *out = body;
  }
  // The connection that served it, or the error.
  std::string get(net::Task<Result<http::Response>> task, Duration within = Duration::zero()) {
    std::string out = "nothing";
    net::TaskScope scope;
    scope.spawn(fetch(std::move(task), &out));
    loop.drain();
    if (within != Duration::zero()) loop.advance(within);
    return out;
  }
  std::string http1(std::string_view authority, std::string_view path = "/", bool keep = true) {
    return get(over_http1(pool, request(authority, path), keep));
  }
  std::string http2() { return get(over_http2(pool, request("web", "/", true))); }

  SimLoop loop;
  TestDialer dialer;
  HttpPool pool;
};

TEST_F(HttpPoolTest, Http1IsKeptByAuthorityAndForm) {
  EXPECT_EQ(http1("a"), "1");
  EXPECT_EQ(http1("a"), "1");
  EXPECT_EQ(http1("b"), "2");
  http::Request absolute = request("a");
  absolute.form = http::TargetForm::Absolute;
  EXPECT_EQ(get(over_http1(pool, std::move(absolute), true)), "3");
  EXPECT_EQ(http1("a"), "1");
  EXPECT_EQ(http1("b"), "2");
}

TEST_F(HttpPoolTest, WhatMayNotBeKeptIsNotAndUsesNothingKept) {
  EXPECT_EQ(http1("a"), "1");
  EXPECT_EQ(http1("a", "/", false), "2");
  EXPECT_EQ(http1("a", "/", false), "3");
  EXPECT_EQ(http1("a"), "1");
  EXPECT_EQ(http1("a", "/close"), "1");  // the application closes it
  EXPECT_EQ(http1("a"), "4");
}

TEST_F(HttpPoolTest, IdleHttp1IsClosedAfterItsTime) {
  EXPECT_EQ(http1("a"), "1");
  loop.advance(2900ms);
  EXPECT_EQ(http1("a"), "1");
  loop.advance(3100ms);
  EXPECT_EQ(pool.open_connections(), 0U);
  EXPECT_TRUE(pool.idle());
  EXPECT_EQ(http1("a"), "2");
}

TEST_F(HttpPoolTest, NoMoreIdleOnesThanAllowed) {
  std::vector<std::string> got(5);
  net::TaskScope scope;
  for (std::string& each : got)
    scope.spawn(fetch(over_http1(pool, request("a", "/slow"), true), &each));
  loop.advance(10s);
  for (const std::string& each : got) EXPECT_NE(each, "nothing");
  EXPECT_EQ(dialer.dials, 5);
  EXPECT_EQ(pool.open_connections(), 3U);
}

TEST_F(HttpPoolTest, Http2SharesOneConnectionUntilItIsFull) {
  dialer.max_streams = 2;
  EXPECT_EQ(http2(), "1");
  std::vector<std::string> got(5);
  net::TaskScope scope;
  for (std::string& each : got) {
    scope.spawn(fetch(over_http2(pool, request("web", "/slow", true)), &each));
    loop.drain();
  }
  loop.advance(10s);
  EXPECT_EQ(got, (std::vector<std::string>{"1", "1", "2", "2", "3"}));
}

TEST_F(HttpPoolTest, ManyThatCannotWaitShareOneDial) {
  dialer.delay = 100ms;
  std::vector<std::string> got(20);
  net::TaskScope scope;
  for (std::string& each : got)
    scope.spawn(fetch(over_http2(pool, request("web", "/", true)), &each));
  loop.advance(100ms);
  EXPECT_EQ(dialer.dials, 1);
  for (const std::string& each : got) EXPECT_EQ(each, "1");
}

TEST_F(HttpPoolTest, Http2ClosesAfterAMinuteIdleAndAnHourOfAge) {
  EXPECT_EQ(http2(), "1");
  loop.advance(59s);
  EXPECT_EQ(http2(), "1");
  loop.advance(61s);
  EXPECT_EQ(pool.open_connections(), 0U);
  EXPECT_EQ(http2(), "2");
  for (int i = 0; i < 3600 / 50 * 12 / 10; ++i) {
    loop.advance(50s);
    EXPECT_NE(http2(), "nothing");
  }
  EXPECT_EQ(dialer.dials, 3);
}

TEST_F(HttpPoolTest, ARefusedDialIsToldAndForgotten) {
  dialer.failures = 1;
  EXPECT_EQ(http2(), "connect");
  EXPECT_EQ(http2(), "2");
}

TEST_F(HttpPoolTest, WhatWasPreparedIsFound) {
  const http::Request one = request("a");
  EXPECT_FALSE(pool.http1_ready(one, true));
  EXPECT_TRUE(*loop.run(pool.prepare_http1(one, true)));
  EXPECT_TRUE(pool.http1_ready(one, true));
  EXPECT_EQ(http1("a"), "1");
  EXPECT_FALSE(pool.http2_ready());
  EXPECT_TRUE(*loop.run(pool.prepare_http2(Deadline::never())));
  EXPECT_TRUE(pool.http2_ready());
  EXPECT_EQ(http2(), "2");
  EXPECT_EQ(dialer.dials, 2);
}

// The application closes a kept connection in the very moment in which a request goes over it.
TEST_F(HttpPoolTest, AKeptConnectionThatIsClosedCostsNoRequest) {
  struct Closing final : Dialer {
    explicit Closing(SimLoop& l) : loop(l) {}
    net::Task<Result<Dialled>> dial(Session) override {
      auto [ours, theirs] = loop.pipe();
      ends.push_back(std::move(theirs));
      Dialled dialled;
      dialled.stream = std::move(ours);
      co_return dialled;
    }
    SimLoop& loop;
    std::vector<std::unique_ptr<testing::PipeEnd>> ends;
  } closing(loop);
  HttpPool kept(loop, closing, {}, 1);
  std::string first = "nothing";
  std::string second = "nothing";
  net::TaskScope scope;
  scope.spawn(fetch(over_http1(kept, request("a"), true), &first));
  loop.drain();
  EXPECT_TRUE(
      closing.ends[0]->try_write(as_bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")));
  loop.drain();
  EXPECT_EQ(first, "1");
  scope.spawn(fetch(over_http1(kept, request("a"), true), &second));
  closing.ends[0].reset();  // what was sent is never read
  loop.drain();
  ASSERT_EQ(closing.ends.size(), 2U);
  EXPECT_EQ(as_text(closing.ends[1]->pending()), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(
      closing.ends[1]->try_write(as_bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")));
  loop.drain();
  EXPECT_EQ(second, "2");
  scope.cancel();
}

TEST_F(HttpPoolTest, DrainingKeepsWhatIsUnderWay) {
  std::string slow = "nothing";
  net::TaskScope scope;
  scope.spawn(fetch(over_http2(pool, request("web", "/slow", true)), &slow));
  EXPECT_EQ(http1("a"), "2");
  loop.drain();
  pool.drain();
  loop.advance(1s);
  EXPECT_EQ(pool.open_connections(), 1U);
  loop.advance(10s);
  EXPECT_EQ(slow, "1");
  EXPECT_EQ(pool.open_connections(), 0U);
}

}  // namespace
}  // namespace tulle::proxy
