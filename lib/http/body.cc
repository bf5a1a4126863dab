// SPDX-License-Identifier: Apache-2.0
#include "lib/http/body.h"

namespace tulle::http {

BodyReader& BodyReader::operator=(BodyReader&& other) noexcept {
  if (this != &other) {
    reset();
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

void BodyReader::consume(std::size_t n) {
  if (n == 0 || !state_) return;
  state_->bytes.consume(n);
  if (state_->has_writer && state_->producer != nullptr) state_->producer->on_consumed(n);
}

void BodyReader::reset() noexcept {
  detail::BodyState* const state = std::exchange(state_, nullptr);
  if (state == nullptr) return;
  state->has_reader = false;
  state->listener = nullptr;
  if (!state->has_writer) {
    delete state;
    return;
  }
  state->bytes.clear();
  // A body that is over owes its reader nothing.
  if (!state->ended && !state->failed && state->producer != nullptr) state->producer->on_abandoned();
}

BodyWriter& BodyWriter::operator=(BodyWriter&& other) noexcept {
  if (this != &other) {
    reset();
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

void BodyWriter::announce() {
  state_->changed.notify_all();
  if (state_->listener != nullptr) state_->listener->on_body_changed();
}

void BodyWriter::write(Bytes bytes) {
  if (!state_ || bytes.empty() || !state_->has_reader || state_->ended || state_->failed) return;
  state_->bytes.append(bytes);
  announce();
}

void BodyWriter::finish(HeaderMap trailers) {
  if (!state_ || state_->ended || state_->failed) return;
  state_->trailers = std::move(trailers);
  state_->ended = true;
  if (state_->has_reader) announce();
}

void BodyWriter::fail(Error error) {
  if (!state_ || state_->ended || state_->failed) return;
  state_->error = error;
  state_->failed = true;
  if (state_->has_reader) announce();
}

void BodyWriter::reset() noexcept {
  if (state_ == nullptr) return;
  if (!state_->ended && !state_->failed) fail({Errc::Cancelled, "body"});
  detail::BodyState* const state = std::exchange(state_, nullptr);
  state->has_writer = false;
  state->producer = nullptr;
  if (!state->has_reader) delete state;
}

std::pair<BodyWriter, BodyReader> make_body(net::Loop& loop) {
  auto* const state = new detail::BodyState(loop);
  return {BodyWriter(state), BodyReader(state)};
}

BodyReader make_full_body(net::Loop& loop, Bytes bytes, HeaderMap trailers) {
  auto [writer, reader] = make_body(loop);
  writer.write(bytes);
  writer.finish(std::move(trailers));
  return std::move(reader);
}

}  // namespace tulle::http
