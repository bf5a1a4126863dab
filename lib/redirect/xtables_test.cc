// SPDX-License-Identifier: Apache-2.0
#include "lib/redirect/xtables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace tulle::redirect {
namespace {

Rules some_rules() {
  Rules rules;
  rules.inbound_port = 4143;
  rules.outbound_port = 4140;
  rules.proxy_uid = 2102;
  rules.inbound_ignored = {{4190, 4191}, {25, 25}};
  rules.ignored_subnets = {*net::Cidr::parse("10.0.0.0/8"), *net::Cidr::parse("fd00::/8")};
  return rules;
}

// A row of entries as the kernel builds an empty nat table: four policies and the end mark.
template <typename Family>
struct EmptyTable {
  EmptyTable() {
    info.valid_hooks = 0b11011;
    for (const int hook : {0, 1, 3, 4}) {
      info.hook_entry[hook] = info.underflow[hook] = static_cast<unsigned>(bytes.size());
      add(XT_STANDARD_TARGET, sizeof(xt_standard_target), -NF_ACCEPT - 1);
    }
    add(XT_ERROR_TARGET, sizeof(xt_error_target), 0);
    auto* const name = bytes.data() + bytes.size() - ((sizeof(xt_error_target) + 7) & ~7U) +
                       offsetof(xt_error_target, errorname);
    std::memcpy(name, "ERROR", 6);
    info.num_entries = 5;
    info.size = static_cast<unsigned>(bytes.size());
  }
  void add(std::string_view target, std::size_t size, int verdict) {
    size = (size + 7) & ~std::size_t{7};
    typename Family::Entry head;
    std::memset(&head, 0, sizeof head);  // with its padding
    head.target_offset = sizeof head;
    head.next_offset = static_cast<std::uint16_t>(sizeof head + size);
    xt_standard_target standard{};
    standard.target.u.user.target_size = static_cast<std::uint16_t>(size);
    target.copy(standard.target.u.user.name, 29);
    standard.verdict = verdict;
    bytes.append(reinterpret_cast<const char*>(&head), sizeof head);
    std::string rest(reinterpret_cast<const char*>(&standard), sizeof standard);
    rest.resize(size);
    bytes += rest;
  }
  Result<XtTable> parse() const { return parse_table<Family>(info, as_bytes(bytes)); }
  typename Family::Info info{};
  std::string bytes;
};

// What was encoded, given back as the kernel would give it.
template <typename Family>
Result<XtTable> reread(const XtBlob& blob) {
  typename Family::Info info{};
  info.valid_hooks = 0b11011;
  std::copy(blob.hook_entry.begin(), blob.hook_entry.end(), info.hook_entry);
  return parse_table<Family>(info, as_bytes(blob.entries));
}

template <typename Family>
struct XTables : ::testing::Test {};
using Families = ::testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(XTables, Families);

TYPED_TEST(XTables, AnEmptyTableStaysAsItIs) {
  const EmptyTable<TypeParam> empty;
  const auto table = empty.parse();
  ASSERT_TRUE(table);
  ASSERT_EQ(table->chains.size(), 4U);
  EXPECT_EQ(table->chains[2].name, "OUTPUT");
  const XtBlob blob = encode_table<TypeParam>(*table);
  EXPECT_EQ(blob.entries, empty.bytes);
  EXPECT_EQ(blob.count, 5U);
  for (const int hook : {0, 1, 3, 4}) {
    EXPECT_EQ(blob.hook_entry[static_cast<std::size_t>(hook)], empty.info.hook_entry[hook]);
    EXPECT_EQ(blob.underflow[static_cast<std::size_t>(hook)], empty.info.underflow[hook]);
  }
}

TYPED_TEST(XTables, OurRulesComeAndGo) {
  const EmptyTable<TypeParam> empty;
  XtTable table = *empty.parse();
  EXPECT_FALSE(holds_rules<TypeParam>(table, some_rules()));
  put_rules<TypeParam>(table, some_rules());
  XtTable read = *reread<TypeParam>(encode_table<TypeParam>(table));
  EXPECT_TRUE(holds_rules<TypeParam>(read, some_rules()));
  ASSERT_EQ(read.chains.size(), 6U);
  EXPECT_EQ(read.chains[0].rules.front().jump, kInboundChain);
  // Subnets of the other family are left out.
  EXPECT_EQ(read.chains[4].rules.size(), 5U);
  // Another time, nothing changes; other rules take the place of these.
  const std::string once = encode_table<TypeParam>(read).entries;
  put_rules<TypeParam>(read, some_rules());
  EXPECT_EQ(encode_table<TypeParam>(read).entries, once);
  Rules others = some_rules();
  others.inbound_port = 5143;
  put_rules<TypeParam>(read, others);
  EXPECT_FALSE(holds_rules<TypeParam>(read, some_rules()));
  EXPECT_TRUE(holds_rules<TypeParam>(read, others));
  take_rules(read);
  EXPECT_EQ(encode_table<TypeParam>(read).entries, empty.bytes);
}

TYPED_TEST(XTables, JumpsOfOthersAreKeptWhereverTheirChainsCome) {
  const EmptyTable<TypeParam> empty;
  XtTable table = *empty.parse();
  // Chains of somebody else, one jumping to the other, behind a rule without a target.
  put_rules<TypeParam>(table, some_rules());
  std::string* const output = &table.chains[3].name;
  ASSERT_EQ(*output, "POSTROUTING");
  XtChain theirs = table.chains[5];
  theirs.name = "THEIRS";
  XtRule falling = theirs.rules.back();
  falling.falls_on = true;
  XtRule jump = table.chains[0].rules.front();
  theirs.rules = {falling, table.chains[4].rules.back()};
  XtChain first = theirs;
  first.name = "FIRST";
  jump.jump = "THEIRS";
  first.rules.insert(first.rules.begin(), jump);
  take_rules(table);
  table.chains.push_back(first);
  table.chains.push_back(theirs);
  XtTable read = *reread<TypeParam>(encode_table<TypeParam>(table));
  put_rules<TypeParam>(read, some_rules());
  read = *reread<TypeParam>(encode_table<TypeParam>(read));
  EXPECT_EQ(read.chains[4].name, "FIRST");
  EXPECT_EQ(read.chains[4].rules[0].jump, "THEIRS");
  EXPECT_TRUE(read.chains[4].rules[1].falls_on);
  EXPECT_EQ(read.chains[5].rules.size(), 2U);
  EXPECT_TRUE(holds_rules<TypeParam>(read, some_rules()));
}

TYPED_TEST(XTables, WhatIsNoTableIsRefused) {
  EmptyTable<TypeParam> empty;
  const std::string whole = empty.bytes;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    empty.bytes = whole.substr(0, size);
    EXPECT_FALSE(empty.parse()) << size;
  }
  empty.bytes = whole + "more";
  EXPECT_FALSE(empty.parse());
  // Each byte spoilt in turn: never read beyond the end (the sanitizers look on).
  for (std::size_t at = 0; at < whole.size(); ++at) {
    empty.bytes = whole;
    empty.bytes[at] = static_cast<char>(0xFF);
    (void)empty.parse();
  }
}

}  // namespace
}  // namespace tulle::redirect
