// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "lib/base/text.h"
#include "lib/http1/connection.h"
#include "lib/net/copy.h"

namespace tulle::http1 {
namespace {

constexpr std::size_t kFlushAt = std::size_t{64} * 1024;
// Requests that are answered in a row, all of them there already, before others have their turn.
constexpr unsigned kRequestsInARow = 16;
constexpr std::size_t kLingerTurn = std::size_t{1} * 1024 * 1024;
constexpr std::size_t kDrainMost =
    std::size_t{64} * 1024;  // rest of an unread body we still read to keep the connection

class Server final : net::DrainListener,
                     http::BodyProducer,
                     http::InformationalSink,
                     net::HeldBytes::Holder {
 public:
  Server(net::StreamPtr stream, http::Handler& handler, const ServerOptions& options,
         net::Drain& drain)
      : Holder(options.guard.heads, options.guard.client),
        stream_(std::move(stream)),
        handler_(handler),
        options_(options),
        drain_(drain),
        body_wanted_(stream_->loop()) {
    drain_.add(*this);
  }
  net::Task<void> run();

 private:
  // Resumed when the handler has answered, or when something happens to the connection meanwhile.
  struct Answered final : net::Waiter {
    explicit Answered(Server& s) : server(s) {}
    ~Answered() { leave(); }
    bool await_ready() const noexcept {
      return server.response_.has_value() || server.stream_->io().failed;
    }
    void await_suspend(std::coroutine_handle<> caller) noexcept {
      handle = caller;
      server.waiting_ = this;
      net::IoState& io = server.stream_->io();
      if (io.reader == nullptr) io.reader = this;
    }
    void await_resume() noexcept { leave(); }
    void leave() noexcept {
      if (server.waiting_ == this) server.waiting_ = nullptr;
      net::IoState& io = server.stream_->io();
      if (io.reader == this) io.reader = nullptr;
    }
    Server& server;
  };

  // DrainListener, BodyProducer, InformationalSink
  void on_drain() override {
    closing_ = true;
    stream_->io().set_readable();  // an idle connection wakes and closes
  }
  void on_consumed(std::size_t /*n*/) override { body_wanted_.notify_all(); }
  void on_abandoned() override {
    body_dropped_ = true;
    body_wanted_.notify_all();
  }
  void on_informational(http::ResponseHead head) override {
    if (version_ == http::Version::Http10) return;  // RFC 9110 §15.2
    if (out_.size() > kFlushAt) return;             // the client does not read, and may do without
    head.version = http::Version::Http11;
    encode_response(head, Framing::None, std::nullopt, false, false, out_);
    [[maybe_unused]] const Result<void> sent = try_send();
  }

  // Holder: too many heads are not whole.
  void give_way() override { stream_->abort(); }
  void set_busy(bool busy) noexcept {
    if (options_.guard.place != nullptr) options_.guard.place->set_busy(busy);
  }
  Deadline within(const std::optional<Duration>& time) const noexcept {
    return time ? stream_->loop().after(*time) : Deadline::never();
  }

  net::Task<Result<std::optional<ParsedRequest>>> read_head();
  net::Task<Result<std::optional<ParsedRequest>>> receive_head();
  net::Task<void> run_handler(http::Request request);
  net::Task<void> read_body();
  net::Task<Result<void>> send_response(http::Response& response);
  net::Task<Result<void>> flush();
  Result<void> try_send();
  net::Task<bool> finish_body();
  Result<void> feed(Bytes bytes);
  void refuse(const Error& error);
  net::Task<void> tunnel(http::Response response);

  net::StreamPtr stream_;
  http::Handler& handler_;
  const ServerOptions& options_;  // serve()'s own, which outlive this
  net::Drain& drain_;
  ByteQueue in_;   // read and not yet used
  ByteQueue out_;  // to be written
  BodyDecoder decoder_;
  http::BodyWriter body_;
  net::Signal body_wanted_;
  std::optional<Result<http::Response>> response_;
  std::optional<Error> malformed_;  // what was wrong with the body of the request under way
  Answered* waiting_ = nullptr;
  http::Version version_ = http::Version::Http11;
  bool head_request_ = false;
  bool connect_request_ = false;
  bool keep_alive_ = true;
  bool closing_ = false;
  bool body_dropped_ = false;
  bool asked_to_end_ = false;
  bool client_ended_ = false;
  unsigned in_a_row_ = 0;
  net::TaskScope exchange_;  // handler and body of the request under way; destroyed first
};

Result<void> Server::try_send() {
  while (!out_.empty()) {
    const Result<std::size_t> n = stream_->try_write(out_.data());
    if (!n) return n.error();
    out_.consume(*n);
  }
  return stream_->try_flush();
}

net::Task<Result<void>> Server::flush() {
  for (;;) {
    const Result<void> sent = try_send();
    if (sent || sent.error().code != Errc::WouldBlock) co_return sent;
    co_await net::writable(stream_->io());
  }
}

void Server::refuse(const Error& error) {
  std::uint16_t status = 400;
  if (error.code == Errc::Timeout) status = 408;
  if (error.code == Errc::TooLarge) status = error.detail == 414 ? 414 : 431;
  if (error.code == Errc::Unsupported) status = 501;
  http::Response response = http::make_response(status);
  encode_response(response, Framing::Length, 0, true, false, out_);
}

// The next request; no value when the connection is over.
net::Task<Result<std::optional<ParsedRequest>>> Server::read_head() {
  set_busy(false);
  Result<std::optional<ParsedRequest>> head = co_await receive_head();
  hold(0);
  set_busy(head && *head);
  co_return head;
}

net::Task<Result<std::optional<ParsedRequest>>> Server::receive_head() {
  std::size_t searched = 0;
  bool begun = !in_.empty();
  Deadline by = within(begun ? options_.guard.head_time : options_.guard.idle_time);
  for (;;) {
    std::size_t consumed = 0;
    if (!in_.empty()) {
      Result<std::optional<ParsedRequest>> parsed =
          parse_request(in_.data(), options_.limits, searched, consumed);
      if (!parsed || *parsed) {
        if (parsed) in_.consume(consumed);
        co_return parsed;
      }
      if (client_ended_) co_return std::optional<ParsedRequest>{};
    } else if (closing_ || drain_.started() || client_ended_) {
      co_return std::optional<ParsedRequest>{};
    }
    const MutableBytes room = stream_->loop().scratch();
    const Result<std::size_t> n = stream_->try_read(room);
    if (!n) {
      if (n.error().code != Errc::WouldBlock) co_return std::optional<ParsedRequest>{};
      in_a_row_ = 0;
      hold(in_.size());
      const bool in_time = co_await net::readable(stream_->io(), by);
      if (in_time) continue;
      // Empty lines after the last request are no head (RFC 9112 §2.2).
      const Bytes begun_with = in_.data();
      if (std::all_of(begun_with.begin(), begun_with.end(),
                      [](std::uint8_t b) { return b == '\r' || b == '\n'; })) {
        co_return std::optional<ParsedRequest>{};
      }
      co_return Error{Errc::Timeout, "read a request head"};
    }
    if (*n == 0) {
      client_ended_ = true;
      continue;
    }
    const Bytes got(room.data(), *n);
    if (!begun) by = within(options_.guard.head_time);
    begun = true;
    if (!in_.empty()) {
      in_.append(got);
      continue;
    }
    // The usual case: a whole head in one read, parsed where it lies.
    Result<std::optional<ParsedRequest>> parsed =
        parse_request(got, options_.limits, searched, consumed);
    if (!parsed) co_return parsed;
    in_.append(got.subspan(*parsed ? consumed : 0));
    if (*parsed) co_return parsed;
  }
}

net::Task<void> Server::run_handler(http::Request request) {
  Result<http::Response> response = co_await handler_.handle(std::move(request));
  response_.emplace(std::move(response));
  if (waiting_ != nullptr) stream_->loop().wake(*waiting_);
}

// Hands body bytes to the handler's reader; what follows the body stays in in_.
Result<void> Server::feed(Bytes bytes) {
  while (!bytes.empty() && !decoder_.done()) {
    const Result<BodyDecoder::Step> step = decoder_.decode(bytes);
    if (!step) return step.error();
    body_.write(step->data);
    bytes = bytes.subspan(step->used);
  }
  if (decoder_.done() && body_) body_.finish(std::move(decoder_.trailers()));
  in_.append(bytes);
  return {};
}

net::Task<void> Server::read_body() {
  while (!decoder_.done() && !body_dropped_) {
    if (body_.buffered() >= options_.body_window) {
      [[maybe_unused]] const bool told = co_await body_wanted_.wait();
      continue;
    }
    const MutableBytes scratch = stream_->loop().scratch();
    const MutableBytes room =
        scratch.first(std::min(scratch.size(), options_.body_window - body_.buffered()));
    const Result<std::size_t> n = stream_->try_read(room);
    if (!n && n.error().code == Errc::WouldBlock) {
      // The reader slot may be held by who waits for the answer: that one only looks for failures.
      net::IoState& io = stream_->io();
      if (io.reader != nullptr) io.reader = nullptr;
      co_await net::readable(io);
      continue;
    }
    Result<void> fed = Error{Errc::Eof, "read a request body"};
    if (n && *n != 0) fed = feed(Bytes(room.data(), *n));
    if (!fed) {
      keep_alive_ = false;
      if (fed.error().code != Errc::Eof) malformed_ = fed.error();
      body_.fail(fed.error());
      co_return;
    }
  }
}

// After an early answer: reads a bounded rest so that the connection can go on. False: it cannot.
net::Task<bool> Server::finish_body() {
  if (decoder_.done()) co_return true;
  std::size_t most = kDrainMost;
  const Deadline by = stream_->loop().after(1s);
  while (!decoder_.done()) {
    const MutableBytes room = stream_->loop().scratch().first(std::min<std::size_t>(most, 16'384));
    if (room.empty()) co_return false;
    const Result<std::size_t> n = stream_->try_read(room);
    if (!n && n.error().code == Errc::WouldBlock) {
      const bool in_time = co_await net::readable(stream_->io(), by);
      if (!in_time) co_return false;
      continue;
    }
    if (!n || *n == 0) co_return false;
    most -= *n;
    if (!feed(Bytes(room.data(), *n))) co_return false;
  }
  co_return true;
}

net::Task<Result<void>> Server::send_response(http::Response& response) {
  if (version_ == http::Version::Http10) response.version = http::Version::Http10;
  if (response.version == http::Version::Http2) response.version = http::Version::Http11;
  const bool bodyless =
      head_request_ || response.status == 204 || response.status == 304 || response.status < 200;
  Framing framing = Framing::None;
  std::optional<std::uint64_t> length = response.body_length;
  if (!bodyless) {
    if (!response.body.has_value()) {
      framing = Framing::Length;
      length = 0;
    } else if (length) {
      framing = Framing::Length;
    } else if (response.body.complete() && response.body.failure() == nullptr &&
               response.body.trailers().empty() &&
               !response.headers.contains("transfer-encoding")) {
      framing = Framing::Length;  // all of it is here already, and nobody asked for chunks
      length = response.body.data().size();
    } else {
      framing = response.version == http::Version::Http10 ? Framing::UntilClose : Framing::Chunked;
    }
  }
  if (framing == Framing::UntilClose || response.close_connection || closing_ || drain_.started())
    keep_alive_ = false;
  if (!decoder_.done() && body_dropped_ && !keep_alive_) response.body_length.reset();
  const bool announce_10 = version_ == http::Version::Http10 && keep_alive_;
  encode_response(response, framing, length, !keep_alive_, announce_10, out_);

  std::uint64_t sent = 0;
  while (!bodyless && response.body.has_value()) {
    const Bytes data = response.body.data();
    if (!data.empty()) {
      const Bytes piece = data.first(std::min(data.size(), kFlushAt));
      sent += piece.size();
      if (framing == Framing::Length && sent > *length)
        co_return Error{Errc::Protocol, "send a body longer than it said"};
      if (framing == Framing::Chunked) {
        encode_chunk(piece, out_);
      } else {
        out_.append(piece);
      }
      response.body.consume(piece.size());
      if (out_.size() < kFlushAt && !response.body.data().empty()) continue;
    }
    if (response.body.ended()) {
      if (framing == Framing::Chunked) encode_last_chunk(response.body.trailers(), out_);
      break;
    }
    if (response.body.failure() != nullptr && response.body.data().empty()) {
      // What was received goes out, then the client sees that it is not all.
      [[maybe_unused]] const Result<void> partly = co_await flush();
      co_return *response.body.failure();
    }
    Result<void> flushed = co_await flush();
    if (!flushed) co_return flushed;
    if (!response.body.ready()) {
      [[maybe_unused]] const bool told = co_await response.body.changed();
    }
  }
  if (framing == Framing::Length && sent < *length && response.body.has_value()) {
    co_return Error{Errc::Protocol, "send a body shorter than it said"};
  }
  co_return co_await flush();
}

// Upgrades and CONNECT: after the head, bytes both ways until both sides end.
net::Task<void> Server::tunnel(http::Response response) {
  encode_response(response, Framing::None, std::nullopt, false, false, out_);
  Result<void> flushed = co_await flush();
  if (!flushed) co_return;
  net::StreamPtr other = std::move(response.upgraded);
  exchange_.cancel();
  net::DrainListener::unlink();  // a tunnel ends when its ends do; there is nothing to finish here
  net::ReplayStream client(std::move(stream_), std::move(in_));
  [[maybe_unused]] const net::CopyOutcome outcome = co_await net::copy_duplex(client, *other);
  stream_ = client.release();
}

net::Task<void> Server::run() {
  for (;;) {
    if (++in_a_row_ > kRequestsInARow) {
      in_a_row_ = 0;
      co_await net::yield(stream_->loop());
    }
    Result<std::optional<ParsedRequest>> head = co_await read_head();
    if (!head) {
      refuse(head.error());
      [[maybe_unused]] const Result<void> sent = co_await flush();
      break;
    }
    if (!*head) break;
    ParsedRequest& parsed = **head;
    http::Request& request = parsed.request;
    version_ = request.version;
    head_request_ = request.method == "HEAD";
    connect_request_ = request.form == http::TargetForm::Authority;
    keep_alive_ = parsed.keep_alive;
    body_dropped_ = false;
    response_.reset();
    decoder_ = BodyDecoder(parsed.framing, request.body_length.value_or(0), options_.limits);
    if (parsed.framing != Framing::None) {
      auto [writer, reader] = http::make_body(stream_->loop());
      body_ = std::move(writer);
      body_.set_producer(this);
      request.body = std::move(reader);
      if (!in_.empty()) {
        ByteQueue first;
        first.swap(in_);
        if (const Result<void> fed = feed(first.data()); !fed) {
          refuse(fed.error());
          [[maybe_unused]] const Result<void> sent = co_await flush();
          break;
        }
      }
    }
    request.informational = this;
    exchange_.spawn(run_handler(std::move(request)));
    if (!decoder_.done()) exchange_.spawn(read_body());
    while (!response_ && !stream_->io().failed) co_await Answered{*this};
    if (!response_) break;  // the client is gone: what was begun for it ends here
    if (!*response_) {
      if (!malformed_) {
        stream_->abort();
        break;
      }
      refuse(*malformed_);
      [[maybe_unused]] const Result<void> told = co_await flush();
      break;
    }
    http::Response response = std::move(**response_);
    if (response.upgraded) {
      co_await tunnel(std::move(response));
      co_return;
    }
    Result<void> sent = co_await send_response(response);
    if (!sent) {
      stream_->abort();
      break;
    }
    exchange_.cancel();
    body_ = http::BodyWriter{};
    // A client that asked for the end sends nothing more: there is nothing to wait for (RFC 9112
    // §9.6).
    asked_to_end_ = !parsed.keep_alive && decoder_.done() && in_.empty();
    if (!keep_alive_) break;
    const bool whole = co_await finish_body();
    if (!whole) break;
  }
  exchange_.cancel();
  if (asked_to_end_ && stream_->plain_tcp() != nullptr) co_return;  // closing tells our end too
  // Our end first; then a moment for the client to take it, so that a reset does not destroy the
  // answer.
  Result<void> ended = co_await net::shutdown_write(*stream_, stream_->loop().after(1s));
  if (asked_to_end_) co_return;
  const Deadline linger = stream_->loop().after(500ms);
  std::size_t read = 0;
  while (ended && !client_ended_ && !stream_->io().failed) {
    const Result<std::size_t> n = stream_->try_read(stream_->loop().scratch());
    if (n ? *n == 0 : n.error().code != Errc::WouldBlock) break;
    if (n) {
      // A client that sends on and on has this time as well, and others their turns meanwhile.
      read += *n;
      if (read < kLingerTurn) continue;
      read = 0;
      co_await net::yield(stream_->loop());
      if (linger.passed(stream_->loop().now())) break;
      continue;
    }
    const bool in_time = co_await net::readable(stream_->io(), linger);
    if (!in_time) break;
  }
}

}  // namespace

net::Task<void> serve(net::StreamPtr stream, http::Handler& handler, ServerOptions options,
                      net::Drain& drain) {
  Server server(std::move(stream), handler, options, drain);
  co_await server.run();
}

}  // namespace tulle::http1
