// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/websocket.h"

#include <gtest/gtest.h>

#include "lib/base/text.h"

namespace tulle::k8s {
namespace {

constexpr std::array<std::uint8_t, 4> kMask = {0x37, 0xfa, 0x21, 0x3d};

std::string sent(WebSocketOpcode opcode, std::string_view payload) {
  ByteQueue out;
  append_message(opcode, as_bytes(payload), kMask, out);
  return std::string(as_text(out.data()));
}
// A server's frame.
std::string frame(std::uint8_t first, std::string_view payload) {
  std::string out(1, static_cast<char>(first));
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else {
    out += concat("\x7e", std::string(1, static_cast<char>(payload.size() >> 8)),
                  std::string(1, static_cast<char>(payload.size())));
  }
  return out += payload;
}
Error failure_of(std::string_view bytes) {
  WebSocketDecoder decoder(1000);
  decoder.feed(as_bytes(bytes));
  const auto message = decoder.next();
  EXPECT_FALSE(message);
  return message ? Error{Errc::Internal, ""} : message.error();
}

// RFC 6455 §5.7 and §1.3 have these as examples.
TEST(WebSocket, WritesAsTheStandardShows) {
  EXPECT_EQ(sent(WebSocketOpcode::Text, "Hello"), "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(sent(WebSocketOpcode::Binary, std::string(256, 'x')).substr(0, 4),
            std::string("\x82\xfe\x01\x00", 4));
  const std::string large = sent(WebSocketOpcode::Binary, std::string(65'536, 'x'));
  EXPECT_EQ(large.substr(0, 10), std::string("\x82\xff\0\0\0\0\0\1\0\0", 10));
  EXPECT_EQ(large.size(), 14U + 65'536U);
}

TEST(WebSocket, ReadsMessagesHoweverTheyAreCut) {
  const std::string bytes =
      concat(frame(0x82, "whole"), frame(0x02, "in "), frame(0x89, "ping"), frame(0x00, "three "),
             frame(0x80, "parts"), frame(0x82, std::string(300, 'y')), frame(0x88, ""));
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
    WebSocketDecoder decoder(1000);
    std::vector<std::pair<WebSocketOpcode, std::string>> seen;
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      decoder.feed(as_bytes(std::string_view(bytes).substr(at, size)));
      for (;;) {
        auto message = decoder.next();
        ASSERT_TRUE(message);
        if (!*message) break;
        seen.emplace_back((*message)->opcode, (*message)->data);
      }
    }
    const std::vector<std::pair<WebSocketOpcode, std::string>> expected = {
        {WebSocketOpcode::Binary, "whole"},
        {WebSocketOpcode::Ping, "ping"},
        {WebSocketOpcode::Binary, "in three parts"},
        {WebSocketOpcode::Binary, std::string(300, 'y')},
        {WebSocketOpcode::Close, ""}};
    EXPECT_EQ(seen, expected) << size;
  }
}

TEST(WebSocket, RefusesWhatNoServerMaySend) {
  EXPECT_EQ(failure_of("\x82\x85").code, Errc::Protocol);  // masked
  EXPECT_EQ(failure_of(frame(0xC2, "x")).code,
            Errc::Protocol);  // compressed, though nobody offered that
  EXPECT_EQ(failure_of(frame(0x83, "x")).code, Errc::Protocol);  // no such opcode
  EXPECT_EQ(failure_of(frame(0x09, "x")).code, Errc::Protocol);  // half a ping
  EXPECT_EQ(failure_of(frame(0x89, std::string(126, 'x'))).code, Errc::Protocol);
  EXPECT_EQ(failure_of(frame(0x80, "x")).code, Errc::Protocol);  // goes on with nothing
  EXPECT_EQ(failure_of(concat(frame(0x02, "x"), frame(0x82, "y"))).code, Errc::Protocol);
  EXPECT_EQ(failure_of(std::string("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10)).code,
            Errc::TooLarge);
  EXPECT_EQ(
      failure_of(concat(frame(0x02, std::string(600, 'x')), frame(0x80, std::string(600, 'x'))))
          .code,
      Errc::TooLarge);
}

}  // namespace
}  // namespace tulle::k8s
