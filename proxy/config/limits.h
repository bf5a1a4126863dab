// SPDX-License-Identifier: Apache-2.0
// Bounds that follow from the configuration of one direction.
#pragma once

#include <algorithm>

#include "lib/http1/codec.h"
#include "proxy/config/config.h"

namespace tulle::proxy {

// …_SERVER_HTTP2_MAX_HEADER_LIST_SIZE bounds heads of HTTP/1, too, up to 1 MiB; left alone, the
// bound is 64 KiB.
inline http1::Limits http1_limits(const SideConfig& config) {
  http1::Limits limits;
  if (config.h2_max_header_list != SideConfig{}.h2_max_header_list)
    limits.max_head = std::min<std::size_t>(config.h2_max_header_list, std::size_t{1} << 20);
  return limits;
}

// The same bound for header lists of HTTP/2: what is said, or 64 KiB.
inline std::uint32_t header_list_limit(const SideConfig& config) {
  if (config.h2_max_header_list != SideConfig{}.h2_max_header_list)
    return config.h2_max_header_list;
  return static_cast<std::uint32_t>(http1::Limits{}.max_head);
}

// Of a list that carries a head of HTTP/1 of any size that is taken: HTTP/2 counts 32 bytes more a
// field, and proxies of ours say how names were spelled.
inline std::uint32_t carried_list_limit(const SideConfig& config) {
  const http1::Limits limits = http1_limits(config);
  return static_cast<std::uint32_t>(2 * limits.max_head + 64 * limits.max_fields);
}

}  // namespace tulle::proxy
