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
  for (const char* bad : {"x", "2000-1000", "70000", "1-", "-1"})
    EXPECT_FALSE(parse_ports(bad)) << bad;
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
  for (const char* bad : {"a", "a:", ":80", "a b:80", "-a:80", "a..b:80"})
    EXPECT_FALSE(parse_host_port(bad)) << bad;
}

TEST(Values, DurationsStayInRange) {
  EXPECT_EQ(parse_duration("106751d"), 106'751 * 24h);
  for (const char* bad : {"106752d", "9223372036854775807ms", "18446744073709551616s", "+5s",
                          "0x5s", "5S", "5sec", "5 ms", "\t", "1h30m", "--1s"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
  EXPECT_EQ(parse_duration("00"), 0s);
  EXPECT_EQ(parse_duration("0d"), 0s);
}

TEST(Values, Booleans) {
  EXPECT_EQ(parse_bool("true"), true);
  EXPECT_EQ(parse_bool("false"), false);
  for (const char* bad : {"", "True", "1", "yes", " true"}) EXPECT_FALSE(parse_bool(bad)) << bad;
}

TEST(Values, PortsKeepRanges) {
  const auto ports = parse_ports(" 80 ,0-65535,7-7");
  ASSERT_TRUE(ports);
  ASSERT_EQ(ports->size(), 3U);
  EXPECT_EQ((*ports)[1].second, 65535);
  EXPECT_EQ((*ports)[2], (std::pair<std::uint16_t, std::uint16_t>{7, 7}));
  for (const char* bad : {"65536", "1-2-3", "1 2", "0-65536", "80;443"}) {
    EXPECT_FALSE(parse_ports(bad)) << bad;
  }
}

TEST(Values, AddressesAreStrict) {
  for (const char* bad : {"", ",", "10.0.0.1,", "10.0.0", "10.0.0.1/8", "[::1]", "fe80::1%eth0"}) {
    EXPECT_FALSE(parse_ips(bad)) << bad;
  }
  EXPECT_TRUE(parse_networks("")->empty());
  for (const char* bad :
       {"10.0.0.0/33", "fd00::/129", "10.0.0.0/", "/8", "10.0.0.0/-1", "10.0.0.0/8 x"}) {
    EXPECT_FALSE(parse_networks(bad)) << bad;
  }
  EXPECT_EQ(parse_host_port("1.2.3.4:80")->host, "1.2.3.4");
  EXPECT_EQ(parse_host_port("web.ns:80")->port, 80);
  for (const char* bad : {"::1:80", "web:65536", "web:", "web:http", "[::1]", "web:80:80", ""}) {
    EXPECT_FALSE(parse_host_port(bad)) << bad;
  }
}

TEST(Values, SuffixesMatchWholeLabels) {
  const auto suffixes = parse_suffixes(" cluster.local , ,b.example.");
  ASSERT_TRUE(suffixes);
  EXPECT_EQ(*suffixes, (std::vector<std::string>{"cluster.local", "b.example"}));
  EXPECT_TRUE(under_suffix("cluster.local", *suffixes));
  EXPECT_FALSE(under_suffix("xcluster.local", *suffixes));
  EXPECT_FALSE(under_suffix("local", *suffixes));
  EXPECT_FALSE(under_suffix("", *suffixes));
  for (const char* bad : {"a b", "a..b", "*.example", "-a", ".."})
    EXPECT_FALSE(parse_suffixes(bad)) << bad;
  EXPECT_TRUE(is_dns_name("web-0.ns."));
  EXPECT_FALSE(is_dns_name("web-0.ns.", false));
  for (const std::string& bad : {std::string("web-"), std::string("a.-b"), std::string("."),
                                 std::string(64, 'a'), std::string("w\x65\x80")}) {
    EXPECT_FALSE(is_dns_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace tulle::config
