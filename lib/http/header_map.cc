// SPDX-License-Identifier: Apache-2.0
#include "lib/http/header_map.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/text.h"

namespace tulle::http {

HeaderMap& HeaderMap::operator=(HeaderMap&& other) noexcept {
  HeaderMap taken(std::move(other));
  swap(taken);
  return *this;
}

HeaderMap::HeaderMap(const HeaderMap& other) {
  for (const Field field : other) add(field.name, field.value);
}

HeaderMap& HeaderMap::operator=(const HeaderMap& other) {
  if (this != &other) {
    HeaderMap copy(other);
    swap(copy);
  }
  return *this;
}

void HeaderMap::swap(HeaderMap& other) noexcept {
  std::swap(entries_, other.entries_);
  std::swap(text_, other.text_);
  std::swap(count_, other.count_);
  std::swap(entry_capacity_, other.entry_capacity_);
  std::swap(text_size_, other.text_size_);
  std::swap(text_live_, other.text_live_);
  std::swap(text_capacity_, other.text_capacity_);
}

void HeaderMap::clear() noexcept {
  if (entries_ != nullptr) slab_free(entries_, entry_capacity_ * sizeof(Entry));
  if (text_ != nullptr) slab_free(text_, text_capacity_);
  entries_ = nullptr;
  text_ = nullptr;
  count_ = entry_capacity_ = text_size_ = text_live_ = text_capacity_ = 0;
}

std::uint32_t HeaderMap::store(std::string_view name, std::string_view value) {
  const std::size_t size = name.size() + value.size();
  if (text_capacity_ - text_size_ < size) {
    const std::size_t wanted = std::max<std::size_t>(
        {text_size_ + size, std::size_t{text_size_} + text_size_ / 2, std::size_t{512}});
    const std::size_t capacity = slab_capacity(wanted);
    auto* const text = static_cast<char*>(slab_alloc(capacity));
    if (text_size_ != 0) std::memcpy(text, text_, text_size_);
    char* const old = std::exchange(text_, text);
    const std::size_t old_capacity =
        std::exchange(text_capacity_, static_cast<std::uint32_t>(capacity));
    // The new field may be a view into the old block: copy before it goes.
    const std::uint32_t offset = text_size_;
    if (!name.empty()) std::memcpy(text_ + offset, name.data(), name.size());
    if (!value.empty()) std::memcpy(text_ + offset + name.size(), value.data(), value.size());
    text_size_ += static_cast<std::uint32_t>(size);
    if (old != nullptr) slab_free(old, old_capacity);
    return offset;
  }
  const std::uint32_t offset = text_size_;
  if (!name.empty()) std::memcpy(text_ + offset, name.data(), name.size());
  if (!value.empty()) std::memcpy(text_ + offset + name.size(), value.data(), value.size());
  text_size_ += static_cast<std::uint32_t>(size);
  return offset;
}

void HeaderMap::add(std::string_view name, std::string_view value) {
  if (count_ == entry_capacity_) {
    const std::size_t wanted = std::max<std::size_t>(std::size_t{count_} + count_ / 2 + 1, 16);
    const std::size_t bytes = slab_capacity(wanted * sizeof(Entry));
    const std::size_t capacity = bytes / sizeof(Entry);
    auto* const entries = static_cast<Entry*>(slab_alloc(capacity * sizeof(Entry)));
    if (count_ != 0) std::memcpy(entries, entries_, count_ * sizeof(Entry));
    if (entries_ != nullptr) slab_free(entries_, entry_capacity_ * sizeof(Entry));
    entries_ = entries;
    entry_capacity_ = static_cast<std::uint32_t>(capacity);
  }
  const std::uint32_t offset = store(name, value);
  entries_[count_++] = Entry{offset, static_cast<std::uint32_t>(name.size()),
                             static_cast<std::uint32_t>(value.size())};
  text_live_ += static_cast<std::uint32_t>(name.size() + value.size());
}

HeaderMap::Field HeaderMap::operator[](std::size_t index) const noexcept {
  const Entry& entry = entries_[index];
  return {{text_ + entry.offset, entry.name_size},
          {text_ + entry.offset + entry.name_size, entry.value_size}};
}

std::size_t HeaderMap::find(std::string_view name, std::size_t from) const noexcept {
  const char first = name.empty() ? '\0' : name.front();
  for (std::size_t i = from; i < count_; ++i) {
    if (entries_[i].name_size != name.size()) continue;
    const char* const own = text_ + entries_[i].offset;
    // Two that differ in more than the case of their first letter need no call.
    if (!name.empty() && ((*own ^ first) & ~0x20) != 0) continue;
    if (iequals({own, name.size()}, name)) return i;
  }
  return kNone;
}

void HeaderMap::set(std::string_view name, std::string_view value) {
  const std::size_t first = find(name);
  if (first == kNone) {
    add(name, value);
    return;
  }
  for (std::size_t i = find(name, first + 1); i != kNone; i = find(name, i)) remove_at(i);
  const std::string_view spelling = (*this)[first].name;
  text_live_ -= entries_[first].value_size;
  const std::uint32_t name_size = entries_[first].name_size;
  const std::uint32_t offset = store(spelling, value);
  entries_[first] = Entry{offset, name_size, static_cast<std::uint32_t>(value.size())};
  text_live_ += static_cast<std::uint32_t>(value.size());
}

std::size_t HeaderMap::remove(std::string_view name) {
  std::size_t removed = 0;
  for (std::size_t i = find(name); i != kNone; i = find(name, i)) {
    remove_at(i);
    ++removed;
  }
  return removed;
}

void HeaderMap::remove_at(std::size_t index) {
  text_live_ -= entries_[index].name_size + entries_[index].value_size;
  std::memmove(entries_ + index, entries_ + index + 1, (count_ - index - 1) * sizeof(Entry));
  --count_;
}

void HeaderMap::respell(std::size_t index, std::string_view spelling) noexcept {
  const Entry& entry = entries_[index];
  TULLE_ASSERT(spelling.size() == entry.name_size);
#ifndef NDEBUG  // memory does not depend on it, and it is a comparison for each name of a request
  TULLE_ASSERT(iequals((*this)[index].name, spelling));
#endif
  std::memcpy(text_ + entry.offset, spelling.data(), entry.name_size);
}

void HeaderMap::move(std::size_t from, std::size_t to) noexcept {
  const Entry moved = entries_[from];
  if (from > to) {
    std::memmove(entries_ + to + 1, entries_ + to, (from - to) * sizeof(Entry));
  } else {
    std::memmove(entries_ + from, entries_ + from + 1, (to - from) * sizeof(Entry));
  }
  entries_[to] = moved;
}

std::optional<std::string_view> HeaderMap::get(std::string_view name) const noexcept {
  const std::size_t at = find(name);
  if (at == kNone) return std::nullopt;
  return (*this)[at].value;
}

bool HeaderMap::has_token(std::string_view name, std::string_view token) const noexcept {
  for (std::size_t i = find(name); i != kNone; i = find(name, i + 1)) {
    std::string_view rest = (*this)[i].value;
    for (;;) {
      const auto comma = rest.find(',');
      if (iequals(trim(rest.substr(0, comma)), token)) return true;
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return false;
}

}  // namespace tulle::http
