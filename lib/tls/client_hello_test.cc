// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/client_hello.h"

#include <gtest/gtest.h>

#include "lib/tls/test_support.h"

namespace tulle::tls::test {
namespace {

using State = ClientHello::State;

// What our own client sends first.
std::string hello_to(const std::string& name) {
  auto client = Engine::connect(ca().anchors_only(), {name, "x"});
  EXPECT_EQ((*client)->handshake().error().code, Errc::WouldBlock);
  return std::string(as_text((*client)->outgoing().data()));
}

ClientHello parse(std::string_view text) { return parse_client_hello(as_bytes(text)); }

// The same handshake message over records of these sizes; the rest in a last one.
std::string in_records(std::string_view hello, const std::vector<std::size_t>& sizes) {
  std::string out;
  std::string_view left = hello.substr(5);
  const auto record = [&](std::size_t size) {
    out += hello.substr(0, 3);
    out += static_cast<char>(size >> 8);
    out += static_cast<char>(size);
    out += left.substr(0, size);
    left.remove_prefix(size);
  };
  for (const std::size_t size : sizes) record(size);
  if (!left.empty()) record(left.size());
  return out;
}

TEST(ClientHello, IsFoundWhereverReadsAndRecordsEnd) {
  const std::string hello = hello_to("web.ns.example");
  ASSERT_GT(hello.size(), 1200U);  // the hybrid key share
  for (const std::string& bytes :
       {hello, in_records(hello, {100}), in_records(hello, {1, 1, 1, 1, 1, 1}),
        in_records(hello, {4, 500, 3}),
        in_records(hello, std::vector<std::size_t>(hello.size() - 5, 1))}) {
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      ASSERT_EQ(parse(std::string_view(bytes).substr(0, n)).state, State::NeedMore) << n;
    }
    for (const char* after : {"", "x", "\x16\x03\x03\x01\x05hello"}) {
      const ClientHello found = parse(bytes + after);
      ASSERT_EQ(found.state, State::Found);
      EXPECT_EQ(found.sni, "web.ns.example");
    }
  }
}

TEST(ClientHello, NeedsNoServerName) {
  const ClientHello found = parse(hello_to(""));
  EXPECT_EQ(found.state, State::Found);
  EXPECT_EQ(found.sni, "");
  // An old client without any extension.
  std::string old("\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03", 11);
  old += std::string(32, 'r');
  old += std::string("\x00\x00\x02\x00\x2f\x01\x00", 7);
  EXPECT_EQ(parse(old).state, State::Found);
}

TEST(ClientHello, OtherProtocolsAreKnownByTheirFirstBytes) {
  using namespace std::string_view_literals;
  for (const std::string_view other : {
           "GET / HTTP/1.1\r\n"sv,
           "PRI * HTTP/2.0"sv,
           "SSH-2.0"sv,
           "\x15\x03\x01"sv,
           "\x16\x02"sv,
           "\x16\x03\x02"sv,
           "\x16\x03\x01\x00\x00"sv,                          // an empty record
           "\x16\x03\x01\x40\x01"sv,                          // a record too large
           "\x16\x03\x01\x00\x10\x02"sv,                      // a ServerHello
           "\x16\x03\x01\x00\x10\x01\x00\x20\x01"sv,          // more than 8192
           "\x16\x03\x01\x00\x10\x01\x00\x00\x20\x03\x01"sv,  // legacy_version 0x0301
           "\x16\x03\x01\x00\x10\x01\x00\x00\x20\x02"sv,
       }) {
    EXPECT_EQ(parse(other).state, State::NotTls) << other;
    for (std::size_t n = 0; n < other.size(); ++n) {
      EXPECT_NE(parse(other.substr(0, n)).state, State::Found);
    }
  }
  EXPECT_EQ(parse("").state, State::NeedMore);
}

TEST(ClientHello, LiesAboutLengthsAreNotBelieved) {
  const std::string hello = hello_to("web.ns.example");
  for (std::size_t i = 9; i < hello.size(); ++i) {
    for (const unsigned change : {0x01U, 0x80U, 0xffU}) {
      std::string damaged = hello;
      damaged[i] = static_cast<char>(static_cast<unsigned char>(damaged[i]) ^ change);
      EXPECT_NE(parse(damaged).state, State::NeedMore) << i;  // asan watches the reads
    }
  }
}

}  // namespace
}  // namespace tulle::tls::test
