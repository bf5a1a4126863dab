// SPDX-License-Identifier: Apache-2.0
#include "control/identity/certify.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "control/identity/own_certificates.h"
#include "control/testing.h"
#include "lib/base/text.h"
#include "lib/testing/sim.h"
#include "lib/tls/jwt.h"

namespace tulle::control {
namespace {

constexpr std::string_view kName = "identity.linkerd.cluster.local";
constexpr std::string_view kWeb = "web.shop.serviceaccount.identity.linkerd.cluster.local";

class Identity : public ::testing::Test {
 public:
  Identity() {
    std::string name = (std::filesystem::temp_directory_path() / "tulle-issuer-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    write("token.pub", token_key.public_to_pem());
  }
  ~Identity() override { std::filesystem::remove_all(folder); }
  void write(std::string_view file, std::string_view text) {
    std::ofstream(concat(folder, "/", file)) << text;
  }
  std::string read(std::string_view file) {
    std::ifstream in(concat(folder, "/", file));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write_issuer(const tls::Issuer& issuer, const tls::Issuer& anchor) {
    write("tls.crt", issuer.certificate.to_pem());
    write("tls.key", issuer.key.to_pem());
    write("ca.crt", anchor.certificate.to_pem());
  }
  FolderIssuer::Options options(bool generate = false) {
    return {folder, "", generate, std::string(kName)};
  }
  std::string token(std::string_view subject = "system:serviceaccount:shop:web",
                    std::string audience = "identity.l5d.io", Duration life = 1h) {
    return tls::sign_token({.subject = std::string(subject),
                            .audience = {std::move(audience)},
                            .not_before = wall_now(),
                            .expires = wall_now() + life,
                            .claims = {}},
                           token_key);
  }
  pb::identity::CertifyRequest request() {
    return {.identity = std::string(kWeb),
            .token = token(),
            .certificate_signing_request = tls::make_csr(key, kWeb)};
  }
  grpc::StatusOr<pb::identity::CertifyResponse> certify(IssuerStore& store,
                                                        pb::identity::CertifyRequest request) {
    SignedTokens tokens(folder + "/token.pub", index);
    Certifier certifier(config, store, tokens, logger, {.lifetime = lifetime, .skew = 20s});
    auto answer = loop.run(certifier.answer(std::move(request)));
    EXPECT_TRUE(answer);
    return *std::move(answer);
  }
  testing::SimLoop loop;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  log::Logger logger{sink, "test"};
  MeshConfig config;
  Index index;
  std::string folder;
  Duration lifetime = 24h;
  tls::PrivateKey token_key = tls::PrivateKey::generate();
  tls::PrivateKey key = tls::PrivateKey::generate();
};

TEST_F(Identity, IssuesAChainThatPeersAccept) {
  const tls::Issuer anchor = tls::make_anchor("root", 24h * 365);
  write_issuer(tls::make_issuer(anchor, kName, 24h * 30), anchor);
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options());
  ASSERT_TRUE(store_folder.load());
  const auto response = certify(store, request());
  ASSERT_TRUE(response) << response.status().message;
  const auto leaf = tls::Certificate::from_der(as_bytes(response->leaf_certificate));
  ASSERT_TRUE(leaf);
  EXPECT_EQ(leaf->identity(), kWeb);
  EXPECT_TRUE(leaf->matches_key(key));
  EXPECT_FALSE(leaf->is_ca);
  ASSERT_EQ(response->intermediate_certificates.size(), 1U);
  ASSERT_EQ(response->trust_anchors.size(), 1U);
  EXPECT_EQ(response->trust_anchors[0], anchor.certificate.der);
  const auto above = tls::Certificate::from_der(as_bytes(response->intermediate_certificates[0]));
  const auto good = tls::verify_chain(*leaf, {*above}, {anchor.certificate}, tls::Usage::Client);
  EXPECT_TRUE(good);
  const auto left = leaf->not_after - wall_now();
  EXPECT_GT(left, 24h);
  EXPECT_LE(left, 24h + 20s);
  EXPECT_EQ(response->valid_until->seconds,
            std::chrono::floor<std::chrono::seconds>(leaf->not_after).time_since_epoch().count());
}

TEST_F(Identity, ARootMayIssueByItself) {
  const tls::Issuer root = tls::make_anchor(kName, 24h * 365);
  write_issuer(root, root);
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options());
  ASSERT_TRUE(store_folder.load());
  const auto response = certify(store, request());
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->intermediate_certificates.empty());
}

TEST_F(Identity, LeavesEndWithTheirIssuer) {
  const tls::Issuer anchor = tls::make_anchor("root", 24h * 365);
  write_issuer(tls::make_issuer(anchor, kName, 1h), anchor);
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options());
  ASSERT_TRUE(store_folder.load());
  const auto response = certify(store, request());
  ASSERT_TRUE(response);
  const auto leaf = tls::Certificate::from_der(as_bytes(response->leaf_certificate));
  EXPECT_LE(leaf->not_after - wall_now(), 1h);
}

TEST_F(Identity, RefusesInTheOrderOfTheReference) {
  IssuerStore none(logger);
  FolderIssuer none_folder(loop, none, options());
  EXPECT_FALSE(none_folder.load());
  EXPECT_EQ(certify(none, {}).status().code, grpc::Code::Unavailable);

  const tls::Issuer anchor = tls::make_anchor("root", 24h * 365);
  write_issuer(tls::make_issuer(anchor, kName, 24h), anchor);
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options());
  ASSERT_TRUE(store_folder.load());
  using Request = pb::identity::CertifyRequest;
  const std::string other = "db.shop.serviceaccount.identity.linkerd.cluster.local";
  const struct {
    const char* what;
    void (*change)(Request&, Identity&);
    grpc::Code code;
  } cases[] = {
      {"no identity", [](Request& r, Identity&) { r.identity.clear(); },
       grpc::Code::InvalidArgument},
      {"no token", [](Request& r, Identity&) { r.token.clear(); }, grpc::Code::InvalidArgument},
      {"no csr", [](Request& r, Identity&) { r.certificate_signing_request.clear(); },
       grpc::Code::InvalidArgument},
      {"bad csr", [](Request& r, Identity&) { r.certificate_signing_request = "csr"; },
       grpc::Code::InvalidArgument},
      {"csr of another",
       [](Request& r, Identity& t) {
         r.certificate_signing_request = tls::make_csr(t.key, "other.example");
       },
       grpc::Code::FailedPrecondition},
      {"no jwt", [](Request& r, Identity&) { r.token = "token"; }, grpc::Code::InvalidArgument},
      {"wrong audience",
       [](Request& r, Identity& t) {
         r.token = t.token("system:serviceaccount:shop:web", "api.example");
       },
       grpc::Code::FailedPrecondition},
      {"expired",
       [](Request& r, Identity& t) {
         r.token = t.token("system:serviceaccount:shop:web", "identity.l5d.io", -1s);
       },
       grpc::Code::FailedPrecondition},
      {"signed by another",
       [](Request& r, Identity& t) {
         t.token_key = tls::PrivateKey::generate();
         r.token = t.token();
       },
       grpc::Code::FailedPrecondition},
  };
  const tls::PrivateKey good_key = token_key;
  for (const auto& c : cases) {
    Request changed = request();
    c.change(changed, *this);
    const auto response = certify(store, std::move(changed));
    token_key = good_key;
    ASSERT_FALSE(response) << c.what;
    EXPECT_EQ(response.status().code, c.code) << c.what << ": " << response.status().message;
  }
  for (const auto subject :
       {"alice", "system:serviceaccount:shop", "system:serviceaccount:shop:we b",
        "system:serviceaccount:shop.x:web", "user:serviceaccount:shop:web"}) {
    Request changed = request();
    changed.token = token(subject);
    EXPECT_EQ(certify(store, changed).status().code, grpc::Code::InvalidArgument) << subject;
  }
  Request changed = request();
  changed.token = token("system:serviceaccount:shop:db");
  const auto response = certify(store, changed);
  EXPECT_EQ(response.status().code, grpc::Code::FailedPrecondition);
  EXPECT_NE(response.status().message.find(other), std::string::npos);
}

TEST_F(Identity, ATokenEndsWithItsPod) {
  const tls::Issuer root = tls::make_anchor(kName, 24h);
  write_issuer(root, root);
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options());
  ASSERT_TRUE(store_folder.load());
  const auto certified = [&](std::map<std::string, std::string> claims) {
    auto asked = request();
    asked.token = tls::sign_token({.subject = "system:serviceaccount:shop:web",
                                   .audience = {"identity.l5d.io"},
                                   .not_before = wall_now(),
                                   .expires = wall_now() + 1h,
                                   .claims = std::move(claims)},
                                  token_key);
    return certify(store, std::move(asked)).ok();
  };
  EXPECT_TRUE(certified({{"pod", "web-0"}, {"pod_uid", "one"}}));  // not known yet
  put_yaml(index,
           "apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop, uid: one}\n"
           "spec: {serviceAccountName: web}\n");
  EXPECT_TRUE(certified({{"pod", "web-0"}, {"pod_uid", "one"}}));
  EXPECT_FALSE(certified({{"pod", "web-0"}, {"pod_uid", "two"}}));
  EXPECT_TRUE(certified({{"pod", "web-0"}}));
  EXPECT_TRUE(certified({}));
  put_yaml(index,
           "apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop, uid: one}\n"
           "spec: {serviceAccountName: db}\n");
  EXPECT_FALSE(certified({{"pod", "web-0"}, {"pod_uid", "one"}}));
}

TEST_F(Identity, LoadsBothLayouts) {
  const tls::Issuer anchor = tls::make_anchor("root", 24h);
  const tls::Issuer issuer = tls::make_issuer(anchor, kName, 12h);
  write("crt.pem", issuer.certificate.to_pem());
  write("key.pem", issuer.key.to_pem());
  EXPECT_TRUE(std::holds_alternative<IssuerProblem>(load_issuer(folder, "")));  // no anchors
  write("roots.pem", anchor.certificate.to_pem());
  EXPECT_TRUE(std::holds_alternative<IssuerState>(load_issuer(folder, folder + "/roots.pem")));
  write("ca-bundle.crt", anchor.certificate.to_pem());
  EXPECT_TRUE(std::holds_alternative<IssuerState>(load_issuer(folder, "")));
}

TEST_F(Identity, NamesWhatIsWrongWithAnIssuer) {
  const tls::Issuer anchor = tls::make_anchor("root", 24h);
  const tls::Issuer issuer = tls::make_issuer(anchor, kName, 12h);
  const auto reason = [&] {
    const auto loaded = load_issuer(folder, "");
    const auto* const problem = std::get_if<IssuerProblem>(&loaded);
    return problem != nullptr ? problem->reason : "";
  };
  EXPECT_NE(reason().find("has neither tls.crt nor crt.pem"), std::string::npos);
  write_issuer(issuer, anchor);
  EXPECT_EQ(reason(), "");
  write("tls.key", tls::PrivateKey::generate().to_pem());
  EXPECT_NE(reason().find("do not belong together"), std::string::npos);
  write("tls.key", "nonsense");
  EXPECT_NE(reason().find("has no readable key"), std::string::npos);
  write_issuer(issuer, tls::make_anchor("another", 24h));
  EXPECT_NE(reason().find("not from a trusted anchor"), std::string::npos);
  const auto leaf =
      tls::sign_leaf(issuer, *tls::Csr::from_der(as_bytes(tls::make_csr(key, kName))), {});
  write("tls.crt", leaf->to_pem());
  write("tls.key", key.to_pem());
  EXPECT_NE(reason().find("it is no CA"), std::string::npos);
}

TEST_F(Identity, KeepsTheLastGoodIssuer) {
  const tls::Issuer anchor = tls::make_anchor("root", 24h);
  write_issuer(tls::make_issuer(anchor, kName, 12h), anchor);
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options());
  int changes = 0;
  store.on_change([&] { ++changes; });
  ASSERT_TRUE(store_folder.load());
  ASSERT_TRUE(store_folder.load());
  EXPECT_EQ(changes, 1);
  const auto first = store.current();
  write("tls.crt", "half of a cert");
  EXPECT_TRUE(store_folder.load());
  EXPECT_TRUE(store.broken());
  EXPECT_EQ(store.current(), first);
  write_issuer(tls::make_issuer(anchor, kName, 12h), anchor);
  EXPECT_TRUE(store_folder.load());
  EXPECT_FALSE(store.broken());
  EXPECT_NE(store.current(), first);
  EXPECT_EQ(changes, 2);
}

TEST_F(Identity, GeneratesWhatIsMissingOnce) {
  folder += "/made";
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options(true));
  ASSERT_TRUE(store_folder.load());
  EXPECT_GT(store.current()->anchors[0].not_after - wall_now(), 24h * 365 * 9);
  EXPECT_LT(store.current()->issuer.certificate.not_after - wall_now(), 24h * 366);
  struct stat info {};
  for (const auto file : {"tls.key", "ca.key"}) {
    ASSERT_EQ(::stat(concat(folder, "/", std::string_view(file)).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
  }
  const std::string certificate = read("tls.crt");
  IssuerStore again(logger);
  FolderIssuer again_folder(loop, again, options(true));
  ASSERT_TRUE(again_folder.load());
  EXPECT_EQ(read("tls.crt"), certificate);
  // A lost issuer is made again, of the same anchor.
  const std::string anchor = read("ca.crt");
  std::filesystem::remove(folder + "/tls.crt");
  ASSERT_TRUE(again_folder.load());
  EXPECT_NE(read("tls.crt"), certificate);
  EXPECT_EQ(read("ca.crt"), anchor);
  folder = folder.substr(0, folder.size() - 5);
}

TEST_F(Identity, GenerationLeavesOthersFilesAlone) {
  write("crt.pem", "somebody else's");
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options(true));
  EXPECT_FALSE(store_folder.load());
  EXPECT_FALSE(std::filesystem::exists(folder + "/tls.crt"));
}

TEST_F(Identity, OwnCertificatesFollowTheIssuer) {
  const tls::Issuer anchor = tls::make_anchor("root", 24h);
  IssuerStore store(logger);
  FolderIssuer store_folder(loop, store, options());
  OwnCertificates own(loop, logger, store, {"a.example", "b.example"},
                      {.lifetime = 1h, .skew = 1s});
  EXPECT_EQ(own.choose("a.example"), nullptr);
  write_issuer(tls::make_issuer(anchor, kName, 12h), anchor);
  ASSERT_TRUE(store_folder.load());
  ASSERT_NE(own.choose("a.example"), nullptr);
  EXPECT_EQ(own.choose("a.example")->leaf().identity(), "a.example");
  EXPECT_EQ(own.choose("b.example")->leaf().identity(), "b.example");
  EXPECT_EQ(own.choose("c.example"), nullptr);
  EXPECT_EQ(own.choose(""), nullptr);
}

}  // namespace
}  // namespace tulle::control
