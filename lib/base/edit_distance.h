// SPDX-License-Identifier: Apache-2.0
// How alike two names are, for messages that tell what may have been meant.
#pragma once

#include <cstddef>
#include <string_view>

namespace tulle {

// How many characters must be put in, taken out or replaced to make one text of the other. Time is
// the product of the lengths.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace tulle
