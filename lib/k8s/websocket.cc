// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/websocket.h"

#include "lib/base/text.h"
#include "lib/tls/cert.h"

namespace tulle::k8s {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr std::size_t kMaxControl = 125;
constexpr std::uint8_t kFin = 0x80, kReserved = 0x70, kOpcode = 0x0F, kMasked = 0x80,
                       kLength = 0x7F;
constexpr std::uint8_t kLength16 = 126, kLength64 = 127;

struct Head {
  std::size_t size = 0;  // of the head itself
  std::uint64_t length = 0;
  WebSocketOpcode opcode = WebSocketOpcode::Continuation;
  bool last = false;
};

bool is_known(std::uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

// nullopt: not all of it is there.
Result<std::optional<Head>> read_head(Bytes bytes) {
  if (bytes.size() < 2) return std::optional<Head>();
  const std::uint8_t opcode = bytes[0] & kOpcode, length = bytes[1] & kLength;
  if ((bytes[0] & kReserved) != 0)
    return Error{Errc::Protocol, "read a WebSocket frame: reserved bits are set"};
  if (!is_known(opcode)) return Error{Errc::Protocol, "read a WebSocket frame: unknown opcode"};
  if ((bytes[1] & kMasked) != 0)
    return Error{Errc::Protocol, "read a WebSocket frame: masked by a server"};
  Head head;
  head.opcode = static_cast<WebSocketOpcode>(opcode);
  head.last = (bytes[0] & kFin) != 0;
  const bool control = opcode >= 8;
  if (control && (!head.last || length > kMaxControl)) {
    return Error{Errc::Protocol, "read a WebSocket frame: a control frame is long or in parts"};
  }
  const std::size_t more = length == kLength16 ? 2 : length == kLength64 ? 8 : 0;
  head.size = 2 + more;
  if (bytes.size() < head.size) return std::optional<Head>();
  head.length = more == 0 ? length : 0;
  for (std::size_t i = 0; i < more; ++i) head.length = head.length << 8 | bytes[2 + i];
  return std::optional<Head>(head);
}

}  // namespace

void append_message(WebSocketOpcode opcode, Bytes payload, std::array<std::uint8_t, 4> mask,
                    ByteQueue& out) {
  out.push_back(kFin | static_cast<std::uint8_t>(opcode));
  const std::size_t more = payload.size() <= kMaxControl ? 0 : payload.size() <= 0xFFFF ? 2 : 8;
  const std::size_t length = more == 0 ? payload.size() : more == 2 ? kLength16 : kLength64;
  out.push_back(static_cast<std::uint8_t>(kMasked | length));
  for (std::size_t i = more; i > 0; --i)
    out.push_back(static_cast<std::uint8_t>(payload.size() >> 8 * (i - 1)));
  out.append(Bytes(mask));
  if (payload.empty()) return;
  const MutableBytes room = out.prepare(payload.size());
  for (std::size_t i = 0; i < payload.size(); ++i) room[i] = payload[i] ^ mask[i % 4];
  out.commit(payload.size());
}

Result<std::optional<WebSocketMessage>> WebSocketDecoder::next() {
  for (;;) {
    const Result<std::optional<Head>> read = read_head(held_.data());
    if (!read) return read.error();
    if (!*read) return std::optional<WebSocketMessage>();
    const Head& head = **read;
    const std::size_t before = partial_ ? partial_->data.size() : 0;
    if (head.length > max_ || before + head.length > max_)
      return Error{Errc::TooLarge, "read a WebSocket message"};
    const auto length = static_cast<std::size_t>(head.length);
    if (held_.size() < head.size + length) return std::optional<WebSocketMessage>();
    WebSocketMessage message{head.opcode,
                             std::string(as_text(held_.data().subspan(head.size, length)))};
    held_.consume(head.size + length);
    if (head.opcode >= WebSocketOpcode::Close) return std::optional(std::move(message));
    const bool follows = head.opcode == WebSocketOpcode::Continuation;
    if (follows != partial_.has_value()) {
      return Error{Errc::Protocol, "read a WebSocket frame: a fragment out of place"};
    }
    if (follows) {
      partial_->data += message.data;
    } else {
      partial_ = std::move(message);
    }
    if (!head.last) continue;
    std::optional<WebSocketMessage> whole = std::move(partial_);
    partial_.reset();
    return whole;
  }
}

std::string websocket_accept(std::string_view key) {
  return base64_encode(as_bytes(tls::sha1(concat(key, kGuid))));
}

}  // namespace tulle::k8s
