// SPDX-License-Identifier: Apache-2.0
// A per-thread cache of freed memory blocks in size classes, for what a connection or a request
// takes and gives back all the time: coroutine frames, streams, bytes in flight. Steady traffic
// therefore reaches no allocator. What is cached is bounded (256 KiB a thread) and can be given
// back with slab_trim().
#pragma once

#include <cstddef>
#include <cstdint>

namespace tulle {

// Largest block that is cached; larger ones go straight to the allocator.
inline constexpr std::size_t kSlabMaxBlock = std::size_t{32} * 1024;

// Returns at least `size` bytes aligned for any type; never null (no memory ends the process).
void* slab_alloc(std::size_t size);
// `size` must be the one given to slab_alloc. May run on another thread than the allocation.
void slab_free(void* block, std::size_t size) noexcept;
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
