// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "cli/chart/function_groups.h"
#include "cli/chart/semver.h"
#include "lib/base/text.h"

namespace tulle::chart {

using Kind = Value::Kind;

std::int64_t to_int(const Value& value) {
  switch (value.kind()) {
    case Kind::Bool: return value.is_true() ? 1 : 0;
    case Kind::Float: {
      const double number = value.as_float();
      if (std::isnan(number) || std::abs(number) >= 9.2e18)
        return std::numeric_limits<std::int64_t>::min();
      return static_cast<std::int64_t>(number);
    }
    case Kind::String: {
      std::string_view digits = value.text();
      const bool negative = digits.starts_with('-');
      if (negative || digits.starts_with('+')) digits.remove_prefix(1);
      if (const std::size_t dot = digits.find('.');
          dot != std::string_view::npos &&
          digits.find_first_not_of('0', dot + 1) == std::string_view::npos) {
        digits = digits.substr(0, dot);
      }
      int base = 10;
      if (digits.size() > 1 && digits[0] == '0') {
        const char letter = ascii_lower(digits[1]);
        base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
        digits.remove_prefix(ascii_digit(letter) ? 1 : 2);
      }
      const std::int64_t size = parse_number<std::int64_t>(digits, base).value_or(0);
      return negative ? -size : size;
    }
    default: return value.as_int();
  }
}

namespace {

double to_float(const Value& value) {
  if (value.kind() == Kind::Float) return value.as_float();
  if (!value.is_string()) return static_cast<double>(to_int(value));
  double out = 0;
  const std::string& digits = value.text();
  std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return out;
}

// --- comparison, as Go's templates do it: an int and a float64 do not compare ---

enum class Basic : std::uint8_t { None, Bool, Int, Float, String };

Basic basic(const Value& value) {
  switch (value.kind()) {
    case Kind::Bool: return Basic::Bool;
    case Kind::Int:
    case Kind::Int64: return Basic::Int;
    case Kind::Float: return Basic::Float;
    case Kind::String: return Basic::String;
    default: return Basic::None;
  }
}

bool equal(Call& c, const Value& a, const Value& b) {
  const Basic left = basic(a), right = basic(b);
  if (left != right) {
    if (!a.is_null() && !b.is_null())
      c.fail(concat("incompatible types for comparison: ", a.type_name(), " and ", b.type_name()));
    return false;
  }
  if (left != Basic::None) return left == Basic::Int ? a.as_int() == b.as_int() : a == b;
  if (a.is_null() || b.is_null()) return a.is_null() == b.is_null();
  c.fail(concat("non-comparable type ", a.print(), ": ", a.type_name()));
  return false;
}

Value eq(Call& c) {
  if (c.args.size() < 2) return c.fail("missing argument for comparison");
  for (std::size_t i = 1; i < c.args.size(); ++i) {
    if (equal(c, c.args[0], c.args[i])) return true;
    if (!c.error.empty()) return {};
  }
  return false;
}
Value ne(Call& c) { return !equal(c, c.args[0], c.args[1]); }

bool less(Call& c, const Value& a, const Value& b) {
  const Basic left = basic(a), right = basic(b);
  if (left == Basic::None || right == Basic::None || (left == right && left == Basic::Bool)) {
    c.fail("invalid type for comparison");
  } else if (left != right) {
    c.fail(concat("incompatible types for comparison: ", a.type_name(), " and ", b.type_name()));
  } else if (left == Basic::Int) {
    return a.as_int() < b.as_int();
  } else if (left == Basic::Float) {
    return a.as_float() < b.as_float();
  } else {
    return a.text() < b.text();
  }
  return false;
}
Value lt(Call& c) { return less(c, c.args[0], c.args[1]); }
Value le(Call& c) {
  return less(c, c.args[0], c.args[1]) || (c.error.empty() && equal(c, c.args[0], c.args[1]));
}
Value gt(Call& c) { return !le(c).is_true(); }
Value ge(Call& c) { return !less(c, c.args[0], c.args[1]); }
Value negate(Call& c) { return !c.args[0].truth(); }

// --- Go's own ---

Value len(Call& c) {
  const Value& of = c.args[0];
  if (of.is_null()) return c.fail("len of nil pointer");
  if (of.is_string()) return Value::integer(static_cast<std::int64_t>(of.text().size()));
  if (of.is_list()) return Value::integer(static_cast<std::int64_t>(of.items().size()));
  if (of.is_map()) return Value::integer(static_cast<std::int64_t>(of.members().size()));
  return c.fail(concat("len of type ", of.type_name()));
}

Value index(Call& c) {
  Value at = c.args[0];
  if (at.is_null()) return c.fail("index of untyped nil");
  for (std::size_t i = 1; i < c.args.size(); ++i) {
    const Value& key = c.args[i];
    if (at.is_null()) return c.fail("index of nil pointer");
    if (at.is_map()) {
      if (!key.is_string())
        return c.fail(concat("value has type ", key.type_name(), "; should be string"));
      const Value* const member = at.find(key.text());
      at = member != nullptr ? Value(*member) : Value::nil();
    } else if (at.is_list()) {
      if (!key.is_int())
        return c.fail(concat("cannot index slice/array with type ", key.type_name()));
      if (key.as_int() < 0 || key.as_int() >= static_cast<std::int64_t>(at.items().size())) {
        return c.fail(
            concat("error calling index: reflect: slice index out of range: ", key.print()));
      }
      at = Value(at.items()[static_cast<std::size_t>(key.as_int())]);
    } else {
      return c.fail(concat("can't index item of type ", at.type_name()));
    }
  }
  return at;
}

// --- choice ---

Value default_(Call& c) { return c.args.size() > 1 && c.args[1].truth() ? c.args[1] : c.args[0]; }
Value empty(Call& c) { return !c.args[0].truth(); }
Value coalesce(Call& c) {
  for (const Value& one : c.args) {
    if (one.truth()) return one;
  }
  return Value::nil();
}
Value ternary(Call& c) { return c.args[2].is_true() ? c.args[0] : c.args[1]; }
Value all(Call& c) {
  return std::all_of(c.args.begin(), c.args.end(), [](const Value& one) { return one.truth(); });
}
Value any(Call& c) {
  return std::any_of(c.args.begin(), c.args.end(), [](const Value& one) { return one.truth(); });
}

Value refuse(Call& c, const std::string& reason) {
  c.by_chart = true;
  return c.fail(reason.empty() ? "the chart refuses these values" : reason);
}
Value fail_(Call& c) { return refuse(c, text(c, 0)); }
Value required(Call& c) {
  const Value& value = c.args[1];
  return value.is_null() || (value.is_string() && value.text().empty()) ? refuse(c, text(c, 0))
                                                                        : value;
}

// --- types and numbers ---

Value kind_of(Call& c) { return c.args[0].kind_name(); }
Value kind_is(Call& c) { return c.args[1].kind_name() == text(c, 0); }
Value type_of(Call& c) { return c.args[0].type_name(); }
Value type_is(Call& c) { return c.args[1].type_name() == text(c, 0); }
Value type_is_like(Call& c) {
  return c.args[1].type_name() == text(c, 0) || concat("*", text(c, 0)) == c.args[1].type_name();
}
Value deep_equal(Call& c) { return c.args[0] == c.args[1]; }

Value int_(Call& c) { return Value::integer(to_int(c.args[0])); }
Value int64(Call& c) { return Value::integer64(to_int(c.args[0])); }
Value float64(Call& c) { return Value::number(to_float(c.args[0])); }
Value atoi(Call& c) { return Value::integer(parse_number<std::int64_t>(text(c, 0)).value_or(0)); }

std::uint64_t wrap(const Value& value) { return static_cast<std::uint64_t>(to_int(value)); }
Value wrapped(std::uint64_t number) { return Value::integer64(static_cast<std::int64_t>(number)); }

Value add(Call& c) {
  std::uint64_t sum = 0;
  for (const Value& one : c.args) sum += wrap(one);
  return wrapped(sum);
}
Value add1(Call& c) { return wrapped(wrap(c.args[0]) + 1); }
Value sub(Call& c) { return wrapped(wrap(c.args[0]) - wrap(c.args[1])); }
Value mul(Call& c) {
  std::uint64_t product = 1;
  for (const Value& one : c.args) product *= wrap(one);
  return wrapped(product);
}
Value divide(Call& c, bool rest) {
  const std::int64_t a = to_int(c.args[0]), b = to_int(c.args[1]);
  if (b == 0) return c.fail("runtime error: integer divide by zero");
  if (b == -1) return wrapped(rest ? 0 : 0 - static_cast<std::uint64_t>(a));
  return Value::integer64(rest ? a % b : a / b);
}
Value div_(Call& c) { return divide(c, false); }
Value mod_(Call& c) { return divide(c, true); }
Value max_(Call& c) {
  std::int64_t out = to_int(c.args[0]);
  for (const Value& one : c.args) out = std::max(out, to_int(one));
  return Value::integer64(out);
}
Value min_(Call& c) {
  std::int64_t out = to_int(c.args[0]);
  for (const Value& one : c.args) out = std::min(out, to_int(one));
  return Value::integer64(out);
}
Value floor_(Call& c) { return Value::number(std::floor(to_float(c.args[0]))); }
Value ceil_(Call& c) { return Value::number(std::ceil(to_float(c.args[0]))); }

Value steps(Call& c, std::int64_t start, std::int64_t stop, std::int64_t step) {
  Value::List out;
  if (step == 0 || (stop < start) != (step < 0)) return out;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
    if (static_cast<std::int64_t>(out.size()) >= kMaxRepeat)
      return c.fail("the result is too long");
    out.push_back(Value::integer(i));
  }
  return out;
}
Value until(Call& c) { return steps(c, 0, whole(c, 0), whole(c, 0) < 0 ? -1 : 1); }
Value until_step(Call& c) { return steps(c, whole(c, 0), whole(c, 1), whole(c, 2)); }

Value semver_compare(Call& c) {
  const auto fits = version_fits(text(c, 0), text(c, 1));
  return fits ? Value(*fits)
              : c.fail(concat("cannot compare the version ", quote_go(text(c, 1)), " with ",
                              quote_go(text(c, 0))));
}

constexpr Function kFunctions[] = {
    {"add", "a*", add},
    {"add1", "a", add1},
    {"all", "a*", all},
    {"and", "a*", nullptr},
    {"any", "a*", any},
    {"atoi", "s", atoi},
    {"ceil", "a", ceil_},
    {"coalesce", "a*", coalesce},
    {"deepEqual", "aa", deep_equal},
    {"default", "aa*", default_},
    {"div", "aa", div_},
    {"empty", "a", empty},
    {"eq", "aa*", eq},
    {"fail", "s", fail_},
    {"float64", "a", float64},
    {"floor", "a", floor_},
    {"ge", "aa", ge},
    {"gt", "aa", gt},
    {"index", "aa*", index},
    {"int", "a", int_},
    {"int64", "a", int64},
    {"kindIs", "sa", kind_is},
    {"kindOf", "a", kind_of},
    {"le", "aa", le},
    {"len", "a", len},
    {"lt", "aa", lt},
    {"max", "aa*", max_},
    {"min", "aa*", min_},
    {"mod", "aa", mod_},
    {"mul", "aa*", mul},
    {"ne", "aa", ne},
    {"not", "a", negate},
    {"or", "a*", nullptr},
    {"required", "sa", required},
    {"semverCompare", "ss", semver_compare},
    {"sub", "aa", sub},
    {"ternary", "aab", ternary},
    {"typeIs", "sa", type_is},
    {"typeIsLike", "sa", type_is_like},
    {"typeOf", "a", type_of},
    {"until", "i", until},
    {"untilStep", "iii", until_step},
};
static_assert(std::is_sorted(std::begin(kFunctions), std::end(kFunctions), by_name));

}  // namespace

std::span<const Function> value_functions() { return kFunctions; }

}  // namespace tulle::chart
