// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/known.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "proxy/inbound/direct.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using testing::PipeEnd;

constexpr std::uint16_t kPort = 8080;

net::Task<void> serve_when_known(InboundSession session) {
  co_await policy_known(session);
  co_await serve_secured(std::move(session), nullptr);
}

// An application behind a port whose policy the test tells when it likes.
struct Known : ::testing::Test {
  Known() {
    world.on_dial([this](Session, std::unique_ptr<PipeEnd> stream) {
      ASSERT_TRUE(stream->try_write(as_bytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")));
      application.push_back(std::move(stream));
    });
  }
  // A connection that says `text` at once.
  std::unique_ptr<PipeEnd> connect(std::string_view text, std::uint16_t port = kPort) {
    const net::SocketAddr target{kTarget.ip, port};
    PortHandle watched = watch_port(world.worker(), port);
    EXPECT_TRUE(watched);
    auto [ours, theirs] = world.loop().pipe();
    EXPECT_TRUE(ours->try_write(as_bytes(text)));
    InboundSession session{world.worker(),     target,
                           std::move(watched), test::peer("10.0.0.9"),
                           std::move(theirs),  world.worker().inbound_targets().at(target)};
    scope.spawn(serve_when_known(std::move(session)));
    world.loop().drain();
    return std::move(ours);
  }
  std::string received(PipeEnd& stream) {
    world.loop().drain();
    std::string text(as_text(stream.pending()));
    std::uint8_t room[4096];
    [[maybe_unused]] const auto n = stream.try_read(room);
    return text;
  }
  std::string status(PipeEnd& stream) {
    const std::string text = received(stream);
    return text.size() < 12 ? text : text.substr(9, 3);
  }
  void tell(bool admit, std::uint16_t port = kPort, const Meta* server = nullptr) {
    auto policy = std::make_shared<ServerPolicy>(*default_server_policy(
        test::small_config({{"INBOUND_DEFAULT_POLICY", admit ? "all-unauthenticated" : "deny"}}),
        port));
    if (server != nullptr) policy->meta = *server;
    world.publish(port, policy);
  }
  double held(const std::string& outcome) {
    return world.value("tulle_inbound_policy_holds_total{outcome=\"" + outcome + "\"}");
  }
  const net::SocketAddr kTarget = test::addr("10.0.0.5:8080");
  test::TestWorker world;
  std::vector<std::unique_ptr<PipeEnd>> application;
  net::TaskScope scope;
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";

TEST_F(Known, WhatComesIsHeldUntilThePolicyIsThere) {
  const auto client = connect(kGet);
  world.loop().advance(1s);
  EXPECT_EQ(received(*client), "");
  EXPECT_TRUE(application.empty());
  tell(true);
  EXPECT_EQ(status(*client), "200");
  EXPECT_EQ(held("known"), 1);
}

TEST_F(Known, ADenyMeetsTheVeryFirstRequest) {
  const auto client = connect(kGet);
  world.loop().advance(1s);
  tell(false);
  EXPECT_EQ(status(*client), "403");
  EXPECT_TRUE(application.empty());
}

TEST_F(Known, WhoIsHeldTooLongIsRefusedAndTheNextIsHeldAgain) {
  const auto client = connect(kGet);
  world.loop().advance(kPolicyHold - 10ms);
  EXPECT_EQ(received(*client), "");
  world.loop().advance(20ms);
  EXPECT_EQ(status(*client), "503");
  EXPECT_EQ(held("refused"), 1);
  const auto next = connect(kGet);
  world.loop().advance(100ms);
  tell(true);
  EXPECT_EQ(status(*next), "200");
  EXPECT_EQ(application.size(), 1U);
}

TEST_F(Known, BytesAreRefusedByAReset) {
  const auto client = connect("0123\r\n");
  world.loop().advance(kPolicyHold + 12s);
  EXPECT_TRUE(client->peer_aborted());
  EXPECT_TRUE(application.empty());
  EXPECT_EQ(world.dials(), 0);
}

// A policy that was known holds until a new one is.
TEST_F(Known, AKnownPolicyServesAtOnce) {
  tell(true);
  { const PortHandle watched = watch_port(world.worker(), kPort); }
  world.loop().drain();
  EXPECT_EQ(status(*connect(kGet)), "200");
  EXPECT_EQ(held("refused"), -1);
}

// Whoever scans ports asks for the policy of each; what that costs is bounded.
TEST_F(Known, AScanOfPortsIsBounded) {
  auto& policies = world.worker().server_policies();
  const auto refused = [&] {
    return world.value("tulle_shed_total{direction=\"inbound\",reason=\"ports\"}");
  };
  std::size_t most = 0;
  // 500 a second: each is asked for.
  for (std::uint16_t port = 10'000; port < 16'000; ++port) {
    ASSERT_TRUE(watch_port(world.worker(), port)) << port;
    most = std::max(most, policies.size());
    world.loop().advance(2ms);
  }
  EXPECT_LE(most, 700U);
  EXPECT_EQ(refused(), -1);
  // All at once: a bound.
  for (std::uint16_t port = 20'000; port < 40'000; ++port) watch_port(world.worker(), port);
  EXPECT_EQ(policies.size(), 1024U);
  EXPECT_GT(refused(), 10'000);
  world.loop().advance(world.worker().config().inbound.discovery_idle + 10s);
  EXPECT_EQ(policies.size(), 0U);
}

TEST_F(Known, AScanDoesNotPushOutWhatIsServedNorWhatIsDeclared) {
  const std::map<std::string, std::string> settings = {{"INBOUND_PORTS", "80,9000-9200"}};
  test::TestWorker declaring(settings);
  Worker& worker = declaring.worker();
  watch_port(worker, 7777);
  worker.server_policies().prefer(7777);
  for (std::uint16_t port = 9000; port <= 9200; ++port) watch_port(worker, port);
  for (std::uint16_t port = 20'000; port < 21'000; ++port) {
    watch_port(worker, port);
    declaring.loop().advance(4ms);
  }
  EXPECT_TRUE(worker.server_policies().contains(7777));
  for (std::uint16_t port = 9000; port <= 9200; ++port)
    EXPECT_TRUE(worker.server_policies().contains(port)) << port;
}

TEST_F(Known, PortsThatAreNotDeclaredShareTheirLabels) {
  const Meta server{"policy.linkerd.io", "server", "", "srv", "", 0};
  for (std::uint16_t port = 9000; port < 9020; ++port) {
    tell(true, port);
    EXPECT_EQ(status(*connect(kGet, port)), "200");
    tell(false, port);
    EXPECT_EQ(status(*connect(kGet, port)), "403");
  }
  tell(true, 9100, &server);
  EXPECT_EQ(status(*connect(kGet, 9100)), "200");
  const std::string text = world.scrape();
  EXPECT_NE(
      text.find("target_addr=\"10.0.0.5:other\",target_ip=\"10.0.0.5\",target_port=\"other\""),
      std::string::npos);
  EXPECT_NE(text.find("srv_port=\"other\""), std::string::npos);
  EXPECT_NE(text.find("parent_port=\"other\""), std::string::npos);
  EXPECT_EQ(text.find("\"90"), std::string::npos);
  // A Server's port is named.
  EXPECT_NE(text.find("srv_name=\"srv\",srv_port=\"9100\""), std::string::npos);
}

}  // namespace
}  // namespace tulle::proxy
