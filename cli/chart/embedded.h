// SPDX-License-Identifier: Apache-2.0
// The charts of this version, as files in the program. The build makes them from charts/.
#pragma once

#include <span>
#include <string_view>

#include "cli/chart/chart.h"

namespace tulle::chart {

// Empty if there is no chart of this name.
std::span<const Source> embedded_chart(std::string_view name) noexcept;

}  // namespace tulle::chart
