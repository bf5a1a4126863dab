// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/transport_header.h"

#include <gtest/gtest.h>

namespace tulle::proxy {
namespace {

Result<std::optional<ParsedHeader>> parse(std::string_view text) {
  return parse_transport_header(as_bytes(text));
}
std::string framed(std::string_view message) {
  std::string out = "transport.l5d.io/v1\r\n\r\n";
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(message.size() >> shift);
  return out + std::string(message);
}

TEST(TransportHeader, RoundTripInEverySplit) {
  for (const TransportHeader& header :
       {TransportHeader{8080, "", Session::Opaque}, TransportHeader{1, "", Session::Http1},
        TransportHeader{65535, "web.shop.svc.cluster.local", Session::Http2}}) {
    const std::string bytes = encode_transport_header(header) + "application data";
    const std::size_t size = bytes.size() - 16;
    for (std::size_t n = 0; n < size; ++n) {
      const auto parsed = parse(std::string_view(bytes).substr(0, n));
      ASSERT_TRUE(parsed);
      EXPECT_FALSE(*parsed) << n;
    }
    const auto parsed = parse(bytes);
    ASSERT_TRUE(parsed && *parsed);
    EXPECT_EQ((*parsed)->size, size);
    EXPECT_EQ((*parsed)->header.port, header.port);
    EXPECT_EQ((*parsed)->header.name, header.name);
    EXPECT_EQ((*parsed)->header.session, header.session);
  }
}

TEST(TransportHeader, TheBytesOfLinkerd) {
  EXPECT_EQ(encode_transport_header({4143, "", Session::Opaque}),
            framed(std::string_view("\x08\xaf\x20", 3)));
  EXPECT_EQ(encode_transport_header({80, "a", Session::Http1}),
            framed(std::string_view("\x08\x50\x12\x01\x61\x1a\x02\x0a\x00", 9)));
}

TEST(TransportHeader, WhatIsWrongIsRefused) {
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\n"));
  EXPECT_FALSE(parse("transport.l5d.io/v2\r\n\r\n"));
  EXPECT_FALSE(parse(framed("")));                                       // no port
  EXPECT_FALSE(parse(framed(std::string_view("\x08\x80\x80\x04", 4))));  // port 65536
  EXPECT_FALSE(
      parse(framed(std::string_view("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11))));  // -1
  EXPECT_FALSE(parse(framed(std::string_view("\x08\x50\x12\x03\x61\x20\x62", 7))));  // name "a b"
  EXPECT_FALSE(parse(framed("\xff")));
  std::string large = "transport.l5d.io/v1\r\n\r\n";
  large += std::string("\x7f\xff\xff\xff", 4);
  const auto too_large = parse(large);
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, Errc::TooLarge);
}

// A protocol that we do not know must not be handed on as plain bytes.
TEST(TransportHeader, AnUnknownProtocolIsRefused) {
  const auto unknown = parse(framed(std::string_view("\x08\x50\x1a\x02\x1a\x00", 6)));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::Unsupported);
}

}  // namespace
}  // namespace tulle::proxy
