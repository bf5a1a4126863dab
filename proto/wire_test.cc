// SPDX-License-Identifier: Apache-2.0
#include "proto/wire.h"

#include <gtest/gtest.h>

#include <string>

#include "lib/base/text.h"

namespace tulle::pb {
namespace {

TEST(Wire, WritesAndReadsEachType) {
  std::string bytes;
  Writer out(bytes);
  out.number(1, 0);
  out.number(2, UINT64_MAX);
  out.fixed32(3, 0xDEADBEEF);
  out.fixed64(4, 0x0123456789ABCDEFULL);
  out.bytes(536'870'911, "text");
  EXPECT_EQ(hex(as_bytes(bytes)),
            "0800"
            "10ffffffffffffffffff01"
            "1defbeadde"
            "21efcdab8967452301"
            "faffffff0f0474657874");
  Reader in(as_bytes(bytes));
  std::uint32_t field = 0;
  std::uint32_t type = 0;
  ASSERT_TRUE(in.next(field, type));
  EXPECT_EQ(in.varint(), 0U);
  ASSERT_TRUE(in.next(field, type));
  EXPECT_EQ(in.varint(), UINT64_MAX);
  ASSERT_TRUE(in.next(field, type));
  EXPECT_EQ(type, kFixed32);
  EXPECT_EQ(in.fixed32(), 0xDEADBEEF);
  ASSERT_TRUE(in.next(field, type));
  EXPECT_EQ(in.fixed64(), 0x0123456789ABCDEFULL);
  ASSERT_TRUE(in.next(field, type));
  EXPECT_EQ(field, 536'870'911U);
  EXPECT_EQ(in.text(), "text");
  EXPECT_FALSE(in.next(field, type));
  EXPECT_TRUE(in.ok());
}

TEST(Wire, PutsLengthsBeforeMessages) {
  for (const std::size_t size : {0U, 1U, 127U, 128U, 16'383U, 16'384U, 3'000'000U}) {
    std::string bytes = "before";
    Writer out(bytes);
    const std::string body(size, 'x');
    out.message(1, [&](Writer&) { bytes += body; });
    Reader in(as_bytes(bytes).subspan(6));
    std::uint32_t field = 0;
    std::uint32_t type = 0;
    ASSERT_TRUE(in.next(field, type));
    EXPECT_EQ(as_text(in.bytes()), body) << size;
    EXPECT_FALSE(in.next(field, type));
  }
}

bool reads(std::string_view bytes) {
  Reader in(as_bytes(bytes));
  std::uint32_t field = 0;
  std::uint32_t type = 0;
  while (in.next(field, type)) in.skip(field, type);
  return in.ok();
}

TEST(Wire, RefusesWhatIsMalformed) {
  EXPECT_TRUE(reads(""));
  EXPECT_FALSE(reads(std::string_view("\x00\x00", 2)));  // field number 0
  EXPECT_FALSE(
      reads("\x88\x80\x80\x80\x80\x00"
            "\x01"));                                                       // a key of six bytes
  EXPECT_FALSE(reads("\x08"));                                              // no value
  EXPECT_FALSE(reads("\x08\x80\x80"));                                      // a cut number
  EXPECT_FALSE(reads("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"));  // eleven bytes
  EXPECT_FALSE(reads("\x0a\x05text"));                                  // longer than what is left
  EXPECT_FALSE(reads("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));  // 2^64 - 1 bytes
  EXPECT_FALSE(reads("\x0d\x01\x02\x03"));
  EXPECT_FALSE(reads("\x09\x01\x02\x03\x04\x05\x06\x07"));
  EXPECT_FALSE(reads("\x0e"));  // wire types 6 and 7 do not exist
  EXPECT_FALSE(reads("\x0f"));
}

TEST(Wire, SkipsGroupsUpToADepth) {
  EXPECT_TRUE(reads("\x0b\x10\x01\x0c"));
  EXPECT_TRUE(reads("\x0b\x13\x14\x0c"));
  EXPECT_FALSE(reads("\x0b\x14"));  // ends a group that is not open
  EXPECT_FALSE(reads("\x0c"));
  EXPECT_FALSE(reads("\x0b\x10\x01"));
  EXPECT_FALSE(reads(std::string(10'000, '\x0b')));
  EXPECT_FALSE(reads(std::string(200, '\x0b') + std::string(200, '\x0c')));
  EXPECT_TRUE(reads(std::string(90, '\x0b') + std::string(90, '\x0c')));
}

TEST(Wire, KnowsUtf8) {
  for (const std::string_view good :
       {"", "ascii", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf", "gr\xc3\xbc\xc3\x9f"}) {
    EXPECT_TRUE(valid_utf8(good)) << hex(as_bytes(good));
  }
  EXPECT_TRUE(valid_utf8(std::string_view("a\0b", 3)));
  for (const std::string_view bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
        "\xf0\x90\x80\x41"}) {
    EXPECT_FALSE(valid_utf8(bad)) << hex(as_bytes(bad));
  }
}

TEST(Box, HasValueSemantics) {
  Box<std::string> a;
  EXPECT_FALSE(a);
  EXPECT_EQ(a, Box<std::string>());
  a.make() = "x";
  Box<std::string> b = a;
  EXPECT_EQ(a, b);
  *b += "y";
  EXPECT_EQ(*a, "x");
  EXPECT_NE(a, b);
  a = std::move(b);
  EXPECT_EQ(*a, "xy");
  const Box<std::string>& alias = a;
  a = alias;
  EXPECT_EQ(*a, "xy");
  a.reset();
  EXPECT_EQ(a.get(), nullptr);
}

}  // namespace
}  // namespace tulle::pb
