// SPDX-License-Identifier: Apache-2.0
// The nat table of iptables or ip6tables as the kernel gives and takes it
// (linux/netfilter_ipv4/ip_tables.h): a row of entries in which jumps are byte offsets. Here it is
// chains of rules, so that ours are put in and those of others stay as they are.
#pragma once

#include <netinet/in.h>  // before the kernel's headers, which define the same names

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/redirect/plan.h"

namespace tulle::redirect {

// The two families differ in their structs only.
struct Ipv4 {
  using Entry = ipt_entry;
  using Info = ipt_getinfo;
  using GetEntries = ipt_get_entries;
  using Replace = ipt_replace;
  static constexpr int kFamily = AF_INET;
  static constexpr int kLevel = IPPROTO_IP;
};
struct Ipv6 {
  using Entry = ip6t_entry;
  using Info = ip6t_getinfo;
  using GetEntries = ip6t_get_entries;
  using Replace = ip6t_replace;
  static constexpr int kFamily = AF_INET6;
  static constexpr int kLevel = IPPROTO_IPV6;
};

struct XtRule {
  std::string entry;      // the kernel's bytes: head, matches, target
  std::string jump;       // the chain that it jumps to; "": none
  bool falls_on = false;  // no target: the next rule follows
  int old_index = -1;  // where it stood in the table that was read, for its counters; -1: it is new
};

struct XtChain {
  std::string name;           // of built-in chains as iptables prints it
  int hook = -1;              // NF_INET_…, -1: a chain of somebody's own
  std::vector<XtRule> rules;  // the last is the policy, or RETURN of an own chain
};

struct XtTable {
  std::uint32_t hooks = 0;  // which built-in chains there are: a bit each
  std::vector<XtChain> chains;
};

// As it goes into the kernel.
struct XtBlob {
  std::string entries;
  std::uint32_t count = 0;
  std::array<std::uint32_t, NF_INET_NUMHOOKS> hook_entry{};
  std::array<std::uint32_t, NF_INET_NUMHOOKS> underflow{};
  std::vector<int> old_index;  // of each entry
};

// Invalid: not a table, or one with something that is not understood.
template <typename Family>
Result<XtTable> parse_table(const typename Family::Info& info, Bytes entries);
template <typename Family>
XtBlob encode_table(const XtTable& table);

// Puts our chains in the place of any older ones, and the jumps to them where there are none.
template <typename Family>
void put_rules(XtTable& table, const Rules& rules);
// Takes out our chains and what jumps to them.
void take_rules(XtTable& table);
// Are our chains there, as these rules make them, and jumped to?
template <typename Family>
bool holds_rules(const XtTable& table, const Rules& rules);

}  // namespace tulle::redirect
