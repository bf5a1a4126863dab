// SPDX-License-Identifier: Apache-2.0
// The control plane of a mesh on one machine: a pod like the others, stated as manifests.
#pragma once

#include <string>
#include <vector>

namespace tulle::local {

inline constexpr std::uint32_t kControlUser = 2103;

// The manifests of the control plane's pod, account and Services, for ModelReader. `flags` are
// appended to the command line of tulle-control.
std::string control_plane_manifests(const std::string& ns, const std::vector<std::string>& flags);

}  // namespace tulle::local
