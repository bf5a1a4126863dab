// SPDX-License-Identifier: Apache-2.0
#include "lib/base/slab.h"

#include <malloc.h>

#include <cstdlib>

#include "lib/base/check.h"

namespace tulle {
namespace detail {

constinit thread_local SlabCache slab_cache{};

namespace {

constexpr std::size_t kCacheBytes = std::size_t{256} * 1024;

void clear() noexcept {
  for (SlabFree*& head : slab_cache.heads) {
    while (head != nullptr) {
      SlabFree* const next = head->next;
      std::free(head);
      head = next;
    }
  }
  slab_cache.bytes = 0;
}

// Gives everything back when its thread ends; what is freed later in the thread's end is not kept.
struct Ending {
  Ending() noexcept { slab_cache.limit = kCacheBytes; }
  ~Ending() {
    clear();
    slab_cache.limit = 0;
  }
};

void begin() noexcept {
  thread_local Ending ending;
  (void)ending;
}

}  // namespace

void* slab_alloc_slow(std::size_t size) {
  begin();
  if (size <= kSlabMaxBlock) size = slab_class_size(slab_class_of(size));
  ++slab_cache.allocations;
  void* const block = std::malloc(size);
  TULLE_CHECK(block != nullptr);
  return block;
}

void slab_free_slow(void* block, std::size_t /*size*/) noexcept { std::free(block); }

}  // namespace detail

std::size_t slab_capacity(std::size_t size) noexcept {
  return size > kSlabMaxBlock ? size : detail::slab_class_size(detail::slab_class_of(size));
}

void slab_trim() noexcept {
  detail::clear();
  ::malloc_trim(0);
}

std::uint64_t slab_allocations() noexcept { return detail::slab_cache.allocations; }

}  // namespace tulle
