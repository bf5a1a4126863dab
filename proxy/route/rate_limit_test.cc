// SPDX-License-Identifier: Apache-2.0
#include "proxy/route/rate_limit.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace tulle::proxy {
namespace {

using Scope = RateLimit::Scope;
constexpr TimePoint kStart{Duration{std::chrono::seconds{1000}}};

int admitted(RateLimit& limit, const std::string& identity, int tries, TimePoint now) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += limit.admit(identity, now) == Scope::None ? 1 : 0;
  return count;
}

TEST(RateLimit, ABurstIsOneSecondsWorthAndRefillsEvenly) {
  RateLimit limit({.total = 10});
  EXPECT_EQ(admitted(limit, "", 30, kStart), 10);
  EXPECT_EQ(limit.admit("", kStart), Scope::Total);
  EXPECT_EQ(admitted(limit, "", 30, kStart + 100ms), 1);
  EXPECT_EQ(admitted(limit, "", 30, kStart + 600ms), 5);
  EXPECT_EQ(admitted(limit, "", 30, kStart + 10s), 10);
}

TEST(RateLimit, EachIdentityHasItsOwnBucketAndTheNamelessShareOne) {
  RateLimit limit({.identity = 2});
  EXPECT_EQ(admitted(limit, "a", 5, kStart), 2);
  EXPECT_EQ(admitted(limit, "b", 5, kStart), 2);
  EXPECT_EQ(admitted(limit, "", 5, kStart), 2);
  EXPECT_EQ(limit.admit("a", kStart), Scope::Identity);
}

TEST(RateLimit, AnOverrideReplacesTheIdentityLimitAndIsShared) {
  RateLimit limit({.identity = 1, .overrides = {{3, {"a", "b"}}, {0, {"c"}}}});
  EXPECT_EQ(admitted(limit, "a", 2, kStart) + admitted(limit, "b", 5, kStart), 3);
  EXPECT_EQ(admitted(limit, "c", 5, kStart), 1);  // an override of nothing is none
  EXPECT_EQ(admitted(limit, "d", 5, kStart), 1);
}

TEST(RateLimit, TheTotalComesFirst) {
  RateLimit limit({.total = 1, .identity = 5});
  EXPECT_EQ(limit.admit("a", kStart), Scope::None);
  EXPECT_EQ(limit.admit("a", kStart), Scope::Total);
}

TEST(RateLimit, NothingSetLimitsNothing) {
  RateLimit limit({});
  EXPECT_EQ(admitted(limit, "a", 1000, kStart), 1000);
}

// Design rule 3.1: one bucket for the whole proxy, whatever the number of workers.
TEST(RateLimit, FourWorkersAdmitWhatOneDoes) {
  const auto run = [](RateLimit::Spec spec, int threads) {
    RateLimit limit(std::move(spec));
    std::atomic<int> total{0};
    std::vector<std::thread> workers;
    for (int i = 0; i < threads; ++i) {
      workers.emplace_back([&] { total += admitted(limit, "a", 2000 / threads, kStart); });
    }
    for (std::thread& worker : workers) worker.join();
    return total.load();
  };
  EXPECT_EQ(run({.total = 500}, 1), 500);
  EXPECT_EQ(run({.total = 500}, 4), 500);
  EXPECT_EQ(run({.identity = 300}, 4), 300);
  EXPECT_EQ(run({.overrides = {{200, {"a"}}}}, 4), 200);
}

// Memory is bounded: identities past the bound share the last bucket.
TEST(RateLimit, MoreIdentitiesThanThereIsRoomForShareOne) {
  RateLimit limit({.identity = 1});
  for (int i = 0; i < 10'000; ++i)
    ASSERT_EQ(limit.admit("id" + std::to_string(i), kStart), Scope::None);
  EXPECT_EQ(limit.admit("x", kStart), Scope::None);
  EXPECT_EQ(limit.admit("y", kStart), Scope::Identity);
}

}  // namespace
}  // namespace tulle::proxy
