// SPDX-License-Identifier: Apache-2.0
#include "control/identity/known_anchors.h"

#include <gtest/gtest.h>

#include "control/testing.h"

namespace tulle::control {
namespace {

TEST(KnownAnchors, LivingMeshedPodsSayWhichBundleTheyHave) {
  Index index;
  const auto pod = [&](std::string_view name, std::string_view hash, std::string_view phase,
                       std::string_view more = ", labels: {linkerd.io/control-plane-ns: linkerd}",
                       std::string_view containers = "{name: linkerd-proxy}") {
    put_yaml(index, concat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
                           ", namespace: shop, annotations: {linkerd.io/trust-root-sha256: ", hash,
                           ", other: x}", more, "}\nspec: {containers: [", containers,
                           "]}\nstatus: {phase: ", phase, "}\n"));
  };
  constexpr std::string_view kOfSet =
      ", labels: {linkerd.io/control-plane-ns: linkerd}, ownerReferences: [{kind: ReplicaSet, "
      "name: web-1}]";
  put_yaml(index,
           "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web-1, namespace: shop, "
           "ownerReferences: [{kind: Deployment, name: web}]}\n");
  pod("web-1-a", "aa", "Running", kOfSet);
  pod("web-1-b", "aa", "Pending", kOfSet);
  pod("lone", "bb", "Running");
  pod("done", "cc", "Succeeded");
  pod("broken", "cc", "Failed");
  pod("unlabelled", "cc", "Running", "");
  pod("no-proxy", "cc", "Running", ", labels: {linkerd.io/control-plane-ns: linkerd}",
      "{name: app}");
  const AnchorUsers expected{{"aa", {"deployment shop/web"}}, {"bb", {"pod shop/lone"}}};
  EXPECT_EQ(anchor_users(View(index)), expected);
}

TEST(KnownAnchors, ABundleIsKnownWhileItIsUsed) {
  const std::string a = bundle_hash("A"), b = bundle_hash("B");
  AnchorBundles known = next_bundles({}, "A", {});
  EXPECT_EQ(known, (AnchorBundles{{a, "A"}}));
  known = next_bundles(known, "B", {{a, {"pod x/y"}}, {b, {"pod x/z"}}});
  EXPECT_EQ(known, (AnchorBundles{{a, "A"}, {b, "B"}}));
  EXPECT_EQ(next_bundles(known, "B", {{b, {"pod x/z"}}}), (AnchorBundles{{b, "B"}}));
  // What a pod says of a bundle that was never ours makes nothing known.
  EXPECT_EQ(next_bundles({{b, "B"}}, "B", {{bundle_hash("C"), {"pod x/evil"}}}),
            (AnchorBundles{{b, "B"}}));
}

TEST(KnownAnchors, TheirAnchorsAreTrustedUntilTheyEnd) {
  const tls::Certificate present = tls::make_anchor("new", 24h * 365).certificate;
  const tls::Certificate before = tls::make_anchor("old", 24h * 30).certificate;
  const AnchorBundles known{
      {"1", before.to_pem() + present.to_pem()}, {"2", "no PEM"}, {"3", before.to_pem()}};
  std::vector<tls::Certificate> anchors{present};
  trust_known(anchors, known, wall_now());
  ASSERT_EQ(anchors.size(), 2U);
  EXPECT_EQ(anchors[0].der, present.der);
  EXPECT_EQ(anchors[1].der, before.der);
  anchors = {present};
  trust_known(anchors, known, wall_now() + 24h * 40);
  EXPECT_EQ(anchors.size(), 1U);
}

TEST(KnownAnchors, WhoMustRestartIsNamed) {
  const AnchorBundles known{{bundle_hash("A"), "A"}, {bundle_hash("B"), "B"}};
  EXPECT_EQ(who_must_restart(known, "B", {{bundle_hash("B"), {"pod x/z"}}, {"ff", {"pod x/y"}}}),
            "");
  EXPECT_EQ(
      who_must_restart(known, "B", {{bundle_hash("A"), {"deployment shop/web", "pod shop/x"}}}),
      "trust anchors that were replaced stay trusted until these are restarted: deployment "
      "shop/web, pod shop/x");
  std::set<std::string> many;
  for (char c = 'a'; c < 'a' + 15; ++c) many.insert(std::string("pod shop/") + c);
  const std::string said = who_must_restart(known, "B", {{bundle_hash("A"), many}});
  EXPECT_TRUE(said.ends_with("pod shop/l and 3 more")) << said;
}

}  // namespace
}  // namespace tulle::control
