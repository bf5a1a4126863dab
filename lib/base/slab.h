// SPDX-License-Identifier: Apache-2.0
// A per-thread cache of freed memory blocks in size classes, for what a connection or a request
// takes and gives back all the time: coroutine frames, streams, bytes in flight. Steady traffic
// therefore reaches no allocator. The cache is bounded (256 KiB a thread) and can be given
// back with slab_trim().
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace tulle {

namespace detail {

struct SlabFree {
  SlabFree* next;
};
// Trivial on purpose: an access needs no guard. Its end with the thread is in slab.cc.
struct SlabCache {
  // Two classes per power of two: 64, 96, 128, 192, 256, … 32768.
  static constexpr std::size_t kClasses = 19;
  SlabFree* heads[kClasses];
  std::size_t bytes;
  std::size_t limit;  // 0 before the thread's first block and after its end
  std::uint64_t allocations;
};
extern constinit thread_local SlabCache slab_cache;

constexpr std::size_t slab_class_of(std::size_t size) noexcept {
  if (size <= 64) return 0;
  const auto power = static_cast<std::size_t>(std::bit_width(size - 1)) - 1;  // 2^power < size
  const std::size_t half = (std::size_t{1} << power) + (std::size_t{1} << (power - 1));
  return ((power - 6) * 2) + (size <= half ? 1 : 2);
}
constexpr std::size_t slab_class_size(std::size_t index) noexcept {
  const std::size_t base = std::size_t{64} << (index / 2);
  return index % 2 == 0 ? base : base + base / 2;
}

void* slab_alloc_slow(std::size_t size);
void slab_free_slow(void* block, std::size_t size) noexcept;

}  // namespace detail

// Largest block that is cached; larger ones go straight to the allocator.
inline constexpr std::size_t kSlabMaxBlock = std::size_t{32} * 1024;

// Returns at least `size` bytes aligned for any type; never null (no memory ends the process).
inline void* slab_alloc(std::size_t size) {
  if (size <= kSlabMaxBlock) {
    const std::size_t index = detail::slab_class_of(size);
    detail::SlabCache& cache = detail::slab_cache;
    if (detail::SlabFree* const head = cache.heads[index]; head != nullptr) [[likely]] {
      cache.heads[index] = head->next;
      cache.bytes -= detail::slab_class_size(index);
      return head;
    }
  }
  return detail::slab_alloc_slow(size);
}
// `size` must be the one given to slab_alloc. May run on another thread than the allocation.
inline void slab_free(void* block, std::size_t size) noexcept {
  if (size <= kSlabMaxBlock && block != nullptr) {
    const std::size_t index = detail::slab_class_of(size);
    detail::SlabCache& cache = detail::slab_cache;
    if (cache.bytes + detail::slab_class_size(index) <= cache.limit) [[likely]] {
      auto* const entry = static_cast<detail::SlabFree*>(block);
      entry->next = cache.heads[index];
      cache.heads[index] = entry;
      cache.bytes += detail::slab_class_size(index);
      return;
    }
  }
  detail::slab_free_slow(block, size);
}
// The size that slab_alloc(size) really provides (its size class).
std::size_t slab_capacity(std::size_t size) noexcept;
// Gives this thread's cached blocks back to the allocator and the allocator's to the system.
void slab_trim() noexcept;
// Blocks taken from the allocator by this thread since it started: the figure that stays still on
// a steady path (tests and the metric tulle_allocations_total read it).
std::uint64_t slab_allocations() noexcept;

// Base class: `new` and `delete` of a derived object go through the slab.
struct SlabAllocated {
  static void* operator new(std::size_t size) { return slab_alloc(size); }
  static void operator delete(void* block, std::size_t size) noexcept { slab_free(block, size); }
};

}  // namespace tulle
