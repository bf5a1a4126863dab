// SPDX-License-Identifier: Apache-2.0
#include "proxy/endpoint/balancer.h"

#include <gtest/gtest.h>

#include <map>

#include "proxy/endpoint/endpoint.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using test::endpoints;

struct BalancerTest : ::testing::Test {
  BalancerTest() : balancer(loop(), factory, {.load = {}, .requests = {3s, 2}}, 7) {
    factory.worker = &world.worker();
  }
  struct Factory final : Balancer::EndpointFactory {
    std::shared_ptr<Endpoint> make_endpoint(const EndpointPtr& info) override {
      ++made;
      return std::make_shared<Endpoint>(worker->endpoint_context(), info);
    }
    Worker* worker = nullptr;
    int made = 0;
  };
  testing::SimLoop& loop() { return world.loop(); }
  Result<Balancer::Lease> pick(Duration within = Duration::zero(),
                               const Endpoint* avoid = nullptr) {
    auto lease = loop().run(balancer.pick(avoid), within);
    if (!lease) return Error{Errc::Timeout, "test"};
    return std::move(*lease);
  }
  static net::Task<void> hold(Balancer& balancer, std::optional<Result<Balancer::Lease>>& out) {
    out.emplace(co_await balancer.pick());
  }
  std::string where(const Result<Balancer::Lease>& lease) {
    return lease ? (*lease)->info().addr.to_string() : std::string(lease.error().where);
  }
  // A dial that fails: the endpoint is not usable for a while.
  void break_endpoint(const std::shared_ptr<Endpoint>& endpoint) {
    EXPECT_FALSE(*loop().run(endpoint->connect(), 1ms));
  }

  test::TestWorker world;
  Factory factory;
  Balancer balancer;
};

TEST_F(BalancerTest, ChoosesAmongAllAndPrefersTheFaster) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}));
  std::map<std::string, int> counts;
  for (int i = 0; i < 3000; ++i) {
    Result<Balancer::Lease> lease = pick();
    ASSERT_TRUE(lease);
    const std::string at = (*lease)->info().addr.to_string();
    ++counts[at];
    lease->record(at == "10.0.0.3:80" ? 200ms : 10ms);
  }
  EXPECT_GT(counts["10.0.0.1:80"], 1000);
  EXPECT_GT(counts["10.0.0.2:80"], 1000);
  EXPECT_LT(counts["10.0.0.3:80"], 200);
}

TEST_F(BalancerTest, SpreadsWhatIsInFlight) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"}));
  std::vector<Balancer::Lease> held;
  std::map<std::string, int> counts;
  for (int i = 0; i < 400; ++i) {
    Result<Balancer::Lease> lease = pick();
    ASSERT_TRUE(lease);
    ++counts[(*lease)->info().addr.to_string()];
    held.push_back(std::move(*lease));
  }
  for (const auto& [at, count] : counts) {
    EXPECT_GT(count, 85) << at;
    EXPECT_LT(count, 115) << at;
  }
}

// An endpoint that was slow is tried again once its estimate has faded.
TEST_F(BalancerTest, ASlowEndpointComesBack) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
  const auto share = [&] {
    int slow = 0;
    for (int i = 0; i < 200; ++i) {
      Result<Balancer::Lease> lease = pick();
      EXPECT_TRUE(lease);
      if ((*lease)->info().addr.ip.to_string() == "10.0.0.2") {
        ++slow;
      } else {
        lease->record(10ms);
      }
    }
    return slow;
  };
  for (int i = 0; i < 20; ++i) {
    Result<Balancer::Lease> lease = pick();
    lease->record((*lease)->info().addr.ip.to_string() == "10.0.0.2" ? 5s : 10ms);
  }
  EXPECT_LT(share(), 20);
  loop().advance(90s);
  EXPECT_GT(share(), 20);
}

TEST_F(BalancerTest, WaitsForTheFirstEndpointAndThenFailsFast) {
  EXPECT_EQ(where(pick(2s)), "test");  // still waiting
  std::optional<Result<Balancer::Lease>> waiting;
  net::TaskScope scope;
  scope.spawn(hold(balancer, waiting));
  loop().advance(500ms);
  EXPECT_FALSE(waiting);
  balancer.update(endpoints({"10.0.0.1:80"}));
  loop().drain();
  ASSERT_TRUE(waiting);
  EXPECT_TRUE(*waiting);
}

TEST_F(BalancerTest, FailFastNeverLatches) {
  const Result<Balancer::Lease> first = pick(10s);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, Errc::Unavailable);  // had waited: 504
  EXPECT_EQ(first.error().where, "no endpoints");
  const Result<Balancer::Lease> second = pick();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::ResourceExhausted);  // at once: 503
  balancer.update(endpoints({"10.0.0.1:80"}));
  EXPECT_TRUE(pick());
  // Gone again without a request in between: the next one waits anew.
  balancer.update(endpoints({}));
  EXPECT_EQ(where(pick(2s)), "test");
  loop().advance(10s);
  balancer.update(endpoints({"10.0.0.1:80"}));
  balancer.update(endpoints({}));
  EXPECT_EQ(where(pick(2s)), "test");
}

// No request waits for a dial that failed before: it is tried again beside them.
TEST_F(BalancerTest, AnEndpointThatCannotBeDialledIsLeftOutUntilAProbeReachesIt) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
  Result<Balancer::Lease> lease = pick();
  const std::shared_ptr<Endpoint> broken = lease->endpoint();
  lease = Error{Errc::Cancelled, "given back"};
  break_endpoint(broken);
  int dials = world.dials();
  for (int i = 0; i < 50; ++i) EXPECT_NE(pick()->endpoint(), broken);
  EXPECT_EQ(world.dials(), dials);  // too early
  for (int second = 0; second < 10; ++second) {
    loop().advance(1s);
    for (int i = 0; i < 50; ++i) EXPECT_NE(pick()->endpoint(), broken);
    EXPECT_EQ(world.dials(), ++dials);  // once, however many ask
  }
  world.on_dial([](Session, std::unique_ptr<testing::PipeEnd>) {});
  loop().advance(1s);
  int again = 0;
  for (int i = 0; i < 50; ++i) again += pick()->endpoint() == broken ? 1 : 0;
  EXPECT_GT(again, 0);
  // One request may try it; that it works is not known yet.
  EXPECT_TRUE(broken->failing());
  EXPECT_TRUE(*loop().run(broken->connect(), 1ms));
  EXPECT_FALSE(broken->failing());
}

// The connection that a probe makes is there for the requests.
TEST_F(BalancerTest, AnEndpointThatFellSilentComesBackWithAConnection) {
  std::vector<std::unique_ptr<testing::PipeEnd>> servers;
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
  const std::shared_ptr<Endpoint> silent = pick()->endpoint();
  silent->lost();
  loop().advance(1s);
  for (int i = 0; i < 50; ++i) EXPECT_NE(pick()->endpoint(), silent);
  EXPECT_EQ(world.dials(), 1);
  world.on_dial([&](Session session, std::unique_ptr<testing::PipeEnd> stream) {
    EXPECT_EQ(session, Session::Http2);
    servers.push_back(std::move(stream));
  });
  loop().advance(2s);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(pick());
  EXPECT_EQ(servers.size(), 1U);
  EXPECT_FALSE(silent->failing());
  EXPECT_TRUE(silent->pool().http2_ready());
}

// The endpoints of a node are neighbours in the list.
TEST_F(BalancerTest, TheOneBehindManyThatCannotBeReachedIsDrawnAsOftenAsOthers) {
  std::vector<std::string> at;
  for (int i = 10; i < 40; ++i) at.push_back(concat("10.0.0.", std::to_string(i), ":80"));
  balancer.update(endpoints(at));
  std::map<std::string, std::shared_ptr<Endpoint>> all;
  while (all.size() < at.size()) {
    const std::shared_ptr<Endpoint> one = pick()->endpoint();
    all[one->info().addr.to_string()] = one;
  }
  for (int i = 10; i < 25; ++i) break_endpoint(all[concat("10.0.0.", std::to_string(i), ":80")]);
  std::map<std::string, int> counts;
  for (int i = 0; i < 3000; ++i) {
    ++counts[(*pick())->info().addr.to_string()];
  }
  EXPECT_EQ(counts.size(), 15U);
  EXPECT_LT(counts["10.0.0.25:80"], 3 * 3000 / 15);
}

// Whoever asks dials itself: a probe beside it would be a second connection.
TEST_F(BalancerTest, WhileNoneCanBeReachedNothingIsProbed) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
  for (int i = 0; i < 2; ++i) break_endpoint(pick()->endpoint());
  const int dials = world.dials();
  loop().advance(1s);
  EXPECT_TRUE(pick());
  EXPECT_EQ(world.dials(), dials);
  // But for who would go elsewhere meanwhile.
  EXPECT_FALSE(balancer.ready());
  EXPECT_EQ(world.dials(), dials + 2);
}

TEST_F(BalancerTest, WhileNoneCanBeReachedRequestsWaitAndTryThemselves) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
  for (int i = 0; i < 2; ++i) break_endpoint(pick()->endpoint());
  EXPECT_FALSE(balancer.ready());
  EXPECT_TRUE(pick(2s));
}

// A dial would say nothing of it: its proxy lives.
TEST_F(BalancerTest, AnEndpointWhoseApplicationRefusesIsTriedByARequest) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
  Result<Balancer::Lease> lease = pick();
  const std::shared_ptr<Endpoint> broken = lease->endpoint();
  lease = Error{Errc::Cancelled, "given back"};
  broken->refused();
  for (int i = 0; i < 50; ++i) EXPECT_NE(pick()->endpoint(), broken);
  loop().advance(1s);
  int again = 0;
  for (int i = 0; i < 50; ++i) again += pick()->endpoint() == broken ? 1 : 0;
  EXPECT_GT(again, 0);
  EXPECT_EQ(world.dials(), 0);
}

TEST_F(BalancerTest, AnotherOneIsFoundForASecondTry) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
  for (int i = 0; i < 20; ++i) {
    Result<Balancer::Lease> first = pick();
    Result<Balancer::Lease> second = pick(Duration::zero(), &**first);
    EXPECT_NE(first->endpoint(), second->endpoint());
  }
  balancer.update(endpoints({"10.0.0.1:80"}));
  Result<Balancer::Lease> only = pick();
  EXPECT_EQ(pick(Duration::zero(), &**only)->endpoint(), only->endpoint());
}

TEST_F(BalancerTest, EndpointsThatStayKeepWhatIsKnownOfThem) {
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
  EXPECT_EQ(factory.made, 2);
  balancer.update(endpoints({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}));
  EXPECT_EQ(factory.made, 3);
  Result<Balancer::Lease> lease = pick();
  balancer.update(endpoints({}));
  EXPECT_EQ((*lease)->info().addr.port, 80);  // a lease outlives its endpoint's removal
}

TEST_F(BalancerTest, TheQueueHasABoundAndDiscoveryMayFailForGood) {
  std::optional<Result<Balancer::Lease>> a;
  std::optional<Result<Balancer::Lease>> b;
  net::TaskScope scope;
  scope.spawn(hold(balancer, a));
  scope.spawn(hold(balancer, b));
  loop().drain();
  EXPECT_EQ(balancer.queued(), 2U);
  const Result<Balancer::Lease> third = pick();
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, Errc::ResourceExhausted);
  EndpointSet failed;
  failed.known = true;
  failed.failure = "no such service";
  balancer.update(failed);
  loop().drain();
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->error().where, "discovery failed");
  EXPECT_EQ(pick().error().where, "discovery failed");
}

TEST_F(BalancerTest, IsCounted) {
  const auto value = [&](const std::string& name) {
    return world.value("outbound_http_balancer_" + name);
  };
  {
    Balancer counted(loop(), factory, {.load = {}, .requests = {3s, 2}}, 7,
                     world.metrics().balancer({{"a", "b"}}));
    EXPECT_EQ(value("queue_gate_timeout_seconds{a=\"b\"}"), 3);
    EXPECT_EQ(value("queue_gate_shut_time_seconds{a=\"b\"}"), 0);
    const auto now = [] {
      return static_cast<double>(
          std::chrono::floor<std::chrono::seconds>(wall_now()).time_since_epoch().count());
    };
    const double before = now();
    EXPECT_FALSE(loop().run(counted.pick(), 3s)->has_value());
    EXPECT_GE(value("queue_gate_shut_time_seconds{a=\"b\"}"), before);
    EXPECT_LE(value("queue_gate_shut_time_seconds{a=\"b\"}"), now());
    EXPECT_EQ(value("queue_gate_open_time_seconds{a=\"b\"}"), 0);
    EXPECT_EQ(value("queue_gate_shut_total{a=\"b\"}"), 1);
    EXPECT_EQ(value("queue_length{a=\"b\"}"), 0);
    counted.update(endpoints({"10.0.0.1:80", "10.0.0.2:80"}));
    EXPECT_EQ(value("queue_gate_open_total{a=\"b\"}"), 1);
    EXPECT_GE(value("queue_gate_open_time_seconds{a=\"b\"}"), before);
    EXPECT_EQ(value("p2c_updates_total{a=\"b\",op=\"Reset\"}"), 1);
    counted.update(endpoints({"10.0.0.1:80", "10.0.0.3:80"}));
    EXPECT_EQ(value("p2c_updates_total{a=\"b\",op=\"Add\"}"), 1);
    EXPECT_EQ(value("p2c_updates_total{a=\"b\",op=\"Remove\"}"), 1);
    EXPECT_EQ(value("p2c_endpoints{a=\"b\"}"), 2);
    Result<Balancer::Lease> lease = std::move(*loop().run(counted.pick()));
    EXPECT_EQ(value("queue_requests_total{a=\"b\"}"), 1);
    break_endpoint(lease->endpoint());
    counted.fold();
    EXPECT_EQ(value("endpoints{a=\"b\",endpoint_state=\"ready\"}"), 1);
    EXPECT_EQ(value("endpoints{a=\"b\",endpoint_state=\"pending\"}"), 1);
  }
  EXPECT_EQ(value("p2c_endpoints{a=\"b\"}"), 0);
  EXPECT_EQ(value("endpoints{a=\"b\",endpoint_state=\"pending\"}"), 0);
}

TEST(PeakEwma, JumpsUpAndDecaysDown) {
  const EwmaOptions options;
  TimePoint now{1000s};
  PeakEwma load(options, now);
  EXPECT_DOUBLE_EQ(load.load(now, options), 30e6);
  load.record(100ms, now, options);
  EXPECT_DOUBLE_EQ(load.load(now, options), 100e6);
  now += 10s;
  EXPECT_NEAR(load.load(now, options), 100e6 * 0.3679, 1e5);
  load.record(0ms, now, options);  // counts as 1 ms
  EXPECT_NEAR(load.load(now, options), 100e6 * 0.3679 * 0.3679 + 1e6 * 0.632, 1e6);
  load.began();
  load.began();
  EXPECT_EQ(load.pending(), 2U);
  const double three = load.load(now, options);
  load.finished();
  load.finished();
  EXPECT_DOUBLE_EQ(three, load.load(now, options) * 3);
}

}  // namespace
}  // namespace tulle::proxy
