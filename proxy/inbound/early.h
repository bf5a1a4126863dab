// SPDX-License-Identifier: Apache-2.0
// Servers that speak first, without configuration: a silent client is given 2 ms; then the
// application is dialled early, if policy admits the peer's bytes already, and whoever speaks first
// decides.
#pragma once

#include "proxy/inbound/session.h"

namespace tulle::proxy {

struct EarlyOutcome {
  net::StreamPtr dialled;     // may be used for the bytes, if it comes to bytes
  bool server_spoke = false;  // the server spoke before the client, and not as HTTP
  Learned::Try trying;        // to be kept until the protocol is known
};
// Returns when the client has spoken, the server has, `by` has passed, or nothing more is to be
// learned this way. Silence, the end of a side and failures say nothing: detection goes on.
net::Task<EarlyOutcome> dial_early(InboundSession& session, Deadline by);

// A client that was silent for the whole of detection, though HTTP had been seen here: does this
// server speak first after all?
struct LateOutcome {
  net::StreamPtr dialled;  // may be used for the bytes
  bool http = false;       // the server spoke as HTTP servers do
};
net::Task<LateOutcome> learn_late(InboundSession& session, net::StreamPtr dialled);

}  // namespace tulle::proxy
