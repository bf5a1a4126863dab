// SPDX-License-Identifier: Apache-2.0
#include "cli/inject.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/yaml_text.h"
#include "lib/base/text.h"

namespace tulle::cli {
namespace {

using testing::HasSubstr;

// As kubectl prints it, comments of a person added.
constexpr std::string_view kDeployment = R"(apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # the shop's front
  namespace: shop
spec:
  replicas: 3
  template:
    metadata:
      creationTimestamp: null
      labels:
        app: "web"
    spec:
      containers:
      - image: 'local/web:1'
        name: web
        args: [ "-v",   "--x" ]
        ports:
        - containerPort: 8080
)";

InjectResult run(std::string_view text, InjectOptions options = {}) {
  return transform({{"in.yaml", std::string(text)}}, options);
}

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out(text);
  const std::size_t at = out.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return out.replace(at, what.size(), with);
}

TEST(Inject, AddsOneAnnotationAndNothingElse) {
  const InjectResult result = run(kDeployment);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, replaced(kDeployment, "      creationTimestamp: null\n",
                                 "      annotations:\n        linkerd.io/inject: enabled\n      "
                                 "creationTimestamp: null\n"));
  EXPECT_EQ(result.report, "\n\ndeployment \"web\" injected\n\n");
  // Again: nothing changes.
  EXPECT_EQ(run(result.out).out, result.out);
  EXPECT_EQ(run(result.out, {.uninject = true}).out, kDeployment);
}

TEST(Inject, SaysWhatIsNoObjectOfKubernetes) {
  const std::string metadata =
      replaced(kDeployment, "      labels:\n        app: \"web\"\n", "      labels: [a]\n");
  for (const bool manual : {false, true}) {
    const InjectResult result = run(metadata, {.manual = manual});
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.report,
                HasSubstr("failed to inject deployment/web: spec.template.metadata.labels must be "
                          "a map, it is a list"));
  }
  const InjectResult pod =
      run("kind: Pod\nmetadata: [a]\nspec: {containers: [{name: a}]}\n", {.manual = true});
  EXPECT_THAT(pod.report, HasSubstr("metadata must be a map, it is a list"));
  const InjectResult ns = run("kind: Namespace\nmetadata: [a]\n");
  EXPECT_THAT(ns.report, HasSubstr("metadata must be a map, it is a list"));
  EXPECT_EQ(ns.status, 1);
}

TEST(Inject, WritesFlagsAsAnnotations) {
  const InjectResult result =
      run(kDeployment,
          {.ingress = true, .annotations = {{"config.linkerd.io/skip-outbound-ports", "443"}}});
  EXPECT_THAT(result.out, HasSubstr("        config.linkerd.io/skip-outbound-ports: \"443\"\n      "
                                    "  linkerd.io/inject: ingress\n"));
}

TEST(Inject, KeepsListsLists) {
  const std::string list = R"(apiVersion: v1
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    annotations:
      deployment.kubernetes.io/revision: "1"
    name: a
  spec:
    template:
      metadata:
        annotations: {}
        labels: {app: a}
      spec:
        containers:
        - {image: x, name: a}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: c}
  data:
    k: |
      linkerd.io/inject: enabled

    z: 0644
kind: List
metadata:
  resourceVersion: ""
)";
  const InjectResult result = run(list);
  EXPECT_EQ(result.out, replaced(list, "        annotations: {}\n",
                                 "        annotations:\n          linkerd.io/inject: enabled\n"));
  EXPECT_EQ(result.report, "\n\ndeployment \"a\" injected\nconfigmap \"c\" skipped\n\n");
}

TEST(Inject, KeepsDocumentsAndWhatIsBetweenThem) {
  const std::string text = concat("# first\n---\n", kDeployment, "--- # next\n\n",
                                  "apiVersion: v1\nkind: Service\nmetadata: {name: "
                                  "web}\n...\n---\n# nothing\n---\nnot: an object\n");
  const InjectResult result = run(text);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, replaced(text, "      creationTimestamp: null\n",
                                 "      annotations:\n        linkerd.io/inject: enabled\n      "
                                 "creationTimestamp: null\n"));
  EXPECT_THAT(result.report,
              HasSubstr("service \"web\" skipped\na document has no kind, and is skipped\n"));
}

TEST(Inject, JoinsFiles) {
  const InjectResult result = transform({{"a", "kind: ConfigMap\nmetadata: {name: a}"},
                                         {"b", "kind: ConfigMap\nmetadata: {name: b}\n"}},
                                        {});
  EXPECT_EQ(result.out,
            "kind: ConfigMap\nmetadata: {name: a}\n---\nkind: ConfigMap\nmetadata: {name: b}\n");
}

TEST(Inject, TakesJson) {
  const std::string json = R"({
    "kind": "Pod",
    "metadata": {
        "name": "p"
    },
    "spec": {"containers": [{"name": "a", "image": "b"}]}
}
)";
  const InjectResult result = run(json);
  EXPECT_EQ(result.out,
            replaced(json, "\"name\": \"p\"",
                     "\"annotations\": {\"linkerd.io/inject\":\"enabled\"}, \"name\": \"p\""));
  const InjectResult as_json = run(kDeployment, {.json = true});
  std::string problem;
  EXPECT_TRUE(inject::parse_json(as_json.out, problem)) << problem;
  EXPECT_THAT(as_json.out, HasSubstr("\"linkerd.io/inject\": \"enabled\""));
}

TEST(Inject, NamespacesAndServices) {
  EXPECT_EQ(
      run("kind: Namespace\nmetadata:\n  name: shop\n").out,
      "kind: Namespace\nmetadata:\n  annotations:\n    linkerd.io/inject: enabled\n  name: shop\n");
  const InjectResult service = run("kind: Service\nmetadata:\n  name: db\n",
                                   {.annotations = {{"config.linkerd.io/opaque-ports", "3306"},
                                                    {"config.linkerd.io/proxy-uid", "7"}}});
  EXPECT_EQ(service.out,
            "kind: Service\nmetadata:\n  annotations:\n    config.linkerd.io/opaque-ports: "
            "\"3306\"\n  name: db\n");
  EXPECT_THAT(service.report, HasSubstr("service \"db\" annotated"));
}

TEST(Inject, HostNetworkIsAnError) {
  const InjectResult result =
      run("apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  kind: DaemonSet\n  "
          "metadata: {name: node-exporter}\n"
          "  spec: {template: {spec: {hostNetwork: true, containers: [{name: a, image: b}]}}}\n");
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.report,
            "\nError transforming resources:\nfailed to inject daemonset/node-exporter: "
            "hostNetwork is enabled\n\n");
}

TEST(Inject, OthersSidecarsAndTheControlPlaneAreErrors) {
  EXPECT_THAT(
      run("kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: istio-proxy, image: x}]}\n")
          .report,
      HasSubstr("failed to inject pod/p: pod has a sidecar already"));
  EXPECT_THAT(run("kind: Deployment\nmetadata: {name: d}\nspec: {template: {metadata: {labels: "
                  "{linkerd.io/control-plane-component: x}}, spec: {containers: []}}}\n")
                  .report,
              HasSubstr("failed to inject deployment/d: it is a part of the control plane"));
  EXPECT_THAT(run("kind: Deployment\nmetadata: {name: d}\n").report,
              HasSubstr("deployment/d: it has no pod template"));
  EXPECT_THAT(run("a: [\n").report, HasSubstr("in.yaml: line"));
}

TEST(Inject, DisabledStaysAsItIs) {
  const std::string text =
      "kind: Pod\nmetadata: {name: p, annotations: {linkerd.io/inject: disabled}}\nspec: "
      "{hostNetwork: true, containers: [{name: a, image: b}]}\n";
  const InjectResult result = run(text);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, text);
  EXPECT_THAT(result.report, HasSubstr("‼ pod/p: is annotated with linkerd.io/inject: disabled\n"));
  EXPECT_THAT(result.report, HasSubstr("pod \"p\" skipped"));
}

TEST(Inject, SaysWhatIsWell) {
  const InjectResult result = run(kDeployment, {.verbose = true});
  EXPECT_THAT(result.report, HasSubstr("√ pods do not use host networking\n"));
  EXPECT_THAT(result.report, HasSubstr("√ pods do not use UDP\n"));
}

TEST(Inject, WarnsOfUdpAndOfAnnotations) {
  const InjectResult result =
      run("kind: Pod\nmetadata: {name: dns, annotations: {config.linkerd.io/admin-port: x}}\nspec: "
          "{containers: [{name: a, image: b, ports: [{containerPort: 53, protocol: UDP}]}]}\n");
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.report, HasSubstr("‼ pod/dns: has UDP ports, which are not meshed\n"));
  EXPECT_THAT(result.report, HasSubstr("‼ pod/dns: config.linkerd.io/admin-port: is \"x\""));
}

InjectOptions by_hand() {
  InjectOptions options;
  options.manual = true;
  options.version = "v1";
  options.config.trust_anchors = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  return options;
}

TEST(Inject, ByHandWritesTheProxyAndUninjectTakesItOut) {
  const InjectResult result = run(kDeployment, by_hand());
  EXPECT_EQ(result.status, 0) << result.report;
  EXPECT_THAT(result.out, HasSubstr("      initContainers:\n      - name: linkerd-init\n"));
  EXPECT_THAT(result.out, HasSubstr("        linkerd.io/created-by: linkerd/cli v1\n"));
  EXPECT_THAT(result.out, HasSubstr("  name: web   # the shop's front\n"));
  EXPECT_THAT(result.out, HasSubstr("        args: [ \"-v\",   \"--x\" ]\n"));
  EXPECT_EQ(run(result.out, {.uninject = true}).out, kDeployment);
  EXPECT_EQ(run(result.out, {.uninject = true}).report, "\ndeployment \"web\" uninjected\n\n");
  // By hand once more is the same.
  EXPECT_EQ(run(result.out, by_hand()).out, result.out);
}

TEST(Inject, UninjectLeavesOthersAlone) {
  const InjectResult result = run(kDeployment, {.uninject = true});
  EXPECT_EQ(result.out, kDeployment);
  EXPECT_EQ(result.report, "\ndeployment \"web\" skipped\n\n");
}

TEST(Inject, RefusesFlagsThatMeanNothing) {
  EXPECT_EQ(annotations_problem({.annotations = {{"config.linkerd.io/opaque-ports", "mysql"}}}),
            "");
  EXPECT_THAT(annotations_problem({.annotations = {{"config.linkerd.io/admin-port", "x"}}}),
              HasSubstr("expected a port"));
}

// Kinds are told apart by their group: those of others pass through as they are.
TEST(Inject, LooksAtGroupAndKind) {
  const auto of = [](std::string_view version, std::string_view kind) {
    return concat(
        "apiVersion: ", version, "\nkind: ", kind,
        "\nmetadata: {name: x}\nspec:\n  template:\n    spec:\n      containers: [{name: a, "
        "image: b}]\n");
  };
  const std::pair<std::string_view, std::string_view> others[] = {
      {"batch.volcano.sh/v1alpha1", "Job"},
      {"serving.knative.dev/v1", "Service"},
      {"argoproj.io/v1alpha1", "Deployment"},
      {"v1", "Deployment"},
      {"apps/v1", "Job"},
      {"example.org/v1", "Namespace"},
      {"example.org/v1", "Pod"}};
  InjectOptions options;
  options.annotations = {{"config.linkerd.io/opaque-ports", "25"}};
  for (const auto& [version, kind] : others) {
    const std::string text = of(version, kind);
    const InjectResult result = run(text, options);
    EXPECT_EQ(result.out, text);
    EXPECT_THAT(result.report, HasSubstr("skipped")) << version;
    EXPECT_EQ(run(text, {.uninject = true}).out, text);
  }
  for (const auto& [version, kind] : {std::pair{"apps/v1", "Deployment"},
                                      {"extensions/v1beta1", "Deployment"},
                                      {"batch/v1", "Job"},
                                      {"batch/v1beta1", "Job"},
                                      {"v1", "ReplicationController"}}) {
    EXPECT_THAT(run(of(version, kind)).out, HasSubstr("linkerd.io/inject: enabled")) << version;
  }
}

TEST(Inject, AliasesAndMergeKeysAreWrittenOutInPlace) {
  const InjectResult result = run(
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, labels: &l {app: x}}\nspec:\n  "
      "template:\n    metadata:\n      labels: *l\n      annotations: {<<: {a: b}}\n    spec:\n    "
      "  "
      "containers: [{name: a, image: b}] # one\n");
  EXPECT_EQ(result.status, 0) << result.report;
  EXPECT_EQ(
      result.out,
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, labels: &l {app: x}}\nspec:\n  "
      "template:\n    metadata:\n      labels:\n        app: x\n      annotations: "
      "{\"linkerd.io/inject\": \"enabled\", \"a\": \"b\"}\n    spec:\n      containers: "
      "[{name: a, image: b}] # one\n");
}

TEST(Inject, ByHandInIngressModeSaysSo) {
  InjectOptions options = by_hand();
  options.ingress = true;
  const InjectResult result = run(kDeployment, options);
  EXPECT_THAT(result.out, HasSubstr("linkerd.io/inject: ingress\n"));
  EXPECT_EQ(run(result.out, {.uninject = true}).out, kDeployment);
}

// All that inject --manual has put in, also the annotations that it has made of flags and defaults.
TEST(Inject, UninjectTakesOutAllThatWasPutInByHand) {
  const std::string_view pods[] = {
      kDeployment,
      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: db\n  annotations:\n    mine: kept\nspec:\n  "
      "containers:\n  - name: db\n    image: x\n    ports:\n    - containerPort: 3306\n",
      "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: c\nspec:\n  jobTemplate:\n    "
      "spec:\n      "
      "template:\n        metadata:\n          annotations:\n            "
      "config.linkerd.io/proxy-log-level: debug\n        spec:\n          volumes:\n          - "
      "name: v\n  "
      "          emptyDir: {}\n          containers:\n          - name: c\n            image: x\n  "
      "        "
      "  ports:\n            - containerPort: 25\n"};
  InjectOptions plain = by_hand();
  plain.config.proxy.opaque_ports = "25,3306";
  InjectOptions full = plain;
  full.ingress = true;
  full.annotations = {{"config.linkerd.io/enable-debug-sidecar", "true"},
                      {"config.linkerd.io/proxy-cpu-request", "10m"},
                      {"config.alpha.linkerd.io/proxy-wait-before-exit-seconds", "3"},
                      {"config.linkerd.io/proxy-enable-native-sidecar", "false"}};
  for (const std::string_view pod : pods) {
    for (const InjectOptions& options : {plain, full}) {
      const InjectResult result = run(pod, options);
      EXPECT_EQ(result.status, 0) << result.report;
      EXPECT_NE(result.out, pod);
      EXPECT_EQ(run(result.out, {.uninject = true}).out, pod) << result.out;
    }
  }
}

}  // namespace
}  // namespace tulle::cli
