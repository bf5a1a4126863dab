// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/shared.h"

#include <gtest/gtest.h>

#include "lib/k8s/objects.h"

namespace tulle::k8s {
namespace {

TEST(Shared, EditingLeavesOthersAlone) {
  Shared<Condition> a;
  EXPECT_TRUE(a.empty());
  a.edit().push_back({"Ready", "True"});
  Shared<Condition> b = a;
  EXPECT_EQ(&a.get(), &b.get());
  b.edit().push_back({"Initialized", "True"});
  EXPECT_EQ(a.size(), 1U);
  EXPECT_EQ(b.size(), 2U);
  EXPECT_FALSE(a == b);
}

TEST(SharedPool, MakesOneOfEqualLists) {
  SharedPool<StringMap::Entry> pool;
  StringMap a{{"app", "web"}, {"tier", "front"}}, b{{"tier", "front"}, {"app", "web"}};
  StringMap other{{"app", "db"}};
  EXPECT_NE(a.find("app"), b.find("app"));
  for (StringMap* const map : {&a, &b, &other}) pool.unify(map->entries());
  EXPECT_EQ(a.find("app"), b.find("app"));
  EXPECT_EQ(other.get("app"), "db");
  EXPECT_EQ(pool.size(), 2U);
  // Who changes one has it for itself.
  EXPECT_TRUE(b.insert("more", "x"));
  EXPECT_FALSE(a.contains("more"));
  a.erase_if([](std::string_view key) { return key == "tier"; });
  EXPECT_EQ(b.get("tier"), "front");
}

TEST(SharedPool, ContainersThatDifferOnlyInWhatIsNotHashedStayApart) {
  SharedPool<Container> pool;
  Shared<Container> a, b;
  a.edit().push_back({"app", {{"http", 8080, 0, ""}}, {}, {}, {}, {}});
  b.edit().push_back({"app", {{"web", 8080, 0, ""}}, {}, {}, {}, {}});
  pool.unify(a);
  pool.unify(b);
  EXPECT_EQ(a[0].ports[0].name, "http");
  EXPECT_EQ(b[0].ports[0].name, "web");
}

TEST(SharedPool, ForgetsWhatNobodyHas) {
  SharedPool<Condition> pool;
  for (int i = 0; i < 10'000; ++i) {
    Shared<Condition> list;
    list.edit().push_back({"Ready", std::to_string(i)});
    pool.unify(list);
  }
  EXPECT_LT(pool.size(), 200U);
}

}  // namespace
}  // namespace tulle::k8s
