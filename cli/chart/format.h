// SPDX-License-Identifier: Apache-2.0
// Go's fmt for the values of templates: the verbs v s q d f e g x X o b c t T %, with flags, width
// and precision.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/chart/value.h"

namespace tulle::chart {

std::string format_go(std::string_view format, std::span<const Value> args);
// fmt.Sprint: a space between two that are both no strings. `always`: between any two (Sprintln,
// without its newline).
std::string print_go(std::span<const Value> args, bool always);

}  // namespace tulle::chart
