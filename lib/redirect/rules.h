// SPDX-License-Identifier: Apache-2.0
// Which TCP connections of a pod go through its proxy (docs/reference/control-plane.md §2.2), as a
// description, and the same installed in the kernel: nf_tables over netlink, an own table in the
// inet family, so IPv4 and IPv6 at once; or the nat tables of iptables and ip6tables by their own
// system calls, where the kernel has only those.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/result.h"
#include "lib/net/address.h"

namespace tulle::redirect {

using PortRange = std::pair<std::uint16_t, std::uint16_t>;

struct Rules {
  std::uint16_t inbound_port = 0;          // where connections to the pod go
  std::uint16_t outbound_port = 0;         // where connections of the pod go
  std::optional<std::uint32_t> proxy_uid;  // exempt: the proxy's own connections
  std::optional<std::uint32_t> proxy_gid;
  std::vector<std::uint16_t> inbound_only;  // empty: every inbound port is redirected
  std::vector<PortRange> inbound_ignored;
  std::vector<PortRange> outbound_ignored;
  std::vector<net::Cidr> ignored_subnets;  // by source address, inbound
  bool ipv6 = true;                        // false: IPv4 only
};

// "80", "4567-4568", comma-separated; nullopt if malformed.
std::optional<std::vector<PortRange>> parse_port_ranges(std::string_view text);

// The rules in nft's language, for people.
std::string to_nft(const Rules& rules);

// The same for the nat table of iptables (ip6tables), as iptables-save prints its rules.
std::string to_iptables(const Rules& rules, bool ipv6);

enum class Backend : std::uint8_t {
  NfTables,  // a table of our own, "tulle"
  XTables,   // chains of our own in the nat table; the rules of others stay, with their counters
};

// Installs the rules in the network namespace of the calling thread and reads them back; with
// `first`, or with the other backend where the kernel does not have that one. Says which it was.
// What an earlier run left is replaced in one transaction (of each family); running it again
// changes nothing. Errors: `where` names the step, os_errno says why (EPERM: CAP_NET_ADMIN is
// missing); Unsupported: the kernel has neither.
Result<Backend> install(const Rules& rules, Backend first = Backend::NfTables);

}  // namespace tulle::redirect
