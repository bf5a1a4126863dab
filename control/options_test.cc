// SPDX-License-Identifier: Apache-2.0
#include "control/options.h"

#include <gtest/gtest.h>

namespace tulle::control {
namespace {

using Strings = std::vector<std::string>;

Strings problems_of(const Strings& arguments) {
  const auto parsed = parse_options(arguments);
  const auto* const problems = std::get_if<OptionProblems>(&parsed);
  return problems != nullptr ? problems->problems : Strings{};
}

TEST(Options, TakesFlagsInEveryForm) {
  const auto parsed = parse_options(
      {"--roles=identity,policy", "-manifests", "/m", "--issuer", "/i", "--token-key=/k",
       "--identity-generate", "--identity-issuance-lifetime=20s",
       "--cluster-networks=10.0.0.0/8,fd00::/8", "--default-inbound-policy=deny",
       "--default-opaque-ports=", "--listen=127.0.0.1", "--policy-port=0",
       "--identity-trust-domain=example.org.", "--outbound-transport-mode=transparent",
       "--enable-h2-upgrade=false", "--meshed-keep-alive-interval=20s",
       "--global-egress-network-namespace=egress"});
  const auto* const options = std::get_if<Options>(&parsed);
  ASSERT_NE(options, nullptr);
  EXPECT_TRUE(options->identity);
  EXPECT_FALSE(options->destination);
  EXPECT_TRUE(options->policy);
  EXPECT_EQ(options->manifests, "/m");
  EXPECT_TRUE(options->generate_issuer);
  EXPECT_EQ(options->issuance_lifetime, 20s);
  EXPECT_EQ(options->mesh.cluster_networks.size(), 2U);
  EXPECT_EQ(options->mesh.default_inbound_policy, DefaultPolicy::Deny);
  EXPECT_TRUE(options->mesh.default_opaque_ports.empty());
  EXPECT_EQ(options->listen.to_string(), "127.0.0.1");
  EXPECT_EQ(options->policy_port, 0);
  EXPECT_EQ(options->mesh.trust_domain, "example.org");
  EXPECT_FALSE(options->mesh.force_transport_header);
  EXPECT_FALSE(options->mesh.h2_upgrade);
  EXPECT_EQ(options->mesh.meshed_keep_alive.interval, 20s);
  EXPECT_EQ(options->mesh.global_egress_namespace, "egress");
}

TEST(Options, HasLinkerdsDefaults) {
  const auto parsed = parse_options({"--manifests=/m", "--issuer=/i", "--token-key=/k"});
  const auto& options = std::get<Options>(parsed);
  EXPECT_EQ(options.identity_port, 8080);
  EXPECT_EQ(options.destination_port, 8086);
  EXPECT_EQ(options.policy_port, 8090);
  EXPECT_EQ(options.mesh.controller_namespace, "linkerd");
  EXPECT_TRUE(options.mesh.default_opaque_ports.contains(11211));
  EXPECT_FALSE(options.mesh.default_opaque_ports.contains(80));
  EXPECT_EQ(options.issuance_lifetime, 24h);
}

TEST(Options, TakesGoDurations) {
  const auto parsed = parse_options({"--roles=identity", "--issuer=/i", "--token-key=/k",
                                     "--identity-issuance-lifetime=24h0m0s"});
  EXPECT_EQ(std::get<Options>(parsed).issuance_lifetime, 24h);
}

TEST(Options, TellsAllProblemsAtOnce) {
  const Strings problems =
      problems_of({"--roles=identity,magic", "--listen=localhost", "--nope", "--policy-port=70000",
                   "--default-opaque-ports=x", "stray", "--identity-issuance-lifetime=0s",
                   "--cluster-networks=10.0.0.0/40", "--log-format=xml", "--issuer"});
  EXPECT_EQ(problems.size(), 12U) << ::testing::PrintToString(problems);
  EXPECT_EQ(problems[0],
            "--roles=identity,magic: must be a list of identity, destination, policy, injector");
}

TEST(Options, NamesWhatIsMissing) {
  EXPECT_EQ(problems_of({}).size(), 3U);
  EXPECT_EQ(problems_of({"--roles=destination"}),
            Strings{"--manifests (or --kubeconfig) is needed by the roles destination and policy"});
  EXPECT_EQ(problems_of({"--roles=policy", "--manifests=/m"}), Strings{});
}

TEST(Options, ChoosesTheSource) {
  using Source = Options::Source;
  const auto source = [](const Strings& arguments, bool in_cluster) {
    Strings all = arguments;
    all.emplace_back("--issuer=/i");
    const auto parsed = parse_options(all, in_cluster);
    return std::get<Options>(parsed).source;
  };
  EXPECT_EQ(source({"--manifests=/m", "--token-key=/k"}, true), Source::Folder);
  EXPECT_EQ(source({}, true), Source::Kubernetes);
  EXPECT_EQ(source({"--kubeconfig=/c"}, false), Source::Kubernetes);
  EXPECT_EQ(source({"--source=kubernetes", "--kubeconfig="}, false), Source::Kubernetes);
  EXPECT_EQ(problems_of({"--source=folder", "--issuer=/i", "--token-key=/k"}),
            Strings{"--source=folder needs --manifests"});
  EXPECT_EQ(problems_of({"--source=kubernetes", "--issuer=/i", "--manifests=/m"}),
            Strings{"--manifests is for --source=folder"});
}

TEST(Options, Help) {
  EXPECT_TRUE(std::holds_alternative<ShowHelp>(parse_options({"--nope", "--help"})));
  EXPECT_TRUE(std::holds_alternative<ShowVersion>(parse_options({"--version"})));
  EXPECT_NE(help_text().find("--manifests=DIR"), std::string::npos);
}

}  // namespace
}  // namespace tulle::control
