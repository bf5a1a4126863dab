// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "cli/exposition.h"
#include "cli/stats.h"
#include "cli/table.h"

namespace tulle::cli {
namespace {

PodSamples meshed(std::string name, std::string_view before, std::string_view after) {
  PodSamples pod;
  pod.ns = "shop";
  pod.name = std::move(name);
  pod.account = "account-" + pod.name;
  pod.status = "Running";
  pod.meshed = pod.reached = true;
  pod.identity = pod.name + ".id";
  pod.before = parse_exposition(before);
  pod.after = parse_exposition(after);
  return pod;
}

TEST(Exposition, ReadsSamples) {
  const auto samples = parse_exposition(
      "# HELP a Text.\n# TYPE a counter\na 1\n"
      "b{x=\"1\",y=\"a \\\"quoted\\\" \\\\ {brace}, and\\nline\"} 2.5 1700000000\n"
      "c_bucket{le=\"+Inf\"} 3\n\nbroken\nbroken{\nbroken{a=1} 2\nnan NaN\n");
  ASSERT_EQ(samples.size(), 3U);
  EXPECT_EQ(samples[0].name, "a");
  EXPECT_EQ(samples[0].value, 1);
  EXPECT_EQ(samples[1].label("x"), "1");
  EXPECT_EQ(samples[1].label("y"), "a \"quoted\" \\ {brace}, and\nline");
  EXPECT_EQ(samples[1].value, 2.5);
  EXPECT_EQ(samples[1].label("none"), "");
  EXPECT_EQ(samples[2].label("le"), "+Inf");
}

TEST(Stats, QuantilesInterpolate) {
  const std::vector<std::pair<double, double>> buckets = {
      {1, 0}, {2, 50}, {10, 90}, {INFINITY, 100}};
  EXPECT_DOUBLE_EQ(*quantile(buckets, 0.5), 2);
  EXPECT_DOUBLE_EQ(*quantile(buckets, 0.25), 1.5);
  EXPECT_DOUBLE_EQ(*quantile(buckets, 0.7), 6);
  EXPECT_DOUBLE_EQ(*quantile(buckets, 0.99), 10);  // beyond the last bound: that bound
  EXPECT_FALSE(quantile({}, 0.5));
  EXPECT_FALSE(quantile({{1, 0}, {INFINITY, 0}}, 0.5));
}

TEST(Stats, CountsWhatGrewInTheWindow) {
  const auto rows =
      stat_rows({meshed("web",
                        "response_total{direction=\"inbound\",classification=\"success\"} 100\n"
                        "response_total{direction=\"inbound\",classification=\"failure\"} 5\n",
                        "response_total{direction=\"inbound\",classification=\"success\"} 130\n"
                        "response_total{direction=\"inbound\",classification=\"failure\"} 15\n"
                        "response_total{direction=\"outbound\",classification=\"failure\"} 1000\n"
                        "response_latency_ms_bucket{direction=\"inbound\",le=\"1\"} 40\n"
                        "response_latency_ms_bucket{direction=\"inbound\",le=\"+Inf\"} 40\n"
                        "tcp_open_connections{direction=\"inbound\",peer=\"src\"} 3\n"
                        "tcp_open_connections{direction=\"inbound\",peer=\"dst\"} 2\n"
                        "tcp_read_bytes_total{direction=\"inbound\",peer=\"src\"} 200\n")},
                Resource::Pod, std::chrono::seconds(10));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].name, "web");
  EXPECT_DOUBLE_EQ(*rows[0].success, 0.75);
  EXPECT_DOUBLE_EQ(rows[0].rps, 4);
  EXPECT_DOUBLE_EQ(*rows[0].p50, 0.5);
  EXPECT_EQ(rows[0].open_connections, 3U);
  EXPECT_DOUBLE_EQ(rows[0].read_rate, 20);
  EXPECT_EQ(rows[0].meshed, 1U);
}

TEST(Stats, ARestartedProxyCountsFromZero) {
  const auto rows = stat_rows(
      {meshed("web", "response_total{direction=\"inbound\",classification=\"success\"} 100\n",
              "response_total{direction=\"inbound\",classification=\"success\"} 10\n")},
      Resource::Pod, std::chrono::seconds(1));
  EXPECT_DOUBLE_EQ(rows.at(0).rps, 10);
}

TEST(Stats, GroupsByAccountNamespaceAndService) {
  const std::string_view line =
      "response_total{direction=\"inbound\",classification=\"success\"} 4\n"
      "response_total{direction=\"outbound\",classification=\"success\",dst_service=\"db\",dst_"
      "namespace=\"data\"} 6\n";
  PodSamples plain;
  plain.ns = "shop";
  plain.name = "plain";
  plain.account = "account-a";
  plain.status = "Running";
  const std::vector<PodSamples> pods = {meshed("a", "", line), meshed("b", "", line), plain};
  const auto accounts = stat_rows(pods, Resource::ServiceAccount, std::chrono::seconds(2));
  ASSERT_EQ(accounts.size(), 2U);
  EXPECT_EQ(accounts[0].name, "account-a");
  EXPECT_EQ(accounts[0].meshed, 1U);
  EXPECT_EQ(accounts[0].pods, 2U);
  const auto spaces = stat_rows(pods, Resource::Namespace, std::chrono::seconds(2));
  ASSERT_EQ(spaces.size(), 1U);
  EXPECT_DOUBLE_EQ(spaces[0].rps, 4);
  const auto services = stat_rows(pods, Resource::Service, std::chrono::seconds(2));
  ASSERT_EQ(services.size(), 1U);
  EXPECT_EQ(services[0].ns, "data");
  EXPECT_EQ(services[0].name, "db");
  EXPECT_DOUBLE_EQ(services[0].rps, 6);
}

TEST(Stats, EdgesSayWhoAndWhyNot) {
  const auto found = edges(
      {meshed(
          "client", "",
          "tcp_open_total{direction=\"outbound\",peer=\"dst\",tls=\"true\",server_id=\"web.id\","
          "dst_pod=\"web\",dst_namespace=\"shop\"} 2\n"
          "tcp_open_total{direction=\"outbound\",peer=\"dst\",tls=\"true\",server_id=\"web.id\","
          "dst_pod=\"web\",dst_namespace=\"shop\",target_port=\"1\"} 2\n"
          "tcp_open_total{direction=\"outbound\",peer=\"dst\",tls=\"no_identity\",no_tls_reason="
          "\"not_provided_by_service_discovery\",dst_pod=\"plain\",dst_namespace=\"shop\"} 1\n"
          "tcp_open_total{direction=\"outbound\",peer=\"dst\",tls=\"true\",dst_pod=\"never\",dst_"
          "namespace=\"shop\"} 0\n"
          "tcp_open_total{direction=\"outbound\",peer=\"src\",tls=\"true\",dst_pod=\"other\"} 1\n"
          "tcp_open_total{direction=\"inbound\",peer=\"src\",tls=\"true\"} 1\n")},
      Resource::Pod);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].dst, "plain");
  EXPECT_EQ(found[0].no_tls_reason, "not_provided_by_service_discovery");
  EXPECT_EQ(found[1].dst, "web");
  EXPECT_EQ(found[1].no_tls_reason, "");
  EXPECT_EQ(found[1].client_id, "client.id");
  EXPECT_EQ(found[1].server_id, "web.id");
}

TEST(Table, AlignsColumns) {
  Table table({"NAME", "RPS", "SECURED"});
  table.add({"a", "10.5rps", "√"});
  table.add({"longer", "-", "no"});
  EXPECT_EQ(table.text(),
            "NAME         RPS   SECURED\n"
            "a        10.5rps         √\n"
            "longer         -        no\n");
}

}  // namespace
}  // namespace tulle::cli
