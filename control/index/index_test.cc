// SPDX-License-Identifier: Apache-2.0
#include "control/index/index.h"

#include <gtest/gtest.h>

#include "control/testing.h"

namespace tulle::control {
namespace {

class Counting final : public Subscription {
 public:
  using Subscription::Subscription;
  int told = 0;

 private:
  void on_change() override { ++told; }
};

TEST(Index, KeepsObjectsAndTellsByKey) {
  Index index;
  put_yaml(index, R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop}
status: {podIP: 10.0.0.1, phase: Running}
)");
  const View view(index);
  ASSERT_NE(view.service("shop", "web"), nullptr);
  EXPECT_EQ(view.service("shop", "other"), nullptr);
  ASSERT_EQ(view.services_at(*net::IpAddr::parse("10.96.0.1")).size(), 1U);
  ASSERT_EQ(view.pods_at(*net::IpAddr::parse("10.0.0.1")).size(), 1U);
  // Addresses move with the object.
  put_yaml(index, R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}
)");
  EXPECT_TRUE(view.services_at(*net::IpAddr::parse("10.96.0.1")).empty());
  EXPECT_EQ(view.services_at(*net::IpAddr::parse("10.96.0.2")).size(), 1U);
  index.erase(key_of<k8s::Service>("shop", "web"));
  EXPECT_TRUE(view.services_at(*net::IpAddr::parse("10.96.0.2")).empty());
  EXPECT_EQ(index.size(), 1U);
}

TEST(Index, TellsOnlyWhoDependsOnTheChange) {
  Index index;
  Counting a(index), b(index);
  TopicSet seen_a, seen_b;
  View(index, &seen_a).service("shop", "a");
  View(index, &seen_b).service("shop", "b");
  a.depend_on(seen_a);
  b.depend_on(seen_b);
  constexpr std::string_view kA =
      "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n";
  put_yaml(index, kA);
  EXPECT_EQ(a.told, 1);
  EXPECT_EQ(b.told, 0);
  // Told once until it looks again.
  index.erase(key_of<k8s::Service>("shop", "a"));
  EXPECT_EQ(a.told, 1);
  a.depend_on(seen_a);
  put_yaml(index, kA);
  EXPECT_EQ(a.told, 2);
  // The same object again is no change.
  a.depend_on(seen_a);
  put_yaml(index, kA);
  EXPECT_EQ(a.told, 2);
}

TEST(Index, ABatchTellsOnceAtItsEnd) {
  Index index;
  Counting counting(index);
  TopicSet seen;
  const View view(index, &seen);
  view.service("shop", "a");
  view.service("shop", "b");
  counting.depend_on(seen);
  index.begin_batch();
  put_yaml(index, "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n");
  put_yaml(index, "apiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: shop}\n");
  EXPECT_EQ(counting.told, 0);
  index.end_batch();
  EXPECT_EQ(counting.told, 1);
}

// Of ReplicaSets and Jobs there are more than pods: only name and owner stay, and only of those
// that have one.
TEST(Index, KeepsOfReplicaSetsAndJobsWhoseTheyAre) {
  Index index;
  constexpr std::string_view kSet = R"(
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  {name: web-1, namespace: shop, uid: u, labels: {a: b}, ownerReferences: [{kind: Deployment, name: web}]}
)";
  Counting counting(index);
  TopicSet seen;
  const View view(index, &seen);
  EXPECT_EQ(view.owner_of("ReplicaSet", "shop", "web-1"), nullptr);
  EXPECT_EQ(view.owner_of("StatefulSet", "shop", "web-1"), nullptr);
  counting.depend_on(seen);
  put_yaml(index, kSet);
  EXPECT_EQ(counting.told, 1);
  ASSERT_NE(view.owner_of("ReplicaSet", "shop", "web-1"), nullptr);
  EXPECT_EQ(view.owner_of("ReplicaSet", "shop", "web-1")->name, "web");
  EXPECT_EQ(view.owner_of("Job", "shop", "web-1"), nullptr);
  counting.depend_on(seen);
  put_yaml(index,
           "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web-1, namespace: shop}\n");
  EXPECT_EQ(counting.told, 2);
  EXPECT_EQ(index.size(), 0U);
}

TEST(Index, EndpointsChangeWithThePodsThatSlicesName) {
  Index index;
  put_yaml(index, R"(
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]
)");
  Counting counting(index);
  TopicSet seen;
  EXPECT_EQ(View(index, &seen).slices("shop", "web").size(), 1U);
  counting.depend_on(seen);
  put_yaml(index, "apiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: shop}\n");
  EXPECT_EQ(counting.told, 0);
  put_yaml(index, "apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop}\n");
  EXPECT_EQ(counting.told, 1);
  counting.depend_on(seen);
  index.erase(key_of<k8s::EndpointSlice>("shop", "web-1"));
  EXPECT_EQ(counting.told, 2);
  counting.depend_on(seen);
  index.erase(key_of<k8s::Pod>("shop", "web-0"));
  EXPECT_EQ(counting.told, 2);
}

TEST(Index, KeepsOnlyWhatIsUsed) {
  Index index;
  put_yaml(index, R"(
apiVersion: v1
kind: Pod
metadata:
  name: a
  annotations: {config.linkerd.io/opaque-ports: "1", kubectl.kubernetes.io/restartedAt: "now"}
spec:
  containers:
  - {name: linkerd-proxy, env: [{name: SECRET, value: x}, {name: LINKERD2_PROXY_INBOUND_LISTEN_ADDR, value: "0.0.0.0:4143"}]}
status: {conditions: [{type: Ready, status: "True"}, {type: Initialized, status: "True"}]}
)");
  const k8s::Pod* const pod = View(index).pod("default", "a");
  ASSERT_NE(pod, nullptr);
  EXPECT_EQ(pod->meta.annotations.size(), 1U);
  ASSERT_EQ(pod->spec.containers[0].env.size(), 1U);
  EXPECT_EQ(pod->status.conditions.size(), 1U);
}

TEST(Index, OrdersPoliciesByAgeThenName) {
  Index index;
  const auto server = [](std::string_view name, std::string_view created) {
    return concat("apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: ", name,
                  created.empty() ? "" : concat(", creationTimestamp: '", created, "'"),
                  "}\nspec: {port: 80, podSelector: {}}\n");
  };
  put_yaml(index, server("a", ""));
  put_yaml(index, server("b", "2026-02-01T00:00:00Z"));
  put_yaml(index, server("c", "2026-01-01T00:00:00Z"));
  put_yaml(index, server("d", "2026-01-01T00:00:00Z"));
  std::string order;
  for (const auto* const s : View(index).servers("default")) order += s->meta.name;
  EXPECT_EQ(order, "cdba");
}

TEST(Index, ASubscriptionMayGoAnyTime) {
  Index index;
  auto counting = std::make_unique<Counting>(index);
  TopicSet seen;
  View(index, &seen).service("shop", "a");
  counting->depend_on(seen);
  index.begin_batch();
  put_yaml(index, "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\n");
  counting.reset();
  index.end_batch();
}

}  // namespace
}  // namespace tulle::control
