// SPDX-License-Identifier: Apache-2.0
#include "lib/http/body.h"

namespace tulle::http {
namespace {

void observe_end(detail::BodyState& state, const Error* error, const HeaderMap* trailers) {
  if (const std::unique_ptr<BodyObserver> observer = std::move(state.observer)) {
    observer->on_end(error, trailers);
  }
}

}  // namespace

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
  const Error dropped{Errc::Cancelled, "body"};
  observe_end(*state, &dropped, nullptr);
  if (!state->has_writer) {
    delete state;
    return;
  }
  state->bytes.clear();
  // A body that is over owes its reader nothing.
  if (!state->ended && !state->failed && state->producer != nullptr)
    state->producer->on_abandoned();
}

void BodyReader::observe(std::unique_ptr<BodyObserver> observer) {
  if (!state_) {
    observer->on_end(nullptr, nullptr);
    return;
  }
  TULLE_ASSERT(!state_->observer);
  if (!state_->bytes.empty()) observer->on_data(state_->bytes.size());
  state_->observer = std::move(observer);
  if (state_->ended) {
    observe_end(*state_, nullptr, &state_->trailers);
  } else if (state_->failed) {
    observe_end(*state_, &state_->error, nullptr);
  }
}

void BodyReader::rescue_with(Rescue rescue) {
  if (!state_) return;
  state_->rescue = rescue;
  if (!state_->failed) return;
  state_->trailers = rescue(state_->error);
  state_->failed = false;
  state_->ended = true;
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
  if (state_->observer) state_->observer->on_data(bytes.size());
  announce();
}

void BodyWriter::finish(HeaderMap trailers) {
  if (!state_ || state_->ended || state_->failed) return;
  state_->trailers = std::move(trailers);
  state_->ended = true;
  observe_end(*state_, nullptr, &state_->trailers);
  if (state_->has_reader) announce();
}

void BodyWriter::fail(Error error) {
  if (!state_ || state_->ended || state_->failed) return;
  state_->error = error;
  if (state_->rescue != nullptr) {
    state_->trailers = state_->rescue(error);
    state_->ended = true;
  } else {
    state_->failed = true;
  }
  observe_end(*state_, &state_->error, nullptr);
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
