// SPDX-License-Identifier: Apache-2.0
// The rules as steps that both writers follow: nft's language and netlink.
#pragma once

#include <string>
#include <vector>

#include "lib/redirect/rules.h"

namespace tulle::redirect {

struct Step {
  enum class Kind : std::uint8_t { ReturnUid, ReturnGid, ReturnLoopback, ReturnPorts, ReturnSubnet, Redirect, RedirectPort } kind;
  std::uint32_t number = 0;  // uid, gid, or the port redirected to
  PortRange ports{};         // ReturnPorts; RedirectPort: first is the port matched
  net::Cidr subnet;          // ReturnSubnet
  std::string comment;
};

// In the order of control-plane.md §2.2.
std::vector<Step> inbound_steps(const Rules& rules);
std::vector<Step> outbound_steps(const Rules& rules);

}  // namespace tulle::redirect
