// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/learned.h"

#include <gtest/gtest.h>

namespace tulle::proxy {
namespace {

net::SocketAddr at(std::uint16_t port) { return {net::IpAddr::v4(0x0A000001), port}; }

TEST(Learned, OneConnectionFindsOutAtATime) {
  LearnedTargets all;
  Learned one(all);
  Learned two(all);
  {
    const Learned::Try first = one.begin_try(at(1));
    EXPECT_TRUE(first);
    EXPECT_FALSE(one.begin_try(at(1)));
    EXPECT_FALSE(two.begin_try(at(1)));  // of any worker
    EXPECT_TRUE(two.begin_try(at(2)));
  }
  EXPECT_TRUE(two.begin_try(at(1)));
}

TEST(Learned, WhatOneWorkerLearnsTheOthersKnow) {
  LearnedTargets all;
  Learned one(all);
  Learned two(all);
  EXPECT_EQ(two.of(at(1)), Learned::What::Nothing);
  one.http(at(1));
  EXPECT_EQ(two.of(at(1)), Learned::What::Http);
  one.server_first(at(2));
  EXPECT_EQ(two.of(at(2)), Learned::What::ServerFirst);
}

// HTTP to a server that speaks first (a scrape of every port) clears what was learned: silence is
// waited out again. That nobody need ask any more is believed only when nothing else comes.
TEST(Learned, HttpOnceClearsWhatWasLearned) {
  LearnedTargets all;
  Learned learned(all);
  learned.server_first(at(1));
  EXPECT_EQ(learned.of(at(1)), Learned::What::ServerFirst);
  learned.http(at(1));
  EXPECT_EQ(learned.of(at(1)), Learned::What::Nothing);
  learned.server_first(at(1));
  EXPECT_EQ(learned.of(at(1)), Learned::What::ServerFirst);
  for (int i = 0; i < 15; ++i) learned.http(at(1));
  EXPECT_EQ(learned.of(at(1)), Learned::What::Nothing);
  learned.http(at(1));
  EXPECT_EQ(learned.of(at(1)), Learned::What::Http);
  // What has never spoken first needs no second proof.
  learned.http(at(2));
  EXPECT_EQ(learned.of(at(2)), Learned::What::Http);
}

TEST(Learned, HasABound) {
  LearnedTargets all;
  for (std::uint32_t i = 0; i < 20'000; ++i) all.http({net::IpAddr::v4(0x0A000000 + i), 80});
  int known = 0;
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    known += all.of({net::IpAddr::v4(0x0A000000 + i), 80}) == Learned::What::Http ? 1 : 0;
  }
  EXPECT_EQ(known, 4096);
}

}  // namespace
}  // namespace tulle::proxy
