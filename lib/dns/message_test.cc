// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/message.h"

#include <gtest/gtest.h>

#include <string>

#include "lib/base/text.h"

namespace tulle::dns {
namespace {

using namespace std::string_literals;

net::IpAddr ip(std::string_view text) { return *net::IpAddr::parse(text); }

Record a(std::string name, std::string_view address, std::uint32_t ttl = 30) {
  const net::IpAddr parsed = ip(address);
  return {.name = std::move(name),
          .type = parsed.is_v4() ? Type::A : Type::Aaaa,
          .ttl = ttl,
          .address = parsed};
}

Message answer_to(std::string name, Type type) {
  Message message;
  message.id = 0x1234;
  message.response = true;
  message.question = {std::move(name), type};
  return message;
}

// Header of a response with one question for "a" (type A), and counts of answers and authorities.
std::string head(char answers, char authorities = 0) {
  return "\x12\x34\x81\x80\x00\x01\x00"s + answers + "\x00"s + authorities + "\x00\x00"s +
         "\x01"
         "a\x00\x00\x01\x00\x01"s;
}

TEST(CanonicalName, LowerCaseWithoutTheDot) {
  EXPECT_EQ(canonical_name("Web.NS.svc.cluster.local."), "web.ns.svc.cluster.local");
  EXPECT_EQ(canonical_name("_grpc._tcp.x"), "_grpc._tcp.x");
  EXPECT_EQ(canonical_name("."), "");
  EXPECT_EQ(canonical_name(std::string(63, 'a')), std::string(63, 'a'));
  for (const std::string& bad : {""s, ".."s, "a..b"s, ".a"s, "a b"s, "a\x80"s, "a\nb"s, "a\\b"s,
                                 std::string(64, 'a'), std::string(127, 'a') + "."}) {
    EXPECT_FALSE(canonical_name(bad)) << bad;
  }
  std::string longest;
  for (int i = 0; i < 127; ++i) longest += i == 0 ? "a" : ".a";
  EXPECT_EQ(longest.size(), 253U);
  EXPECT_TRUE(canonical_name(longest));
  EXPECT_FALSE(canonical_name(longest + ".a"));
}

TEST(Message, QueriesAreWhatRfc1035Shows) {
  Message query;
  query.id = 0xABCD;
  query.question = {"web.ns", Type::Srv};
  query.edns = true;
  EXPECT_EQ(hex(as_bytes(encode(query))),
            "abcd01000001000000000001"
            "03776562026e7300"
            "00210001"
            "00002904d0000000000000");
  const Result<Message> back = decode(as_bytes(encode(query)));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, query);
}

TEST(Message, CarriesEveryKindOfAnswer) {
  Message message = answer_to("web.ns", Type::A);
  message.answers = {a("web.ns", "10.0.0.1"), a("other", "fd00::1", 5)};
  message.answers.push_back({.name = "web.ns", .type = Type::Cname, .ttl = 7, .target = "other"});
  message.answers.push_back(
      {.name = "web.ns", .type = Type::Srv, .ttl = 8, .srv = {1, 2, 8086, "10-0-0-1.web.ns"}});
  message.negative_ttl = 17;
  message.edns = true;
  const Result<Message> back = decode(as_bytes(encode(message)));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, message);
}

TEST(Message, NamesAreComparedWithoutCase) {
  const std::string bytes = head(1) +
                            "\x01"
                            "A\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01"s;
  const Result<Message> message = decode(as_bytes(bytes));
  ASSERT_TRUE(message);
  ASSERT_EQ(message->answers.size(), 1U);
  EXPECT_EQ(message->answers[0], a("a", "127.0.0.1", 5));
}

TEST(Message, WhatDoesNotFitIsLeftOutAndSaid) {
  Message message = answer_to("web", Type::A);
  for (unsigned i = 0; i < 100; ++i)
    message.answers.push_back(a("web", concat("10.0.0.", std::to_string(i))));
  message.edns = true;
  const std::string bytes = encode(message, 512);
  EXPECT_LE(bytes.size(), 512U);
  const Result<Message> back = decode(as_bytes(bytes));
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->truncated);
  EXPECT_TRUE(back->answers.empty());
}

TEST(Message, TruncatedOnesMayBeCutAnywhere) {
  std::string bytes = head(1) + "\xc0"s;
  EXPECT_FALSE(decode(as_bytes(bytes)));
  bytes[2] = static_cast<char>(0x83);
  const Result<Message> message = decode(as_bytes(bytes));
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->truncated);
}

TEST(Message, OtherTypesAndClassesAreSkipped) {
  const std::string txt = "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x05\x00\x03\x02hi"s;
  const std::string chaos = "\xc0\x0c\x00\x01\x00\x03\x00\x00\x00\x05\x00\x02zz"s;
  const std::string address = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"s;
  const Result<Message> message = decode(as_bytes(head(3) + txt + chaos + address));
  ASSERT_TRUE(message);
  ASSERT_EQ(message->answers.size(), 1U);
  EXPECT_EQ(message->answers[0], a("a", "1.2.3.4", 5));
}

TEST(Message, TheSoaTellsHowLongToBelieveAnAbsence) {
  const std::string numbers = "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04"s;
  // RNAME holds a dot inside a label, which is foreign text but well formed.
  const std::string soa = "\x00\x00\x06\x00\x01\x00\x00\x00\x1e\x00\x1b\xc0\x0c\x03x.y\x00"s +
                          numbers + "\x00\x00\x00\x0a"s;
  const Result<Message> message = decode(as_bytes(head(0, 1) + soa));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->negative_ttl, 10U);
}

TEST(Message, ATtlWithTheTopBitIsZero) {
  const std::string address = "\xc0\x0c\x00\x01\x00\x01\x80\x00\x00\x00\x00\x04\x01\x02\x03\x04"s;
  const Result<Message> message = decode(as_bytes(head(1) + address));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->answers.at(0).ttl, 0U);
}

TEST(Message, PointersMustGoBackward) {
  const std::string rest = "\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"s;
  EXPECT_TRUE(decode(as_bytes(head(1) + "\xc0\x0c"s + rest)));
  EXPECT_FALSE(decode(as_bytes(head(1) + "\xc0\x13"s + rest)));       // to itself
  EXPECT_FALSE(decode(as_bytes(head(1) + "\xc0\x20"s + rest)));       // forward
  EXPECT_FALSE(decode(as_bytes(head(1) + "\x01x\xc0\x13"s + rest)));  // a loop through a label
  EXPECT_FALSE(decode(as_bytes(head(1) + "\x40"s + rest)));           // a reserved kind of label
  EXPECT_FALSE(decode(as_bytes(head(1) + "\x3fx"s)));                 // a label beyond the end
}

TEST(Message, MalformedOnesAreRefused) {
  EXPECT_FALSE(decode({}));
  EXPECT_FALSE(decode(as_bytes(std::string(11, '\0'))));
  EXPECT_FALSE(decode(as_bytes(std::string(12, '\0'))));  // no question
  const std::string good =
      head(1) + "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"s;
  EXPECT_TRUE(decode(as_bytes(good)));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode(as_bytes(good.substr(0, size)))) << size;
  }
  std::string short_address = good;
  short_address[good.size() - 5] = 3;
  EXPECT_FALSE(decode(as_bytes(short_address)));
  EXPECT_FALSE(decode(as_bytes(std::string(70'000, '\0'))));
}

TEST(Message, ManyAnswersAreBounded) {
  Message message = answer_to("a", Type::A);
  for (unsigned i = 0; i < 3000; ++i) message.answers.push_back(a("a", "10.0.0.1"));
  const Result<Message> back = decode(as_bytes(encode(message)));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->answers.size(), kMaxAnswers);
}

}  // namespace
}  // namespace tulle::dns
