// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <streambuf>

namespace tulle::cli {
namespace {

// One character of UTF-8 at the beginning of the text: its code and length. Length 0: the text ends
// within it; code ~0: no UTF-8 (one byte).
struct Character {
  std::uint32_t code = ~0U;
  std::size_t length = 1;
};
Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return {};
  std::uint32_t code = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {0, 0};
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool good = code >= kLeast[length] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  return good ? Character{code, length} : Character{};
}

// Takes no room, so that two different names look the same.
bool is_invisible(std::uint32_t code) {
  return code == 0x00AD || code == 0x034F || code == 0x115F || code == 0x1160 || code == 0x17B4 ||
         code == 0x17B5 || (code >= 0x180B && code <= 0x180F) ||
         (code >= 0x200B && code <= 0x200F) ||  // spaces and joiners without width, directions
         (code >= 0x2060 && code <= 0x206F) || code == 0x3164 || code == 0xFEFF || code == 0xFFA0 ||
         (code >= 0xFFF9 && code <= 0xFFFB) ||
         (code >= 0xE0000 && code <= 0xE0FFF);  // tags, selectors of variants
}

bool is_harmful(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) ||          // C0, DEL, C1
         code == 0x061C || (code >= 0x2028 && code <= 0x202E) ||  // own lines, directions
         is_invisible(code);
}

void append_escaped(std::uint32_t code, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  if (code > 0xFFFF) {  // two surrogates, as JSON writes it
    append_escaped(0xD800 + ((code - 0x10000) >> 10), out);
    code = 0xDC00 + ((code - 0x10000) & 0x3FF);
  }
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[code >> shift & 0xF];
}

// Gives what is left: the beginning of a character whose end is not there yet.
std::string_view append_printable(std::string_view text, Lines lines, std::string& out) {
  while (!text.empty()) {
    const Character character = first_of(text);
    if (character.length == 0) return text;
    const bool layout = (character.code == '\n' || character.code == '\t') && lines == Lines::Keep;
    if (character.code == ~0U) {
      append_escaped(0xFFFD, out);
    } else if (!layout && is_harmful(character.code)) {
      append_escaped(character.code, out);
    } else {
      out += text.substr(0, character.length);
    }
    text.remove_prefix(character.length);
  }
  return text;
}

class Guard final : public std::streambuf {
 public:
  void guard(std::ostream& stream) { below_ = stream.rdbuf(this); }
  void exactly(std::string_view text) {
    finish();
    below_->sputn(text.data(), static_cast<std::streamsize>(text.size()));
  }

 protected:
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    std::string all = std::move(held_);
    all.append(text, static_cast<std::size_t>(size));
    std::string out;
    held_ = append_printable(all, Lines::Keep, out);
    return put(out) ? size : 0;
  }
  int_type overflow(int_type c) override {
    if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
    const char one = traits_type::to_char_type(c);
    return xsputn(&one, 1) == 1 ? c : traits_type::eof();
  }
  int sync() override {
    finish();
    return below_->pubsync();
  }

 private:
  bool put(const std::string& out) {
    const auto size = static_cast<std::streamsize>(out.size());
    return below_->sputn(out.data(), size) == size;
  }
  // What is held will not be completed any more.
  void finish() {
    std::string out;
    for (std::size_t i = 0; i < held_.size(); ++i) append_escaped(0xFFFD, out);
    held_.clear();
    if (!out.empty()) put(out);
  }

  std::streambuf* below_ = nullptr;
  std::string held_;
};

// They live as long as the streams, which are flushed after everything else.
Guard& guard_of_output() {
  static Guard* const guard = new Guard;
  return *guard;
}
Guard& guard_of_errors() {
  static Guard* const guard = new Guard;
  return *guard;
}

Guard* guard_of(const std::ostream& out) {
  if (out.rdbuf() == &guard_of_output()) return &guard_of_output();
  if (out.rdbuf() == &guard_of_errors()) return &guard_of_errors();
  return nullptr;
}

}  // namespace

std::string printable(std::string_view text, Lines lines) {
  std::string out;
  out.reserve(text.size());
  const std::string_view rest = append_printable(text, lines, out);
  for (std::size_t i = 0; i < rest.size(); ++i) append_escaped(0xFFFD, out);
  return out;
}

void guard_output() {
  guard_of_output().guard(std::cout);
  guard_of_errors().guard(std::cerr);
}

void write_sequence(std::ostream& out, std::string_view sequence) {
  if (Guard* const guard = guard_of(out)) {
    guard->exactly(sequence);
  } else {
    out << sequence;
  }
}

void write_exact(std::ostream& out, std::string_view text) {
  Guard* const guard = guard_of(out);
  if (guard != nullptr && ::isatty(guard == &guard_of_errors() ? 2 : 1) == 0) {
    guard->exactly(text);
  } else {
    out << text;
  }
}

}  // namespace tulle::cli
