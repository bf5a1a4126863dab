// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/proxy_head.h"

#include <gtest/gtest.h>

#include <string>

namespace tulle::proxy {
namespace {

using State = ProxyHead::State;

std::string binary(std::size_t size, char version = 0x21) {
  std::string head("\r\n\r\n\0\r\nQUIT\n", 12);
  head += version;
  head += '\x11';
  head += static_cast<char>(size >> 8);
  head += static_cast<char>(size);
  return head + std::string(size, '\1');
}

TEST(ProxyHeadTest, IsFoundWholeAndNeedsMoreBefore) {
  for (const std::string& head :
       {std::string("PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n"),
        std::string("PROXY TCP6 2001:db8::1 2001:db8::2 1000 80\r\n"),
        std::string("PROXY UNKNOWN\r\n"), std::string("PROXY TCP4 a\n"), binary(12), binary(0),
        binary(2000), binary(12, 0x20), "PROXY UNKNOWN\r\n" + binary(12)}) {
    const std::string text = head + "GET / HTTP/1.1\r\n\r\n";
    const ProxyHead found = parse_proxy_head(as_bytes(text));
    EXPECT_EQ(found.state, State::Found) << head.substr(0, 20);
    EXPECT_EQ(found.size, head.size());
    for (std::size_t n = 1; n < head.size(); ++n) {
      const State part = parse_proxy_head(as_bytes(std::string_view(head).substr(0, n))).state;
      // Between two heads the first is whole.
      EXPECT_TRUE(part == State::NeedMore || (part == State::Found && n == 15)) << n;
    }
  }
}

TEST(ProxyHeadTest, WhatBeginsOtherwiseIsNone) {
  for (const char* text : {"GET / HTTP/1.1\r\n", "PROXY /x HTTP/1.1\r\n", "PROXYTCP4 ", "\r\nGET /",
                           "\r\n\r\n\r\n", "x", ""}) {
    EXPECT_EQ(parse_proxy_head(as_bytes(text)).state, State::None) << text;
  }
  EXPECT_EQ(parse_proxy_head(as_bytes(binary(12, 0x31))).state, State::None);
}

TEST(ProxyHeadTest, HasABound) {
  EXPECT_EQ(parse_proxy_head(as_bytes(binary(5000))).state, State::TooLong);
  EXPECT_EQ(parse_proxy_head(as_bytes("PROXY TCP4 " + std::string(600, 'a'))).state,
            State::TooLong);
  std::string many;
  while (many.size() <= kMaxProxyHead) many += "PROXY UNKNOWN\r\n";
  EXPECT_EQ(parse_proxy_head(as_bytes(many)).state, State::TooLong);
}

}  // namespace
}  // namespace tulle::proxy
