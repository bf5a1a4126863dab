// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cli/chart/function_groups.h"
#include "lib/base/text.h"

namespace tulle::chart {
namespace {

// --- lists ---

Value list(Call& c) { return c.args; }

// The list in argument `i`; an error if it is none. A null is an empty list where `null_too`.
const Value::List* items(Call& c, std::size_t i, bool null_too = false) {
  static const Value::List kNone;
  if (c.args[i].is_list()) return &c.args[i].items();
  if (null_too && c.args[i].is_null()) return &kNone;
  c.fail(concat("a list is expected, not ", c.args[i].is_null() ? "nil" : c.args[i].type_name()));
  return nullptr;
}

Value has(Call& c) {
  const Value::List* const in = items(c, 1, true);
  return in == nullptr ? Value() : Value(std::find(in->begin(), in->end(), c.args[0]) != in->end());
}
Value first(Call& c) {
  const Value::List* const in = items(c, 0);
  return in == nullptr ? Value() : in->empty() ? Value::nil() : Value(in->front());
}
Value last(Call& c) {
  const Value::List* const in = items(c, 0);
  return in == nullptr ? Value() : in->empty() ? Value::nil() : Value(in->back());
}
Value part(Call& c, std::int64_t from, std::int64_t to) {
  const Value::List* const in = items(c, 0);
  if (in == nullptr) return {};
  const auto size = static_cast<std::int64_t>(in->size());
  if (to < 0) to = size + to + 1;
  if (size == 0 && from <= 1) return Value::List();
  if (from < 0 || from > to || to > size) return c.fail("slice bounds out of range");
  return Value::List(in->begin() + from, in->begin() + to);
}
Value rest(Call& c) { return part(c, 1, -1); }
Value initial(Call& c) { return part(c, 0, -2); }
Value slice(Call& c) {
  return part(c, c.args.size() > 1 ? to_int(c.args[1]) : 0,
              c.args.size() > 2 ? to_int(c.args[2]) : -1);
}
Value append(Call& c) {
  const Value::List* const in = items(c, 0);
  if (in == nullptr) return {};
  Value::List out = *in;
  out.push_back(c.args[1]);
  return out;
}
Value prepend(Call& c) {
  const Value::List* const in = items(c, 0);
  if (in == nullptr) return {};
  Value::List out = *in;
  out.insert(out.begin(), c.args[1]);
  return out;
}
Value concat_(Call& c) {
  Value::List out;
  for (std::size_t i = 0; i < c.args.size(); ++i) {
    const Value::List* const in = items(c, i);
    if (in == nullptr) return {};
    out.insert(out.end(), in->begin(), in->end());
  }
  return out;
}
Value reverse(Call& c) {
  const Value::List* const in = items(c, 0);
  return in == nullptr ? Value() : Value(Value::List(in->rbegin(), in->rend()));
}
template <typename Keep>
Value filtered(Call& c, const Keep& keep) {
  const Value::List* const in = items(c, 0);
  Value::List out;
  if (in == nullptr) return {};
  for (const Value& one : *in) {
    if (keep(one, out)) out.push_back(one);
  }
  return out;
}
Value uniq(Call& c) {
  return filtered(c, [](const Value& one, const Value::List& out) {
    return std::find(out.begin(), out.end(), one) == out.end();
  });
}
Value compact(Call& c) {
  return filtered(c, [](const Value& one, const Value::List&) { return one.truth(); });
}
Value without(Call& c) {
  return filtered(c, [&](const Value& one, const Value::List&) {
    return std::find(c.args.begin() + 1, c.args.end(), one) == c.args.end();
  });
}

// --- maps ---

Value dict(Call& c) {
  Value::Members out;
  for (std::size_t i = 0; i < c.args.size(); i += 2)
    out.insert_or_assign(as_text(c.args[i]), i + 1 < c.args.size() ? c.args[i + 1] : Value(""));
  return Value::map(std::move(out));
}
Value get(Call& c) {
  const Value* const member = c.args[0].find(text(c, 1));
  return member != nullptr ? *member : Value("");
}
bool holds(const Value& value, const Value& map) {
  if (value.is_map() && &value.members() == &map.members()) return true;
  const auto inside = [&](const Value& one) { return holds(one, map); };
  if (value.is_list()) return std::any_of(value.items().begin(), value.items().end(), inside);
  return std::any_of(value.members().begin(), value.members().end(),
                     [&](const auto& member) { return inside(member.second); });
}
Value set(Call& c) {
  if (c.args[0].is_null()) return c.fail("assignment to entry in nil map");
  if (holds(c.args[2], c.args[0])) return c.fail("a map cannot hold itself");
  c.args[0].set(text(c, 1), c.args[2]);
  return c.args[0];
}
Value unset(Call& c) {
  c.args[0].erase(text(c, 1));
  return c.args[0];
}
Value has_key(Call& c) { return c.args[0].find(text(c, 1)) != nullptr; }
Value keys(Call& c) {
  Value::List out;
  for (const Value& map : c.args) {
    for (const auto& member : map.members()) out.emplace_back(member.first);
  }
  return out;
}
Value values(Call& c) {
  Value::List out;
  for (const auto& member : c.args[0].members()) out.push_back(member.second);
  return out;
}
Value pluck(Call& c) {
  Value::List out;
  for (std::size_t i = 1; i < c.args.size(); ++i) {
    if (const Value* const member = c.args[i].find(text(c, 0))) out.push_back(*member);
  }
  return out;
}
Value chosen(Call& c, bool named) {
  Value::Members out;
  for (const auto& member : c.args[0].members()) {
    const bool is_named = std::any_of(c.args.begin() + 1, c.args.end(), [&](const Value& name) {
      return name.text() == member.first;
    });
    if (is_named == named) out.insert(member);
  }
  return Value::map(std::move(out));
}
Value pick(Call& c) { return chosen(c, true); }
Value omit(Call& c) { return chosen(c, false); }

void merge_into(const Value& into, const Value& from, bool overwrite) {
  for (const auto& [key, value] : from.members()) {
    Value* const mine = const_cast<Value&>(into).find(key);
    if (mine != nullptr && mine->is_map() && value.is_map()) {
      merge_into(*mine, value, overwrite);
    } else if (mine == nullptr || (value.truth() && (overwrite || !mine->truth()))) {
      into.set(key, value.deep_copy());
    }
  }
}
Value merged(Call& c, bool overwrite) {
  if (c.args[0].is_null()) return c.fail("assignment to entry in nil map");
  for (std::size_t i = 1; i < c.args.size(); ++i)
    merge_into(c.args[0], c.args[i].deep_copy(), overwrite);
  return c.args[0];
}
Value merge(Call& c) { return merged(c, false); }
Value merge_overwrite(Call& c) { return merged(c, true); }
Value deep_copy(Call& c) { return c.args[0].deep_copy(); }

Value dig(Call& c) {
  if (c.args.size() < 3) return c.fail("dig needs at least three arguments");
  Value at = c.args.back();
  const Value& otherwise = c.args[c.args.size() - 2];
  for (std::size_t i = 0; i + 2 < c.args.size(); ++i) {
    if (!at.is_map())
      return c.fail(concat("dig: ", at.is_null() ? "nil" : at.type_name(), " is no map"));
    const Value* const member = at.find(c.args[i].text());
    if (member == nullptr) return otherwise;
    at = Value(*member);
  }
  return at;
}

constexpr Function kFunctions[] = {
    {"append", "aa", append},
    {"compact", "a", compact},
    {"concat", "a*", concat_},
    {"deepCopy", "a", deep_copy},
    {"dict", "a*", dict},
    {"dig", "a*", dig},
    {"first", "a", first},
    {"get", "ms", get},
    {"has", "aa", has},
    {"hasKey", "ms", has_key},
    {"initial", "a", initial},
    {"keys", "m*", keys},
    {"last", "a", last},
    {"list", "a*", list},
    {"merge", "mm*", merge},
    {"mergeOverwrite", "mm*", merge_overwrite},
    {"mustAppend", "aa", append},
    {"mustDeepCopy", "a", deep_copy},
    {"mustHas", "aa", has},
    {"mustMerge", "mm*", merge},
    {"mustMergeOverwrite", "mm*", merge_overwrite},
    {"omit", "ms*", omit},
    {"pick", "ms*", pick},
    {"pluck", "sm*", pluck},
    {"prepend", "aa", prepend},
    {"push", "aa", append},
    {"rest", "a", rest},
    {"reverse", "a", reverse},
    {"set", "msa", set},
    {"slice", "aa*", slice},
    {"tuple", "a*", list},
    {"uniq", "a", uniq},
    {"unset", "ms", unset},
    {"values", "m", values},
    {"without", "aa*", without},
};
static_assert(std::is_sorted(std::begin(kFunctions), std::end(kFunctions), by_name));

}  // namespace

std::span<const Function> list_functions() { return kFunctions; }

}  // namespace tulle::chart
