// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/value.h"

#include <yaml.h>

#include <array>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "lib/base/text.h"
#include "lib/inject/value.h"

namespace tulle::chart {
namespace {

Value from_tree(const inject::Value& tree) {
  using Kind = inject::Value::Kind;
  switch (tree.kind()) {
    case Kind::Null: return {};
    case Kind::Bool: return tree.is_true();
    case Kind::String: return std::string(tree.text());
    case Kind::Number: {
      if (const auto whole = tree.integer()) return *whole;
      double number = 0;
      const std::string_view text = tree.text();
      std::from_chars(text.data(), text.data() + text.size(), number);
      return number;
    }
    case Kind::List: {
      List out;
      for (const inject::Value& item : tree.items()) out.push_back(from_tree(item));
      return out;
    }
    case Kind::Map: {
      Map out;
      for (std::size_t i = 0; i < tree.size(); ++i) out[tree.keys()[i]] = from_tree(tree.items()[i]);
      return out;
    }
  }
  return {};
}

inject::Value to_tree(const Value& value) {
  if (value.is_null()) return {};
  if (const bool* const on = value.boolean()) return *on;
  if (const auto* const number = value.integer()) return *number;
  if (const double* const number = value.real()) return inject::Value::number(number_text(*number));
  if (const std::string* const text = value.string()) return *text;
  if (const List* const list = value.list()) {
    inject::Value out = inject::Value::list();
    for (const Value& item : *list) out.push(to_tree(item));
    return out;
  }
  inject::Value out = inject::Value::map();
  for (const auto& [key, member] : *value.map()) out.set_unchecked(key, to_tree(member));
  return out;
}

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

// Whether a YAML 1.1 reader takes the plain text for a number, a date or the like.
bool looks_like_number(std::string_view text) {
  std::string_view rest = text;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  if (rest.empty()) return false;
  if (one_of(rest, {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"})) return true;
  const auto all = [](std::string_view digits, auto&& good) {
    if (digits.empty()) return false;
    for (const char c : digits) {
      if (!good(c) && c != '_') return false;
    }
    return true;
  };
  const auto hex = [](char c) { return ascii_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f'); };
  if (rest.starts_with("0x")) return all(rest.substr(2), hex);
  if (rest.starts_with("0b")) return all(rest.substr(2), [](char c) { return c == '0' || c == '1'; });
  if (rest.starts_with("0o")) return all(rest.substr(2), [](char c) { return c >= '0' && c <= '7'; });
  bool digits = false;
  bool dot = false;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const char c = rest[i];
    if (ascii_digit(c)) {
      digits = true;
    } else if (c == '.' && !dot) {
      dot = true;
    } else if (c == '_' && digits && !dot) {
      continue;
    } else if ((c == 'e' || c == 'E') && digits) {
      std::string_view power = rest.substr(i + 1);
      if (!power.empty() && (power[0] == '-' || power[0] == '+')) power.remove_prefix(1);
      return all(power, ascii_digit);
    } else {
      return false;
    }
  }
  return digits;
}

bool is_date(std::string_view text) {
  if (text.size() < 8 || !ascii_digit(text[0])) return false;
  std::size_t i = 0;
  while (i < text.size() && ascii_digit(text[i])) ++i;
  if (i != 4 || i + 1 >= text.size() || text[i] != '-' || !ascii_digit(text[i + 1])) return false;
  const std::size_t month = text.find('-', i + 1);
  return month != std::string_view::npos && month + 1 < text.size() && ascii_digit(text[month + 1]);
}

// 1:20 and the like were numbers to base 60 once.
bool is_base60(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty() || !ascii_digit(text[0]) || text.find(':') == std::string_view::npos) return false;
  for (const char c : text) {
    if (!ascii_digit(c) && c != ':' && c != '_' && c != '.') return false;
  }
  return true;
}

bool needs_quotes(std::string_view text) {
  return text.empty() ||
         one_of(text, {"~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On",
                       "ON", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", "<<"}) ||
         looks_like_number(text) || is_base60(text) || is_date(text);
}

class Emitter {
 public:
  Emitter() {
    yaml_emitter_initialize(&emitter_);
    yaml_emitter_set_unicode(&emitter_, 1);
    yaml_emitter_set_output(
        &emitter_,
        [](void* to, unsigned char* bytes, std::size_t size) {
          static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(bytes), size);
          return 1;
        },
        &out_);
  }
  ~Emitter() { yaml_emitter_delete(&emitter_); }
  Emitter(const Emitter&) = delete;
  Emitter& operator=(const Emitter&) = delete;

  std::string document(const Value& value) {
    yaml_event_t event;
    yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(event);
    yaml_document_start_event_initialize(&event, nullptr, nullptr, nullptr, 1);
    emit(event);
    write(value);
    yaml_document_end_event_initialize(&event, 1);
    emit(event);
    yaml_stream_end_event_initialize(&event);
    emit(event);
    if (out_.ends_with("...\n")) out_.resize(out_.size() - 4);
    while (out_.ends_with('\n')) out_.pop_back();
    return std::move(out_);
  }

 private:
  void emit(yaml_event_t& event) {
    if (yaml_emitter_emit(&emitter_, &event) == 0) throw std::runtime_error("cannot be written as YAML");
  }
  void scalar(std::string_view text, yaml_scalar_style_t style) {
    yaml_event_t event;
    yaml_scalar_event_initialize(&event, nullptr, nullptr,
                                 reinterpret_cast<const yaml_char_t*>(text.data()),
                                 static_cast<int>(text.size()), 1, 1, style);
    emit(event);
  }
  void string(std::string_view text) {
    if (text.find('\n') != std::string_view::npos) {
      scalar(text, YAML_LITERAL_SCALAR_STYLE);
    } else {
      scalar(text, needs_quotes(text) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE);
    }
  }
  void write(const Value& value) {
    yaml_event_t event;
    if (const Map* const map = value.map()) {
      yaml_mapping_start_event_initialize(&event, nullptr, nullptr, 1, YAML_BLOCK_MAPPING_STYLE);
      emit(event);
      for (const auto& [key, member] : *map) {
        string(key);
        write(member);
      }
      yaml_mapping_end_event_initialize(&event);
      emit(event);
    } else if (const List* const list = value.list()) {
      yaml_sequence_start_event_initialize(&event, nullptr, nullptr, 1, YAML_BLOCK_SEQUENCE_STYLE);
      emit(event);
      for (const Value& item : *list) write(item);
      yaml_sequence_end_event_initialize(&event);
      emit(event);
    } else if (const std::string* const text = value.string()) {
      string(*text);
    } else {
      scalar(value.is_null() ? "null" : value.text(), YAML_PLAIN_SCALAR_STYLE);
    }
  }

  yaml_emitter_t emitter_;
  std::string out_;
};

}  // namespace

std::string number_text(double number) {
  if (std::floor(number) == number && std::fabs(number) < 1e21) {
    std::array<char, 32> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed).ptr;
    return {text.data(), end};
  }
  std::array<char, 64> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {text.data(), end};
}

Value Value::get(std::string_view key) const {
  const Map* const members = map();
  if (members == nullptr) return {};
  const auto at = members->find(key);
  return at != members->end() ? at->second : Value{};
}

bool Value::empty() const noexcept {
  if (const bool* const on = boolean()) return !*on;
  if (const auto* const number = integer()) return *number == 0;
  if (const double* const number = real()) return *number == 0;
  if (const std::string* const text = string()) return text->empty();
  if (const List* const items = list()) return items->empty();
  if (const Map* const members = map()) return members->empty();
  return true;
}

Value Value::deep_copy() const {
  if (const List* const items = list()) {
    List out;
    for (const Value& item : *items) out.push_back(item.deep_copy());
    return out;
  }
  if (const Map* const members = map()) {
    Map out;
    for (const auto& [key, member] : *members) out[key] = member.deep_copy();
    return out;
  }
  return *this;
}

std::string_view Value::kind() const noexcept {
  constexpr std::string_view kNames[] = {"invalid", "bool", "int64", "float64", "string", "slice", "map"};
  return kNames[data_.index()];
}

std::string Value::text() const {
  if (is_null()) return "";
  if (const bool* const on = boolean()) return *on ? "true" : "false";
  if (const auto* const number = integer()) return std::to_string(*number);
  if (const double* const number = real()) return number_text(*number);
  if (const std::string* const held = string()) return *held;
  std::string out;
  if (const List* const items = list()) {
    for (const Value& item : *items) out += concat(out.empty() ? "[" : " ", item.text());
    return out.empty() ? "[]" : out + "]";
  }
  for (const auto& [key, member] : *map()) out += concat(out.empty() ? "map[" : " ", key, ":", member.text());
  return out.empty() ? "map[]" : out + "]";
}

bool operator==(const Value& a, const Value& b) {
  if (a.list() != nullptr && b.list() != nullptr) return *a.list() == *b.list();
  if (a.map() != nullptr && b.map() != nullptr) return *a.map() == *b.map();
  return a.data_ == b.data_;
}

Value parse_yaml(std::string_view text, std::string& problem) {
  const auto tree = inject::parse_yaml(text, problem);
  return tree ? from_tree(*tree) : Value{};
}

std::string to_yaml(const Value& value) { return Emitter().document(value); }
std::string to_json(const Value& value) { return to_tree(value).to_json(); }

}  // namespace tulle::chart
