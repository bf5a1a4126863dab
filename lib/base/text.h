// SPDX-License-Identifier: Apache-2.0
// Small text helpers without locale: ASCII case, numbers, splitting, hex, base64, random numbers.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"

namespace tulle {

constexpr char ascii_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
constexpr bool ascii_digit(char c) noexcept { return c >= '0' && c <= '9'; }
// Equal but for ASCII case.
bool iequals(std::string_view a, std::string_view b) noexcept;
// Without leading and trailing spaces, tabs, CRs and LFs.
std::string_view trim(std::string_view text) noexcept;
// The pieces between separators; "" gives one empty piece.
std::vector<std::string_view> split(std::string_view text, char separator);

// The whole text as a decimal (or other base) number in T's range; nothing else around it.
template <typename T>
std::optional<T> parse_number(std::string_view text, int base = 10) noexcept {
  T value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (ec != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}
// The same for a decimal fraction, with an exponent or without: "1", "0.25", "-3e2". Not
// std::from_chars: its tables, with those of std::to_chars, are 120 KB of the proxy's memory.
std::optional<double> parse_real(std::string_view text) noexcept;
// Appends a decimal number.
template <typename T>
void append_number(std::string& out, T value) {
  char text[24];
  const auto [end, ec] = std::to_chars(text, text + sizeof text, value);
  out.append(text, end);
}
// The pieces joined into one string, with one allocation.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  const std::string_view views[] = {std::string_view(parts)...};
  std::size_t size = 0;
  for (const std::string_view view : views) size += view.size();
  std::string out;
  out.reserve(size);
  for (const std::string_view view : views) out += view;
  return out;
}

std::string hex(Bytes bytes);               // lower case
std::string base64_encode(Bytes bytes);     // RFC 4648 §4, padded
std::string base64url_encode(Bytes bytes);  // RFC 4648 §5, no padding
// Accepts both alphabets, with or without padding; nullopt for anything else.
std::optional<std::string> base64_decode(std::string_view text);

// A fast generator for choices that need no secrecy (balancing, jitter). Seeded by the caller.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed + 0x9E3779B97F4A7C15ULL) {}
  std::uint64_t next() noexcept {  // splitmix64
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound), bound > 0.
  std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }
  // Uniform in [0, 1).
  double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace tulle
