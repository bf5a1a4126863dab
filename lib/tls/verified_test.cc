// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/verified.h"

#include <gtest/gtest.h>

namespace tulle::tls {
namespace {

VerifiedChains::EntryPtr entry(std::uint8_t id, WallTime from, WallTime until) {
  auto made = std::make_shared<VerifiedChains::Entry>();
  made->digest[0] = id;
  made->from = from;
  made->until = until;
  return made;
}

TEST(VerifiedChains, AreForgottenOutsideTheirTime) {
  VerifiedChains chains;
  const WallTime now = wall_now();
  chains.add(entry(1, now, now + 1h));
  VerifiedChains::Digest digest{1};
  EXPECT_TRUE(chains.find(digest, now));
  EXPECT_TRUE(chains.find(digest, now + 1h));
  EXPECT_FALSE(chains.find(digest, now + 1h + 1ns));
  EXPECT_FALSE(chains.find(digest, now - 1ns));
  EXPECT_FALSE(chains.find(VerifiedChains::Digest{2}, now));
  chains.add(entry(1, now + 2h, now + 3h));
  EXPECT_FALSE(chains.find(digest, now));
  EXPECT_TRUE(chains.find(digest, now + 2h));
}

TEST(VerifiedChains, AreBounded) {
  VerifiedChains chains;
  const WallTime now = wall_now();
  for (int i = 0; i < 200; ++i) chains.add(entry(static_cast<std::uint8_t>(i), now, now));
  int known = 0;
  for (int i = 0; i < 200; ++i) {
    known += chains.find(VerifiedChains::Digest{static_cast<std::uint8_t>(i)}, now) ? 1 : 0;
  }
  EXPECT_EQ(known, 64);
  EXPECT_TRUE(chains.find(VerifiedChains::Digest{199}, now));
}

}  // namespace
}  // namespace tulle::tls
