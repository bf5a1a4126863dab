// SPDX-License-Identifier: Apache-2.0
// "Did you mean …?": the known name that an unknown one was probably meant to be.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace tulle {

// How many characters must be put in, taken out or replaced to make `b` of `a`. O(|a|·|b|).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the least distance to `name`, the first of several; "" if none is as near as a
// third of the name's length and 4. A name over 200 characters has no near one. The result is a
// view into `candidates`.
std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace tulle
