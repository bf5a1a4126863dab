// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/inject.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "lib/base/text.h"
#include "lib/inject/names.h"
#include "lib/inject/overrides.h"

namespace tulle::inject {
namespace {

using testing::HasSubstr;

std::string file(const std::string& name) {
  std::ifstream in(std::string(INJECT_GOLDEN) + "/" + name);
  EXPECT_TRUE(in) << name;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

Value yaml(std::string_view text) {
  std::string problem;
  auto value = parse_yaml(text, problem);
  EXPECT_TRUE(value) << problem;
  return value.value_or(Value());
}

Value pod_of(const Value& test, const Value& defaults) {
  Value metadata = Value::map({{"name", "web-1"}, {"namespace", "shop"}});
  for (const char* const field : {"annotations", "labels"}) {
    if (!test[field].is_null()) metadata.set(field, test[field]);
  }
  return Value::map({{"apiVersion", "v1"},
                     {"kind", "Pod"},
                     {"metadata", metadata},
                     {"spec", test["spec"].is_null() ? defaults["spec"] : test["spec"]}});
}

Context context_of(const Value& test) {
  Context context;
  context.ns = "shop";
  context.ns_annotations = string_map(test["ns"]);
  context.native_sidecars = test["native-sidecars"].is_null() || test["native-sidecars"].is_true();
  return context;
}

Config config_of(const Value& test) {
  std::vector<ConfigProblem> problems;
  Config config = read_config(test["values"], problems);
  EXPECT_TRUE(problems.empty());
  config.trust_anchors = "anchors\n";
  return config;
}

std::string_view result_name(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::Injected: return "injected";
    case Outcome::Kind::OpaquePorts: return "opaque-ports";
    case Outcome::Kind::Unchanged: return "unchanged";
    case Outcome::Kind::Refused: return "refused";
  }
  return "";
}

const Value& named(const Value& list, std::string_view name) {
  static const Value kNull;
  for (const Value& item : list.items()) {
    if (item["name"].string() == name) return item;
  }
  return kNull;
}

const Value& container(const Value& pod, std::string_view name) {
  const Value& found = named(pod["spec"]["initContainers"], name);
  return !found.is_null() ? found : named(pod["spec"]["containers"], name);
}

void expect_variables(const Value& wanted, const Value& pod, std::string_view prefix) {
  const Value& env = container(pod, kProxyContainer)["env"];
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::string name = std::string(prefix) + wanted.keys()[i];
    const Value& found = named(env, name);
    if (wanted.items()[i].is_null()) {
      EXPECT_TRUE(found.is_null()) << name;
    } else {
      EXPECT_FALSE(found.is_null()) << name;
      EXPECT_EQ(found["value"].string(), wanted.items()[i].string()) << name;
    }
  }
}

void expect_arguments(const Value& wanted, const Value& pod) {
  const Value& args = container(pod, kInitContainer)["args"];
  const auto& all = args.items();
  const auto found =
      std::search(all.begin(), all.end(), wanted.items().begin(), wanted.items().end());
  // Pairs may be apart; each flag must stand before its value.
  if (found != all.end()) return;
  for (std::size_t i = 0; i + 1 < wanted.size(); i += 2) {
    const auto flag = std::find(all.begin(), all.end(), wanted.items()[i]);
    ASSERT_NE(flag, all.end()) << wanted.items()[i].text();
    EXPECT_EQ((flag + 1)->text(), wanted.items()[i + 1].text()) << wanted.items()[i].text();
  }
}

k8s::StringMap added_annotations(const Outcome& outcome) {
  k8s::StringMap added;
  constexpr std::string_view kPrefix = "/metadata/annotations/";
  for (const PatchOp& op : outcome.patch) {
    if (!op.path.starts_with(kPrefix)) continue;
    std::string key = op.path.substr(kPrefix.size());
    if (const auto at = key.find("~1"); at != std::string::npos) key.replace(at, 2, "/");
    if (key != kCreatedBy && key != kProxyVersion && key != kTrustRoot) {
      added.insert(key, std::string(op.value.string()));
    }
  }
  return added;
}

TEST(Inject, Cases) {
  const Value table = yaml(file("cases.yaml"));
  ASSERT_GT(table["cases"].size(), 50U);
  for (const Value& test : table["cases"].items()) {
    SCOPED_TRACE(test["name"].text());
    const Value pod = pod_of(test, table["defaults"]);
    const Outcome outcome = inject(pod, context_of(test), config_of(test));
    EXPECT_EQ(result_name(outcome.kind), test["result"].string()) << outcome.error;
    Value reasons = Value::list();
    for (const Reason reason : outcome.reasons) reasons.push(id(reason));
    if (!test["reasons"].is_null() || !reasons.empty())
      EXPECT_EQ(reasons.to_json(), test["reasons"].to_json());
    const auto& warnings = test["warnings"].items();
    ASSERT_EQ(outcome.warnings.size(), warnings.size())
        << (outcome.warnings.empty() ? "" : outcome.warnings.front().to_string());
    for (std::size_t i = 0; i < warnings.size(); ++i) {
      EXPECT_THAT(outcome.warnings[i].to_string(), HasSubstr(std::string(warnings[i].string())));
    }
    EXPECT_THAT(outcome.error, HasSubstr(std::string(test["error"].string())));
    if (!test["annotation-at"].is_null())
      EXPECT_EQ(outcome.annotation_at, test["annotation-at"].string());
    if (!test["added"].is_null()) EXPECT_EQ(added_annotations(outcome), string_map(test["added"]));
    expect_variables(test["env"], outcome.object, "LINKERD2_PROXY_");
    expect_variables(test["variables"], outcome.object, "");
    if (!test["init"].is_null()) expect_arguments(test["init"], outcome.object);
    for (std::size_t i = 0; i < test["at"].size(); ++i) {
      const Value* const found = at_pointer(outcome.object, test["at"].keys()[i]);
      const Value& wanted = test["at"].items()[i];
      if (wanted.is_null()) {
        EXPECT_EQ(found, nullptr) << test["at"].keys()[i];
      } else {
        ASSERT_NE(found, nullptr) << test["at"].keys()[i];
        EXPECT_EQ(found->to_json(), wanted.to_json()) << test["at"].keys()[i];
      }
    }
    // What injection does not name, it does not touch.
    Value patched = pod;
    EXPECT_TRUE(apply(patched, outcome.patch));
    EXPECT_EQ(patched.to_json(), outcome.object.to_json());
  }
}

// The whole of it once, as a person would read it. After a change that is meant:
//   TULLE_WRITE_GOLDEN=1 ctest -R inject_test
TEST(Inject, TheDefaultPod) {
  const Value pod = yaml(file("pod.yaml"));
  Context context;
  context.ns = "shop";
  context.ns_annotations.insert("linkerd.io/inject", "enabled");
  context.owner = {"deployment", "web"};
  Config config;
  config.version = "v1";
  config.trust_anchors = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const Outcome outcome = inject(pod, context, config);
  ASSERT_EQ(outcome.kind, Outcome::Kind::Injected);
  const std::string text = outcome.object.to_yaml();
  if (std::getenv("TULLE_WRITE_GOLDEN") != nullptr) {
    std::ofstream(std::string(INJECT_GOLDEN) + "/injected.yaml") << text;
  }
  EXPECT_EQ(text, file("injected.yaml"));
}

// Pods of many shapes, for what must hold of all of them.
std::vector<Value> many_pods() {
  std::vector<Value> out;
  const Value table = yaml(file("cases.yaml"));
  for (const Value& test : table["cases"].items()) {
    Value plain = test;
    plain.erase("annotations");
    out.push_back(pod_of(plain, table["defaults"]));
    out.back().find("metadata")->set("annotations", Value::map({{"example.com/a", "b"}}));
    out.push_back(pod_of(plain, table["defaults"]));
    out.push_back(
        Value::map({{"kind", "Pod"}, {"spec", pod_of(plain, table["defaults"])["spec"]}}));
  }
  return out;
}

Context enabled(bool native) {
  Context context;
  context.ns = "shop";
  context.ns_annotations.insert("linkerd.io/inject", "enabled");
  context.native_sidecars = native;
  return context;
}

TEST(Inject, TwiceChangesNothing) {
  std::size_t injected = 0;
  for (const Value& pod : many_pods()) {
    for (const bool native : {true, false}) {
      const Outcome once = inject(pod, enabled(native), Config());
      if (once.kind != Outcome::Kind::Injected) continue;
      ++injected;
      const Outcome again = inject(once.object, enabled(native), Config());
      EXPECT_EQ(again.kind, Outcome::Kind::Unchanged);
      EXPECT_TRUE(again.patch.empty());
      EXPECT_EQ(again.object.to_json(), once.object.to_json());
    }
  }
  EXPECT_GT(injected, 200U);
}

// Who reaches the webhook need not be an API server: no type of a member ends the process. What is
// null or of the right type, if odd, is injected; the rest is refused.
TEST(Inject, MembersOfAnyTypeAreMetCalmly) {
  const Context context = context_of(yaml("ns: {linkerd.io/inject: enabled}"));
  k8s::StringMap of_namespace;
  of_namespace.insert("config.linkerd.io/opaque-ports", "3306");
  int injected = 0;
  for (const char* odd : {"[1]", "[a, b]", "text", "5", "{x: 1}", "[]", "{}", "~", "[[]]"}) {
    for (const char* pod :
         {"{metadata: ODD, spec: {containers: [{name: a}]}}",
          "{metadata: {labels: ODD}, spec: {containers: [{name: a}]}}",
          "{metadata: {annotations: ODD}, spec: {containers: [{name: a}]}}",
          "{spec: {containers: [ODD], initContainers: ODD, volumes: ODD}}",
          "{spec: {containers: [{name: a, ports: ODD, env: ODD}]}}", "ODD", "{spec: ODD}",
          "{spec: {containers: ODD, ports: ODD}, metadata: ODD}"}) {
      std::string text(pod);
      for (std::size_t at = 0; (at = text.find("ODD", at)) != std::string::npos;)
        text.replace(at, 3, odd);
      Value object = yaml(text);
      if (object.is_map()) object.set("kind", "Pod");
      const Outcome outcome = inject(object, context, Config());
      injected += outcome.kind == Outcome::Kind::Injected ? 1 : 0;
      EXPECT_EQ(outcome.kind == Outcome::Kind::Refused, !outcome.error.empty()) << text;
      Value patched = object;
      EXPECT_TRUE(apply(patched, outcome.patch)) << text;
      EXPECT_EQ(patched, outcome.object) << text;
      const Outcome service = annotate_service(object, of_namespace, Config());
      patched = object;
      EXPECT_TRUE(apply(patched, service.patch)) << text;
    }
  }
  EXPECT_GE(injected, 10);
}

TEST(Inject, IsUndoneByUninject) {
  for (const Value& pod : many_pods()) {
    for (const bool native : {true, false}) {
      for (const bool cni : {true, false}) {
        Config config;
        config.cni_enabled = cni;
        config.proxy.tracing = {
            .enabled = true, .labels = {}, .endpoint = "a:1", .account = "b", .ns = "c"};
        Context context = enabled(native);
        context.ns_annotations.insert("config.linkerd.io/enable-debug-sidecar", "true");
        const Outcome once = inject(pod, context, config);
        if (once.kind != Outcome::Kind::Injected) continue;
        Value back = uninject(once.object);
        // The configuration that a pod got from its namespace stays.
        Value& metadata = *back.find("metadata");
        for (const auto& [key, value] : added_annotations(once)) {
          if (key.starts_with("config.")) metadata.find("annotations")->erase(key);
        }
        if (metadata["annotations"].empty() && pod["metadata"]["annotations"].is_null())
          metadata.erase("annotations");
        if (metadata.empty() && pod["metadata"].is_null()) back.erase("metadata");
        EXPECT_EQ(back.to_json(), pod.to_json());
      }
    }
  }
}

TEST(Inject, TemplatesOfAllKinds) {
  const Value spec = yaml("containers: [{name: a, image: b}]");
  const Value pod = Value::map(
      {{"metadata", Value::map({{"annotations", Value::map({{"linkerd.io/inject", "enabled"}})}})},
       {"spec", spec}});
  for (const char* const kind :
       {"Deployment", "ReplicationController", "ReplicaSet", "Job", "DaemonSet", "StatefulSet"}) {
    const Value object = Value::map({{"kind", kind}, {"spec", Value::map({{"template", pod}})}});
    const Outcome outcome = inject(object, {.owner = {"job", "x"}}, Config());
    EXPECT_EQ(outcome.kind, Outcome::Kind::Injected) << kind;
    EXPECT_FALSE(container(outcome.object["spec"]["template"], kProxyContainer).is_null()) << kind;
    EXPECT_EQ(
        outcome.object["spec"]["template"]["metadata"]["labels"]["linkerd.io/proxy-job"].string(),
        "x");
    EXPECT_TRUE(outcome.patch.front().path.starts_with("/spec/template/"))
        << outcome.patch.front().path;
    EXPECT_EQ(uninject(outcome.object)["spec"]["template"]["spec"].to_json(), spec.to_json());
  }
  const Value cron = Value::map(
      {{"kind", "CronJob"},
       {"spec",
        Value::map({{"jobTemplate", Value::map({{"spec", Value::map({{"template", pod}})}})}})}});
  const Outcome outcome = inject(cron, {.owner = {"cronjob", "nightly"}}, Config());
  EXPECT_EQ(outcome.kind, Outcome::Kind::Injected);
  const Value* const at = at_pointer(
      outcome.object, "/spec/jobTemplate/spec/template/metadata/labels/linkerd.io~1proxy-cronjob");
  ASSERT_NE(at, nullptr);
  EXPECT_EQ(at->string(), "nightly");

  for (const char* const kind : {"Service", "Namespace", "ConfigMap", ""}) {
    const Outcome none = inject(Value::map({{"kind", kind}}), {}, Config());
    EXPECT_EQ(none.kind, Outcome::Kind::Unchanged);
    ASSERT_EQ(none.reasons.size(), 1U);
    EXPECT_EQ(none.reasons.front(), Reason::UnsupportedResource);
  }
}

TEST(Inject, ByHandOnlyTheWorkloadsNoCounts) {
  const Value pod = yaml("kind: Pod\nspec: {containers: [{name: a, image: b}]}");
  const Outcome outcome = inject(pod, {.by_hand = true, .created_by = "linkerd/cli v1"}, Config());
  EXPECT_EQ(outcome.kind, Outcome::Kind::Injected);
  EXPECT_EQ(outcome.object["metadata"]["annotations"]["linkerd.io/created-by"].string(),
            "linkerd/cli v1");
  EXPECT_TRUE(outcome.object["metadata"]["annotations"]["linkerd.io/inject"].is_null());
  EXPECT_TRUE(outcome.object["metadata"]["labels"]["linkerd.io/workload-ns"].is_null());

  const Value no = yaml(
      "kind: Pod\nmetadata: {annotations: {linkerd.io/inject: disabled}}\nspec: {containers: "
      "[{name: a, image: b}]}");
  EXPECT_EQ(inject(no, {.by_hand = true}, Config()).kind, Outcome::Kind::Unchanged);
}

TEST(Inject, OpaquePortsOfServices) {
  const auto ports_of = [](std::string_view ports, std::string_view ns = "{}",
                           std::string_view metadata = "{name: db}") {
    const Value service = yaml("kind: Service\nmetadata: " + std::string(metadata) +
                               "\nspec: {ports: " + std::string(ports) + "}");
    const Outcome outcome = annotate_service(service, string_map(yaml(ns)), Config());
    return outcome.kind == Outcome::Kind::OpaquePorts
               ? std::string(outcome.object["metadata"]["annotations"][kOpaquePorts].string())
               : std::string("unchanged");
  };
  EXPECT_EQ(ports_of("[{port: 3306}]"), "3306");
  EXPECT_EQ(ports_of("[{port: 3306, targetPort: 0}]"), "3306");
  EXPECT_EQ(ports_of("[{port: 33060, targetPort: 3306}, {port: 80}]"), "33060");
  EXPECT_EQ(ports_of("[{port: 3306, targetPort: mysql}]"), "unchanged");
  EXPECT_EQ(ports_of("[{port: 3306, targetPort: 80}]"), "unchanged");
  EXPECT_EQ(ports_of("[{port: 3306}]", "{config.linkerd.io/opaque-ports: '9'}"), "9");
  EXPECT_EQ(ports_of("[{port: 3306}]", "{}", "{annotations: {config.linkerd.io/opaque-ports: ''}}"),
            "unchanged");
}

// Each of these reaches injection from whoever writes manifests or asks the webhook.
TEST(Inject, RefusesWhatKubernetesWouldNotTake) {
  const auto error_of = [](std::string_view metadata, std::string_view spec,
                           std::string_view kind = "Pod") {
    const Value pod = Value::map({{"metadata", yaml(metadata)}, {"spec", yaml(spec)}});
    Value object = Value::map({{"kind", kind}});
    if (kind == "Pod") {
      object = pod;
      object.set("kind", kind);
    } else {
      object.set("spec", Value::map({{"template", pod}}));
    }
    const Outcome outcome =
        inject(object, {.ns_annotations = {{std::string(kInject), "enabled"}}}, Config());
    EXPECT_EQ(outcome.kind, Outcome::Kind::Refused) << metadata << spec;
    EXPECT_TRUE(outcome.malformed);
    EXPECT_TRUE(outcome.patch.empty());
    EXPECT_EQ(outcome.object, object);
    return outcome.error;
  };
  constexpr std::string_view kGood = "{containers: [{name: a}]}";
  EXPECT_EQ(error_of("{labels: [a]}", kGood), "metadata.labels must be a map, it is a list");
  EXPECT_EQ(error_of("{labels: []}", kGood), "metadata.labels must be a map, it is a list");
  EXPECT_EQ(error_of("{annotations: x}", kGood), "metadata.annotations must be a map, it is text");
  EXPECT_EQ(error_of("[a]", kGood), "metadata must be a map, it is a list");
  EXPECT_EQ(error_of("5", kGood), "metadata must be a map, it is a number");
  EXPECT_EQ(error_of("{}", "[a]"), "spec must be a map, it is a list");
  EXPECT_EQ(error_of("{}", "{containers: x}"), "spec.containers must be a list, it is text");
  EXPECT_EQ(error_of("{}", "{containers: [x]}"), "spec.containers[0] must be a map, it is text");
  EXPECT_EQ(error_of("{}", "{containers: [{}], initContainers: {a: b}}"),
            "spec.initContainers must be a list, it is a map");
  EXPECT_EQ(error_of("{}", "{containers: [{}], volumes: true}"),
            "spec.volumes must be a list, it is true or false");
  EXPECT_EQ(error_of("{}", "{containers: [{}, {ports: {a: b}}]}"),
            "spec.containers[1].ports must be a list, it is a map");
  EXPECT_EQ(error_of("{}", "{containers: [{ports: [5]}]}"),
            "spec.containers[0].ports[0] must be a map, it is a number");
  EXPECT_EQ(error_of("{}", "{containers: [{env: a}]}"),
            "spec.containers[0].env must be a list, it is text");
  EXPECT_EQ(error_of("{labels: [a]}", kGood, "Deployment"),
            "spec.template.metadata.labels must be a map, it is a list");

  const auto service_error = [](std::string_view text) {
    const Outcome outcome = annotate_service(yaml(text), {}, Config());
    EXPECT_EQ(outcome.kind, Outcome::Kind::Refused) << text;
    return outcome.error;
  };
  EXPECT_EQ(service_error("{metadata: {annotations: [a]}, spec: {ports: [{port: 3306}]}}"),
            "metadata.annotations must be a map, it is a list");
  EXPECT_EQ(service_error("{metadata: [a], spec: {ports: [{port: 3306}]}}"),
            "metadata must be a map, it is a list");
  EXPECT_EQ(service_error("{spec: {ports: {port: 3306}}}"),
            "spec.ports must be a list, it is a map");
  // Null is how some tools write what is not there.
  const Value null = yaml(
      "{kind: Pod, metadata: {labels: null, annotations: }, spec: {containers: [{name: a, ports: "
      "}], initContainers: null, volumes: null}}");
  EXPECT_EQ(inject(null, {.by_hand = true}, Config()).kind, Outcome::Kind::Injected);
}

TEST(Inject, UninjectTouchesItsKindsOnly) {
  const auto with = [](std::string_view kind) {
    return yaml(concat("{", kind,
                       ", metadata: {annotations: {linkerd.io/inject: enabled}, labels: "
                       "{linkerd.io/workload-ns: a}}}"));
  };
  for (const std::string_view kind :
       {"apiVersion: serving.knative.dev/v1, kind: Service",
        "apiVersion: foo.dev/v1, kind: Deployment", "apiVersion: v1, kind: ConfigMap",
        "apiVersion: v1, kind: Secret", "apiVersion: batch.volcano.sh/v1alpha1, kind: Job",
        "apiVersion: foo.dev/v1, kind: Namespace"}) {
    EXPECT_EQ(uninject(with(kind)), with(kind)) << kind;
  }
  for (const std::string_view kind :
       {"apiVersion: v1, kind: Service", "apiVersion: apps/v1, kind: Deployment",
        "apiVersion: v1, kind: Namespace", "apiVersion: batch/v1, kind: Job"}) {
    EXPECT_EQ(uninject(with(kind)), yaml(concat("{", kind, "}"))) << kind;
  }
}

TEST(Inject, APatchWithoutAPlaceIsNoEnd) {
  Patcher patcher(yaml("{metadata: {labels: [a]}}"), "");
  patcher.add("/metadata/labels/a", "b");
  patcher.add("/metadata/name", "c");
  EXPECT_EQ(patcher.failed_at(), "/metadata/labels/a");
  EXPECT_TRUE(patcher.take_patch().empty());
}

Value pod_with(std::string_view containers, k8s::StringMap annotations) {
  Value map = Value::map();
  for (const auto& [key, value] : annotations) map.set(key, value);
  return Value::map({{"kind", "Pod"},
                     {"metadata", Value::map({{"annotations", std::move(map)}})},
                     {"spec", Value::map({{"containers", yaml(containers)}})}});
}

// The size of what comes out and of what was told stand for the time: neither may grow with the
// product of two lists.
TEST(Inject, CostsWhatItsInputIsLong) {
  std::string containers = "[";
  for (int i = 0; i < 1'000; ++i) {
    containers += concat("{name: c", std::to_string(i), ", ports: [");
    for (int k = 0; k < 10; ++k) {
      containers +=
          concat("{name: http, containerPort: ", std::to_string(1 + i * 20 + 2 * k), "},");
    }
    containers += "]},";
  }
  containers += "]";
  std::string many;
  for (int i = 0; i < 20'000; ++i) many += "http,";
  for (int i = 0; i < 20'000; ++i) many += "1-65000,";
  k8s::StringMap annotations;
  for (const std::string_view name :
       {"skip-inbound-ports", "skip-outbound-ports", "opaque-ports", "pod-inbound-ports"}) {
    annotations.insert(concat(kConfigPrefix, name), many);
  }
  const Outcome outcome = inject(pod_with(containers, annotations), {.by_hand = true}, Config());
  ASSERT_EQ(outcome.kind, Outcome::Kind::Injected);
  const Value& init = container(outcome.object, kInitContainer);
  EXPECT_EQ(init["args"].items().back().string(), "1-65000");
  EXPECT_LT(to_json_patch(outcome.patch).to_json().size(), 100'000U);

  std::string too_many = "[";
  for (int i = 0; i < 10'001; ++i) too_many += "{containerPort: 80},";
  const Outcome refused =
      inject(pod_with(concat("[{ports: ", too_many, "]}]"), {}), {.by_hand = true}, Config());
  EXPECT_EQ(refused.error, "spec.containers[0].ports has 10001 items, at most 10000 are taken");
}

TEST(Inject, ManyAnnotationsAreToldAFewTimes) {
  k8s::StringMap annotations;
  for (int i = 0; i < 5'000; ++i) {
    annotations.insert(concat(kConfigPrefix, "proxy-cpu-reques", std::to_string(10'000 + i)), "x");
  }
  std::string unknown;
  for (int i = 0; i < 5'000; ++i) unknown += "nobody,";
  annotations.insert(std::string(kOpaquePorts), unknown);
  const Outcome outcome = inject(pod_with("[{name: a}]", annotations), {.by_hand = true}, Config());
  ASSERT_EQ(outcome.kind, Outcome::Kind::Injected);
  ASSERT_EQ(outcome.warnings.size(), 26U);
  EXPECT_EQ(outcome.warnings[12].to_string(), "4988 more items of opaque-ports are left out");
  EXPECT_EQ(outcome.warnings[25].to_string(), "4988 more annotations are unknown");

  // More annotations than any object has.
  for (int i = 0; i < 5'001; ++i) annotations.insert(concat("z", std::to_string(10'000 + i)), "x");
  EXPECT_EQ(inject(pod_with("[{name: a}]", annotations), {.by_hand = true}, Config()).error,
            "metadata.annotations has 10002 items, at most 10000 are taken");
}

TEST(Inject, VariablesAreBounded) {
  const auto with = [](int count) {
    std::string list = "[";
    for (int i = 0; i < count; ++i) {
      list += concat(i == 0 ? "" : ",", "{\"name\":\"V", std::to_string(i % 700), "\",\"value\":\"",
                     std::to_string(i), "\"}");
    }
    const std::string key = concat(kConfigPrefix, "proxy-additional-env");
    return inject(pod_with("[{name: a}]", {{key, list + "]"}}), {.by_hand = true}, Config());
  };
  const Outcome taken = with(1'000);
  EXPECT_TRUE(taken.warnings.empty());
  const Value& env = container(taken.object, kProxyContainer)["env"];
  EXPECT_EQ(named(env, "V0")["value"].string(), "700");
  EXPECT_EQ(named(env, "V699")["value"].string(), "699");
  const Outcome ignored = with(1'001);
  ASSERT_EQ(ignored.warnings.size(), 1U);
  EXPECT_THAT(ignored.warnings[0].to_string(), HasSubstr("has 1001 variables, at most 1000"));
  EXPECT_TRUE(named(container(ignored.object, kProxyContainer)["env"], "V0").is_null());
}

TEST(Config, ReadsHelmValues) {
  std::vector<ConfigProblem> problems;
  const Config config = read_config_yaml(
      "linkerdVersion: v7\nidentityTrustAnchorsPEM: |\n  A\n  B\nproxy:\n  resources: {cpu: "
      "{request: 1, limit: \"\"}}\n"
      "  uid: 2102\n  image: {name: x/y, version: \"\", pullPolicy: Never}\n  ports: {admin: 5}\n",
      problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(config.version, "v7");
  EXPECT_EQ(config.trust_anchors, "A\nB\n");
  EXPECT_EQ(config.proxy.resources.cpu.request, "1");
  EXPECT_EQ(config.reference(config.proxy.image), "x/y:v7");
  EXPECT_EQ(config.pull_policy(config.proxy.image), "Never");
  EXPECT_EQ(config.proxy.admin_port, 5);
  EXPECT_EQ(config.proxy.inbound_port, 4143);
}

TEST(Config, NamesWhatIsWrong) {
  std::vector<ConfigProblem> problems;
  const Config config = read_config_yaml(
      "disableIPv6: \"no\"\nproxy: {ports: {admin: 99999}, uid: many}\n", problems);
  ASSERT_EQ(problems.size(), 3U);
  EXPECT_EQ(problems[0].path, "disableIPv6");
  EXPECT_EQ(problems[1].path, "proxy.ports.admin");
  EXPECT_EQ(problems[2].path, "proxy.uid");
  EXPECT_TRUE(config.disable_ipv6);
  EXPECT_EQ(config.proxy.admin_port, 4191);
  problems.clear();
  read_config_yaml("a: [", problems);
  EXPECT_EQ(problems.size(), 1U);
}

TEST(Config, AKeyTwiceIsNamedWithItsLine) {
  std::string problem;
  EXPECT_FALSE(parse_yaml("a: 1\nproxy:\n  uid: 1\n  image:\n    name: x\n  uid: 2\n", problem));
  EXPECT_NE(problem.find("6"), std::string::npos) << problem;
  EXPECT_NE(problem.find("proxy.uid: occurs twice"), std::string::npos) << problem;
  EXPECT_FALSE(parse_yaml("proxy:\n  uid: 1\na: 1\nproxy:\n  gid: 2\n", problem));
  EXPECT_NE(problem.find("4"), std::string::npos) << problem;
}

// A word that is no policy is not more open than what the namespace says.
TEST(Overrides, AMisspeltPolicyFallsBackToTheNamespaces) {
  const std::string key = "config.linkerd.io/default-inbound-policy";
  const auto policy = [&](std::string_view pod, std::string_view ns) {
    k8s::StringMap of_pod, of_ns;
    if (!pod.empty()) of_pod.insert(key, std::string(pod));
    if (!ns.empty()) of_ns.insert(key, std::string(ns));
    return apply_annotations(Config(), of_pod, of_ns, {}, Value())
        .config.proxy.default_inbound_policy;
  };
  EXPECT_EQ(policy("dney", "deny"), "deny");
  EXPECT_EQ(policy("audit", "deny"), "audit");
  EXPECT_EQ(policy("dney", "dney"), Config().proxy.default_inbound_policy);
  EXPECT_EQ(policy("dney", ""), Config().proxy.default_inbound_policy);
}

// A name stands for all ports that have it, in every list of ports.
TEST(Overrides, NamesOfPortsAreSets) {
  std::string problem;
  const Value spec = *parse_yaml(
      "{containers: [{name: a, ports: [{name: p, containerPort: 1}]}, {name: b, ports: [{name: p, "
      "containerPort: 2}, {name: p, containerPort: 3, protocol: UDP}]}], initContainers: [{name: "
      "s, "
      "ports: [{name: p, containerPort: 4}]}]}",
      problem);
  k8s::StringMap annotations;
  for (const std::string_view name : {"opaque-ports", "skip-inbound-ports", "skip-outbound-ports",
                                      "proxy-require-identity-inbound-ports"}) {
    annotations.insert(concat("config.linkerd.io/", name), "p,9-10");
  }
  const Config config = apply_annotations(Config(), annotations, {}, {}, spec).config;
  EXPECT_EQ(config.proxy.opaque_ports, "1,2,4,9-10");
  EXPECT_EQ(config.init.ignore_inbound_ports, "1,2,4,9-10");
  EXPECT_EQ(config.init.ignore_outbound_ports, "1,2,4,9-10");
  EXPECT_EQ(config.proxy.require_identity_ports, "1,2,4,9-10");
}

TEST(Config, NamesValuesThatNobodyKnows) {
  std::vector<ConfigProblem> problems;
  read_config_yaml(
      "global: {x: 1, clusterDomain: a, proxy: {uid: 1}}\npodLabels: {team: a}\nproxy: "
      "{ressources: {cpu: {}}, resources: {cpu: "
      "{requests: 1}}}\n"
      "proxyInnit: {}\nsomethingElse: 1\nproxyInit: {saMountPath: {name: a, mountPath: b, "
      "readOnly: true}, "
      "xtMountPath: {readOnly: false}, capabilities: null}\ncliVersion: linkerd/cli x\n",
      problems);
  std::vector<std::string> told;
  for (const ConfigProblem& problem : problems)
    told.push_back(problem.path + ": " + problem.reason);
  EXPECT_EQ(told, (std::vector<std::string>{
                      "global.x: there is no such value",
                      "global.clusterDomain: there is no such value; did you mean clusterDomain?",
                      "global.proxy: there is no such value; did you mean proxy?",
                      "proxy.ressources: there is no such value; did you mean proxy.resources?",
                      "proxy.resources.cpu.requests: there is no such value; did you mean "
                      "proxy.resources.cpu.request?",
                      "proxyInnit: there is no such value; did you mean proxyInit?",
                      "somethingElse: there is no such value"}));
}

}  // namespace
}  // namespace tulle::inject
