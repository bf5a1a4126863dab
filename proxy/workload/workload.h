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
#include "proxy/config/config.h"
#include "proxy/endpoint/dialer.h"
#include "proxy/observe/metrics.h"
#include "proxy/snapshot/client_policy.h"
#include "proxy/snapshot/convert.h"
#include "proxy/snapshot/server_policy.h"
#include "proxy/watch/cache.h"
#include "proxy/workload/proxy_wide.h"

namespace tulle::proxy {

// What workers watch, by key: ports of the pod, targets of its connections, authorities
// ("name:port") that are balanced.
using ServerPolicyHub = WatchHub<std::uint16_t, ServerPolicy>;
using ClientPolicyHub = WatchHub<net::SocketAddr, ClientPolicy>;
using EndpointHub = WatchHub<EndpointKey, EndpointSet>;
using CredentialsPtr = std::shared_ptr<const tls::Credentials>;

// The parts of a workload that workers may use; immutable or thread-safe, and outlives them.
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
