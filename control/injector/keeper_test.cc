// SPDX-License-Identifier: Apache-2.0
#include "control/injector/webhook_keeper.h"

#include <gtest/gtest.h>

#include "lib/base/text.h"
#include "lib/inject/patch.h"
#include "lib/testing/sim.h"

namespace tulle::control {
namespace {

using inject::Value;

constexpr std::string_view kHost = "linkerd-proxy-injector.linkerd.svc";

Value yaml(std::string_view text) {
  std::string problem;
  auto value = inject::parse_yaml(text, problem);
  EXPECT_TRUE(value) << problem;
  return value.value_or(Value());
}

const Value& configuration() {
  static const Value kConfiguration = yaml(R"(
kind: MutatingWebhookConfiguration
metadata: {name: linkerd-proxy-injector-webhook-config, resourceVersion: "7"}
webhooks:
- name: namespaces.linkerd-proxy-injector.linkerd.io
  clientConfig: {service: {name: linkerd-proxy-injector}}
  namespaceSelector:
    matchExpressions:
    - {key: config.linkerd.io/admission-webhooks, operator: NotIn, values: [disabled]}
    - {key: kubernetes.io/metadata.name, operator: In, values: [none.invalid]}
- name: linkerd-proxy-injector.linkerd.io
  clientConfig: {service: {name: linkerd-proxy-injector}, caBundle: b2xk}
)");
  return kConfiguration;
}

class FakeStore final : public WebhookStore {
 public:
  net::Task<Result<Secret>> read_secret(std::string) override {
    ++reads;
    if (down) co_return Error{Errc::Unavailable, "reach the API server"};
    if (!secret) co_return Error{Errc::NotFound, "find the Secret"};
    co_return *secret;
  }
  net::Task<Result<void>> write_secret(std::string, Secret next) override {
    if (conflict) co_return Error{Errc::Refused, "write the Secret"};
    EXPECT_EQ(next.version, secret ? secret->version : "");
    next.version = std::to_string(++version);
    secret = std::move(next);
    co_return Result<void>();
  }
  net::Task<Result<Value>> read_configuration(std::string, std::string) override {
    if (down) co_return Error{Errc::Unavailable, "reach the API server"};
    co_return config;
  }
  net::Task<Result<void>> patch_configuration(std::string, std::string, std::string text) override {
    std::string problem;
    const auto patch = inject::parse_json(text, problem);
    EXPECT_TRUE(patch) << problem;
    for (const Value& op : patch->items()) {
      if (op["op"].string() == "test") continue;
      EXPECT_TRUE(inject::apply_add(config, op["path"].string(), op["value"]))
          << op["path"].string();
      // A list is replaced as a whole: apply_add of a member.
    }
    ++patches;
    co_return Result<void>();
  }
  bool is_leader() const override { return leader; }

  std::string bundle() const {
    return base64_decode(config["webhooks"].items()[0]["clientConfig"]["caBundle"].string())
        .value_or("");
  }

  std::optional<Secret> secret;
  Value config = configuration();
  bool leader = true;
  bool down = false;
  bool conflict = false;
  int version = 0;
  int patches = 0;
  int reads = 0;
};

class KeeperTest : public ::testing::Test {
 protected:
  KeptWebhook webhook(bool external = false) {
    return {.secret = "linkerd-proxy-injector-k8s-tls",
            .host = std::string(kHost),
            .kind = "MutatingWebhookConfiguration",
            .configuration = "linkerd-proxy-injector-webhook-config",
            .external = external,
            .namespaces_entry = std::string(kNamespacesEntry)};
  }
  std::unique_ptr<WebhookKeeper> keeper(FakeStore& store, bool external = false,
                                        WebhookKeeper::Options options = {}) {
    return std::make_unique<WebhookKeeper>(
        loop, log::Logger(sink, "test"), store, webhook(external), [this] { return namespaces; },
        options);
  }
  bool once(WebhookKeeper& keeper) { return loop.run(keeper.keep_once()).value_or(false); }

  testing::SimLoop loop;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  std::set<std::string> namespaces{"shop"};
};

TEST_F(KeeperTest, MakesACertificateAndPublishesIt) {
  FakeStore store;
  const auto kept = keeper(store);
  EXPECT_EQ(kept->credentials(), nullptr);
  EXPECT_TRUE(once(*kept));
  ASSERT_NE(kept->credentials(), nullptr);
  EXPECT_EQ(kept->credentials()->leaf().dns_names, std::vector<std::string>{std::string(kHost)});
  EXPECT_EQ(store.bundle(), store.secret->data.at("ca.crt"));
  const auto& entries = store.config["webhooks"].items();
  EXPECT_EQ(entries[1]["clientConfig"]["caBundle"].text(),
            entries[0]["clientConfig"]["caBundle"].text());
  EXPECT_EQ(entries[0]["namespaceSelector"]["matchExpressions"].items()[1]["values"].to_json(),
            R"(["shop"])");
  EXPECT_EQ(entries[1]["namespaceSelector"].kind(), Value::Kind::Null);
  EXPECT_EQ(store.patches, 1);
  // Nothing to do is nothing done.
  EXPECT_TRUE(once(*kept));
  EXPECT_EQ(store.patches, 1);
  EXPECT_EQ(store.version, 1);
}

TEST_F(KeeperTest, ASecondReplicaServesTheSame) {
  FakeStore store;
  const auto first = keeper(store);
  EXPECT_TRUE(once(*first));
  store.leader = false;
  const auto second = keeper(store);
  EXPECT_TRUE(once(*second));
  ASSERT_NE(second->credentials(), nullptr);
  EXPECT_EQ(second->credentials()->leaf().der, first->credentials()->leaf().der);
  // Without a Secret it waits for the leader.
  FakeStore empty;
  empty.leader = false;
  const auto third = keeper(empty);
  EXPECT_FALSE(once(*third));
  EXPECT_EQ(third->credentials(), nullptr);
  EXPECT_FALSE(empty.secret);
}

TEST_F(KeeperTest, FollowsTheAnnotatedNamespaces) {
  FakeStore store;
  const auto kept = keeper(store);
  EXPECT_TRUE(once(*kept));
  const auto names = [&] {
    return store.config["webhooks"]
        .items()[0]["namespaceSelector"]["matchExpressions"]
        .items()[1]["values"]
        .to_json();
  };
  namespaces = {"b", "a"};
  EXPECT_TRUE(once(*kept));
  EXPECT_EQ(names(), R"(["a","b"])");
  namespaces.clear();
  EXPECT_TRUE(once(*kept));
  EXPECT_EQ(names(), R"(["none.invalid"])");
}

TEST_F(KeeperTest, LeavesExternalCertificatesToTheirOwner) {
  FakeStore store;
  store.secret = WebhookStore::Secret{
      to_secret(next_step(std::nullopt, kHost, Duration(0), wall_now(), {}).state), "3"};
  const std::string before = store.secret->data.at("tls.crt");
  const auto kept = keeper(store, true);
  EXPECT_TRUE(once(*kept));
  ASSERT_NE(kept->credentials(), nullptr);
  EXPECT_EQ(store.secret->data.at("tls.crt"), before);
  EXPECT_EQ(store.config["webhooks"].items()[1]["clientConfig"]["caBundle"].string(), "b2xk");
  EXPECT_EQ(store.config["webhooks"]
                .items()[0]["namespaceSelector"]["matchExpressions"]
                .items()[1]["values"]
                .to_json(),
            R"(["shop"])");
  // Renewed by its owner: served from the next look on.
  store.secret->data = to_secret(next_step(std::nullopt, kHost, Duration(0), wall_now(), {}).state);
  EXPECT_TRUE(once(*kept));
  EXPECT_EQ(kept->credentials()->leaf().to_pem(),
            tls::Certificate::from_pem(store.secret->data.at("tls.crt"))->front().to_pem());
}

TEST_F(KeeperTest, ReplacesWhatCannotServe) {
  FakeStore store;
  store.secret = WebhookStore::Secret{{{"tls.crt", "nonsense"}, {"tls.key", ""}}, "1"};
  store.version = 1;
  const auto kept = keeper(store);
  EXPECT_TRUE(once(*kept));
  EXPECT_NE(kept->credentials(), nullptr);
  // A certificate for another name is no use either.
  store.secret->data =
      to_secret(next_step(std::nullopt, "other.linkerd.svc", Duration(0), wall_now(), {}).state);
  EXPECT_TRUE(once(*kept));
  EXPECT_EQ(kept->credentials()->leaf().dns_names.front(), kHost);
}

TEST_F(KeeperTest, KeepsServingWhileTheApiServerIsAway) {
  FakeStore store;
  const auto kept = keeper(store);
  EXPECT_TRUE(once(*kept));
  store.down = true;
  EXPECT_FALSE(once(*kept));
  EXPECT_NE(kept->credentials(), nullptr);
}

TEST_F(KeeperTest, LosesARaceQuietly) {
  FakeStore store;
  store.conflict = true;
  const auto kept = keeper(store);
  EXPECT_FALSE(once(*kept));
  EXPECT_EQ(kept->credentials(), nullptr);
  store.conflict = false;
  EXPECT_TRUE(once(*kept));
}

// At no time may an API server that reads caBundle late, or a replica that serves late, fail a
// handshake.
TEST_F(KeeperTest, RotatesInStages) {
  FakeStore store;
  WebhookKeeper::Options options;
  options.serving.renew_at = 0;  // always due
  const auto kept = keeper(store, false, options);
  EXPECT_TRUE(once(*kept));
  const std::string first_ca = store.secret->data.at("ca.crt");
  const std::string first_leaf = kept->credentials()->leaf().der;

  EXPECT_TRUE(once(*kept));  // the next is made and published
  const std::string next_ca = store.secret->data.at("next.ca.crt");
  EXPECT_EQ(store.bundle(), first_ca + next_ca);
  EXPECT_EQ(kept->credentials()->leaf().der, first_leaf);

  loop.advance(9min);
  EXPECT_TRUE(once(*kept));
  EXPECT_EQ(kept->credentials()->leaf().der, first_leaf);
  loop.advance(2min);
  EXPECT_TRUE(once(*kept));  // it serves; both are still trusted
  EXPECT_NE(kept->credentials()->leaf().der, first_leaf);
  EXPECT_EQ(store.secret->data.at("ca.crt"), next_ca);
  EXPECT_NE(store.bundle().find(first_ca), std::string::npos);
  EXPECT_NE(store.bundle().find(next_ca), std::string::npos);
}

TEST(ServingCertificate, TheOldAnchorLeavesAfterTheOverlap) {
  const WallTime now = wall_now();
  ServingState state = next_step(std::nullopt, kHost, Duration(0), now, {}).state;
  const std::string first = state.current.ca;
  state.next = next_step(std::nullopt, kHost, Duration(0), now, {}).state.current;
  ServingStep step = next_step(state, kHost, 9min, now, {});
  EXPECT_FALSE(step.changed);
  step = next_step(state, kHost, 10min, now, {});
  EXPECT_TRUE(step.changed);
  EXPECT_NE(step.ca_bundle.find(first), std::string::npos);
  const auto read_back = from_secret(to_secret(step.state), kHost);
  ASSERT_TRUE(read_back);
  EXPECT_EQ(read_back->previous_ca, first);
  step = next_step(read_back, kHost, Duration(0), now + 9min, {});
  EXPECT_FALSE(step.changed);
  step = next_step(read_back, kHost, Duration(0), now + 11min, {});
  EXPECT_TRUE(step.changed);
  EXPECT_EQ(step.ca_bundle, step.state.current.ca);
}

TEST(ServingCertificate, IsRenewedInGoodTime) {
  const WallTime now = wall_now();
  const ServingState state = next_step(std::nullopt, kHost, Duration(0), now, {}).state;
  EXPECT_FALSE(next_step(state, kHost, Duration(0), now + 24h * 250, {}).changed);
  const ServingStep step = next_step(state, kHost, Duration(0), now + 24h * 260, {});
  EXPECT_TRUE(step.changed);
  EXPECT_TRUE(step.state.next);
}

}  // namespace
}  // namespace tulle::control
