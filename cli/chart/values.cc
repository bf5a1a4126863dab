// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/values.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>

#include "lib/base/text.h"

namespace tulle::chart {
namespace {

// What a text means to --set: null, a boolean, a whole number (without leading zeros), or text.
Value typed(const std::string& text, bool strings) {
  if (strings) return text;
  if (text == "null") return {};
  if (text == "true" || text == "false") return text == "true";
  const bool octal = text.size() > 1 && text[0] == '0';
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (!octal && !text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size()) return number;
  return text;
}

// Helm's strvals syntax.
class SetParser {
 public:
  SetParser(std::string_view text, bool strings) : text_(text), strings_(strings) {}

  std::string parse(Value& values) {
    while (at_ < text_.size() && problem_.empty()) {
      key(values);
      if (at_ < text_.size() && problem_.empty() && text_[at_++] != ',') problem_ = "expected a comma";
    }
    return problem_;
  }

 private:
  // Up to one of the stops, which is not taken; a backslash takes what follows as it is.
  std::string until(std::string_view stops) {
    std::string out;
    while (at_ < text_.size() && stops.find(text_[at_]) == std::string_view::npos) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_++];
    }
    return out;
  }
  char stop() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  // `into` becomes a map.
  void key(Value& into) {
    const std::string name = until("=[,.");
    if (name.empty()) return fail("a key is missing");
    if (into.map() == nullptr) into = Map{};
    follow((*into.map())[name], name);
  }
  // What stands after a key or an index.
  void follow(Value& value, const std::string& name) {
    if (++depth_ > 30) return fail("is nested too deeply");
    switch (stop()) {
      case '.': ++at_; return key(value);
      case '[': ++at_; return index(value, name);
      case '=': ++at_; return read(value);
      default: return fail(concat("key \"", name, "\" has no value"));
    }
  }
  void index(Value& value, const std::string& name) {
    const std::string digits = until("]");
    std::size_t position = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), position);
    if (stop() != ']' || read.ec != std::errc() || read.ptr != digits.data() + digits.size() || position > 65536) {
      return fail(concat("key \"", name, "\" has a bad index \"", digits, "\""));
    }
    ++at_;
    if (value.list() == nullptr) value = List{};
    if (value.list()->size() <= position) value.list()->resize(position + 1);
    follow((*value.list())[position], name);
  }
  void read(Value& value) {
    depth_ = 0;
    if (stop() != '{') {
      value = typed(until(","), strings_);
      return;
    }
    ++at_;
    List items;
    while (stop() != '}') {
      items.push_back(typed(until(",}"), strings_));
      if (stop() == ',') ++at_;
      if (stop() == '\0') return fail("a list must end with }");
    }
    ++at_;
    value = std::move(items);
  }
  void fail(std::string what) {
    if (problem_.empty()) problem_ = std::move(what);
  }

  std::string_view text_;
  const bool strings_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::string problem_;
};

// Edit distance, as far as it is below `most`.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      const bool same = ascii_lower(a[i - 1]) == ascii_lower(b[j - 1]);
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

void find_unknown(const Map& defaults, const Map& values, const std::string& prefix, std::vector<UnknownKey>& out) {
  for (const auto& [key, value] : values) {
    const auto known = defaults.find(key);
    if (known == defaults.end()) {
      std::string best;
      std::size_t least = std::max<std::size_t>(key.size() / 3, 1) + 1;
      for (const auto& [name, ignored] : defaults) {
        if (const std::size_t far = distance(key, name); far < least) {
          least = far;
          best = prefix + name;
        }
      }
      out.push_back({prefix + key, best});
    } else if (value.map() != nullptr && known->second.map() != nullptr && !known->second.map()->empty()) {
      find_unknown(*known->second.map(), *value.map(), concat(prefix, key, "."), out);
    }
  }
}

}  // namespace

Value merge(const Value& base, const Value& over) {
  if (over.map() == nullptr) return over.is_null() ? base : over.deep_copy();
  if (base.map() == nullptr) return over.deep_copy();
  Map out = *base.deep_copy().map();
  for (const auto& [key, value] : *over.map()) {
    const auto there = out.find(key);
    if (value.is_null()) {
      if (there != out.end()) out.erase(there);
    } else if (there != out.end() && there->second.map() != nullptr && value.map() != nullptr) {
      there->second = merge(there->second, value);
    } else {
      out[key] = value.deep_copy();
    }
  }
  return out;
}

std::string set(Value& values, std::string_view expression, bool strings) {
  Value made = values.map() != nullptr ? values.deep_copy() : Value(Map{});
  const std::string problem = SetParser(expression, strings).parse(made);
  if (!problem.empty()) return concat("\"", expression, "\": ", problem);
  values = std::move(made);
  return "";
}

std::string set_file(Value& values, std::string_view expression) {
  const std::size_t equals = expression.find('=');
  if (equals == std::string_view::npos) return concat("\"", expression, "\": expected KEY=FILE");
  const std::string path(expression.substr(equals + 1));
  std::ifstream file(path);
  if (!file) return concat(path, ": cannot be read");
  std::stringstream content;
  content << file.rdbuf();
  // The content is no expression: what has a meaning there is escaped.
  std::string escaped;
  for (const char c : content.str()) {
    if (c == ',' || c == '\\' || c == '{' || c == '}') escaped += '\\';
    escaped += c;
  }
  return set(values, concat(expression.substr(0, equals + 1), escaped), true);
}

Value difference(const Value& base, const Value& values) {
  Map out;
  if (base.map() == nullptr || values.map() == nullptr) return values.deep_copy();
  for (const auto& [key, value] : *values.map()) {
    const auto there = base.map()->find(key);
    if (there == base.map()->end()) {
      out[key] = value.deep_copy();
    } else if (there->second.map() != nullptr && value.map() != nullptr) {
      const Value inner = difference(there->second, value);
      if (!inner.empty()) out[key] = inner;
    } else if (!(there->second == value)) {
      out[key] = value.deep_copy();
    }
  }
  for (const auto& [key, value] : *base.map()) {
    if (!values.map()->contains(key) && !value.is_null()) out[key] = Value{};
  }
  return out;
}

std::vector<UnknownKey> unknown_keys(const Value& defaults, const Value& values) {
  std::vector<UnknownKey> out;
  if (defaults.map() != nullptr && values.map() != nullptr) find_unknown(*defaults.map(), *values.map(), "", out);
  return out;
}

}  // namespace tulle::chart
