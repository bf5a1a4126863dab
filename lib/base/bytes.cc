// SPDX-License-Identifier: Apache-2.0
#include "lib/base/bytes.h"

#include <algorithm>

namespace tulle {

void ByteQueue::grow(std::size_t size) {
  const std::size_t held = this->size();
  if (block_ != nullptr && held + size <= capacity_ && head_ >= held) {  // slide, no overlap
    std::memcpy(block_, block_ + head_, held);
    head_ = 0;
    tail_ = held;
    return;
  }
  const std::size_t wanted = std::max({held + size, held + held / 2, std::size_t{256}});
  const std::size_t capacity = slab_capacity(wanted);
  auto* const block = static_cast<std::uint8_t*>(slab_alloc(capacity));
  if (held != 0) std::memcpy(block, block_ + head_, held);
  if (block_ != nullptr) slab_free(block_, capacity_);
  block_ = block;
  capacity_ = capacity;
  head_ = 0;
  tail_ = held;
}

}  // namespace tulle
