// SPDX-License-Identifier: Apache-2.0
// Bytes in memory: views, and a queue that owns storage only while it holds something.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/slab.h"

namespace tulle {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

// Both are the same memory seen otherwise: no copy, same lifetime.
inline Bytes as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A first-in first-out queue of bytes in one contiguous block. Empty queues own no memory
// ("buffers belong to bytes in flight"); blocks come from the slab. Not thread-safe.
// Views from data() and prepare() are valid until the next call that changes the queue.
class ByteQueue {
 public:
  ByteQueue() = default;
  ByteQueue(ByteQueue&& other) noexcept { swap(other); }
  ByteQueue& operator=(ByteQueue&& other) noexcept {
    ByteQueue taken(std::move(other));
    swap(taken);
    return *this;
  }
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;
  ~ByteQueue() { release(); }

  bool empty() const noexcept { return head_ == tail_; }
  std::size_t size() const noexcept { return tail_ - head_; }
  // Everything that is in the queue, oldest first.
  Bytes data() const noexcept { return {block_ + head_, size()}; }
  MutableBytes mutable_data() noexcept { return {block_ + head_, size()}; }

  // `bytes` must not be a view of this queue: it may move.
  void append(Bytes bytes) {
    if (bytes.empty()) return;
    std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
    tail_ += bytes.size();
  }
  void append(std::string_view text) { append(as_bytes(text)); }
  void push_back(std::uint8_t byte) {
    *reserve(1) = byte;
    ++tail_;
  }
  // Room for at least `size` bytes at the end; write there, then commit(n ≤ size).
  MutableBytes prepare(std::size_t size) { return {reserve(size), size}; }
  void commit(std::size_t size) {
    TULLE_ASSERT(tail_ + size <= capacity_);
    tail_ += size;
    if (empty()) release();
  }
  // Drops the first n ≤ size() bytes; an emptied queue gives its memory back.
  void consume(std::size_t n) {
    TULLE_ASSERT(n <= size());
    head_ += n;
    if (empty()) release();
  }
  // Drops the last n ≤ size() bytes.
  void drop_back(std::size_t n) {
    TULLE_ASSERT(n <= size());
    tail_ -= n;
    if (empty()) release();
  }
  // Drops everything and gives the memory back.
  void clear() noexcept { release(); }
  void swap(ByteQueue& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(head_, other.head_);
    std::swap(tail_, other.tail_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  std::uint8_t* reserve(std::size_t size) {
    if (capacity_ - tail_ < size) grow(size);
    return block_ + tail_;
  }
  void grow(std::size_t size);
  void release() noexcept {
    if (block_ != nullptr) slab_free(block_, capacity_);
    block_ = nullptr;
    head_ = tail_ = capacity_ = 0;
  }

  std::uint8_t* block_ = nullptr;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace tulle
