// SPDX-License-Identifier: Apache-2.0
// The body of a message as a stream of bytes between two sides on one loop: whoever receives it
// from a connection writes, whoever sends it on reads. Consuming gives credit back to the producer,
// so a slow reader stops the sender and no more than a window is ever held.
//   auto [writer, reader] = make_body(loop);
// Either side may go first: a dropped reader tells the producer (on_abandoned), a writer dropped
// before finish() or fail() is a failure with Errc::Cancelled.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/http/header_map.h"
#include "lib/net/loop.h"

namespace tulle::http {

// How the producer hears of the reader. Methods may be called from within any reader call; they
// must not destroy the body's writer from inside on_consumed.
class BodyProducer {
 public:
  virtual void on_consumed(std::size_t n) = 0;  // the reader took n more bytes
  virtual void on_abandoned() = 0;              // the reader is gone; nothing more is wanted

 protected:
  ~BodyProducer() = default;
};

// How a reader that is no coroutine hears of news (bytes, end or failure).
class BodyListener {
 public:
  virtual void on_body_changed() = 0;

 protected:
  ~BodyListener() = default;
};

// Watches a body go by, to account for it. Owned by the body; on_end is called exactly once: when
// the producer finished (no error), failed, or the reader was dropped before either
// (Errc::Cancelled).
class BodyObserver : public SlabAllocated {
 public:
  virtual ~BodyObserver() = default;
  virtual void on_data(std::size_t n) = 0;
  virtual void on_end(const Error* error, const HeaderMap* trailers) = 0;
};

namespace detail {
struct BodyState : SlabAllocated {
  explicit BodyState(net::Loop& loop) : changed(loop) {}
  ByteQueue bytes;
  HeaderMap trailers;
  net::Signal changed;
  BodyProducer* producer = nullptr;
  BodyListener* listener = nullptr;
  std::unique_ptr<BodyObserver> observer;
  HeaderMap (*rescue)(const Error&) = nullptr;
  Error error{Errc::Internal, ""};
  bool ended = false;
  bool failed = false;
  bool has_writer = true;
  bool has_reader = true;
};
}  // namespace detail

class BodyReader {
 public:
  BodyReader() = default;  // no body: ended at once
  BodyReader(BodyReader&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  BodyReader& operator=(BodyReader&& other) noexcept;
  ~BodyReader() {  // most are empty: they moved
    if (state_ != nullptr) reset();
  }

  // False for a message that has no body at all (not even an empty one that may have trailers).
  bool has_value() const noexcept { return state_ != nullptr; }
  // The bytes that are here now; empty does not mean ended.
  Bytes data() const noexcept { return state_ ? state_->bytes.data() : Bytes{}; }
  void consume(std::size_t n);
  // Everything was consumed and the producer finished.
  bool ended() const noexcept { return !state_ || (state_->ended && state_->bytes.empty()); }
  // The producer finished; data() is all that comes.
  bool complete() const noexcept { return !state_ || state_->ended; }
  // The producer failed; what data() still holds was received before.
  const Error* failure() const noexcept {
    return state_ && state_->failed ? &state_->error : nullptr;
  }
  // Valid once ended().
  HeaderMap& trailers() noexcept { return state_->trailers; }
  // Suspends until there is data, the end or a failure (true), or the deadline passed (false).
  // Check data(), ended(), failure() in a loop around it.
  bool ready() const noexcept {
    return !state_ || !state_->bytes.empty() || state_->ended || state_->failed;
  }
  net::Signal::Wait changed(Deadline by = {}) { return state_->changed.wait(by); }
  // At most one; nullptr to stop. Called besides waking coroutines. The listener must not destroy
  // the reader from inside the call.
  void listen(BodyListener* listener) noexcept {
    if (state_) state_->listener = listener;
  }
  // Adds an observer (one per body). Bytes and an end that are already there are reported at once.
  // On a message without a body the observer hears its end at once and goes.
  void observe(std::unique_ptr<BodyObserver> observer);
  // From here on a failure is an end with the trailers that `rescue` makes of it, for protocols
  // that say in trailers how a stream ended. Observers still hear the failure.
  using Rescue = HeaderMap (*)(const Error& error);
  void rescue_with(Rescue rescue);
  // Drops the reader: the producer hears on_abandoned().
  void reset() noexcept;

 private:
  friend std::pair<class BodyWriter, BodyReader> make_body(net::Loop& loop);
  explicit BodyReader(detail::BodyState* state) : state_(state) {}
  detail::BodyState* state_ = nullptr;
};

class BodyWriter {
 public:
  BodyWriter() = default;
  BodyWriter(BodyWriter&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  BodyWriter& operator=(BodyWriter&& other) noexcept;
  ~BodyWriter() { reset(); }

  explicit operator bool() const noexcept { return state_ != nullptr; }
  void set_producer(BodyProducer* producer) noexcept {
    if (state_) state_->producer = producer;
  }
  // Bytes written and not yet consumed: the producer keeps this within its window.
  std::size_t buffered() const noexcept { return state_ ? state_->bytes.size() : 0; }
  bool abandoned() const noexcept { return state_ && !state_->has_reader; }
  void write(Bytes bytes);
  void finish(HeaderMap trailers = {});
  void fail(Error error);

 private:
  friend std::pair<BodyWriter, BodyReader> make_body(net::Loop& loop);
  explicit BodyWriter(detail::BodyState* state) : state_(state) {}
  void reset() noexcept;
  void announce();
  detail::BodyState* state_ = nullptr;
};

std::pair<BodyWriter, BodyReader> make_body(net::Loop& loop);
// A complete body of these bytes.
BodyReader make_full_body(net::Loop& loop, Bytes bytes, HeaderMap trailers = {});

}  // namespace tulle::http
