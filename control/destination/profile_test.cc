// SPDX-License-Identifier: Apache-2.0
#include "control/destination/profile.h"

#include <gtest/gtest.h>

#include "control/testing.h"

namespace tulle::control {
namespace {

using Profile = pb::destination::DestinationProfile;

class Profiles : public ::testing::Test {
 protected:
  void add(std::string_view yaml) { put_yaml(index, yaml); }
  grpc::StatusOr<Profile> get(std::string_view path) {
    const auto query = parse_profile_query({.path = std::string(path)}, config);
    if (!query) return query.status();
    return profile_of(View(index), config, *query);
  }
  void pod(std::string_view name, std::string_view status,
           std::string_view spec = "containers: [{name: linkerd-proxy}]",
           std::string_view meta = "") {
    add(concat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
               ", namespace: shop, labels: {linkerd.io/control-plane-ns: linkerd}", meta,
               "}\nspec: {", spec, "}\nstatus: {", status, "}\n"));
  }
  Index index;
  MeshConfig config;
};

TEST_F(Profiles, OfAService) {
  add("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
      "spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::9'], ports: [{name: http, port: "
      "80}, {port: "
      "3306, name: db}]}\n");
  for (const auto path : {"10.96.0.1:80", "[fd00::9]:80", "web.shop.svc.cluster.local:80",
                          "web.shop.svc.cluster.local"}) {
    const auto profile = get(path);
    ASSERT_TRUE(profile) << path;
    EXPECT_EQ(profile->fully_qualified_name, "web.shop.svc.cluster.local");
    EXPECT_EQ(profile->parent_ref->resource->kind, "Service");
    EXPECT_EQ(profile->parent_ref->resource->port, 80U);
    EXPECT_FALSE(profile->opaque_protocol);
    EXPECT_FALSE(profile->endpoint);
    EXPECT_FLOAT_EQ(profile->retry_budget->retry_ratio, 0.2F);
    EXPECT_EQ(profile->retry_budget->min_retries_per_second, 10U);
    EXPECT_EQ(profile->retry_budget->ttl->seconds, 10);
  }
  EXPECT_TRUE(get("10.96.0.1:3306")->opaque_protocol);
  // A port that it does not have: an empty profile.
  EXPECT_EQ(*get("10.96.0.1:81"), Profile{});
  EXPECT_EQ(*get("web.shop.svc.cluster.local:81"), Profile{});
}

TEST_F(Profiles, OfNothing) {
  EXPECT_EQ(*get("none.shop.svc.cluster.local:80"), Profile{});
  for (const auto path : {"", "example.com:80", "web.shop.svc", "10.0.0.1:0"}) {
    EXPECT_EQ(get(path).status().code, grpc::Code::InvalidArgument) << path;
  }
}

TEST_F(Profiles, OfAnAddressOutsideOfTheMesh) {
  const auto profile = get("192.0.2.1:3306");
  ASSERT_TRUE(profile);
  EXPECT_EQ(profile->fully_qualified_name, "");
  EXPECT_TRUE(profile->opaque_protocol);
  EXPECT_EQ(profile->endpoint->addr->port, 3306U);
  EXPECT_TRUE(profile->endpoint->metric_labels.empty());
  EXPECT_FALSE(profile->endpoint->tls_identity);
  EXPECT_FALSE(get("192.0.2.1:80")->opaque_protocol);
}

TEST_F(Profiles, OfAPod) {
  pod("web-0", "phase: Running, podIP: 10.0.0.1");
  const auto profile = get("10.0.0.1:8080");
  ASSERT_TRUE(profile);
  EXPECT_EQ(profile->endpoint->metric_labels.at("namespace"), "shop");
  EXPECT_EQ(profile->endpoint->metric_labels.at("pod"), "web-0");
  EXPECT_TRUE(profile->endpoint->tls_identity);
  EXPECT_EQ(profile->fully_qualified_name, "");
  EXPECT_TRUE(get("10.0.0.1:3306")->opaque_protocol);
  // Only while it runs.
  pod("web-0", "phase: Succeeded, podIP: 10.0.0.1");
  EXPECT_FALSE(get("10.0.0.1:8080")->endpoint->tls_identity);
}

TEST_F(Profiles, AnAddressThatPassesFromOnePodToTheNext) {
  pod("old", "phase: Running, podIP: 10.0.0.1");
  pod("new", "phase: Running, podIP: 10.0.0.1");
  EXPECT_EQ(get("10.0.0.1:80").status().code, grpc::Code::FailedPrecondition);
  pod("old", "phase: Running, podIP: 10.0.0.1", "containers: [{name: linkerd-proxy}]",
      ", deletionTimestamp: '2026-01-01T00:00:00Z'");
  EXPECT_EQ(get("10.0.0.1:80")->endpoint->metric_labels.at("pod"), "new");
}

TEST_F(Profiles, TwoServicesOnOneAddress) {
  for (const std::string_view name : {"a", "b"}) {
    add(concat("apiVersion: v1\nkind: Service\nmetadata: {name: ", name,
               "}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"));
  }
  EXPECT_EQ(get("10.96.0.1:80").status().code, grpc::Code::FailedPrecondition);
}

TEST_F(Profiles, PodsOnTheNodesAddress) {
  pod("node-agent", "phase: Running, podIP: 192.168.0.1, hostIP: 192.168.0.1",
      "hostNetwork: true, containers: [{name: linkerd-proxy}]");
  EXPECT_FALSE(get("192.168.0.1:80")->endpoint->tls_identity);
  pod("ingress", "phase: Running, podIP: 10.0.0.7, hostIP: 192.168.0.1",
      "containers: [{name: app, ports: [{containerPort: 8443, hostPort: 443}]}, {name: "
      "linkerd-proxy}]");
  const auto profile = get("192.168.0.1:443");
  EXPECT_EQ(profile->endpoint->metric_labels.at("pod"), "ingress");
  EXPECT_EQ(net::IpAddr::v4(profile->endpoint->addr->ip->ipv4).to_string(), "10.0.0.7");
  EXPECT_EQ(profile->endpoint->addr->port, 8443U);
  EXPECT_FALSE(get("192.168.0.1:444")->endpoint->tls_identity);
}

TEST_F(Profiles, OfAnInstance) {
  add("apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n"
      "spec: {clusterIP: None, ports: [{port: 5432}], selector: {}}\n---\n"
      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s, namespace: shop, "
      "labels: "
      "{kubernetes.io/service-name: db}}\naddressType: IPv4\nports: [{port: 5432}]\nendpoints: "
      "[{addresses: [10.0.0.1], hostname: db-0, targetRef: {kind: Pod, name: db-0}}]\n");
  EXPECT_EQ(get("db-0.db.shop.svc.cluster.local:5432").status().code, grpc::Code::NotFound);
  pod("db-0", "phase: Running, podIP: 10.0.0.1");
  const auto profile = get("db-0.db.shop.svc.cluster.local:5432");
  ASSERT_TRUE(profile);
  EXPECT_EQ(profile->endpoint->metric_labels.at("pod"), "db-0");
  EXPECT_TRUE(profile->opaque_protocol);
  EXPECT_EQ(get("db-1.db.shop.svc.cluster.local:5432").status().code, grpc::Code::NotFound);
}

TEST_F(Profiles, FollowWhatTheyDependOn) {
  TopicSet seen;
  const auto query = parse_profile_query({.path = "10.0.0.1:80"}, config);
  ASSERT_TRUE(query);
  struct Told final : Subscription {
    using Subscription::Subscription;
    void on_change() override { told = true; }
    bool told = false;
  } told(index);
  const auto before = profile_of(View(index, &seen), config, *query);
  EXPECT_FALSE(before->endpoint->tls_identity);
  told.depend_on(seen);
  pod("web-0", "phase: Running, podIP: 10.0.0.1");
  EXPECT_TRUE(told.told);
  seen.clear();
  told.told = false;
  const auto after = profile_of(View(index, &seen), config, *query);
  EXPECT_TRUE(after->endpoint->tls_identity);
  told.depend_on(seen);
  add("apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: s, namespace: shop}\n"
      "spec: {port: 80, podSelector: {}, proxyProtocol: opaque}\n");
  EXPECT_TRUE(told.told);
  EXPECT_TRUE(profile_of(View(index), config, *query)->opaque_protocol);
}

}  // namespace
}  // namespace tulle::control
