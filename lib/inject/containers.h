// SPDX-License-Identifier: Apache-2.0
// The containers and volumes that injection adds, from one pod's settings
// (docs/reference/control-plane.md §1.8–1.11).
#pragma once

#include <string>

#include "lib/inject/overrides.h"
#include "lib/inject/value.h"

namespace tulle::inject {

// How the proxy stands in the pod.
struct Placement {
  bool native = true;  // an init container that restarts (Kubernetes ≥ 1.29)
  bool first = false;  // classic only: before the application's containers, which wait for it
};

Value proxy_container(const Settings& settings, const Placement& placement, const Value& spec);
Value init_container(const Settings& settings);
// Under CNI: proves that redirection works before anything starts.
Value validator_container(const Settings& settings);
Value debug_container(const Settings& settings);

Value identity_volume();
Value token_volume();
Value pod_info_volume();
Value xtables_volume();

// Where Kubernetes mounts the token of the service account.
inline constexpr std::string_view kAccountMount = "/var/run/secrets/kubernetes.io/serviceaccount";
// The mount at that place of the pod's first container; null if it has none.
const Value* account_mount(const Value& spec) noexcept;

}  // namespace tulle::inject
