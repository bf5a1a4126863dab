// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/formats.h"

#include <gtest/gtest.h>

#include "lib/inject/names.h"

namespace tulle::inject {
namespace {

using namespace std::chrono_literals;

TEST(Formats, Booleans) {
  for (const char* const yes : {"1", "t", "T", "true", "TRUE", "True"})
    EXPECT_EQ(parse_go_bool(yes), true);
  for (const char* const no : {"0", "f", "F", "false", "FALSE", "False"})
    EXPECT_EQ(parse_go_bool(no), false);
  for (const char* const bad : {"", "yes", "tRUE", " true", "2"})
    EXPECT_FALSE(parse_go_bool(bad)) << bad;
  EXPECT_EQ(parse_toggle("enabled"), true);
  EXPECT_EQ(parse_toggle("disabled"), false);
  EXPECT_FALSE(parse_toggle("true"));
}

TEST(Formats, Durations) {
  EXPECT_EQ(parse_go_duration("1h2m3.5s"), 3723500ms);
  EXPECT_EQ(parse_go_duration("300ms"), 300ms);
  EXPECT_EQ(parse_go_duration("1.5us"), 1500ns);
  EXPECT_EQ(parse_go_duration("10µs"), 10us);
  EXPECT_EQ(parse_go_duration("0"), 0ns);
  EXPECT_EQ(parse_go_duration(".5s"), 500ms);
  for (const char* const bad : {"", "5", "-1s", "1d", "s", "1s ", "1 s", "1e3s"}) {
    EXPECT_FALSE(parse_go_duration(bad)) << bad;
  }
}

TEST(Formats, Quantities) {
  EXPECT_DOUBLE_EQ(*parse_quantity("100m"), 0.1);
  EXPECT_DOUBLE_EQ(*parse_quantity("20Mi"), 20 * 1024.0 * 1024);
  EXPECT_DOUBLE_EQ(*parse_quantity("1.5"), 1.5);
  EXPECT_DOUBLE_EQ(*parse_quantity("2e3"), 2000);
  EXPECT_DOUBLE_EQ(*parse_quantity("1E"), 1e18);
  for (const char* const bad : {"", "1 Mi", "Mi", "1mi", "-1", "1KiB", "1e", "0x10"}) {
    EXPECT_FALSE(parse_quantity(bad)) << bad;
  }
}

TEST(Formats, Ports) {
  const auto list = parse_ports_list(" 80 , 1000-2000,");
  ASSERT_TRUE(list);
  EXPECT_EQ(to_string(*list), "80,1000-2000");
  EXPECT_TRUE(parse_ports_list("")->empty());
  for (const char* const bad : {"a", "80,,90", "70000", "9-8", "80,,", "-1"}) {
    EXPECT_FALSE(parse_ports_list(bad)) << bad;
  }
}

TEST(Names, NearestAnnotation) {
  EXPECT_EQ(nearest_config_key("config.linkerd.io/proxy-cpu-requests"),
            "config.linkerd.io/proxy-cpu-request");
  EXPECT_EQ(nearest_config_key("config.linkerd.io/opaque-port"), "config.linkerd.io/opaque-ports");
  EXPECT_EQ(nearest_config_key("config.linkerd.io/something-else-entirely"), "");
}

}  // namespace
}  // namespace tulle::inject
