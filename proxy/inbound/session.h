// SPDX-License-Identifier: Apache-2.0
// A connection as the steps of the inbound path know it.
#pragma once

#include <memory>
#include <vector>

#include "lib/net/stream.h"
#include "proxy/endpoint/local_target.h"
#include "proxy/route/authorization.h"
#include "proxy/workload/worker.h"

namespace tulle::proxy {

using PortHandle = WatchCache<std::uint16_t, ServerPolicy>::Handle;

struct InboundSession {
  Worker& worker;
  net::SocketAddr target;
  PortHandle port;  // live: get() is the policy of now
  Peer peer;
  net::StreamPtr stream;
  std::shared_ptr<LocalTarget> local;
  // The client has said nothing, or something that may still become a request: bytes pass, but its
  // first line is watched.
  bool undecided = false;
  // The server spoke before its client, and not as HTTP servers do.
  bool greeted = false;
  Learned::Try trying;              // nobody else dials early until the protocol is known
  CountedStream* source = nullptr;  // the client's connection, somewhere under `stream`
  // What a load balancer put before the client's bytes (proxy_head.h); each connection to the
  // application begins with it.
  std::string proxy_head;
};

// Labels of the connection's src side: target, peer, server.
metrics::Labels source_labels(const InboundSession& session);

// inbound/bytes.cc: authorizes as bytes, connects to the application, copies; cut when a policy
// update takes the permission away. `dialled`: an early connection, may be null. An undecided
// connection on which a request comes after all is served as HTTP.
net::Task<void> forward_bytes(InboundSession session, net::StreamPtr dialled);
// May these bytes come in now? Counts and logs; null when not.
const Authorization* authorize_bytes(InboundSession& session);

// inbound/http.cc: serves the connection as HTTP of that version.
net::Task<void> serve_inbound_http(InboundSession session, bool http2);

}  // namespace tulle::proxy
