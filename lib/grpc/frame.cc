// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/frame.h"

#include <algorithm>

namespace tulle::grpc {

void set_prefix(std::string& frame) {
  TULLE_CHECK(frame.size() >= kFramePrefix && frame.size() - kFramePrefix <= UINT32_MAX);
  const auto size = static_cast<std::uint32_t>(frame.size() - kFramePrefix);
  frame[0] = 0;
  for (std::size_t i = 0; i < 4; ++i) frame[1 + i] = static_cast<char>(size >> (24 - 8 * i));
}

std::string frame_bytes(Bytes message) {
  std::string frame(kFramePrefix, '\0');
  frame += as_text(message);
  set_prefix(frame);
  return frame;
}

Result<std::size_t> FrameDecoder::feed(Bytes input) {
  TULLE_ASSERT(!complete());
  std::size_t taken = 0;
  if (prefix_size_ < kFramePrefix) {
    taken = std::min(kFramePrefix - prefix_size_, input.size());
    std::copy_n(input.begin(), taken, prefix_ + prefix_size_);
    prefix_size_ += taken;
    if (prefix_size_ > 0 && prefix_[0] > 1)
      return Error{Errc::Protocol, "read the prefix of a gRPC message"};
    if (prefix_size_ > 0 && prefix_[0] == 1)
      return Error{Errc::Unsupported, "read a compressed gRPC message"};
    if (prefix_size_ < kFramePrefix) return taken;
    size_ = 0;
    for (std::size_t i = 1; i < kFramePrefix; ++i) size_ = size_ << 8 | prefix_[i];
    if (size_ > max_) return Error{Errc::TooLarge, "read a gRPC message"};
  }
  const std::size_t more = std::min(size_ - message_.size(), input.size() - taken);
  message_ += as_text(input.subspan(taken, more));
  return taken + more;
}

std::string FrameDecoder::take() {
  TULLE_ASSERT(complete());
  prefix_size_ = 0;
  size_ = 0;
  std::string out;
  out.swap(message_);
  return out;
}

net::Task<Result<std::optional<std::string>>> MessageReader::next(Deadline by) {
  using Next = std::optional<std::string>;
  while (true) {
    if (!body_.data().empty()) {
      const Result<std::size_t> taken = decoder_.feed(body_.data());
      if (!taken) co_return taken.error();
      body_.consume(*taken);
      if (decoder_.complete()) co_return Next(decoder_.take());
      if (listener_ != nullptr) listener_->on_held(decoder_.held());
      continue;
    }
    if (const Error* const failure = body_.failure()) co_return Error(*failure);
    if (body_.ended()) {
      if (!decoder_.idle()) co_return Error{Errc::Protocol, "a body ended within a gRPC message"};
      co_return Next();
    }
    const bool in_time = co_await body_.changed(by);
    if (!in_time && !body_.ready()) co_return Error{Errc::Timeout, "wait for a gRPC message"};
  }
}

}  // namespace tulle::grpc
