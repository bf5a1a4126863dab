// SPDX-License-Identifier: Apache-2.0
// The rules about an object's values that its types cannot express: what Kubernetes' own validation
// and the policy webhook (docs/reference/control-plane.md §6.5) would refuse. Also fills in what
// the API server would: the namespace "default", podIPs from podIP.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "lib/k8s/manifest.h"

namespace tulle::k8s {

struct Violation {
  std::string path;
  std::string reason;
};

// The first rule broken, if any.
std::optional<Violation> complete_and_check(Object& object);

// RFC 1123 subdomain: what names of objects look like. Safe as part of a file's name.
bool is_subdomain(std::string_view name);

}  // namespace tulle::k8s
