// SPDX-License-Identifier: Apache-2.0
#include "lib/http1/connection.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "lib/base/text.h"
#include "lib/testing/endless.h"
#include "lib/testing/sim.h"

namespace tulle::http1 {
namespace {

using testing::PipeEnd;
using testing::SimLoop;

// Answers each request with what the function makes of it, after the body was read.
class TestHandler final : public http::Handler {
 public:
  explicit TestHandler(net::Loop& l) : loop(l) {}
  net::Task<Result<http::Response>> handle(http::Request request) override {
    ++calls;
    std::string body;
    while (read_body && !request.body.ended()) {
      if (request.body.failure() != nullptr) co_return *request.body.failure();
      body += as_text(request.body.data());
      request.body.consume(request.body.data().size());
      if (!request.body.ready()) {
        const bool told = co_await request.body.changed();
        EXPECT_TRUE(told);
      }
    }
    if (delay != Duration::zero()) co_await net::sleep_for(loop, delay);
    last_path = std::string(request.path.view());
    last_body = body;
    if (fail) co_return Error{Errc::Io, "test"};
    for (const std::uint16_t hint : informational) {
      http::ResponseHead head;
      head.status = hint;
      head.headers.add("Link", "</a.css>");
      if (request.informational != nullptr)
        request.informational->on_informational(std::move(head));
    }
    if (request.body.has_value()) last_trailers = request.body.trailers();
    if (upgraded != nullptr) {
      http::Response tunnel;
      tunnel.status = 101;
      tunnel.upgraded = std::move(upgraded);
      co_return tunnel;
    }
    if (!trailers.empty()) {
      http::Response streamed;
      streamed.status = status;
      streamed.body = http::make_full_body(loop, as_bytes(body), trailers);
      co_return streamed;
    }
    http::Response response = http::make_text_response(loop, status, "got " + body);
    response.close_connection = close;
    co_return response;
  }
  net::Loop& loop;
  int calls = 0;
  std::uint16_t status = 200;
  bool read_body = true;
  bool fail = false;
  bool close = false;
  Duration delay{};
  std::vector<std::uint16_t> informational;  // sent before the answer
  http::HeaderMap trailers;                  // of the answer
  net::StreamPtr upgraded;                   // answers with 101 and this
  std::string last_path;
  std::string last_body;
  http::HeaderMap last_trailers;
};

struct Fixture : ::testing::Test {
  Fixture() : handler(loop) {
    auto [a, b] = loop.pipe();
    client = std::move(a);
    scope.spawn(serve(std::move(b), handler, {}, drain));
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
  SimLoop loop;
  net::Drain drain;
  TestHandler handler;
  std::unique_ptr<PipeEnd> client;
  net::TaskScope scope;
};

TEST_F(Fixture, ServesOneAfterTheOther) {
  send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string got = received();
  EXPECT_EQ(handler.calls, 2);
  EXPECT_EQ(handler.last_path, "/2");
  EXPECT_EQ(got.find("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\ngot "
                     "HTTP/1.1 200 OK"),
            0U)
      << got;
  EXPECT_FALSE(client->peer_closed());
}

TEST_F(Fixture, ReadsBodiesInAnySlices) {
  const std::string request =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n";
  for (const char c : request) send(std::string_view(&c, 1));
  EXPECT_EQ(handler.calls, 2);
  EXPECT_EQ(handler.last_body, "world");
  EXPECT_NE(received().find("got hello"), std::string::npos);
}

TEST_F(Fixture, AnswersMalformedRequestsAndCloses) {
  send("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
  EXPECT_EQ(received().find("HTTP/1.1 400 Bad Request\r\n"), 0U);
  EXPECT_TRUE(client->peer_closed());
  EXPECT_EQ(handler.calls, 0);
}

TEST_F(Fixture, CodingsThatItDoesNotKnowAreNotImplemented) {
  send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
  EXPECT_EQ(received().find("HTTP/1.1 501 Not Implemented\r\n"), 0U);
  EXPECT_TRUE(client->peer_closed());
  EXPECT_EQ(handler.calls, 0);
}

TEST_F(Fixture, ClosesWhenItShould) {
  handler.close = true;
  send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(received().find("connection: close"), std::string::npos);
  EXPECT_TRUE(client->peer_closed());
}

TEST_F(Fixture, AClientThatAskedForTheEndGetsIt) {
  send(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: "
      "a\r\n\r\n");
  EXPECT_NE(received().find("connection: close"), std::string::npos);
  EXPECT_TRUE(client->peer_closed());
  EXPECT_EQ(handler.calls, 1);
}

// A tunnel has taken the connection away from who began it: draining must not look for it there.
TEST_F(Fixture, ATunnelOutlivesADrain) {
  auto [ours, theirs] = loop.pipe();
  handler.upgraded = std::move(ours);
  send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_EQ(received().find("HTTP/1.1 101 "), 0U);
  drain.start();
  loop.drain();
  send("ping");
  EXPECT_EQ(as_text(theirs->pending()), "ping");
  EXPECT_TRUE(theirs->try_shutdown());
  EXPECT_TRUE(client->try_shutdown());
  loop.drain();
  EXPECT_TRUE(client->peer_closed());
  EXPECT_TRUE(scope.empty());
}

TEST_F(Fixture, InformationalResponsesGoFirst) {
  handler.informational = {100, 103, 103};
  send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
  EXPECT_EQ(received().find("HTTP/1.1 100 Continue\r\nLink: </a.css>\r\n\r\n" + hint + hint +
                            "HTTP/1.1 200 OK\r\n"),
            0U);
  send("GET / HTTP/1.0\r\n\r\n");  // knows of none (RFC 9110 §15.2)
  EXPECT_EQ(received().find("HTTP/1.0 200 OK\r\n"), 0U);
}

TEST_F(Fixture, TrailersGoBothWays) {
  handler.trailers.add("X-Sum", "2");
  send(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: "
      "1\r\n\r\n");
  EXPECT_EQ(handler.last_body, "hi");
  EXPECT_EQ(handler.last_trailers.get("x-sum"), "1");
  EXPECT_TRUE(
      received().ends_with("transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 2\r\n\r\n"));
  EXPECT_FALSE(client->peer_closed());
}

// What a smuggler hides behind a request that two parsers end differently is never taken for a
// request.
TEST_F(Fixture, NothingIsSmuggledBehindARequest) {
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (const std::string& request : {
           post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
           post + "Content-Length: 0\r\nContent-Length: 40\r\n\r\n" + hidden,
           post + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + hidden,
           post + "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\n0\r\n\r\n" + hidden,
           post +
               "Transfer-Encoding:\x0b"
               "chunked\r\n\r\n0\r\n\r\n" +
               hidden,
           post + "X: a\r\n Content-Length: 40\r\n\r\n" + hidden,
           post + "X: a\nContent-Length: 40\r\n\r\n" + hidden,
       }) {
    auto [mine, theirs] = loop.pipe();
    client = std::move(mine);
    scope.spawn(serve(std::move(theirs), handler, {}, drain));
    send(request);
    const std::string got = received();
    EXPECT_EQ(got.find("HTTP/1.1 400 Bad Request\r\n"), 0U) << request;
    EXPECT_EQ(got.rfind("HTTP/1.1 "), 0U) << request;
    EXPECT_NE(handler.last_path, "/hidden") << request;
    EXPECT_TRUE(client->peer_closed()) << request;
  }
}

TEST_F(Fixture, OldClientsGetOldAnswers) {
  send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(received().find("HTTP/1.0 200 OK"), 0U);
  EXPECT_TRUE(client->peer_closed());
}

TEST_F(Fixture, HeadHasNoBody) {
  send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string got = received();
  EXPECT_EQ(got.find("got"), got.rfind("got"));
  EXPECT_EQ(handler.calls, 2);
}

TEST_F(Fixture, DrainEndsIdleConnectionsAtOnceAndBusyOnesAfterTheirAnswer) {
  handler.delay = 1s;
  send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  drain.start();
  loop.drain();
  EXPECT_FALSE(client->peer_closed());
  loop.advance(1100ms);
  EXPECT_NE(received().find("connection: close"), std::string::npos);
  EXPECT_TRUE(client->peer_closed());
}

TEST_F(Fixture, AResetCancelsTheHandler) {
  handler.delay = 1h;
  send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(scope.size(), 1U);
  client->abort();
  loop.advance(1s);
  EXPECT_TRUE(scope.empty());
}

TEST_F(Fixture, AnEarlyAnswerDoesNotWaitForTheUpload) {
  handler.read_body = false;
  handler.status = 413;
  send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome");
  EXPECT_EQ(received().find("HTTP/1.1 413"), 0U);
  loop.advance(2s);
  EXPECT_TRUE(client->peer_closed());
}

struct ClientFixture : ::testing::Test {
  ClientFixture() { open(); }
  void open() {
    auto [a, b] = loop.pipe();
    server = std::move(b);
    connection = ClientConnection::make(std::move(a));
  }
  static net::Task<void> run(ClientConnection* connection, http::Request request, Deadline by,
                             std::optional<Result<http::Response>>* out) {
    out->emplace(co_await connection->send(std::move(request), by));
  }
  void start(http::Request request = get()) {
    response.reset();
    scope.spawn(run(connection.get(), std::move(request), loop.get().after(5s), &response));
    loop.drain();
  }
  static http::Request get() {
    http::Request request;
    request.method = "GET";
    request.path = "/";
    request.headers.add("Host", "a");
    return request;
  }
  std::string asked() {
    std::string got(as_text(server->pending()));
    std::uint8_t buffer[65536];
    if (!server->pending().empty()) (void)server->try_read(buffer);
    return got;
  }
  void answer(std::string_view text) {
    EXPECT_TRUE(server->try_write(as_bytes(text)));
    loop.drain();
  }
  SimLoop loop;
  std::unique_ptr<PipeEnd> server;
  std::unique_ptr<ClientConnection> connection;
  std::optional<Result<http::Response>> response;
  net::TaskScope scope;
};

TEST_F(ClientFixture, CarriesRequestsOneAfterTheOther) {
  for (int i = 0; i < 3; ++i) {
    start();
    EXPECT_EQ(asked(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    ASSERT_TRUE(response && *response);
    EXPECT_EQ(as_text((*response)->body.data()), "ok");
    EXPECT_TRUE((*response)->body.complete());
    EXPECT_TRUE(connection->reusable());
  }
}

TEST_F(ClientFixture, StreamsLongBodies) {
  start();
  answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  ASSERT_TRUE(response && *response);
  EXPECT_FALSE((*response)->body.complete());
  EXPECT_FALSE(connection->idle());
  answer("3\r\ndef\r\n0\r\nX-T: 1\r\n\r\n");
  EXPECT_EQ(as_text((*response)->body.data()), "abcdef");
  EXPECT_TRUE((*response)->body.complete());
  EXPECT_EQ((*response)->body.trailers().get("x-t"), "1");
  EXPECT_TRUE(connection->reusable());
}

TEST_F(ClientFixture, AServerThatEndsItIsNotAskedAgain) {
  start();
  answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  ASSERT_TRUE(response && *response);
  EXPECT_TRUE((*response)->body.complete());
  EXPECT_TRUE(connection->idle());
  EXPECT_FALSE(connection->reusable());
}

TEST_F(ClientFixture, InformationalResponsesComeFirst) {
  struct Sink final : http::InformationalSink {
    void on_informational(http::ResponseHead head) override { seen.push_back(head.status); }
    std::vector<std::uint16_t> seen;
  } sink;
  http::Request request = get();
  request.informational = &sink;
  start(std::move(request));
  const std::string wire =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 "
      "OK\r\nContent-Length: 2\r\n\r\nok";
  for (const char c : wire) answer(std::string_view(&c, 1));
  ASSERT_TRUE(response && *response);
  EXPECT_EQ(sink.seen, (std::vector<std::uint16_t>{100, 103}));
  EXPECT_EQ((*response)->status, 200);
  EXPECT_TRUE(connection->reusable());
  start();  // without a sink they are left out
  answer("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
  ASSERT_TRUE(response && *response);
  EXPECT_EQ((*response)->status, 204);
  start();  // an upgrade that nobody asked for
  answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->error().code, Errc::Protocol);
  EXPECT_FALSE(connection->reusable());
}

TEST_F(ClientFixture, TrailersGoOut) {
  http::HeaderMap trailers;
  trailers.add("X-Sum", "1");
  http::Request request = get();
  request.method = "POST";
  request.body = http::make_full_body(loop, as_bytes("hi"), std::move(trailers));
  start(std::move(request));
  EXPECT_EQ(asked(),
            "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: "
            "chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n");
}

TEST_F(ClientFixture, ABodyUntilCloseEndsTheConnection) {
  start();
  answer("HTTP/1.0 200 OK\r\n\r\nall of it");
  ASSERT_TRUE(response && *response);
  EXPECT_TRUE(server->try_shutdown());
  loop.drain();
  EXPECT_TRUE((*response)->body.complete());
  EXPECT_FALSE(connection->reusable());
}

// RFC 9110 §9.2: what may be asked again after a connection closed with no answer.
struct ClosedConnection : ClientFixture {
  Errc closed(std::string_view method, bool kept, std::string_view part = "") {
    if (kept) {
      start();
      answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      EXPECT_TRUE(connection->reusable());
    }
    http::Request request = get();
    request.method = method;
    start(std::move(request));
    asked();
    if (!part.empty()) answer(part);
    server.reset();
    loop.drain();
    EXPECT_TRUE(response && !*response);
    return response && !*response ? response->error().code : Errc::Internal;
  }
};

TEST_F(ClosedConnection, KeptAndIdempotent) { EXPECT_EQ(closed("DELETE", true), Errc::Refused); }
TEST_F(ClosedConnection, KeptAndNotIdempotent) { EXPECT_EQ(closed("POST", true), Errc::Eof); }
TEST_F(ClosedConnection, KeptAndHalfAnswered) {
  EXPECT_EQ(closed("GET", true, "HTTP/1.1 200"), Errc::Eof);
}
TEST_F(ClosedConnection, FreshAndSafe) { EXPECT_EQ(closed("GET", false), Errc::Unanswered); }
TEST_F(ClosedConnection, FreshAndNotSafe) { EXPECT_EQ(closed("DELETE", false), Errc::Eof); }
TEST_F(ClosedConnection, FreshAndHalfAnswered) {
  EXPECT_EQ(closed("GET", false, "HTTP/1.1 200"), Errc::Eof);
}

TEST_F(ClientFixture, TimesOutAndIsNotUsedAgain) {
  start();
  loop.advance(6s);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->error().code, Errc::Timeout);
  EXPECT_FALSE(connection->reusable());
}

TEST_F(ClientFixture, UpgradesGiveTheStreamAway) {
  http::Request request = get();
  request.headers.add("connection", "upgrade");
  request.headers.add("upgrade", "websocket");
  request.wants_upgrade = true;
  start(std::move(request));
  answer(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nfirst");
  ASSERT_TRUE(response && *response);
  ASSERT_TRUE((*response)->upgraded);
  std::uint8_t buffer[16];
  const Result<std::size_t> n = (*response)->upgraded->try_read(buffer);
  ASSERT_TRUE(n);
  EXPECT_EQ(as_text(Bytes(buffer, *n)), "first");
  EXPECT_FALSE(connection->reusable());
}

// Where a server could see the end of its answer elsewhere, nothing may follow on that connection.
TEST_F(ClientFixture, AnAnswerWhoseEndIsUncertainEndsTheConnection) {
  struct Case {
    const char* method;
    const char* answer;
    bool kept;
  };
  for (const Case& each : {
           Case{"GET", "200 OK\r\nContent-Length: 0", true},
           Case{"HEAD", "200 OK", true},
           Case{"HEAD", "200 OK\r\nContent-Length: 0", true},
           Case{"HEAD", "200 OK\r\nContent-Length: 5", false},
           Case{"HEAD", "200 OK\r\nTransfer-Encoding: chunked", false},
           Case{"head", "200 OK\r\nContent-Length: 0", false},
           Case{"connect", "200 OK\r\nContent-Length: 0", false},
           Case{"GET", "204 No Content", true},
           Case{"GET", "204 No Content\r\nContent-Length: 5", false},
           Case{"GET", "204 No Content\r\nContent-Length: 0", true},
           Case{"GET", "304 Not Modified", true},
           Case{"GET", "304 Not Modified\r\nContent-Length: 5", false},
           Case{"GET", "304 Not Modified\r\nTransfer-Encoding: chunked", false},
       }) {
    open();
    http::Request request = get();
    request.method = each.method;
    start(std::move(request));
    answer(concat("HTTP/1.1 ", each.answer, "\r\n\r\n"));
    ASSERT_TRUE(response && *response) << each.method << each.answer;
    EXPECT_EQ(connection->reusable(), each.kept) << each.method << each.answer;
  }
}

// One refusal of ours, not one byte to the server.
TEST_F(ClientFixture, WhatWouldBeReadAnotherWayIsNotSent) {
  http::Request connect = get();
  connect.method = "CONNECT";
  connect.path = "";
  start(std::move(connect));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->error().code, Errc::Invalid);
  EXPECT_EQ(asked(), "");
  EXPECT_TRUE(connection->reusable());
}

TEST_F(ClientFixture, UnaskedBytesEndTheConnection) {
  start();
  answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(response && *response);
  EXPECT_FALSE(connection->reusable());
}

// Requests that are all there already do not keep other connections waiting.
TEST(Pipelining, LetsOthersHaveTheirTurn) {
  auto loop = net::Loop::create();
  ASSERT_TRUE(loop);
  TestHandler handler(**loop);
  net::Drain drain;
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  auto stream =
      std::make_unique<testing::EndlessStream>(**loop, "", request, 5000 * request.size());
  net::TaskScope scope;
  scope.spawn(serve(std::move(stream), handler, {}, drain));
  for (int turn = 1; turn <= 3; ++turn) {
    (*loop)->run_once(0ms);
    EXPECT_LE(handler.calls, (turn + 1) * 64);
  }
  while (handler.calls < 5000) (*loop)->run_once(1h);
}

}  // namespace
}  // namespace tulle::http1
