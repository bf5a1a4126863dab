// SPDX-License-Identifier: Apache-2.0
// Manifests as a stream of tokens, the same for YAML and JSON: what the decoder (decoder.h) pulls
// and a typed description turns into a struct. Nothing is built that nobody asks for, so a list of
// any length costs as much memory as its largest object. Not for writing documents.
//
// Bounds, all of them errors that name a line: depth 64, 16 MiB of text, 20,000 tokens repeated by
// YAML aliases ("billion laughs").
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tulle::k8s {

inline constexpr std::size_t kMaxDocumentBytes = std::size_t{16} * 1024 * 1024;
inline constexpr int kMaxDepth = 64;
inline constexpr std::size_t kMaxAliasTokens = 20'000;

struct Token {
  enum class Kind : std::uint8_t { End, MapBegin, MapEnd, ListBegin, ListEnd, Scalar, Bad };
  enum class Type : std::uint8_t { Null, Bool, Int, Float, String };  // of a Scalar
  Kind kind = Kind::End;
  Type type = Type::Null;
  std::uint32_t line = 0;  // from 1
  std::string_view text;   // of a Scalar; for Bad the reason. Valid until the next call of next().
};

// The name of a scalar's type in messages: "text", "a number", …
std::string_view describe_type(Token::Type type) noexcept;

// Keys of a map come as Scalars in front of their values.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // Moves to the next document; false at the end of the input. An input that is broken between
  // documents gives one more document whose first token is Bad.
  virtual bool next_document() = 0;
  // The next token of the document; End at its end, Bad (again and again) when it is broken.
  virtual Token next() = 0;
  // The object or list whose begin was the last token is not wanted: moves behind its end without
  // giving its tokens. False if this source cannot: pull them.
  virtual bool skip_open() { return false; }
};

}  // namespace tulle::k8s
