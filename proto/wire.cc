// SPDX-License-Identifier: Apache-2.0
#include "proto/wire.h"

namespace tulle::pb {

void Writer::set_length(std::size_t start) {
  std::size_t size = out_.size() - start;
  char length[10];
  std::size_t used = 0;
  for (; size >= 0x80; size >>= 7) length[used++] = static_cast<char>(size | 0x80);
  length[used++] = static_cast<char>(size);
  out_[start - 1] = length[0];
  if (used > 1) out_.insert(start, length + 1, used - 1);
}

bool Reader::next(std::uint32_t& field, std::uint32_t& type) {
  if (!ok_ || at_ == end_) return false;
  // A key has at most five bytes; bits above the 32nd are ignored, as Google's library does.
  const std::uint8_t* const start = at_;
  const auto key = static_cast<std::uint32_t>(varint());
  field = key >> 3;
  type = key & 7;
  if (field == 0 || at_ - start > 5) ok_ = false;
  return ok_;
}

std::uint64_t Reader::varint() {
  std::uint64_t value = 0;
  for (int shift = 0; ok_ && shift < 70; shift += 7) {
    if (at_ == end_) break;
    const std::uint8_t byte = *at_++;
    if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  ok_ = false;
  return 0;
}

std::uint32_t Reader::fixed32() {
  if (!ok_ || end_ - at_ < 4) {
    ok_ = false;
    return 0;
  }
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(*at_++) << (8 * i);
  return value;
}

std::uint64_t Reader::fixed64() {
  if (!ok_ || end_ - at_ < 8) {
    ok_ = false;
    return 0;
  }
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= static_cast<std::uint64_t>(*at_++) << (8 * i);
  return value;
}

Bytes Reader::bytes() {
  const std::uint64_t size = varint();
  if (!ok_ || size > static_cast<std::uint64_t>(end_ - at_)) {
    ok_ = false;
    return {};
  }
  const Bytes view(at_, static_cast<std::size_t>(size));
  at_ += size;
  return view;
}

std::string Reader::text() {
  const std::string_view view = as_text(bytes());
  if (!valid_utf8(view)) {
    ok_ = false;
    return {};
  }
  return std::string(view);
}

void Reader::skip(std::uint32_t field, std::uint32_t type, int depth) {
  switch (type) {
    case kVarint: varint(); return;
    case kFixed64: fixed64(); return;
    case kLengthDelimited: bytes(); return;
    case kFixed32: fixed32(); return;
    case kStartGroup: {  // proto3 has no groups, but a peer's unknown field may be one
      std::uint32_t inner = 0;
      std::uint32_t inner_type = 0;
      while (depth > 0 && next(inner, inner_type)) {
        if (inner_type == kEndGroup) {
          if (inner != field) ok_ = false;
          return;
        }
        skip(inner, inner_type, depth - 1);
      }
      ok_ = false;
      return;
    }
    default: ok_ = false;
  }
}

bool valid_utf8(std::string_view text) noexcept {
  const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
  const std::uint8_t* const end = at + text.size();
  while (at != end) {
    const std::uint8_t lead = *at++;
    if (lead < 0x80) continue;
    int more = 0;
    std::uint8_t low = 0x80;  // the range of the byte after the lead
    std::uint8_t high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      more = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      more = 2;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      more = 3;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    if (end - at < more || *at < low || *at > high) return false;
    ++at;
    for (int i = 1; i < more; ++i) {
      if ((*at++ & 0xC0) != 0x80) return false;
    }
  }
  return true;
}

}  // namespace tulle::pb
