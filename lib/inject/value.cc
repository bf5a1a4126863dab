// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/value.h"

#include <algorithm>

#include "lib/base/text.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::inject {
namespace {

using k8s::Token;

bool yaml_true(std::string_view text) {
  return !text.empty() &&
         (ascii_lower(text[0]) == 't' || ascii_lower(text[0]) == 'y' || iequals(text, "on"));
}

Value scalar(const Token& token) {
  switch (token.type) {
    case Token::Type::Null: return {};
    case Token::Type::Bool: return yaml_true(token.text);
    case Token::Type::Int: return Value::number(token.text);
    case Token::Type::Float: {
      // JSON has no word for these.
      const char last = token.text.empty() ? '0' : token.text.back();
      if (!ascii_digit(last) && last != '.') return token.text;
      return Value::number(k8s::json_number(token.text));
    }
    case Token::Type::String: return token.text;
  }
  return {};
}

// The second place of a key that is there twice; nullopt if none is. Large maps are sorted, so that
// a hostile one costs no more than reading it.
std::optional<std::size_t> twice(const std::vector<std::string>& keys) {
  std::vector<std::size_t> order(keys.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return keys[a] != keys[b] ? keys[a] < keys[b] : a < b;
  });
  const auto at = std::adjacent_find(
      order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return keys[a] == keys[b]; });
  return at != order.end() ? std::optional(*(at + 1)) : std::nullopt;
}

class Reader {
 public:
  explicit Reader(k8s::Decoder& in) : in_(in) {}

  Value read() {
    if (in_.failed()) return {};
    if (++count_ > kMaxValues) {
      in_.fail("has too many values");
      return {};
    }
    if (in_.at(Token::Kind::MapBegin)) return read_map();
    if (in_.at(Token::Kind::ListBegin)) return read_list();
    if (!in_.at(Token::Kind::Scalar)) {
      in_.fail("ends too early");
      return {};
    }
    Value out = scalar(in_.peek());
    in_.advance();
    return out;
  }

 private:
  Value read_map() {
    Value out = Value::map();
    std::string key;
    std::vector<std::uint32_t> lines;  // of the keys
    in_.advance();
    for (std::uint32_t line = in_.peek().line; in_.next_key(key); line = in_.peek().line) {
      in_.push(key);
      lines.push_back(line);
      Value& place = out.set_unchecked(key, Value());
      place = read();
      in_.pop();
    }
    if (in_.failed()) return out;
    if (const auto at = twice(out.keys())) in_.fail_at(out.keys()[*at], lines[*at], "occurs twice");
    return out;
  }
  Value read_list() {
    Value out = Value::list();
    in_.advance();
    std::size_t index = 0;
    while (in_.next_item()) {
      in_.push_index(index++);
      out.push(read());
      in_.pop();
    }
    return out;
  }

  k8s::Decoder& in_;
  std::size_t count_ = 0;
};

std::optional<Value> parse(k8s::TokenSource& source, std::string& problem, bool only) {
  if (!source.next_document()) return Value();
  k8s::Decoder in(source);
  Value out;
  if (!in.at(Token::Kind::End)) out = read_value(in);
  if (!in.failed() && !in.at(Token::Kind::End)) in.fail("goes on after its end");
  if (!in.failed() && only && source.next_document()) in.fail("has more than one document");
  if (!in.failed()) return out;
  problem = in.problem()->to_string();
  return std::nullopt;
}

void append_indent(std::string& out, std::size_t width) { out.append(width, ' '); }

}  // namespace

Value Value::number(std::string_view text) {
  Value out;
  out.kind_ = Kind::Number;
  out.text_ = text;
  return out;
}

Value Value::map(std::initializer_list<Member> members) {
  Value out;
  out.kind_ = Kind::Map;
  for (const Member& member : members) {
    out.keys_.emplace_back(member.first);
    out.items_.push_back(member.second);
  }
  return out;
}

Value Value::list(std::initializer_list<Value> items) {
  Value out;
  out.kind_ = Kind::List;
  out.items_ = items;
  return out;
}

std::optional<std::int64_t> Value::integer() const noexcept {
  return is_number() ? parse_number<std::int64_t>(text_) : std::nullopt;
}

const Value* Value::find(std::string_view key) const noexcept {
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i] == key) return &items_[i];
  }
  return nullptr;
}

Value* Value::find(std::string_view key) noexcept {
  return const_cast<Value*>(std::as_const(*this).find(key));
}

const Value& Value::operator[](std::string_view key) const noexcept {
  static const Value kNull;
  const Value* const found = find(key);
  return found != nullptr ? *found : kNull;
}

Value& Value::set(std::string_view key, Value value) {
  if (Value* const found = find(key)) return *found = std::move(value);
  return set_unchecked(std::string(key), std::move(value));
}

Value& Value::set_unchecked(std::string key, Value value) {
  if (is_null()) kind_ = Kind::Map;
  keys_.push_back(std::move(key));
  return items_.emplace_back(std::move(value));
}

bool Value::erase(std::string_view key) {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  if (found == keys_.end()) return false;
  items_.erase(items_.begin() + (found - keys_.begin()));
  keys_.erase(found);
  return true;
}

Value& Value::push(Value value) {
  if (is_null()) kind_ = Kind::List;
  return items_.emplace_back(std::move(value));
}

void Value::insert(std::size_t at, Value value) {
  if (is_null()) kind_ = Kind::List;
  items_.insert(items_.begin() + static_cast<std::ptrdiff_t>(std::min(at, items_.size())),
                std::move(value));
}

bool operator==(const Value& a, const Value& b) noexcept {
  if (a.kind_ != b.kind_ || a.text_ != b.text_ || a.items_.size() != b.items_.size()) return false;
  if (!a.is_map()) return a.items_ == b.items_;
  for (std::size_t i = 0; i < a.keys_.size(); ++i) {
    const Value* const other = b.find(a.keys_[i]);
    if (other == nullptr || !(a.items_[i] == *other)) return false;
  }
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void Value::append_json(std::string& out) const {
  switch (kind_) {
    case Kind::Null: out += "null"; return;
    case Kind::Bool:
    case Kind::Number: out += text_; return;
    case Kind::String: return append_json_string(out, text_);
    case Kind::List:
    case Kind::Map: break;
  }
  out += is_map() ? '{' : '[';
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (i > 0) out += ',';
    if (is_map()) {
      append_json_string(out, keys_[i]);
      out += ':';
    }
    items_[i].append_json(out);
  }
  out += is_map() ? '}' : ']';
}

std::string Value::to_json() const {
  std::string out;
  append_json(out);
  return out;
}

std::string Value::to_pretty_json() const {
  std::string out;
  append_pretty(out, 0);
  return out;
}

void Value::append_pretty(std::string& out, std::size_t depth) const {
  if (items_.empty()) return append_json(out);
  out += is_map() ? '{' : '[';
  for (std::size_t i = 0; i < items_.size(); ++i) {
    out += i > 0 ? ",\n" : "\n";
    append_indent(out, 2 * (depth + 1));
    if (is_map()) {
      append_json_string(out, keys_[i]);
      out += ": ";
    }
    items_[i].append_pretty(out, depth + 1);
  }
  out += '\n';
  append_indent(out, 2 * depth);
  out += is_map() ? '}' : ']';
}

std::string yaml_scalar(std::string_view text) {
  bool plain = !text.empty() && k8s::plain_type(text) == Token::Type::String &&
               text.front() != ' ' && text.back() != ' ' && text.size() < 120;
  constexpr std::string_view kIndicators = "?:,[]{}#&*!|>'\"%@`=<";
  if (plain && kIndicators.find(text.front()) != std::string_view::npos) plain = false;
  if (plain && text.front() == '-' && (text.size() < 2 || text[1] == ' ' || text == "---"))
    plain = false;
  for (std::size_t i = 0; plain && i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c >= 0x7f) plain = false;
    if (c == ':' && (i + 1 == text.size() || text[i + 1] == ' ')) plain = false;
    if (c == '#' && text[i - 1] == ' ') plain = false;
  }
  // Something like a date or a base-60 number, which other readers take for one.
  if (plain && ascii_digit(text.front())) {
    const auto odd = [](char c) {
      return ascii_digit(c) || c == ':' || c == '-' || c == '.' || c == '_' || c == ',';
    };
    if (std::all_of(text.begin(), text.end(), odd)) plain = false;
  }
  if (plain) return std::string(text);
  std::string out;
  append_json_string(out, text);  // JSON's strings are YAML's
  return out;
}

std::string Value::to_yaml(std::size_t indent) const {
  std::string out;
  append_yaml(out, indent, false);
  return out;
}

// `inline_first`: the first line continues one that is there ("- ").
void Value::append_yaml(std::string& out, std::size_t indent, bool inline_first) const {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (i > 0 || !inline_first) append_indent(out, indent);
    const Value& item = items_[i];
    const bool nested = !item.empty();
    if (is_map()) {
      out += yaml_scalar(keys_[i]);
      out += ':';
      if (nested) {
        out += '\n';
        item.append_yaml(out, item.is_list() ? indent : indent + 2, false);
        continue;
      }
      out += ' ';
    } else {
      out += "- ";
      if (nested) {
        item.append_yaml(out, indent + 2, true);
        continue;
      }
    }
    if (item.is_string()) {
      out += yaml_scalar(item.text_);
    } else {
      item.append_json(out);
    }
    out += '\n';
  }
}

Value read_value(k8s::Decoder& in) { return Reader(in).read(); }

std::optional<Value> parse_json(std::string_view text, std::string& problem) {
  k8s::JsonSource source(text);
  return parse(source, problem, true);
}

std::optional<Value> parse_yaml(std::string_view text, std::string& problem) {
  k8s::YamlSource source(text);
  return parse(source, problem, false);
}

}  // namespace tulle::inject
