// SPDX-License-Identifier: Apache-2.0
// The configuration of a proxy, from its environment (docs/reference/proxy.md §1.5; every variable
// has the prefix LINKERD2_PROXY_ unless the table says otherwise). Values are checked while
// reading; all problems are told at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/time.h"
#include "lib/net/address.h"
#include "lib/net/socket.h"
#include "proxy/config/backoff.h"

namespace tulle::proxy {

// Who may come in where no Server says so; Cluster*: only from POLICY_CLUSTER_NETWORKS. Audit
// admits everybody and logs those whom nothing else admits.
enum class DefaultPolicy : std::uint8_t {
  Deny,
  AllAuthenticated,
  AllUnauthenticated,
  ClusterAuthenticated,
  ClusterUnauthenticated,
  Audit,
};
std::string_view to_string(DefaultPolicy policy) noexcept;

// Both ends are in it.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
};
struct PortSet {
  std::vector<PortRange> ranges;
  bool contains(std::uint16_t port) const noexcept {
    for (const PortRange& range : ranges) {
      if (port >= range.first && port <= range.last) return true;
    }
    return false;
  }
};

// Where a control-plane service is and what it must prove.
struct ControlService {
  std::string host;  // a name (absolute if it ends in a dot) or an IP address
  std::uint16_t port = 0;
  std::string name;  // its TLS identity; empty: loopback, plain text
  std::string authority;
  bool configured() const noexcept { return !host.empty(); }
  // It runs behind this proxy: the injector writes so in the control plane's own pods.
  bool in_this_pod() const noexcept { return host == "localhost."; }
};

// Timeouts and limits of one direction.
struct SideConfig {
  // Times: to find the protocol; to connect, TLS included; that nothing can serve before requests
  // fail; that state is kept unused; that an HTTP/1 connection is kept idle.
  Duration detect_timeout = 10s;
  Duration connect_timeout = 1s;
  Duration failfast_timeout = 3s;
  Duration discovery_idle = 5s;
  Duration pool_idle = 3s;
  // Counts: requests that wait for an endpoint, for a response head, and idle HTTP/1 connections
  // kept for one endpoint.
  std::uint32_t queue_capacity = 10'000;
  std::uint32_t max_in_flight = 100'000;
  std::uint32_t max_idle_per_endpoint = 10'000;
  net::TcpOptions accept;
  net::TcpOptions connect;
  BackoffOptions backoff;
  // HTTP/2 server side.
  std::uint32_t h2_stream_window = 65'535;
  std::uint32_t h2_connection_window = 1'048'576;
  std::uint32_t h2_max_concurrent = 0;  // 0: no limit
  std::uint32_t h2_max_frame = 16'384;
  std::uint32_t h2_max_header_list = 16'384;
  std::uint32_t h2_max_pending_reset = 20;
  std::uint32_t h2_send_buffer = 409'600;
  std::optional<Duration> h2_ping_interval;
  std::optional<Duration> h2_ping_timeout;
};

struct Config {
  // Process.
  std::string log_filter = "warn,linkerd=info,tulle=info";
  bool log_json = false;
  bool log_off = false;
  enum class AccessLog : std::uint8_t { Off, Apache, Json } access_log = AccessLog::Off;
  unsigned workers = 1;
  Duration metrics_retain_idle = 10min;
  bool shutdown_endpoint = false;
  Duration shutdown_grace = 2min;
  bool ingress_mode = false;

  // Where to listen; the port may be 0 in tests.
  net::SocketAddr admin_listen;
  net::SocketAddr control_listen;  // tap
  net::SocketAddr inbound_listen;
  std::vector<net::SocketAddr> outbound_listen;

  SideConfig inbound;
  SideConfig outbound;
  std::uint32_t tcp_queue_capacity = 10'000;  // outbound connections that wait for an endpoint
  Duration tcp_failfast_timeout = 3s;
  bool informational_headers = true;  // l5d-proxy-error and friends to the local application
  bool hostname_labels = false;
  bool authority_labels = false;
  // Bytes that the peer may send before they are consumed, as a client of HTTP/2.
  std::uint32_t h2_client_stream_window = 65'535;
  std::uint32_t h2_client_connection_window = 1'048'576;

  // Discovery and policy.
  ControlService destination;
  // Tokens for the control plane, sent as they are: it reads in them who asks.
  std::string destination_context;
  std::vector<std::string> profile_suffixes;
  std::vector<net::Cidr> profile_networks;
  ControlService policy;
  std::string policy_workload;
  std::vector<net::Cidr> cluster_networks;
  DefaultPolicy default_policy = DefaultPolicy::AllUnauthenticated;
  // Ports that the pod declares; opaque without policy; addresses that are the pod's own (none:
  // any).
  PortSet inbound_ports;
  PortSet opaque_ports;
  std::vector<net::IpAddr> inbound_ips;
  // Is it an address of the pod?
  bool is_own(const net::IpAddr& ip) const noexcept {
    return std::find(inbound_ips.begin(), inbound_ips.end(), ip) != inbound_ips.end();
  }
  std::vector<std::string> gateway_suffixes;
  // Limits of streams from the control plane: to the first message, between two, in all.
  std::optional<Duration> stream_initial;
  std::optional<Duration> stream_idle;
  std::optional<Duration> stream_lifetime;
  std::optional<Duration> dns_min_ttl;
  std::optional<Duration> dns_max_ttl;

  // Identity.
  std::string trust_anchors;  // PEM
  // Read anew for each certificate: the kubelet replaces the token.
  std::string token_file;
  std::string local_name;
  std::string server_name;
  Duration min_refresh = 10s;
  Duration max_refresh = 24h;
  ControlService identity;
  std::string tap_name;
};

// Settings that could not be used, or are understood but have no effect in this version.
struct ConfigNotes {
  std::vector<std::string> errors;  // any: the process exits with 64
  std::vector<std::string> warnings;
  std::vector<std::string> without_effect;  // names of set variables whose feature is not there yet
};

// Reads through `lookup` (name → value, null if unset), so that tests need no process environment.
using EnvLookup = std::function<const char*(const char* name)>;
Config read_config(const EnvLookup& lookup, unsigned available_cpus, ConfigNotes& notes);

}  // namespace tulle::proxy
