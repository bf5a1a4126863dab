// SPDX-License-Identifier: Apache-2.0
// The part that server and client connections share: reading, flushing once a turn, and sending
// bodies fairly.
#pragma once

#include <algorithm>

#include "lib/h2/session.h"
#include "lib/http/body.h"
#include "lib/net/stream.h"

namespace tulle::h2 {

struct SendingTag;

// The body that one stream sends. Woken by the body and by windows; sends what it may in its turn.
class Outgoing : public http::BodyListener, public ListHook<SendingTag> {
 public:
  // The thing it waits for while it is linked: its turn, its own window, or that of the connection.
  enum class Waits : std::uint8_t { Turn, Stream, Connection };
  Waits waits = Waits::Turn;
  http::BodyReader body;
  StreamState* stream = nullptr;  // null once the stream is over
  bool sending = false;

 protected:
  ~Outgoing() = default;
};

// Belongs to one connection, lives on its loop. Whatever is to be sent is put into the session's
// output; the pump writes it once a turn.
class Pump : public net::FlushHook {
 public:
  Pump(net::StreamPtr stream, bool server, const SessionOptions& options, SessionEvents& events)
      : stream_(std::move(stream)), session_(server, options, events), drained_(stream_->loop()) {}

  net::Stream& stream() noexcept { return *stream_; }
  Session& session() noexcept { return session_; }
  net::Loop& loop() noexcept { return stream_->loop(); }

  // The body goes out from now on.
  void start(Outgoing& outgoing) {
    outgoing.sending = true;
    outgoing.body.listen(&outgoing);
    wake(outgoing);
  }
  // It has more to send: gets a turn unless it waits for a window.
  void wake(Outgoing& outgoing) {
    if (!outgoing.sending || outgoing.stream == nullptr) return;
    // A body that waits for a window has data already: more of it changes nothing.
    if (!outgoing.ListHook<SendingTag>::linked()) queue(outgoing);
    flush_soon();
  }
  // A window was raised. Only who waits for it is looked at, and in flush_now(), once for all that
  // was read, however many frames said so.
  void window_opened(Outgoing& outgoing) {
    if (!outgoing.ListHook<SendingTag>::linked() || outgoing.waits != Outgoing::Waits::Stream)
      return;
    outgoing.ListHook<SendingTag>::unlink();
    queue(outgoing);
    flush_soon();
  }
  // The same for the window of the connection, and for SETTINGS that raise that of every stream.
  void connection_window_opened() {
    if (!for_connection_.empty()) flush_soon();
  }
  void initial_window_opened() {
    if (for_stream_.empty()) return;
    every_window_opened_ = true;
    flush_soon();
  }
  void flush_soon() { loop().flush_later(*this); }
  // Nothing is written any more: the stream's writing side belongs to whoever shuts it down.
  void stop_writing() {
    stopped_writing_ = true;
    writer_.cancel();
  }
  // The peer takes nothing any more; read_all() ends with it.
  bool write_failed() const noexcept { return write_failed_; }

  // Reads until the connection ends; the error that ended it (Eof for a clean end).
  net::Task<Error> read_all() {
    std::uint64_t turn_frames = session_.frames_received();
    std::size_t turn_bytes = 0;
    std::size_t at_once = loop().scratch().size();
    for (;;) {
      // A peer that always has something to say lets others have their turn.
      if (session_.frames_received() - turn_frames >= kFramesPerTurn ||
          turn_bytes >= kBytesPerTurn) {
        turn_frames = session_.frames_received();
        turn_bytes = 0;
        co_await net::yield(loop());
        if (closing_) co_return Error{Errc::Eof, "close HTTP/2"};
      }
      if (holds_reading()) co_await may_read();
      const MutableBytes room = loop().scratch().first(at_once);
      const Result<std::size_t> n = stream_->try_read(room);
      if (!n) {
        turn_frames = session_.frames_received();
        turn_bytes = 0;
        if (n.error().code != Errc::WouldBlock) co_return n.error();
        if (write_failed_) co_return Error{Errc::Reset, "write HTTP/2"};
        co_await net::readable(stream_->io());
        if (closing_) co_return Error{Errc::Eof, "close HTTP/2"};
        continue;
      }
      if (*n == 0) co_return Error{Errc::Eof, "read HTTP/2"};
      heard_at = loop().now();
      turn_bytes += *n;
      const std::uint64_t before = session_.frames_received();
      const Result<void> taken = session_.receive(Bytes(room.data(), *n), loop().now());
      // Only now may anything run that reads into the scratch buffer itself.
      after_receive();
      if (!session_.output().empty()) flush_soon();
      if (!taken) {
        flush_now();
        co_return taken.error();
      }
      if (closing_) co_return Error{Errc::Eof, "close HTTP/2"};
      // Thousands of frames fit into a whole buffer, and all that was read is handled at once.
      const bool small = (session_.frames_received() - before) * kSmallFrame > *n;
      at_once = small ? kSmallRead : loop().scratch().size();
    }
  }
  // Ends read_all() soon.
  void stop_reading() {
    closing_ = true;
    drained_.notify_all();
    stream_->io().set_readable();
  }

  void flush_now() override {
    if (stopped_writing_) return;
    fill();
    while (!session_.output().empty()) {
      const Result<std::size_t> n = stream_->try_write(session_.output().data());
      if (!n) {
        blocked(n.error());
        return;
      }
      session_.output().consume(*n);
      wrote_at = loop().now();
      if (session_.output().empty()) fill();
    }
    drained_.notify_all();
    const Result<void> flushed = stream_->try_flush();
    if (!flushed) blocked(flushed.error());
    after_flush();
  }

  TimePoint heard_at{};  // when bytes last came
  TimePoint wrote_at{};  // when bytes last went

 protected:
  static constexpr std::size_t kEnough = std::size_t{64} * 1024;  // on its way at once
  // Bounds of one turn of reading, and of one read where frames are small.
  static constexpr std::uint64_t kFramesPerTurn = 512;
  static constexpr std::size_t kBytesPerTurn = std::size_t{256} * 1024;
  static constexpr std::size_t kSmallFrame = 256;
  static constexpr std::size_t kSmallRead = std::size_t{8} * 1024;
  ~Pump() = default;
  // Reads nothing more while that many bytes wait to be sent. Only one side of a connection may do
  // so, or both could wait for each other.
  void hold_reading_at(std::size_t size) noexcept { hold_at_ = size; }
  // For whoever derives: all that can be written is written; all that was read is parsed.
  virtual void after_flush() {}
  virtual void after_receive() {}

  // Lets each ready body send a frame in turn, until enough is on its way.
  void fill() {
    if (every_window_opened_) {
      every_window_opened_ = false;
      while (Outgoing* const waiting = for_stream_.pop_front()) queue(*waiting);
    }
    while (session_.output().size() < kEnough) {
      Outgoing* next = session_.may_send() ? for_connection_.pop_front() : nullptr;
      if (next == nullptr) next = ready_.pop_front();
      if (next == nullptr) return;
      next->waits = Outgoing::Waits::Turn;
      const bool more = send_some(*next);
      // A producer that writes as soon as credit comes back has queued it again meanwhile.
      if (more && !next->ListHook<SendingTag>::linked()) queue(*next);
    }
  }

 private:
  void queue(Outgoing& outgoing) {
    outgoing.waits = Outgoing::Waits::Turn;
    ready_.push_back(outgoing);
  }
  // Until a window opens.
  void park(Outgoing& outgoing) {
    const bool own = session_.may_send();
    outgoing.waits = own ? Outgoing::Waits::Stream : Outgoing::Waits::Connection;
    (own ? for_stream_ : for_connection_).push_back(outgoing);
  }
  // One frame; true if it could go on at once.
  bool send_some(Outgoing& outgoing) {
    StreamState* const stream = outgoing.stream;
    http::BodyReader& body = outgoing.body;
    if (stream == nullptr) return false;
    const Bytes data = body.data();
    if (data.empty()) {
      if (body.failure() != nullptr) {
        const std::uint32_t detail =
            body.failure()->code == Errc::Reset ? body.failure()->detail : 0;
        session_.reset(*stream, detail != 0 ? static_cast<Code>(detail) : Code::InternalError);
        return false;
      }
      if (body.ended()) {
        if (body.has_value() && !body.trailers().empty()) {
          session_.send_trailers(*stream, body.trailers());
        } else {
          session_.send_data(*stream, {}, true);
        }
      }
      return false;
    }
    const bool last = body.complete() && body.trailers().empty() && body.failure() == nullptr;
    const std::size_t n = session_.send_data(*stream, data, last);
    if (n == 0) {
      park(outgoing);
      return false;
    }
    const bool all = n == data.size();
    if (outgoing.stream == nullptr) return false;  // that was the end of the stream
    body.consume(n);
    // The bytes that came may have been the last: the end, good or bad, goes next.
    return !all || body.complete() || body.failure() != nullptr;
  }

  bool holds_reading() noexcept {
    return session_.output().size() > hold_at_ && !write_failed_ && !closing_;
  }
  // Beside read_all(), whose frame every idle connection keeps.
  net::Task<void> may_read() {
    while (holds_reading()) {
      flush_soon();
      [[maybe_unused]] const bool told = co_await drained_.wait();
    }
  }
  void blocked(const Error& error) {
    if (error.code != Errc::WouldBlock) {
      write_failed_ = true;
      session_.output().clear();
      drained_.notify_all();
      stream_->io().set_readable();  // the reader ends the connection
      return;
    }
    if (!waiting_) {
      waiting_ = true;
      writer_.spawn(wait_writable());
    }
  }
  net::Task<void> wait_writable() {
    co_await net::writable(stream_->io());
    waiting_ = false;
    flush_soon();
  }

  net::StreamPtr stream_;
  Session session_;
  IntrusiveList<Outgoing, SendingTag> ready_;
  IntrusiveList<Outgoing, SendingTag> for_stream_;      // wait for their own window
  IntrusiveList<Outgoing, SendingTag> for_connection_;  // wait for the connection's
  bool every_window_opened_ = false;
  net::Signal drained_;
  std::size_t hold_at_ = SIZE_MAX;
  bool waiting_ = false;
  bool write_failed_ = false;
  bool closing_ = false;
  bool stopped_writing_ = false;
  net::TaskScope writer_;
};

}  // namespace tulle::h2
