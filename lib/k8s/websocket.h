// SPDX-License-Identifier: Apache-2.0
// The client's side of WebSocket framing (RFC 6455 §5), as the API server speaks it for ports of
// pods. Bytes in, messages out; no socket. No extensions: none was offered.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tulle::k8s {

enum class WebSocketOpcode : std::uint8_t {
  Continuation = 0,
  Text = 1,
  Binary = 2,
  Close = 8,
  Ping = 9,
  Pong = 10
};

struct WebSocketMessage {
  WebSocketOpcode opcode;  // never Continuation
  std::string data;        // of Close: two bytes of code, then a reason; or nothing
};

// Appends one whole message in one frame, masked as a client's must be (§5.3). Nobody else may be
// able to foresee `mask`.
void append_message(WebSocketOpcode opcode, Bytes payload, std::array<std::uint8_t, 4> mask,
                    ByteQueue& out);

// Cuts what a server sent into messages; joins fragments.
class WebSocketDecoder {
 public:
  explicit WebSocketDecoder(std::size_t max_message) : max_(max_message) {}
  void feed(Bytes bytes) { held_.append(bytes); }
  // The next whole message; nullopt: feed on. Errors, after which nothing can be trusted: Protocol
  // (a masked frame, reserved bits, a fragmented or long control frame, a fragment out of place),
  // TooLarge.
  Result<std::optional<WebSocketMessage>> next();

 private:
  std::size_t max_;
  ByteQueue held_;
  std::optional<WebSocketMessage> partial_;  // fragments so far
};

// The answer that a server must give to this `sec-websocket-key` (§4.2.2).
std::string websocket_accept(std::string_view key);

}  // namespace tulle::k8s
