// SPDX-License-Identifier: Apache-2.0
// The protobuf wire format (protobuf.dev, "Encoding"), as the generated code needs it: no
// exceptions, no reflection, bounded depth, nothing read past the end. The structs of the schema
// come from tools/protogen; protozero is not used because it throws on malformed input.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tulle::pb {

// Messages nested deeper than this are malformed (the common limit of protobuf libraries).
inline constexpr int kMaxDepth = 100;

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
  bool has_value() const noexcept { return value_ != nullptr; }
  T& operator*() noexcept {
    TULLE_ASSERT(value_ != nullptr);
    return *value_;
  }
  const T& operator*() const noexcept {
    TULLE_ASSERT(value_ != nullptr);
    return *value_;
  }
  T* operator->() noexcept { return &**this; }
  const T* operator->() const noexcept { return &**this; }
  // Null if absent.
  const T* get() const noexcept { return value_.get(); }
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

enum WireType : std::uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

// Appends fields to a string.
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
    tag(field, kVarint);
    varint(value);
  }
  void fixed32(std::uint32_t field, std::uint32_t value) {
    tag(field, kFixed32);
    for (int i = 0; i < 4; ++i) out_ += static_cast<char>(value >> (8 * i));
  }
  void fixed64(std::uint32_t field, std::uint64_t value) {
    tag(field, kFixed64);
    for (int i = 0; i < 8; ++i) out_ += static_cast<char>(value >> (8 * i));
  }
  void bytes(std::uint32_t field, std::string_view value) {
    tag(field, kLengthDelimited);
    varint(value.size());
    out_ += value;
  }
  // Writes a message: body(*this) appends its fields, then the length is put before them (one
  // byte is kept free for it, which is enough for most).
  template <typename Body>
  void message(std::uint32_t field, const Body& body) {
    tag(field, kLengthDelimited);
    out_ += '\0';
    const std::size_t start = out_.size();
    body(*this);
    set_length(start);
  }

 private:
  void set_length(std::size_t start);
  std::string& out_;
};

// Reads fields one after the other. After any failure ok() is false and every call returns nothing.
class Reader {
 public:
  explicit Reader(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  // Moves to the next field; false at the end or on malformed input (see ok()).
  bool next(std::uint32_t& field, std::uint32_t& type);
  bool ok() const noexcept { return ok_; }
  std::uint64_t varint();
  std::uint32_t fixed32();
  std::uint64_t fixed64();
  // A view into the input.
  Bytes bytes();
  // A string field, which must be UTF-8.
  std::string text();
  std::string blob() { return std::string(as_text(bytes())); }
  // Passes over a field of a type just read with next(); groups, too, up to a depth.
  void skip(std::uint32_t field, std::uint32_t type, int depth = kMaxDepth);

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  bool ok_ = true;
};

// Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629).
bool valid_utf8(std::string_view text) noexcept;

}  // namespace tulle::pb
