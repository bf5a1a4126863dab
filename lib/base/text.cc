// SPDX-License-Identifier: Apache-2.0
#include "lib/base/text.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace tulle {
namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string encode64(Bytes bytes, std::string_view alphabet, bool pad) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = bytes.size() - i < 3 ? bytes.size() - i : 3;
    std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16;
    if (n > 1) group |= static_cast<std::uint32_t>(bytes[i + 1]) << 8;
    if (n > 2) group |= bytes[i + 2];
    out += alphabet[group >> 18 & 63];
    out += alphabet[group >> 12 & 63];
    if (n > 1) out += alphabet[group >> 6 & 63];
    if (n > 2) out += alphabet[group & 63];
    if (pad) out.append(3 - n, '=');
  }
  return out;
}

constexpr std::array<std::int8_t, 256> decode_table() {
  std::array<std::int8_t, 256> table{};
  for (auto& entry : table) entry = -1;
  for (std::size_t i = 0; i < 64; ++i) {
    table[static_cast<std::uint8_t>(kStandard[i])] = static_cast<std::int8_t>(i);
    table[static_cast<std::uint8_t>(kUrl[i])] = static_cast<std::int8_t>(i);
  }
  return table;
}

// Eight letters at once: bytes from 'A' to 'Z' get the bit that makes them lower case.
constexpr std::uint64_t lower8(std::uint64_t word) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  const std::uint64_t low = word & (kOnes * 0x7F);
  const std::uint64_t from_a = low + kOnes * (0x80 - 'A');
  const std::uint64_t past_z = low + kOnes * (0x7F - 'Z');
  const std::uint64_t upper = (from_a ^ past_z) & ~word & (kOnes * 0x80);
  return word | upper >> 2;
}
std::uint64_t load8(const char* from) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, from, 8);
  return word;
}
// All of a text of four to eight bytes: its halves overlap.
std::uint64_t load4to8(std::string_view text) noexcept {
  std::uint32_t halves[2];
  std::memcpy(&halves[0], text.data(), 4);
  std::memcpy(&halves[1], text.data() + text.size() - 4, 4);
  return std::uint64_t{halves[1]} << 32 | halves[0];
}

}  // namespace

std::optional<double> parse_real(std::string_view text) noexcept {
  // strtod() takes more: spaces, hexadecimal digits, names.
  constexpr std::string_view kDecimal = "0123456789.eE+-";
  char copy[64];
  if (text.empty() || text.size() >= sizeof copy || text[0] == '+' ||
      text.find_first_not_of(kDecimal) != std::string_view::npos) {
    return std::nullopt;
  }
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  char* end = nullptr;
  const double value = std::strtod(copy, &end);
  if (end != copy + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

bool iequals(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  if (a.size() < 4) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (ascii_lower(a[i]) != ascii_lower(b[i])) return false;
    }
    return true;
  }
  if (a.size() <= 8) return lower8(load4to8(a)) == lower8(load4to8(b));
  const std::size_t last = a.size() - 8;  // the last eight may overlap those before them
  for (std::size_t at = 0; at < last; at += 8) {
    if (lower8(load8(a.data() + at)) != lower8(load8(b.data() + at))) return false;
  }
  return lower8(load8(a.data() + last)) == lower8(load8(b.data() + last));
}

std::string_view trim(std::string_view text) noexcept {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  for (;;) {
    const auto at = text.find(separator);
    pieces.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return pieces;
    text.remove_prefix(at + 1);
  }
}

std::string hex(Bytes bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string base64_encode(Bytes bytes) { return encode64(bytes, kStandard, true); }
std::string base64url_encode(Bytes bytes) { return encode64(bytes, kUrl, false); }

std::optional<std::string> base64_decode(std::string_view text) {
  static constexpr auto table = decode_table();
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const int value = table[static_cast<std::uint8_t>(c)];
    if (value < 0) return std::nullopt;
    group = group << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(group >> bits & 0xFF);
    }
  }
  return out;
}

}  // namespace tulle
