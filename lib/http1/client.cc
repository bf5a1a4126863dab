// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "lib/base/text.h"
#include "lib/http1/connection.h"

namespace tulle::http1 {
namespace {

constexpr std::size_t kWindow = std::size_t{64} * 1024;
constexpr unsigned kMaxInformational = 1000;  // 1xx in front of one answer

// Could the server see the end of this answer elsewhere than we do? Then bytes may follow that
// would answer the next request, perhaps another client's: CONNECT that became no tunnel; a method
// that some servers take for HEAD or CONNECT and others do not; an answer without a body that
// speaks of one (some applications do for HEAD what they do for GET, and send it after the head).
// A connection is cheaper than to wait for what nobody knows to come.
bool end_is_uncertain(std::string_view method, const http::Response& response) {
  if (iequals(method, "CONNECT") || (iequals(method, "HEAD") && method != "HEAD")) return true;
  if (method != "HEAD" && response.status != 204 && response.status != 304) return false;
  return response.headers.contains("transfer-encoding") || response.body_length.value_or(0) != 0;
}

}  // namespace

class ClientConnection::Impl final : public SlabAllocated, public http::BodyProducer {
 public:
  Impl(net::StreamPtr stream, const Limits& limits, ClientOwner* owner)
      : stream_(std::move(stream)), limits_(limits), owner_(owner), wanted_(stream_->loop()) {}

  net::Task<Result<http::Response>> exchange(http::Request& request, Deadline by);
  bool idle() const noexcept { return !busy_; }
  bool reusable() {
    if (busy_ || broken_ || !keep_alive_ || stream_->io().hang_up) return false;
    // After an answer without a body the socket is asked: its loop has not looked since perhaps.
    if (!stream_->io().readable && !bodiless_) return true;
    // Something may have come while nobody waited: bytes without a request, or the end.
    std::uint8_t byte[1];
    const Result<std::size_t> n = stream_->try_read(byte);
    if (!n && n.error().code == Errc::WouldBlock) return true;
    broken_ = true;
    return false;
  }
  ClientConnection* self = nullptr;

 private:
  void on_consumed(std::size_t /*n*/) override { wanted_.notify_all(); }
  void on_abandoned() override {
    broken_ = true;
    stream_->abort();
    wanted_.notify_all();
    if (!reading_) done();
  }
  Result<void> try_send();
  net::Task<Result<void>> flush(Deadline by);
  net::Task<void> send_body(http::BodyReader body, Framing framing);
  Result<bool> put_ready_body(http::BodyReader& body, Framing framing);
  net::Task<Result<http::Response>> read_response(std::string method, http::InformationalSink* sink,
                                                  bool wants_upgrade, Deadline by);
  Result<void> feed(Bytes bytes);
  net::Task<void> read_body();
  void done() {
    if (!busy_) return;
    busy_ = false;
    if (sending_body_) broken_ = true;  // answered early: the rest of the request is still to come
    if (owner_ != nullptr) owner_->on_exchange_done(*self);
  }

  net::StreamPtr stream_;
  const Limits limits_;
  ClientOwner* owner_;
  ByteQueue out_;
  BodyDecoder decoder_;
  http::BodyWriter body_;
  net::Signal wanted_;
  std::optional<Error> send_error_;
  bool busy_ = false;
  bool broken_ = false;
  bool keep_alive_ = true;
  bool used_before_ = false;
  bool got_bytes_ = false;
  bool reading_ = false;
  bool sending_body_ = false;
  bool trailing_ = false;
  bool bodiless_ = false;  // the last answer
  net::TaskScope upload_;
  net::TaskScope download_;
};

Result<void> ClientConnection::Impl::try_send() {
  while (!out_.empty()) {
    const Result<std::size_t> n = stream_->try_write(out_.data());
    if (!n) return n.error();
    out_.consume(*n);
  }
  return stream_->try_flush();
}

net::Task<Result<void>> ClientConnection::Impl::flush(Deadline by) {
  for (;;) {
    const Result<void> sent = try_send();
    if (sent || sent.error().code != Errc::WouldBlock) co_return sent;
    const bool in_time = co_await net::writable(stream_->io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "send a request"};
  }
}

// Appends what is here of the body; true when that was all of it.
Result<bool> ClientConnection::Impl::put_ready_body(http::BodyReader& body, Framing framing) {
  while (!body.data().empty() && out_.size() < kWindow) {
    const Bytes piece = body.data().first(std::min(body.data().size(), kWindow));
    if (framing == Framing::Chunked) {
      encode_chunk(piece, out_);
    } else {
      out_.append(piece);
    }
    body.consume(piece.size());
  }
  if (body.ended()) {
    if (framing == Framing::Chunked) encode_last_chunk(body.trailers(), out_);
    return true;
  }
  if (body.failure() != nullptr && body.data().empty()) return *body.failure();
  return false;
}

net::Task<void> ClientConnection::Impl::send_body(http::BodyReader body, Framing framing) {
  for (;;) {
    const Result<bool> all = put_ready_body(body, framing);
    if (!all) {
      // The client's upload failed: the server must not take what came for the whole.
      send_error_ = all.error();
      broken_ = true;
      stream_->abort();
      co_return;
    }
    Result<void> flushed = co_await flush(Deadline::never());
    if (!flushed) {
      broken_ = true;  // an answer may still be there to be read
      co_return;
    }
    if (*all) {
      sending_body_ = false;
      co_return;
    }
    if (!body.ready()) {
      [[maybe_unused]] const bool told = co_await body.changed();
    }
  }
}

Result<void> ClientConnection::Impl::feed(Bytes bytes) {
  while (!bytes.empty() && !decoder_.done()) {
    const Result<BodyDecoder::Step> step = decoder_.decode(bytes);
    if (!step) return step.error();
    body_.write(step->data);
    bytes = bytes.subspan(step->used);
  }
  if (!bytes.empty()) trailing_ = true;  // more than the answer: nothing can be trusted after it
  return {};
}

net::Task<void> ClientConnection::Impl::read_body() {
  reading_ = true;
  while (!decoder_.done() && !body_.abandoned()) {
    if (body_.buffered() >= kWindow) {
      [[maybe_unused]] const bool told = co_await wanted_.wait();
      continue;
    }
    const MutableBytes scratch = stream_->loop().scratch();
    const MutableBytes room = scratch.first(std::min(scratch.size(), kWindow - body_.buffered()));
    const Result<std::size_t> n = stream_->try_read(room);
    if (!n && n.error().code == Errc::WouldBlock) {
      co_await net::readable(stream_->io());
      continue;
    }
    Result<void> fed =
        n ? (*n == 0 ? decoder_.end() : feed(Bytes(room.data(), *n))) : Result<void>(n.error());
    if (!fed) {
      broken_ = true;
      body_.fail(fed.error());
      break;
    }
  }
  if (decoder_.done()) body_.finish(std::move(decoder_.trailers()));
  if (trailing_) broken_ = true;
  reading_ = false;
  done();
}

net::Task<Result<http::Response>> ClientConnection::Impl::read_response(
    std::string method, http::InformationalSink* sink, bool wants_upgrade, Deadline by) {
  ByteQueue held;
  std::size_t searched = 0;
  unsigned informational = 0;
  for (;;) {
    const MutableBytes room = stream_->loop().scratch();
    const Result<std::size_t> n = stream_->try_read(room);
    if (!n && n.error().code == Errc::WouldBlock) {
      const bool in_time = co_await net::readable(stream_->io(), by);
      if (!in_time) co_return Error{Errc::Timeout, "wait for a response"};
      continue;
    }
    if (send_error_) co_return *send_error_;
    if (!n) co_return n.error();
    if (*n == 0) co_return Error{Errc::Eof, "read a response"};
    got_bytes_ = true;
    Bytes bytes(room.data(), *n);
    if (!held.empty()) {
      held.append(bytes);
      bytes = held.data();
    }
    for (;;) {
      std::size_t consumed = 0;
      Result<std::optional<ParsedResponse>> parsed =
          parse_response(bytes, limits_, method, searched, consumed);
      if (!parsed) co_return parsed.error();
      if (!*parsed) break;
      http::Response& response = (*parsed)->response;
      const Bytes rest = bytes.subspan(consumed);
      const bool upgraded = wants_upgrade && (response.status == 101 ||
                                              (method == "CONNECT" && response.status / 100 == 2));
      if (response.status < 200 && !upgraded) {
        if (response.status == 101)
          co_return Error{Errc::Protocol, "an upgrade that nobody asked for"};
        if (++informational > kMaxInformational)
          co_return Error{Errc::Protocol, "too many informational responses"};
        if (sink != nullptr) sink->on_informational(std::move(response));
        bytes = rest;
        searched = 0;
        continue;
      }
      if (upgraded) {
        broken_ = true;
        ByteQueue first;
        first.append(rest);
        response.upgraded =
            std::make_unique<net::ReplayStream>(std::move(stream_), std::move(first));
        co_return std::move(response);
      }
      keep_alive_ = (*parsed)->keep_alive;
      if (end_is_uncertain(method, response)) broken_ = true;
      decoder_ = BodyDecoder((*parsed)->framing, response.body_length.value_or(0), limits_);
      bodiless_ = decoder_.done();
      if ((*parsed)->framing == Framing::None) {
        if (!rest.empty()) broken_ = true;
        co_return std::move(response);
      }
      auto [writer, reader] = http::make_body(stream_->loop());
      body_ = std::move(writer);
      body_.set_producer(this);
      response.body = std::move(reader);
      const Result<void> fed = feed(rest);
      if (!fed) co_return fed.error();
      if (trailing_) broken_ = true;
      co_return std::move(response);
    }
    // Keep what is not a whole head yet.
    ByteQueue keep;
    keep.append(bytes);
    held = std::move(keep);
  }
}

net::Task<Result<http::Response>> ClientConnection::Impl::exchange(http::Request& request,
                                                                   Deadline by) {
  TULLE_ASSERT(!busy_);
  if (broken_) co_return Error{Errc::Refused, "use a closed connection"};
  const Result<void> sendable = check_request(request);
  if (!sendable) {
    if (owner_ != nullptr) owner_->on_exchange_done(*self);  // as good as it was
    co_return sendable.error();
  }
  busy_ = true;
  got_bytes_ = trailing_ = sending_body_ = false;
  send_error_.reset();
  // Whoever destroys this task in the middle leaves a connection that nobody can use any more.
  struct Guard {
    Impl* impl;
    ~Guard() {
      if (impl == nullptr) return;
      impl->broken_ = true;
      if (impl->stream_) impl->stream_->abort();
      impl->done();
    }
  } guard{this};
  const bool reused = std::exchange(used_before_, true);
  const bool has_body = request.body.has_value();
  const bool wants_upgrade = request.wants_upgrade;
  std::string method(request.method.view());
  const bool safe = http::is_safe(method);
  const bool idempotent = http::is_idempotent(method);
  http::InformationalSink* const sink = request.informational;
  Framing framing = Framing::None;
  if (has_body) framing = request.body_length ? Framing::Length : Framing::Chunked;
  if (framing == Framing::Chunked && request.version == http::Version::Http10) {
    request.version = http::Version::Http11;  // only HTTP/1.1 can carry a body of unknown length
  }
  encode_request(request, framing, out_);
  if (has_body) {
    Result<bool> all = put_ready_body(request.body, framing);
    if (!all) co_return all.error();
    sending_body_ = !*all;
  }
  Result<void> sent = co_await flush(by);
  if (sent && sending_body_) upload_.spawn(send_body(std::move(request.body), framing));
  Result<http::Response> response = Error{Errc::Internal, ""};
  if (sent) {
    response = co_await read_response(std::move(method), sink, wants_upgrade, by);
  } else {
    response = sent.error();
  }
  if (!response) {
    const Errc code = response.error().code;
    // What cannot be read is the server's doing, whoever asked.
    if (code == Errc::Invalid || code == Errc::TooLarge || code == Errc::Unsupported) {
      co_return Error{Errc::Protocol, response.error().where};
    }
    const bool closed = code == Errc::Eof || code == Errc::Reset || code == Errc::Io;
    if (closed && !got_bytes_ && !has_body) {
      const int os_errno = response.error().os_errno;
      if (reused && idempotent) {
        co_return Error{Errc::Refused, "a kept connection had been closed", os_errno};
      }
      if (safe) co_return Error{Errc::Unanswered, "closed before an answer", os_errno};
    }
    co_return response;
  }
  guard.impl = nullptr;
  if (response->upgraded) {
    busy_ = true;  // never again
    if (owner_ != nullptr) owner_->on_exchange_done(*self);
  } else if (decoder_.done()) {
    if (body_) body_.finish(std::move(decoder_.trailers()));
    body_ = http::BodyWriter{};
    done();
  } else {
    download_.spawn(read_body());
  }
  co_return response;
}

ClientConnection::ClientConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->self = this;
}
ClientConnection::~ClientConnection() = default;

std::unique_ptr<ClientConnection> ClientConnection::make(net::StreamPtr stream, Limits limits,
                                                         ClientOwner* owner) {
  return std::unique_ptr<ClientConnection>(
      new ClientConnection(std::make_unique<Impl>(std::move(stream), limits, owner)));
}
net::Task<Result<http::Response>> ClientConnection::send(http::Request request, Deadline by) {
  co_return co_await impl_->exchange(request, by);
}
net::Task<Result<http::Response>> ClientConnection::exchange(http::Request& request, Deadline by) {
  return impl_->exchange(request, by);
}
bool ClientConnection::idle() const noexcept { return impl_->idle(); }
bool ClientConnection::reusable() { return impl_->reusable(); }

}  // namespace tulle::http1
