// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/functions.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cli/chart/template.h"
#include "lib/base/text.h"
#include "lib/inject/value.h"
#include "lib/tls/cert.h"

namespace tulle::chart {
namespace {

using Arguments = std::vector<Value>;

[[noreturn]] void wrong(std::string what) { throw TemplateError(std::move(what)); }

const Value& at(const Arguments& a, std::size_t index) {
  if (index >= a.size()) wrong("has too few arguments");
  return a[index];
}
std::string text(const Arguments& a, std::size_t index) { return at(a, index).text(); }
std::int64_t number(const Value& value) {
  if (const auto* const whole = value.integer()) return *whole;
  if (const double* const real = value.real()) return static_cast<std::int64_t>(*real);
  if (const bool* const on = value.boolean()) return *on ? 1 : 0;
  if (const std::string* const held = value.string()) {
    std::int64_t out = 0;
    const auto read = std::from_chars(held->data(), held->data() + held->size(), out);
    if (read.ec == std::errc() && read.ptr == held->data() + held->size()) return out;
  }
  return 0;
}
std::int64_t number(const Arguments& a, std::size_t index) { return number(at(a, index)); }
const List& list(const Arguments& a, std::size_t index) {
  const List* const out = at(a, index).list();
  if (out == nullptr) wrong(concat("wants a list, not a ", at(a, index).kind()));
  return *out;
}
Map& map(const Arguments& a, std::size_t index) {
  Map* const out = at(a, index).map();
  if (out == nullptr) wrong(concat("wants a map, not a ", at(a, index).kind()));
  return *out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  if (from.empty()) return std::string(text);
  for (std::size_t at = 0;;) {
    const std::size_t next = text.find(from, at);
    out += text.substr(at, next - at);
    if (next == std::string_view::npos) return out;
    out += to;
    at = next + from.size();
  }
}

std::string indented(std::int64_t by, std::string_view text) {
  const std::string pad(static_cast<std::size_t>(std::clamp<std::int64_t>(by, 0, 1000)), ' ');
  return pad + replaced(text, "\n", "\n" + pad);
}

std::string quoted(std::string_view text) {
  std::string out;
  inject::append_json_string(out, text);
  return out;
}

// -1, 0, 1; values of two kinds do not compare.
int compare(const Value& a, const Value& b) {
  if (a.string() != nullptr && b.string() != nullptr) {
    const int order = a.string()->compare(*b.string());
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  const auto real = [](const Value& value) -> double {
    if (const auto* const whole = value.integer()) return static_cast<double>(*whole);
    if (const double* const number = value.real()) return *number;
    wrong(concat("cannot compare a ", value.kind()));
  };
  const double x = real(a);
  const double y = real(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

bool equal_any(const Arguments& a) {
  for (std::size_t i = 1; i < a.size(); ++i) {
    const bool basic = a[0].map() == nullptr && a[0].list() == nullptr;
    if (!basic) wrong(concat("cannot compare a ", a[0].kind()));
    const auto is_number = [](const Value& value) { return value.integer() != nullptr || value.real() != nullptr; };
    if (a[0].kind() != a[i].kind() && !a[0].is_null() && !a[i].is_null() && !(is_number(a[0]) && is_number(a[i]))) {
      wrong(concat("cannot compare a ", a[0].kind(), " with a ", a[i].kind()));
    }
    if (a[0] == a[i]) return true;
  }
  if (a.size() < 2) wrong("has too few arguments");
  return false;
}

Value index_into(const Arguments& a) {
  Value value = at(a, 0);
  for (std::size_t i = 1; i < a.size(); ++i) {
    if (value.map() != nullptr) {
      value = value.get(text(a, i));
    } else if (const List* const items = value.list()) {
      const std::int64_t wanted = number(a, i);
      if (wanted < 0 || static_cast<std::size_t>(wanted) >= items->size()) wrong("index out of range");
      value = (*items)[static_cast<std::size_t>(wanted)];
    } else {
      wrong(concat("cannot index a ", value.kind()));
    }
  }
  return value;
}

Value length(const Value& value) {
  if (const std::string* const held = value.string()) return static_cast<std::int64_t>(held->size());
  if (const List* const items = value.list()) return static_cast<std::int64_t>(items->size());
  if (const Map* const members = value.map()) return static_cast<std::int64_t>(members->size());
  wrong(concat("a ", value.kind(), " has no length"));
}

Value split_list(std::string_view separator, std::string_view text) {
  List out;
  for (std::size_t from = 0;;) {
    const std::size_t next = separator.empty() ? std::string_view::npos : text.find(separator, from);
    out.emplace_back(text.substr(from, next == std::string_view::npos ? next : next - from));
    if (next == std::string_view::npos) return out;
    from = next + separator.size();
  }
}

std::string joined(std::string_view separator, const Value& items) {
  if (items.list() == nullptr) return items.text();
  std::string out;
  for (const Value& item : *items.list()) {
    if (item.is_null()) continue;
    out += concat(out.empty() ? "" : separator, item.text());
  }
  return out;
}

Value dictionary(const Arguments& a) {
  Map out;
  for (std::size_t i = 0; i < a.size(); i += 2) out[a[i].text()] = i + 1 < a.size() ? a[i + 1] : Value("");
  return out;
}

// The members of the first win; maps are merged member by member.
void merge_into(Map& into, const Map& from, bool overwrite) {
  for (const auto& [key, value] : from) {
    Value& there = into[key];
    if (there.map() != nullptr && value.map() != nullptr) {
      merge_into(*there.map(), *value.map(), overwrite);
    } else if (overwrite || there.empty()) {
      there = value.deep_copy();
    }
  }
}
Value merge(const Arguments& a, bool overwrite) {
  for (std::size_t i = 1; i < a.size(); ++i) merge_into(map(a, 0), map(a, i), overwrite);
  return at(a, 0);
}

Value without(const Value& from, const Arguments& a, bool keep) {
  Map out;
  for (const auto& [key, value] : *from.map()) {
    bool named = false;
    for (std::size_t i = 1; i < a.size(); ++i) named |= a[i].text() == key;
    if (named == keep) out[key] = value;
  }
  return out;
}

std::string_view go_kind(const Value& value) { return value.kind(); }

// Go spells booleans in all of these ways.
bool fold(const Arguments& a, bool all) {
  for (const Value& value : a) {
    if (value.empty() == all) return !all;
  }
  return all;
}

struct Entry {
  std::string_view name;
  Function call;
};

const Entry kFunctions[] = {
    {"not", [](const Arguments& a) -> Value { return at(a, 0).empty(); }},
    {"eq", [](const Arguments& a) -> Value { return equal_any(a); }},
    {"ne", [](const Arguments& a) -> Value { return !equal_any({at(a, 0), at(a, 1)}); }},
    {"lt", [](const Arguments& a) -> Value { return compare(at(a, 0), at(a, 1)) < 0; }},
    {"le", [](const Arguments& a) -> Value { return compare(at(a, 0), at(a, 1)) <= 0; }},
    {"gt", [](const Arguments& a) -> Value { return compare(at(a, 0), at(a, 1)) > 0; }},
    {"ge", [](const Arguments& a) -> Value { return compare(at(a, 0), at(a, 1)) >= 0; }},
    {"len", [](const Arguments& a) -> Value { return length(at(a, 0)); }},
    {"index", [](const Arguments& a) -> Value { return index_into(a); }},
    {"printf", [](const Arguments& a) -> Value { return go_printf(a); }},
    {"print", [](const Arguments& a) -> Value {
       std::string out;
       for (std::size_t i = 0; i < a.size(); ++i) {
         if (i > 0 && a[i].string() == nullptr && a[i - 1].string() == nullptr) out += ' ';
         out += a[i].text();
       }
       return out;
     }},
    {"println", [](const Arguments& a) -> Value { return joined(" ", Value(List(a))) + "\n"; }},
    {"default", [](const Arguments& a) -> Value { return a.size() < 2 || a[1].empty() ? at(a, 0) : a[1]; }},
    {"empty", [](const Arguments& a) -> Value { return at(a, 0).empty(); }},
    {"coalesce", [](const Arguments& a) -> Value {
       for (const Value& value : a) {
         if (!value.empty()) return value;
       }
       return {};
     }},
    {"ternary", [](const Arguments& a) -> Value { return at(a, 2).empty() ? a[1] : a[0]; }},
    {"fail", [](const Arguments& a) -> Value { throw Refusal(text(a, 0)); }},
    {"required", [](const Arguments& a) -> Value {
       const Value& value = at(a, 1);
       const bool missing = value.is_null() || (value.string() != nullptr && value.string()->empty());
       if (missing) throw Refusal(text(a, 0));
       return value;
     }},
    {"quote", [](const Arguments& a) -> Value {
       std::string out;
       for (const Value& value : a) {
         if (!value.is_null()) out += concat(out.empty() ? "" : " ", quoted(value.text()));
       }
       return out;
     }},
    {"squote", [](const Arguments& a) -> Value {
       std::string out;
       for (const Value& value : a) {
         if (!value.is_null()) out += concat(out.empty() ? "" : " ", "'", value.text(), "'");
       }
       return out;
     }},
    {"trim", [](const Arguments& a) -> Value { return trimmed(text(a, 0)); }},
    {"trimSuffix", [](const Arguments& a) -> Value {
       std::string_view out = *at(a, 1).string();
       if (out.ends_with(text(a, 0))) out.remove_suffix(text(a, 0).size());
       return out;
     }},
    {"trimPrefix", [](const Arguments& a) -> Value {
       std::string_view out = *at(a, 1).string();
       if (out.starts_with(text(a, 0))) out.remove_prefix(text(a, 0).size());
       return out;
     }},
    {"trunc", [](const Arguments& a) -> Value {
       const std::string whole = text(a, 1);
       const std::int64_t most = number(a, 0);
       if (most >= 0) return whole.substr(0, static_cast<std::size_t>(most));
       const auto kept = static_cast<std::size_t>(-most);
       return kept >= whole.size() ? whole : whole.substr(whole.size() - kept);
     }},
    {"lower", [](const Arguments& a) -> Value {
       std::string out = text(a, 0);
       std::transform(out.begin(), out.end(), out.begin(), ascii_lower);
       return out;
     }},
    {"upper", [](const Arguments& a) -> Value {
       std::string out = text(a, 0);
       for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
       return out;
     }},
    {"replace", [](const Arguments& a) -> Value { return replaced(text(a, 2), text(a, 0), text(a, 1)); }},
    {"contains", [](const Arguments& a) -> Value { return text(a, 1).find(text(a, 0)) != std::string::npos; }},
    {"hasPrefix", [](const Arguments& a) -> Value { return text(a, 1).starts_with(text(a, 0)); }},
    {"hasSuffix", [](const Arguments& a) -> Value { return text(a, 1).ends_with(text(a, 0)); }},
    {"repeat", [](const Arguments& a) -> Value {
       std::string out;
       for (std::int64_t i = 0; i < std::min<std::int64_t>(number(a, 0), 10'000); ++i) out += text(a, 1);
       return out;
     }},
    {"indent", [](const Arguments& a) -> Value { return indented(number(a, 0), text(a, 1)); }},
    {"nindent", [](const Arguments& a) -> Value { return "\n" + indented(number(a, 0), text(a, 1)); }},
    {"toYaml", [](const Arguments& a) -> Value { return to_yaml(at(a, 0)); }},
    {"toJson", [](const Arguments& a) -> Value { return to_json(at(a, 0)); }},
    {"fromYaml", [](const Arguments& a) -> Value {
       std::string problem;
       Value out = parse_yaml(text(a, 0), problem);
       if (!problem.empty()) return Map{{"Error", problem}};
       return out;
     }},
    {"toString", [](const Arguments& a) -> Value { return text(a, 0); }},
    {"int", [](const Arguments& a) -> Value { return number(a, 0); }},
    {"int64", [](const Arguments& a) -> Value { return number(a, 0); }},
    {"add", [](const Arguments& a) -> Value {
       std::int64_t out = 0;
       for (const Value& value : a) out += number(value);
       return out;
     }},
    {"add1", [](const Arguments& a) -> Value { return number(a, 0) + 1; }},
    {"sub", [](const Arguments& a) -> Value { return number(a, 0) - number(a, 1); }},
    {"mul", [](const Arguments& a) -> Value {
       std::int64_t out = 1;
       for (const Value& value : a) out *= number(value);
       return out;
     }},
    {"max", [](const Arguments& a) -> Value {
       std::int64_t out = number(a, 0);
       for (const Value& value : a) out = std::max(out, number(value));
       return out;
     }},
    {"min", [](const Arguments& a) -> Value {
       std::int64_t out = number(a, 0);
       for (const Value& value : a) out = std::min(out, number(value));
       return out;
     }},
    {"b64enc", [](const Arguments& a) -> Value { return base64_encode(as_bytes(text(a, 0))); }},
    {"b64dec", [](const Arguments& a) -> Value {
       const auto bytes = base64_decode(text(a, 0));
       return bytes ? Value(*bytes) : Value("illegal base64 data");
     }},
    {"sha256sum", [](const Arguments& a) -> Value { return tls::sha256_hex(text(a, 0)); }},
    {"list", [](const Arguments& a) -> Value { return List(a); }},
    {"dict", [](const Arguments& a) -> Value { return dictionary(a); }},
    {"get", [](const Arguments& a) -> Value {
       const Map& members = map(a, 0);
       const auto found = members.find(text(a, 1));
       return found != members.end() ? found->second : Value("");
     }},
    {"set", [](const Arguments& a) -> Value { return map(a, 0)[text(a, 1)] = at(a, 2), a[0]; }},
    {"unset", [](const Arguments& a) -> Value {
       map(a, 0).erase(text(a, 1));
       return a[0];
     }},
    {"hasKey", [](const Arguments& a) -> Value { return map(a, 0).contains(text(a, 1)); }},
    {"dig", [](const Arguments& a) -> Value {
       if (a.size() < 3) wrong("has too few arguments");
       Value value = a.back();
       for (std::size_t i = 0; i + 2 < a.size(); ++i) {
         if (value.map() == nullptr || !value.map()->contains(a[i].text())) return a[a.size() - 2];
         value = value.get(a[i].text());
       }
       return value;
     }},
    {"pick", [](const Arguments& a) -> Value { return map(a, 0), without(a[0], a, true); }},
    {"omit", [](const Arguments& a) -> Value { return map(a, 0), without(a[0], a, false); }},
    {"keys", [](const Arguments& a) -> Value {
       List out;
       for (const auto& [key, value] : map(a, 0)) out.emplace_back(key);
       return out;
     }},
    {"values", [](const Arguments& a) -> Value {
       List out;
       for (const auto& [key, value] : map(a, 0)) out.push_back(value);
       return out;
     }},
    {"merge", [](const Arguments& a) -> Value { return merge(a, false); }},
    {"mergeOverwrite", [](const Arguments& a) -> Value { return merge(a, true); }},
    {"deepCopy", [](const Arguments& a) -> Value { return at(a, 0).deep_copy(); }},
    {"has", [](const Arguments& a) -> Value {
       if (at(a, 1).is_null()) return false;
       const List& items = list(a, 1);
       return std::find(items.begin(), items.end(), a[0]) != items.end();
     }},
    {"first", [](const Arguments& a) -> Value { return list(a, 0).empty() ? Value{} : list(a, 0).front(); }},
    {"last", [](const Arguments& a) -> Value { return list(a, 0).empty() ? Value{} : list(a, 0).back(); }},
    {"append", [](const Arguments& a) -> Value {
       List out = list(a, 0);
       out.push_back(at(a, 1));
       return out;
     }},
    {"concat", [](const Arguments& a) -> Value {
       List out;
       for (std::size_t i = 0; i < a.size(); ++i) out.insert(out.end(), list(a, i).begin(), list(a, i).end());
       return out;
     }},
    {"uniq", [](const Arguments& a) -> Value {
       List out;
       for (const Value& item : list(a, 0)) {
         if (std::find(out.begin(), out.end(), item) == out.end()) out.push_back(item);
       }
       return out;
     }},
    {"sortAlpha", [](const Arguments& a) -> Value {
       std::vector<std::string> texts;
       for (const Value& item : list(a, 0)) texts.push_back(item.text());
       std::sort(texts.begin(), texts.end());
       return List(texts.begin(), texts.end());
     }},
    {"join", [](const Arguments& a) -> Value { return joined(text(a, 0), at(a, 1)); }},
    {"splitList", [](const Arguments& a) -> Value { return split_list(text(a, 0), text(a, 1)); }},
    {"until", [](const Arguments& a) -> Value {
       List out;
       for (std::int64_t i = 0; i < std::min<std::int64_t>(number(a, 0), 10'000); ++i) out.emplace_back(i);
       return out;
     }},
    {"kindOf", [](const Arguments& a) -> Value { return go_kind(at(a, 0)); }},
    {"kindIs", [](const Arguments& a) -> Value { return go_kind(at(a, 1)) == text(a, 0); }},
    // Nothing is looked up where a cluster may not be there, as with `helm template`.
    {"lookup", [](const Arguments&) -> Value { return Map{}; }},
    {"and", [](const Arguments& a) -> Value { return fold(a, true); }},
    {"or", [](const Arguments& a) -> Value { return fold(a, false); }},
};

}  // namespace

Function find_function(std::string_view name) {
  for (const Entry& entry : kFunctions) {
    if (entry.name == name) return entry.call;
  }
  return nullptr;
}

std::string go_printf(const std::vector<Value>& a) {
  const std::string format = text(a, 0);
  std::string out;
  std::size_t next = 1;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    const char verb = format[++i];
    if (verb == '%') {
      out += '%';
      continue;
    }
    if (next >= a.size()) {
      out += concat("%!", std::string(1, verb), "(MISSING)");
      continue;
    }
    const Value& value = a[next++];
    switch (verb) {
      case 's':
      case 'd':
      case 't': out += value.text(); break;
      case 'v': out += value.is_null() ? "<nil>" : value.text(); break;
      case 'q': out += quoted(value.text()); break;
      default: wrong(concat("the verb %", std::string(1, verb), " of printf is not supported"));
    }
  }
  return out;
}

}  // namespace tulle::chart
