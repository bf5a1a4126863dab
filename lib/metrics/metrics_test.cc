// SPDX-License-Identifier: Apache-2.0
#include "lib/metrics/metrics.h"

#include <gtest/gtest.h>

#include <string>

namespace tulle::metrics {
namespace {

bool has(const std::string& text, std::string_view line) {
  return text.find(line) != std::string::npos;
}

TEST(Registry, PrintsBothSections) {
  Registry registry;
  auto& requests = registry.counter("request_total", "Requests.");
  auto& unused = registry.counter("unused_total", "Nothing.");
  (void)unused;
  auto& latency = registry.histogram("response_latency_ms", "Latency.", latency_buckets_ms());
  auto& modern = registry.counter("inbound_http_requests", "Requests.", Format::OpenMetrics);
  const auto counter = requests.get({{"direction", "inbound"}, {"authority", "a\"b\\c\nd"}});
  counter->add(3);
  const auto histogram = latency.get({{"direction", "inbound"}});
  histogram->observe(0.5);
  histogram->observe(7);
  modern.get({{"a", "b"}})->add();
  const std::string text = registry.scrape();
  EXPECT_TRUE(has(text, "request_total{direction=\"inbound\",authority=\"a\\\"b\\\\c\\nd\"} 3\n")) << text;
  EXPECT_FALSE(has(text, "unused_total"));
  EXPECT_TRUE(has(text, "response_latency_ms_bucket{direction=\"inbound\",le=\"1\"} 1\n"));
  EXPECT_TRUE(has(text, "response_latency_ms_bucket{direction=\"inbound\",le=\"10\"} 2\n"));
  EXPECT_TRUE(has(text, "response_latency_ms_bucket{direction=\"inbound\",le=\"+Inf\"} 2\n"));
  EXPECT_TRUE(has(text, "response_latency_ms_sum{direction=\"inbound\"} 7\n"));
  EXPECT_TRUE(has(text, "inbound_http_requests_total{a=\"b\"} 1\n"));
  EXPECT_LT(text.find("request_total"), text.find("inbound_http_requests"));
  EXPECT_TRUE(text.ends_with("# EOF\n"));
  EXPECT_FALSE(has(text, ",,"));
}

TEST(Registry, SameLabelsGiveTheSameSeries) {
  Registry registry;
  auto& family = registry.counter("x_total", "X.");
  EXPECT_EQ(family.get({{"a", "1"}}), family.get({{"a", "1"}}));
  EXPECT_NE(family.get({{"a", "1"}}), family.get({{"a", "2"}}));
}

TEST(Registry, BoundsEachFamily) {
  Registry registry(10min, 3);
  auto& family = registry.counter("x_total", "X.");
  for (int i = 0; i < 10; ++i) family.get({{"i", std::to_string(i)}})->add();
  const std::string text = registry.scrape();
  EXPECT_TRUE(has(text, "x_total{overflow=\"true\"} 7\n")) << text;
  EXPECT_TRUE(has(text, "tulle_metrics_overflow_total{family=\"x_total\"} 7\n"));
}

TEST(Registry, IdleSeriesExpireWhenNobodyHoldsThem) {
  Registry registry(Duration{0});
  auto& family = registry.counter("x_total", "X.");
  family.get({{"a", "gone"}});
  const auto held = family.get({{"a", "held"}});
  const std::string text = registry.scrape();
  EXPECT_TRUE(has(text, "held")) << text;
}

TEST(Process, TellsAboutThisProcess) {
  std::string out;
  append_process_metrics(out, wall_now());
  EXPECT_TRUE(has(out, "process_open_fds "));
  EXPECT_TRUE(has(out, "process_cpu_seconds_total "));
}

}  // namespace
}  // namespace tulle::metrics
