// SPDX-License-Identifier: Apache-2.0
// The header (or trailer) fields of one message, in the order and the spelling in which they came.
// Names compare without case. Two slab blocks hold everything. Bounds are the codecs' business.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "lib/base/slab.h"

namespace tulle::http {

class HeaderMap {
 public:
  // Views of the map: valid until it changes.
  struct Field {
    std::string_view name;
    std::string_view value;
  };

  // Empty maps own no memory. A copy takes the bytes of what is there now, not of what was removed.
  HeaderMap() = default;
  HeaderMap(HeaderMap&& other) noexcept
      : entries_(std::exchange(other.entries_, nullptr)),
        text_(std::exchange(other.text_, nullptr)),
        count_(std::exchange(other.count_, 0)),
        entry_capacity_(std::exchange(other.entry_capacity_, 0)),
        text_size_(std::exchange(other.text_size_, 0)),
        text_live_(std::exchange(other.text_live_, 0)),
        text_capacity_(std::exchange(other.text_capacity_, 0)) {}
  HeaderMap& operator=(HeaderMap&& other) noexcept;
  HeaderMap(const HeaderMap& other);
  HeaderMap& operator=(const HeaderMap& other);
  ~HeaderMap() {
    if (entries_ != nullptr || text_ != nullptr) clear();
  }

  // Appends; the name keeps its spelling. Views handed out before are invalid afterwards, but
  // `name` and `value` may point into this map.
  void add(std::string_view name, std::string_view value);
  // Replaces the first field of that name (keeping its place and spelling), removes the others;
  // appends if there was none.
  void set(std::string_view name, std::string_view value);
  // Removes all fields of that name; how many there were.
  std::size_t remove(std::string_view name);
  // Removes the i-th field.
  void remove_at(std::size_t index);
  // Writes the i-th field's name in another case; `spelling` must be the same name but for case.
  void respell(std::size_t index, std::string_view spelling) noexcept;
  // Moves the field at `from` so that it stands at `to`; the others keep their order.
  void move(std::size_t from, std::size_t to) noexcept;

  // The first field of that name.
  std::optional<std::string_view> get(std::string_view name) const noexcept;
  bool contains(std::string_view name) const noexcept { return find(name) != kNone; }
  // Is `token` among the comma-separated items (without case) of any field of that name?
  bool has_token(std::string_view name, std::string_view token) const noexcept;

  std::size_t size() const noexcept { return count_; }
  bool empty() const noexcept { return count_ == 0; }
  // `index` < size().
  Field operator[](std::size_t index) const noexcept;
  // Bytes of all names and values plus 32 a field: the size of RFC 9113 §6.5.2.
  std::size_t list_size() const noexcept { return text_live_ + count_ * 32; }
  // Gives the memory back.
  void clear() noexcept;
  void swap(HeaderMap& other) noexcept;

  // Fields in order; ends when the map changes.
  class Iterator {
   public:
    Iterator(const HeaderMap& map, std::size_t at) : map_(map), at_(at) {}
    Field operator*() const noexcept { return map_[at_]; }
    Iterator& operator++() noexcept {
      ++at_;
      return *this;
    }
    bool operator!=(const Iterator& other) const noexcept { return at_ != other.at_; }

   private:
    const HeaderMap& map_;
    std::size_t at_;
  };
  Iterator begin() const noexcept { return {*this, 0}; }
  Iterator end() const noexcept { return {*this, count_}; }

 private:
  struct Entry {
    std::uint32_t offset;  // of the name in text_; the value follows it
    std::uint32_t name_size;
    std::uint32_t value_size;
  };
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t find(std::string_view name, std::size_t from = 0) const noexcept;
  std::uint32_t store(std::string_view name, std::string_view value);

  Entry* entries_ = nullptr;
  char* text_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t entry_capacity_ = 0;
  std::uint32_t text_size_ = 0;
  std::uint32_t text_live_ = 0;  // without what was replaced or removed
  std::uint32_t text_capacity_ = 0;
};

}  // namespace tulle::http
