// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/stream.h"

#include <algorithm>

namespace tulle::tls {
namespace {

// Ciphertext read beyond the caller's room: the headers and tags of a few records. What does not
// fit must be copied, so it is little.
constexpr std::size_t kReadAhead = 512;
// More than the largest flight of a handshake that we make or accept needs at once.
constexpr std::size_t kHandshakeRead = 16'384;

// Scratch memory must not be referred to after the call that filled it.
class KeepRest {
 public:
  explicit KeepRest(Engine& engine) : engine_(engine) {}
  ~KeepRest() { engine_.keep(); }
  KeepRest(const KeepRest&) = delete;
  KeepRest& operator=(const KeepRest&) = delete;

 private:
  Engine& engine_;
};

}  // namespace

// Reads ciphertext into the scratch buffer: valid until this call's caller returns.
Result<std::size_t> TlsStream::refill(std::size_t room) {
  const MutableBytes scratch = loop().scratch2();
  const MutableBytes into = scratch.first(std::min(scratch.size(), room));
  Result<std::size_t> n = inner_->try_read(into);
  if (!n) return n;
  if (*n == 0) {
    engine_->feed_end();
  } else {
    engine_->feed(into.first(*n));
  }
  return n;
}

Result<std::size_t> TlsStream::try_read(MutableBytes into) {
  const KeepRest keep(*engine_);
  std::size_t total = 0;
  for (;;) {
    const Result<std::size_t> n = engine_->read(into.subspan(total));
    if (!n && n.error().code != Errc::WouldBlock) {
      if (total != 0) return total;  // told at the next call
      (void)try_flush();             // an alert, perhaps
      return n.error();
    }
    if (n && *n == 0) return total;
    if (n) total += *n;
    // The answer to a key update goes out at once.
    if (!engine_->outgoing().empty()) {
      const Result<void> flushed = try_flush();
      if (!flushed && flushed.error().code != Errc::WouldBlock && total == 0)
        return flushed.error();
    }
    if (total == into.size() || (total != 0 && !io().readable)) return total;
    const Result<std::size_t> more = refill(into.size() - total + kReadAhead);
    if (!more) {
      if (total != 0) return total;
      return more.error();
    }
  }
}

Result<std::size_t> TlsStream::try_write(Bytes bytes) {
  if (!engine_->outgoing().empty()) {
    const Result<void> flushed = try_flush();
    if (!flushed) return flushed.error();
  }
  if (bytes.empty()) return std::size_t{0};
  const Result<std::size_t> taken = engine_->write(bytes);
  if (!taken) return taken;
  const Result<void> flushed = try_flush();
  if (!flushed && flushed.error().code != Errc::WouldBlock) return flushed.error();
  return taken;
}

Result<void> TlsStream::try_flush() {
  ByteQueue& outgoing = engine_->outgoing();
  while (!outgoing.empty()) {
    const Result<std::size_t> n = inner_->try_write(outgoing.data());
    if (!n) return n.error();
    outgoing.consume(*n);
  }
  return inner_->try_flush();
}

Result<void> TlsStream::try_shutdown() {
  engine_->close();
  const Result<void> flushed = try_flush();
  if (!flushed) return flushed;
  return inner_->try_shutdown();
}

struct Handshake {
  static net::Task<TlsResult> run(net::StreamPtr inner, Result<std::unique_ptr<Engine>> engine,
                                  Deadline by) {
    if (!engine) co_return engine.error();
    std::unique_ptr<TlsStream> stream(new TlsStream(std::move(inner), *std::move(engine)));
    Engine& session = *stream->engine_;
    for (;;) {
      const Result<void> done = session.handshake();
      session.keep();
      Result<void> flushed = stream->try_flush();
      if (!done && done.error().code != Errc::WouldBlock) co_return done.error();
      while (!flushed) {
        if (flushed.error().code != Errc::WouldBlock) co_return flushed.error();
        const bool in_time = co_await net::writable(stream->io(), by);
        if (!in_time) co_return Error{Errc::Timeout, "TLS handshake"};
        flushed = stream->try_flush();
      }
      if (done) break;
      Result<std::size_t> more = stream->refill(kHandshakeRead);
      while (!more) {
        if (more.error().code != Errc::WouldBlock) co_return more.error();
        const bool in_time = co_await net::readable(stream->io(), by);
        if (!in_time) co_return Error{Errc::Timeout, "TLS handshake"};
        more = stream->refill(kHandshakeRead);
      }
    }
    // Whoever waits for readiness first must not miss bytes that came with the handshake.
    if (session.has_input()) stream->io().readable = true;
    co_return std::move(stream);
  }
};

net::Task<TlsResult> accept_tls(net::StreamPtr inner, CredentialsPtr credentials,
                                ServerOptions options, Deadline by) {
  Result<std::unique_ptr<Engine>> engine = Engine::accept(std::move(credentials), options);
  co_return co_await Handshake::run(std::move(inner), std::move(engine), by);
}

net::Task<TlsResult> accept_tls(net::StreamPtr inner, ChooseCredentials choose,
                                ServerOptions options, Deadline by) {
  Result<std::unique_ptr<Engine>> engine = Engine::accept(std::move(choose), options);
  co_return co_await Handshake::run(std::move(inner), std::move(engine), by);
}

net::Task<TlsResult> connect_tls(net::StreamPtr inner, CredentialsPtr credentials,
                                 ClientOptions options, Deadline by) {
  Result<std::unique_ptr<Engine>> engine = Engine::connect(std::move(credentials), options);
  co_return co_await Handshake::run(std::move(inner), std::move(engine), by);
}

}  // namespace tulle::tls
