// SPDX-License-Identifier: Apache-2.0
// Frames of a WebSocket server: whatever the pieces, the same messages come out; what we write
// ourselves, unmasked, is read again as it was. The first byte is the size of pieces.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/k8s/websocket.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target
using Messages = std::vector<std::pair<k8s::WebSocketOpcode, std::string>>;

constexpr std::size_t kMaxMessage = 1000;

// What came before an error counts as well.
struct Read {
  Messages messages;
  std::optional<Errc> error;
  friend bool operator==(const Read&, const Read&) = default;
};

Read read(Bytes bytes, std::size_t piece) {
  k8s::WebSocketDecoder decoder(kMaxMessage);
  Read out;
  do {
    const Bytes now = bytes.first(std::min(piece, bytes.size()));
    bytes = bytes.subspan(now.size());
    decoder.feed(now);
    for (;;) {
      auto message = decoder.next();
      if (!message) {
        out.error = message.error().code;
        return out;
      }
      if (!*message) break;
      TULLE_CHECK((*message)->opcode != k8s::WebSocketOpcode::Continuation);
      TULLE_CHECK((*message)->data.size() <= kMaxMessage);
      out.messages.emplace_back((*message)->opcode, std::move((*message)->data));
    }
  } while (!bytes.empty());
  return out;
}

// A client's frame as a server's: without its mask, which is all zeros.
std::string unmasked(Bytes payload) {
  ByteQueue queue;
  k8s::append_message(k8s::WebSocketOpcode::Binary, payload, {}, queue);
  std::string frame(as_text(queue.data()));
  frame.erase(frame.size() - payload.size() - 4, 4);
  frame[1] = static_cast<char>(frame[1] & 0x7F);
  return frame;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes bytes(data + 1, size - 1);
  const Read whole = read(bytes, SIZE_MAX);
  TULLE_CHECK(read(bytes, 1U + data[0] % 16U) == whole);
  if (bytes.size() <= kMaxMessage) {
    const std::string frame = unmasked(bytes);
    const Read again = read(as_bytes(std::string_view(frame)), SIZE_MAX);
    TULLE_CHECK(!again.error && again.messages.size() == 1 &&
                again.messages[0].second == as_text(bytes));
  }
  (void)k8s::websocket_accept(as_text(bytes));
  return 0;
}
