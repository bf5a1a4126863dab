// SPDX-License-Identifier: Apache-2.0
#include "lib/metrics/metrics.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "lib/base/text.h"

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
  EXPECT_TRUE(has(text, "request_total{direction=\"inbound\",authority=\"a\\\"b\\\\c\\nd\"} 3\n"))
      << text;
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
  auto& legacy = registry.counter("x_total", "X.");
  auto& modern = registry.counter("y", "Y.", Format::OpenMetrics);
  legacy.get({{"a", "gone"}});
  legacy.get({{"a", "used"}})->add();
  modern.get({{"a", "stays"}});
  const auto held = legacy.get({{"a", "held"}});
  std::string text = registry.scrape();
  EXPECT_TRUE(has(text, "x_total{a=\"held\"} 0\n")) << text;
  EXPECT_TRUE(has(text, "x_total{a=\"used\"} 1\n")) << text;  // changed since the last look
  EXPECT_FALSE(has(text, "gone")) << text;
  text = registry.scrape();
  EXPECT_TRUE(has(text, "held")) << text;
  EXPECT_FALSE(has(text, "used")) << text;
  EXPECT_TRUE(has(text, "y_total{a=\"stays\"} 0\n")) << text;
}

TEST(Registry, AFullFamilyGivesUpIdleSeriesFirst) {
  Registry registry(Duration{0}, 2);
  auto& family = registry.counter("x_total", "X.");
  const auto held = family.get({{"a", "held"}});
  family.get({{"a", "idle"}});
  family.get({{"a", "new"}})->add();
  const std::string text = registry.scrape();
  EXPECT_TRUE(has(text, "x_total{a=\"new\"} 1\n")) << text;
  EXPECT_FALSE(has(text, "idle")) << text;
  EXPECT_FALSE(has(text, "overflow")) << text;
}

TEST(Registry, PrintsNumbersAsEachSectionDoes) {
  static constexpr double kBounds[] = {0.025, 1, 10};
  Registry registry;
  const auto wrapped = registry.counter("a_total", "A.").get({});
  wrapped->add((std::uint64_t{1} << 53) + 5);
  const auto large = registry.counter("b", "B.", Format::OpenMetrics).get({});
  large->add((std::uint64_t{1} << 53) + 5);
  const auto gauge = registry.gauge("c", "C.").get({});
  gauge->set(3);
  gauge->add(-5);
  const auto modern =
      registry.histogram("d_seconds", "D.", kBounds, Format::OpenMetrics).get({{"x", "y"}});
  modern->observe(0.025);
  modern->observe(0.5);
  const auto legacy = registry.histogram("e_ms", "E.", kBounds).get({});
  legacy->observe(1.75);
  legacy->observe(100);
  const std::string text = registry.scrape();
  EXPECT_TRUE(has(text, "\na_total 5\n")) << text;
  EXPECT_TRUE(has(text, "# TYPE b counter\nb_total 9007199254740997\n")) << text;
  EXPECT_TRUE(has(text, "\nc -2\n")) << text;
  EXPECT_TRUE(has(text,
                  "# HELP d_seconds D.\n# TYPE d_seconds histogram\n# UNIT d_seconds seconds\n"
                  "d_seconds_bucket{x=\"y\",le=\"0.025\"} 1\n"
                  "d_seconds_bucket{x=\"y\",le=\"1.0\"} 2\n"
                  "d_seconds_bucket{x=\"y\",le=\"10.0\"} 2\n"
                  "d_seconds_bucket{x=\"y\",le=\"+Inf\"} 2\n"
                  "d_seconds_count{x=\"y\"} 2\n"
                  "d_seconds_sum{x=\"y\"} 0.525\n"))
      << text;
  EXPECT_TRUE(has(text,
                  "e_ms_bucket{le=\"10\"} 1\ne_ms_bucket{le=\"+Inf\"} 2\ne_ms_count 2\n"
                  "e_ms_sum 101\n"))
      << text;
}

TEST(Registry, ComesInPieces) {
  Registry registry;
  auto& family = registry.counter("x_total", "X.");
  std::vector<std::shared_ptr<Counter>> held;
  for (int i = 0; i < 1500; ++i) {
    held.push_back(family.get({{"i", std::to_string(i)}, {"long", std::string(100, 'y')}}));
  }
  std::string all;
  int pieces = 0;
  registry.scrape([&](std::string&& text) {
    EXPECT_LT(text.size(), 40'000U);
    EXPECT_TRUE(text.ends_with('\n'));
    all += text;
    ++pieces;
  });
  EXPECT_GT(pieces, 3);
  EXPECT_TRUE(all.ends_with("# EOF\n"));
  EXPECT_TRUE(has(all, "x_total{i=\"1499\","));
}

TEST(Registry, CollectorsJoinTheirSection) {
  Registry registry;
  registry.counter("legacy_total", "L.").get({})->add();
  registry.collect(
      Format::OpenMetrics, [](void*, std::string& out) { out += "mine 1\n"; }, nullptr);
  const std::string text = registry.scrape();
  EXPECT_TRUE(text.ends_with("mine 1\n# EOF\n")) << text;
}

// Handles are bumped and series made while others scrape (the thread sanitizer looks here).
TEST(Registry, ThreadsMayScrapeAndBump) {
  Registry registry(Duration{0});
  auto& counters = registry.counter("x_total", "X.");
  auto& histograms = registry.histogram("y_ms", "Y.", latency_buckets_ms());
  const auto shared = counters.get({{"a", "shared"}});
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        shared->add();
        counters.get({{"a", std::to_string(t * 1000 + i)}})->add();
        histograms.get({{"a", std::to_string(i % 5)}})->observe(i);
      }
    });
  }
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(registry.scrape().ends_with("# EOF\n"));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared->value(), 600U);
}

TEST(Histogram, IsSmall) {
  EXPECT_LE(sizeof(Histogram) + (latency_buckets_ms().size() + 1) * sizeof(std::uint64_t), 256U);
}

TEST(Process, TellsAboutThisProcess) {
  std::string out;
  append_process_metrics(out, wall_now());
  for (const char* name :
       {"process_start_time_seconds ", "process_clock_time_seconds ",
        "process_uptime_seconds_total ", "process_cpu_seconds_total ",
        "process_virtual_memory_bytes ", "process_resident_memory_bytes ", "process_open_fds ",
        "process_max_fds ", "process_threads ", "process_network_receive_bytes_total ",
        "process_network_transmit_bytes_total "}) {
    EXPECT_TRUE(has(out, concat("\n", name))) << name;
  }
  EXPECT_FALSE(has(out, "\nprocess_threads 0\n")) << out;
  EXPECT_FALSE(has(out, "process_resident_memory_bytes 0\n"));
}

}  // namespace
}  // namespace tulle::metrics
