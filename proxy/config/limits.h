// SPDX-License-Identifier: Apache-2.0
// Bounds that follow from the configuration of one direction.
#pragma once

#include <algorithm>

#include "lib/http1/codec.h"
#include "proxy/config/config.h"

namespace tulle::proxy {

// …_SERVER_HTTP2_MAX_HEADER_LIST_SIZE bounds heads of HTTP/1, too, up to 1 MiB; left alone, HTTP/1
// has a bound of its own (64 KiB).
inline http1::Limits http1_limits(const SideConfig& config) {
  http1::Limits limits;
  if (config.h2_max_header_list != SideConfig{}.h2_max_header_list)
    limits.max_head = std::min<std::size_t>(config.h2_max_header_list, std::size_t{1} << 20);
  return limits;
}

}  // namespace tulle::proxy
