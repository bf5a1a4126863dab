// SPDX-License-Identifier: Apache-2.0
// JSON as tokens (token.h): a strict pull parser of RFC 8259 (UTF-8 checked, numbers kept as text).
// Ours, because Debian's RapidJSON can only push events; it is the oracle of the fuzz target.
// Several documents may follow each other, with or without white space between them.
#pragma once

#include <bitset>
#include <string>

#include "lib/k8s/token.h"

namespace tulle::k8s {

class JsonSource final : public TokenSource {
 public:
  // How much is checked of objects and lists that nobody reads: everything, or only that their
  // brackets and quotes end somewhere. The latter is for documents of the API server, of which most
  // is skipped (managedFields alone are half of many an object).
  enum class Skipping : std::uint8_t { Checked, Unparsed };

  // `text` must outlive the source.
  explicit JsonSource(std::string_view text, Skipping skipping = Skipping::Checked);
  bool next_document() override;
  Token next() override;
  bool skip_open() override;
  // Instead of next(), where a value is due: the text of that value, not looked into. Empty (and
  // everything after is Bad) if no value is there or it does not end.
  std::string_view take_raw();

 private:
  // The tokens that may come next.
  enum class Expect : std::uint8_t { Value, FirstItem, Item, FirstKey, Key, CommaOrEnd, Done };

  void skip_space();
  Token bad(std::string reason);
  bool scan_to_close(int depth);
  Token structure(Token::Kind kind);
  Token end(char closer);
  Token value();
  Token key();
  Token literal(std::string_view word, Token::Type type);
  Token number();
  Token string();
  bool escape();
  bool utf8();
  void after_value();
  bool in_map() const { return depth_ > 0 && maps_[static_cast<std::size_t>(depth_)]; }
  char look() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  std::string_view text_;
  const Skipping skipping_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
  int depth_ = 0;
  std::bitset<static_cast<std::size_t>(kMaxDepth) + 1> maps_;  // which open levels are objects
  Expect expect_ = Expect::Done;
  bool in_document_ = false;
  bool failed_ = false;
  bool ended_ = false;
  std::string reason_;
  std::string buffer_;  // the text of a string that has escapes
};

}  // namespace tulle::k8s
