// SPDX-License-Identifier: Apache-2.0
// Length-prefixed messages (gRPC's PROTOCOL-HTTP2): a byte that says "compressed", four bytes of
// length, big-endian, then the message. We never compress and refuse what is compressed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/http/body.h"
#include "lib/net/task.h"
#include "proto/message.h"

namespace tulle::grpc {

inline constexpr std::size_t kFramePrefix = 5;
inline constexpr std::size_t kDefaultMaxMessage = std::size_t{4} * 1024 * 1024;

// Puts the prefix into the first five bytes of `frame`; the message stands behind them.
void set_prefix(std::string& frame);

std::string frame_bytes(Bytes message);

template <typename M>
std::string frame_message(const M& message) {
  std::string frame(kFramePrefix, '\0');
  pb::append_message(message, frame);
  set_prefix(frame);
  return frame;
}

// Cuts a stream of bytes into messages. Holds no more than one message, and memory grows with the
// bytes that came, not with the length that was announced.
class FrameDecoder {
 public:
  explicit FrameDecoder(std::size_t max_message = kDefaultMaxMessage) : max_(max_message) {}
  // Takes bytes from the front of `input` up to the end of a message at most; how many it took.
  // Fails with Unsupported (compressed), Protocol (a flag that does not exist) or TooLarge.
  Result<std::size_t> feed(Bytes input);
  // A message is whole: take it before feeding on.
  bool complete() const noexcept {
    return prefix_size_ == kFramePrefix && message_.size() == size_;
  }
  std::string take();
  // Memory that the message under way has taken.
  std::size_t held() const noexcept { return message_.capacity(); }
  // Between two messages.
  bool idle() const noexcept { return prefix_size_ == 0; }

 private:
  std::size_t max_;
  std::uint8_t prefix_[kFramePrefix] = {};
  std::size_t prefix_size_ = 0;
  std::size_t size_ = 0;
  std::string message_;
};

// Hears how much memory a message takes that is not whole yet.
class HeldListener {
 public:
  virtual void on_held(std::size_t bytes) = 0;

 protected:
  ~HeldListener() = default;
};

// The messages of a body.
class MessageReader {
 public:
  MessageReader(http::BodyReader body, std::size_t max_message, HeldListener* listener = nullptr)
      : body_(std::move(body)), decoder_(max_message), listener_(listener) {}
  // The next message, or nullopt at the clean end of the body. Fails as FrameDecoder does, with
  // Protocol if the body ends within a message, with the body's failure, or with Timeout.
  net::Task<Result<std::optional<std::string>>> next(Deadline by);
  http::BodyReader& body() noexcept { return body_; }

 private:
  http::BodyReader body_;
  FrameDecoder decoder_;
  HeldListener* const listener_;
};

}  // namespace tulle::grpc
