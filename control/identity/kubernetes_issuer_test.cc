// SPDX-License-Identifier: Apache-2.0
#include "control/identity/kubernetes_issuer.h"

#include <gtest/gtest.h>

#include <map>

#include "lib/base/text.h"
#include "lib/k8s/fake_server.h"
#include "lib/testing/sim.h"

namespace tulle::control {
namespace {

using k8s::FakeServer;

constexpr std::string_view kName = "identity.linkerd.cluster.local";

// Secrets and ConfigMaps of one namespace, as an API server keeps them: versions, conflicts.
class Objects {
 public:
  explicit Objects(FakeServer& server) : server_(server) {
    server.answer = [this](const FakeServer::Seen& seen) { return answer(seen); };
  }
  // Sets an object's data (JSON) from outside.
  void set(const std::string& name, const std::string& data,
           const std::string& annotations = "{}") {
    store(name, concat(R"("annotations":)", annotations), data);
  }
  bool has(const std::string& name) const { return objects_.contains(name); }
  const std::string& at(const std::string& name) const { return objects_.at(name); }
  int writes = 0;
  bool deployed = true;  // the Deployment is there
  bool conflict_once = false;

 private:
  static std::string name_in(std::string_view text, std::string_view before,
                             std::string_view ends) {
    const std::size_t at = text.find(before);
    if (at == std::string_view::npos) return "";
    const std::string_view rest = text.substr(at + before.size());
    return std::string(rest.substr(0, rest.find_first_of(ends)));
  }
  void store(const std::string& name, const std::string& meta, const std::string& data) {
    const bool known = objects_.contains(name);
    const std::string version = std::to_string(++version_);
    objects_[name] = concat(R"({"metadata":{"name":")", name, R"(","uid":"u","resourceVersion":")",
                            version, R"(",)", meta, R"(},"data":)", data, "}");
    for (auto& watch : server_.watches) {
      if (name_in(watch.request.path, "metadata.name%3D", "&") != name || watch.abandoned())
        continue;
      watch.writer.write(as_bytes(concat(R"({"type":")", known ? "MODIFIED" : "ADDED",
                                         R"(","object":)", objects_[name], "}\n")));
    }
  }
  FakeServer::Answer answer(const FakeServer::Seen& seen) {
    if (seen.path.find("/deployments/") != std::string::npos) {
      if (!deployed) return {404, FakeServer::status_json(404, "NotFound"), "", false};
      return {200, R"({"metadata":{"name":"linkerd-control-plane","uid":"dep-1"}})", "", false};
    }
    if (seen.method == "GET") {
      const std::string name = name_in(seen.path, "metadata.name%3D", "&");
      const std::string item = objects_.contains(name) ? objects_[name] : "";
      return {200,
              concat(R"({"kind":"List","metadata":{"resourceVersion":")", std::to_string(version_),
                     R"("},"items":[)", item, "]}"),
              "", false};
    }
    ++writes;
    const std::string name = name_in(seen.body, R"("name":")", "\"");
    const std::string version = name_in(seen.body, R"("resourceVersion":")", "\"");
    const bool exists = objects_.contains(name);
    const bool stale = exists && name_in(objects_[name], R"("resourceVersion":")", "\"") != version;
    if (conflict_once || (seen.method == "POST") == exists || stale) {
      conflict_once = false;
      return {409, FakeServer::status_json(409, "Conflict"), "", false};
    }
    EXPECT_NE(seen.body.find(R"("uid":"dep-1")"), std::string::npos) << "owned by the Deployment";
    const std::size_t data = seen.body.find(R"("data":)");
    store(name, R"("labels":{})", seen.body.substr(data + 7, seen.body.size() - data - 8));
    return {200, objects_[name], "", false};
  }

  FakeServer& server_;
  std::map<std::string, std::string> objects_;
  int version_ = 10;
};

class KubernetesIssuerTest : public ::testing::Test {
 protected:
  KubernetesIssuerTest() {
    access.host = "api";
    client.emplace(loop, server, access, logger, k8s::ApiClient::Options{});
  }
  ~KubernetesIssuerTest() override { shift_wall_clock_for_testing(-shifted); }
  void start(bool generate) {
    KubernetesIssuer::Options options;
    options.ns = "linkerd";
    options.generate = generate;
    options.policy.name = kName;
    if (users) options.anchor_users = [this] { return *users; };
    options.on_stale_anchors = [this](const std::string& who) { stale.push_back(who); };
    owner.emplace(*client, DeploymentOwner::Options{.ns = "linkerd"});
    issuer.emplace(*client, *owner, store, logger, options, 1);
    tasks.spawn(issuer->run());
    loop.advance(1s);
  }
  void pass(Duration by) {
    shift_wall_clock_for_testing(by);
    shifted += by;
    loop.advance(15s);
  }
  void bring(const tls::Issuer& made, const tls::Certificate& anchor, bool kubernetes_scheme) {
    const std::string certificate = base64_encode(as_bytes(made.certificate.to_pem()));
    const std::string key = base64_encode(as_bytes(made.key.to_pem()));
    objects.set("linkerd-identity-issuer",
                kubernetes_scheme
                    ? concat(R"({"tls.crt":")", certificate, R"(","tls.key":")", key, R"("})")
                    : concat(R"({"crt.pem":")", certificate, R"(","key.pem":")", key, R"("})"));
    std::string pem = anchor.to_pem();
    for (std::size_t at = 0; (at = pem.find('\n', at)) != std::string::npos; at += 2)
      pem.replace(at, 1, "\\n");
    objects.set("linkerd-identity-trust-roots", concat(R"({"ca-bundle.crt":")", pem, R"("})"));
    loop.advance(1s);
  }

  testing::SimLoop loop;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  log::Logger logger{sink, "test"};
  FakeServer server{loop};
  Objects objects{server};
  k8s::ClusterAccess access;
  std::optional<k8s::ApiClient> client;
  IssuerStore store{logger};
  std::optional<DeploymentOwner> owner;
  std::optional<KubernetesIssuer> issuer;
  std::optional<std::optional<AnchorUsers>> users;  // what is known of pods; nullopt: nobody looks
  std::vector<std::string> stale;
  net::TaskScope tasks;
  Duration shifted{0};
};

// While the mesh is taken away its Secrets vanish before its pods: what they made then would stay
// for ever.
TEST_F(KubernetesIssuerTest, MakesNothingThatNobodyOwns) {
  objects.deployed = false;
  start(true);
  loop.advance(1min);
  EXPECT_EQ(objects.writes, 0);
  objects.deployed = true;
  loop.advance(1min);
  EXPECT_TRUE(objects.has("linkerd-identity-rotation"));
  EXPECT_TRUE(objects.has("linkerd-identity-issuer"));
}

TEST_F(KubernetesIssuerTest, AnchorsOfOthersStayTrustedWhilePodsHaveThem) {
  users.emplace(std::nullopt);  // the index is not complete yet
  start(false);
  const tls::Issuer old_anchor = tls::make_anchor("old", 24h * 365);
  const tls::Issuer new_anchor = tls::make_anchor("new", 24h * 365);
  bring(tls::make_issuer(old_anchor, kName, 24h * 30), old_anchor.certificate, true);
  loop.advance(15s);
  EXPECT_EQ(objects.writes, 0) << "nothing is decided before it is known who lives";
  const std::string old_hash = bundle_hash(old_anchor.certificate.to_pem());
  users = AnchorUsers{{old_hash, {"deployment shop/web"}}};
  loop.advance(15s);
  ASSERT_TRUE(objects.has("linkerd-identity-known-roots"));
  EXPECT_NE(objects.at("linkerd-identity-known-roots").find(old_hash), std::string::npos);
  EXPECT_TRUE(stale.empty());

  // Somebody replaces the anchor at a stroke.
  bring(tls::make_issuer(new_anchor, kName, 24h * 30), new_anchor.certificate, true);
  loop.advance(15s);
  ASSERT_EQ(store.current()->anchors.size(), 2U);
  EXPECT_EQ(store.current()->anchors[0].der, new_anchor.certificate.der);
  EXPECT_EQ(store.current()->anchors[1].der, old_anchor.certificate.der);
  EXPECT_EQ(store.current()->anchors_pem, new_anchor.certificate.to_pem())
      << "pods get the present bundle";
  ASSERT_EQ(stale.size(), 1U);
  EXPECT_NE(stale[0].find("deployment shop/web"), std::string::npos);

  // Also after a restart, and before the index is complete.
  tasks.cancel();
  issuer.reset();
  users.emplace(std::nullopt);
  start(false);
  loop.advance(15s);
  EXPECT_EQ(store.current()->anchors.size(), 2U);

  // The last pod is restarted.
  users = AnchorUsers{{bundle_hash(new_anchor.certificate.to_pem()), {"deployment shop/web"}}};
  loop.advance(15s);
  EXPECT_EQ(store.current()->anchors.size(), 1U);
  EXPECT_EQ(objects.at("linkerd-identity-known-roots").find(old_hash), std::string::npos);
  const int writes = objects.writes;
  loop.advance(60s);
  EXPECT_EQ(objects.writes, writes) << "nothing is written without need";
}

TEST_F(KubernetesIssuerTest, WhoeverDeletesAKnownBundleEndsTheTrust) {
  const tls::Issuer old_anchor = tls::make_anchor("old", 24h * 365);
  const tls::Issuer new_anchor = tls::make_anchor("new", 24h * 365);
  users = AnchorUsers{{bundle_hash(old_anchor.certificate.to_pem()), {"pod shop/x"}}};
  start(false);
  bring(tls::make_issuer(old_anchor, kName, 24h * 30), old_anchor.certificate, true);
  loop.advance(15s);
  bring(tls::make_issuer(new_anchor, kName, 24h * 30), new_anchor.certificate, true);
  loop.advance(15s);
  ASSERT_EQ(store.current()->anchors.size(), 2U);
  objects.set("linkerd-identity-known-roots", "{}");
  loop.advance(15s);
  EXPECT_EQ(store.current()->anchors.size(), 1U);
}

TEST_F(KubernetesIssuerTest, TakesWhatSomebodyBringsInBothLayouts) {
  start(false);
  EXPECT_EQ(store.current(), nullptr);
  EXPECT_NE(store.problem().find("there is no Secret linkerd/linkerd-identity-issuer"),
            std::string::npos)
      << store.problem();
  const tls::Issuer anchor = tls::make_anchor("root", 24h * 365);
  const tls::Issuer first = tls::make_issuer(anchor, kName, 24h * 30);
  bring(first, anchor.certificate, false);
  ASSERT_NE(store.current(), nullptr) << store.problem();
  EXPECT_EQ(store.current()->issuer.certificate.der, first.certificate.der);
  const tls::Issuer second = tls::make_issuer(anchor, kName, 24h * 30);
  bring(second, anchor.certificate, true);
  EXPECT_EQ(store.current()->issuer.certificate.der, second.certificate.der);
  EXPECT_EQ(objects.writes, 0) << "what others bring is not touched";
}

TEST_F(KubernetesIssuerTest, ABrokenIssuerNeverReplacesAGoodOne) {
  start(false);
  const tls::Issuer anchor = tls::make_anchor("root", 24h * 365);
  const tls::Issuer good = tls::make_issuer(anchor, kName, 24h * 30);
  bring(good, anchor.certificate, true);
  const tls::Issuer other = tls::make_anchor("somebody else", 24h * 365);
  bring(tls::make_issuer(other, kName, 24h * 30), anchor.certificate, true);
  EXPECT_TRUE(store.broken());
  EXPECT_EQ(store.current()->issuer.certificate.der, good.certificate.der);
  objects.set("linkerd-identity-issuer", R"({"tls.crt":"%%%","tls.key":""})");
  loop.advance(1s);
  EXPECT_TRUE(store.broken());
  EXPECT_EQ(store.current()->issuer.certificate.der, good.certificate.der);
}

TEST_F(KubernetesIssuerTest, AnIssuerThatAppearsLateIsTaken) {
  start(false);
  loop.advance(60s);
  EXPECT_EQ(store.current(), nullptr);
  const tls::Issuer anchor = tls::make_anchor("root", 24h * 365);
  bring(tls::make_issuer(anchor, kName, 24h * 30), anchor.certificate, true);
  EXPECT_NE(store.current(), nullptr);
}

TEST_F(KubernetesIssuerTest, MakesAnchorAndIssuerWhereThereAreNone) {
  start(true);
  loop.advance(15s);
  ASSERT_NE(store.current(), nullptr) << store.problem();
  EXPECT_TRUE(objects.has("linkerd-identity-rotation"));
  EXPECT_TRUE(objects.has("linkerd-identity-issuer"));
  EXPECT_TRUE(objects.has("linkerd-identity-trust-roots"));
  EXPECT_TRUE(check_issuer(*store.current()));
  const int writes = objects.writes;
  loop.advance(120s);
  EXPECT_EQ(objects.writes, writes) << "nothing is written without need";
}

TEST_F(KubernetesIssuerTest, ARestartGoesOnWithWhatIsStored) {
  start(true);
  loop.advance(15s);
  const std::string before = store.current()->issuer.certificate.der;
  tasks.cancel();
  issuer.reset();
  start(true);
  loop.advance(15s);
  EXPECT_EQ(store.current()->issuer.certificate.der, before);
}

TEST_F(KubernetesIssuerTest, AnotherReplicaMayBeFirst) {
  objects.conflict_once = true;
  start(true);
  loop.advance(15s);
  EXPECT_NE(store.current(), nullptr);
}

TEST_F(KubernetesIssuerTest, AnAnchorIsReplacedOnRequest) {
  start(true);
  loop.advance(15s);
  const std::string before = store.current()->anchors[0].der;
  const std::string& text = objects.at("linkerd-identity-rotation");
  const std::string data =
      text.substr(text.find(R"("data":)") + 7, text.size() - text.find(R"("data":)") - 8);
  objects.set("linkerd-identity-rotation", data, R"({"linkerd.io/replace-anchor":"now"})");
  loop.advance(15s);
  ASSERT_EQ(issuer->stage(), Rotation::Stage::Announced);
  EXPECT_EQ(store.current()->anchors.size(), 2U);
  EXPECT_EQ(objects.at("linkerd-identity-rotation").find("replace-anchor"), std::string::npos);
  pass(25h);
  ASSERT_EQ(issuer->stage(), Rotation::Stage::Switched);
  EXPECT_EQ(store.current()->issuer.chain.size(), 1U);
  pass(25h);
  ASSERT_EQ(issuer->stage(), Rotation::Stage::Steady);
  ASSERT_EQ(store.current()->anchors.size(), 1U);
  EXPECT_NE(store.current()->anchors[0].der, before);
}

TEST_F(KubernetesIssuerTest, ABrokenStateIsNotOverwritten) {
  objects.set("linkerd-identity-rotation", R"({"rotation":"bm8="})");
  start(true);
  loop.advance(15s);
  EXPECT_EQ(store.current(), nullptr);
  EXPECT_NE(store.problem().find("delete the Secret to begin anew"), std::string::npos);
  EXPECT_EQ(objects.writes, 0);
}

}  // namespace
}  // namespace tulle::control
