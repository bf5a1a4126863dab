// SPDX-License-Identifier: Apache-2.0
// Stands for what was sent to a client, so that the same is not sent twice. Keyed with random bytes
// of this process: nobody outside can make two states that look the same, whatever names and labels
// they choose.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tulle::control {

using Digest = std::array<std::uint8_t, 16>;

// The first half of SHA-256 over the key and these bytes.
Digest digest_of(std::string_view bytes);

}  // namespace tulle::control
