// SPDX-License-Identifier: Apache-2.0
// Requests through the inbound proxy, with the application and the peers in memory.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "lib/base/text.h"
#include "lib/h2/connection.h"
#include "lib/h2/hpack.h"
#include "lib/h2/wire.h"
#include "lib/http1/connection.h"
#include "proxy/config/limits.h"
#include "proxy/inbound/session.h"
#include "proxy/protocol/orig_proto.h"
#include "proxy/testing/raw_app.h"

namespace tulle::proxy {
namespace {

using test::addr;
using test::kPlainAnswer;
using test::kTarget;
using test::open_policy;
using test::RawApp;
using test::TestWorker;
using test::text_of;
using testing::PipeEnd;

struct Inbound : ::testing::Test {
  void serve(bool http2 = false, const Peer& peer = test::peer("10.0.0.9"),
             ServerPolicyPtr policy = open_policy()) {
    serve_on(http2, peer, std::move(policy), nullptr);
  }
  void serve_on(bool http2, const Peer& peer, ServerPolicyPtr policy,
                std::unique_ptr<PipeEnd> stream) {
    world.publish(kTarget.port, std::move(policy));
    if (stream == nullptr) {
      auto [ours, theirs] = world.loop().pipe();
      client = std::move(ours);
      stream = std::move(theirs);
    }
    InboundSession session{
        world.worker(), kTarget,           world.worker().server_policies().acquire(kTarget.port),
        peer,           std::move(stream), world.worker().inbound_targets().at(kTarget)};
    world.loop().drain();
    scope.spawn(serve_inbound_http(std::move(session), http2));
    world.loop().drain();
  }
  void send(std::string_view text) {
    EXPECT_TRUE(client->try_write(as_bytes(text)));
    world.loop().drain();
  }
  std::string received() {
    world.loop().drain();
    return text_of(*client);
  }
  // One request with an answer of the application's.
  std::string exchange(std::string_view request, std::string_view answer = kPlainAnswer) {
    send(request);
    seen = app.received();
    if (!app.connections.empty() && !seen.empty()) app.send(answer);
    return received();
  }
  TestWorker world;
  RawApp app;
  std::unique_ptr<PipeEnd> client;
  std::string seen;
  net::TaskScope scope;
};

TEST_F(Inbound, BytesOfAHeadPassAsTheyAre) {
  app.attach(world);
  serve();
  const std::string request =
      "POST /a?b=c HTTP/1.1\r\naccept: */*\r\nHOST: web\r\nX-ODD-Case: 1\r\nContent-Length: "
      "3\r\nx-b: 2\r\n\r\nabc";
  const std::string answer =
      "HTTP/1.1 299 Fine Enough\r\nETag: 1\r\ncontent-length: 2\r\nX-Y: z\r\n\r\nhi";
  EXPECT_EQ(exchange(request, answer), answer);
  EXPECT_EQ(seen, request);
}

TEST_F(Inbound, AHeadThatDoesNotEndHasItsTime) {
  serve();
  send("GET / HTTP/1.1\r\nHost: web\r\nX: a");
  world.loop().advance(29s);
  send("b");
  EXPECT_FALSE(client->peer_closed());
  world.loop().advance(2s);
  EXPECT_EQ(received().find("HTTP/1.1 408 "), 0U);
  EXPECT_TRUE(client->peer_closed());
}

// Thousands of clients that send most of a head once held 60 KB each.
TEST_F(Inbound, HeadsThatDoNotEndShareABound) {
  app.attach(world);
  std::vector<std::unique_ptr<PipeEnd>> clients;
  const net::HeldBytes& unfinished = world.worker().unfinished();
  for (int i = 0; i < 300; ++i) {
    serve(false, test::peer("10.0.1." + std::to_string(i % 5)));
    send("GET / HTTP/1.1\r\nHost: web\r\nX: " + std::string(55'000, 'x'));
    clients.push_back(std::move(client));
    EXPECT_LE(unfinished.total(), std::size_t{8} * 1024 * 1024);
  }
  EXPECT_GT(unfinished.total(), std::size_t{4} * 1024 * 1024);
  EXPECT_TRUE(clients.front()->peer_closed());
  EXPECT_FALSE(clients.back()->peer_closed());
  serve();
  EXPECT_NE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").find("200 OK"), std::string::npos);
  // What is idle between requests has all time, and counts for nothing.
  clients.clear();
  world.loop().advance(1h);
  EXPECT_EQ(unfinished.total(), 0U);
  EXPECT_FALSE(client->peer_closed());
}

TEST_F(Inbound, HopHeadersAndForgedIdentitiesAreTakenOut) {
  app.attach(world);
  serve();
  exchange(
      "GET / HTTP/1.1\r\nHost: web\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: "
      "5\r\nProxy-Connection: x\r\n"
      "L5d-Client-Id: forged\r\nUpgrade: h2c\r\nHttp2-Settings: x\r\nX-Stay: 1\r\n\r\n");
  EXPECT_EQ(seen, "GET / HTTP/1.1\r\nHost: web\r\nX-Stay: 1\r\n\r\n");
}

TEST_F(Inbound, WhatApplicationsTakeForFramingIsTakenOut) {
  app.attach(world);
  serve();
  exchange(
      "POST / HTTP/1.1\r\nHost: web\r\nTransfer_Encoding: chunked\r\nContent_Length: 9\r\n"
      "Content-Length: 2\r\ncontent.length: 7\r\nX-Content-Length: 1\r\n\r\nhi");
  EXPECT_EQ(seen,
            "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\nX-Content-Length: 1\r\n\r\nhi");
}

TEST_F(Inbound, TheClientsIdentityIsTold) {
  app.attach(world);
  serve(false, test::peer("10.0.0.9", "client.shop.id"));
  exchange("GET / HTTP/1.1\r\nHost: web\r\nl5d-client-id: forged\r\n\r\n");
  EXPECT_EQ(seen, "GET / HTTP/1.1\r\nHost: web\r\nl5d-client-id: client.shop.id\r\n\r\n");
  EXPECT_EQ(
      world.value("inbound_http_authz_allow_total{target_addr=\"10.0.0.5:8080\",target_ip=\"10.0.0."
                  "5\",target_port=\"8080\","
                  "srv_group=\"policy.linkerd.io\",srv_kind=\"server\",srv_name=\"web-http\",srv_"
                  "port=\"8080\","
                  "route_group=\"\",route_kind=\"default\",route_name=\"default\","
                  "authz_group=\"\",authz_kind=\"default\",authz_name=\"all-unauthenticated\","
                  "tls=\"true\",client_id=\"client.shop.id\"}"),
      1);
}

TEST_F(Inbound, RequestsAreCountedInTheirFamilies) {
  app.attach(world);
  serve();
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 200"));
  const std::string endpoint =
      "direction=\"inbound\",target_addr=\"10.0.0.5:8080\",target_ip=\"10.0.0.5\",target_port="
      "\"8080\","
      "tls=\"no_identity\",no_tls_reason=\"no_tls_from_remote\","
      "srv_group=\"policy.linkerd.io\",srv_kind=\"server\",srv_name=\"web-http\",srv_port=\"8080\","
      "route_group=\"\",route_kind=\"default\",route_name=\"default\","
      "authz_group=\"\",authz_kind=\"default\",authz_name=\"all-unauthenticated\"";
  EXPECT_EQ(world.value("request_total{" + endpoint + "}"), 1);
  EXPECT_EQ(
      world.value("response_total{" + endpoint +
                  ",status_code=\"200\",classification=\"success\",grpc_status=\"\",error=\"\"}"),
      1);
  EXPECT_EQ(world.value("response_latency_ms_count{" + endpoint + ",status_code=\"200\"}"), 1);
  const std::string route =
      "parent_group=\"policy.linkerd.io\",parent_kind=\"server\",parent_name=\"web-http\",parent_"
      "port=\"8080\","
      "route_group=\"\",route_kind=\"default\",route_name=\"default\"";
  EXPECT_EQ(world.value("inbound_http_requests_total{" + route + "}"), 1);
  EXPECT_EQ(world.value("inbound_http_statuses_total{" + route + ",status=\"200\"}"), 1);
  EXPECT_EQ(world.value("inbound_http_response_frame_size_bytes_count{" + route + "}"), 1);
  EXPECT_EQ(world.value("inbound_http_request_duration_seconds_count{" + route + "}"), 1);
}

// A connection that rests longer than the application's connections are kept finds its target
// again.
TEST_F(Inbound, AClientThatRestsComesBack) {
  app.attach(world);
  serve();
  EXPECT_TRUE(exchange("GET /1 HTTP/1.1\r\nHost: web\r\n\r\n").ends_with("hi"));
  world.loop().advance(60s);
  EXPECT_TRUE(exchange("GET /2 HTTP/1.1\r\nHost: web\r\n\r\n").ends_with("hi"));
  EXPECT_EQ(world.dials(), 2);
}

TEST_F(Inbound, WhoIsNotAdmittedIsToldSoAndCounted) {
  app.attach(world);
  serve(false, test::peer("10.0.0.9"), open_policy([](ServerPolicy& policy) {
          for (Authorization& each : policy.routes[0].authorizations)
            each.kind = Authorization::Kind::TlsAuthenticated;
        }));
  const std::string answer = exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  EXPECT_EQ(
      answer,
      "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");  // nothing more for who is not meshed
  EXPECT_EQ(world.dials(), 0);
  EXPECT_NE(world.scrape().find("inbound_http_authz_deny_total{target_addr="), std::string::npos);
}

TEST_F(Inbound, MeshedPeersHearWhy) {
  app.attach(world);
  serve(false, test::peer("10.0.0.9", "client.shop.id"),
        open_policy([](ServerPolicy& policy) { policy.routes.clear(); }));
  EXPECT_EQ(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n"),
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nl5d-proxy-error: no route found for "
            "request\r\n\r\n");
}

TEST_F(Inbound, PolicyThatCannotBeUsedFailsClosed) {
  app.attach(world);
  serve(false, test::peer("127.0.0.1"),
        open_policy([](ServerPolicy& policy) { policy.invalid = "no protocol"; }));
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 500"));
  EXPECT_EQ(world.dials(), 0);
}

TEST_F(Inbound, FiltersApply) {
  app.attach(world);
  serve(false, test::peer("10.0.0.9"), open_policy([](ServerPolicy& policy) {
          Filter edit;
          edit.kind = Filter::Kind::RequestHeaders;
          edit.edit.set = {{"x-set", "1"}};
          policy.routes[0].rules[0].filters = {edit};
        }));
  exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  EXPECT_NE(seen.find("x-set: 1\r\n"), std::string::npos);
  const auto with = [&](Filter filter) {
    world.publish(kTarget.port, open_policy([&](ServerPolicy& policy) {
                    policy.routes[0].rules[0].filters = {filter};
                  }));
    return exchange("GET /a HTTP/1.1\r\nHost: web\r\n\r\n");
  };
  Filter redirect;
  redirect.kind = Filter::Kind::Redirect;
  redirect.redirect.scheme = "https";
  redirect.redirect.status = 302;
  EXPECT_NE(with(redirect).find("location: https://web/a\r\n"), std::string::npos);
  Filter fail;
  fail.kind = Filter::Kind::Fail;
  fail.status = 418;
  EXPECT_TRUE(with(fail).starts_with("HTTP/1.1 418"));
  EXPECT_TRUE(with(Filter{}).starts_with("HTTP/1.1 500"));  // one that we do not know
}

TEST_F(Inbound, RateLimitsAreEnforced) {
  app.attach(world);
  serve(false, test::peer("10.0.0.9"), open_policy([](ServerPolicy& policy) {
          policy.rate_limit = std::make_shared<RateLimit>(RateLimit::Spec{
              Meta{"policy.linkerd.io", "HTTPLocalRateLimitPolicy", "", "rl", "", 0}, 1, 0, {}});
        }));
  world.loop().advance(10s);
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 429"));
  EXPECT_NE(world.scrape().find(
                "ratelimit_group=\"policy.linkerd.io\",ratelimit_kind=\"HTTPLocalRateLimitPolicy\","
                "ratelimit_name=\"rl\",ratelimit_scope=\"total\",tls=\"no_identity\""),
            std::string::npos);
  world.loop().advance(1s);
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 200"));
}

TEST_F(Inbound, AnApplicationThatRefusesIs502AndTheConnectionCloses) {
  serve();
  const std::string answer = exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n")) << answer;
  EXPECT_NE(answer.find("connection: close\r\n"), std::string::npos);
  EXPECT_EQ(
      world.value("inbound_http_errors_total{error=\"i/"
                  "o\",target_addr=\"10.0.0.5:8080\",target_ip=\"10.0.0.5\",target_port=\"8080\","
                  "srv_group=\"policy.linkerd.io\",srv_kind=\"server\",srv_name=\"web-http\",srv_"
                  "port=\"8080\"}"),
      1);
}

TEST_F(Inbound, TooManyAtOnceAreShed) {
  app.attach(world);
  serve();
  world.worker().wide().in_flight_inbound = 100'000;
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 503"));
}

// What an application says and nobody can read is its fault, and a peer hears what was wrong.
TEST_F(Inbound, AnswersThatCannotBeReadAre502WithAReason) {
  struct Case {
    std::string_view answer;
    std::string_view reason;
  };
  for (const Case& c : {Case{"HELLO\r\n\r\n", "a malformed status line"},
                        Case{"HTTP/1.1 2x0 OK\r\n\r\n", "a malformed status"},
                        Case{"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a malformed header name"},
                        Case{"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "a folded header line"},
                        Case{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                             "different content-lengths"},
                        Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
                             "an unusable transfer-encoding"},
                        Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                             "a malformed chunk size"}}) {
    app.connections.clear();
    app.attach(world);
    serve(false, test::peer("10.0.0.9", "client.shop.id"));
    const std::string got = exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n", c.answer);
    EXPECT_TRUE(got.starts_with("HTTP/1.1 502 ")) << c.answer << got;
    EXPECT_NE(got.find("l5d-proxy-error: " + std::string(c.reason) + "\r\n"), std::string::npos)
        << c.answer << got;
  }
}

// After framing that had to be set right the application's connection is not used again.
TEST_F(Inbound, LenientFramingOfAnswersPassesAndEndsTheConnection) {
  app.attach(world);
  serve();
  EXPECT_EQ(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n",
                     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: "
                     "chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
  EXPECT_EQ(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n",
                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, "
                     "chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-encoding: "
            "gzip\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
  EXPECT_EQ(world.dials(), 2);
}

TEST_F(Inbound, Http10AndRequestsWithoutHostAreNotKept) {
  app.attach(world);
  serve();
  EXPECT_EQ(exchange("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\n").substr(0, 17),
            "HTTP/1.0 200 OK\r\n");
  EXPECT_EQ(seen, "GET / HTTP/1.0\r\n\r\n");
}

// HTTP/1 carried over HTTP/2 by a proxy of ours, of another kind, and what is never carried.
struct OverHttp2 : Inbound {
  void connect(const Peer& peer = test::peer("10.0.0.9", "client.shop.id")) {
    auto [ours, theirs] = world.loop().pipe();
    h2 = h2::ClientConnection::make(std::move(ours), {});
    serve_on(true, peer, open_policy(), std::move(theirs));
  }
  static net::Task<void> fetch(h2::ClientConnection* connection, http::Request request,
                               std::optional<Result<http::Response>>* out) {
    out->emplace(co_await connection->send(std::move(request), Deadline::never()));
  }
  void start(std::vector<std::pair<std::string, std::string>> headers) {
    http::Request request = test::request("GET", "/a", "web", std::move(headers));
    request.version = http::Version::Http2;
    request.scheme = "http";
    answer.reset();
    scope.spawn(fetch(h2.get(), std::move(request), &answer));
    world.loop().drain();
  }
  std::unique_ptr<h2::ClientConnection> h2;
  std::optional<Result<http::Response>> answer;
};

TEST_F(OverHttp2, OursRestoresSpelling) {
  app.attach(world);
  connect();
  start({{"user-agent", "x"}, {"dnt", "1"}, {"l5d-orig-proto", "HTTP/1.1; names=t,DNT; host=1"}});
  EXPECT_EQ(app.received(),
            "GET /a HTTP/1.1\r\nUser-Agent: x\r\nHost: web\r\nDNT: 1\r\nl5d-client-id: "
            "client.shop.id\r\n\r\n");
  app.send("HTTP/1.1 200 OK\r\nServer: y\r\nETag: 1\r\nContent-Length: 0\r\n\r\n");
  world.loop().drain();
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ(*(*answer)->headers.get("l5d-orig-proto"), "HTTP/1.1; names=t,ETag");
}

TEST_F(OverHttp2, OthersGetWhatTheyExpect) {
  app.attach(world);
  connect();
  start({{"accept", "x"}, {"l5d-orig-proto", "HTTP/1.0"}});
  EXPECT_EQ(app.received(),
            "GET /a HTTP/1.0\r\naccept: x\r\nl5d-client-id: client.shop.id\r\nhost: web\r\n\r\n");
  app.send("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
  world.loop().drain();
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ(*(*answer)->headers.get("l5d-orig-proto"), "HTTP/1.0");
}

// Design rule 3.10: a peer of our kind may ask another endpoint; to others it is a 502.
TEST_F(OverHttp2, ARefusingApplicationIsToldWithAMark) {
  connect();
  start({{"l5d-orig-proto", "HTTP/1.1; names=l"}});
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((*answer)->status, 502);
  EXPECT_EQ(*(*answer)->headers.get("l5d-proxy-connection"), "close");
  EXPECT_FALSE((*answer)->headers.contains("connection"));
  EXPECT_EQ(take_refused_mark(**answer), RefusedMark::Refused);
}

// A proxy of another kind, or somebody who plays one: any fields, as they stand.
struct ForeignPeer : Inbound, h2::HpackSink {
  using Fields = std::vector<std::pair<std::string, std::string>>;
  void connect(const Peer& peer = test::peer("10.0.0.9"), ServerPolicyPtr policy = open_policy()) {
    serve(true, peer, std::move(policy));
    app.attach(world);
    send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + framed(h2::frame::kSettings, 0, 0, ""));
    received();
  }
  static std::string framed(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                            std::string_view payload) {
    std::uint8_t head[9];
    h2::write_header(head, static_cast<std::uint32_t>(payload.size()), type, flags, stream);
    return concat(as_text(Bytes(head, 9)), payload);
  }
  // Sends a request; what the application saw of it.
  std::string ask(const Fields& fields, std::string_view body = {}) {
    std::string block;
    for (const auto& [name, value] : fields) {  // literals without indexing, RFC 7541 §6.2.2
      block += '\0';
      for (const std::string& text : {name, value})
        block += concat(std::string(1, static_cast<char>(text.size())), text);
    }
    const std::uint8_t end = body.empty() ? h2::flag::kEndStream : 0;
    std::string bytes = framed(h2::frame::kHeaders, end | h2::flag::kEndHeaders, stream, block);
    if (!body.empty()) bytes += framed(h2::frame::kData, h2::flag::kEndStream, stream, body);
    stream += 2;
    send(bytes);
    return app.received();
  }
  // As a request of HTTP/1 that a proxy carries.
  std::string carried(std::string_view target_host, Fields more, std::string method = "GET",
                      std::string path = "/a") {
    Fields fields{{":method", std::move(method)}, {":scheme", "http"}, {":path", std::move(path)}};
    if (!target_host.empty()) fields.emplace_back(":authority", target_host);
    fields.insert(fields.end(), more.begin(), more.end());
    return ask(fields);
  }
  // The status of the last answer; "reset" if the stream was.
  std::string status() {
    std::string all = received();
    std::string last = "none";
    while (all.size() >= 9) {
      const auto* const head = reinterpret_cast<const std::uint8_t*>(all.data());
      const std::size_t size = std::size_t{head[1]} << 8 | head[2];
      if (head[3] == h2::frame::kRstStream && last == "none") last = "reset";
      if (head[3] == h2::frame::kHeaders) {
        status_.clear();
        EXPECT_TRUE(decoder.decode(as_bytes(std::string_view(all).substr(9, size)), *this));
        last = status_;
      }
      all.erase(0, 9 + size);
    }
    return last;
  }
  void on_field(std::string_view name, std::string_view value) override {
    if (name == ":status") status_ = value;
  }
  std::uint32_t stream = 1;
  h2::HpackDecoder decoder;
  std::string status_;
};

// Nobody could say where the answer ends: what follows it would answer another client.
TEST_F(ForeignPeer, AConnectCarriedInHttp2IsRefused) {
  connect();
  for (const ForeignPeer::Fields& fields : {
           ForeignPeer::Fields{{":method", "CONNECT"}, {":authority", "web"}},
           ForeignPeer::Fields{{":method", "CONNECT"}, {":authority", "web:80"}},
       }) {
    for (const char* orig : {"HTTP/1.1", "HTTP/1.0", "HTTP/1.1; absolute-form",
                             "HTTP/1.1; names=l; hostname=web:80"}) {
      ForeignPeer::Fields all = fields;
      all.emplace_back("content-length", "4");
      all.emplace_back("l5d-orig-proto", orig);
      EXPECT_EQ(ask(all, "GET "), "") << orig;
      EXPECT_EQ(status(), "400") << orig;
    }
  }
  EXPECT_TRUE(app.connections.empty());
}

TEST_F(ForeignPeer, WhatTheApplicationIsToldToServeIsWhatWasMatched) {
  connect();
  struct Case {
    const char* authority;
    ForeignPeer::Fields fields;
    const char* line_and_host;  // what the application sees; "": refused with 400
  };
  const auto orig = [](const char* value) {
    return std::pair<std::string, std::string>("l5d-orig-proto", value);
  };
  for (const Case& each : {
           Case{"web", {orig("HTTP/1.1")}, "GET /a HTTP/1.1\r\nhost: web\r\n"},
           Case{"web", {{"host", "web"}, orig("HTTP/1.1")}, "GET /a HTTP/1.1\r\nhost: web\r\n"},
           Case{
               "web:80", {{"host", "Web."}, orig("HTTP/1.1")}, "GET /a HTTP/1.1\r\nhost: Web.\r\n"},
           Case{"web", {{"host", "admin"}, orig("HTTP/1.1")}, "GET /a HTTP/1.1\r\nhost: web\r\n"},
           Case{"web", {{"host", ""}, orig("HTTP/1.1")}, "GET /a HTTP/1.1\r\nhost: web\r\n"},
           Case{"web", {{"host", "admin"}, orig("HTTP/1.0")}, "GET /a HTTP/1.0\r\nhost: web\r\n"},
           Case{"", {{"host", "admin"}, orig("HTTP/1.1")}, "GET /a HTTP/1.1\r\nhost: admin\r\n"},
           Case{"", {orig("HTTP/1.0")}, "GET /a HTTP/1.0\r\n"},
           Case{"web",
                {{"host", "admin"}, orig("HTTP/1.1; absolute-form")},
                "GET http://web/a HTTP/1.1\r\nhost: web\r\n"},
           Case{"web",
                {orig("HTTP/1.1; absolute-form; names=l; hostname=admin")},
                "GET http://web/a HTTP/1.1\r\nhost: web\r\n"},
           // A parameter of ours means nothing from a peer of another kind.
           Case{"web",
                {orig("HTTP/1.1; names=l; hostname=WEB:80")},
                "GET /a HTTP/1.1\r\nhost: web\r\n"},
           Case{"", {orig("HTTP/1.1")}, ""},
           Case{"", {orig("HTTP/1.1; absolute-form")}, ""},
           Case{"", {orig("HTTP/1.0; absolute-form")}, ""},
           Case{"web", {{"host", "web"}, {"host", "web"}, orig("HTTP/1.1")}, ""},
           Case{"web", {{"host", "a b"}, orig("HTTP/1.1")}, ""},
           Case{"web", {{"host", "web"}, {"host", "admin"}, orig("HTTP/2.0")}, ""},
           Case{"web", {{"host", "admin"}, orig("nonsense")}, ""},
       }) {
    const std::string seen = carried(each.authority, each.fields);
    const std::string about = concat(each.authority, " ", each.fields.front().second);
    EXPECT_EQ(seen, *each.line_and_host == '\0' ? "" : concat(each.line_and_host, "\r\n")) << about;
    if (!seen.empty()) app.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(status(), seen.empty() ? "400" : "200") << about;
  }
}

TEST_F(ForeignPeer, AnAbsoluteFormHasASchemeOfHttp) {
  connect();
  const auto ask_for = [this](const char* scheme) {
    return ask({{":method", "GET"},
                {":scheme", scheme},
                {":path", "/a"},
                {":authority", "web"},
                {"l5d-orig-proto", "HTTP/1.1; absolute-form"}});
  };
  EXPECT_EQ(ask_for("a+b"), "");
  EXPECT_EQ(status(), "400");
  EXPECT_EQ(ask_for("https"), "GET https://web/a HTTP/1.1\r\nhost: web\r\n\r\n");
}

TEST_F(ForeignPeer, WithoutTheMarkTwoHostsAreMalformed) {
  connect();
  const auto with_host = [this](const char* authority, const char* host) {
    return carried(authority, {{"host", host}});
  };
  EXPECT_EQ(with_host("web", "admin"), "");
  EXPECT_EQ(status(), "reset");
  EXPECT_EQ(with_host("greeter:80", "greeter").substr(0, 3), "PRI");  // on, as HTTP/2
}

TEST_F(ForeignPeer, AFragmentIsToldToBeWrong) {
  connect();
  for (const char* path : {"/secret#x", "/admin#", "#", "/?a#b"}) {
    EXPECT_EQ(carried("web", {}, "GET", path), "") << path;
    EXPECT_EQ(status(), "400") << path;
    EXPECT_EQ(carried("web", {{"l5d-orig-proto", "HTTP/1.1"}}, "GET", path), "") << path;
    EXPECT_EQ(status(), "400") << path;
  }
}

TEST_F(ForeignPeer, WhatLooksLikeAnIdentityIsTakenOut) {
  connect(test::peer("10.0.0.9", "client.shop.id"));
  EXPECT_EQ(carried("web", {{"l5d_client_id", "forged"},
                            {"l5d-client-id", "forged"},
                            {"l5d.client~id", "forged"},
                            {"x-l5d-client-id", "stays"},
                            {"l5d-orig-proto", "HTTP/1.1; names=t"}}),
            "GET /a HTTP/1.1\r\nHost: web\r\nX-L5d-Client-Id: stays\r\nl5d-client-id: "
            "client.shop.id\r\n\r\n");
}

// Whatever an application sends after an answer stays with the client that asked.
TEST_F(Inbound, ClientsDoNotShareConnectionsToTheApplication) {
  app.attach(world);
  std::vector<std::unique_ptr<PipeEnd>> clients;
  const auto ask = [&](const Peer& peer) {
    serve(false, peer);
    EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 200"));
    clients.push_back(std::move(client));
    return app.connections.size();
  };
  EXPECT_EQ(ask(test::peer("10.0.0.9", "a.shop.id")), 1U);
  EXPECT_EQ(ask(test::peer("10.0.0.8", "a.shop.id")), 1U);  // the same identity elsewhere
  EXPECT_EQ(ask(test::peer("10.0.0.9", "b.shop.id")), 2U);
  EXPECT_EQ(ask(test::peer("10.0.0.9")), 3U);
  EXPECT_EQ(ask(test::peer("10.0.0.9")), 3U);
  EXPECT_EQ(ask(test::peer("10.0.0.8")), 4U);
  EXPECT_EQ(ask(test::peer("fd00::8")), 5U);
}

// Nothing is kept of clients that are gone but their idle connections, and those for a while.
TEST_F(Inbound, WhatIsKeptForClientsIsBounded) {
  app.attach(world);
  const auto local = world.worker().inbound_targets().at(kTarget);
  for (int i = 0; i < 50; ++i) {
    serve(false, test::peer("10.0.0.9", concat("c", std::to_string(i), ".shop.id")));
    exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
    client.reset();
    world.loop().drain();
  }
  EXPECT_EQ(local->pools(), 50U);
  world.loop().advance(10s);
  local->sweep();
  EXPECT_EQ(local->pools(), 0U);
}

// Connection can name nothing that we or policy add, nor what is matched.
TEST_F(Inbound, HopFieldsGoBeforeAnythingIsAdded) {
  app.attach(world);
  serve(false, test::peer("10.0.0.9", "client.shop.id"), open_policy([](ServerPolicy& policy) {
          Filter filter;
          filter.kind = Filter::Kind::RequestHeaders;
          filter.edit.add.emplace_back("x-zone", "a");
          policy.routes[0].rules[0].filters.push_back(filter);
        }));
  exchange(
      "GET / HTTP/1.1\r\nHost: web\r\nConnection: l5d-client-id, x-zone, x-gone\r\nX-Gone: "
      "1\r\nL5D_Client_Id: forged\r\nX-Zone: forged\r\n\r\n");
  EXPECT_EQ(seen,
            "GET / HTTP/1.1\r\nHost: web\r\nx-zone: a\r\nl5d-client-id: client.shop.id\r\n\r\n");
}

TEST_F(Inbound, AbsoluteTargetsNameTheHost) {
  app.attach(world);
  serve();
  exchange("GET http://public.example/ HTTP/1.1\r\nHost: admin.example\r\n\r\n");
  EXPECT_EQ(seen, "GET http://public.example/ HTTP/1.1\r\nHost: public.example\r\n\r\n");
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_EQ(seen, "");
}

// One variable bounds heads of both versions.
TEST(HeadLimit, IsThatOfTheVariable) {
  const auto most = [](const char* value) {
    const Config config =
        test::small_config({{"INBOUND_SERVER_HTTP2_MAX_HEADER_LIST_SIZE", value}});
    return http1_limits(config.inbound).max_head;
  };
  EXPECT_EQ(most(""), 65'536U);
  EXPECT_EQ(most("200000"), 200'000U);
  EXPECT_EQ(most("1048576"), 1'048'576U);
  EXPECT_EQ(most("2000000"), 1'048'576U);
  EXPECT_EQ(most("8000"), 8'000U);
}

}  // namespace
}  // namespace tulle::proxy
