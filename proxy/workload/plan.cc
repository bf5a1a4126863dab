// SPDX-License-Identifier: Apache-2.0
#include "proxy/workload/plan.h"

#include "lib/config/values.h"

namespace tulle::proxy {
namespace {

constexpr std::size_t kMaxHosts = 100;

PlannedDistribution plan_distribution(Worker& worker, const ClientPolicy& policy, Family family,
                                      const Distribution& from) {
  PlannedDistribution to;
  to.kind = from.kind;
  for (const Backend& backend : from.backends) {
    PlannedBackend planned;
    planned.spec = &backend;
    if (backend.kind == Backend::Kind::Balance)
      planned.balanced = worker.balanced(policy.parent, backend, family);
    if (backend.kind == Backend::Kind::Forward) planned.forward = worker.forward(backend.endpoint);
    to.backends.push_back(std::move(planned));
  }
  return to;
}

std::vector<std::vector<PlannedRule>> plan_routes(Worker& worker, const ClientPolicy& policy,
                                                  Family family,
                                                  const std::vector<OutboundRoute>& routes) {
  const bool grpc = policy.protocol == ClientPolicy::Protocol::Grpc;
  std::vector<std::vector<PlannedRule>> planned;
  for (const OutboundRoute& route : routes) {
    metrics::Labels labels = parent_labels(policy.parent);
    labels.append(outbound_route_labels(route.meta));
    metrics::Labels nameless = labels;
    const RouteMetricsPtr counted = worker.outbound_route(grpc, nameless.add("hostname", ""));
    auto& rules = planned.emplace_back();
    for (const OutboundRule& rule : route.rules) {
      PlannedRule& made = rules.emplace_back();
      made.distribution = plan_distribution(worker, policy, family, rule.distribution);
      if (worker.config().hostname_labels) made.labels = labels;
      made.route = counted;
      for (PlannedBackend& backend : made.distribution.backends) {
        metrics::Labels with_backend = labels;
        with_backend.append(backend_labels(backend.spec->meta));
        backend.metrics = worker.outbound_backend(grpc, with_backend);
      }
    }
  }
  return planned;
}

}  // namespace

const RouteMetricsPtr& PlannedRule::metrics(Worker& worker, std::string_view authority) {
  if (!worker.config().hostname_labels) return route;
  const std::string_view host = authority_host(authority);
  const auto known = by_host.find(host);
  if (known != by_host.end()) return known->second;
  if (by_host.size() >= kMaxHosts || !config::is_dns_name(host) || net::IpAddr::parse(host))
    return route;
  metrics::Labels with_host = labels;
  with_host.add("hostname", host);
  return by_host.emplace(host, worker.outbound_route(route->grpc(), with_host)).first->second;
}

bool PlannedBackend::ready() const noexcept {
  if (balanced) return balanced->balancer().ready();
  if (forward) return forward->usable();
  return spec->kind == Backend::Kind::Fail;
}

PlannedBackend* PlannedDistribution::choose(Random& random) {
  if (backends.empty()) return nullptr;
  if (backends.size() == 1) return &backends.front();
  if (kind == Distribution::Kind::FirstAvailable) {
    for (PlannedBackend& backend : backends) {
      if (backend.ready()) return &backend;
    }
    return &backends.front();  // waits there
  }
  // Weighted among those that can serve; among all when none can.
  for (const bool only_ready : {true, false}) {
    std::uint64_t total = 0;
    for (const PlannedBackend& backend : backends) {
      if (!only_ready || backend.ready()) total += backend.spec->weight;
    }
    if (total == 0) continue;
    std::uint64_t draw = random.next() % total;
    for (PlannedBackend& backend : backends) {
      if (only_ready && !backend.ready()) continue;
      if (draw < backend.spec->weight) return &backend;
      draw -= backend.spec->weight;
    }
  }
  return nullptr;
}

std::shared_ptr<Plan> make_plan(Worker& worker, ClientPolicyPtr policy, Family family) {
  auto plan = std::make_shared<Plan>();
  plan->http1 = plan_routes(worker, *policy, family, policy->http1);
  plan->http2 = plan_routes(worker, *policy, family, policy->http2);
  if (policy->opaque)
    plan->opaque = plan_distribution(worker, *policy, family, policy->opaque->distribution);
  for (const TlsRouteMatch& route : policy->tls) {
    plan->tls.push_back(plan_distribution(worker, *policy, family, route.rule.distribution));
  }
  static constexpr std::string_view kProtocols[] = {"detect", "http/1", "http/2",
                                                    "http/2", "opaq",   "tls"};
  metrics::Labels labels = parent_labels(policy->parent);
  if (policy->protocol == ClientPolicy::Protocol::Detect) {
    plan->detection = worker.metrics().detection(Direction::Outbound, labels);
  }
  labels.add("protocol", kProtocols[static_cast<std::size_t>(policy->protocol)]);
  plan->connections = worker.metrics().protocol_connections.get(labels);
  plan->policy = std::move(policy);
  return plan;
}

}  // namespace tulle::proxy
