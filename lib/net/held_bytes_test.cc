// SPDX-License-Identifier: Apache-2.0
#include "lib/net/held_bytes.h"

#include <gtest/gtest.h>

#include <deque>

namespace tulle::net {
namespace {

class Half final : public HeldBytes::Holder {
 public:
  Half(HeldBytes& held, std::string_view client) : Holder(&held, *IpAddr::parse(client)) {}
  bool gone = false;

 private:
  void give_way() override { gone = true; }
};

TEST(HeldBytes, WhatIsWholeCountsNoMore) {
  HeldBytes held(100);
  Half a(held, "10.0.0.1");
  a.hold(60);
  a.hold(90);
  EXPECT_EQ(held.total(), 90U);
  a.hold(0);
  EXPECT_EQ(held.total(), 0U);
  {
    Half b(held, "10.0.0.1");
    b.hold(50);
  }
  EXPECT_EQ(held.total(), 0U);
  EXPECT_FALSE(a.gone);
}

TEST(HeldBytes, TheOldestGivesWay) {
  auto shed = std::make_shared<metrics::Counter>();
  HeldBytes held(100, shed);
  Half a(held, "10.0.0.1"), b(held, "10.0.0.2"), c(held, "10.0.0.3");
  b.hold(40);
  a.hold(40);
  b.hold(45);  // it began before a all the same
  c.hold(40);
  EXPECT_TRUE(b.gone);
  EXPECT_FALSE(a.gone);
  EXPECT_FALSE(c.gone);
  EXPECT_EQ(held.total(), 80U);
  EXPECT_EQ(shed->value(), 1U);
  b.hold(70);  // ignored
  EXPECT_EQ(held.total(), 80U);
}

TEST(HeldBytes, OneSourceCannotTakeAwayWhatOthersHaveBegun) {
  HeldBytes held(1000);
  Half kept(held, "10.0.0.1");
  kept.hold(100);
  std::deque<Half> flood;
  for (int i = 0; i < 1000; ++i) {
    // All of one /64 are one source.
    flood.emplace_back(held, "fd00::" + std::to_string(i % 10));
    flood.back().hold(50);
  }
  EXPECT_FALSE(kept.gone);
  EXPECT_FALSE(flood.back().gone);
  EXPECT_LE(held.total(), 1000U);
}

TEST(HeldBytes, ManySourcesPushOutTheOldestOfAll) {
  HeldBytes held(1000);
  std::deque<Half> all;
  for (int i = 0; i < 200; ++i) {
    all.emplace_back(held, "10.0.0." + std::to_string(i));
    all.back().hold(50);
    EXPECT_LE(held.total(), 1000U);
  }
  EXPECT_TRUE(all.front().gone);
  EXPECT_FALSE(all.back().gone);
}

TEST(HeldBytes, WhoAloneWantsMoreThanAllGivesWayItself) {
  HeldBytes held(100);
  Half a(held, "10.0.0.1");
  a.hold(101);
  EXPECT_TRUE(a.gone);
  EXPECT_EQ(held.total(), 0U);
}

}  // namespace
}  // namespace tulle::net
