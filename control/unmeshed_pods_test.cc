// SPDX-License-Identifier: Apache-2.0
#include "control/unmeshed_pods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/testing.h"

namespace tulle::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class UnmeshedPodsTest : public ::testing::Test {
 protected:
  UnmeshedPodsTest() {
    put_yaml(index_,
             "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: "
             "{linkerd.io/inject: enabled}}\n");
    put_yaml(index_, "apiVersion: v1\nkind: Namespace\nmetadata: {name: plain}\n");
  }
  void pod(std::string_view name, std::string_view meta, std::string_view spec,
           std::string_view ns = "shop", std::string_view created = "2026-01-02T00:00:00Z") {
    put_yaml(index_, concat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name, ", namespace: ",
                            ns, ", uid: u-", name, ", creationTimestamp: \"", created, "\"", meta,
                            "}\nspec: {", spec, "}\nstatus: {phase: Running}\n"));
  }
  std::vector<std::string> look() {
    told_.clear();
    pods_.look(now_);
    return told_;
  }
  Index index_;
  TimePoint now_{1h};
  std::vector<std::string> told_;
  UnmeshedPods pods_{
      index_, WallTime(std::chrono::seconds(k8s::parse_time("2026-01-01T00:00:00Z")->unix_seconds)),
      [this](const UnmeshedPods::News& news) {
        told_.push_back(concat(news.ns, " ", news.workload.kind, "/", news.workload.name, ": ",
                               news.skipped ? news.message : "missing"));
        if (!news.skipped) {
          EXPECT_THAT(std::string(news.message), HasSubstr("rollout restart"));
        }
      }};
};

constexpr std::string_view kApp = "containers: [{name: app}]";
constexpr std::string_view kHost = "hostNetwork: true, containers: [{name: app}]";
constexpr std::string_view kOptedOut = ", annotations: {linkerd.io/inject: disabled}";

TEST_F(UnmeshedPodsTest, TellsOnceWhyAPodStaysOut) {
  pod("exporter", ", ownerReferences: [{kind: DaemonSet, name: exporter}]", kHost);
  pod("batch", kOptedOut, kApp);
  EXPECT_THAT(look(),
              ElementsAre("shop pod/batch: pod has the annotation \"linkerd.io/inject: disabled\"",
                          "shop daemonset/exporter: hostNetwork is enabled"));
  EXPECT_THAT(look(), IsEmpty());
  // Another pod under the same name is told of anew.
  index_.erase(key_of<k8s::Pod>("shop", "batch"));
  EXPECT_THAT(look(), IsEmpty());
  pod("batch", kOptedOut, kApp);
  EXPECT_EQ(look().size(), 1U);
}

TEST_F(UnmeshedPodsTest, IsSilentAboutAllOthers) {
  pod("meshed", "", "hostNetwork: true, containers: [{name: app}, {name: linkerd-proxy}]");
  pod("native", kOptedOut, "initContainers: [{name: linkerd-proxy}], containers: [{name: app}]");
  pod("elsewhere", kOptedOut, kHost, "plain");
  pod("nowhere", kOptedOut, kHost, "unknown");
  pod("old", kOptedOut, kHost, "shop", "2025-12-31T23:59:59Z");
  EXPECT_THAT(look(), IsEmpty());
  // It asked for itself, and cannot have it.
  pod("asks", ", annotations: {linkerd.io/inject: enabled}", kHost, "plain");
  EXPECT_THAT(look(), ElementsAre("plain pod/asks: hostNetwork is enabled"));
  EXPECT_THAT(pods_.missing(), IsEmpty());
}

TEST_F(UnmeshedPodsTest, CountsWhatShouldHaveAProxyAndTellsOfItWhenItStaysSo) {
  constexpr std::string_view kOwned = ", ownerReferences: [{kind: StatefulSet, name: db}]";
  pod("db-0", kOwned, kApp, "shop", "2025-12-31T00:00:00Z");
  pod("db-1", kOwned, kApp);
  pod("istio", "", "containers: [{name: app}, {name: istio-proxy}]");
  pod("odd", ", annotations: {linkerd.io/inject: maybe}", kApp);
  pod("going", ", deletionTimestamp: \"2026-01-02T00:00:00Z\"", kApp);
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_THAT(pods_.missing(), ElementsAre(Pair("shop", 2)));
  now_ += UnmeshedPods::kPatience - 1s;
  // Restarted in time: nobody is told of it.
  index_.erase(key_of<k8s::Pod>("shop", "db-0"));
  EXPECT_THAT(look(), IsEmpty());
  now_ += 2s;
  EXPECT_THAT(look(), ElementsAre("shop statefulset/db: missing"));
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_THAT(pods_.missing(), ElementsAre(Pair("shop", 1)));
  // The annotation goes, and comes again.
  put_yaml(index_, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_THAT(pods_.missing(), IsEmpty());
  put_yaml(index_,
           "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: "
           "{linkerd.io/inject: ingress}}\n");
  EXPECT_THAT(look(), IsEmpty());
  now_ += UnmeshedPods::kPatience;
  EXPECT_THAT(look(), ElementsAre("shop statefulset/db: missing"));
}

}  // namespace
}  // namespace tulle::control
