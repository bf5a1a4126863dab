// SPDX-License-Identifier: Apache-2.0
#include "lib/redirect/xtables.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_tcpudp.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <type_traits>

#include "lib/base/text.h"

namespace tulle::redirect {
namespace {

constexpr int kReturn = -NF_REPEAT - 1;  // XT_RETURN
constexpr std::array<std::string_view, NF_INET_NUMHOOKS> kBuiltIn = {
    "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};

std::size_t aligned(std::size_t size) { return (size + 7) & ~std::size_t{7}; }  // XT_ALIGN

template <typename T>
T load(std::string_view bytes, std::size_t at = 0) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <typename T>
void store(std::string& bytes, std::size_t at, const T& value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

// With its padding, which goes into the kernel and comes back.
template <typename T>
T zeroed() {
  T value;
  std::memset(&value, 0, sizeof value);
  return value;
}

// Matches and targets alike: size, name, revision, then data of their own (xt_entry_match,
// xt_entry_target).
template <typename Data>
void append_block(std::string& bytes, std::string_view name, std::uint8_t revision,
                  const Data& data) {
  static_assert(sizeof(xt_entry_match) == sizeof(xt_entry_target));
  auto head = zeroed<xt_entry_match>();
  head.u.user.match_size = static_cast<std::uint16_t>(aligned(sizeof head + sizeof data));
  name.copy(head.u.user.name, sizeof head.u.user.name - 1);
  head.u.user.revision = revision;
  const std::size_t at = bytes.size();
  bytes.append(head.u.user.match_size, '\0');
  store(bytes, at, head);
  store(bytes, at + sizeof head, data);
}

// One rule: matches, then its end, a target.
template <typename Family>
class RuleWriter {
 public:
  RuleWriter() { std::memset(&head_, 0, sizeof head_); }
  void match_tcp() {
    if constexpr (std::is_same_v<Family, Ipv4>) {
      head_.ip.proto = IPPROTO_TCP;
    } else {
      head_.ipv6.proto = IPPROTO_TCP;
      head_.ipv6.flags |= IP6T_F_PROTO;
    }
  }
  void match_out_interface(std::string_view name) {
    auto& at = ip();
    name.copy(at.outiface, sizeof at.outiface - 1);
    std::memset(at.outiface_mask, 0xFF, name.size() + 1);  // with its end: the whole name
  }
  void match_source(const net::Cidr& subnet) {
    auto& at = ip();
    std::array<std::uint8_t, 16> mask{};
    std::array<std::uint8_t, 16> value{};
    for (unsigned bit = 0; bit < subnet.prefix; ++bit)
      mask[bit / 8] |= static_cast<std::uint8_t>(0x80 >> bit % 8);
    const auto octets = subnet.ip.octets();
    for (std::size_t i = 0; i < octets.size(); ++i) value[i] = octets[i] & mask[i];
    std::memcpy(&at.src, value.data(), sizeof at.src);
    std::memcpy(&at.smsk, mask.data(), sizeof at.smsk);
  }
  template <typename Data>
  void match(std::string_view name, std::uint8_t revision, const Data& data) {
    append_block(matches_, name, revision, data);
  }
  void comment(std::string_view text) {
    auto info = zeroed<xt_comment_info>();
    text.copy(info.comment, sizeof info.comment - 1);
    match("comment", 0, info);
  }
  template <typename Data>
  std::string end(std::string_view target, const Data& data) {
    std::string target_bytes;
    append_block(target_bytes, target, 0, data);
    head_.target_offset = static_cast<std::uint16_t>(sizeof head_ + matches_.size());
    head_.next_offset = static_cast<std::uint16_t>(head_.target_offset + target_bytes.size());
    std::string bytes(sizeof head_, '\0');
    store(bytes, 0, head_);
    return bytes + matches_ + target_bytes;
  }
  std::string end(int verdict) { return end(XT_STANDARD_TARGET, verdict); }

 private:
  auto& ip() {
    if constexpr (std::is_same_v<Family, Ipv4>) {
      return head_.ip;
    } else {
      return head_.ipv6;
    }
  }
  std::string matches_;
  typename Family::Entry head_;  // the last member: it has room for more behind it
};

template <typename Family>
std::string redirect_to(RuleWriter<Family>& rule, std::uint32_t port) {
  const std::uint16_t wire = htons(static_cast<std::uint16_t>(port));
  if constexpr (std::is_same_v<Family, Ipv4>) {
    auto range = zeroed<nf_nat_ipv4_multi_range_compat>();
    range.rangesize = 1;
    range.range[0].flags = NF_NAT_RANGE_PROTO_SPECIFIED;
    range.range[0].min.tcp.port = range.range[0].max.tcp.port = wire;
    return rule.end("REDIRECT", range);
  } else {
    auto range = zeroed<nf_nat_range>();
    range.flags = NF_NAT_RANGE_PROTO_SPECIFIED;
    range.min_proto.tcp.port = range.max_proto.tcp.port = wire;
    return rule.end("REDIRECT", range);
  }
}

template <typename Family>
std::string rule_for(const Step& step) {
  RuleWriter<Family> rule;
  switch (step.kind) {
    case Step::Kind::ReturnUid:
    case Step::Kind::ReturnGid: {
      auto owner = zeroed<xt_owner_match_info>();
      const bool uid = step.kind == Step::Kind::ReturnUid;
      owner.match = uid ? XT_OWNER_UID : XT_OWNER_GID;
      (uid ? owner.uid_min : owner.gid_min) = (uid ? owner.uid_max : owner.gid_max) = step.number;
      rule.match("owner", 1, owner);
      break;
    }
    case Step::Kind::ReturnLoopback: rule.match_out_interface("lo"); break;
    case Step::Kind::ReturnPorts:
    case Step::Kind::RedirectPort: {
      auto tcp = zeroed<xt_tcp>();
      tcp.spts[1] = 0xFFFF;
      tcp.dpts[0] = step.ports.first;
      tcp.dpts[1] = step.ports.second;
      rule.match_tcp();
      rule.match("tcp", 0, tcp);
      break;
    }
    case Step::Kind::ReturnSubnet: rule.match_source(step.subnet); break;
    case Step::Kind::Redirect: rule.match_tcp(); break;
  }
  rule.comment(step.comment);
  const bool redirects = step.kind == Step::Kind::Redirect || step.kind == Step::Kind::RedirectPort;
  return redirects ? redirect_to(rule, step.number) : rule.end(kReturn);
}

template <typename Family>
XtChain chain_for(std::string_view name, const std::vector<Step>& steps) {
  XtChain chain;
  chain.name = name;
  for (const Step& step : steps) {
    if (concerns(step, std::is_same_v<Family, Ipv6>))
      chain.rules.push_back({rule_for<Family>(step), "", false, -1});
  }
  RuleWriter<Family> tail;
  chain.rules.push_back({tail.end(kReturn), "", false, -1});
  return chain;
}

XtChain* find_chain(XtTable& table, std::string_view name) {
  const auto at = std::find_if(table.chains.begin(), table.chains.end(),
                               [&](const XtChain& chain) { return chain.name == name; });
  return at == table.chains.end() ? nullptr : &*at;
}

bool jumps_to(const XtChain& chain, std::string_view to) {
  return std::any_of(chain.rules.begin(), chain.rules.end(),
                     [&](const XtRule& rule) { return rule.jump == to; });
}

template <typename Family>
void hook(XtTable& table, int number, std::string_view to, std::string_view comment) {
  XtChain* const chain = find_chain(table, kBuiltIn[static_cast<std::size_t>(number)]);
  if (chain == nullptr || jumps_to(*chain, to)) return;
  RuleWriter<Family> rule;
  rule.comment(comment);
  XtRule jump{rule.end(0), std::string(to), false, -1};
  chain->rules.insert(std::prev(chain->rules.end()), std::move(jump));
}

template <typename Family>
void put_chain(XtTable& table, XtChain chain) {
  if (XtChain* const old = find_chain(table, chain.name)) {
    old->rules = std::move(chain.rules);
  } else {
    table.chains.push_back(std::move(chain));
  }
}

// What the kernel writes into entries of its own accord is not compared.
template <typename Family>
std::string comparable(const XtRule& rule) {
  std::string bytes = rule.entry;
  auto head = load<typename Family::Entry>(bytes);
  head.comefrom = 0;
  head.nfcache = 0;
  head.counters = {};
  store(bytes, 0, head);
  return bytes;
}

// Of an entry that has been checked.
std::string_view target_name(std::string_view entry, std::size_t target_offset) {
  const std::string_view name = entry.substr(target_offset + offsetof(xt_entry_target, u.user.name),
                                             sizeof(xt_entry_target{}.u.user.name));
  return name.substr(0, name.find('\0'));
}

}  // namespace

template <typename Family>
Result<XtTable> parse_table(const typename Family::Info& info, Bytes entries) {
  using Entry = typename Family::Entry;
  const Error bad{Errc::Invalid, "read the nat table"};
  XtTable table;
  table.hooks = info.valid_hooks;
  std::map<std::uint32_t, std::string>
      begins;  // chains of somebody's own, by the offset of their first rule
  struct Jump {
    std::size_t chain, rule;
    std::uint32_t to;
  };
  std::vector<Jump> jumps;
  const std::string_view all = as_text(entries);
  int index = 0;
  bool ended = false;
  for (std::size_t at = 0; at < all.size(); ++index) {
    if (ended || all.size() - at < sizeof(Entry)) return bad;
    const auto head = load<Entry>(all, at);
    if (head.next_offset > all.size() - at || head.target_offset < sizeof(Entry) ||
        head.target_offset + sizeof(xt_entry_target) > head.next_offset) {
      return bad;
    }
    const std::string_view entry = all.substr(at, head.next_offset);
    for (int number = 0; number < NF_INET_NUMHOOKS; ++number) {
      if ((info.valid_hooks >> number & 1) == 0 || info.hook_entry[number] != at) continue;
      table.chains.push_back({std::string(kBuiltIn[static_cast<std::size_t>(number)]), number, {}});
    }
    const auto offset = static_cast<std::uint32_t>(at);
    at += head.next_offset;
    const std::string_view target = target_name(entry, head.target_offset);
    if (target == XT_ERROR_TARGET) {
      if (head.target_offset + sizeof(xt_error_target) > entry.size()) return bad;
      const std::string_view raw = entry.substr(
          head.target_offset + offsetof(xt_error_target, errorname), XT_FUNCTION_MAXNAMELEN);
      const std::string name(raw.substr(0, raw.find('\0')));
      // The last one ends the table.
      ended = at == all.size();
      if (ended) break;
      table.chains.push_back({name, -1, {}});
      begins[static_cast<std::uint32_t>(at)] = name;
      continue;
    }
    if (table.chains.empty()) return bad;
    XtRule rule{std::string(entry), "", false, index};
    if (target.empty()) {
      if (head.target_offset + sizeof(xt_standard_target) > entry.size()) return bad;
      const auto verdict =
          load<int>(entry, head.target_offset + offsetof(xt_standard_target, verdict));
      if (verdict == static_cast<int>(offset) + head.next_offset) {
        rule.falls_on = true;
      } else if (verdict >= 0) {
        jumps.push_back({table.chains.size() - 1, table.chains.back().rules.size(),
                         static_cast<std::uint32_t>(verdict)});
      }
    }
    table.chains.back().rules.push_back(std::move(rule));
  }
  if (!ended) return bad;
  for (const Jump& jump : jumps) {
    const auto to = begins.find(jump.to);
    if (to == begins.end()) return bad;
    table.chains[jump.chain].rules[jump.rule].jump = to->second;
  }
  for (const XtChain& chain : table.chains) {
    if (chain.rules.empty()) return bad;
  }
  return table;
}

template <typename Family>
XtBlob encode_table(const XtTable& table) {
  XtBlob blob;
  const auto add = [&](const std::string& entry, int old_index) {
    blob.entries += entry;
    blob.old_index.push_back(old_index);
    ++blob.count;
  };
  const auto add_name = [&](std::string_view name) {
    std::array<char, XT_FUNCTION_MAXNAMELEN> bytes{};
    name.copy(bytes.data(), bytes.size() - 1);
    RuleWriter<Family> mark;
    add(mark.end(XT_ERROR_TARGET, bytes), -1);
  };
  struct Jump {
    std::size_t at;  // of its verdict
    const std::string* to;
  };
  std::vector<Jump> jumps;
  std::map<std::string_view, std::size_t> begins;
  for (const XtChain& chain : table.chains) {
    if (chain.hook < 0) add_name(chain.name);
    const std::size_t first = blob.entries.size();
    begins[chain.name] = first;
    for (const XtRule& rule : chain.rules) {
      const std::size_t at = blob.entries.size();
      if (chain.hook >= 0) {
        blob.hook_entry[static_cast<std::size_t>(chain.hook)] = static_cast<std::uint32_t>(first);
        blob.underflow[static_cast<std::size_t>(chain.hook)] =
            static_cast<std::uint32_t>(at);  // the last stays
      }
      const auto head = load<typename Family::Entry>(rule.entry);
      add(rule.entry, rule.old_index);
      const std::size_t verdict = at + head.target_offset + offsetof(xt_standard_target, verdict);
      if (rule.falls_on) store(blob.entries, verdict, static_cast<int>(blob.entries.size()));
      if (!rule.jump.empty()) jumps.push_back({verdict, &rule.jump});
    }
  }
  add_name(XT_ERROR_TARGET);
  for (const Jump& jump : jumps)
    store(blob.entries, jump.at, static_cast<int>(begins.at(*jump.to)));
  return blob;
}

template <typename Family>
void put_rules(XtTable& table, const Rules& rules) {
  put_chain<Family>(table, chain_for<Family>(kInboundChain, inbound_steps(rules)));
  put_chain<Family>(table, chain_for<Family>(kOutboundChain, outbound_steps(rules)));
  hook<Family>(table, NF_INET_PRE_ROUTING, kInboundChain, kInboundHookComment);
  hook<Family>(table, NF_INET_LOCAL_OUT, kOutboundChain, kOutboundHookComment);
}

void take_rules(XtTable& table) {
  const auto ours = [](std::string_view name) {
    return name == kInboundChain || name == kOutboundChain;
  };
  std::erase_if(table.chains, [&](const XtChain& chain) { return ours(chain.name); });
  for (XtChain& chain : table.chains) {
    std::erase_if(chain.rules, [&](const XtRule& rule) { return ours(rule.jump); });
  }
}

template <typename Family>
bool holds_rules(const XtTable& table, const Rules& rules) {
  XtTable wanted = table;
  put_rules<Family>(wanted, rules);
  const auto same = [](const XtRule& a, const XtRule& b) {
    return a.jump == b.jump && a.falls_on == b.falls_on &&
           (!a.jump.empty() || a.falls_on || comparable<Family>(a) == comparable<Family>(b));
  };
  return std::equal(table.chains.begin(), table.chains.end(), wanted.chains.begin(),
                    wanted.chains.end(), [&](const XtChain& a, const XtChain& b) {
                      return a.name == b.name && std::equal(a.rules.begin(), a.rules.end(),
                                                            b.rules.begin(), b.rules.end(), same);
                    });
}

template Result<XtTable> parse_table<Ipv4>(const Ipv4::Info&, Bytes);
template Result<XtTable> parse_table<Ipv6>(const Ipv6::Info&, Bytes);
template XtBlob encode_table<Ipv4>(const XtTable&);
template XtBlob encode_table<Ipv6>(const XtTable&);
template void put_rules<Ipv4>(XtTable&, const Rules&);
template void put_rules<Ipv6>(XtTable&, const Rules&);
template bool holds_rules<Ipv4>(const XtTable&, const Rules&);
template bool holds_rules<Ipv6>(const XtTable&, const Rules&);

}  // namespace tulle::redirect
