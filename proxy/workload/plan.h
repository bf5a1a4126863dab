// SPDX-License-Identifier: Apache-2.0
// A client policy made ready for one worker: every backend resolved to its balancer or endpoint,
// every route with the counters that it bumps. Made once per snapshot and target, shared by its
// connections.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/snapshot/client_policy.h"
#include "proxy/workload/worker.h"

namespace tulle::proxy {

struct PlannedBackend {
  const Backend* spec = nullptr;
  std::shared_ptr<BalancedBackend> balanced;
  std::shared_ptr<Endpoint> forward;
  RouteMetricsPtr metrics;  // HTTP and gRPC only
  bool ready() const noexcept;
};

struct PlannedDistribution {
  Distribution::Kind kind = Distribution::Kind::Empty;
  std::vector<PlannedBackend> backends;
  // The backend for one request, null when there is none at all. Prefers one that can serve now.
  PlannedBackend* choose(Random& random);
};

struct PlannedRule {
  PlannedDistribution distribution;
  metrics::Labels labels;  // of parent and route, where host names are told apart
  RouteMetricsPtr route;   // with no host name
  std::map<std::string, RouteMetricsPtr, std::less<>> by_host;
  // Host names are told apart only where the environment asks for it, and only so many of them.
  const RouteMetricsPtr& metrics(Worker& worker, std::string_view authority);
};

struct Plan {
  ClientPolicyPtr policy;
  std::vector<std::vector<PlannedRule>> http1;  // by route and rule, as in the policy
  std::vector<std::vector<PlannedRule>> http2;
  PlannedDistribution opaque;
  std::vector<PlannedDistribution> tls;
  std::shared_ptr<metrics::Counter> connections;
  DetectMetrics detection;  // of policies that detect
};

// For connections to addresses of that family.
std::shared_ptr<Plan> make_plan(Worker& worker, ClientPolicyPtr policy, Family family);

}  // namespace tulle::proxy
