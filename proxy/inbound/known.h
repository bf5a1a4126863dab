// SPDX-License-Identifier: Apache-2.0
// Nothing comes in before the policy of its port is known: a connection is held for a while, then
// goes on and is refused in the form that its protocol has (503, or a reset).
#pragma once

#include "proxy/inbound/session.h"

namespace tulle::proxy {

// The live policy of the port. Ports that the pod does not declare share a bound: beyond it the
// longest unused is not watched any more, and when all are in use the handle is empty: the
// connection is refused (counted here).
PortHandle watch_port(Worker& worker, std::uint16_t port);

// Returns once the policy of the session's port is known, or after kPolicyHold; then
// session.port.get() is closed until it is (see server_policy_until_known).
net::Task<void> policy_known(InboundSession& session);

// With detection for the answer it stays under 3 s, as for targets (outbound/serve.cc).
constexpr Duration kPolicyHold = 2800ms;

}  // namespace tulle::proxy
