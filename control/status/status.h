// SPDX-License-Identifier: Apache-2.0
// What the statuses of routes and policies should say (docs/reference/control-plane.md §6.8): is a
// route accepted by its parents, do its backends exist, does a rate limit have its Server to
// itself. Plain functions over the index.
#pragma once

#include <optional>
#include <vector>

#include "control/config.h"
#include "control/index/index.h"
#include "lib/k8s/route_objects.h"

namespace tulle::control {

// Who says it, in `controllerName` and as field manager.
inline constexpr std::string_view kStatusController = "linkerd.io/policy-controller";

// Our entries, one for each parent that is ours; without times. Parents of other controllers have
// none.
template <typename Route>
std::vector<k8s::RouteParentStatus> route_status(const View& view, const MeshConfig& config,
                                                 const Route& route);
k8s::PolicyStatus rate_limit_status(const View& view, const k8s::HttpLocalRateLimitPolicy& policy);
k8s::PolicyStatus egress_status(const MeshConfig& config, const k8s::EgressNetwork& network);

// Does `there` say the same, whenever it was said?
bool same_conditions(const std::vector<k8s::StatusCondition>& there,
                     const std::vector<k8s::StatusCondition>& wanted);

}  // namespace tulle::control
