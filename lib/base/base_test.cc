// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "lib/base/bytes.h"
#include "lib/base/intrusive_list.h"
#include "lib/base/nearest.h"
#include "lib/base/result.h"
#include "lib/base/slab.h"
#include "lib/base/text.h"
#include "lib/base/time.h"

namespace tulle {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error{Errc::Invalid, "halve"};
  return n / 2;
}

TEST(Result, CarriesAValueOrAnError) {
  EXPECT_EQ(*half(4), 2);
  EXPECT_EQ(half(3).error().code, Errc::Invalid);
  EXPECT_EQ(half(8).and_then(half).value_or(0), 2);
  EXPECT_EQ(to_string(half(3).error().code), "Invalid");
}

TEST(Nearest, NamesWhatWasMeantAndNothingFarAway) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  const std::string_view known[] = {"proxy.resources.cpu", "proxy.resources.memory", "proxy.uid",
                                    "proxy.gid"};
  EXPECT_EQ(nearest("proxy.ressources.cpu", known), "proxy.resources.cpu");
  EXPECT_EQ(nearest("proxy.id", known), "proxy.uid");  // the first of two
  EXPECT_EQ(nearest("something.else", known), "");
  EXPECT_EQ(nearest("ab", known), "");
  EXPECT_EQ(nearest(std::string(201, 'p'), known), "");
}

TEST(ByteQueue, OwnsMemoryOnlyWhileItHoldsBytes) {
  ByteQueue queue;
  for (int round = 0; round < 100; ++round) {
    queue.append("hello ");
    queue.append("world");
    queue.consume(6);
    EXPECT_EQ(as_text(queue.data()), "world");
    queue.consume(5);
    EXPECT_TRUE(queue.empty());
  }
  const std::uint64_t before = slab_allocations();
  for (int round = 0; round < 1000; ++round) {
    queue.append("again");
    queue.consume(5);
  }
  EXPECT_EQ(slab_allocations(), before);
}

TEST(ByteQueue, KeepsOrderAcrossGrowth) {
  ByteQueue queue;
  std::string model;
  Random random{7};
  for (int i = 0; i < 20'000; ++i) {
    const std::string piece(random.below(300), static_cast<char>('a' + i % 26));
    queue.append(piece);
    model += piece;
    const auto drop = random.below(static_cast<std::uint32_t>(queue.size()) + 1);
    queue.consume(drop);
    model.erase(0, drop);
    ASSERT_EQ(as_text(queue.data()), model);
    if (model.size() > 4000) {
      queue.consume(model.size());
      model.clear();
    }
  }
}

TEST(Slab, RoundTripsEverySize) {
  for (std::size_t size = 1; size <= kSlabMaxBlock + 100; size += 37) {
    const std::size_t capacity = slab_capacity(size);
    ASSERT_GE(capacity, size);
    auto* const block = static_cast<std::uint8_t*>(slab_alloc(size));
    std::memset(block, 1, capacity);
    slab_free(block, size);
  }
  slab_trim();
}

struct Node : ListHook<> {
  explicit Node(int n) : value(n) {}
  int value;
};

TEST(IntrusiveList, ElementsLeaveWhenDestroyed) {
  IntrusiveList<Node> list;
  Node one{1};
  {
    Node two{2};
    list.push_back(one);
    list.push_back(two);
    EXPECT_EQ(list.back().value, 2);
  }
  EXPECT_EQ(list.back().value, 1);
  EXPECT_EQ(list.pop_front(), &one);
  EXPECT_TRUE(list.empty());
}

TEST(Text, ParsesAndFormats) {
  EXPECT_EQ(parse_number<std::uint16_t>("65535"), 65535);
  EXPECT_FALSE(parse_number<std::uint16_t>("65536"));
  EXPECT_EQ(parse_real("0.25"), 0.25);
  EXPECT_EQ(parse_real("-3e2"), -300);
  for (const char* bad : {"", " 1", "1 ", "+1", "1,5", "0x10", "inf", "nan", "1e", "1e999", "."})
    EXPECT_FALSE(parse_real(bad)) << bad;
  EXPECT_FALSE(parse_real(std::string(64, '1')));
  EXPECT_FALSE(parse_number<int>(" 1"));
  EXPECT_TRUE(iequals("Content-Length", "content-length"));
  EXPECT_EQ(split("a,,b", ',').size(), 3U);
  EXPECT_EQ(trim(" x\n"), "x");
  EXPECT_EQ(base64_encode(as_bytes("any carnal pleas")), "YW55IGNhcm5hbCBwbGVhcw==");
  EXPECT_EQ(base64_decode("YW55IGNhcm5hbCBwbGVhcw=="), "any carnal pleas");
  EXPECT_EQ(hex(as_bytes("\x01\xff")), "01ff");
}

TEST(Text, IgnoresTheCaseOfLettersOnly) {
  for (std::size_t size = 1; size <= 40; ++size) {
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
      for (int a = 0; a < 256; ++a) {
        for (const int b : {a, a ^ 0x20, a ^ 0x80, a + 1}) {
          std::string left(size, 'x');
          std::string right(size, 'X');
          left[at] = static_cast<char>(a);
          right[at] = static_cast<char>(b);
          EXPECT_EQ(iequals(left, right), ascii_lower(left[at]) == ascii_lower(right[at]))
              << size << ' ' << at << ' ' << a << ' ' << b;
        }
      }
    }
  }
  EXPECT_TRUE(iequals("", ""));
  EXPECT_FALSE(iequals("ab", "abc"));
}

TEST(Time, FormatsRfc3339) {
  EXPECT_EQ(format_rfc3339(WallTime{1'700'000'000s}), "2023-11-14T22:13:20Z");
}

}  // namespace
}  // namespace tulle
