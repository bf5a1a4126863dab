// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/set.h"

#include "lib/base/text.h"

namespace tulle::chart {

namespace {

constexpr int kMaxLevels = 30;
constexpr std::int64_t kMaxIndex = 65536;

class Setter {
 public:
  Setter(std::string_view line, SetKind kind, const FileReader& read)
      : in_(line), kind_(kind), read_(read) {}

  std::string run(const Value& into) {
    while (at_ < in_.size() && problem_.empty()) key(into, 0);
    return problem_;
  }

 private:
  void fail(std::string reason) {
    if (problem_.empty()) problem_ = std::move(reason);
  }

  // Up to one of `stops`, which is taken too and given in `stop`: 0 at the end of the line.
  std::string until(std::string_view stops, char& stop) {
    std::string out;
    for (; at_ < in_.size(); ++at_) {
      if (stops.find(in_[at_]) != std::string_view::npos) {
        stop = in_[at_++];
        return out;
      }
      if (in_[at_] == '\\' && ++at_ >= in_.size()) break;
      out += in_[at_];
    }
    stop = 0;
    return out;
  }

  static void set(const Value& into, const std::string& key, Value value) {
    if (!key.empty()) into.set(key, std::move(value));
  }

  void key(const Value& into, int level) {
    char stop = 0;
    const std::string name = until("=[,.", stop);
    const Value* const there = into.find(name);
    switch (stop) {
      case '=': set(into, name, value()); return;
      case '.': {
        if (level + 1 > kMaxLevels)
          return fail(
              concat("value name nested level is greater than maximum supported nested level of ",
                     std::to_string(kMaxLevels)));
        if (there != nullptr && !there->is_map())
          return fail(concat(quote_go(name), " is no map, so nothing can be set in it"));
        const Value inner = there != nullptr ? *there : Value::map();
        key(inner, level + 1);
        if (problem_.empty() && inner.members().empty())
          return fail(concat("key map ", quote_go(name), " has no value"));
        set(into, name, inner);
        return;
      }
      case '[': {
        if (there != nullptr && !there->is_list())
          return fail(concat(quote_go(name), " is no list, so it has no items to set"));
        Value::List items = there != nullptr ? there->items() : Value::List();
        item(items, level);
        set(into, name, Value(std::move(items)));
        return;
      }
      case ',': return fail(concat("key ", quote_go(name), " has no value (cannot end with ,)"));
      default: return name.empty() ? void() : fail(concat("key ", quote_go(name), " has no value"));
    }
  }

  // Behind "[": the number, and what is set there.
  void item(Value::List& items, int level) {
    char stop = 0;
    const std::string digits = until("]", stop);
    const auto number = parse_number<std::int64_t>(digits);
    if (stop == 0 || !number) return fail(concat("error parsing index ", quote_go(digits)));
    if (*number < 0) return fail(concat("negative ", digits, " index not allowed"));
    if (*number > kMaxIndex)
      return fail(concat("index of ", digits, " is greater than maximum supported index of ",
                         std::to_string(kMaxIndex)));
    if (level + 1 > kMaxLevels) return fail("items are nested too deeply");
    const auto index = static_cast<std::size_t>(*number);
    const std::string rest = until("[.=", stop);
    if (!rest.empty())
      return fail(concat("unexpected data at end of array index: ", quote_go(rest)));
    if (stop == 0) return fail(concat("item ", digits, " has no value"));
    if (items.size() <= index) items.resize(index + 1, Value::nil());
    Value& slot = items[index];
    if (stop == '=') {
      slot = value();
    } else if (stop == '.') {
      if (!slot.is_map()) slot = Value::map();
      key(Value(slot), level + 1);
    } else {
      Value::List inner = slot.items();
      item(inner, level + 1);
      slot = Value(std::move(inner));
    }
  }

  Value value() {
    char stop = 0;
    if (at_ >= in_.size() || in_[at_] != '{') {
      // A file's name that is not there is no name.
      if (at_ >= in_.size()) return "";
      return typed(until(",", stop));
    }
    ++at_;
    Value::List items;
    while (problem_.empty()) {
      std::string text = until(",}", stop);
      if (stop == 0) {
        fail("list must terminate with '}'");
        break;
      }
      items.push_back(typed(std::move(text)));
      if (stop == '}') break;
    }
    if (at_ < in_.size() && in_[at_] == ',') ++at_;
    return items;
  }

  Value typed(std::string text) {
    if (kind_ == SetKind::String) return text;
    if (kind_ == SetKind::File) {
      std::string why;
      auto content = read_ ? read_(text, why) : std::nullopt;
      if (!content) fail(why.empty() ? concat("cannot read ", text) : why);
      return content ? Value(std::move(*content)) : Value();
    }
    if (iequals(text, "true")) return true;
    if (iequals(text, "false")) return false;
    if (iequals(text, "null")) return Value::nil();
    if (text == "0") return Value::integer64(0);
    if (!text.empty() && text[0] != '0') {
      const std::string_view digits = std::string_view(text).substr(
          text[0] == '+' && text.size() > 1 && ascii_digit(text[1]) ? 1 : 0);
      if (const auto number = parse_number<std::int64_t>(digits)) return Value::integer64(*number);
    }
    return text;
  }

  std::string_view in_;
  std::size_t at_ = 0;
  SetKind kind_;
  const FileReader& read_;
  std::string problem_;
};

}  // namespace

std::string set_values(std::string_view line, SetKind kind, const Value& into,
                       const FileReader& read) {
  return Setter(line, kind, read).run(into);
}

Value merge_values(const Value& below, const Value& above) {
  Value::Members out = below.members();
  for (const auto& [key, value] : above.members()) {
    const auto found = out.find(key);
    const bool both = found != out.end() && found->second.is_map() && value.is_map();
    out.insert_or_assign(key, both ? merge_values(found->second, value) : value);
  }
  return Value::map(std::move(out));
}

}  // namespace tulle::chart
