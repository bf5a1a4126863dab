// SPDX-License-Identifier: Apache-2.0
#include "lib/redirect/plan.h"

#include <gtest/gtest.h>

namespace tulle::redirect {
namespace {

TEST(Plan, FollowsTheOrderOfTheReference) {
  Rules rules;
  rules.inbound_port = 4143;
  rules.outbound_port = 4140;
  rules.proxy_uid = 2102;
  rules.inbound_ignored = {{4190, 4191}, {25, 25}};
  rules.outbound_ignored = {{443, 443}};
  rules.ignored_subnets = {*net::Cidr::parse("10.0.0.0/8")};
  EXPECT_EQ(to_nft(rules), R"(table inet tulle {
  chain inbound {
    type nat hook prerouting priority -100; policy accept;
    tcp dport 4190-4191 return comment "proxy-init/ignore-port-4190-4191"
    tcp dport 25 return comment "proxy-init/ignore-port-25"
    ip saddr 10.0.0.0/8 return comment "proxy-init/ignore-subnet-10.0.0.0/8"
    meta l4proto tcp redirect to :4143 comment "proxy-init/redirect-all-incoming-to-proxy-port"
  }
  chain outbound {
    type nat hook output priority -100; policy accept;
    meta skuid 2102 return comment "proxy-init/ignore-proxy-user-id"
    oif lo return comment "proxy-init/ignore-loopback"
    tcp dport 443 return comment "proxy-init/ignore-port-443"
    meta l4proto tcp redirect to :4140 comment "proxy-init/redirect-all-outgoing-to-proxy-port"
  }
}
)");
  rules.inbound_only = {8080};
  EXPECT_NE(to_nft(rules).find("tcp dport 8080 redirect to :4143"), std::string::npos);
}

TEST(Plan, ReadsPortRanges) {
  EXPECT_EQ(parse_port_ranges("80, 443,1000-2000,")->size(), 3U);
  for (const char* bad : {"x", "2-1", "70000", "1-2-3", "-"})
    EXPECT_FALSE(parse_port_ranges(bad)) << bad;
}

}  // namespace
}  // namespace tulle::redirect
