// SPDX-License-Identifier: Apache-2.0
// Connections of which nobody knows yet what they speak, through the two directions of a proxy: who
// is silent, who speaks first, who ends before the first byte. Application and client in memory.
#include <gtest/gtest.h>

#include <optional>

#include "proxy/inbound/direct.h"
#include "proxy/inbound/session.h"
#include "proxy/outbound/session.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using test::addr;
using test::TestWorker;
using testing::PipeEnd;
using testing::SimLoop;
using Protocol = ServerPolicy::Protocol;

constexpr std::string_view kRequest =
    "GET /x HTTP/1.1\r\nHost: web\r\nl5d-client-id: forged\r\n\r\n";
constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
constexpr std::string_view kSettings("\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", 15);
const net::SocketAddr kApp = addr("10.0.0.5:8080");
const net::SocketAddr kService = addr("10.96.0.1:80");

std::string take(PipeEnd& end) {
  std::string text(as_text(end.pending()));
  std::vector<std::uint8_t> room(65536);
  while (!end.pending().empty()) {
    if (!end.try_read(room)) break;
  }
  return text;
}

ServerPolicyPtr server_policy(Protocol protocol,
                              const std::function<void(ServerPolicy&)>& change = {}) {
  auto policy = std::make_shared<ServerPolicy>(*default_server_policy(test::small_config(), 8080));
  policy->protocol = protocol;
  policy->meta = Meta{"policy.linkerd.io", "server", "", "web", "", 0};
  if (protocol != Protocol::Detect && protocol != Protocol::Opaque) policy->authorizations.clear();
  if (change) change(*policy);
  return policy;
}

void attach_route(ServerPolicy& policy) {
  InboundRoute route = policy.routes.front();
  route.meta = Meta{"policy.linkerd.io", "httproute", "shop", "r", "", 0};
  policy.routes = {route};
}
void admit_nobody(ServerPolicy& policy) {
  policy.authorizations.clear();
  for (InboundRoute& route : policy.routes) route.authorizations.clear();
}

ClientPolicyPtr client_policy() {
  auto policy = std::make_shared<ClientPolicy>();
  policy->parent = Meta{"core", "Service", "shop", "web", "", 80};
  Distribution one;
  one.kind = Distribution::Kind::FirstAvailable;
  Backend& backend = one.backends.emplace_back();
  backend.kind = Backend::Kind::Forward;
  backend.meta = policy->parent;
  auto info = std::make_shared<EndpointInfo>(*test::endpoint("10.0.0.5:8080"));
  info->identity = info->server_name = "web.shop.id";
  info->hint = EndpointInfo::Hint::H2;
  backend.endpoint = info;
  OutboundRoute route;
  route.meta = Meta::implicit("http");
  route.rules.emplace_back().distribution = one;
  policy->http1 = policy->http2 = {route};
  policy->opaque = OpaqueRule{Meta::implicit("opaque"), one, false, ""};
  return policy;
}

// A client, perhaps its own proxy, the server's proxy, the application.
struct Serve : ::testing::Test {
  Serve() {
    server.on_dial([this](Session, std::unique_ptr<PipeEnd> stream) {
      if (!greeting.empty()) EXPECT_TRUE(stream->try_write(as_bytes(greeting)));
      app.push_back(std::move(stream));
    });
    client_side.on_dial(
        [this](Session, std::unique_ptr<PipeEnd> stream) { spawn_inbound(std::move(stream)); });
  }
  void spawn_inbound(net::StreamPtr stream) {
    InboundSession session{server.worker(),
                           kApp,
                           server.worker().server_policies().acquire(kApp.port),
                           peer,
                           std::move(stream),
                           server.worker().inbound_targets().at(kApp)};
    loop.drain();
    scope.spawn(serve_secured(std::move(session), nullptr));
  }
  // To the server's proxy, as an authenticated peer.
  void connect(ServerPolicyPtr policy) {
    server.publish(kApp.port, std::move(policy));
    auto [ours, theirs] = loop.pipe();
    client = std::move(ours);
    spawn_inbound(std::move(theirs));
    loop.drain();
  }
  // Through both proxies.
  void connect_through(ServerPolicyPtr policy) {
    server.publish(kApp.port, std::move(policy));
    client_side.publish(kService, client_policy());
    auto [ours, theirs] = loop.pipe();
    client = std::move(ours);
    OutboundSession session{client_side.worker(),
                            addr("10.0.0.9:5000"),
                            kService,
                            client_side.worker().client_policies().acquire(kService),
                            nullptr,
                            std::move(theirs)};
    loop.drain();
    scope.spawn(serve_outbound_known(std::move(session)));
    loop.drain();
  }
  void say(std::string_view text) {
    EXPECT_TRUE(client->try_write(as_bytes(text)));
    loop.drain();
  }
  std::string hear() {
    loop.drain();
    return take(*client);
  }
  // What the application heard, all connections together.
  std::string app_heard() {
    loop.drain();
    std::string all;
    for (const auto& stream : app) all += take(*stream);
    return all;
  }
  void app_says(std::string_view text) {
    ASSERT_FALSE(app.empty());
    EXPECT_TRUE(app.back()->try_write(as_bytes(text)));
    loop.drain();
  }
  // The request is served as HTTP: what it claims of its identity does not get through.
  void expect_served(std::string_view what) {
    const std::string heard = app_heard();
    EXPECT_NE(heard.find("GET /x HTTP/1.1\r\n"), std::string::npos) << what << ": " << heard;
    EXPECT_EQ(heard.find("forged"), std::string::npos) << what;
    if (heard.empty()) return;
    app_says(kAnswer);
    const std::string answer = hear();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << what << ": " << answer;
  }
  void forget() {
    scope.cancel();
    client.reset();
    app.clear();
    loop.drain();
  }

  SimLoop loop;
  TestWorker server{{}, &loop};
  TestWorker client_side{{}, &loop};
  Peer peer = test::peer("10.0.0.9", "client.shop.id");
  std::string greeting;  // of the application, at once
  std::vector<std::unique_ptr<PipeEnd>> app;
  std::unique_ptr<PipeEnd> client;
  net::TaskScope scope;
};

// Each in a world of its own: nothing was learned before.
using Silent = std::tuple<Protocol, Duration>;
struct ServeSilent : Serve, ::testing::WithParamInterface<Silent> {};
INSTANTIATE_TEST_SUITE_P(Each, ServeSilent,
                         ::testing::Combine(::testing::Values(Protocol::Http1, Protocol::Http2,
                                                              Protocol::Grpc, Protocol::Detect),
                                            ::testing::Values(0ms, 1ms, 2ms, 3ms, 20ms, 50ms, 200ms,
                                                              9'000ms, 12'000ms)));

TEST_P(ServeSilent, AClientIsServedWhateverThePolicySays) {
  connect_through(server_policy(std::get<0>(GetParam())));
  loop.advance(std::get<1>(GetParam()));
  EXPECT_EQ(hear(), "");
  say(kRequest);
  expect_served("after a pause");
}

TEST_P(ServeSilent, ADeniedClientHearsItInHttp) {
  connect_through(server_policy(std::get<0>(GetParam()), admit_nobody));
  loop.advance(std::get<1>(GetParam()));
  say(kRequest);
  loop.advance(10ms);
  const std::string answer = hear();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 403 ")) << answer;
  EXPECT_TRUE(app.empty());
}

// An HTTP/2 application greets with SETTINGS; some HTTP/1 servers answer who is silent for long.
using Greeted = std::tuple<std::string_view, bool, Duration>;
struct ServeGreeted : Serve, ::testing::WithParamInterface<Greeted> {};
INSTANTIATE_TEST_SUITE_P(
    Each, ServeGreeted,
    ::testing::Combine(::testing::Values(kSettings,
                                         std::string_view("HTTP/1.1 408 Request Timeout\r\n\r\n")),
                       ::testing::Bool(), ::testing::Values(50ms, 12'000ms, 30'000ms)));

TEST_P(ServeGreeted, AServerThatGreetsAsHttpDoesIsNoneThatSpeaksFirst) {
  greeting = std::get<0>(GetParam());
  if (std::get<1>(GetParam())) {
    connect_through(server_policy(Protocol::Detect));
  } else {
    connect(server_policy(Protocol::Detect));
  }
  loop.advance(std::get<2>(GetParam()));
  greeting.clear();
  app.clear();
  EXPECT_EQ(hear(), "");
  say(kRequest);
  expect_served("after the greeting");
}

TEST_F(Serve, AServerThatSpeaksFirstIsHeardAtOnceAlsoAfterHttpCame) {
  for (int i = 0; i < 5; ++i) {
    greeting = "220 ready\r\n";
    connect_through(server_policy(Protocol::Detect));
    loop.advance(10ms);
    EXPECT_EQ(hear(), "220 ready\r\n") << i;
    say("QUIT\r\n");
    EXPECT_EQ(app_heard(), "QUIT\r\n");
    forget();
    greeting.clear();
    connect_through(server_policy(Protocol::Detect));
    say(kRequest);
    expect_served("before it has greeted");
    forget();
  }
}

struct ServeCut : Serve, ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Each, ServeCut, ::testing::Bool());
TEST_P(ServeCut, AConnectionThatEndsUnderASilentClientIsNoEvidence) {
  connect_through(server_policy(Protocol::Detect));
  loop.advance(50ms);
  ASSERT_FALSE(app.empty());
  if (GetParam()) app.back()->abort();
  app.clear();
  loop.drain();
  EXPECT_FALSE(client->peer_closed());
  loop.advance(100ms);
  say(kRequest);
  expect_served("after the end");
}

TEST_F(Serve, HalfALineReachesItsServerSoon) {
  for (const std::string text : {"hello", "a", "ruok", "\r\n", "SET k"}) {
    for (const bool through : {false, true}) {
      if (through) {
        connect_through(server_policy(Protocol::Detect));
      } else {
        connect(server_policy(Protocol::Detect));
      }
      loop.advance(1ms);
      say(text);
      loop.advance(through ? 42ms : 21ms);
      EXPECT_EQ(app_heard(), text) << through;
      app_says("imok");
      EXPECT_EQ(hear(), "imok");
      // Once it is answered no request can come on it.
      say(std::string(text == "\r\n" ? "GET" : "") +
          " / HTTP/1.1\r\nl5d-client-id: forged\r\n\r\n");
      EXPECT_EQ(app_heard().find("forged"), std::string::npos) << text;
      forget();
    }
  }
}

// The first bytes went on as bytes; what comes of them is a request after all.
TEST_F(Serve, ARequestInPiecesWithLongPausesIsServedAsHttp) {
  for (const Duration pause : {1ms, 15ms, 25ms, 100ms}) {
    for (const bool through : {false, true}) {
      if (through) {
        connect_through(server_policy(Protocol::Detect));
      } else {
        connect(server_policy(Protocol::Detect));
      }
      std::string request(kRequest);
      request.replace(0, 3, "FROB");
      for (const char& c : request.substr(0, 20)) {
        say({&c, 1});
        loop.advance(pause);
      }
      say(request.substr(20));
      std::string heard = app_heard();
      EXPECT_NE(heard.find("FROB /x HTTP/1.1\r\n"), std::string::npos) << heard;
      EXPECT_EQ(heard.find("forged"), std::string::npos) << heard;
      app_says(kAnswer);
      EXPECT_TRUE(hear().starts_with("HTTP/1.1 200 ")) << through;
      forget();
    }
  }
}

TEST_F(Serve, WhatALenientServerWouldTakeForARequestIsNotBytes) {
  for (const std::string& head :
       {std::string("\nGET /x HTTP/1.1\r\nHost: web\r\n"),
        std::string("GET /x HTTP/1.1\nHost: web\n"),
        "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: web\r\n",
        "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\nHost: web\r\n",
        std::string("GET /x\r\n"), std::string("GET\t/x HTTP/1.1\r\nHost: web\r\n"),
        std::string(9000, '\r') + "\nGET /x HTTP/1.1\r\n", std::string(" GET /x HTTP/1.1\r\n"),
        std::string(100, 'M') + " /x HTTP/1.1\r\n"}) {
    connect(server_policy(Protocol::Detect));
    say(head + "l5d-client-id: forged\r\n\r\n");
    loop.advance(100ms);
    EXPECT_EQ(app_heard().find("forged"), std::string::npos) << head.substr(0, 40);
    forget();
  }
}

// Whatever detection does not know for a request, some server may: a forged identity does not come
// through, and ends the connection.
TEST_F(Serve, BytesTellNoIdentity) {
  using namespace std::string_literals;
  const std::vector<std::string> heads = {
      "GET /x RTSP/1.0\r\n",
      "GET /x FOO\r\n",
      "GET /x HTTQ/1.1\r\n",
      "get /x \r\n",
      "PRI /x HTTP/2.0\r\n",
      "G/T /x HTTP/1.1\r\n",
      "\x01GET /x FOO\r\n",
      "GET /\x01 HTTP/1.1\r\n",
      "GET /\0 HTTP/1.1\r\n"s,
      "GET /\x7f HTTP/1.1\r\n",
      "GET\x1c/x\x1dHTTP/1.1\r\n",
      "GET\x85/x\x85HTTP/1.1\r\n",
      "GET\xA0/x\xA0HTTP/1.1\r\n",
      "GET foo\r\n",
      "\x16\x03 / HTTP/1.1\n",
      "POST x y\nContent-Length: 100000\n\n" + std::string(100'000, 'x') + "POST x y\n"};
  for (const std::string& head : heads) {
    for (const bool pieces : {false, true}) {
      for (const auto& name : {"l5d-client-id: "s, "L5D_Client_Id : "s}) {
        connect(server_policy(Protocol::Detect));
        std::string_view text = head;
        std::string heard;
        for (; text.size() > 1000; text.remove_prefix(1000)) {
          say(text.substr(0, 1000));
          heard += app_heard();
        }
        say(std::string(text) + "Host: web\r\n" + (pieces ? "" : name + "forged\r\n\r\n"));
        loop.advance(100ms);
        heard += app_heard();
        if (pieces) {
          for (const char& c : name + "forged\r\n\r\n") {
            if (!client->try_write(as_bytes({&c, 1}))) break;
            loop.drain();
          }
          heard += app_heard();
        }
        EXPECT_EQ(heard.find("forged"), std::string::npos) << head.substr(0, 40);
        EXPECT_TRUE(client->peer_closed() || client->peer_aborted() || !hear().empty())
            << head.substr(0, 40);
        forget();
      }
    }
  }
}

// Where the policy says that no requests come, and after a server that spoke first.
TEST_F(Serve, BytesThatAreNoRequestsMaySayAnything) {
  constexpr std::string_view kLine = "l5d-client-id: mine\r\n";
  connect(server_policy(Protocol::Opaque));
  say(kLine);
  EXPECT_EQ(app_heard(), kLine);
  forget();
  greeting = "220 ready\r\n";
  connect(server_policy(Protocol::Detect));
  loop.advance(10ms);
  EXPECT_EQ(hear(), greeting);
  say(kLine);
  EXPECT_EQ(app_heard(), kLine);
}

// A load balancer's head before the client's bytes: the application gets it, and HTTP behind it is
// HTTP.
const std::string kProxyLine = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n";
const std::string kProxyBinary("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\1\2\3\4\1\2\3\4\0\1\0\2", 28);

TEST_F(Serve, ARequestBehindAProxyHeadIsARequest) {
  for (const std::string& head : {kProxyLine, kProxyBinary, kProxyLine + kProxyBinary}) {
    for (const Duration pause : {0ms, 1ms, 15ms, 25ms, 100ms, 12'000ms}) {
      for (const bool through : {false, true}) {
        if (through) {
          connect_through(server_policy(Protocol::Detect));
        } else {
          connect(server_policy(Protocol::Detect));
        }
        say(head);
        if (pause != 0ms) loop.advance(pause);
        say(kRequest);
        const std::string heard = app_heard();
        EXPECT_NE(heard.find(head + "GET /x HTTP/1.1\r\n"), std::string::npos) << heard;
        EXPECT_NE(heard.find("client.shop.id"), std::string::npos) << heard;
        EXPECT_EQ(heard.find("forged"), std::string::npos) << heard;
        app_says(kAnswer);
        EXPECT_TRUE(hear().starts_with("HTTP/1.1 200 ")) << through << pause.count();
        say(kRequest);  // on the same connection, which has its head
        const std::string next = app_heard();
        EXPECT_TRUE(next.starts_with("GET /x HTTP/1.1\r\n")) << next;
        EXPECT_EQ(next.find("forged"), std::string::npos) << next;
        forget();
      }
    }
  }
}

TEST_F(Serve, NoPauseInOrBehindAProxyHeadHidesARequest) {
  for (const std::string& head : {kProxyLine, kProxyBinary}) {
    const std::string all = head + std::string(kRequest);
    for (std::size_t cut = 1; cut < head.size() + 8; ++cut) {
      for (const Duration pause : {5ms, 30ms, 12'000ms}) {
        connect(server_policy(Protocol::Detect));
        say(std::string_view(all).substr(0, cut));
        loop.advance(pause);
        if (!client->peer_closed() && !client->peer_aborted())
          say(std::string_view(all).substr(cut));
        loop.advance(100ms);
        EXPECT_EQ(app_heard().find("forged"), std::string::npos) << cut << " " << pause.count();
        forget();
      }
    }
  }
  connect(server_policy(Protocol::Detect));
  say(kProxyBinary.substr(0, 14) + "\x20" + std::string(9000, 'x'));  // longer than is taken
  loop.advance(1ms);
  EXPECT_EQ(app_heard(), "");
  EXPECT_TRUE(client->peer_closed());
}

TEST_F(Serve, RulesForRequestsHoldBehindAProxyHead) {
  connect(server_policy(Protocol::Detect, [](ServerPolicy& policy) {
    attach_route(policy);
    admit_nobody(policy);
  }));
  say(kProxyLine + std::string(kRequest));
  EXPECT_TRUE(hear().starts_with("HTTP/1.1 403 "));
  EXPECT_EQ(app_heard(), "");
}

TEST_F(Serve, BytesBehindAProxyHeadAndServersThatSpeakFirstGoOn) {
  for (const std::string& head : {kProxyLine, kProxyBinary}) {
    connect(server_policy(Protocol::Detect));
    say(head);
    loop.advance(25ms);
    EXPECT_EQ(app_heard(), head);
    app_says("220 ready\r\n");
    EXPECT_EQ(hear(), "220 ready\r\n");
    say("QUIT\r\n");
    EXPECT_EQ(app_heard(), "QUIT\r\n");
    forget();
    connect(server_policy(Protocol::Detect));
    say(head + "\x01\x02");
    EXPECT_EQ(app_heard(), head + "\x01\x02");
    forget();
    connect(server_policy(Protocol::Opaque));
    say(head + std::string(kRequest));  // whoever says opaque gets what came
    EXPECT_EQ(app_heard(), head + std::string(kRequest));
    forget();
  }
}

TEST_F(Serve, BytesPassNoRulesForRequests) {
  const auto passes = [&](const std::function<void(ServerPolicy&)>& change) {
    connect(server_policy(Protocol::Detect, change));
    say("hello\n");
    loop.advance(1ms);
    const bool came = app_heard() == "hello\n";
    EXPECT_EQ(client->peer_aborted(), !came);
    forget();
    return came;
  };
  EXPECT_TRUE(passes({}));
  EXPECT_FALSE(passes(attach_route));
  EXPECT_FALSE(passes([](ServerPolicy& policy) {
    policy.rate_limit = std::make_shared<RateLimit>(RateLimit::Spec{});
  }));
  EXPECT_FALSE(passes(admit_nobody));
  // A plain authorization of the Server holds for bytes, too.
  EXPECT_TRUE(passes([](ServerPolicy& policy) {
    policy.authorizations.front().kind = Authorization::Kind::TlsAuthenticated;
    policy.authorizations.front().identities = {"client.shop.id"};
  }));
  EXPECT_TRUE(passes([](ServerPolicy& policy) {
    attach_route(policy);
    policy.protocol = Protocol::Opaque;
  }));
  // The probes of the kubelet are no route that somebody attached.
  EXPECT_TRUE(passes([](ServerPolicy& policy) {
    policy.routes.push_back(policy.routes.front());
    policy.routes.back().meta = Meta::implicit("probe");
  }));
}

TEST_F(Serve, TheEndOfAClientThatSaidNothingIsCarriedThrough) {
  for (const bool through : {false, true}) {
    for (const Duration pause : {0ms, 50ms}) {
      if (through) {
        connect_through(server_policy(Protocol::Detect));
      } else {
        connect(server_policy(Protocol::Detect));
      }
      loop.advance(pause);
      EXPECT_TRUE(client->try_shutdown());
      loop.advance(50ms);
      ASSERT_EQ(app.size(), 1U) << through;  // one connection, also where it was dialled early
      EXPECT_TRUE(app.back()->peer_closed());
      EXPECT_FALSE(app.back()->peer_aborted());
      app_says("226 done\r\n");
      EXPECT_TRUE(app.back()->try_shutdown());
      EXPECT_EQ(hear(), "226 done\r\n");
      EXPECT_TRUE(client->peer_closed());
      EXPECT_FALSE(client->peer_aborted());
      forget();
    }
  }
}

TEST_F(Serve, TheEndOfAClientIsNothingForAPortOfHttpOrForWhomItIsClosed) {
  for (const auto& policy :
       {server_policy(Protocol::Http1), server_policy(Protocol::Detect, attach_route),
        server_policy(Protocol::Detect, admit_nobody)}) {
    connect(policy);
    EXPECT_TRUE(client->try_shutdown());
    loop.advance(50ms);
    EXPECT_TRUE(app.empty());
    EXPECT_TRUE(client->peer_closed());
    forget();
  }
}

TEST_F(Serve, BytesEndWhenPolicyAdmitsThemNoLonger) {
  const auto bring_up = [&](Protocol protocol, bool greets) {
    greeting = greets ? "220 hi\r\n" : "";
    connect(server_policy(protocol));
    loop.advance(10ms);
    if (!greets) say("\x01\x02");
    loop.advance(10ms);
    EXPECT_EQ(app.size(), 1U);
    EXPECT_FALSE(client->peer_aborted());
  };
  for (const bool greets : {false, true}) {
    for (const Protocol protocol : {Protocol::Detect, Protocol::Opaque}) {
      for (const auto& now :
           {server_policy(protocol, admit_nobody), server_policy(Protocol::Detect, attach_route),
            server_policy(Protocol::Http2)}) {
        bring_up(protocol, greets);
        server.publish(kApp.port, now);
        loop.drain();
        EXPECT_TRUE(client->peer_aborted());
        EXPECT_TRUE(app.back()->peer_aborted());
        forget();
      }
    }
  }
}

// On the proxy's own port, with a transport header that says nothing of a protocol.
TEST_F(Serve, AnOpaqueTransportHeaderOpensNothing) {
  const auto arrive = [&](ServerPolicyPtr policy, std::string_view text) {
    server.publish(kApp.port, std::move(policy));
    auto [ours, theirs] = loop.pipe();
    client = std::move(ours);
    InboundSession session{server.worker(),
                           kApp,
                           server.worker().server_policies().acquire(kApp.port),
                           peer,
                           std::move(theirs),
                           server.worker().inbound_targets().at(kApp)};
    loop.drain();
    scope.spawn(serve_as_said(std::move(session), Session::Opaque));
    say(text);
    loop.advance(1ms);
  };
  for (const Protocol protocol : {Protocol::Detect, Protocol::Http1}) {
    arrive(server_policy(protocol), kRequest);
    expect_served("of a port that is not opaque");
    forget();
    arrive(server_policy(protocol, admit_nobody), kRequest);
    EXPECT_TRUE(hear().starts_with("HTTP/1.1 403 "));
    EXPECT_TRUE(app.empty());
    forget();
  }
  arrive(server_policy(Protocol::Http2), kRequest);
  EXPECT_EQ(app_heard(), "");
  forget();
  arrive(server_policy(Protocol::Detect, attach_route), "bytes\n");
  EXPECT_EQ(app_heard(), "");
  EXPECT_TRUE(client->peer_aborted());
  forget();
  arrive(server_policy(Protocol::Opaque), "bytes\n");
  EXPECT_EQ(app_heard(), "bytes\n");
}

// A WebSocket is held to the rules of the request that it began with, for as long as it lasts.
TEST_F(Serve, TunnelsEndWhenPolicyAdmitsThemNoLonger) {
  const auto bring_up = [&](const ServerPolicyPtr& policy) {
    connect(policy);
    say("GET /chat HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    EXPECT_NE(app_heard(), "");
    app_says(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    EXPECT_TRUE(hear().starts_with("HTTP/1.1 101 "));
    say("ping");
    EXPECT_EQ(app_heard(), "ping");
  };
  for (const Protocol protocol : {Protocol::Detect, Protocol::Http1}) {
    bring_up(server_policy(protocol));
    server.publish(kApp.port, server_policy(protocol, attach_route));  // admits it as well
    say("still");
    EXPECT_EQ(app_heard(), "still");
    server.publish(kApp.port, server_policy(protocol, admit_nobody));
    loop.drain();
    EXPECT_TRUE(client->peer_aborted());
    EXPECT_TRUE(app.back()->peer_aborted());
    forget();
  }
  EXPECT_NE(server.scrape().find("\ninbound_tcp_authz_terminate_total{"), std::string::npos);
}

// What a filter changes of the head that began a tunnel is no reason to end it.
TEST_F(Serve, TunnelsAreHeldToWhatTheirClientSent) {
  connect(server_policy(Protocol::Http1, [](ServerPolicy& policy) {
    attach_route(policy);
    auto& rule = policy.routes.front().rules.front();
    rule.matches.emplace_back().headers.push_back({"x-env", "a", nullptr});
    Filter edit;
    edit.kind = Filter::Kind::RequestHeaders;
    edit.edit.remove = {"x-env"};
    rule.filters = {edit};
  }));
  say("GET /chat HTTP/1.1\r\nHost: web\r\nX-Env: a\r\nConnection: upgrade\r\n"
      "Upgrade: websocket\r\n\r\n");
  EXPECT_EQ(app_heard().find("X-Env"), std::string::npos);
  app_says("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_TRUE(hear().starts_with("HTTP/1.1 101 "));
  say("ping");
  EXPECT_EQ(app_heard(), "ping");
  EXPECT_FALSE(client->peer_aborted());
}

}  // namespace
}  // namespace tulle::proxy
