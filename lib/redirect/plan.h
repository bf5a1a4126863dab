// SPDX-License-Identifier: Apache-2.0
// The rules as steps that both writers follow: nft's language and netlink.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/redirect/rules.h"

namespace tulle::redirect {

struct Step {
  enum class Kind : std::uint8_t {
    ReturnUid,
    ReturnGid,
    ReturnLoopback,
    ReturnPorts,
    ReturnSubnet,
    Redirect,
    RedirectPort
  } kind;
  std::uint32_t number = 0;  // uid, gid, or the port redirected to
  PortRange ports{};         // ReturnPorts; RedirectPort: first is the port matched
  net::Cidr subnet;          // ReturnSubnet
  std::string comment;
};

// In the nat tables of iptables and ip6tables.
inline constexpr std::string_view kInboundChain = "PROXY_INIT_REDIRECT";
inline constexpr std::string_view kOutboundChain = "PROXY_INIT_OUTPUT";
inline constexpr std::string_view kInboundHookComment = "proxy-init/install-proxy-init-prerouting";
inline constexpr std::string_view kOutboundHookComment = "proxy-init/install-proxy-init-output";
// Is it of any use to this address family?
bool concerns(const Step& step, bool ipv6);

// In the order of docs/reference/control-plane.md §2.2.
std::vector<Step> inbound_steps(const Rules& rules);
std::vector<Step> outbound_steps(const Rules& rules);

// The backends of install(). Unsupported: the kernel has no such thing.
Result<void> install_nftables(const Rules& rules);
Result<void> install_xtables(const Rules& rules);

}  // namespace tulle::redirect
