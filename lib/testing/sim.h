// SPDX-License-Identifier: Apache-2.0
// For tests only: a loop in virtual time and in-memory pipes that behave like TCP connections
// (bounded buffers, half-close, reset), so that unit tests never sleep and never open a port.
#pragma once

#include <memory>
#include <utility>

#include "lib/net/loop.h"
#include "lib/net/stream.h"
#include "lib/net/task.h"

namespace tulle::testing {

// One end of an in-memory connection.
class PipeEnd final : public net::Stream {
 public:
  ~PipeEnd() override;
  Result<std::size_t> try_read(MutableBytes into) override;
  Result<std::size_t> try_write(Bytes bytes) override;
  Result<void> try_shutdown() override;
  void abort() noexcept override;
  net::IoState& io() noexcept override { return io_; }
  void hold_little(bool on) noexcept override { holds_little_ = on; }
  bool holds_little() const noexcept { return holds_little_; }
  // Bytes that the other end has written and this one has not read.
  Bytes pending() const;
  // Never give more than this many bytes to one try_read (to slice input); 0 = no limit.
  void set_max_read(std::size_t n) { max_read_ = n; }
  // Bytes that the other end may have in flight before its writes would block.
  void set_capacity(std::size_t n) { capacity_ = n; }
  bool peer_closed() const;   // the other end ended its side or is gone
  bool peer_aborted() const;  // it was a reset

 private:
  friend std::pair<std::unique_ptr<PipeEnd>, std::unique_ptr<PipeEnd>> make_pipe(
      net::Loop& loop, std::size_t capacity);
  struct Shared;
  PipeEnd(net::Loop& loop, std::shared_ptr<Shared> shared, int side);
  std::shared_ptr<Shared> shared_;
  int side_;
  net::IoState io_;
  std::size_t max_read_ = 0;
  std::size_t capacity_;
  bool holds_little_ = false;
};

// A connected pair.
std::pair<std::unique_ptr<PipeEnd>, std::unique_ptr<PipeEnd>> make_pipe(
    net::Loop& loop, std::size_t capacity = std::size_t{256} * 1024);

// A simulated loop plus helpers. Declare first in a test.
class SimLoop {
 public:
  SimLoop() : loop_(net::Loop::create_simulated()) {}
  operator net::Loop&() { return *loop_; }  // NOLINT: implicit on purpose
  net::Loop& get() { return *loop_; }
  void advance(Duration by) { loop_->advance(by); }
  void drain() { loop_->drain(); }
  auto pipe(std::size_t capacity = std::size_t{256} * 1024) { return make_pipe(*loop_, capacity); }

  // Runs the task for at most `limit` of virtual time; nullopt if it did not end.
  template <typename T>
  std::optional<T> run(net::Task<T> task, Duration limit = 1h) {
    std::optional<T> out;
    net::TaskScope scope;
    scope.spawn(capture(std::move(task), &out));
    loop_->drain();
    if (!out) loop_->advance(limit);
    return out;
  }

 private:
  template <typename T>
  static net::Task<void> capture(net::Task<T> task, std::optional<T>* out) {
    out->emplace(co_await std::move(task));
  }
  std::unique_ptr<net::Loop> loop_;
};

}  // namespace tulle::testing
