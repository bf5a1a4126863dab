// SPDX-License-Identifier: Apache-2.0
// Requests through the outbound proxy, alone and before an inbound one, with the application and
// the peers in memory.
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
