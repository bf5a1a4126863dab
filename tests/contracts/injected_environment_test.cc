// SPDX-License-Identifier: Apache-2.0
// The environment that injection writes is one that the proxy takes, without a warning about a name
// or a format.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "lib/inject/inject.h"
#include "lib/k8s/meta.h"
#include "proxy/config/config.h"

namespace tulle {
namespace {

using inject::Value;

std::map<std::string, std::string> environment_of(const Value& pod) {
  const std::map<std::string, std::string, std::less<>> fields = {
      {"metadata.name", "web-1"},        {"metadata.namespace", "shop"},
      {"metadata.uid", "u-1"},           {"status.podIP", "10.1.2.3"},
      {"spec.nodeName", "node-1"},       {"status.podIPs", "10.1.2.3,fd00::3"},
      {"spec.serviceAccountName", "web"}};
  std::map<std::string, std::string> out;
  for (const Value& container : pod["spec"]["initContainers"].items()) {
    if (container["name"].string() != "linkerd-proxy") continue;
    for (const Value& variable : container["env"].items()) {
      std::string value(variable["value"].string());
      const auto field = fields.find(variable["valueFrom"]["fieldRef"]["fieldPath"].string());
      if (field != fields.end()) value = field->second;
      // As the kubelet does: $(NAME) of what came before.
      for (std::size_t at = value.find("$("); at != std::string::npos; at = value.find("$(", at)) {
        const std::size_t end = value.find(')', at);
        const auto known = out.find(value.substr(at + 2, end - at - 2));
        EXPECT_NE(known, out.end()) << value;
        if (known == out.end()) break;
        value.replace(at, end - at + 1, known->second);
      }
      out[std::string(variable["name"].string())] = value;
    }
  }
  return out;
}

proxy::Config read(const std::map<std::string, std::string>& environment,
                   proxy::ConfigNotes& notes) {
  return proxy::read_config(
      [&](const char* name) -> const char* {
        const auto found = environment.find(name);
        return found != environment.end() ? found->second.c_str() : nullptr;
      },
      4, notes);
}

Value pod_with(std::initializer_list<Value::Member> annotations) {
  Value all = Value::map(annotations);
  all.set("linkerd.io/inject", "enabled");
  std::string problem;
  Value pod = *inject::parse_yaml(
      "kind: Pod\nspec: {containers: [{name: a, image: b, ports: [{containerPort: 80}]}]}",
      problem);
  pod.set("metadata", Value::map({{"annotations", all}}));
  return pod;
}

inject::Config config() {
  inject::Config out;
  out.trust_anchors = "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n";
  return out;
}

TEST(InjectedEnvironment, IsWhatTheProxyReads) {
  const auto outcome = inject::inject(pod_with({}), {.ns = "shop"}, config());
  ASSERT_EQ(outcome.kind, inject::Outcome::Kind::Injected);
  proxy::ConfigNotes notes;
  const proxy::Config read_back = read(environment_of(outcome.object), notes);
  for (const std::string& error : notes.errors) ADD_FAILURE() << error;
  for (const std::string& warning : notes.warnings) ADD_FAILURE() << warning;
  for (const std::string& name : notes.without_effect) ADD_FAILURE() << name << " has no effect";
  EXPECT_EQ(read_back.local_name, "web.shop.serviceaccount.identity.linkerd.cluster.local");
  EXPECT_EQ(read_back.identity.host, "linkerd-identity-headless.linkerd.svc.cluster.local.");
  EXPECT_EQ(read_back.identity.port, 8080);
  EXPECT_EQ(read_back.policy_workload, "{\"ns\":\"shop\", \"pod\":\"web-1\"}\n");
  EXPECT_EQ(read_back.inbound.connect_timeout, 100ms);
  EXPECT_EQ(read_back.inbound_ips.size(), 2U);
  EXPECT_TRUE(read_back.inbound_ports.contains(80));
  EXPECT_TRUE(read_back.opaque_ports.contains(3306));
  EXPECT_EQ(read_back.inbound.accept.keepalive, 10s);
  EXPECT_EQ(read_back.inbound.h2_ping_interval, 10s);
  EXPECT_EQ(read_back.token_file, "/var/run/secrets/tokens/linkerd-identity-token");
  EXPECT_EQ(read_back.outbound_listen.size(), 1U);
}

TEST(InjectedEnvironment, OfEveryAnnotationIsWhatTheProxyReads) {
  const auto pod =
      pod_with({{"config.linkerd.io/proxy-outbound-connect-timeout", "1m1.5s"},
                {"config.linkerd.io/proxy-inbound-discovery-cache-unused-timeout", "2h"},
                {"config.linkerd.io/proxy-disable-outbound-protocol-detect-timeout", "true"},
                {"config.linkerd.io/proxy-disable-inbound-protocol-detect-timeout", "true"},
                {"config.linkerd.io/shutdown-grace-period", "90s"},
                {"config.linkerd.io/proxy-log-format", "json"},
                {"config.linkerd.io/access-log", "json"},
                {"config.linkerd.io/default-inbound-policy", "cluster-authenticated"},
                {"config.linkerd.io/proxy-admin-shutdown", "enabled"},
                {"config.linkerd.io/proxy-cpu-request", "2500m"},
                {"config.linkerd.io/opaque-ports", "1-5, 9"},
                {"config.linkerd.io/enable-external-profiles", "true"}});
  inject::Config with_ipv6 = config();
  with_ipv6.disable_ipv6 = false;
  const auto outcome = inject::inject(pod, {.ns = "shop"}, with_ipv6);
  ASSERT_EQ(outcome.kind, inject::Outcome::Kind::Injected);
  for (const inject::Warning& warning : outcome.warnings) ADD_FAILURE() << warning.to_string();
  proxy::ConfigNotes notes;
  const proxy::Config read_back = read(environment_of(outcome.object), notes);
  for (const std::string& error : notes.errors) ADD_FAILURE() << error;
  for (const std::string& warning : notes.warnings) ADD_FAILURE() << warning;
  EXPECT_EQ(read_back.outbound.connect_timeout, 61'500ms);
  EXPECT_EQ(read_back.inbound.discovery_idle, 2h);
  EXPECT_EQ(read_back.outbound.detect_timeout, 24h * 365);
  EXPECT_EQ(read_back.shutdown_grace, 90s);
  EXPECT_TRUE(read_back.shutdown_endpoint);
  EXPECT_TRUE(read_back.log_json);
  EXPECT_EQ(read_back.default_policy, proxy::DefaultPolicy::ClusterAuthenticated);
  EXPECT_EQ(read_back.workers, 3U);
  EXPECT_TRUE(read_back.opaque_ports.contains(4));
  EXPECT_FALSE(read_back.opaque_ports.contains(3306));
  EXPECT_EQ(read_back.outbound_listen.size(), 2U);
  EXPECT_EQ(read_back.profile_suffixes, std::vector<std::string>{""});
}

}  // namespace
}  // namespace tulle
