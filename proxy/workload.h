// SPDX-License-Identifier: Apache-2.0
// Everything that belongs to one workload (a sidecar has one, a node proxy has many):
// configuration, identity, policies, discovery, metrics, listeners and the making of sockets.
// Nothing of it is global. Lives on the control loop; each worker has a Worker with what it needs
// of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/log/log.h"
#include "lib/net/socket.h"
#include "lib/tls/credentials.h"
#include "proxy/config.h"
#include "proxy/observe/metrics.h"
#include "proxy/policy/client_policy.h"
#include "proxy/policy/convert.h"
#include "proxy/policy/server_policy.h"
#include "proxy/pool/dialer.h"
#include "proxy/proxy_wide.h"
#include "proxy/watch/cache.h"

namespace tulle::proxy {

using ServerPolicyHub = WatchHub<std::uint16_t, ServerPolicy>;
using ClientPolicyHub = WatchHub<net::SocketAddr, ClientPolicy>;
using EndpointHub = WatchHub<EndpointKey, EndpointSet>;
using CredentialsPtr = std::shared_ptr<const tls::Credentials>;

// What workers may use of a workload; immutable or thread-safe, and outlives them.
struct WorkloadParts {
  const Config& config;
  net::SocketFactory& sockets;
  Metrics& metrics;
  log::Logger log;
  log::Sink& access_log;
  ServerPolicyHub& server_policies;
  ClientPolicyHub& client_policies;
  EndpointHub& endpoints;
  ProxyWide& wide;
  Dialer* dialer = nullptr;  // makes every connection, instead of TCP and mesh TLS (tests)
};

}  // namespace tulle::proxy
