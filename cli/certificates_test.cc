// SPDX-License-Identifier: Apache-2.0
#include "cli/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/chart/yaml.h"
#include "cli/install.h"
#include "lib/tls/test_keys.h"
#include "lib/tls/test_support.h"

namespace tulle::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr std::string_view kName = "identity.linkerd.cluster.local";
constexpr Duration kYears = 24h * 3650;

GivenIssuer given(const tls::Issuer& issuer, const tls::Issuer& anchor) {
  std::string chain = issuer.certificate.to_pem();
  for (const tls::Certificate& above : issuer.chain) chain += above.to_pem();
  return {{chain, "crt"},
          {issuer.key.to_pem(), "key"},
          {anchor.certificate.to_pem(), "anchors"},
          std::string(kName)};
}

const tls::Issuer& root() {
  static const tls::Issuer made = tls::make_anchor("root", kYears);
  return made;
}
const tls::Issuer& issuer() {
  static const tls::Issuer made = tls::make_issuer(root(), kName, kYears);
  return made;
}
GivenIssuer good() { return given(issuer(), root()); }
// A certificate of the root with these extensions.
tls::Issuer odd_issuer(const tls::test::Odd& odd) {
  tls::PrivateKey key = tls::PrivateKey::generate();
  return {tls::test::odd_certificate(root(), key, odd), key, {}};
}

TEST(Issuer, ThatIsInOrderIsTaken) {
  for (const IssuerVerdict& verdict :
       {judge(good()), judge(given(root(), root())),
        judge(given(tls::make_issuer(issuer(), kName, kYears), root()))}) {
    EXPECT_THAT(verdict.problems, IsEmpty());
  }
  EXPECT_THAT(judge(good()).warnings, IsEmpty());
  EXPECT_THAT(judge({}).problems, IsEmpty()) << "nothing was given";
}

TEST(Issuer, EachPartThatCannotBeReadIsNamed) {
  GivenIssuer issuer = good();
  issuer.certificate.pem = "no PEM";
  issuer.anchors.pem = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(judge(issuer).problems,
              ElementsAre("anchors cannot be read as PEM certificates",
                          AllOf(StartsWith("crt cannot be read"), HasSubstr("-inform der"))));
  issuer = good();
  std::swap(issuer.certificate.pem, issuer.key.pem);
  EXPECT_THAT(judge(issuer).problems, ElementsAre(HasSubstr("are the two swapped?")));
  issuer = good();
  issuer.key.pem = issuer.certificate.pem;
  EXPECT_THAT(judge(issuer).problems,
              ElementsAre(AllOf(StartsWith("key: "), HasSubstr("are the two swapped?"))));
  issuer.key.pem =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
  EXPECT_THAT(judge(issuer).problems,
              ElementsAre(AllOf(HasSubstr("password"), HasSubstr("openssl pkey"))));
}

TEST(Issuer, PartsThatDoNotBelongTogetherAreRefused) {
  GivenIssuer other = good();
  other.key.pem = tls::PrivateKey::generate().to_pem();
  EXPECT_THAT(judge(other).problems,
              ElementsAre(StartsWith("key and crt: key and certificate do not belong together")));
  other = given(issuer(), tls::make_anchor("other", kYears));
  EXPECT_THAT(judge(other).problems,
              ElementsAre(AllOf(StartsWith("crt is not signed by any trust anchor"),
                                HasSubstr("into anchors"))));
  // What is between them is missing.
  other = given(tls::make_issuer(issuer(), kName, kYears), root());
  other.certificate.pem = tls::Certificate::from_pem(other.certificate.pem)->front().to_pem();
  EXPECT_THAT(judge(other).problems, ElementsAre(HasSubstr("between them")));
}

TEST(Issuer, MustBeAbleToIssueForProxies) {
  const std::string san = "DNS:identity.linkerd.cluster.local";
  EXPECT_THAT(
      judge(given(odd_issuer({san, "serverAuth,clientAuth", "keyCertSign", "CA:TRUE,pathlen:0"}),
                  root()))
          .problems,
      IsEmpty());
  EXPECT_THAT(judge(given(odd_issuer({san, "", "", ""}), root())).problems,
              ElementsAre(HasSubstr("isCA: true")));
  EXPECT_THAT(judge(given(odd_issuer({san, "", "digitalSignature", "CA:TRUE"}), root())).problems,
              ElementsAre(HasSubstr("cert sign")));
  // Nothing is wrong with the issuer alone.
  EXPECT_THAT(
      judge(given(odd_issuer({san, "codeSigning", "keyCertSign", "CA:TRUE"}), root())).problems,
      ElementsAre(AllOf(HasSubstr("proxies would not accept"), HasSubstr("extended key usages"))));
  const tls::Issuer narrow = odd_issuer({san, "", "keyCertSign", "CA:TRUE,pathlen:0"});
  tls::Issuer below = tls::make_issuer(narrow, kName, 1h);
  EXPECT_THAT(judge(given(below, root())).problems, ElementsAre(HasSubstr("path lengths")));
  EXPECT_THAT(judge(given(below, narrow)).problems, IsEmpty())
      << "an anchor's own is not asked (RFC 5280 §6.1)";
  // A leaf is no anchor.
  EXPECT_THAT(judge(given(issuer(), odd_issuer({san, "", "", ""}))).problems,
              ElementsAre(StartsWith("anchors is not of a CA")));
}

TEST(Issuer, KeysAreOfKindsThatEverybodyVerifies) {
  const auto rsa = tls::PrivateKey::from_pem(tls::test::kRsaKey);
  ASSERT_TRUE(rsa);
  EXPECT_THAT(judge(given(tls::make_issuer(root(), kName, kYears, *rsa), root())).problems,
              ElementsAre("crt has a key of RSA 2048: use ECDSA P-256"));
  const tls::Issuer anchor = tls::make_anchor("root", kYears, *rsa);
  EXPECT_THAT(judge(given(tls::make_issuer(anchor, kName, kYears), anchor)).problems, IsEmpty());
}

TEST(Issuer, DatesAreOfNow) {
  const tls::Issuer brief = tls::make_issuer(root(), kName, 48h);
  const IssuerVerdict soon = judge(given(brief, root()));
  EXPECT_THAT(soon.problems, IsEmpty());
  EXPECT_THAT(soon.warnings, ElementsAre(StartsWith("crt will expire on ")));
  shift_wall_clock_for_testing(49h);
  EXPECT_THAT(judge(given(brief, root())).problems,
              ElementsAre(AllOf(StartsWith("crt ended on "), HasSubstr("renew it"))));
  shift_wall_clock_for_testing(-49h - 24h * 3);
  EXPECT_THAT(judge(good()).problems,
              ElementsAre(AllOf(StartsWith("anchors is not valid before"), HasSubstr("clocks")),
                          StartsWith("crt is not valid before")));
  shift_wall_clock_for_testing(24h * 3);
  // Each of a bundle by its number.
  GivenIssuer two = good();
  two.anchors.pem += tls::make_anchor("old", 1h).certificate.to_pem();
  EXPECT_THAT(judge(two).warnings,
              ElementsAre(StartsWith("anchors, certificate 2 of 2 will expire on ")));
}

TEST(Issuer, AnotherNameIsWarnedOf) {
  const IssuerVerdict verdict =
      judge(given(tls::make_issuer(root(), "identity.mesh.example.org", kYears), root()));
  EXPECT_THAT(verdict.problems, IsEmpty());
  EXPECT_THAT(verdict.warnings,
              ElementsAre(StartsWith(
                  "crt is for identity.mesh.example.org, not for identity.linkerd.cluster.local")));
}

IssuerValues values_of(std::string_view yaml, std::string ns = "linkerd") {
  std::string problem;
  InstallOptions options;
  options.ns = std::move(ns);
  return issuer_values(options, chart::parse_yaml(yaml, problem).value_or(chart::Value::map()));
}

TEST(IssuerValues, AreThoseInEffect) {
  EXPECT_EQ(values_of("{}").given.identity, kName);
  EXPECT_EQ(values_of("{clusterDomain: a.b}", "mesh").given.identity, "identity.mesh.a.b");
  EXPECT_EQ(values_of("{clusterDomain: a.b, identityTrustDomain: t}").given.identity,
            "identity.linkerd.t");
  const IssuerValues own =
      values_of("{identityTrustAnchorsPEM: a, identity: {issuer: {tls: {crtPEM: c, keyPEM: k}}}}");
  EXPECT_EQ(own.given.certificate.pem + own.given.key.pem + own.given.anchors.pem, "cka");
  EXPECT_EQ(own.given.key.name, "identity.issuer.tls.keyPEM");
  EXPECT_FALSE(own.brought || own.external_ca || own.unused);
  const IssuerValues brought = values_of(
      "{identityTrustAnchorsPEM: a, identity: {issuer: {scheme: kubernetes.io/tls, tls: {crtPEM: "
      "c}}}}");
  EXPECT_TRUE(brought.brought && brought.unused);
  EXPECT_EQ(brought.given.certificate.pem + brought.given.anchors.pem, "a");
  const IssuerValues outside =
      values_of("{identityTrustAnchorsPEM: a, identity: {externalCA: true}}");
  EXPECT_TRUE(outside.external_ca && outside.given.anchors.pem.empty());
}

}  // namespace
}  // namespace tulle::cli
