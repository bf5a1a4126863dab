// SPDX-License-Identifier: Apache-2.0
// Deflate (RFC 1951) in one block with the fixed codes: repetition is what makes expositions large,
// and finding it needs no tables of its own for the letters.
#include "lib/metrics/gzip.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

namespace tulle::metrics {
namespace {

constexpr std::size_t kWindow = 32'768;
constexpr std::size_t kMinMatch = 4;
constexpr std::size_t kMaxMatch = 258;
constexpr unsigned kHashBits = 13;
constexpr int kMaxTries = 8;  // how many earlier places are looked at

class Bits {
 public:
  explicit Bits(std::string& out) : out_(out) {}
  void put(std::uint32_t value, unsigned count) {
    held_ |= static_cast<std::uint64_t>(value) << used_;
    used_ += count;
    while (used_ >= 8) {
      out_ += static_cast<char>(held_ & 0xFF);
      held_ >>= 8;
      used_ -= 8;
    }
  }
  // Huffman codes are written from their highest bit on.
  void put_code(std::uint32_t code, unsigned count) {
    std::uint32_t turned = 0;
    for (unsigned i = 0; i < count; ++i) turned |= (code >> i & 1U) << (count - 1 - i);
    put(turned, count);
  }
  void finish() {
    if (used_ != 0) put(0, 8 - used_);
  }

 private:
  std::string& out_;
  std::uint64_t held_ = 0;
  unsigned used_ = 0;
};

// RFC 1951 §3.2.6: the fixed code of a literal or a length symbol.
void put_symbol(Bits& bits, unsigned symbol) {
  if (symbol < 144) {
    bits.put_code(0x30 + symbol, 8);
  } else if (symbol < 256) {
    bits.put_code(0x190 + symbol - 144, 9);
  } else if (symbol < 280) {
    bits.put_code(symbol - 256, 7);
  } else {
    bits.put_code(0xC0 + symbol - 280, 8);
  }
}

void put_match(Bits& bits, std::size_t length, std::size_t distance) {
  static constexpr std::array<std::uint16_t, 29> kLengths = {
      3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
      31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static constexpr std::array<std::uint8_t, 29> kLengthBits = {
      0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  static constexpr std::array<std::uint16_t, 30> kDistances = {
      1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
      193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  static constexpr std::array<std::uint8_t, 30> kDistanceBits = {
      0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
      6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
  const auto l = static_cast<std::size_t>(
      std::upper_bound(kLengths.begin(), kLengths.end(), length) - kLengths.begin() - 1);
  put_symbol(bits, static_cast<unsigned>(257 + l));
  bits.put(static_cast<std::uint32_t>(length - kLengths[l]), kLengthBits[l]);
  const auto d = static_cast<std::size_t>(
      std::upper_bound(kDistances.begin(), kDistances.end(), distance) - kDistances.begin() - 1);
  bits.put_code(static_cast<std::uint32_t>(d), 5);
  bits.put(static_cast<std::uint32_t>(distance - kDistances[d]), kDistanceBits[d]);
}

std::uint32_t hash_of(const char* at) {
  std::uint32_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value * 2654435761U >> (32 - kHashBits);
}

std::uint32_t crc32(std::string_view text) {
  static constexpr std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = (value & 1U) != 0 ? 0xEDB88320U ^ value >> 1 : value >> 1;
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : text) crc = kTable[(crc ^ static_cast<std::uint8_t>(c)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

void put_u32(std::uint32_t value, std::string& out) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xFF);
}

void deflate(std::string_view text, std::string& out) {
  Bits bits(out);
  bits.put(1, 1);  // the last block
  bits.put(1, 2);  // fixed codes
  // Places are counted from 1; 0 is none. A chain leads from each place to the one before with that
  // hash.
  std::vector<std::uint32_t> heads(std::size_t{1} << kHashBits);
  std::vector<std::uint32_t> before(kWindow);
  const auto remember = [&](std::size_t at) {
    if (at + kMinMatch > text.size()) return;
    std::uint32_t& head = heads[hash_of(text.data() + at)];
    before[at % kWindow] = head;
    head = static_cast<std::uint32_t>(at + 1);
  };
  for (std::size_t at = 0; at < text.size();) {
    std::size_t best = 0;
    std::size_t distance = 0;
    if (at + kMinMatch <= text.size()) {
      const std::size_t most = std::min(kMaxMatch, text.size() - at);
      std::uint32_t place = heads[hash_of(text.data() + at)];
      for (int tries = 0;
           place != 0 && at - (place - 1) <= kWindow - 1 && tries < kMaxTries && best < most;
           ++tries) {
        const std::size_t from = place - 1;
        std::size_t length = 0;
        while (length < most && text[from + length] == text[at + length]) ++length;
        if (length > best) {
          best = length;
          distance = at - from;
        }
        place = before[from % kWindow];
        if (place != 0 && place - 1 >= from) break;  // that slot belongs to a later place by now
      }
    }
    if (best >= kMinMatch) {
      put_match(bits, best, distance);
      for (std::size_t i = 0; i < best; ++i) remember(at + i);
      at += best;
    } else {
      put_symbol(bits, static_cast<std::uint8_t>(text[at]));
      remember(at);
      ++at;
    }
  }
  put_symbol(bits, 256);
  bits.finish();
}

}  // namespace

std::string gzip(std::string_view text) {
  std::string out("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", 10);
  out.reserve(text.size() / 6 + 64);
  deflate(text, out);
  put_u32(crc32(text), out);
  put_u32(static_cast<std::uint32_t>(text.size()), out);
  return out;
}

}  // namespace tulle::metrics
