// SPDX-License-Identifier: Apache-2.0
#include "lib/net/address.h"

#include <gtest/gtest.h>

namespace tulle::net {
namespace {

TEST(IpAddr, ParsesAndPrints) {
  for (const char* text : {"10.0.0.1", "0.0.0.0", "fd00::1", "::1", "2001:db8::ff00:42:8329"}) {
    const auto ip = IpAddr::parse(text);
    ASSERT_TRUE(ip) << text;
    EXPECT_EQ(ip->to_string(), text);
  }
  for (const char* text :
       {"", "10.0.0", "10.0.0.256", "fd00:::1", "[::1]", "a.b.c.d", "1.2.3.4 "}) {
    EXPECT_FALSE(IpAddr::parse(text)) << text;
  }
}

TEST(IpAddr, NormalisesMappedAddresses) {
  EXPECT_EQ(*IpAddr::parse("::ffff:10.1.2.3"), *IpAddr::parse("10.1.2.3"));
  EXPECT_TRUE(IpAddr::parse("::ffff:127.0.0.1")->is_loopback());
}

TEST(SocketAddr, RoundTripsThroughNative) {
  for (const char* text : {"10.0.0.1:80", "[fd00::1]:65535"}) {
    const auto addr = SocketAddr::parse(text);
    ASSERT_TRUE(addr) << text;
    sockaddr_storage native;
    addr->to_native(native);
    EXPECT_EQ(SocketAddr::from_native(native), addr);
    EXPECT_EQ(addr->to_string(), text);
  }
  for (const char* text : {"10.0.0.1", "fd00::1:80", "[10.0.0.1]:80", "1.2.3.4:65536", ":80"}) {
    EXPECT_FALSE(SocketAddr::parse(text)) << text;
  }
}

TEST(Cidr, Contains) {
  EXPECT_TRUE(Cidr::parse("10.0.0.0/9")->contains(*IpAddr::parse("10.127.255.255")));
  EXPECT_FALSE(Cidr::parse("10.0.0.0/9")->contains(*IpAddr::parse("10.128.0.0")));
  EXPECT_TRUE(Cidr::parse("0.0.0.0/0")->contains(*IpAddr::parse("1.2.3.4")));
  EXPECT_FALSE(Cidr::parse("0.0.0.0/0")->contains(*IpAddr::parse("::1")));
  EXPECT_TRUE(Cidr::parse("fd00::/8")->contains(*IpAddr::parse("fdff::1")));
  EXPECT_TRUE(Cidr::parse("10.0.0.1")->contains(*IpAddr::parse("10.0.0.1")));
  EXPECT_FALSE(Cidr::parse("10.0.0.0/33"));
}

}  // namespace
}  // namespace tulle::net
