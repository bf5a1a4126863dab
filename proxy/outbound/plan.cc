// SPDX-License-Identifier: Apache-2.0
#include "proxy/outbound/plan.h"

namespace tulle::proxy {
namespace {

PlannedDistribution plan_distribution(Worker& worker, const Distribution& from) {
  PlannedDistribution to;
  to.kind = from.kind;
  for (const Backend& backend : from.backends) {
    PlannedBackend planned;
    planned.spec = &backend;
    if (backend.kind == Backend::Kind::Balance) planned.balanced = worker.balanced(backend.path, backend.load);
    if (backend.kind == Backend::Kind::Forward) planned.forward = worker.forward(backend.endpoint);
    to.backends.push_back(std::move(planned));
  }
  return to;
}

std::vector<std::vector<PlannedRule>> plan_routes(Worker& worker, const std::vector<OutboundRoute>& routes) {
  std::vector<std::vector<PlannedRule>> planned;
  for (const OutboundRoute& route : routes) {
    auto& rules = planned.emplace_back();
    for (const OutboundRule& rule : route.rules) rules.push_back({plan_distribution(worker, rule.distribution)});
  }
  return planned;
}

}  // namespace

bool PlannedBackend::ready() const noexcept {
  if (balanced) return balanced->balancer().ready();
  if (forward) return forward->usable();
  return spec->kind == Backend::Kind::Fail;
}

PlannedBackend* PlannedDistribution::choose(Random& random) {
  if (backends.empty()) return nullptr;
  if (kind == Distribution::Kind::FirstAvailable || backends.size() == 1) {
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

std::shared_ptr<Plan> make_plan(Worker& worker, ClientPolicyPtr policy) {
  auto plan = std::make_shared<Plan>();
  plan->http1 = plan_routes(worker, policy->http1);
  plan->http2 = plan_routes(worker, policy->http2);
  if (policy->opaque) plan->opaque = plan_distribution(worker, policy->opaque->distribution);
  for (const TlsRouteMatch& route : policy->tls) {
    plan->tls.push_back(plan_distribution(worker, route.rule.distribution));
  }
  plan->policy = std::move(policy);
  return plan;
}

}  // namespace tulle::proxy
