// SPDX-License-Identifier: Apache-2.0
// A clock that tests can step, for programs built for tests: what is linked with clock_offset.cc
// adds the signed seconds in the file named by TULLE_CLOCK_OFFSET_FILE to its wall clock; the file
// is read again at most once a second. Programs that are published do not have it
// (tools/check-binary): whoever could set a variable or write a file could bring back certificates
// that have ended.
#pragma once

#include <cstdint>

namespace tulle {

// From now on wall_now() adds what this returns, in seconds.
using WallOffset = std::int64_t (*)() noexcept;
void set_wall_offset_for_testing(WallOffset seconds) noexcept;

}  // namespace tulle
