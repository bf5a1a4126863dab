// SPDX-License-Identifier: Apache-2.0
// Joins two streams byte for byte with half-close: what opaque connections and upgraded HTTP
// connections are. Plain TCP on both sides is spliced in the kernel; otherwise bytes go through the
// loop's bulk buffer and only what could not be written is kept.
#pragma once

#include <cstdint>
#include <optional>

#include "lib/net/stream.h"

namespace tulle::net {

struct CopyOutcome {
  std::uint64_t forward = 0;   // bytes a → b
  std::uint64_t backward = 0;  // bytes b → a
  std::optional<Error> error;  // none: both sides ended cleanly
};

// Live figures and a way to end it from outside.
struct CopyControl {
  std::uint64_t forward = 0;
  std::uint64_t backward = 0;
};

// Runs until both sides ended or one failed (then the other is cut). Cancel by destroying the task.
Task<CopyOutcome> copy_duplex(Stream& a, Stream& b, CopyControl* control = nullptr);

}  // namespace tulle::net
