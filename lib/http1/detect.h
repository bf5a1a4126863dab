// SPDX-License-Identifier: Apache-2.0
// Do these first bytes begin HTTP/1, HTTP/2 or neither? What any server that we know of would serve
// counts as HTTP/1, however lenient it is: empty lines before the request line, lines that end in a
// bare LF, other white space than one space, any length; the codec refuses afterwards what is not
// to be had. Bytes that no request line holds are NotHttp at once.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "lib/base/bytes.h"

namespace tulle::http1 {

enum class Detected : std::uint8_t { NeedMore, Http1, Http2, NotHttp };

// Reads a first line as its bytes come in; what it has decided stays.
class FirstLine {
 public:
  enum class Grammar : std::uint8_t {
    Usual,    // decides as early as it can
    Anybody,  // blanks before the method and methods of any length, as a few servers take them
  };
  explicit FirstLine(Grammar grammar = Grammar::Usual) noexcept : grammar_(grammar) {}

  Detected feed(Bytes bytes) noexcept;
  Detected seen() const noexcept { return seen_; }
  // Of a line that has no end yet: it has begun as only requests do (a known method, or a target
  // after a token), so it is worth to wait for the rest. `hello` is not.
  bool looks_like_a_request() const noexcept;
  // Nothing but line ends came.
  bool blank() const noexcept { return at_ == At::Start; }

 private:
  enum class At : std::uint8_t {
    Start,
    Method,
    BeforeTarget,
    Target,
    BeforeVersion,
    Version,
    Word
  };
  Detected take(std::uint8_t byte) noexcept;
  Detected line_ends() noexcept;
  Detected version(std::uint8_t byte) noexcept;
  bool usual_target() const noexcept;
  bool names_a_resource() const noexcept;
  std::string_view method() const noexcept { return {method_.data(), method_size_}; }
  std::string_view target() const noexcept { return {target_.data(), target_size_}; }

  Grammar grammar_;
  Detected seen_ = Detected::NeedMore;
  At at_ = At::Start;
  bool after_cr_ = false;
  bool more_words_ = false;       // than a method and a target, and no version yet
  std::uint8_t method_size_ = 0;  // of what is kept
  std::uint8_t target_size_ = 0;
  std::uint8_t version_size_ = 0;
  std::uint32_t taken_ = 0;  // bytes in all
  // One more than the longest that is of interest.
  std::array<char, 33> method_;
  std::array<char, 24> target_;
  std::array<char, 8> version_;
};

Detected detect(Bytes bytes) noexcept;

}  // namespace tulle::http1
