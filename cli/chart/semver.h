// SPDX-License-Identifier: Apache-2.0
// Versions and constraints on them as charts write them: ">=1.29.0-0", "^1.2", "~1.2.3 || 2.x",
// ">1, <3".
#pragma once

#include <optional>
#include <string_view>

namespace tulle::chart {

// Nullopt if one of them cannot be read. A version with a pre-release fits only what names one
// itself.
std::optional<bool> version_fits(std::string_view constraint, std::string_view version);

}  // namespace tulle::chart
