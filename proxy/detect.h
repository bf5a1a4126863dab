// SPDX-License-Identifier: Apache-2.0
// What a client speaks, found from its first bytes; the bytes are given back in front of the
// stream.
#pragma once

#include <string>

#include "lib/net/socket.h"
#include "lib/net/stream.h"

namespace tulle::proxy {

struct DetectedTls {
  net::StreamPtr stream;  // replays what was read
  bool tls = false;
  std::string sni;  // empty: none
};
// Reads until a ClientHello was seen or cannot come any more (proxy.md §2.3). Timeout, Eof (nothing
// came).
net::Task<Result<DetectedTls>> detect_tls(net::StreamPtr stream, Deadline by);

enum class Spoken : std::uint8_t { Http1, Http2, NotHttp, Timeout };
struct DetectedHttp {
  net::StreamPtr stream;
  Spoken spoken = Spoken::NotHttp;
};
// Reads until the first bytes can only be HTTP/1, HTTP/2 or neither. Eof if nothing ever came.
net::Task<Result<DetectedHttp>> detect_http(net::StreamPtr stream, Deadline by);

// Waits until the client has spoken; false when `by` passed first.
net::Task<bool> spoke_within(net::Stream& stream, Deadline by);

}  // namespace tulle::proxy
