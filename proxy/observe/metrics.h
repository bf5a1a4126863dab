// SPDX-License-Identifier: Apache-2.0
// The metric families of the proxy (proxy.md §6) and the handles that the data path bumps. A handle is
// looked up where a connection, an endpoint or a route is made, never per request.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/metrics/metrics.h"
#include "lib/net/address.h"
#include "proxy/outbound/endpoint_info.h"
#include "proxy/policy/authorization.h"
#include "proxy/policy/meta.h"

namespace tulle::proxy {

enum class Direction : std::uint8_t { Inbound, Outbound };

// One side of a kind of connection (src or dst) with its labels.
struct TransportMetrics {
  std::shared_ptr<metrics::Counter> open_total;
  std::shared_ptr<metrics::Gauge> open_connections;
  std::shared_ptr<metrics::Counter> read_bytes;
  std::shared_ptr<metrics::Counter> write_bytes;
  metrics::Family<metrics::Counter>* close_family = nullptr;
  metrics::Labels labels;
  // errno 0: a clean end.
  void closed(int os_errno) const;
};

// Requests toward one endpoint (outbound) or through one port for one client (inbound).
struct EndpointMetrics {
  std::shared_ptr<metrics::Counter> requests;
  metrics::Family<metrics::Histogram>* latency_family = nullptr;
  metrics::Family<metrics::Counter>* response_family = nullptr;
  metrics::Labels labels;

  struct ByStatus {
    std::uint16_t status = 0;
    std::shared_ptr<metrics::Histogram> latency;
    std::shared_ptr<metrics::Counter> success;
    std::shared_ptr<metrics::Counter> failure;
  };
  // The handles of this status; made at its first response. The reference stays valid.
  ByStatus& of(std::uint16_t status);
  // A response whose end carried a gRPC status or an error label of its own.
  std::shared_ptr<metrics::Counter> response(std::uint16_t status, bool success, std::string_view grpc,
                                             std::string_view error) const;

 private:
  std::vector<std::unique_ptr<ByStatus>> by_status_;
};

class Metrics {
  metrics::Registry registry_;  // first: the families below live in it

 public:
  explicit Metrics(Duration retain_idle);

  metrics::Registry& registry() noexcept { return registry_; }

  std::shared_ptr<TransportMetrics> transport(Direction direction, bool src, const metrics::Labels& rest);
  std::shared_ptr<EndpointMetrics> endpoint(const metrics::Labels& labels);

  metrics::Family<metrics::Counter>& authz_allow;
  metrics::Family<metrics::Counter>& authz_deny;
  metrics::Family<metrics::Counter>& route_not_found;
  metrics::Family<metrics::Counter>& rate_limited;
  metrics::Family<metrics::Counter>& tcp_authz_allow;
  metrics::Family<metrics::Counter>& tcp_authz_deny;
  metrics::Family<metrics::Counter>& tcp_authz_terminate;
  metrics::Family<metrics::Counter>& inbound_http_errors;
  metrics::Family<metrics::Counter>& inbound_tcp_errors;
  metrics::Family<metrics::Counter>& outbound_http_errors;
  metrics::Family<metrics::Counter>& outbound_tcp_errors;
  metrics::Family<metrics::Counter>& detect_inbound;
  metrics::Family<metrics::Counter>& detect_outbound;
  metrics::Family<metrics::Counter>& transport_header;
  metrics::Family<metrics::Counter>& protocol_connections;
  metrics::Family<metrics::Counter>& unsupported;
  metrics::Family<metrics::Counter>& cert_refreshes;
  metrics::Family<metrics::Gauge>& cert_expiry;
  metrics::Family<metrics::Counter>& early_dials;
  metrics::Family<metrics::Counter>& redispatched;
  metrics::Family<metrics::Counter>& shed;

 private:
  struct Transport {
    metrics::Family<metrics::Counter>& open_total;
    metrics::Family<metrics::Gauge>& open_connections;
    metrics::Family<metrics::Counter>& read_bytes;
    metrics::Family<metrics::Counter>& write_bytes;
    metrics::Family<metrics::Counter>& close_total;
  } transport_;
  metrics::Family<metrics::Counter>& request_total_;
  metrics::Family<metrics::Histogram>& response_latency_;
  metrics::Family<metrics::Counter>& response_total_;
};

// Label groups of §6.1, in their order.
metrics::Labels target_labels(const net::SocketAddr& target);
metrics::Labels server_labels(const Meta& meta, std::uint16_t port);    // srv_*
metrics::Labels route_labels(const Meta& meta);                          // route_*
metrics::Labels authz_labels(const Meta& meta);                          // authz_*
metrics::Labels peer_labels(const Peer& peer);                           // server TLS
metrics::Labels endpoint_tls_labels(const EndpointInfo& info, bool own); // client TLS
metrics::Labels endpoint_labels(const EndpointInfo& info, bool own);     // direction … dst_*
std::string errno_name(int os_errno);

}  // namespace tulle::proxy
