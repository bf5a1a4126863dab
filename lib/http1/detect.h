// SPDX-License-Identifier: Apache-2.0
// Do these first bytes begin HTTP/1, HTTP/2 or neither? Decided as early as it can be: bytes that
// no method and no preface begins with are NotHttp at once, at any length.
#pragma once

#include <cstdint>

#include "lib/base/bytes.h"

namespace tulle::http1 {

enum class Detected : std::uint8_t { NeedMore, Http1, Http2, NotHttp };
Detected detect(Bytes bytes) noexcept;

}  // namespace tulle::http1
