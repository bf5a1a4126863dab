// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/cache.h"

#include <gtest/gtest.h>

namespace tulle::dns {
namespace {

Answer answer(std::size_t addresses, TimePoint expires) {
  Answer made;
  made.addresses.resize(addresses);
  made.expires = expires;
  return made;
}

constexpr TimePoint kNow{100s};

TEST(Cache, KeepsUntilExpiry) {
  Cache cache(10);
  const std::string key = Cache::key({"web", Type::A});
  EXPECT_NE(key, Cache::key({"web", Type::Aaaa}));
  cache.put(key, true, answer(1, kNow + 5s));
  ASSERT_NE(cache.find(key, kNow), nullptr);
  EXPECT_TRUE(cache.find(key, kNow + 4s)->exists);
  EXPECT_EQ(cache.find(key, kNow + 5s), nullptr);
  EXPECT_EQ(cache.size(), 0U);
  cache.put(key, false, answer(0, kNow + 5s));
  EXPECT_FALSE(cache.find(key, kNow)->exists);
}

TEST(Cache, GivesUpTheLeastRecentlyUsed) {
  Cache cache(6);  // three entries of one record
  for (const char* key : {"a", "b", "c"}) cache.put(key, true, answer(1, kNow + 5s));
  EXPECT_NE(cache.find("a", kNow), nullptr);
  cache.put("d", true, answer(1, kNow + 5s));
  EXPECT_NE(cache.find("a", kNow), nullptr);
  EXPECT_EQ(cache.find("b", kNow), nullptr);
  EXPECT_EQ(cache.evicted(), 1U);
  cache.put("e", true, answer(5, kNow + 5s));  // takes all the room
  EXPECT_EQ(cache.size(), 1U);
  cache.put("f", true, answer(6, kNow + 5s));  // would not fit alone
  EXPECT_EQ(cache.find("f", kNow), nullptr);
  EXPECT_NE(cache.find("e", kNow), nullptr);
  cache.put("e", true, answer(1, kNow + 5s));  // replaces
  EXPECT_EQ(cache.size(), 1U);
  cache.clear();
  EXPECT_EQ(cache.find("e", kNow), nullptr);
  for (const char* key : {"a", "b", "c"}) cache.put(key, true, answer(1, kNow + 5s));
  EXPECT_EQ(cache.size(), 3U);
}

}  // namespace
}  // namespace tulle::dns
