// SPDX-License-Identifier: Apache-2.0
// A connection as the steps of the outbound path know it.
#pragma once

#include "lib/net/stream.h"
#include "proxy/workload/plan.h"

namespace tulle::proxy {

using TargetHandle = WatchCache<net::SocketAddr, ClientPolicy>::Handle;

struct OutboundSession {
  Worker& worker;
  net::SocketAddr client;
  net::SocketAddr target;
  TargetHandle handle;  // live: get() is the policy of now
  std::shared_ptr<Plan> plan;
  net::StreamPtr stream;
  // The client has said nothing, or something that may still become a request: bytes pass, but its
  // first line is watched.
  bool undecided = false;
  CountedStream* source = nullptr;  // the application's connection, somewhere under `stream`

  // The plan of the policy of now; made anew when the policy changed.
  Plan& current();
};

// The route that bytes take; its parts belong to the session's plan.
struct ByteRoute {
  const Meta* meta = nullptr;
  PlannedDistribution* distribution = nullptr;  // null: refused
  std::string_view refused_as;                  // forbidden, invalid_policy
  bool tls = false;
  std::string sni;
};
// outbound/bytes.cc. `dialled`: an early connection, may be null. An undecided connection on which
// a request comes after all is served as HTTP.
net::Task<void> forward_outbound_bytes(OutboundSession session, ByteRoute route,
                                       net::StreamPtr dialled);
// A connection for bytes to one backend of the distribution.
net::Task<Result<net::StreamPtr>> connect_backend(Worker& worker, PlannedDistribution& distribution,
                                                  bool tls = false);

// outbound/serve.cc: what comes once the target's policy is known.
net::Task<void> serve_outbound_known(OutboundSession session);
net::Task<void> serve_outbound_opaque(OutboundSession session, net::StreamPtr dialled);
net::Task<void> serve_outbound_tls(OutboundSession session);

// outbound/http.cc
net::Task<void> serve_outbound_http(OutboundSession session, bool http2);

}  // namespace tulle::proxy
