// SPDX-License-Identifier: Apache-2.0
#include "lib/net/admission.h"

#include <gtest/gtest.h>

#include <deque>

namespace tulle::net {
namespace {

class Guest final : public Place {
 public:
  Guest(Admission& admission, std::string_view client) : Place(admission, *IpAddr::parse(client)) {}
  bool gone = false;

 private:
  void give_way() override { gone = true; }
};

bool admit(Admission& admission, std::string_view client) {
  return admission.admit(*IpAddr::parse(client));
}

struct AdmissionTest : ::testing::Test {
  std::shared_ptr<metrics::Counter> refused = std::make_shared<metrics::Counter>();
  std::shared_ptr<metrics::Counter> gave_way = std::make_shared<metrics::Counter>();
  Admission::Counters counters{refused, gave_way};
};

TEST_F(AdmissionTest, TheLongestIdleGivesWayToTheNewOne) {
  Admission admission({.total = 3, .per_source = 3}, counters);
  Guest a(admission, "10.0.0.1"), b(admission, "10.0.0.2"), c(admission, "10.0.0.3");
  a.moved();
  EXPECT_TRUE(admit(admission, "10.0.0.4"));
  EXPECT_TRUE(b.gone);
  EXPECT_FALSE(a.gone);
  EXPECT_FALSE(c.gone);
  EXPECT_EQ(admission.size(), 2U);
  EXPECT_EQ(gave_way->value(), 1U);
  b.moved();  // it has no place any more
  EXPECT_EQ(admission.size(), 2U);
}

TEST_F(AdmissionTest, AFullSourceTakesFromItselfOnly) {
  Admission admission({.total = 100, .per_source = 3}, counters);
  Guest old(admission, "10.0.0.9");
  std::deque<Guest> flood;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(admit(admission, "10.0.0.1"));
    flood.emplace_back(admission, "10.0.0.1");
    EXPECT_LE(admission.size(), 4U);
  }
  EXPECT_FALSE(old.gone);
  EXPECT_EQ(gave_way->value(), 47U);
}

TEST_F(AdmissionTest, A64IsOneSource) {
  Admission admission({.total = 100, .per_source = 2}, counters);
  Guest a(admission, "fd00:0:0:1::1"), b(admission, "fd00:0:0:1:2::1"), c(admission, "fd00::1");
  EXPECT_TRUE(admit(admission, "fd00:0:0:1::77"));
  EXPECT_TRUE(a.gone);
  EXPECT_TRUE(admit(admission, "fd00::2"));
  EXPECT_FALSE(c.gone);
  // An IPv4 address in either spelling is one.
  Guest d(admission, "10.0.0.1"), e(admission, "::ffff:10.0.0.1");
  EXPECT_TRUE(admit(admission, "10.0.0.1"));
  EXPECT_TRUE(d.gone);
}

TEST_F(AdmissionTest, RequestsUnderWayStay) {
  Admission admission({.total = 2, .per_source = 2}, counters);
  Guest a(admission, "10.0.0.1"), b(admission, "10.0.0.2");
  a.set_busy(true);
  EXPECT_TRUE(admit(admission, "10.0.0.3"));
  EXPECT_TRUE(b.gone);
  Guest c(admission, "10.0.0.3");
  c.set_busy(true);
  EXPECT_FALSE(admit(admission, "10.0.0.4"));
  EXPECT_EQ(refused->value(), 1U);
  EXPECT_FALSE(a.gone);
  a.set_busy(false);
  EXPECT_TRUE(admit(admission, "10.0.0.4"));
  EXPECT_TRUE(a.gone);
}

TEST_F(AdmissionTest, WhereRequestsAreShortTheStuckOneGivesWay) {
  Admission admission({.total = 2, .per_source = 2, .busy_gives_way = true}, counters);
  Guest a(admission, "10.0.0.1"), b(admission, "10.0.0.2");
  a.set_busy(true);
  b.set_busy(true);
  a.moved();
  EXPECT_TRUE(admit(admission, "10.0.0.3"));
  EXPECT_TRUE(b.gone);
  EXPECT_FALSE(a.gone);
}

TEST_F(AdmissionTest, APlaceThatIsLeftIsFree) {
  Admission admission({.total = 1, .per_source = 1}, counters);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(admit(admission, "10.0.0.1"));
    const Guest guest(admission, "10.0.0.1");
  }
  EXPECT_EQ(admission.size(), 0U);
  EXPECT_EQ(gave_way->value(), 0U);
}

}  // namespace
}  // namespace tulle::net
