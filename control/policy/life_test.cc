// SPDX-License-Identifier: Apache-2.0
#include "control/policy/life.h"

#include <gtest/gtest.h>

#include "control/policy/inbound.h"
#include "control/testing.h"

namespace tulle::control {
namespace {

constexpr std::string_view kRuns = "{name: linkerd-proxy, state: {running: {}}}";

// What the proxy of a pod is told: "" (nothing), "classic", "classic ended", "native", …
class PodLife : public ::testing::Test {
 protected:
  // `spec`: containers and the like; `statuses`: containerStatuses but the proxy's own.
  std::string life(std::string_view spec, std::string_view statuses,
                   std::string_view phase = "Running", bool deleted = false) {
    put_yaml(index, concat("apiVersion: v1\nkind: Pod\n"
                           "metadata:\n  name: job\n  namespace: shop\n",
                           deleted ? "  deletionTimestamp: \"2026-01-01T00:00:00Z\"\n" : "",
                           "  labels: {linkerd.io/control-plane-ns: linkerd}\n", "spec: ", spec,
                           "\nstatus: {phase: ", phase, ", containerStatuses: [", kRuns, statuses,
                           "]}\n"));
    return told(true);
  }
  std::string told(bool wants) {
    const auto query =
        parse_port_query({.workload = "shop:job", .port = 4191, .wants_life = wants});
    const auto server = server_of(View(index), config, *query);
    EXPECT_TRUE(server);
    if (!server->life) return "";
    std::string out =
        server->life->sidecar == pb::inbound::Life::Sidecar::NATIVE ? "native" : "classic";
    return server->life->application_ended ? out + " ended" : out;
  }
  Index index;
  MeshConfig config;
};

std::string classic(std::string_view policy, std::string_view more = "") {
  return concat("{restartPolicy: ", policy, ", containers: [{name: linkerd-proxy}, {name: app}",
                more, "]}");
}

constexpr std::string_view kRunning = ", {name: app, state: {running: {}}}";
constexpr std::string_view kDone = ", {name: app, state: {terminated: {exitCode: 0}}}";
constexpr std::string_view kFailed = ", {name: app, state: {terminated: {exitCode: 7}}}";

TEST_F(PodLife, TheApplicationHasEndedWhenNothingIsStartedAgain) {
  EXPECT_EQ(life(classic("Never"), kRunning), "classic");
  EXPECT_EQ(life(classic("Never"), kDone), "classic ended");
  EXPECT_EQ(life(classic("Never"), kFailed), "classic ended");
  EXPECT_EQ(life(classic("OnFailure"), kDone), "classic ended");
  EXPECT_EQ(life(classic("OnFailure"), kFailed), "classic");
  EXPECT_EQ(life(classic("Always"), kDone), "classic");
  EXPECT_EQ(life(classic("Never"), ", {name: app, state: {waiting: {}}}"), "classic");
  EXPECT_EQ(life(classic("Never"), ""), "classic");  // of the application nothing is known yet
}

TEST_F(PodLife, AllContainersCountButThoseOfTheMesh) {
  const std::string two = classic("Never", ", {name: side}, {name: linkerd-debug}");
  EXPECT_EQ(life(two, concat(kDone, ", {name: side, state: {running: {}}}")), "classic");
  EXPECT_EQ(life(two, concat(kDone,
                             ", {name: side, state: {terminated: {exitCode: 1}}}"
                             ", {name: linkerd-debug, state: {running: {}}}")),
            "classic ended");
  // A container's own restart policy stands above the pod's.
  EXPECT_EQ(life(classic("Never", ", {name: side, restartPolicy: Always}"),
                 concat(kDone, ", {name: side, state: {terminated: {exitCode: 0}}}")),
            "classic");
}

TEST_F(PodLife, WhatTerminatesInAPodThatGoesIsNotStartedAgain) {
  EXPECT_EQ(life(classic("Always"), kRunning, "Running", true), "classic");
  EXPECT_EQ(life(classic("Always"), kDone, "Running", true), "classic ended");
  EXPECT_EQ(life(classic("OnFailure"), kFailed, "Running", true), "classic ended");
  EXPECT_EQ(life(classic("OnFailure"), kFailed, "Failed"), "classic ended");
  EXPECT_EQ(life("{containers: [{name: linkerd-proxy}]}", ""), "classic");
  EXPECT_EQ(life("{containers: [{name: linkerd-proxy}]}", "", "Running", true), "classic ended");
}

TEST_F(PodLife, ANativeSidecarIsSeenAsOne) {
  const std::string_view spec =
      "{restartPolicy: Never, initContainers: [{name: linkerd-proxy, restartPolicy: Always}], "
      "containers: [{name: app}]}";
  EXPECT_EQ(life(spec, kRunning), "native");
  EXPECT_EQ(life(spec, kDone), "native ended");
}

TEST_F(PodLife, OnlyWhoAsksIsTold) {
  EXPECT_EQ(life(classic("Never"), kDone), "classic ended");
  EXPECT_EQ(told(false), "");
}

TEST_F(PodLife, NothingIsSaidWhileNobodyReports) {
  put_yaml(index,
           "apiVersion: v1\nkind: Pod\nmetadata: {name: job, namespace: shop, labels: "
           "{linkerd.io/control-plane-ns: linkerd}}\nspec: {containers: [{name: linkerd-proxy}]}\n"
           "status: {phase: Running}\n");
  EXPECT_EQ(told(true), "");
}

}  // namespace
}  // namespace tulle::control
