// SPDX-License-Identifier: Apache-2.0
// YAML (or JSON) text that is changed without being written again: a tree whose nodes know where
// they stand, and edits of exactly those places in which the wanted value differs. Comments,
// quotes, order and line ends of everything else stay byte for byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/inject/value.h"

namespace tulle::cli {

struct YamlNode {
  enum class Kind { Scalar, Map, List, Alias };
  Kind kind = Kind::Scalar;
  bool flow = false;          // {…}, […]
  bool block_scalar = false;  // | or >
  std::size_t start = 0;      // bytes
  std::size_t end = 0;  // of the text itself; blank lines and comments behind it are not part of it
  std::size_t dash = 0;  // of an item of a block list: where its "-" is
  std::string anchor;    // or what an alias refers to
  inject::Value scalar;
  std::vector<YamlNode> keys;  // of a Map; Scalars
  bool merge = false;          // of a key: it is <<, whose value's members belong to the map
  std::vector<YamlNode> items;
};

class YamlText {
 public:
  // Reads all documents; `problem` says what and where if that fails.
  static std::optional<YamlText> parse(std::string text, std::string& problem);

  const std::string& text() const noexcept { return text_; }
  std::size_t size() const noexcept { return roots_.size(); }
  // The value of a document.
  const inject::Value& value(std::size_t document) const { return values_[document]; }
  // The text with the documents' values become `wanted` (one for each). In a document that changes,
  // aliases and merge keys are written out in place. Nullopt, with a reason, where it cannot be
  // done without touching more (odd notations).
  std::optional<std::string> with(const std::vector<inject::Value>& wanted,
                                  std::string& problem) const;

 private:
  // The text in which the documents that change have neither aliases nor merge keys.
  std::string expanded(const std::vector<inject::Value>& wanted, std::string& problem) const;

  std::string text_;
  std::vector<YamlNode> roots_;
  std::vector<inject::Value> values_;
};

}  // namespace tulle::cli
