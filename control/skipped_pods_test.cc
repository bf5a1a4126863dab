// SPDX-License-Identifier: Apache-2.0
#include "control/skipped_pods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/testing.h"

namespace tulle::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SkippedPodsTest : public ::testing::Test {
 protected:
  SkippedPodsTest() {
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
    skipped_.look();
    return told_;
  }
  Index index_;
  std::vector<std::string> told_;
  SkippedPods skipped_{
      index_, WallTime(std::chrono::seconds(k8s::parse_time("2026-01-01T00:00:00Z")->unix_seconds)),
      [this](std::string_view ns, const inject::Owner& owner, std::string_view reason) {
        told_.push_back(concat(ns, " ", owner.kind, "/", owner.name, ": ", reason));
      }};
};

constexpr std::string_view kApp = "containers: [{name: app}]";
constexpr std::string_view kHost = "hostNetwork: true, containers: [{name: app}]";
constexpr std::string_view kOptedOut = ", annotations: {linkerd.io/inject: disabled}";

TEST_F(SkippedPodsTest, TellsOnceWhyAPodStaysOut) {
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

TEST_F(SkippedPodsTest, IsSilentAboutAllOthers) {
  pod("waits", "", kApp);  // check and the webhook speak of these
  pod("meshed", "", "hostNetwork: true, containers: [{name: app}, {name: linkerd-proxy}]");
  pod("native", kOptedOut, "initContainers: [{name: linkerd-proxy}], containers: [{name: app}]");
  pod("elsewhere", kOptedOut, kHost, "plain");
  pod("nowhere", kOptedOut, kHost, "unknown");
  pod("old", kOptedOut, kHost, "shop", "2025-12-31T23:59:59Z");
  EXPECT_THAT(look(), IsEmpty());
  // It asked for itself, and cannot have it.
  pod("asks", ", annotations: {linkerd.io/inject: enabled}", kHost, "plain");
  EXPECT_THAT(look(), ElementsAre("plain pod/asks: hostNetwork is enabled"));
}

}  // namespace
}  // namespace tulle::control
