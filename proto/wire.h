// SPDX-License-Identifier: Apache-2.0
// The protobuf wire format (protobuf.dev "Encoding"), as the generated code needs it: no exceptions, no
// reflection, bounded depth. The schema's structs come from tools/protogen.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tulle::pb {

inline constexpr int kMaxDepth = 64;

// An optional message with value semantics that may contain itself.
template <typename T>
class Box {
 public:
  Box() = default;
  Box(T value) : value_(std::make_unique<T>(std::move(value))) {}  // NOLINT: implicit on purpose
  Box(const Box& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Box(Box&&) noexcept = default;
  Box& operator=(const Box& other) {
    Box copy(other);
    value_ = std::move(copy.value_);
    return *this;
  }
  Box& operator=(Box&&) noexcept = default;
  explicit operator bool() const noexcept { return value_ != nullptr; }
  T& operator*() noexcept { return *value_; }
  const T& operator*() const noexcept { return *value_; }
  T* operator->() noexcept { return value_.get(); }
  const T* operator->() const noexcept { return value_.get(); }
  // The message, made if absent.
  T& make() {
    if (!value_) value_ = std::make_unique<T>();
    return *value_;
  }
  void reset() noexcept { value_.reset(); }
  friend bool operator==(const Box& a, const Box& b) {
    return a.value_ && b.value_ ? *a.value_ == *b.value_ : !a.value_ && !b.value_;
  }

 private:
  std::unique_ptr<T> value_;
};

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  void varint(std::uint64_t value) {
    while (value >= 0x80) {
      out_ += static_cast<char>(value | 0x80);
      value >>= 7;
    }
    out_ += static_cast<char>(value);
  }
  void tag(std::uint32_t field, std::uint32_t type) { varint(field << 3 | type); }
  void number(std::uint32_t field, std::uint64_t value) {
    tag(field, 0);
    varint(value);
  }
  void fixed32(std::uint32_t field, std::uint32_t value) {
    tag(field, 5);
    for (int i = 0; i < 4; ++i) out_ += static_cast<char>(value >> (8 * i));
  }
  void fixed64(std::uint32_t field, std::uint64_t value) {
    tag(field, 1);
    for (int i = 0; i < 8; ++i) out_ += static_cast<char>(value >> (8 * i));
  }
  void bytes(std::uint32_t field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    out_ += value;
  }
  // Writes a message: body(*this) appends its fields, the length is put before them.
  template <typename Body>
  void message(std::uint32_t field, const Body& body) {
    tag(field, 2);
    const std::size_t start = out_.size();
    body(*this);
    const std::size_t size = out_.size() - start;
    std::string length;
    Writer(length).varint(size);
    out_.insert(start, length);
  }

 private:
  std::string& out_;
};

class Reader {
 public:
  explicit Reader(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  // Moves to the next field; false at the end or on malformed input (see ok()).
  bool next(std::uint32_t& field, std::uint32_t& type) {
    if (!ok_ || at_ == end_) return false;
    const std::uint64_t key = varint();
    field = static_cast<std::uint32_t>(key >> 3);
    type = static_cast<std::uint32_t>(key & 7);
    if (field == 0 || key > 0xFFFFFFFFULL) ok_ = false;
    return ok_;
  }
  bool ok() const noexcept { return ok_; }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == end_) break;
      const std::uint8_t byte = *at_++;
      if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }
  std::uint32_t fixed32() {
    if (end_ - at_ < 4) return fail();
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(*at_++) << (8 * i);
    return value;
  }
  std::uint64_t fixed64() {
    if (end_ - at_ < 8) return fail();
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value |= static_cast<std::uint64_t>(*at_++) << (8 * i);
    return value;
  }
  Bytes bytes() {
    const std::uint64_t size = varint();
    if (!ok_ || size > static_cast<std::uint64_t>(end_ - at_)) {
      ok_ = false;
      return {};
    }
    const Bytes view(at_, static_cast<std::size_t>(size));
    at_ += size;
    return view;
  }
  std::string text() { return std::string(as_text(bytes())); }
  void skip(std::uint32_t type) {
    switch (type) {
      case 0: varint(); return;
      case 1: fixed64(); return;
      case 2: bytes(); return;
      case 5: fixed32(); return;
      default: ok_ = false;  // groups are not proto3
    }
  }

 private:
  std::uint32_t fail() {
    ok_ = false;
    return 0;
  }
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  bool ok_ = true;
};

}  // namespace tulle::pb
