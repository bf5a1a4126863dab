// SPDX-License-Identifier: Apache-2.0
#include "lib/base/slab.h"

#include <malloc.h>

#include <array>
#include <bit>
#include <cstdlib>

#include "lib/base/check.h"

namespace tulle {
namespace {

constexpr std::size_t kSmallest = 64;
constexpr std::size_t kCacheBytes = std::size_t{256} * 1024;
// Two classes per power of two: 64, 96, 128, 192, 256, … 32768.
constexpr std::size_t kClasses = 19;

std::size_t class_of(std::size_t size) noexcept {
  if (size <= kSmallest) return 0;
  const auto power = static_cast<std::size_t>(std::bit_width(size - 1)) - 1;  // 2^power < size
  const std::size_t half = (std::size_t{1} << power) + (std::size_t{1} << (power - 1));
  return ((power - 6) * 2) + (size <= half ? 1 : 2);
}
std::size_t class_size(std::size_t index) noexcept {
  const std::size_t base = kSmallest << (index / 2);
  return index % 2 == 0 ? base : base + base / 2;
}

struct Free {
  Free* next;
};

struct Cache {
  std::array<Free*, kClasses> heads{};
  std::size_t bytes = 0;
  std::uint64_t allocations = 0;
  bool alive = true;
  void clear() noexcept {
    for (Free*& head : heads) {
      while (head != nullptr) {
        Free* const next = head->next;
        std::free(head);
        head = next;
      }
    }
    bytes = 0;
  }
  ~Cache() {
    clear();
    alive = false;
  }
};

thread_local Cache cache;

}  // namespace

std::size_t slab_capacity(std::size_t size) noexcept {
  return size > kSlabMaxBlock ? size : class_size(class_of(size));
}

void* slab_alloc(std::size_t size) {
  if (size <= kSlabMaxBlock) {
    const std::size_t index = class_of(size);
    if (Free* const head = cache.heads[index]; head != nullptr) {
      cache.heads[index] = head->next;
      cache.bytes -= class_size(index);
      return head;
    }
    size = class_size(index);
  }
  ++cache.allocations;
  void* const block = std::malloc(size);
  TULLE_CHECK(block != nullptr);
  return block;
}

void slab_free(void* block, std::size_t size) noexcept {
  if (block == nullptr) return;
  if (size <= kSlabMaxBlock && cache.alive) {
    const std::size_t index = class_of(size);
    if (cache.bytes + class_size(index) <= kCacheBytes) {
      auto* const entry = static_cast<Free*>(block);
      entry->next = cache.heads[index];
      cache.heads[index] = entry;
      cache.bytes += class_size(index);
      return;
    }
  }
  std::free(block);
}

void slab_trim() noexcept {
  cache.clear();
  ::malloc_trim(0);
}

std::uint64_t slab_allocations() noexcept { return cache.allocations; }

}  // namespace tulle
