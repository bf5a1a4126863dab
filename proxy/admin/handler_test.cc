// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/handler.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using Settings = std::map<std::string, std::string>;

class TestHost final : public AdminHost {
 public:
  explicit TestHost(const Settings& more = {}, bool log_off = false)
      : config_(test::small_config(more)),
        metrics_(1min),
        sink_({.fd = 1, .off = log_off}, log::Filter::parse_lenient("warn")) {}
  const Config& config() const noexcept override { return config_; }
  Metrics& metrics() noexcept override { return metrics_; }
  log::Sink& sink() noexcept override { return sink_; }
  net::Loop& loop() noexcept override { return sim.get(); }
  ServerPolicyPtr server_policy(std::uint16_t port) const override {
    return policy ? policy : default_server_policy(config_, port);
  }
  bool ready() const noexcept override { return is_ready; }
  net::Task<std::string> scrape() override { co_return metrics_.registry().scrape(); }
  void shut_down() override { ++shut_downs; }

  testing::SimLoop sim;
  ServerPolicyPtr policy;
  bool is_ready = false;
  int shut_downs = 0;

 private:
  Config config_;
  Metrics metrics_;
  log::Sink sink_;
};

struct Answer {
  int status = 0;
  std::string body;
  http::HeaderMap headers;
};
Answer ask(TestHost& host, std::string_view method, std::string_view path,
           std::string_view body = "", const std::string& from = "127.0.0.1",
           std::vector<std::pair<std::string, std::string>> headers = {}) {
  AdminHandler handler(host, test::peer(from));
  http::Request request = test::request(method, path, "localhost:4191", std::move(headers));
  if (!body.empty()) request.body = http::make_full_body(host.loop(), as_bytes(body));
  auto response = host.sim.run(handler.handle(std::move(request)));
  if (!response || !*response) return {};
  Answer answer{(*response)->status, "", (*response)->headers};
  answer.body = as_text((*response)->body.data());
  return answer;
}

TEST(Admin, LiveAndReady) {
  TestHost host;
  EXPECT_EQ(ask(host, "GET", "/live").body, "live\n");
  EXPECT_EQ(ask(host, "GET", "/ready").status, 503);
  EXPECT_EQ(ask(host, "GET", "/ready").body, "not ready\n");
  host.is_ready = true;
  EXPECT_EQ(ask(host, "GET", "/ready").status, 200);
  EXPECT_EQ(ask(host, "GET", "/ready").body, "ready\n");
  EXPECT_EQ(*ask(host, "GET", "/ready").headers.get("content-type"), "text/plain");
  EXPECT_EQ(ask(host, "GET", "/nothing").status, 404);
}

TEST(Admin, MetricsCountWhoAskedForThem) {
  TestHost host;
  EXPECT_EQ(ask(host, "GET", "/metrics", "", "10.0.0.7").status, 200);
  const std::string text = ask(host, "GET", "/metrics", "", "10.0.0.7").body;
  EXPECT_NE(text.find("request_total{direction=\"inbound\",target_addr=\"127.0.0.1:4191\""),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("inbound_http_authz_allow_total{"), std::string::npos);
  EXPECT_TRUE(text.ends_with("# EOF\n"));
}

TEST(Admin, MetricsAreMadeSmallerForWhoTakesGzip) {
  TestHost host;
  const Answer answer =
      ask(host, "GET", "/metrics", "", "10.0.0.7", {{"accept-encoding", "deflate, gzip;q=1.0"}});
  EXPECT_EQ(*answer.headers.get("content-encoding"), "gzip");
  EXPECT_TRUE(answer.body.starts_with("\x1f\x8b"));
  EXPECT_LT(answer.body.size() * 2, ask(host, "GET", "/metrics").body.size());
  EXPECT_FALSE(ask(host, "GET", "/metrics", "", "10.0.0.7", {{"accept-encoding", "identity"}})
                   .headers.contains("content-encoding"));
}

TEST(Admin, OnlyLoopbackMayChangeAnything) {
  TestHost host(Settings{{"SHUTDOWN_ENDPOINT_ENABLED", "true"}});
  for (const std::string from : {"10.0.0.7", "fd00::7"}) {
    EXPECT_EQ(ask(host, "POST", "/shutdown", "", from).status, 403);
    EXPECT_EQ(ask(host, "PUT", "/proxy-log-level", "debug", from).status, 403);
    EXPECT_EQ(ask(host, "GET", "/proxy-log-level", "", from).body,
              "Requests are only permitted from localhost.");
  }
  EXPECT_EQ(host.shut_downs, 0);
  EXPECT_EQ(host.sink().filter_text(), "warn");
  EXPECT_EQ(ask(host, "GET", "/shutdown").status, 405);
  EXPECT_EQ(ask(host, "POST", "/shutdown", "", "::1").body, "shutdown\n");
  EXPECT_EQ(host.shut_downs, 1);
  TestHost other;
  EXPECT_EQ(ask(other, "POST", "/shutdown").status, 404);
  EXPECT_EQ(ask(other, "POST", "/shutdown").body, "shutdown endpoint is not enabled\n");
  EXPECT_EQ(other.shut_downs, 0);
}

TEST(Admin, LogLevel) {
  TestHost host;
  EXPECT_EQ(ask(host, "GET", "/proxy-log-level").body, "warn");
  EXPECT_EQ(ask(host, "PUT", "/proxy-log-level", "info,linkerd=debug\n").status, 204);
  EXPECT_EQ(ask(host, "GET", "/proxy-log-level").body, "info,linkerd=debug");
  EXPECT_EQ(ask(host, "PUT", "/proxy-log-level", "linkerd=loud").status, 400);
  const Answer post = ask(host, "POST", "/proxy-log-level", "debug");
  EXPECT_EQ(post.status, 405);
  EXPECT_EQ(*post.headers.get("allow"), "GET, PUT");
  TestHost silent({}, true);
  EXPECT_EQ(ask(silent, "GET", "/proxy-log-level").status, 404);
}

TEST(Admin, Environment) {
  TestHost host;
  ::setenv("TULLE_TEST_A", "x \"y\"", 1);
  EXPECT_EQ(ask(host, "GET", "/env.json?TULLE_TEST_A&TULLE_TEST_NONE").body,
            R"({"TULLE_TEST_A":"x \"y\"","TULLE_TEST_NONE":null})");
  EXPECT_NE(ask(host, "GET", "/env.json").body.find(R"("TULLE_TEST_A":)"), std::string::npos);
  // What the proxy was started with is nobody else's business.
  for (const std::string from : {"10.0.0.7", "fd00::7"}) {
    EXPECT_EQ(ask(host, "GET", "/env.json", "", from).status, 403);
    EXPECT_EQ(ask(host, "GET", "/env.json?TULLE_TEST_A", "", from).status, 403);
  }
  EXPECT_EQ(ask(host, "GET", "/env.json?a=b").status, 400);
  EXPECT_EQ(ask(host, "POST", "/env.json").status, 405);
  EXPECT_EQ(ask(host, "GET", "/env.json", "", "127.0.0.1", {{"accept", "text/html"}}).status, 406);
  EXPECT_EQ(ask(host, "GET", "/env.json", "", "127.0.0.1", {{"accept", "text/html, */*"}}).status,
            200);
}

// The admin port has a policy like any other.
TEST(Admin, PolicyApplies) {
  TestHost host(Settings{{"INBOUND_DEFAULT_POLICY", "deny"}});
  EXPECT_EQ(ask(host, "GET", "/metrics", "", "10.0.0.7").status, 403);
  EXPECT_EQ(ask(host, "GET", "/metrics", "", "127.0.0.1").status, 200);
  auto policy = std::make_shared<ServerPolicy>(*default_server_policy(host.config(), 4191));
  policy->routes.clear();
  host.policy = policy;
  EXPECT_EQ(ask(host, "GET", "/metrics").status, 404);
  policy = std::make_shared<ServerPolicy>(*policy);
  policy->invalid = "broken";
  host.policy = policy;
  EXPECT_EQ(ask(host, "GET", "/metrics").status, 500);
}

// A pod whose policy is not known yet lives, and tells that it is not ready.
TEST(Admin, BeforeThePolicyIsKnownTheKubeletIsAnswered) {
  TestHost host;
  host.policy = server_policy_until_known(host.config(), 4191);
  ASSERT_FALSE(host.policy->known);
  EXPECT_EQ(ask(host, "GET", "/live", "", "10.0.0.7").status, 200);
  EXPECT_EQ(ask(host, "GET", "/ready?x", "", "10.0.0.7").body, "not ready\n");
  EXPECT_EQ(ask(host, "GET", "/metrics", "", "10.0.0.7").status, 503);
  EXPECT_EQ(ask(host, "GET", "/ready/../metrics", "", "10.0.0.7").status, 503);
  EXPECT_EQ(ask(host, "GET", "/metrics", "", "127.0.0.1").status, 200);
}

}  // namespace
}  // namespace tulle::proxy
