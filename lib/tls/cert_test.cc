// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/cert.h"

#include <gtest/gtest.h>

#include "lib/tls/credentials.h"
#include "lib/tls/names.h"
#include "lib/tls/test_keys.h"
#include "lib/tls/test_support.h"

namespace tulle::tls::test {
namespace {

TEST(Key, RoundTripsPemAndDer) {
  const PrivateKey key = PrivateKey::generate();
  const Certificate leaf = ca().leaf("a", key);
  EXPECT_TRUE(leaf.matches_key(*PrivateKey::from_pem(key.to_pem())));
  EXPECT_TRUE(leaf.matches_key(*PrivateKey::from_der(as_bytes(key.to_der()))));
  EXPECT_FALSE(leaf.matches_key(PrivateKey::generate()));
  EXPECT_TRUE(PrivateKey::from_pem(kRsaKey));            // RSA PRIVATE KEY
  EXPECT_TRUE(PrivateKey::from_pem(kForeignIssuerKey));  // EC PRIVATE KEY
  EXPECT_TRUE(PrivateKey::from_pem(kEd25519Key));        // PRIVATE KEY
  const std::string der = key.to_der();
  for (const std::string& bad :
       {std::string(), std::string("x"), der.substr(1), der + '\0', key.public_to_pem()}) {
    EXPECT_FALSE(PrivateKey::from_der(as_bytes(bad)));
    EXPECT_FALSE(PrivateKey::from_pem(bad));
  }
  EXPECT_FALSE(PrivateKey::from_pem(
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"));
}

TEST(Cert, RoundTripsPemAndChecksChains) {
  const Issuer& issuer = ca().issuer;
  const auto bundle = Certificate::from_pem(issuer.certificate.to_pem() + "# a comment\n" +
                                            ca().anchor.certificate.to_pem());
  ASSERT_TRUE(bundle);
  EXPECT_EQ(bundle->size(), 2U);
  EXPECT_EQ((*bundle)[0].der, issuer.certificate.der);
  EXPECT_TRUE((*bundle)[0].is_ca);
  EXPECT_EQ((*bundle)[0].fingerprint().size(), 64U);
  EXPECT_TRUE(verify_chain(issuer.certificate, {}, {ca().anchor.certificate}, Usage::Any));
  EXPECT_FALSE(
      verify_chain(issuer.certificate, {}, {make_anchor("x", 1h).certificate}, Usage::Any));
  EXPECT_FALSE(verify_chain(issuer.certificate, {}, {}, Usage::Any));
  EXPECT_FALSE(Certificate::from_pem(""));
  EXPECT_FALSE(Certificate::from_pem("no certificate"));
  EXPECT_FALSE(
      Certificate::from_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  EXPECT_FALSE(
      Certificate::from_pem(issuer.certificate.to_pem() + "-----BEGIN CERTIFICATE-----\nAAAA\n"));
  EXPECT_FALSE(Certificate::from_der(as_bytes(issuer.certificate.der + "x")));
  EXPECT_FALSE(Certificate::from_der(as_bytes(issuer.certificate.der).first(100)));
}

TEST(Cert, LeavesFollowTheRequestAndTheIssuer) {
  const PrivateKey key = PrivateKey::generate();
  const std::string name = workload_name("web", "shop", "linkerd", "cluster.local");
  const Result<Csr> csr = Csr::from_der(as_bytes(make_csr(key, name)));
  ASSERT_TRUE(csr);
  EXPECT_EQ(csr->common_name, name);
  EXPECT_EQ(csr->dns_names, std::vector<std::string>{name});
  EXPECT_FALSE(csr->other_names);
  const WallTime before = wall_now();
  const Result<Certificate> leaf = sign_leaf(ca().issuer, *csr, {.lifetime = 1h, .skew = 20s});
  const WallTime after = wall_now();
  ASSERT_TRUE(leaf);
  EXPECT_GE(leaf->not_before, before - 21s);
  EXPECT_LE(leaf->not_before, after - 20s);
  EXPECT_GE(leaf->not_after, before + 1h + 19s);
  EXPECT_LE(leaf->not_after, after + 1h + 20s);
  EXPECT_EQ(leaf->identity(), name);
  EXPECT_FALSE(leaf->is_ca);
  EXPECT_TRUE(leaf->matches_key(key));
  EXPECT_TRUE(
      verify_chain(*leaf, {ca().issuer.certificate}, {ca().anchor.certificate}, Usage::Server));
  EXPECT_TRUE(
      verify_chain(*leaf, {ca().issuer.certificate}, {ca().anchor.certificate}, Usage::Client));
}

TEST(Cert, LeavesNeverOutliveTheirChain) {
  const PrivateKey key = PrivateKey::generate();
  const Result<Csr> csr = Csr::from_der(as_bytes(make_csr(key, "a")));
  const Result<Certificate> leaf = sign_leaf(ca().issuer, *csr, {.lifetime = 24h * 10'000});
  EXPECT_EQ(leaf->not_after, ca().issuer.certificate.not_after);
  // The earliest of all that stand above.
  const Issuer middle = make_issuer(ca().anchor, "middle", 1h);
  const Issuer low = make_issuer(middle, "low", 24h);
  ASSERT_EQ(low.chain.size(), 1U);
  const Result<Certificate> under = sign_leaf(low, *csr, {.lifetime = 12h});
  EXPECT_EQ(under->not_after, middle.certificate.not_after);
  EXPECT_TRUE(verify_chain(*under, {low.certificate, middle.certificate}, {ca().anchor.certificate},
                           Usage::Server));
}

TEST(Cert, NamesOfAnyLengthAreSigned) {
  const PrivateKey key = PrivateKey::generate();
  const std::string name = workload_name(std::string(40, 'a'), std::string(40, 'b'), "linkerd",
                                         "a-long-trust-domain.example");
  const Result<Csr> csr = Csr::from_der(as_bytes(make_csr(key, name)));
  ASSERT_TRUE(csr);
  EXPECT_EQ(csr->common_name, "");
  EXPECT_EQ(sign_leaf(ca().issuer, *csr, {})->identity(), name);
  const Issuer anchor = make_anchor(name, 1h);
  EXPECT_EQ(anchor.certificate.identity(), name);
  EXPECT_TRUE(verify_chain(make_issuer(anchor, name, 1h).certificate, {}, {anchor.certificate},
                           Usage::Any));
}

// docs/reference/wire-api.md §4: what the server must see to refuse.
TEST(Csr, SaysEverythingThatIsOddAboutARequest) {
  const PrivateKey key = PrivateKey::generate();
  const std::string good = make_csr(key, "a.ns");
  ASSERT_TRUE(Csr::from_der(as_bytes(good)));
  EXPECT_FALSE(Csr::from_der({}));
  EXPECT_FALSE(Csr::from_der(as_bytes(good + "x")));
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(Csr::from_der(as_bytes(good).first(i))) << i;
    std::string damaged = good;
    damaged[i] ^= 1;
    EXPECT_FALSE(Csr::from_der(as_bytes(damaged))) << i;
  }
  const auto read = [&](const std::vector<std::string>& names, const std::string& san) {
    return Csr::from_der(as_bytes(odd_csr(key, names, san)));
  };
  EXPECT_EQ(read({}, "DNS:a")->common_name, "");
  EXPECT_EQ(read({}, "")->dns_names.size(), 0U);
  EXPECT_EQ(read({"a"}, "DNS:a,DNS:b")->dns_names.size(), 2U);
  for (const char* san :
       {"DNS:a,email:a@b", "DNS:a,IP:10.0.0.1", "DNS:a,URI:spiffe://td/a", "DNS:a,RID:1.2.3"}) {
    EXPECT_TRUE(read({"a"}, san)->other_names) << san;
  }
  EXPECT_FALSE(read({"a", "b"}, "DNS:a"));
  EXPECT_FALSE(Csr::from_der(as_bytes(odd_csr(key, {std::string("a\0b", 3)}, "DNS:a"))));
}

// What stands in for ML-DSA (unused_algorithms.cc) must not take such a key for another: PKCS #8
// with a seed (RFC 9881 §6) under the OIDs 2.16.840.1.101.3.4.3.17 to 19.
TEST(Key, KindsThatAreLeftOutAreRefused) {
  for (const char kind : {17, 18, 19}) {
    std::string der("\x30\x34\x02\x01\x00\x30\x0B\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03", 17);
    der += kind;
    der += "\x04\x22\x80\x20" + std::string(32, 's');
    EXPECT_FALSE(PrivateKey::from_der(as_bytes(der))) << static_cast<int>(kind);
  }
}

TEST(Csr, OnlyEcKeysAreSigned) {
  for (const std::string_view pem : {kRsaKey, kEd25519Key}) {
    const Result<Csr> csr =
        Csr::from_der(as_bytes(odd_csr(*PrivateKey::from_pem(pem), {"a"}, "DNS:a")));
    ASSERT_TRUE(csr);
    EXPECT_EQ(sign_leaf(ca().issuer, *csr, {}).error().code, Errc::Unsupported);
  }
}

TEST(Credentials, RefuseWhatDoesNotBelongTogether) {
  const PrivateKey key = PrivateKey::generate();
  const Certificate leaf = ca().leaf("a", key);
  Credentials::Options mismatch;
  mismatch.own = Credentials::Own{PrivateKey::generate(), {leaf}};
  EXPECT_EQ(Credentials::make(std::move(mismatch)).error().code, Errc::Invalid);
  Credentials::Options empty;
  empty.own = Credentials::Own{key, {}};
  EXPECT_EQ(Credentials::make(std::move(empty)).error().code, Errc::Invalid);
  Credentials::Options garbage;
  garbage.anchors.emplace_back().der = "garbage";
  EXPECT_EQ(Credentials::make(std::move(garbage)).error().code, Errc::Invalid);
  Credentials::Options protocol;
  protocol.alpn = {std::string(300, 'a')};
  EXPECT_EQ(Credentials::make(std::move(protocol)).error().code, Errc::Invalid);
}

TEST(Names, AreReadStrictly) {
  EXPECT_EQ(workload_name("web", "shop", "linkerd", "cluster.local"),
            "web.shop.serviceaccount.identity.linkerd.cluster.local");
  for (const char* good : {"a", "web.shop", "_x.a-b.C9", "10.0.0.1"})
    EXPECT_TRUE(is_dns_name(good)) << good;
  EXPECT_TRUE(is_dns_name(std::string(63, 'a')));
  for (const std::string& bad :
       {std::string(), std::string("."), std::string("a."), std::string(".a"), std::string("a..b"),
        std::string("*"), std::string("*.a"), std::string("a b"), std::string("a/b"),
        std::string("\xc3\xa4"), std::string(64, 'a'), std::string("a\0", 2)}) {
    EXPECT_FALSE(is_dns_name(bad)) << bad;
  }
  for (const char* good : {"spiffe://td", "spiffe://td/", "spiffe://cluster.local/ns/a/sa/b"})
    EXPECT_TRUE(is_spiffe_uri(good)) << good;
  for (const char* bad : {"", "spiffe://", "spiffe:///a", "https://td/a", "spiffe://td?x",
                          "spiffe://td/a#b", "spiffe://u@td/a", "spiffe://td:1/a"}) {
    EXPECT_FALSE(is_spiffe_uri(bad)) << bad;
  }
}

}  // namespace
}  // namespace tulle::tls::test
