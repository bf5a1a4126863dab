// SPDX-License-Identifier: Apache-2.0
// A JSON value as a tree that keeps everything: order of members, text of numbers. For the one
// object that is being changed (a pod, a Service), never for lists of them: a value costs about a
// hundred bytes.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/k8s/decoder.h"

namespace tulle::inject {

class Value {
 public:
  enum class Kind : std::uint8_t { Null, Bool, Number, String, List, Map };
  using Member = std::pair<std::string_view, Value>;

  Value() = default;                                                        // null
  Value(std::string_view text) : kind_(Kind::String), text_(text) {}        // NOLINT: implicit
  Value(const char* text) : Value(std::string_view(text)) {}                // NOLINT: implicit
  Value(std::string text) : kind_(Kind::String), text_(std::move(text)) {}  // NOLINT: implicit
  Value(bool on) : kind_(Kind::Bool), text_(on ? "true" : "false") {}       // NOLINT: implicit
  template <std::integral T>
  Value(T number) : kind_(Kind::Number), text_(std::to_string(number)) {}  // NOLINT: implicit
  // `text` is a JSON number.
  static Value number(std::string_view text);
  static Value map(std::initializer_list<Member> members = {});
  static Value list(std::initializer_list<Value> items = {});

  Kind kind() const noexcept { return kind_; }
  bool is_null() const noexcept { return kind_ == Kind::Null; }
  bool is_map() const noexcept { return kind_ == Kind::Map; }
  bool is_list() const noexcept { return kind_ == Kind::List; }
  bool is_string() const noexcept { return kind_ == Kind::String; }
  bool is_number() const noexcept { return kind_ == Kind::Number; }
  bool is_true() const noexcept { return kind_ == Kind::Bool && text_ == "true"; }
  // Of a String, its text; of a Number or a Bool, how JSON writes it; "" otherwise.
  std::string_view text() const noexcept { return text_; }
  // Of a String; "" for anything else.
  std::string_view string() const noexcept { return is_string() ? std::string_view(text_) : ""; }
  // A whole number in range.
  std::optional<std::int64_t> integer() const noexcept;

  // Members of a Map, items of a List.
  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }
  const std::vector<Value>& items() const noexcept { return items_; }
  std::vector<Value>& items() noexcept { return items_; }
  const std::vector<std::string>& keys() const noexcept { return keys_; }

  // The member; null (the pointer, the value) if it is not there or this is no Map.
  const Value* find(std::string_view key) const noexcept;
  Value* find(std::string_view key) noexcept;
  const Value& operator[](std::string_view key) const noexcept;
  // Replaces, or appends. A Null becomes a Map.
  Value& set(std::string_view key, Value value);
  // The same where the caller knows that there is none.
  Value& set_unchecked(std::string key, Value value);
  // False if there is no such member.
  bool erase(std::string_view key);
  // A Null becomes a List.
  Value& push(Value value);
  void insert(std::size_t at, Value value);

  std::string to_json() const;
  void append_json(std::string& out) const;
  // Two spaces a level, no newline at the end.
  std::string to_pretty_json() const;
  // Block style, each line indented by `indent` spaces; for Maps and Lists.
  std::string to_yaml(std::size_t indent = 0) const;

  // The order of members does not count.
  friend bool operator==(const Value& a, const Value& b) noexcept;

 private:
  void append_pretty(std::string& out, std::size_t depth) const;
  void append_yaml(std::string& out, std::size_t indent, bool inline_first) const;

  Kind kind_ = Kind::Null;
  std::string text_;
  std::vector<Value> items_;
  std::vector<std::string> keys_;  // of a Map, one for each item
};

inline constexpr std::size_t kMaxValues = 300'000;

// Reads the value at hand. Errors (a member twice, more than kMaxValues, broken text) are in the
// decoder.
Value read_value(k8s::Decoder& in);
// The only document of a text; the problem goes to `problem`.
std::optional<Value> parse_json(std::string_view text, std::string& problem);
// The first document, Null if there is none. Scalars have the types that Kubernetes gives them.
std::optional<Value> parse_yaml(std::string_view text, std::string& problem);

// How YAML writes this text as a scalar of a block: plain where that is surely text, else quoted.
std::string yaml_scalar(std::string_view text);
void append_json_string(std::string& out, std::string_view text);

}  // namespace tulle::inject
