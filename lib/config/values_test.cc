// SPDX-License-Identifier: Apache-2.0
#include "lib/config/values.h"

#include <gtest/gtest.h>

namespace tulle::config {
namespace {

TEST(Values, Durations) {
  EXPECT_EQ(parse_duration("10s"), 10s);
  EXPECT_EQ(parse_duration(" 500ms "), 500ms);
  EXPECT_EQ(parse_duration("365d"), 365 * 24h);
  EXPECT_EQ(parse_duration("0"), 0s);
  for (const char* bad : {"", "5", "1.5s", "10 s", "-1s", "s", "10x", "99999999999999999d"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(Values, PortsAndNetworks) {
  EXPECT_EQ(parse_ports("80,,443,1000-2000")->size(), 3U);
  EXPECT_TRUE(parse_ports("")->empty());
  for (const char* bad : {"x", "2000-1000", "70000", "1-", "-1"}) EXPECT_FALSE(parse_ports(bad)) << bad;
  EXPECT_EQ(parse_networks("10.0.0.0/8, fd00::/8,")->size(), 2U);
  EXPECT_FALSE(parse_networks("10.0.0.1"));
  EXPECT_EQ(parse_ips("10.0.0.1,fd00::1")->size(), 2U);
  EXPECT_FALSE(parse_ips("10.0.0.1, 10.0.0.2"));
}

TEST(Values, NamesAndSuffixes) {
  const auto suffixes = parse_suffixes("svc.cluster.local.,Example.COM");
  ASSERT_TRUE(suffixes);
  EXPECT_TRUE(under_suffix("web.ns.SVC.cluster.local.", *suffixes));
  EXPECT_TRUE(under_suffix("example.com", *suffixes));
  EXPECT_FALSE(under_suffix("notexample.com", *suffixes));
  EXPECT_TRUE(under_suffix("anything", *parse_suffixes(".")));
  EXPECT_EQ(parse_host_port("localhost.:8086")->host, "localhost.");
  EXPECT_EQ(parse_host_port("[::1]:80")->host, "::1");
  for (const char* bad : {"a", "a:", ":80", "a b:80", "-a:80", "a..b:80"}) EXPECT_FALSE(parse_host_port(bad)) << bad;
}

}  // namespace
}  // namespace tulle::config
