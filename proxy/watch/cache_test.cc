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
      : hub(loop,
            [this](std::string key, Hub::Publish publish) {
              ++watches;
              publishers[key] = std::move(publish);
              return go_on(loop);
            }),
        cache(loop, hub, 5s, kWeigh) {}
  void publish(const std::string& key, const std::string& value) {
    loop.drain();
    publishers.at(key)(std::make_shared<const std::string>(value));
    loop.drain();
  }
  static std::string text(const Cache::Handle& handle) {
    return handle.get() ? *handle.get() : "nothing";
  }

  static constexpr auto kWeigh = [](const std::string& text) { return text.size(); };

  testing::SimLoop loop;
  std::map<std::string, Hub::Publish> publishers;
  int watches = 0;
  Hub hub;
  Cache cache;
};

TEST_F(WatchTest, OneWatchForAllAndEachStateReachesThem) {
  Cache second(loop, hub, 5s, kWeigh);
  const auto a = cache.acquire("k");
  const auto b = cache.acquire("k");
  const auto c = second.acquire("k");
  EXPECT_EQ(text(a), "nothing");
  publish("k", "1");
  EXPECT_EQ(watches, 1);
  for (const auto* handle : {&a, &b, &c}) EXPECT_EQ(text(*handle), "1");
  std::vector<std::string> heard;
  std::function<void(const Cache::Value&)> listener = [&](const Cache::Value& value) {
    heard.push_back(*value);
  };
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
  Hub silent(loop,
             [this](std::string key, Hub::Publish publish) {
               publishers[key] = std::move(publish);
               return go_on(loop);
             },
             {[&heard] { return heard; },
              [&] {
                ++asked;
                if (alive) heard = loop.get().now() + 1ms;
              }});
  Cache kept(loop, silent, 5s, kWeigh);
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

// The control plane goes after a target was let go of: its last known state serves, until there is
// a fresh one.
TEST_F(WatchTest, WhatWasLetGoOfIsRemembered) {
  bool away = false;
  Hub quiet(loop,
            [this](std::string key, Hub::Publish publish) {
              publishers[key] = std::move(publish);
              return go_on(loop);
            },
            {.heard_at = {}, .ask = {}, .away = [&away] { return away; }});
  Cache again(loop, quiet, 5s, kWeigh);
  {
    const auto handle = again.acquire("k");
    publish("k", "old");
  }
  loop.advance(10s);
  EXPECT_EQ(again.size(), 0U);
  EXPECT_EQ(quiet.remembered(), 1U);
  {
    // It is asked first; its silence is noticed in a second.
    const auto handle = again.acquire("k");
    std::vector<std::string> heard;
    std::function<void(const Cache::Value&)> listener = [&](const Cache::Value& value) {
      heard.push_back(*value);
    };
    handle.listen(&listener);
    loop.advance(900ms);
    EXPECT_EQ(text(handle), "nothing");
    loop.advance(200ms);
    EXPECT_EQ(text(handle), "old");
    publish("k", "new");
    EXPECT_EQ(text(handle), "new");
    EXPECT_EQ(heard, (std::vector<std::string>{"old", "new"}));
    handle.unlisten(&listener);
  }
  loop.advance(10s);
  // Known to be away: nothing is waited for.
  away = true;
  EXPECT_EQ(text(again.acquire("k")), "new");
  EXPECT_EQ(text(again.acquire("never seen")), "nothing");
  // Let go of before there was an answer: still remembered.
  away = false;
  loop.advance(10s);
  { const auto handle = again.acquire("k"); }
  loop.advance(10s);
  EXPECT_EQ(again.size(), 0U);
  const auto handle = again.acquire("k");
  loop.advance(1100ms);
  EXPECT_EQ(text(handle), "new");
}

// Which worker meets a target is chance: what one knows or knew, all do.
TEST_F(WatchTest, WorkersShareWhatIsKnown) {
  Cache second(loop, hub, 5s, kWeigh);
  {
    const auto handle = cache.acquire("k");
    publish("k", "old");
    EXPECT_EQ(text(second.acquire("k")), "old");  // at once, not when the control loop comes to it
  }
  loop.advance(12s);
  EXPECT_EQ(hub.size(), 0U);
  Cache third(loop, hub, 5s, kWeigh);
  const auto handle = third.acquire("k");
  EXPECT_EQ(text(handle), "nothing");
  loop.advance(1100ms);
  EXPECT_EQ(text(handle), "old");
}

TEST_F(WatchTest, AFreshStateIsNotReplacedByARememberedOne) {
  {
    const auto handle = cache.acquire("k");
    publish("k", "old");
  }
  loop.advance(10s);
  const auto handle = cache.acquire("k");
  publish("k", "fresh");
  loop.advance(10s);
  EXPECT_EQ(text(handle), "fresh");
}

TEST(LastKnown, IsBoundedByNumberAndBytes) {
  LastKnown<std::string, std::string> known({.count = 3, .bytes = 100});
  const auto put = [&](const char* key, std::size_t bytes) {
    known.put(key, std::make_shared<const std::string>(key), bytes);
  };
  for (const char* key : {"a", "b", "c", "d"}) put(key, 10);
  EXPECT_EQ(known.find("a"), nullptr);
  EXPECT_EQ(known.size(), 3U);
  put("b", 20);  // used again: c is the oldest now
  put("e", 85);
  EXPECT_EQ(known.size(), 1U);
  EXPECT_EQ(known.bytes(), 85U);
  ASSERT_NE(known.find("e"), nullptr);
  put("huge", 101);
  EXPECT_EQ(known.find("huge"), nullptr);
  EXPECT_NE(known.find("e"), nullptr);
  put("e", 101);  // its old state is not its state any more
  EXPECT_EQ(known.find("e"), nullptr);
  EXPECT_EQ(known.bytes(), 0U);
}

// What stands in until a state is known is no state: it is not remembered, and gives way to one
// that is.
TEST_F(WatchTest, SomethingStandsInUntilAStateIsKnown) {
  const auto stand_in = [](const std::string&) {
    return std::make_shared<const std::string>("closed");
  };
  Cache ports(loop, hub, 5s, kWeigh, stand_in);
  { const auto handle = ports.acquire("k"); }
  loop.advance(10s);
  EXPECT_EQ(ports.size(), 0U);
  EXPECT_EQ(hub.remembered(), 0U);
  {
    const auto handle = ports.acquire("k");
    EXPECT_EQ(text(handle), "closed");
    publish("k", "strict");
    EXPECT_EQ(text(handle), "strict");
  }
  loop.advance(10s);
  EXPECT_EQ(ports.size(), 0U);
  // Nobody answers: the last known state, once that has been noticed.
  const auto handle = ports.acquire("k");
  EXPECT_EQ(text(handle), "closed");
  loop.advance(1100ms);
  EXPECT_EQ(text(handle), "strict");
}

TEST_F(WatchTest, PinnedKeysAreAwaitedUntilTheirFirstState) {
  EXPECT_EQ(hub.awaited(), 0U);
  hub.pin("a");
  hub.pin("b");
  hub.pin("b");
  const auto other = cache.acquire("c");
  loop.drain();
  EXPECT_EQ(hub.awaited(), 2U);
  publish("c", "1");
  EXPECT_EQ(hub.awaited(), 2U);
  hub.pin("c");
  publish("a", "1");
  publish("a", "2");
  EXPECT_EQ(hub.awaited(), 1U);
  publish("b", "1");
  EXPECT_EQ(hub.awaited(), 0U);
}

TEST_F(WatchTest, RoomIsMadeByForgettingTheLongestUnused) {
  const auto counts = [](const std::string& key) { return key != "mine"; };
  { const auto mine = cache.acquire("mine"); }
  for (const char* const key : {"served", "a", "b"}) {
    ASSERT_TRUE(cache.make_room(3, 5, counts)) << key;
    { const auto handle = cache.acquire(key); }
    publish(key, key);
    loop.advance(10ms);
  }
  cache.prefer("served");
  // Not at once: there may be a few more meanwhile.
  ASSERT_TRUE(cache.make_room(3, 5, counts));
  EXPECT_TRUE(cache.contains("a"));
  loop.advance(1s);
  ASSERT_TRUE(cache.make_room(3, 5, counts));
  EXPECT_FALSE(cache.contains("a"));
  EXPECT_TRUE(cache.contains("b"));
  EXPECT_TRUE(cache.contains("served"));
  EXPECT_TRUE(cache.contains("mine"));
  EXPECT_NE(hub.last_known("a"), nullptr);
  // What is in use stays, and may be more, up to a bound.
  std::vector<Cache::Handle> used;
  for (const char* const key : {"b", "served", "c", "d", "e"}) {
    if (!cache.contains(key)) ASSERT_TRUE(cache.make_room(3, 5, counts)) << key;
    used.push_back(cache.acquire(key));
  }
  EXPECT_FALSE(cache.make_room(3, 5, counts));
  used.pop_back();
  loop.advance(1s);
  EXPECT_TRUE(cache.make_room(3, 5, counts));
  EXPECT_FALSE(cache.contains("e"));
  loop.drain();
  EXPECT_EQ(hub.size(), 5U);
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
