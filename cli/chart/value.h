// SPDX-License-Identifier: Apache-2.0
// Values as Go's templates see them, so that a chart renders here as it does in Helm: which type a
// number has decides what it compares with and how it prints, and maps and lists are shared by
// reference (`set` changes what everybody sees). Map iteration is by key. Not for data of any size:
// a value costs about a hundred bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tulle::chart {

class Value {
 public:
  // None: no value at all (a missing key of a variable, the end of a pipeline that gave nil); Nil:
  // a null that is there. They differ in one thing: a field of None is None, a field of Nil is an
  // error. Int is Go's int (literals, `int`, `len`), Int64 its int64 (--set, `add`), Float its
  // float64 (every number in YAML).
  enum class Kind : std::uint8_t { None, Nil, Bool, Int, Int64, Float, String, List, Map };
  using List = std::vector<Value>;
  using Members = std::map<std::string, Value, std::less<>>;
  // What Helm has as a Go struct (.Chart, .Capabilities): asking for a field it does not have is an
  // error.
  struct Map {
    Members members;
    std::string type;  // "" for maps
  };

  Value() = default;                                                        // None
  Value(std::string text) : kind_(Kind::String), text_(std::move(text)) {}  // NOLINT: implicit
  Value(std::string_view text) : kind_(Kind::String), text_(text) {}        // NOLINT: implicit
  Value(const char* text) : kind_(Kind::String), text_(text) {}             // NOLINT: implicit
  Value(bool on) : kind_(Kind::Bool), int_(on ? 1 : 0) {}                   // NOLINT: implicit
  Value(List items)
      : kind_(Kind::List), list_(std::make_shared<List>(std::move(items))) {}  // NOLINT: implicit
  static Value nil();
  static Value integer(std::int64_t number);    // Int
  static Value integer64(std::int64_t number);  // Int64
  static Value number(double number);           // Float
  static Value map(Members members = {}, std::string type = {});

  Kind kind() const noexcept { return kind_; }
  bool is_none() const noexcept { return kind_ == Kind::None; }
  bool is_null() const noexcept { return kind_ <= Kind::Nil; }  // None or Nil
  bool is_string() const noexcept { return kind_ == Kind::String; }
  bool is_int() const noexcept { return kind_ == Kind::Int || kind_ == Kind::Int64; }
  bool is_list() const noexcept { return kind_ == Kind::List; }
  bool is_map() const noexcept { return kind_ == Kind::Map; }
  bool is_true() const noexcept { return kind_ == Kind::Bool && int_ != 0; }
  // Each gives an empty thing for any other kind.
  const std::string& text() const noexcept { return text_; }
  std::int64_t as_int() const noexcept { return int_; }
  double as_float() const noexcept { return float_; }
  const List& items() const noexcept;
  const Members& members() const noexcept;
  const std::string& struct_type() const noexcept;  // "" unless it is a struct
  // The member; null if there is none. Never null for one that is Nil.
  const Value* find(std::string_view key) const noexcept;
  Value* find(std::string_view key) noexcept;

  // Maps only, seen by everyone who holds this map.
  void set(std::string_view key, Value value) const;
  void erase(std::string_view key) const;
  // Shares nothing with this.
  Value deep_copy() const;

  // Neither false, zero, empty nor null.
  bool truth() const noexcept;
  // How {{ . }} prints it: Go's %v. "<no value>" for None, "<nil>" for Nil.
  std::string print() const;
  // "string", "float64", "map", … ("invalid" for a null) and "map[string]interface {}", …
  std::string_view kind_name() const noexcept;
  std::string type_name() const;

  // Same kind and same content, as Go's reflect.DeepEqual.
  friend bool operator==(const Value& a, const Value& b) noexcept;

 private:
  Kind kind_ = Kind::None;
  std::int64_t int_ = 0;
  double float_ = 0;
  std::string text_;
  std::shared_ptr<List> list_;
  std::shared_ptr<Map> map_;
};

// How Go writes a float64 with as many digits as it needs: with an exponent below 1e-4 and from
// 10^`big` on.
std::string format_float(double number, int big = 6);
// Go's %q: quoted as a Go string.
std::string quote_go(std::string_view text);

}  // namespace tulle::chart
