// SPDX-License-Identifier: Apache-2.0
// Helm values that the charts do not know: whoever misspells one is told, by name, at every depth.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/inject/value.h"

namespace tulle::inject {

// The paths that linkerd-control-plane documents ("proxy.ports.admin"), as its known.txt lists
// them. "podLabels.*": the members are the user's own.
std::span<const std::string_view> known_values();

struct UnknownValue {
  std::string path;       // the outermost that is not known
  std::string_view near;  // the known path that was probably meant; "" if none is near
};
// In the order of `values`. A value that Helm adds itself ("global") is no mistake.
std::vector<UnknownValue> unknown_values(const Value& values);

}  // namespace tulle::inject
