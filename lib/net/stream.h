// SPDX-License-Identifier: Apache-2.0
// A duplex stream of bytes: a TCP connection, a TLS session over one, an in-memory pipe in tests.
// Non-blocking calls plus readiness; coroutine helpers on top. No state of its own.
#pragma once

#include <memory>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/net/loop.h"
#include "lib/net/task.h"

namespace tulle::net {

class TcpStream;

class Stream : public SlabAllocated {
 public:
  virtual ~Stream() = default;

  // Reads at most into.size() bytes (> 0). 0 means the peer ended its side. WouldBlock: wait for
  // readable(stream.io()). After any other error the stream is dead.
  virtual Result<std::size_t> try_read(MutableBytes into) = 0;
  // Takes a prefix of `bytes` and returns its length (> 0 unless bytes is empty). WouldBlock: wait
  // for writable(stream.io()). A TLS stream may have taken bytes that the socket has not: see
  // try_flush.
  virtual Result<std::size_t> try_write(Bytes bytes) = 0;
  // WouldBlock while accepted bytes are still held back in user space.
  virtual Result<void> try_flush() { return {}; }
  // Ends our side (FIN, or close_notify then FIN) once everything accepted was flushed; reading
  // goes on. WouldBlock as for try_flush.
  virtual Result<void> try_shutdown() = 0;
  // Cuts the connection so that the peer sees a reset, where the transport can tell.
  virtual void abort() noexcept = 0;
  virtual IoState& io() noexcept = 0;
  // What is read cannot be passed on for now (or can again): the kernel shall hold little of it
  // unread, so that the sender hears of it soon. Does nothing where there is no socket.
  virtual void hold_little(bool on) noexcept = 0;
  // The TCP stream that this is or that carries these very bytes (splice, socket options); null for
  // TLS.
  virtual TcpStream* plain_tcp() noexcept { return nullptr; }

  Loop& loop() noexcept { return *io().loop; }
};

using StreamPtr = std::unique_ptr<Stream>;

// Waits for bytes: > 0 bytes read, 0 at the end of the peer's side, Timeout when `by` passes.
Task<Result<std::size_t>> read_some(Stream& stream, MutableBytes into, Deadline by = {});
// Reads exactly into.size() bytes; Eof if the peer ends before.
Task<Result<void>> read_exactly(Stream& stream, MutableBytes into, Deadline by = {});
// Writes and flushes everything. `bytes` must live until done.
Task<Result<void>> write_all(Stream& stream, Bytes bytes, Deadline by = {});
Task<Result<void>> shutdown_write(Stream& stream, Deadline by = {});

// A stream that gives back bytes already read (by detection) before those of the inner stream.
class ReplayStream final : public Stream {
 public:
  ReplayStream(StreamPtr inner, ByteQueue first)
      : inner_(std::move(inner)), first_(std::move(first)) {
    if (!first_.empty()) inner_->io().readable = true;
  }
  Result<std::size_t> try_read(MutableBytes into) override;
  Result<std::size_t> try_write(Bytes bytes) override { return inner_->try_write(bytes); }
  Result<void> try_flush() override { return inner_->try_flush(); }
  Result<void> try_shutdown() override { return inner_->try_shutdown(); }
  void abort() noexcept override { inner_->abort(); }
  IoState& io() noexcept override { return inner_->io(); }
  void hold_little(bool on) noexcept override { inner_->hold_little(on); }
  // Gives the inner stream back; what was not read of the first bytes is lost.
  StreamPtr release() noexcept { return std::move(inner_); }
  TcpStream* plain_tcp() noexcept override {
    return first_.empty() ? inner_->plain_tcp() : nullptr;
  }

 private:
  StreamPtr inner_;
  ByteQueue first_;
};

}  // namespace tulle::net
