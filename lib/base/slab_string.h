// SPDX-License-Identifier: Apache-2.0
// A small owned text whose memory comes from the slab, for what every request carries. 16 bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "lib/base/slab.h"

namespace tulle {

class SlabString {
 public:
  // Texts are copied in; the empty one owns nothing.
  SlabString() = default;
  SlabString(std::string_view text) { assign(text); }  // NOLINT: implicit on purpose
  SlabString(const char* text)
      : SlabString(std::string_view(text)) {}  // NOLINT: implicit on purpose
  SlabString(const SlabString& other) { assign(other.view()); }
  SlabString(SlabString&& other) noexcept { swap(other); }
  SlabString& operator=(const SlabString& other) {
    if (this != &other) assign(other.view());
    return *this;
  }
  SlabString& operator=(SlabString&& other) noexcept {
    SlabString taken(std::move(other));
    swap(taken);
    return *this;
  }
  SlabString& operator=(std::string_view text) {
    assign(text);
    return *this;
  }
  SlabString& operator=(const char* text) {
    assign(text);
    return *this;
  }
  ~SlabString() { clear(); }

  // Valid until the string changes or goes; not terminated by NUL.
  std::string_view view() const noexcept { return {data_, size_}; }
  operator std::string_view() const noexcept { return view(); }  // NOLINT: implicit on purpose
  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }

  // `text` may point into this string.
  void assign(std::string_view text) {
    if (text.size() <= capacity_) {
      if (!text.empty()) std::memmove(data_, text.data(), text.size());
      size_ = static_cast<std::uint32_t>(text.size());
      return;
    }
    const std::size_t capacity = slab_capacity(text.size());
    auto* const data = static_cast<char*>(slab_alloc(capacity));
    std::memcpy(data, text.data(), text.size());
    clear();
    data_ = data;
    size_ = static_cast<std::uint32_t>(text.size());
    capacity_ = static_cast<std::uint32_t>(capacity);
  }
  // Gives the memory back; assign() keeps it where the new text fits.
  void clear() noexcept {
    if (data_ != nullptr) slab_free(data_, capacity_);
    data_ = nullptr;
    size_ = capacity_ = 0;
  }
  void swap(SlabString& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  // Byte by byte, with case.
  friend bool operator==(const SlabString& a, std::string_view b) noexcept { return a.view() == b; }

 private:
  char* data_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = 0;
};

}  // namespace tulle
