// SPDX-License-Identifier: Apache-2.0
// Requests through the two directions of a proxy, with the application and the peers in memory.
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
#include "proxy/outbound/session.h"
#include "proxy/protocol/orig_proto.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using test::addr;
using test::TestWorker;
using testing::PipeEnd;

std::string text_of(PipeEnd& end) {
  std::string text(as_text(end.pending()));
  std::uint8_t buffer[65536];
  while (!end.pending().empty()) {
    if (!end.try_read(buffer)) break;
  }
  return text;
}

// An application that is bytes: what came, and what goes back.
struct RawApp {
  void attach(TestWorker& world) {
    world.on_dial([this](Session, std::unique_ptr<PipeEnd> stream) {
      connections.push_back(std::move(stream));
      last = connections.back().get();
    });
  }
  std::string received() {
    std::string all;
    for (const auto& connection : connections) {
      const std::string text = text_of(*connection);
      if (!text.empty()) last = connection.get();
      all += text;
    }
    return all;
  }
  // Where something came last.
  void send(std::string_view text) {
    EXPECT_TRUE((last != nullptr ? last : connections.back().get())->try_write(as_bytes(text)));
  }
  std::vector<std::unique_ptr<PipeEnd>> connections;
  PipeEnd* last = nullptr;
};

constexpr std::string_view kPlainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const net::SocketAddr kTarget = test::addr("10.0.0.5:8080");

ServerPolicyPtr open_policy(const std::function<void(ServerPolicy&)>& change = {}) {
  auto policy = std::make_shared<ServerPolicy>(*default_server_policy(test::small_config(), 8080));
  policy->meta = Meta{"policy.linkerd.io", "server", "", "web-http", "", 0};
  if (change) change(*policy);
  return policy;
}

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

// ---- outbound, alone and before an inbound ----

struct Outbound : ::testing::Test {
  static constexpr const char* kPath = "web.shop.svc.cluster.local:80";
  static ClientPolicyPtr balanced_policy(const std::function<void(ClientPolicy&)>& change = {}) {
    auto policy = std::make_shared<ClientPolicy>();
    policy->parent = Meta{"core", "Service", "shop", "web", "", 80};
    OutboundRoute route;
    route.meta = Meta::implicit("http");
    OutboundRule& rule = route.rules.emplace_back();
    rule.distribution.kind = Distribution::Kind::FirstAvailable;
    Backend& backend = rule.distribution.backends.emplace_back();
    backend.kind = Backend::Kind::Balance;
    backend.meta = policy->parent;
    backend.path = kPath;
    policy->http1 = policy->http2 = {route};
    if (change) change(*policy);
    return policy;
  }
  static EndpointSet meshed(std::vector<std::string> at,
                            EndpointInfo::Hint hint = EndpointInfo::Hint::H2) {
    EndpointSet set;
    for (const std::string& each : at) {
      auto info = std::make_shared<EndpointInfo>(*test::endpoint(each));
      info->identity = info->server_name = "web.shop.id";
      info->hint = hint;
      info->labels = {{"pod", "web-1"}};
      set.endpoints.push_back(info);
    }
    return set;
  }
  void serve(ClientPolicyPtr policy = balanced_policy(), bool http2 = false) {
    const net::SocketAddr target = addr("10.96.0.1:80");
    world.publish(target, std::move(policy));
    auto [ours, theirs] = world.loop().pipe();
    client = std::move(ours);
    OutboundSession session{world.worker(), addr("10.0.0.7:5000"),
                            target,         world.worker().client_policies().acquire(target),
                            nullptr,        std::move(theirs)};
    world.loop().drain();
    scope.spawn(serve_outbound_http(std::move(session), http2));
    world.loop().drain();
  }
  std::string exchange(std::string_view request, Duration within = Duration::zero()) {
    EXPECT_TRUE(client->try_write(as_bytes(request)));
    world.loop().drain();
    if (within != Duration::zero()) world.loop().advance(within);
    return text_of(*client);
  }
  TestWorker world;
  std::unique_ptr<PipeEnd> client;
  net::TaskScope scope;
};

TEST_F(Outbound, NoEndpointsIs504AfterAWhileThen503AndEndsAtOnce) {
  world.publish(kPath, test::endpoints({}));
  serve();
  std::string answer = exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n", 3s);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 504")) << answer;
  EXPECT_NE(
      answer.find(
          "l5d-proxy-error: service web.shop.svc.cluster.local:80 (0 endpoints): no endpoints\r\n"),
      std::string::npos)
      << answer;
  serve();
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 503"));
  EXPECT_EQ(world.value("outbound_http_errors_total{error=\"failfast\"}"), 1);
  EXPECT_EQ(world.value("outbound_http_errors_total{error=\"loadshed\"}"), 1);
  RawApp app;
  app.attach(world);
  world.publish(kPath, test::endpoints({"10.0.0.5:8080"}));
  serve();
  exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  EXPECT_TRUE(app.received().starts_with("GET / HTTP/1.1\r\nHost: web\r\n"));
}

TEST_F(Outbound, RequestsAreCountedInTheirFamilies) {
  RawApp app;
  app.attach(world);
  world.publish(kPath, meshed({"10.0.0.5:8080"}, EndpointInfo::Hint::None));
  serve();
  exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  EXPECT_EQ(app.received(), "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  app.send(kPlainAnswer);
  world.loop().drain();
  EXPECT_TRUE(text_of(*client).starts_with("HTTP/1.1 200"));
  const std::string endpoint =
      "direction=\"outbound\",authority=\"web.shop.svc.cluster.local\",target_addr=\"10.0.0.5:"
      "8080\","
      "target_ip=\"10.0.0.5\",target_port=\"8080\",tls=\"true\",server_id=\"web.shop.id\",dst_pod="
      "\"web-1\"";
  EXPECT_EQ(world.value("request_total{" + endpoint + "}"), 1);
  EXPECT_EQ(
      world.value("response_total{" + endpoint +
                  ",status_code=\"200\",classification=\"success\",grpc_status=\"\",error=\"\"}"),
      1);
  const std::string route =
      "parent_group=\"core\",parent_kind=\"Service\",parent_namespace=\"shop\",parent_name=\"web\","
      "parent_port=\"80\","
      "parent_section_name=\"\",route_group=\"\",route_kind=\"default\",route_namespace=\"\",route_"
      "name=\"http\"";
  EXPECT_EQ(world.value("outbound_http_route_request_statuses_total{" + route +
                        ",hostname=\"\",http_status=\"200\",error=\"\"}"),
            1);
  EXPECT_EQ(world.value("outbound_http_route_request_duration_seconds_count{" + route +
                        ",hostname=\"\"}"),
            1);
  const std::string backend = route +
                              ",backend_group=\"core\",backend_kind=\"Service\",backend_namespace="
                              "\"shop\",backend_name=\"web\","
                              "backend_port=\"80\",backend_section_name=\"\"";
  EXPECT_EQ(world.value("outbound_http_route_backend_requests_total{" + backend + "}"), 1);
  EXPECT_EQ(world.value("outbound_http_route_backend_response_statuses_total{" + backend +
                        ",http_status=\"200\",error=\"\"}"),
            1);
}

// A server over HTTP/2 that stands for somebody's proxy: reads whole bodies, says 100 if told to.
struct Upstream final : http::Handler {
  explicit Upstream(bool interim) : says_100(interim) {}
  net::Task<Result<http::Response>> handle(http::Request request) override {
    seen = std::move(request.headers);
    authority = std::string(request.authority.view());
    if (says_100 && request.informational != nullptr) {
      http::ResponseHead head;
      head.status = 100;
      request.informational->on_informational(std::move(head));
    }
    while (request.body.has_value() && !request.body.ended() && request.body.failure() == nullptr) {
      body.append(as_text(request.body.data()));
      request.body.consume(request.body.data().size());
      if (!request.body.ready()) {
        [[maybe_unused]] const bool told = co_await request.body.changed();
      }
    }
    co_return http::make_response(200);
  }
  bool says_100;
  http::HeaderMap seen;
  std::string authority;
  std::string body;
};

struct BesideOthers : Outbound {
  void start(bool tulle, bool interim) {
    upstream = std::make_unique<Upstream>(interim);
    world.meet_tulle(tulle);
    world.on_dial([this](Session, std::unique_ptr<PipeEnd> stream) {
      scope.spawn(h2::serve(std::move(stream), *upstream, h2::ServerOptions{}, drain));
    });
    world.publish(kPath, meshed({"10.0.0.5:8080"}));
    serve();
  }
  net::Drain drain;
  std::unique_ptr<Upstream> upstream;
};

TEST_F(BesideOthers, OursIsToldInParametersAndOthersInPlainForm) {
  for (const bool tulle : {true, false}) {
    start(tulle, false);
    exchange("GET / HTTP/1.1\r\nAccept: a\r\nHost: web\r\n\r\n");
    EXPECT_EQ(upstream->authority, "web");
    EXPECT_EQ(upstream->seen.get("host").value_or("none"), tulle ? "none" : "web");
    EXPECT_EQ(*upstream->seen.get("l5d-orig-proto"),
              tulle ? "HTTP/1.1; names=t; host=1" : "HTTP/1.1");
    world.publish(kPath, test::endpoints({}));
    world.loop().drain();
  }
}

// Others keep interim answers to themselves: a client that waits for 100 gets it from us, once.
TEST_F(BesideOthers, AClientThatExpects100GetsIt) {
  struct Case {
    bool tulle;
    bool says_100;
    bool heard;
  };
  for (const Case& c : {Case{false, false, true}, Case{false, true, true}, Case{true, true, true},
                        Case{true, false, false}}) {
    start(c.tulle, c.says_100);
    const std::string first = exchange(
        "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(first, c.heard ? "HTTP/1.1 100 Continue\r\n\r\n" : "") << c.tulle << c.says_100;
    EXPECT_TRUE(exchange("hi").starts_with("HTTP/1.1 200")) << c.tulle << c.says_100;
    EXPECT_EQ(upstream->body, "hi");
    EXPECT_EQ(*upstream->seen.get("expect"), "100-continue");
    world.publish(kPath, test::endpoints({}));
    world.loop().drain();
  }
}

TEST_F(Outbound, AnEndpointThatRefusesIsLeftForAnother) {
  world.publish(kPath, test::endpoints({"10.0.0.5:8080", "10.0.0.6:8080"}));
  serve();
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 502"));
  EXPECT_EQ(world.dials(), 2);  // both were tried
}

// An application that closes its listener resets what it has not accepted yet. Asked once more, and
// only what is safe: what ends one application must not end them all.
TEST_F(Outbound, ASafeRequestThatWasNotAnsweredIsAskedOnceMore) {
  std::vector<std::unique_ptr<PipeEnd>> ends;
  world.on_dial(
      [&](Session, std::unique_ptr<PipeEnd> stream) { ends.push_back(std::move(stream)); });
  world.publish(kPath, test::endpoints({"10.0.0.5:8080", "10.0.0.6:8080", "10.0.0.7:8080"}));
  serve();
  exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  ASSERT_EQ(ends.size(), 1U);
  ends[0].reset();
  world.loop().drain();
  ASSERT_EQ(ends.size(), 2U);
  EXPECT_TRUE(ends[1]->try_write(as_bytes(kPlainAnswer)));
  world.loop().drain();
  EXPECT_EQ(text_of(*client), kPlainAnswer);
  EXPECT_EQ(world.value("tulle_redispatched_total{reason=\"unanswered\"}"), 1);

  for (const auto& [method, most] : {std::pair("GET", 2U), std::pair("DELETE", 1U)}) {
    ends.clear();
    serve();
    exchange(concat(method, " / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"));
    for (std::size_t i = 0; i < ends.size(); ++i) {
      ends[i].reset();
      world.loop().drain();
    }
    EXPECT_EQ(ends.size(), most) << method;
    EXPECT_TRUE(text_of(*client).starts_with("HTTP/1.1 502")) << method;
  }
}

// Design rule 3.10, through proxies: one application refuses, the request is served by the other
// pod.
TEST_F(Outbound, ARefusedStreamGoesToAnotherEndpoint) {
  TestWorker broken({}, &world.loop());
  TestWorker healthy({}, &world.loop());
  RawApp app;
  app.attach(healthy);
  for (TestWorker* far : {&broken, &healthy}) far->publish(kTarget.port, open_policy());
  net::TaskScope far_scope;
  int dialled = 0;
  world.meet_tulle(true);
  world.on_dial([&](Session, std::unique_ptr<PipeEnd> stream) {
    Worker& far = (++dialled == 1 ? broken : healthy).worker();
    InboundSession inbound{far,
                           kTarget,
                           far.server_policies().acquire(kTarget.port),
                           test::peer("10.0.0.7", "client.shop.id"),
                           std::move(stream),
                           far.inbound_targets().at(kTarget)};
    far_scope.spawn(serve_inbound_http(std::move(inbound), true));
  });
  world.publish(kPath, meshed({"10.0.0.5:8080", "10.0.0.6:8080"}));
  serve();
  exchange("GET /a HTTP/1.1\r\nHost: web\r\n\r\n");
  EXPECT_EQ(broken.dials(), 1);
  EXPECT_TRUE(app.received().starts_with("GET /a HTTP/1.1\r\nHost: web\r\n"));
  app.send(kPlainAnswer);
  world.loop().drain();
  EXPECT_EQ(text_of(*client), kPlainAnswer);
}

TEST_F(Outbound, WhatIsAskedOfTheServerIsChecked) {
  RawApp app;
  app.attach(world);
  world.publish(kPath, meshed({"10.0.0.5:8080"}, EndpointInfo::Hint::None));
  serve();
  const std::string answer =
      exchange("GET / HTTP/1.1\r\nHost: web\r\nl5d-require-id: other.id\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 502")) << answer;
  EXPECT_EQ(world.dials(), 0);
  serve();
  exchange("GET / HTTP/1.1\r\nHost: web\r\nl5d-require-id: web.shop.id\r\n\r\n");
  EXPECT_EQ(app.received(), "GET / HTTP/1.1\r\nHost: web\r\n\r\n");  // and it goes no further
  serve();
  exchange("GET / HTTP/1.1\r\nHost: web\r\nl5d-require-id: not a name\r\n\r\n");
  EXPECT_EQ(app.received(), "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
}

TEST_F(Outbound, PolicyAnswersAndItsErrors) {
  world.publish(kPath, test::endpoints({"10.0.0.5:8080"}));
  serve(balanced_policy([](ClientPolicy& policy) { policy.http1[0].hosts = {{false, "other"}}; }));
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 404"));
  serve(balanced_policy([](ClientPolicy& policy) { policy.http1[0].rules[0].distribution = {}; }));
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 503"));
  serve(balanced_policy([](ClientPolicy& policy) {
    policy.http1[0].rules[0].distribution.backends[0].kind = Backend::Kind::Fail;
  }));
  EXPECT_NE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                .find("backend for Service shop/web has no dispatcher"),
            std::string::npos);
  serve(invalid_client_policy("broken"));
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 500"));
  Filter fail;
  fail.kind = Filter::Kind::Fail;
  fail.status = 418;
  serve(balanced_policy([&](ClientPolicy& policy) {
    policy.http1[0].rules[0].distribution.backends[0].filters = {fail};
  }));
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n").starts_with("HTTP/1.1 418"));
  EXPECT_EQ(world.dials(), 0);
}

TEST_F(Outbound, AnIdentityThatCannotBeUsedIsAnErrorNeverPlainText) {
  EndpointSet set;
  auto info = std::make_shared<EndpointInfo>(*test::endpoint("10.0.0.5:8080"));
  info->tls_broken = true;
  set.endpoints = {info};
  world.publish(kPath, set);
  serve();
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n", 5s).starts_with("HTTP/1.1 50"));
  EXPECT_EQ(world.dials(), 0);
}

// What a peer's proxy says to ours is not for the application.
TEST_F(Outbound, ErrorsOfAPeersProxyAreTakenOut) {
  RawApp app;
  app.attach(world);
  world.publish(kPath, meshed({"10.0.0.5:8080"}, EndpointInfo::Hint::None));
  serve();
  exchange("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
  app.send(
      "HTTP/1.1 502 Bad Gateway\r\nl5d-proxy-error: x\r\nl5d-proxy-connection: "
      "close\r\nContent-Length: 0\r\n\r\n");
  world.loop().drain();
  EXPECT_EQ(text_of(*client), "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
}

// Through a pair: the application gets the very bytes that the client sent, and the other way
// round.
TEST_F(Outbound, APairIsTransparent) {
  TestWorker far({}, &world.loop());
  far.publish(kTarget.port, open_policy());
  RawApp app;
  app.attach(far);
  net::TaskScope far_scope;
  world.meet_tulle(true);
  world.on_dial([&](Session session, std::unique_ptr<PipeEnd> stream) {
    EXPECT_EQ(session, Session::Http2);
    InboundSession inbound{far.worker(),
                           kTarget,
                           far.worker().server_policies().acquire(kTarget.port),
                           test::peer("10.0.0.7", "client.shop.id"),
                           std::move(stream),
                           far.worker().inbound_targets().at(kTarget)};
    far_scope.spawn(serve_inbound_http(std::move(inbound), true));
  });
  world.publish(kPath, meshed({"10.0.0.5:8080"}));
  serve();
  struct Case {
    std::string request;
    std::string answer;
  };
  for (const Case& each : {
           Case{"GET /a?b HTTP/1.1\r\nHost: web\r\nUser-Agent: curl/7\r\nAccept: */*\r\n\r\n",
                "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: x\r\nETag: \"1\"\r\nContent-Length: "
                "2\r\n\r\nhi"},
           Case{"POST / HTTP/1.1\r\nhost: web\r\nx-ODD: 1\r\ncontent-length: 3\r\nX-Odd: "
                "2\r\n\r\nabc",
                "HTTP/1.1 404 Nope\r\ncontent-length: 0\r\n\r\n"},
           Case{"GET / HTTP/1.1\r\nAccept: */*\r\nCookie: a\r\nHost: web\r\nCookie: b\r\n\r\n",
                "HTTP/1.1 204 No Content\r\nX-Z: 1\r\nx-z: 2\r\n\r\n"},
           Case{"HEAD / HTTP/1.1\r\nHost: web\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 55\r\nX-A: b\r\n\r\n"},
           Case{"GET / HTTP/1.1\r\nHost: web\r\n\r\n",
                "HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\nX-A: "
                "b\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
           Case{"GET http://web/abs HTTP/1.1\r\nHost: web\r\n\r\n", std::string(kPlainAnswer)},
           Case{"GET http://web/abs HTTP/1.1\r\nHost: WEB:80\r\nX-A: 1\r\n\r\n",
                std::string(kPlainAnswer)},
       }) {
    exchange(each.request);
    std::string seen = app.received();
    const std::string id = "l5d-client-id: client.shop.id\r\n";
    const auto at = seen.find(id);
    ASSERT_NE(at, std::string::npos) << seen;
    seen.erase(at, id.size());
    EXPECT_EQ(seen, each.request);
    app.send(each.answer);
    world.loop().drain();
    EXPECT_EQ(text_of(*client), each.answer) << each.request;
  }
}

// Whatever is taken as HTTP/1 passes the hop between two proxies, which is HTTP/2.
struct BigHeads : ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Each, BigHeads, ::testing::Values("", "1048576"));

TEST_P(BigHeads, PassThePairAndComeBack) {
  const std::string limit = GetParam();
  std::vector<std::size_t> sizes{20'000, 60'000, 65'000};
  if (!limit.empty()) sizes = {60'000, 900'000, 1'048'000};
  testing::SimLoop loop;
  TestWorker near({{"OUTBOUND_SERVER_HTTP2_MAX_HEADER_LIST_SIZE", limit}}, &loop);
  TestWorker far({{"INBOUND_SERVER_HTTP2_MAX_HEADER_LIST_SIZE", limit}}, &loop);
  far.publish(kTarget.port, open_policy());
  RawApp app;
  app.attach(far);
  net::TaskScope scope;
  near.meet_tulle(true);
  near.on_dial([&](Session, std::unique_ptr<PipeEnd> stream) {
    InboundSession inbound{far.worker(),
                           kTarget,
                           far.worker().server_policies().acquire(kTarget.port),
                           test::peer("10.0.0.7", "client.shop.id"),
                           std::move(stream),
                           far.worker().inbound_targets().at(kTarget)};
    scope.spawn(serve_inbound_http(std::move(inbound), true));
  });
  near.publish(Outbound::kPath, Outbound::meshed({"10.0.0.5:8080"}));
  const net::SocketAddr service = addr("10.96.0.1:80");
  near.publish(service, Outbound::balanced_policy());
  loop.drain();
  const auto once = [&](const std::string& request, const std::string& answer) {
    auto [ours, theirs] = loop.pipe();
    const std::unique_ptr<PipeEnd> mine = std::move(ours);
    OutboundSession session{near.worker(), addr("10.0.0.7:5000"),
                            service,       near.worker().client_policies().acquire(service),
                            nullptr,       std::move(theirs)};
    loop.drain();
    scope.spawn(serve_outbound_http(std::move(session), false));
    std::string seen;
    std::string heard;
    const auto pass = [&](PipeEnd& to, std::string_view text, const auto& take) {
      for (int full = 0; !text.empty() && full < 100;) {
        const Result<std::size_t> n = to.try_write(as_bytes(text));
        if (n) text.remove_prefix(*n);
        full = n ? 0 : full + 1;
        loop.advance(1ms);
        take();
      }
      for (int i = 0; i < 60; ++i) {  // a pipe takes less than all at once
        loop.advance(1ms);
        take();
      }
    };
    pass(*mine, request, [&] { seen += app.received(); });
    if (!seen.empty() && !answer.empty()) pass(*app.last, answer, [&] { heard += text_of(*mine); });
    loop.drain();
    return std::pair(seen, heard + text_of(*mine));
  };
  for (const std::size_t size : sizes) {
    for (const bool many : {false, true}) {
      std::string fields;
      if (many) {
        for (int i = 0; i < 90; ++i)
          fields +=
              concat("X-Field-", std::to_string(i), ": ", std::string(size / 100, 'y'), "\r\n");
      } else {
        fields = concat("Cookie: ", std::string(size, 'x'), "\r\n");
      }
      const std::string request = concat("GET /a HTTP/1.1\r\nHost: web\r\n", fields, "\r\n");
      const std::string answer =
          concat("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", fields, "\r\nhi");
      const auto [seen, heard] = once(request, answer);
      EXPECT_NE(seen.find(fields), std::string::npos) << size << many << heard.substr(0, 200);
      EXPECT_TRUE(heard.starts_with("HTTP/1.1 200 ")) << size << many << heard.substr(0, 200);
      EXPECT_NE(heard.find(fields), std::string::npos) << size << many;
    }
  }
  const std::string beyond(limit.empty() ? 70'000 : 1'050'000, 'x');
  const auto [seen, heard] =
      once(concat("GET / HTTP/1.1\r\nHost: a\r\nX: ", beyond, "\r\n\r\n"), "");
  EXPECT_EQ(seen, "");
  EXPECT_TRUE(heard.starts_with("HTTP/1.1 431 ")) << heard.substr(0, 200);
}

TEST_F(Outbound, HopFieldsGoBeforePolicyAddsAnything) {
  RawApp app;
  app.attach(world);
  EndpointSet set;
  set.endpoints = {test::endpoint("10.0.0.5:8080")};
  world.publish(kPath, std::move(set));
  serve(balanced_policy([](ClientPolicy& policy) {
    Filter filter;
    filter.kind = Filter::Kind::RequestHeaders;
    filter.edit.set.emplace_back("x-zone", "a");
    policy.http1[0].rules[0].filters.push_back(filter);
  }));
  exchange(
      "GET http://web/ HTTP/1.1\r\nHost: other\r\nConnection: x-zone, x-gone\r\nX-Gone: 1\r\n\r\n");
  EXPECT_EQ(app.received(), "GET http://web/ HTTP/1.1\r\nHost: web\r\nx-zone: a\r\n\r\n");
}

TEST_F(Outbound, UpgradesGoOverHttp1) {
  RawApp app;
  std::vector<Session> sessions;
  world.on_dial([&](Session session, std::unique_ptr<PipeEnd> stream) {
    sessions.push_back(session);
    app.connections.push_back(std::move(stream));
  });
  world.publish(kPath, meshed({"10.0.0.5:8080"}));
  serve();
  exchange("GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  ASSERT_EQ(sessions, std::vector<Session>{Session::Http1});
  EXPECT_NE(app.received().find("Upgrade: websocket\r\n"), std::string::npos);
  app.send(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
  world.loop().drain();
  EXPECT_TRUE(text_of(*client).ends_with("\r\n\r\nfirst"));
  EXPECT_TRUE(client->try_write(as_bytes("raw bytes")));
  world.loop().drain();
  EXPECT_EQ(app.received(), "raw bytes");
}

}  // namespace
}  // namespace tulle::proxy
