// SPDX-License-Identifier: Apache-2.0
#include "proxy/workload/worker.h"

#include <algorithm>
#include <utility>

#include "lib/base/text.h"
#include "proxy/endpoint/local_target.h"
#include "proxy/workload/plan.h"

namespace tulle::proxy {
namespace {

constexpr Duration kSweepEvery = 5s;
constexpr std::size_t kMaxOutboundClients = 4096;

BalancerOptions balancer_options(const Config& config, const EwmaOptions& load) {
  BalancerOptions options;
  options.load = load;
  options.requests = {config.outbound.failfast_timeout, config.outbound.queue_capacity};
  return options;
}

// As requests name it: without the dot at the end, and without the port when that is 80.
std::string_view authority_of(std::string_view path) {
  return path.ends_with(":80") ? path.substr(0, path.size() - 3) : path;
}

// Estimates of what a remembered state takes; what is nested in a rule varies, and counts as a
// round figure.
constexpr std::size_t kRuleBytes = 1024;
std::size_t bytes_of(const ServerPolicy& policy) {
  std::size_t bytes = sizeof policy + policy.authorizations.size() * kRuleBytes;
  for (const InboundRoute& route : policy.routes) {
    bytes += sizeof route + (route.rules.size() + route.authorizations.size()) * kRuleBytes;
  }
  return bytes;
}
std::size_t bytes_of(const ClientPolicy& policy) {
  std::size_t bytes = sizeof policy + policy.tls.size() * kRuleBytes;
  for (const auto* const routes : {&policy.http1, &policy.http2}) {
    for (const OutboundRoute& route : *routes)
      bytes += sizeof route + route.rules.size() * kRuleBytes;
  }
  return bytes;
}
std::size_t bytes_of(const EndpointSet& set) {
  std::size_t bytes = sizeof set;
  for (const EndpointPtr& endpoint : set.endpoints) {
    bytes += sizeof *endpoint + sizeof endpoint + endpoint->identity.size() +
             endpoint->server_name.size();
    for (const auto& [name, value] : endpoint->labels)
      bytes += sizeof name + sizeof value + name.size() + value.size();
  }
  return bytes;
}
// What clients may have sent together, in all workers, before any of it could be understood: some
// thousand handshakes or heads that come in pieces.
constexpr std::size_t kMaxUnfinished = std::size_t{8} * 1024 * 1024;
constexpr std::size_t kLeastUnfinished = std::size_t{2} * 1024 * 1024;  // of one of many workers
constexpr Duration kHeadTime = 30s;

constexpr auto kWeigh = [](const auto& state) { return bytes_of(state); };

}  // namespace

BalancedBackend::BalancedBackend(Worker& worker, EndpointKey key, const EwmaOptions& load,
                                 const metrics::Labels& labels)
    : worker_(worker),
      key_(std::move(key)),
      labels_(labels),
      balancer_(worker.loop(), *this, balancer_options(worker.config(), load),
                worker.random().next(), worker.metrics().balancer(labels)),
      endpoints_(worker.endpoint_sets().acquire(key_)),
      on_change_(
          [this](const std::shared_ptr<const EndpointSet>& set) { balancer_.update(*set); }) {
  if (endpoints_.get()) balancer_.update(*endpoints_.get());
  endpoints_.listen(&on_change_);
}

Balancer& BalancedBackend::for_connections(QueueLimits limits, bool tls) {
  if (balancer_.connections(tls) == nullptr) {
    metrics::Labels labels{{"concrete", path()}};
    if (!tls) {
      labels = labels_;
      labels.add("logical", path()).add("concrete", path());
    }
    const Balanced what = tls ? Balanced::TlsConnections : Balanced::Connections;
    balancer_.count_connections(worker_.metrics().balancer(labels, what), limits, tls);
  }
  return balancer_;
}

BalancedBackend::~BalancedBackend() { endpoints_.unlisten(&on_change_); }

std::shared_ptr<Endpoint> BalancedBackend::make_endpoint(const EndpointPtr& info) {
  return worker_.make_endpoint(info, authority_of(path()));
}

// Lets go of balancers, endpoints and targets that nothing has used for a while.
class Worker::Sweep final : public net::Timer {
 public:
  explicit Sweep(Worker& worker) : worker_(worker) { again(); }
  void fire() override {
    worker_.sweep();
    again();
  }

 private:
  void again() { worker_.loop().arm(*this, worker_.loop().now() + kSweepEvery); }
  Worker& worker_;
};

class Worker::Retired final : public net::Timer {
 public:
  explicit Retired(net::Loop& loop) : loop_(loop) {}
  void add(std::unique_ptr<Endpoint> endpoint) {
    endpoints_.push_back(std::move(endpoint));
    if (!armed()) loop_.arm(*this, loop_.now());
  }
  void fire() override {
    // What ends with them may retire others.
    const std::vector<std::unique_ptr<Endpoint>> now = std::exchange(endpoints_, {});
  }

 private:
  net::Loop& loop_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
};

std::shared_ptr<Endpoint> Worker::make_endpoint(const EndpointPtr& info,
                                                std::string_view authority) {
  return {new Endpoint(endpoint_context_, info, authority),
          [this](Endpoint* endpoint) { retired_->add(std::unique_ptr<Endpoint>(endpoint)); }};
}

Worker::Worker(const WorkloadParts& parts, net::Loop& loop, std::uint64_t seed)
    : parts_(parts),
      loop_(loop),
      random_(seed),
      unfinished_(std::max(kMaxUnfinished / std::max(parts.config.workers, 1U), kLeastUnfinished),
                  parts.metrics.shed.get({{"direction", "inbound"}, {"reason", "unfinished"}})),
      learned_(parts.wide.learned),
      endpoint_context_{.loop = loop,
                        .config = parts.config,
                        .sockets = parts.sockets,
                        .metrics = parts.metrics,
                        .log = parts_.log,
                        .accounts = accounts_,
                        .random = random_,
                        .credentials = credentials_,
                        .instead = parts.dialer},
      server_policies_(loop, parts.server_policies, parts.config.inbound.discovery_idle, kWeigh,
                       [&config = parts.config](const std::uint16_t& port) {
                         return server_policy_until_known(config, port);
                       }),
      client_policies_(loop, parts.client_policies, parts.config.outbound.discovery_idle, kWeigh),
      endpoint_sets_(loop, parts.endpoints, parts.config.outbound.discovery_idle, kWeigh),
      retired_(std::make_unique<Retired>(loop)),
      inbound_targets_(std::make_unique<InboundTargets>(
          endpoint_context_, [this](std::uint16_t port) { server_policies_.prefer(port); })),
      sweep_(std::make_unique<Sweep>(*this)) {}

Worker::~Worker() = default;

net::Guard Worker::guard(const net::IpAddr& client) noexcept {
  net::Guard guard;
  guard.heads = &unfinished_;
  guard.client = client;
  guard.head_time = kHeadTime;
  return guard;
}

bool Worker::owns(const net::IpAddr& ip) const noexcept {
  return parts_.config.inbound_ips.empty() || is_own(ip) || ip.is_loopback();
}
bool Worker::is_own(const net::IpAddr& ip) const noexcept { return parts_.config.is_own(ip); }

net::SocketAddr Worker::named(const net::SocketAddr& target) const {
  if (declares(target.port)) return target;
  const ServerPolicyPtr policy = server_policies_.peek(target.port);
  const bool selected = policy && !policy->meta.group.empty();
  return selected ? target : net::SocketAddr{target.ip, 0};
}

std::shared_ptr<BalancedBackend> Worker::balanced(const Meta& parent, const Backend& backend,
                                                  Family family) {
  const EndpointKey key{backend.path, family};
  auto& kept = balanced_[{key, backend.load}];
  if (!kept.value) {
    metrics::Labels labels = parent_labels(parent);
    labels.append(backend_labels(backend.meta));
    kept.value = std::make_shared<BalancedBackend>(*this, key, backend.load, labels);
  }
  kept.used = loop_.now();
  return kept.value;
}

std::shared_ptr<Endpoint> Worker::forward(const EndpointPtr& info) {
  auto& kept = forwards_[info->addr];
  if (!kept.value || !(kept.value->info() == *info)) kept.value = make_endpoint(info);
  kept.used = loop_.now();
  return kept.value;
}

RouteMetricsPtr Worker::outbound_route(bool grpc, const metrics::Labels& labels) {
  std::weak_ptr<RouteMetrics>& known = outbound_routes_[grpc ? 1 : 0][labels.text()];
  RouteMetricsPtr metrics = known.lock();
  if (!metrics) known = metrics = parts_.metrics.outbound_route(grpc, labels);
  return metrics;
}

RouteMetricsPtr Worker::outbound_backend(bool grpc, const metrics::Labels& labels) {
  std::weak_ptr<RouteMetrics>& known = outbound_backends_[grpc ? 1 : 0][labels.text()];
  RouteMetricsPtr metrics = known.lock();
  if (!metrics) known = metrics = parts_.metrics.outbound_backend(grpc, labels);
  return metrics;
}

std::shared_ptr<Plan> Worker::plan(const ClientPolicyPtr& policy, Family family) {
  auto& kept = plans_[{policy.get(), family}];
  if (!kept.value) kept.value = make_plan(*this, policy, family);
  kept.used = loop_.now();
  return kept.value;
}

Worker::InboundPort& Worker::inbound_port(const ServerPolicyPtr& policy, std::uint16_t port) {
  if (inbound_ports_.size() >= sweep_ports_at_) {
    sweep_inbound_ports();
    sweep_ports_at_ = std::max<std::size_t>(256, 2 * inbound_ports_.size());
  }
  InboundPort& known = inbound_ports_[policy.get()];
  if (!known.policy) {
    known.policy = policy;
    known.detection =
        parts_.metrics.detection(Direction::Inbound, server_labels(policy->meta, port));
  }
  return known;
}

const DetectMetrics& Worker::inbound_detection(const ServerPolicyPtr& policy, std::uint16_t port) {
  return inbound_port(policy, port).detection;
}

RouteMetricsPtr Worker::inbound_route(const ServerPolicyPtr& policy, const InboundRoute& route,
                                      std::uint16_t port) {
  RouteMetricsPtr& metrics = inbound_port(policy, port).routes[&route];
  if (!metrics) {
    metrics::Labels labels{{"parent_group", policy->meta.group},
                           {"parent_kind", policy->meta.kind},
                           {"parent_name", policy->meta.name},
                           {"parent_port", port_label(port)}};
    labels.append(route_labels(route.meta));
    metrics =
        parts_.metrics.inbound_route(policy->protocol == ServerPolicy::Protocol::Grpc, labels);
  }
  return metrics;
}

std::shared_ptr<TransportMetrics> Worker::outbound_client(const net::SocketAddr& target) {
  if (outbound_clients_.size() >= kMaxOutboundClients) outbound_clients_.clear();
  std::shared_ptr<TransportMetrics>& known = outbound_clients_[target];
  if (!known) {
    metrics::Labels labels = target_labels(target);
    labels.add("tls", "no_identity").add("no_tls_reason", "loopback");
    known = parts_.metrics.transport(Direction::Outbound, true, labels);
  }
  return known;
}

void Worker::fold_accounts() {
  accounts_.for_each([](Account& account) { account.fold(); });
  for (auto& [key, kept] : balanced_) kept.value->balancer().fold();
}

void Worker::sweep_inbound_ports() {
  std::erase_if(inbound_ports_,
                [](const auto& entry) { return entry.second.policy.use_count() == 1; });
}

void Worker::sweep() {
  const TimePoint now = loop_.now();
  const Duration idle = parts_.config.outbound.discovery_idle;
  const auto forget_stale = [&](auto& kept) {
    for (auto at = kept.begin(); at != kept.end();) {
      if (at->second.value.use_count() > 1) at->second.used = now;
      at = now - at->second.used >= idle ? kept.erase(at) : std::next(at);
    }
  };
  forget_stale(plans_);  // first: they hold balancers and endpoints
  forget_stale(balanced_);
  forget_stale(forwards_);
  sweep_inbound_ports();
  for (auto* const kept : {outbound_routes_, outbound_backends_}) {
    for (std::size_t grpc = 0; grpc < 2; ++grpc)
      std::erase_if(kept[grpc], [](const auto& entry) { return entry.second.expired(); });
  }
  inbound_targets_->sweep();
  std::erase_if(outbound_clients_, [](const auto& entry) { return entry.second.use_count() == 1; });
}

}  // namespace tulle::proxy
