// SPDX-License-Identifier: Apache-2.0
#include "proxy/watch/cache.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "lib/testing/sim.h"

namespace tulle::proxy {
namespace {

net::Task<void> go_on(net::Loop& loop) { co_await net::sleep_for(loop, 100'000h); }

struct WatchTest : ::testing::Test {
  using Hub = WatchHub<std::string, std::string>;
  using Cache = WatchCache<std::string, std::string>;
  WatchTest()
      : hub(loop, [this](std::string key, Hub::Publish publish) {
          ++watches;
          publishers[key] = std::move(publish);
          return go_on(loop);
        }),
        cache(loop, hub, 5s) {}
  void publish(const std::string& key, const std::string& value) {
    loop.drain();
    publishers.at(key)(std::make_shared<const std::string>(value));
    loop.drain();
  }
  static std::string text(const Cache::Handle& handle) { return handle.get() ? *handle.get() : "nothing"; }

  testing::SimLoop loop;
  std::map<std::string, Hub::Publish> publishers;
  int watches = 0;
  Hub hub;
  Cache cache;
};

TEST_F(WatchTest, OneWatchForAllAndEachStateReachesThem) {
  Cache second(loop, hub, 5s);
  const auto a = cache.acquire("k");
  const auto b = cache.acquire("k");
  const auto c = second.acquire("k");
  EXPECT_EQ(text(a), "nothing");
  publish("k", "1");
  EXPECT_EQ(watches, 1);
  for (const auto* handle : {&a, &b, &c}) EXPECT_EQ(text(*handle), "1");
  std::vector<std::string> heard;
  std::function<void(const Cache::Value&)> listener = [&](const Cache::Value& value) { heard.push_back(*value); };
  a.listen(&listener);
  publish("k", "2");
  a.unlisten(&listener);
  publish("k", "3");
  EXPECT_EQ(heard, std::vector<std::string>{"2"});
  EXPECT_EQ(text(c), "3");
}

TEST_F(WatchTest, WhatIsUnusedIsNotWatchedAnyMore) {
  { const auto handle = cache.acquire("k"); }
  loop.advance(4s);
  { const auto handle = cache.acquire("k"); }
  EXPECT_EQ(hub.size(), 1U);
  loop.advance(6s);
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(hub.size(), 0U);
  EXPECT_EQ(watches, 1);
}

// Design rule 3.11: nothing is forgotten while the control plane is away.
TEST_F(WatchTest, NothingIsForgottenWhileNobodyAnswers) {
  TimePoint heard = loop.get().now();
  int asked = 0;
  bool alive = false;
  Hub silent(loop, [this](std::string key, Hub::Publish publish) {
    publishers[key] = std::move(publish);
    return go_on(loop);
  }, {[&heard] { return heard; }, [&] {
    ++asked;
    if (alive) heard = loop.get().now() + 1ms;
  }});
  Cache kept(loop, silent, 5s);
  {
    const auto handle = kept.acquire("k");
    publish("k", "old");
  }
  loop.advance(10min);
  EXPECT_GT(asked, 0);
  EXPECT_EQ(text(kept.acquire("k")), "old");
  // It answers again: what is unused goes.
  alive = true;
  loop.advance(1min);
  EXPECT_EQ(kept.size(), 0U);
}

TEST_F(WatchTest, PortsHaveTheirDefaultAtOnce) {
  Cache ports(loop, hub, 5s, [](const std::string&) { return std::make_shared<const std::string>("default"); });
  const auto handle = ports.acquire("k");
  EXPECT_EQ(text(handle), "default");
  publish("k", "strict");
  EXPECT_EQ(text(handle), "strict");
}

TEST_F(WatchTest, PinnedKeysAreWatchedWithoutUsers) {
  hub.pin("k");
  EXPECT_EQ(watches, 1);
  publish("k", "1");
  EXPECT_EQ(*hub.current("k"), "1");
  {
    const auto handle = cache.acquire("k");
    loop.drain();
    EXPECT_EQ(text(handle), "1");
  }
  loop.advance(60s);
  EXPECT_EQ(hub.size(), 1U);
}

}  // namespace
}  // namespace tulle::proxy
