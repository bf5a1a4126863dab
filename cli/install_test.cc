// SPDX-License-Identifier: Apache-2.0
#include "cli/install.h"

#include <gtest/gtest.h>

#include "cli/chart/yaml.h"
#include "cli/mesh_objects.h"

namespace tulle::cli {
namespace {

chart::Value yaml(std::string_view text) {
  std::string problem;
  auto out = chart::parse_yaml(text, problem);
  EXPECT_TRUE(out) << problem;
  return out.value_or(chart::Value());
}

TEST(Install, OverridesGiveTheSameValuesAgain) {
  const chart::Value defaults = yaml("{a: 1, m: {x: 1, y: {z: 2}}, l: [1], n: null, gone: {k: v}}");
  const chart::Value effective =
      yaml("{a: 1, m: {x: 2, y: {z: 2}, w: 3}, l: [2], n: null, new: t}");
  EXPECT_EQ(chart::to_json(overrides_of(defaults, effective)),
            R"({"gone":null,"l":[2],"m":{"w":3,"x":2},"new":"t"})");
  EXPECT_EQ(chart::to_json(overrides_of(defaults, defaults)), "{}");
}

TEST(Install, StoredValuesAreFoundInAnyManifest) {
  InstallOptions options;
  options.version = "1.2.3";
  const InstallResult result = install(options, yaml("{controllerReplicas: 2}"));
  ASSERT_EQ(result.problem, "");
  std::string problem;
  EXPECT_EQ(chart::to_json(read_overrides(print_manifests(result.manifests, "yaml"), problem)),
            R"({"controllerReplicas":2})");
  const std::string list = chart::to_json(chart::Value::map(
      {{"kind", chart::Value("List")},
       {"items", chart::Value(chart::Value::List{yaml(result.manifests.back().text)})}}));
  EXPECT_EQ(chart::to_json(read_overrides(list, problem)), R"({"controllerReplicas":2})");
  EXPECT_TRUE(read_overrides("kind: ConfigMap", problem).is_null());
  EXPECT_EQ(problem, "");
  EXPECT_TRUE(read_overrides("kind: Secret\nmetadata: {name: linkerd-config-overrides}", problem)
                  .is_null());
  EXPECT_NE(problem, "");
}

// With these nothing would be injected, or proxies would not start; install says so at once.
TEST(Install, RefusesNetworksAndPortsThatAreNone) {
  InstallOptions options;
  options.version = "1.2.3";
  const auto problem_of = [&](std::string_view values) {
    return install(options, yaml(values)).problem;
  };
  EXPECT_EQ(problem_of("{clusterNetworks: '10.0.0.0/8,bad'}"),
            "clusterNetworks is \"10.0.0.0/8,bad\", expected networks such as 10.0.0.0/8");
  EXPECT_EQ(problem_of("{proxy: {opaquePorts: a-b}}"),
            "proxy.opaquePorts is \"a-b\", expected ports such as 25,4567-4568");
  EXPECT_EQ(problem_of("{proxyInit: {ignoreInboundPorts: '70000'}}"),
            "proxyInit.ignoreInboundPorts is \"70000\", expected ports such as 25,4567-4568");
  EXPECT_EQ(problem_of("{proxyInit: {skipSubnets: x}}"),
            "proxyInit.skipSubnets is \"x\", expected networks such as 10.0.0.0/8");
  EXPECT_EQ(
      problem_of("{clusterNetworks: '10.0.0.0/8, fd00::/8', proxy: {opaquePorts: '25,30-31'}}"),
      "");
}

TEST(Install, TellsWhatMayBeMeant) {
  const chart::Value defaults = yaml(
      "{proxy: {image: {name: p}, logLevel: warn}, podLabels: {}, tolerations: null, nodeSelector: "
      "{os: linux}}");
  const std::vector<std::string> told =
      unknown_values(defaults, yaml("{proxy: {imge: 1}, podLabels: {any: 1}, tolerations: [1], "
                                    "nodeSelector: {any: x}, logLevel: x, zzzzzz: 1}"));
  EXPECT_EQ(told,
            (std::vector<std::string>{
                "the value logLevel is not known and has no effect; did you mean proxy.logLevel?",
                "the value proxy.imge is not known and has no effect; did you mean proxy.image?",
                "the value zzzzzz is not known and has no effect"}));
}

TEST(Install, AnchorsThatAreInUseAreNotDropped) {
  constexpr std::string_view kOld =
      "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n";
  constexpr std::string_view kNew =
      "-----BEGIN CERTIFICATE-----\nCCCC\n-----END CERTIFICATE-----\n";
  EXPECT_FALSE(drops_anchors(kOld, std::string(kNew) + std::string(kOld)));
  EXPECT_FALSE(
      drops_anchors(kOld, "-----BEGIN CERTIFICATE-----\nAAAABBBB\n-----END CERTIFICATE-----"));
  EXPECT_TRUE(drops_anchors(kOld, kNew));
  EXPECT_FALSE(drops_anchors("", kNew));
  const std::string brief = tls::make_anchor("old", 24h).certificate.to_pem();
  EXPECT_TRUE(drops_anchors(brief, kNew));
  shift_wall_clock_for_testing(25h);
  EXPECT_FALSE(drops_anchors(brief, kNew)) << "it has ended";
  shift_wall_clock_for_testing(-25h);
}

TEST(MeshObjects, WhatGoesAndWhatStays) {
  const std::vector<MeshObject> objects = {
      {"v1", "Namespace", "", "linkerd"},
      {"v1", "Secret", "linkerd", "linkerd-config-overrides"},
      {"rbac.authorization.k8s.io/v1", "RoleBinding", "kube-system", "auth-reader"},
      {"apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "servers.policy.linkerd.io",
       false, true},
      {"v1", "Secret", "other", "made", true}};
  const auto names = [](const std::vector<MeshObject>& of) {
    std::vector<std::string> out;
    for (const MeshObject& one : of) out.push_back(one.name);
    return out;
  };
  EXPECT_EQ(names(to_uninstall(objects, "linkerd")),
            (std::vector<std::string>{"linkerd", "auth-reader"}));
  // Somebody else's namespace stays, so what is in it goes one by one.
  const std::vector<MeshObject> without(objects.begin() + 1, objects.end());
  EXPECT_EQ(names(to_uninstall(without, "linkerd")),
            (std::vector<std::string>{"linkerd-config-overrides", "auth-reader"}));
  const std::vector<chart::Manifest> wanted = {
      {"", "", "v1", "Secret", "linkerd-config-overrides", "linkerd"}};
  EXPECT_EQ(names(to_prune(objects, wanted)), (std::vector<std::string>{"auth-reader"}));
  EXPECT_EQ(stub_of(objects[1]).text,
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: linkerd-config-overrides\n  "
            "namespace: linkerd");
}

}  // namespace
}  // namespace tulle::cli
