// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/text.h"
#include "lib/net/socket.h"
#include "lib/redirect/rules.h"
#include "node/program.h"

namespace tulle::node {
namespace {

// Capabilities of the file come as permitted only, so that the program also starts where a
// container has dropped them all; what we may use is put into effect here. Errors show later, as
// EPERM of whatever needs them.
void raise_capabilities() {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &head, data) != 0) return;
  for (__user_cap_data_struct& part : data) part.effective = part.permitted;
  ::syscall(SYS_capset, &head, data);
}

struct InitOptions {
  redirect::Rules rules;
  std::string netns;
  std::string close_wait;
  redirect::Backend backend = redirect::Backend::NfTables;  // to begin with
  bool by_mode = false;  // --iptables-mode is given, which overrides the bin paths
  bool simulate = false;
  std::vector<std::string> problems;
};

std::string_view long_name(char flag) {
  switch (flag) {
    case 'p': return "incoming-proxy-port";
    case 'o': return "outgoing-proxy-port";
    case 'u': return "proxy-uid";
    case 'g': return "proxy-gid";
    case 'r': return "ports-to-redirect";
    case 'w': return "use-wait-flag";
    default: return "";
  }
}

void set_flag(InitOptions& options, std::string_view name, std::string_view value) {
  const auto wrong = [&](std::string_view expected) {
    options.problems.push_back(concat("--", name, " is '", value, "', expected ", expected));
  };
  const auto ports = [&](std::vector<redirect::PortRange>& into) {
    if (const auto ranges = redirect::parse_port_ranges(value)) {
      into.insert(into.end(), ranges->begin(), ranges->end());
    } else {
      wrong("ports and ranges such as 25,4567-4568");
    }
  };
  if (name == "incoming-proxy-port" || name == "outgoing-proxy-port") {
    const auto port = parse_number<std::uint16_t>(value);
    if (!port || *port == 0) return wrong("a port");
    (name[0] == 'i' ? options.rules.inbound_port : options.rules.outbound_port) = *port;
  } else if (name == "proxy-uid" || name == "proxy-gid") {
    const auto id = parse_number<std::int64_t>(value);
    if (!id || *id > UINT32_MAX) return wrong("a number");
    if (*id > 0)
      (name == "proxy-uid" ? options.rules.proxy_uid : options.rules.proxy_gid) =
          static_cast<std::uint32_t>(*id);
  } else if (name == "ports-to-redirect") {
    std::vector<redirect::PortRange> ranges;
    ports(ranges);
    for (const auto& [first, last] : ranges) {
      for (std::uint32_t port = first; port <= last; ++port)
        options.rules.inbound_only.push_back(static_cast<std::uint16_t>(port));
    }
  } else if (name == "inbound-ports-to-ignore") {
    ports(options.rules.inbound_ignored);
  } else if (name == "outbound-ports-to-ignore") {
    ports(options.rules.outbound_ignored);
  } else if (name == "subnets-to-ignore") {
    for (const std::string_view item : split(value, ',')) {
      if (trim(item).empty()) continue;
      const auto subnet = net::Cidr::parse(trim(item));
      if (!subnet) return wrong("networks such as 10.0.0.0/8");
      options.rules.ignored_subnets.push_back(*subnet);
    }
  } else if (name == "netns") {
    options.netns = value;
  } else if (name == "timeout-close-wait-secs") {
    if (!parse_number<std::uint32_t>(value)) return wrong("seconds");
    if (value != "0") options.close_wait = value;
  } else if (name == "ipv6" || name == "simulate" || name == "use-wait-flag") {
    const bool on = value.empty() || value == "true" || value == "1";
    if (!on && value != "false" && value != "0") return wrong("true or false");
    if (name == "ipv6") options.rules.ipv6 = on;
    if (name == "simulate") options.simulate = on;
  } else if (name == "iptables-mode") {
    if (value != "legacy" && value != "nft" && value != "plain")
      return wrong("legacy, nft or plain");
    options.backend = value == "legacy" ? redirect::Backend::XTables : redirect::Backend::NfTables;
    options.by_mode = true;
  } else if (name == "firewall-bin-path") {
    if (value != "iptables-legacy" && value != "iptables-nft" && value != "iptables") {
      return wrong("iptables-legacy, iptables-nft or iptables");
    }
    if (!options.by_mode && value == "iptables-legacy")
      options.backend = redirect::Backend::XTables;
  } else if (name != "firewall-save-bin-path" && name != "log-format" && name != "log-level") {
    options.problems.push_back(concat("unknown flag --", name));
  }
}

InitOptions parse(const Arguments& arguments) {
  InitOptions options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    std::string_view name;
    std::string_view value;
    bool has_value = false;
    if (argument.starts_with("--")) {
      const auto equals = argument.find('=');
      name = argument.substr(
          2, equals == std::string_view::npos ? std::string_view::npos : equals - 2);
      has_value = equals != std::string_view::npos;
      if (has_value) value = argument.substr(equals + 1);
    } else if (argument.size() >= 2 && argument[0] == '-' && !long_name(argument[1]).empty()) {
      name = long_name(argument[1]);
      has_value = argument.size() > 2;
      value = argument.substr(2);
    } else {
      options.problems.push_back(concat("unexpected argument '", argument, "'"));
      continue;
    }
    const bool is_switch = name == "simulate" || name == "ipv6" || name == "use-wait-flag";
    if (!has_value && !is_switch) {
      if (i + 1 >= arguments.size()) {
        options.problems.push_back(concat("--", name, " needs a value"));
        continue;
      }
      value = arguments[++i];
    }
    set_flag(options, name, value);
  }
  if (options.rules.inbound_port == 0)
    options.problems.emplace_back("--incoming-proxy-port must be set");
  if (options.rules.outbound_port == 0)
    options.problems.emplace_back("--outgoing-proxy-port must be set");
  return options;
}

}  // namespace

int init(const Arguments& arguments) {
  const InitOptions options = parse(arguments);
  if (!options.problems.empty()) {
    for (const std::string& problem : options.problems) say(concat("tulle-node init: ", problem));
    return kUsage;
  }
  if (options.simulate) {
    if (options.backend == redirect::Backend::NfTables) {
      std::fputs(redirect::to_nft(options.rules).c_str(), stdout);
    } else {
      std::fputs(redirect::to_iptables(options.rules, false).c_str(), stdout);
      if (options.rules.ipv6)
        std::fputs(("# IPv6\n" + redirect::to_iptables(options.rules, true)).c_str(), stdout);
    }
    return 0;
  }
  raise_capabilities();
  if (!options.netns.empty()) {
    const net::Fd target{::open(options.netns.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!target || ::setns(target.get(), CLONE_NEWNET) != 0) {
      say(concat("tulle-node init: cannot enter ", options.netns, ": ", std::strerror(errno)));
      return 1;
    }
  }
  const Result<redirect::Backend> installed = redirect::install(options.rules, options.backend);
  if (!installed) {
    const int code = installed.error().os_errno;
    say(concat("tulle-node init: cannot ", installed.error().where, ": ",
               code != 0 ? std::strerror(code) : "they are not as asked",
               code == EPERM ? " (CAP_NET_ADMIN is needed)"
               : installed.error().code == Errc::Unsupported
                   ? " (this kernel has neither nf_tables with nat nor the nat table of iptables)"
                   : ""));
    return 1;
  }
  if (!options.close_wait.empty()) {
    const net::Fd file{::open("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait",
                              O_WRONLY | O_CLOEXEC)};
    if (!file || ::write(file.get(), options.close_wait.data(), options.close_wait.size()) < 0) {
      say(concat("tulle-node init: cannot set nf_conntrack_tcp_timeout_close_wait: ",
                 std::strerror(errno)));
      return 1;
    }
  }
  say(*installed == redirect::Backend::NfTables ? "connections are redirected (nf_tables)"
                                                : "connections are redirected (iptables)");
  return 0;
}

}  // namespace tulle::node
