// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/yaml.h"

#include <yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::chart {

using k8s::Token;

namespace {

double number_of(std::string text, Token::Type type) {
  std::erase(text, '_');
  std::string_view view = text;
  const bool negative = view.starts_with('-');
  if (negative || view.starts_with('+')) view.remove_prefix(1);
  double out = 0;
  if (iequals(view, ".inf")) {
    out = std::numeric_limits<double>::infinity();
  } else if (iequals(view, ".nan")) {
    out = std::numeric_limits<double>::quiet_NaN();
  } else if (type == Token::Type::Int && view.size() > 1 && view[0] == '0') {
    const char letter = ascii_lower(view[1]);
    const int base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
    view.remove_prefix(ascii_digit(view[1]) ? 1 : 2);
    out = static_cast<double>(parse_number<std::uint64_t>(view, base).value_or(0));
  } else {
    std::from_chars(view.data(), view.data() + view.size(), out);
  }
  return negative ? -out : out;
}

class Reader {
 public:
  explicit Reader(k8s::TokenSource& source) : source_(source) {}

  std::optional<Value> read(std::string& problem) {
    Value out = Value::nil();
    if (source_.next_document()) out = value(source_.next());
    if (problem_.empty()) return out;
    problem = problem_;
    return std::nullopt;
  }

 private:
  Value value(const Token& token) {
    switch (token.kind) {
      case Token::Kind::Scalar: return scalar(token);
      case Token::Kind::ListBegin: return list();
      case Token::Kind::MapBegin: return map();
      case Token::Kind::End: return Value::nil();
      default:
        problem_ = concat("line ", std::to_string(token.line), ": ", token.text);
        return Value::nil();
    }
  }

  static Value scalar(const Token& token) {
    switch (token.type) {
      case Token::Type::Null: return Value::nil();
      case Token::Type::Bool: return Value(is_true(token.text));
      case Token::Type::Int:
      case Token::Type::Float: return Value::number(number_of(std::string(token.text), token.type));
      case Token::Type::String: return Value(token.text);
    }
    return Value::nil();
  }

  static bool is_true(std::string_view text) {
    return iequals(text, "true") || iequals(text, "yes") || iequals(text, "on") ||
           iequals(text, "y");
  }

  Value list() {
    Value::List items;
    for (Token token = source_.next(); token.kind != Token::Kind::ListEnd; token = source_.next()) {
      items.push_back(value(token));
      if (!problem_.empty()) break;
    }
    return items;
  }

  Value map() {
    Value::Members members;
    for (Token token = source_.next(); token.kind != Token::Kind::MapEnd; token = source_.next()) {
      if (token.kind != Token::Kind::Scalar) {
        problem_ =
            concat("line ", std::to_string(token.line), ": ",
                   token.kind == Token::Kind::Bad ? token.text : "a key that is not a scalar");
        break;
      }
      // Keys are text in JSON: a number or a boolean becomes one.
      const Value key = scalar(token);
      std::string name = key.is_string() ? key.text() : key.is_null() ? "null" : key.print();
      const Token next = source_.next();
      members.insert_or_assign(std::move(name), value(next));
      if (!problem_.empty()) break;
    }
    return Value::map(std::move(members));
  }

  k8s::TokenSource& source_;
  std::string problem_;
};

// How JSON writes a number that Go has as float64.
std::string json_number(double number) {
  const double size = std::abs(number);
  if (size != 0 && (size < 1e-6 || size >= 1e21)) {
    std::string out = format_float(number, -400);
    // 1e-09 → 1e-9
    const std::size_t exponent = out.find("e-0");
    if (exponent != std::string::npos) out.erase(exponent + 2, 1);
    return out;
  }
  char text[400];
  const auto end = std::to_chars(text, text + sizeof text, number, std::chars_format::fixed);
  return {text, end.ptr};
}

std::string yaml_number(const Value& value) {
  if (value.is_int()) return std::to_string(value.as_int());
  const double number = value.as_float();
  const bool whole = number == std::floor(number) && std::abs(number) < 1.8e19;
  return whole ? json_number(number) : format_float(number);
}

int append(void* data, unsigned char* bytes, std::size_t size) {
  static_cast<std::string*>(data)->append(reinterpret_cast<const char*>(bytes), size);
  return 1;
}

// Go's order of keys: letters after everything else, runs of digits by their number.
bool key_before(std::string_view a, std::string_view b);

class Writer {
 public:
  Writer() {
    TULLE_CHECK(yaml_emitter_initialize(&emitter_) == 1);
    yaml_emitter_set_output(&emitter_, append, &out_);
    yaml_emitter_set_unicode(&emitter_, 1);
    yaml_emitter_set_width(&emitter_, 80);
    emit([](yaml_event_t* e) { return yaml_stream_start_event_initialize(e, YAML_UTF8_ENCODING); });
    emit([](yaml_event_t* e) {
      return yaml_document_start_event_initialize(e, nullptr, nullptr, nullptr, 1);
    });
  }
  ~Writer() { yaml_emitter_delete(&emitter_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void write(const Value& value) {
    switch (value.kind()) {
      case Value::Kind::List:
        emit([](yaml_event_t* e) {
          return yaml_sequence_start_event_initialize(e, nullptr, nullptr, 1,
                                                      YAML_BLOCK_SEQUENCE_STYLE);
        });
        for (const Value& item : value.items()) write(item);
        emit([](yaml_event_t* e) { return yaml_sequence_end_event_initialize(e); });
        return;
      case Value::Kind::Map: map(value); return;
      case Value::Kind::String: text(value.text()); return;
      case Value::Kind::Int:
      case Value::Kind::Int64:
      case Value::Kind::Float: scalar(yaml_number(value), YAML_PLAIN_SCALAR_STYLE); return;
      case Value::Kind::Bool:
        scalar(value.is_true() ? "true" : "false", YAML_PLAIN_SCALAR_STYLE);
        return;
      case Value::Kind::None:
      case Value::Kind::Nil: scalar("null", YAML_PLAIN_SCALAR_STYLE); return;
    }
  }

  std::string finish() {
    emit([](yaml_event_t* e) { return yaml_document_end_event_initialize(e, 1); });
    emit([](yaml_event_t* e) { return yaml_stream_end_event_initialize(e); });
    yaml_emitter_flush(&emitter_);
    // libyaml marks the end of a document after text that keeps its last newlines; Go does not.
    if (out_.ends_with("\n...\n")) out_.resize(out_.size() - 4);
    if (out_.ends_with('\n')) out_.pop_back();
    return std::move(out_);
  }

 private:
  template <typename Make>
  void emit(const Make& make) {
    yaml_event_t event;
    TULLE_CHECK(make(&event) == 1);
    yaml_emitter_emit(&emitter_, &event);
  }

  void map(const Value& value) {
    emit([](yaml_event_t* e) {
      return yaml_mapping_start_event_initialize(e, nullptr, nullptr, 1, YAML_BLOCK_MAPPING_STYLE);
    });
    std::vector<const Value::Members::value_type*> members;
    for (const auto& member : value.members()) members.push_back(&member);
    std::stable_sort(members.begin(), members.end(),
                     [](const auto* a, const auto* b) { return key_before(a->first, b->first); });
    for (const auto* member : members) {
      text(member->first);
      write(member->second);
    }
    emit([](yaml_event_t* e) { return yaml_mapping_end_event_initialize(e); });
  }

  void text(const std::string& text) {
    if (text.find('\n') != std::string::npos) return scalar(text, YAML_LITERAL_SCALAR_STYLE);
    scalar(text, must_quote(text) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE);
  }

  // Text that would read back as something else. libyaml itself quotes what is no plain scalar at
  // all.
  static bool must_quote(std::string_view text);

  void scalar(const std::string& text, yaml_scalar_style_t style) {
    emit([&](yaml_event_t* e) {
      return yaml_scalar_event_initialize(e, nullptr, nullptr,
                                          reinterpret_cast<const unsigned char*>(text.data()),
                                          static_cast<int>(text.size()), 1, 1, style);
    });
  }

  yaml_emitter_t emitter_;
  std::string out_;
};

bool digits(std::string_view text, std::size_t least, std::size_t most) {
  return text.size() >= least && text.size() <= most &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

// 2026-01-02, with or without a time.
bool is_timestamp(std::string_view text) {
  if (text.size() < 8 || !digits(text.substr(0, 4), 4, 4) || text[4] != '-') return false;
  const std::size_t end = text.find_first_of("Tt ");
  const std::vector<std::string_view> date =
      split(text.substr(5, end == std::string_view::npos ? end : end - 5), '-');
  if (date.size() != 2 || !digits(date[0], 1, 2) || !digits(date[1], 1, 2)) return false;
  const int month = *parse_number<int>(date[0]), day = *parse_number<int>(date[1]);
  if (month < 1 || month > 12 || day < 1 || day > 31) return false;
  if (end == std::string_view::npos) return true;
  std::string_view time = text.substr(end + 1);
  if (text[end] == ' ') return split(time, ':').size() == 3;
  const std::size_t zone = time.find_first_of("Zz+-");
  return zone != std::string_view::npos && split(time.substr(0, zone), ':').size() == 3;
}

// 1:30 and the like, numbers in the sixties of YAML 1.1.
bool is_base60(std::string_view text) {
  if (text.find(':') == std::string_view::npos) return false;
  if (text[0] == '+' || text[0] == '-') text.remove_prefix(1);
  const std::size_t dot = text.find('.');
  if (dot != std::string_view::npos) {
    if (text.substr(dot + 1).find_first_not_of("0123456789_") != std::string_view::npos)
      return false;
    text = text.substr(0, dot);
  }
  const std::vector<std::string_view> parts = split(text, ':');
  if (parts[0].empty() || !ascii_digit(parts[0][0]) ||
      parts[0].find_first_not_of("0123456789_") != std::string_view::npos)
    return false;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (!digits(parts[i], 1, 2) || (parts[i].size() == 2 && parts[i][0] > '5')) return false;
  }
  return true;
}

bool Writer::must_quote(std::string_view text) {
  return k8s::plain_type(text) != Token::Type::String || is_timestamp(text) || is_base60(text);
}

bool is_letter(char c) {
  return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
         (static_cast<unsigned char>(c) & 0x80) != 0;
}

// The number that begins at `at`, and where it ends. `more`: digits other than 0 stand before it.
std::pair<std::int64_t, std::size_t> run_of_digits(std::string_view text, std::size_t at,
                                                   bool more) {
  std::int64_t number = more ? 1 : 0;
  for (; at < text.size() && ascii_digit(text[at]) && number < 100'000'000'000'000'000; ++at)
    number = number * 10 + (text[at] - '0');
  return {number, at};
}

bool key_before(std::string_view a, std::string_view b) {
  const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (in_a == a.end() || in_b == b.end()) return a.size() < b.size();
  const auto at = static_cast<std::size_t>(in_a - a.begin());
  const bool bytes = static_cast<unsigned char>(*in_a) < static_cast<unsigned char>(*in_b);
  if (is_letter(*in_a) && is_letter(*in_b)) return bytes;
  if (is_letter(*in_a) || is_letter(*in_b)) return is_letter(*in_b);
  bool more = false;
  if (*in_a == '0' || *in_b == '0') {
    for (std::size_t i = at; i-- > 0 && ascii_digit(a[i]);) more = more || a[i] != '0';
  }
  const auto [number_a, end_a] = run_of_digits(a, at, more);
  const auto [number_b, end_b] = run_of_digits(b, at, more);
  if (number_a != number_b) return number_a < number_b;
  return end_a != end_b ? end_a < end_b : bytes;
}

void append_json_text(std::string& out, std::string_view text, bool html_safe) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      case '\b': out += "\\b"; continue;
      case '\f': out += "\\f"; continue;
      default: break;
    }
    if (byte < 0x20 || (html_safe && (c == '<' || c == '>' || c == '&'))) {
      const std::uint8_t one[] = {byte};
      out += concat("\\u00", hex(one));
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json(std::string& out, const Value& value, int indent, int depth, bool html_safe) {
  const auto line = [&](int levels) {
    if (indent > 0)
      out += concat(
          "\n",
          std::string(static_cast<std::size_t>(indent) * static_cast<std::size_t>(levels), ' '));
  };
  switch (value.kind()) {
    case Value::Kind::None:
    case Value::Kind::Nil: out += "null"; return;
    case Value::Kind::String: append_json_text(out, value.text(), html_safe); return;
    case Value::Kind::Float: out += json_number(value.as_float()); return;
    case Value::Kind::List: {
      if (value.items().empty()) {
        out += "[]";
        return;
      }
      char separator = '[';
      for (const Value& item : value.items()) {
        out += std::exchange(separator, ',');
        line(depth + 1);
        append_json(out, item, indent, depth + 1, html_safe);
      }
      line(depth);
      out += ']';
      return;
    }
    case Value::Kind::Map: {
      if (value.members().empty()) {
        out += "{}";
        return;
      }
      char separator = '{';
      for (const auto& [key, member] : value.members()) {
        out += std::exchange(separator, ',');
        line(depth + 1);
        append_json_text(out, key, html_safe);
        out += indent > 0 ? ": " : ":";
        append_json(out, member, indent, depth + 1, html_safe);
      }
      line(depth);
      out += '}';
      return;
    }
    default: out += value.print(); return;
  }
}

}  // namespace

std::optional<Value> parse_yaml(std::string_view text, std::string& problem) {
  k8s::YamlSource source(text);
  return Reader(source).read(problem);
}

std::optional<Value> parse_json(std::string_view text, std::string& problem) {
  k8s::JsonSource source(text);
  return Reader(source).read(problem);
}

std::string to_yaml(const Value& value) {
  Writer writer;
  writer.write(value);
  return writer.finish();
}

std::string to_json(const Value& value, int indent, bool html_safe) {
  std::string out;
  append_json(out, value, indent, 0, html_safe);
  return out;
}

}  // namespace tulle::chart
