// SPDX-License-Identifier: Apache-2.0
// One worker's share of a workload: its loop, its snapshots of policy and discovery, its balancers
// and pools. Connections live and die on one worker; nothing here is shared with another.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "lib/net/drain.h"
#include "lib/net/loop.h"
#include "proxy/endpoint/balancer.h"
#include "proxy/endpoint/endpoint.h"
#include "proxy/observe/counted_stream.h"
#include "proxy/protocol/learned.h"
#include "proxy/workload/workload.h"

namespace tulle::proxy {

class InboundTargets;
class Worker;
struct Plan;

// A backend that is balanced: its endpoints as discovery tells, and the balancer over them.
class BalancedBackend final : Balancer::EndpointFactory {
 public:
  // `labels` of its metrics: parent and backend.
  BalancedBackend(Worker& worker, EndpointKey key, const EwmaOptions& load,
                  const metrics::Labels& labels);
  ~BalancedBackend();
  Balancer& balancer() noexcept { return balancer_; }
  // The same for connections of bytes, which are counted for themselves.
  Balancer& for_connections(QueueLimits limits, bool tls);
  const std::string& path() const noexcept { return key_.path; }

 private:
  std::shared_ptr<Endpoint> make_endpoint(const EndpointPtr& info) override;
  Worker& worker_;
  EndpointKey key_;
  metrics::Labels labels_;
  Balancer balancer_;
  WatchCache<EndpointKey, EndpointSet>::Handle endpoints_;
  std::function<void(const std::shared_ptr<const EndpointSet>&)> on_change_;
};

class Worker final {
 public:
  Worker(const WorkloadParts& parts, net::Loop& loop, std::uint64_t seed);
  ~Worker();

  net::Loop& loop() noexcept { return loop_; }
  const Config& config() const noexcept { return parts_.config; }
  net::SocketFactory& sockets() noexcept { return parts_.sockets; }
  Metrics& metrics() noexcept { return parts_.metrics; }
  const log::Logger& log() const noexcept { return parts_.log; }
  log::Sink& access_log() noexcept { return parts_.access_log; }
  Dialer* dialer() noexcept { return parts_.dialer; }
  const EndpointContext& endpoint_context() const noexcept { return endpoint_context_; }
  Random& random() noexcept { return random_; }
  AccountList& accounts() noexcept { return accounts_; }
  // Handshakes and heads of clients that are not whole.
  net::HeldBytes& unfinished() noexcept { return unfinished_; }
  // The limits that a server of requests keeps that client to.
  net::Guard guard(const net::IpAddr& client) noexcept;
  net::Drain& inbound_drain() noexcept { return inbound_drain_; }
  net::Drain& outbound_drain() noexcept { return outbound_drain_; }
  Learned& learned() noexcept { return learned_; }
  ProxyWide& wide() noexcept { return parts_.wide; }

  // Null before the first certificate; new handshakes use whatever is current.
  const CredentialsPtr& credentials() const noexcept { return credentials_; }
  void set_credentials(CredentialsPtr credentials) { credentials_ = std::move(credentials); }

  // May connections come to this address?
  bool owns(const net::IpAddr& ip) const noexcept;
  bool is_own(const net::IpAddr& ip) const noexcept;

  // Is the port one that the pod says it serves?
  bool declares(std::uint16_t port) const noexcept {
    return parts_.config.inbound_ports.contains(port) || port == parts_.config.admin_listen.port;
  }
  // How metrics name a target of ours: ports that the pod does not declare and no Server selects
  // share one name, port 0, which is printed as "other".
  net::SocketAddr named(const net::SocketAddr& target) const;

  WatchCache<std::uint16_t, ServerPolicy>& server_policies() noexcept { return server_policies_; }
  WatchCache<net::SocketAddr, ClientPolicy>& client_policies() noexcept { return client_policies_; }
  WatchCache<EndpointKey, EndpointSet>& endpoint_sets() noexcept { return endpoint_sets_; }
  InboundTargets& inbound_targets() noexcept { return *inbound_targets_; }

  // Counts of an inbound port under one policy, and of one of its routes.
  const DetectMetrics& inbound_detection(const ServerPolicyPtr& policy, std::uint16_t port);
  RouteMetricsPtr inbound_route(const ServerPolicyPtr& policy, const InboundRoute& route,
                                std::uint16_t port);
  // Counts of an outbound route, or of one of its backends: one object for all plans with
  // the same labels.
  RouteMetricsPtr outbound_route(bool grpc, const metrics::Labels& labels);
  RouteMetricsPtr outbound_backend(bool grpc, const metrics::Labels& labels);
  // The plan of a policy for connections to addresses of that family: made once, shared by all of
  // them on the worker.
  std::shared_ptr<Plan> plan(const ClientPolicyPtr& policy, Family family);

  // Shared while anybody holds it; kept a little longer for those who come back.
  // Counted under the parent and the backend that asked first.
  std::shared_ptr<BalancedBackend> balanced(const Meta& parent, const Backend& backend,
                                            Family family);
  std::shared_ptr<Endpoint> forward(const EndpointPtr& info);
  // An endpoint that nobody holds any more goes once the loop comes round: the last to let go of it
  // may be what its own connection calls, when the end of a response gives back the lease.
  std::shared_ptr<Endpoint> make_endpoint(const EndpointPtr& info, std::string_view authority = {});

  // Counts of applications' connections to a target.
  std::shared_ptr<TransportMetrics> outbound_client(const net::SocketAddr& target);

  // Adds what live connections have moved to the counters.
  void fold_accounts();

 private:
  class Sweep;
  class Retired;
  void sweep();
  template <typename T>
  struct Kept {
    std::shared_ptr<T> value;
    TimePoint used{};
  };

  WorkloadParts parts_;
  net::Loop& loop_;
  Random random_;
  AccountList accounts_;
  net::HeldBytes unfinished_;
  net::Drain inbound_drain_;
  net::Drain outbound_drain_;
  Learned learned_;
  CredentialsPtr credentials_;
  EndpointContext endpoint_context_;
  WatchCache<std::uint16_t, ServerPolicy> server_policies_;
  WatchCache<net::SocketAddr, ClientPolicy> client_policies_;
  WatchCache<EndpointKey, EndpointSet> endpoint_sets_;
  std::unique_ptr<Retired> retired_;  // outlives whoever holds endpoints
  std::map<std::pair<EndpointKey, EwmaOptions>, Kept<BalancedBackend>> balanced_;
  std::map<net::SocketAddr, Kept<Endpoint>> forwards_;
  // a plan holds its policy: no address comes twice
  std::map<std::pair<const ClientPolicy*, Family>, Kept<Plan>> plans_;
  struct InboundPort {
    ServerPolicyPtr policy;  // held: no address comes twice
    DetectMetrics detection;
    std::unordered_map<const InboundRoute*, RouteMetricsPtr> routes;
  };
  InboundPort& inbound_port(const ServerPolicyPtr& policy, std::uint16_t port);
  std::unordered_map<const ServerPolicy*, InboundPort> inbound_ports_;
  std::size_t sweep_ports_at_ = 256;
  void sweep_inbound_ports();
  using RouteMetricsByLabels = std::unordered_map<std::string, std::weak_ptr<RouteMetrics>>;
  RouteMetricsByLabels outbound_routes_[2];  // [0] HTTP, [1] gRPC
  RouteMetricsByLabels outbound_backends_[2];
  // those of no connection go soon
  std::unordered_map<net::SocketAddr, std::shared_ptr<TransportMetrics>> outbound_clients_;
  std::unique_ptr<InboundTargets> inbound_targets_;
  std::unique_ptr<Sweep> sweep_;
};

}  // namespace tulle::proxy
