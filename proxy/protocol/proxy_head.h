// SPDX-License-Identifier: Apache-2.0
// The head of the PROXY protocol (versions 1 and 2, as HAProxy describes it), which load balancers
// put before a connection's own bytes. Only its size matters here: what it says of addresses is for
// the application, and is nothing that we have checked.
#pragma once

#include <cstddef>

#include "lib/base/bytes.h"

namespace tulle::proxy {

// Of all heads that follow each other. A larger one is refused: there is no use for it.
inline constexpr std::size_t kMaxProxyHead = 4096;

struct ProxyHead {
  enum class State : std::uint8_t {
    None,      // these bytes begin otherwise
    NeedMore,  // they may begin with one
    Found,
    TooLong,
  };
  State state = State::None;
  std::size_t size = 0;  // of those that are whole
};
// What the bytes of a connection begin with.
ProxyHead parse_proxy_head(Bytes bytes) noexcept;

}  // namespace tulle::proxy
