// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/value.h"

#include <charconv>
#include <cmath>

#include "lib/base/check.h"
#include "lib/base/text.h"

namespace tulle::chart {

Value Value::nil() {
  Value out;
  out.kind_ = Kind::Nil;
  return out;
}

Value Value::integer(std::int64_t number) {
  Value out;
  out.kind_ = Kind::Int;
  out.int_ = number;
  return out;
}

Value Value::integer64(std::int64_t number) {
  Value out = integer(number);
  out.kind_ = Kind::Int64;
  return out;
}

Value Value::number(double number) {
  Value out;
  out.kind_ = Kind::Float;
  out.float_ = number;
  return out;
}

Value Value::map(Members members, std::string type) {
  Value out;
  out.kind_ = Kind::Map;
  out.map_ = std::make_shared<Map>(Map{std::move(members), std::move(type)});
  return out;
}

const Value::List& Value::items() const noexcept {
  static const List kNone;
  return list_ ? *list_ : kNone;
}

const Value::Members& Value::members() const noexcept {
  static const Members kNone;
  return map_ ? map_->members : kNone;
}

const std::string& Value::struct_type() const noexcept {
  static const std::string kNone;
  return map_ ? map_->type : kNone;
}

const Value* Value::find(std::string_view key) const noexcept {
  if (!map_) return nullptr;
  const auto found = map_->members.find(key);
  return found == map_->members.end() ? nullptr : &found->second;
}

Value* Value::find(std::string_view key) noexcept {
  return const_cast<Value*>(std::as_const(*this).find(key));
}

void Value::set(std::string_view key, Value value) const {
  TULLE_CHECK(map_ != nullptr);
  map_->members.insert_or_assign(std::string(key), std::move(value));
}

void Value::erase(std::string_view key) const {
  if (!map_) return;
  if (const auto found = map_->members.find(key); found != map_->members.end())
    map_->members.erase(found);
}

Value Value::deep_copy() const {
  if (list_) {
    List items;
    items.reserve(list_->size());
    for (const Value& item : *list_) items.push_back(item.deep_copy());
    return items;
  }
  if (map_) {
    Members members;
    for (const auto& [key, value] : map_->members)
      members.emplace_hint(members.end(), key, value.deep_copy());
    return map(std::move(members), map_->type);
  }
  return *this;
}

bool Value::truth() const noexcept {
  switch (kind_) {
    case Kind::None:
    case Kind::Nil: return false;
    case Kind::Bool:
    case Kind::Int:
    case Kind::Int64: return int_ != 0;
    case Kind::Float: return float_ != 0;
    case Kind::String: return !text_.empty();
    case Kind::List: return !list_->empty();
    case Kind::Map: return !map_->type.empty() || !map_->members.empty();
  }
  return false;
}

std::string Value::print() const {
  switch (kind_) {
    case Kind::None: return "<no value>";
    case Kind::Nil: return "<nil>";
    case Kind::Bool: return int_ != 0 ? "true" : "false";
    case Kind::Int:
    case Kind::Int64: return std::to_string(int_);
    case Kind::Float: return format_float(float_);
    case Kind::String: return text_;
    case Kind::List:
    case Kind::Map: break;
  }
  std::string out;
  if (list_) {
    out = "[";
    for (const Value& item : *list_)
      out += concat(&item == list_->data() ? "" : " ", item.is_null() ? "<nil>" : item.print());
    return out + "]";
  }
  // What has a String method in Go prints as that says.
  if (map_->type == "chartutil.KubeVersion") return find("Version")->print();
  const bool is_struct = !map_->type.empty();
  out = is_struct ? "{" : "map[";
  const std::size_t start = out.size();
  for (const auto& [key, value] : map_->members) {
    if (out.size() > start) out += ' ';
    if (!is_struct) out += concat(key, ":");
    out += value.is_null() ? "<nil>" : value.print();
  }
  return out + (is_struct ? "}" : "]");
}

std::string_view Value::kind_name() const noexcept {
  switch (kind_) {
    case Kind::None:
    case Kind::Nil: return "invalid";
    case Kind::Bool: return "bool";
    case Kind::Int: return "int";
    case Kind::Int64: return "int64";
    case Kind::Float: return "float64";
    case Kind::String: return "string";
    case Kind::List: return "slice";
    case Kind::Map: return map_->type.empty() ? "map" : "struct";
  }
  return "invalid";
}

std::string Value::type_name() const {
  switch (kind_) {
    case Kind::None:
    case Kind::Nil: return "<nil>";
    case Kind::List: return "[]interface {}";
    case Kind::Map: return map_->type.empty() ? "map[string]interface {}" : map_->type;
    default: return std::string(kind_name());
  }
}

bool operator==(const Value& a, const Value& b) noexcept {
  if (a.is_null() && b.is_null()) return true;
  if (a.kind_ != b.kind_) return false;
  switch (a.kind_) {
    case Value::Kind::Float: return a.float_ == b.float_;
    case Value::Kind::String: return a.text_ == b.text_;
    case Value::Kind::List: return *a.list_ == *b.list_;
    case Value::Kind::Map:
      return a.map_->type == b.map_->type && a.map_->members == b.map_->members;
    default: return a.int_ == b.int_;
  }
}

std::string format_float(double number, int big) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "+Inf" : "-Inf";
  if (number == 0) return std::signbit(number) ? "-0" : "0";
  char text[400];
  const auto scientific =
      std::to_chars(text, text + sizeof text, number, std::chars_format::scientific);
  const std::string_view view(text, static_cast<std::size_t>(scientific.ptr - text));
  const std::string_view exponent_text = view.substr(view.find('e') + 1);
  const int exponent = *parse_number<int>(exponent_text.substr(exponent_text[0] == '+' ? 1 : 0));
  if (exponent < -4 || exponent >= big) return std::string(view);
  const auto fixed = std::to_chars(text, text + sizeof text, number, std::chars_format::fixed);
  return {text, fixed.ptr};
}

namespace {

// The length of the well-formed UTF-8 sequence at the start; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  if ((first == 0xE0 && at(1) < 0xA0) || (first == 0xED && at(1) > 0x9F)) return 0;
  if ((first == 0xF0 && at(1) < 0x90) || (first == 0xF4 && at(1) > 0x8F)) return 0;
  return length;
}

}  // namespace

std::string quote_go(std::string_view text) {
  static constexpr std::string_view kLetters = "abtnvfr";  // from BEL on
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (c == '"' || c == '\\') {
      out += concat("\\", text.substr(0, 1));
    } else if (c >= 7 && c <= 13) {
      out += concat("\\", kLetters.substr(c - 7U, 1));
    } else if (length == 0 || c < 0x20 || c == 0x7F) {
      const std::uint8_t byte[] = {c};
      out += concat("\\x", hex(byte));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + "\"";
}

}  // namespace tulle::chart
