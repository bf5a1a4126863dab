// SPDX-License-Identifier: Apache-2.0
#include "lib/redirect/plan.h"

#include "lib/base/text.h"

namespace tulle::redirect {
namespace {

std::string range_text(const PortRange& range, char dash = '-') {
  std::string text;
  append_number(text, range.first);
  if (range.second != range.first) {
    text += dash;
    append_number(text, range.second);
  }
  return text;
}

std::string number_text(std::uint64_t number) {
  std::string text;
  append_number(text, number);
  return text;
}

std::string step_to_nft(const Step& step) {
  const std::string comment = concat(" comment \"", step.comment, "\"\n");
  switch (step.kind) {
    case Step::Kind::ReturnUid:
      return concat("meta skuid ", number_text(step.number), " return", comment);
    case Step::Kind::ReturnGid:
      return concat("meta skgid ", number_text(step.number), " return", comment);
    case Step::Kind::ReturnLoopback: return concat("oif lo return", comment);
    case Step::Kind::ReturnPorts:
      return concat("tcp dport ", range_text(step.ports), " return", comment);
    case Step::Kind::ReturnSubnet:
      return concat(step.subnet.ip.is_v4() ? "ip" : "ip6", " saddr ", step.subnet.to_string(),
                    " return", comment);
    case Step::Kind::Redirect:
      return concat("meta l4proto tcp redirect to :", number_text(step.number), comment);
    case Step::Kind::RedirectPort:
      return concat("tcp dport ", range_text(step.ports),
                    " redirect to :", number_text(step.number), comment);
  }
  return {};
}

std::string step_to_iptables(const Step& step) {
  const std::string comment = concat(" -m comment --comment \"", step.comment, "\"");
  const std::string back = concat(comment, " -j RETURN\n");
  const std::string away =
      concat(comment, " -j REDIRECT --to-ports ", number_text(step.number), "\n");
  switch (step.kind) {
    case Step::Kind::ReturnUid:
      return concat(" -m owner --uid-owner ", number_text(step.number), back);
    case Step::Kind::ReturnGid:
      return concat(" -m owner --gid-owner ", number_text(step.number), back);
    case Step::Kind::ReturnLoopback: return concat(" -o lo", back);
    case Step::Kind::ReturnPorts:
      return concat(" -p tcp -m tcp --dport ", range_text(step.ports, ':'), back);
    case Step::Kind::ReturnSubnet: return concat(" -s ", step.subnet.to_string(), back);
    case Step::Kind::Redirect: return concat(" -p tcp", away);
    case Step::Kind::RedirectPort:
      return concat(" -p tcp -m tcp --dport ", range_text(step.ports, ':'), away);
  }
  return {};
}

}  // namespace

std::optional<std::vector<PortRange>> parse_port_ranges(std::string_view text) {
  std::vector<PortRange> ranges;
  for (const std::string_view piece : split(text, ',')) {
    const std::string_view item = trim(piece);
    if (item.empty()) continue;
    const auto dash = item.find('-');
    const auto first = parse_number<std::uint16_t>(trim(item.substr(0, dash)));
    const auto last = dash == std::string_view::npos
                          ? first
                          : parse_number<std::uint16_t>(trim(item.substr(dash + 1)));
    if (!first || !last || *first > *last) return std::nullopt;
    ranges.emplace_back(*first, *last);
  }
  return ranges;
}

std::vector<Step> inbound_steps(const Rules& rules) {
  std::vector<Step> steps;
  for (const PortRange& range : rules.inbound_ignored) {
    steps.push_back({Step::Kind::ReturnPorts,
                     0,
                     range,
                     {},
                     concat("proxy-init/ignore-port-", range_text(range))});
  }
  for (const net::Cidr& subnet : rules.ignored_subnets) {
    steps.push_back({Step::Kind::ReturnSubnet,
                     0,
                     {},
                     subnet,
                     concat("proxy-init/ignore-subnet-", subnet.to_string())});
  }
  if (rules.inbound_only.empty()) {
    steps.push_back({Step::Kind::Redirect,
                     rules.inbound_port,
                     {},
                     {},
                     "proxy-init/redirect-all-incoming-to-proxy-port"});
  }
  for (const std::uint16_t port : rules.inbound_only) {
    steps.push_back(
        {Step::Kind::RedirectPort,
         rules.inbound_port,
         {port, port},
         {},
         concat("proxy-init/redirect-port-", range_text({port, port}), "-to-proxy-port")});
  }
  return steps;
}

std::vector<Step> outbound_steps(const Rules& rules) {
  std::vector<Step> steps;
  if (rules.proxy_uid)
    steps.push_back(
        {Step::Kind::ReturnUid, *rules.proxy_uid, {}, {}, "proxy-init/ignore-proxy-user-id"});
  if (rules.proxy_gid)
    steps.push_back(
        {Step::Kind::ReturnGid, *rules.proxy_gid, {}, {}, "proxy-init/ignore-proxy-group-id"});
  steps.push_back({Step::Kind::ReturnLoopback, 0, {}, {}, "proxy-init/ignore-loopback"});
  for (const PortRange& range : rules.outbound_ignored) {
    steps.push_back({Step::Kind::ReturnPorts,
                     0,
                     range,
                     {},
                     concat("proxy-init/ignore-port-", range_text(range))});
  }
  steps.push_back({Step::Kind::Redirect,
                   rules.outbound_port,
                   {},
                   {},
                   "proxy-init/redirect-all-outgoing-to-proxy-port"});
  return steps;
}

bool concerns(const Step& step, bool ipv6) {
  return step.kind != Step::Kind::ReturnSubnet || step.subnet.ip.is_v4() != ipv6;
}

std::string to_iptables(const Rules& rules, bool ipv6) {
  std::string text = "*nat\n";
  for (const std::string_view chain : {kOutboundChain, kInboundChain})
    text += concat(":", chain, " - [0:0]\n");
  text += concat("-A PREROUTING -m comment --comment \"", kInboundHookComment, "\" -j ",
                 kInboundChain, "\n");
  text += concat("-A OUTPUT -m comment --comment \"", kOutboundHookComment, "\" -j ",
                 kOutboundChain, "\n");
  for (const Step& step : outbound_steps(rules)) {
    if (concerns(step, ipv6)) text += concat("-A ", kOutboundChain, step_to_iptables(step));
  }
  for (const Step& step : inbound_steps(rules)) {
    if (concerns(step, ipv6)) text += concat("-A ", kInboundChain, step_to_iptables(step));
  }
  return text + "COMMIT\n";
}

std::string to_nft(const Rules& rules) {
  const std::string_view family = rules.ipv6 ? "inet" : "ip";
  std::string text = concat(
      "table ", family,
      " tulle {\n  chain inbound {\n    type nat hook prerouting priority -100; policy accept;\n");
  for (const Step& step : inbound_steps(rules)) text += "    " + step_to_nft(step);
  text += "  }\n  chain outbound {\n    type nat hook output priority -100; policy accept;\n";
  for (const Step& step : outbound_steps(rules)) text += "    " + step_to_nft(step);
  return text + "  }\n}\n";
}

}  // namespace tulle::redirect
