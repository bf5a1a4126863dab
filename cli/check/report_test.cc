// SPDX-License-Identifier: Apache-2.0
#include "cli/check/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/check/view.h"

namespace tulle::cli {
namespace {

using testing::ElementsAre;

struct Ran {
  std::string text;
  bool success = false;
};
Ran run(const std::vector<Category>& categories, ReportFormat format, CheckRun how = {}) {
  std::ostringstream out;
  Reporter reporter(out, format, false);
  if (!how.sleep) how.sleep = [](std::chrono::nanoseconds) {};
  if (!how.forget) how.forget = [] {};
  if (!how.progress) how.progress = [](std::string_view, std::string_view) {};
  run_checks(categories, how, reporter);
  Ran ran;
  ran.success = reporter.finish();
  ran.text = out.str();
  return ran;
}

std::vector<Category> several() {
  return {{"one",
           {{"is well", "a", kFatal, [] { return pass(); }},
            {"does not apply", "b", kFatal, [] { return skip(); }}}},
          {"two",
           {{"could be better", "c", kWarning | kFatal, [] { return fail("old\nrenew it"); }},
            {"is broken", "d", kFatal, [] { return fail("gone"); }},
            {"never asked", "e", kNone, [] { return pass(); }}}},
          {"three", {{"never asked", "f", kNone, [] { return pass(); }}}}};
}

TEST(CheckReport, TableEndsAtTheFirstFatalFailure) {
  const Ran ran = run(several(), ReportFormat::Table);
  EXPECT_FALSE(ran.success);
  EXPECT_EQ(ran.text,
            "one\n---\n√ is well\n\ntwo\n---\n‼ could be better\n    old\n    renew it\n    see "
            "https://linkerd.io/2/checks/#c for hints\n"
            "× is broken\n    gone\n    see https://linkerd.io/2/checks/#d for hints\n\nStatus "
            "check results are ×\n");
}

TEST(CheckReport, ShortShowsOnlyWhatIsNotWell) {
  EXPECT_EQ(run(several(), ReportFormat::Short).text.substr(0, 8), "two\n---\n");
  const Ran well =
      run({{"one", {{"is well", "a", kNone, [] { return pass(); }}}}}, ReportFormat::Short);
  EXPECT_TRUE(well.success);
  EXPECT_EQ(well.text, "Status check results are √\n");
}

TEST(CheckReport, JsonLeavesOutWhatDoesNotApply) {
  const Ran ran = run({several()[0],
                       {"empty", {{"n", "", kNone, [] { return skip(); }}}},
                       {"two", {several()[1].checks[0]}}},
                      ReportFormat::Json);
  EXPECT_TRUE(ran.success) << "warnings are no failures";
  std::string problem;
  const auto json = inject::parse_json(ran.text, problem);
  ASSERT_TRUE(json) << problem;
  EXPECT_EQ(
      json->to_json(),
      R"({"success":true,"categories":[{"categoryName":"one","checks":[{"description":"is well","result":"success"}]},)"
      R"({"categoryName":"two","checks":[{"description":"could be better","hint":"https://linkerd.io/2/checks/#c","error":"old\nrenew it","result":"warning"}]}]})");
}

TEST(CheckRun, TriesAgainUntilTheTimeIsOverForAllChecksTogether) {
  int tries = 0, others = 0, forgotten = 0;
  std::vector<std::string> said;
  std::chrono::nanoseconds slept{0};
  CheckRun how;
  how.wait = std::chrono::seconds(12);
  how.sleep = [&](std::chrono::nanoseconds pause) { slept += pause; };
  how.forget = [&] { ++forgotten; };
  how.progress = [&](std::string_view what, std::string_view error) {
    said.push_back(std::string(what) + ":" + std::string(error));
  };
  const Ran ran =
      run({{"one",
            {{"comes late", "", kRetry, [&] { return ++tries == 2 ? pass() : fail("not yet"); }},
             {"never comes", "", kRetry, [&] { return ++others, fail("no"); }}}}},
          ReportFormat::Basic, how);
  EXPECT_FALSE(ran.success);
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(others, 3) << "at 5 s, 10 s and 12 s";
  EXPECT_EQ(forgotten, 3);
  EXPECT_EQ(slept, std::chrono::seconds(12));
  EXPECT_THAT(said,
              ElementsAre("comes late:not yet", ":", "never comes:no", "never comes:no", ":"));
}

PodView pod_of(std::string_view yaml) {
  std::string problem;
  return view_of(inject::parse_yaml(yaml, problem).value_or(Value()));
}

TEST(PodView, ReadsOddPods) {
  EXPECT_EQ(pod_of("{}").title(), "/");
  EXPECT_FALSE(pod_of("{metadata: [1], spec: {containers: {a: b}}, status: 7}").has_proxy);
  const PodView native = pod_of(
      "{metadata: {name: web-abc-x, namespace: shop, labels: {pod-template-hash: abc}, "
      "ownerReferences: [{kind: ReplicaSet, name: web-abc}]},"
      " spec: {initContainers: [{name: linkerd-proxy, image: 'r:5000/tulle/proxy:v1@sha256:0', "
      "ports: [{name: linkerd-admin, containerPort: 4999}],"
      " env: [{name: LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS, value: pem}]}], containers: [{name: "
      "web, ports: [{name: http, containerPort: 80}]}]},"
      " status: {phase: Running, initContainerStatuses: [{name: linkerd-proxy, ready: true}],"
      " containerStatuses: [{name: web, ready: false, state: {waiting: {reason: "
      "ErrImagePull}}}]}}");
  EXPECT_TRUE(native.has_proxy);
  EXPECT_TRUE(native.proxy_ready);
  EXPECT_EQ(native.owner, "deploy/web");
  EXPECT_EQ(native.proxy_version, "v1");
  EXPECT_EQ(native.admin_port, "4999");
  EXPECT_EQ(native.anchors, "pem");
  EXPECT_EQ(native.waiting, "web: ErrImagePull");
  EXPECT_EQ(native.ports.at("http"), 80);
}

TEST(Text, TagsAndTimes) {
  EXPECT_EQ(tag_of("r:5000/tulle/proxy"), "");
  EXPECT_EQ(tag_of("tulle/proxy:v1"), "v1");
  EXPECT_EQ(format_rfc3339(parse_rfc3339("2026-11-25T15:04:05.123456Z").value()),
            "2026-11-25T15:04:05Z");
  for (const char* const bad :
       {"", "2026-13-25T15:04:05Z", "2026-11-25 15:04:05Z", "2026-11-25T15:04:05+01:00"})
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
}

}  // namespace
}  // namespace tulle::cli
