// SPDX-License-Identifier: Apache-2.0
// The metric families of the proxy (docs/reference/proxy.md §6) and the handles that the data path
// bumps. A handle is looked up where a connection, an endpoint or a route is made, never per
// request.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/metrics/metrics.h"
#include "lib/net/address.h"
#include "proxy/observe/balancer_metrics.h"
#include "proxy/observe/route_metrics.h"
#include "proxy/route/authorization.h"
#include "proxy/route/meta.h"
#include "proxy/snapshot/endpoint_info.h"

namespace tulle::proxy {

enum class Direction : std::uint8_t { Inbound, Outbound };

// One side of a kind of connection (src or dst) with its labels.
// Bytes sent to and received from endpoints, by where these are (outbound_tcp_transfer_cost_*).
struct TransferCost {
  std::shared_ptr<metrics::Counter> sent;  // null: not counted
  std::shared_ptr<metrics::Counter> received;
};

// The things that a balancer spreads.
enum class Balanced : std::uint8_t {
  Requests,
  Connections,
  TlsConnections,
  ControlIdentity,
  ControlDestination,
  ControlPolicy,
};

struct TransportMetrics {
  std::shared_ptr<metrics::Counter> open_total;
  std::shared_ptr<metrics::Gauge> open_connections;
  std::shared_ptr<metrics::Counter> read_bytes;
  std::shared_ptr<metrics::Counter> write_bytes;
  TransferCost cost;
  metrics::Family<metrics::Counter>* close_family = nullptr;
  metrics::Labels labels;
  // errno 0: a clean end.
  void closed(int os_errno);
  std::shared_ptr<metrics::Counter> closed_clean;  // from the first clean end on
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
  std::shared_ptr<metrics::Counter> response(std::uint16_t status, bool success,
                                             std::string_view grpc, std::string_view error) const;

 private:
  std::vector<std::unique_ptr<ByStatus>> by_status_;
};

// Outcomes of HTTP detection for one set of labels.
struct DetectMetrics {
  std::shared_ptr<metrics::Histogram> duration;
  std::array<std::shared_ptr<metrics::Counter>, 5> results;  // by Spoken, then error
  // `spoken`: index of a Spoken; -1: the client went away first.
  void count(int spoken, Duration took) const {
    duration->observe(std::chrono::duration<double>(took).count());
    results[spoken < 0 ? 4 : static_cast<std::size_t>(spoken)]->add();
  }
};

class Metrics {
  metrics::Registry registry_;  // first: the families below live in it

 public:
  explicit Metrics(Duration retain_idle);

  metrics::Registry& registry() noexcept { return registry_; }

  std::shared_ptr<TransportMetrics> transport(Direction direction, bool src,
                                              const metrics::Labels& rest);
  std::shared_ptr<EndpointMetrics> endpoint(const metrics::Labels& labels);
  // Requests to the control plane: the families control_*.
  std::shared_ptr<EndpointMetrics> control(const metrics::Labels& labels);
  // Labels: parent and backend (§6.4); for connections also logical and concrete, for those of TLS
  // concrete only; for services of the control plane addr.
  std::unique_ptr<BalancerMetrics> balancer(const metrics::Labels& labels,
                                            Balanced what = Balanced::Requests);
  // `zone_locality`: "Local", "Remote" or "Unknown".
  TransferCost transfer_cost(std::string_view zone_locality);
  DetectMetrics detection(Direction direction, const metrics::Labels& labels);
  // Labels: parent and route, as in §6.3.
  RouteMetricsPtr inbound_route(bool grpc, const metrics::Labels& labels);
  // Labels: parent, route and hostname; parent, route and backend (§6.4).
  RouteMetricsPtr outbound_route(bool grpc, const metrics::Labels& labels);
  RouteMetricsPtr outbound_backend(bool grpc, const metrics::Labels& labels);

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
  metrics::Family<metrics::Counter>& transport_header;
  metrics::Family<metrics::Counter>& protocol_connections;
  metrics::Family<metrics::Counter>& unsupported;
  metrics::Family<metrics::Counter>& cert_refreshes;
  metrics::Family<metrics::Gauge>& cert_expiry;
  metrics::Family<metrics::Counter>& early_dials;
  metrics::Family<metrics::Counter>& redispatched;
  metrics::Family<metrics::Counter>& shed;
  metrics::Family<metrics::Counter>& policy_holds;
  metrics::Family<metrics::Gauge>& cert_refreshed;
  metrics::Family<metrics::Counter>& dns_resolutions;
  metrics::Family<metrics::Counter>& tcp_route_open;
  metrics::Family<metrics::Counter>& tcp_route_close;
  metrics::Family<metrics::Counter>& tls_route_open;
  metrics::Family<metrics::Counter>& tls_route_close;

 private:
  RouteMetrics::Families route_families(std::string_view prefix, bool grpc);
  struct Transport {
    metrics::Family<metrics::Counter>& open_total;
    metrics::Family<metrics::Gauge>& open_connections;
    metrics::Family<metrics::Counter>& read_bytes;
    metrics::Family<metrics::Counter>& write_bytes;
    metrics::Family<metrics::Counter>& close_total;
  } transport_;
  metrics::Family<metrics::Counter>& detect_inbound_;
  metrics::Family<metrics::Counter>& detect_outbound_;
  metrics::Family<metrics::Histogram>& detect_inbound_duration_;
  metrics::Family<metrics::Histogram>& detect_outbound_duration_;
  metrics::Family<metrics::Counter>& request_total_;
  metrics::Family<metrics::Histogram>& response_latency_;
  metrics::Family<metrics::Counter>& response_total_;
  metrics::Family<metrics::Counter>& control_request_total_;
  metrics::Family<metrics::Histogram>& control_response_latency_;
  metrics::Family<metrics::Counter>& control_response_total_;
  struct Balancers {
    metrics::Family<metrics::Gauge>* p2c_endpoints;
    metrics::Family<metrics::Counter>* p2c_updates;
    metrics::Family<metrics::Gauge>* queue_length;
    metrics::Family<metrics::Counter>* queue_requests;
    metrics::Family<metrics::Histogram>* queue_latency;
    metrics::Family<metrics::Counter>* gate_open;
    metrics::Family<metrics::Counter>* gate_shut;
    metrics::Family<metrics::Gauge>* gate_open_time;
    metrics::Family<metrics::Gauge>* gate_shut_time;
    metrics::Family<metrics::Gauge>* gate_timeout;
    metrics::Family<metrics::Gauge>* endpoints;
  };
  Balancers balancer_families(std::string_view prefix);
  Balancers balancers_[6];  // by Balanced
  metrics::Family<metrics::Counter>& transfer_cost_;
  RouteMetrics::Families inbound_routes_[2];  // [0] HTTP, [1] gRPC
  RouteMetrics::Families outbound_routes_[2];
  RouteMetrics::Families outbound_backends_[2];
  std::vector<std::shared_ptr<metrics::Counter>> always_there_;
};

// Label groups of §6.1, in their order.
metrics::Labels target_labels(const net::SocketAddr& target);
std::string port_label(std::uint16_t port);  // "other" for 0 (Worker::named)
metrics::Labels server_labels(const Meta& meta, std::uint16_t port);      // srv_*
metrics::Labels route_labels(const Meta& meta);                           // route_*
metrics::Labels authz_labels(const Meta& meta);                           // authz_*
metrics::Labels peer_labels(const Peer& peer);                            // server TLS
metrics::Labels endpoint_tls_labels(const EndpointInfo& info, bool own);  // client TLS
// Label groups of §6.4.
metrics::Labels parent_labels(
    const Meta& meta);  // parent_{group,kind,namespace,name,port,section_name}
metrics::Labels outbound_route_labels(const Meta& meta);  // route_{group,kind,namespace,name}
metrics::Labels backend_labels(const Meta& meta);         // backend_*, as parent_*
// direction … dst_*. `authority`: of the backend that balances over it; empty for bare endpoints.
metrics::Labels endpoint_labels(const EndpointInfo& info, bool own, std::string_view authority);
std::string errno_name(int os_errno);

}  // namespace tulle::proxy
