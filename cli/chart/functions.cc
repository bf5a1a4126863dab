// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/functions.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "cli/chart/format.h"
#include "cli/chart/semver.h"
#include "cli/chart/yaml.h"
#include "lib/base/text.h"
#include "lib/tls/cert.h"

namespace tulle::chart {

namespace {

using Kind = Value::Kind;
using Strings = std::vector<std::string>;

constexpr std::int64_t kMaxRepeat = 1'000'000;

const std::string& text(const Call& c, std::size_t i) { return c.args[i].text(); }
std::int64_t whole(const Call& c, std::size_t i) { return c.args[i].as_int(); }

// What sprig calls strval.
std::string as_text(const Value& value) { return value.is_null() ? "<nil>" : value.print(); }

// What sprig calls strslice: any value as a list of texts.
Strings as_texts(const Value& value) {
  if (value.is_null()) return {};
  if (!value.is_list()) return {as_text(value)};
  Strings out;
  for (const Value& item : value.items()) {
    if (!item.is_null()) out.push_back(as_text(item));
  }
  return out;
}

Value as_list(const Strings& texts) {
  Value::List out;
  for (const std::string& one : texts) out.emplace_back(one);
  return out;
}

std::string joined(const Strings& texts, std::string_view separator) {
  std::string out;
  for (const std::string& one : texts) out += concat(&one == texts.data() ? "" : separator, one);
  return out;
}

std::string replaced(std::string_view in, std::string_view old, std::string_view with) {
  std::string out;
  if (old.empty()) return std::string(in);
  for (std::size_t at = in.find(old); at != std::string_view::npos; at = in.find(old)) {
    out += concat(in.substr(0, at), with);
    in.remove_prefix(at + old.size());
  }
  return out.append(in);
}

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

Value printf_(Call& c) { return format_go(text(c, 0), std::span(c.args).subspan(1)); }
Value print_(Call& c) { return print_go(c.args, false); }
Value println_(Call& c) { return print_go(c.args, true) + "\n"; }

// --- text ---

Value trim_(Call& c) {
  static constexpr std::string_view kSpaces = " \t\n\v\f\r";
  const std::string& in = text(c, 0);
  const std::size_t start = in.find_first_not_of(kSpaces);
  return start == std::string::npos ? ""
                                    : in.substr(start, in.find_last_not_of(kSpaces) + 1 - start);
}
Value trim_all(Call& c) {
  const std::string& in = text(c, 1);
  const std::size_t start = in.find_first_not_of(text(c, 0));
  return start == std::string::npos ? ""
                                    : in.substr(start, in.find_last_not_of(text(c, 0)) + 1 - start);
}
Value trim_prefix(Call& c) {
  return text(c, 1).starts_with(text(c, 0)) ? text(c, 1).substr(text(c, 0).size()) : text(c, 1);
}
Value trim_suffix(Call& c) {
  const std::string& in = text(c, 1);
  return in.ends_with(text(c, 0)) ? in.substr(0, in.size() - text(c, 0).size()) : in;
}
Value has_prefix(Call& c) { return text(c, 1).starts_with(text(c, 0)); }
Value has_suffix(Call& c) { return text(c, 1).ends_with(text(c, 0)); }
Value contains(Call& c) { return text(c, 1).find(text(c, 0)) != std::string::npos; }
Value replace(Call& c) { return replaced(text(c, 2), text(c, 0), text(c, 1)); }

char upper_char(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

Value upper(Call& c) {
  std::string out = text(c, 0);
  for (char& one : out) one = upper_char(one);
  return out;
}
Value lower(Call& c) {
  std::string out = text(c, 0);
  for (char& one : out) one = ascii_lower(one);
  return out;
}
Value title(Call& c) {
  std::string out = text(c, 0);
  char before = ' ';
  for (char& one : out) {
    const bool in_word = ascii_digit(before) || before == '_' || before == '\'' ||
                         (ascii_lower(before) >= 'a' && ascii_lower(before) <= 'z') ||
                         (before & 0x80) != 0;
    if (!in_word) one = upper_char(one);
    before = one;
  }
  return out;
}
Value nospace(Call& c) {
  std::string out = text(c, 0);
  std::erase_if(out, [](char one) { return one == ' ' || (one >= '\t' && one <= '\r'); });
  return out;
}

std::string indented(std::int64_t spaces, std::string_view in) {
  const std::string pad(static_cast<std::size_t>(std::clamp<std::int64_t>(spaces, 0, 1000)), ' ');
  return pad + replaced(in, "\n", "\n" + pad);
}
Value indent(Call& c) {
  return whole(c, 0) < 0 ? c.fail("strings: negative Repeat count")
                         : indented(whole(c, 0), text(c, 1));
}
Value nindent(Call& c) {
  return whole(c, 0) < 0 ? c.fail("strings: negative Repeat count")
                         : Value("\n" + indented(whole(c, 0), text(c, 1)));
}

Value quote(Call& c) {
  Strings out;
  for (const Value& one : c.args) {
    if (!one.is_null()) out.push_back(quote_go(as_text(one)));
  }
  return joined(out, " ");
}
Value squote(Call& c) {
  Strings out;
  for (const Value& one : c.args) {
    if (!one.is_null()) out.push_back(concat("'", as_text(one), "'"));
  }
  return joined(out, " ");
}
Value cat(Call& c) {
  Strings out;
  for (const Value& one : c.args) {
    if (!one.is_null()) out.push_back(as_text(one));
  }
  return joined(out, " ");
}

Value repeat(Call& c) {
  if (whole(c, 0) < 0) return c.fail("strings: negative Repeat count");
  if (whole(c, 0) > kMaxRepeat ||
      whole(c, 0) * static_cast<std::int64_t>(text(c, 1).size() + 1) > 16 * kMaxRepeat)
    return c.fail("the result is too long");
  std::string out;
  for (std::int64_t i = 0; i < whole(c, 0); ++i) out += text(c, 1);
  return out;
}
Value trunc(Call& c) {
  const std::string& in = text(c, 1);
  const std::int64_t size = static_cast<std::int64_t>(in.size()), keep = whole(c, 0);
  if (keep < 0 && size + keep > 0) return in.substr(static_cast<std::size_t>(size + keep));
  return keep >= 0 && size > keep ? in.substr(0, static_cast<std::size_t>(keep)) : in;
}
Value substr(Call& c) {
  const std::string& in = text(c, 2);
  const std::int64_t size = static_cast<std::int64_t>(in.size());
  const std::int64_t start = std::max<std::int64_t>(whole(c, 0), 0);
  const std::int64_t end =
      whole(c, 0) >= 0 && (whole(c, 1) < 0 || whole(c, 1) > size) ? size : whole(c, 1);
  if (end < start || end > size) return c.fail("slice bounds out of range");
  return in.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(end - start));
}

Strings split_text(std::string_view in, std::string_view separator) {
  Strings out;
  if (separator.empty()) {
    for (const char one : in) out.emplace_back(1, one);
    return out;
  }
  for (std::size_t at = in.find(separator); at != std::string_view::npos; at = in.find(separator)) {
    out.emplace_back(in.substr(0, at));
    in.remove_prefix(at + separator.size());
  }
  out.emplace_back(in);
  return out;
}
Value split_list(Call& c) { return as_list(split_text(text(c, 1), text(c, 0))); }
Value split_map(Call& c) {
  Value::Members out;
  for (std::string& piece : split_text(text(c, 1), text(c, 0))) {
    std::string name = concat("_", std::to_string(out.size()));
    out.emplace(std::move(name), Value(std::move(piece)));
  }
  return Value::map(std::move(out));
}
Value join(Call& c) { return joined(as_texts(c.args[1]), text(c, 0)); }
Value to_strings(Call& c) { return as_list(as_texts(c.args[0])); }
Value to_string(Call& c) { return as_text(c.args[0]); }
Value sort_alpha(Call& c) {
  Strings out = as_texts(c.args[0]);
  std::sort(out.begin(), out.end());
  return as_list(out);
}

Value b64enc(Call& c) { return base64_encode(as_bytes(text(c, 0))); }
Value b64dec(Call& c) {
  const auto out = base64_decode(text(c, 0));
  return out ? *out : c.fail("illegal base64 data");
}
Value sha256sum(Call& c) { return tls::sha256_hex(text(c, 0)); }

// --- documents ---

Value to_yaml_(Call& c) { return to_yaml(c.args[0]); }
Value to_json_(Call& c) { return to_json(c.args[0]); }
Value to_raw_json(Call& c) { return to_json(c.args[0], 0, false); }
Value to_pretty_json(Call& c) { return to_json(c.args[0], 2); }

// Helm's readers do not fail: the reason becomes part of what was read.
Value from_text(const std::string& in, bool json, bool list) {
  std::string problem;
  auto out = json ? parse_json(in, problem) : parse_yaml(in, problem);
  if (out && (list ? out->is_list() : out->is_map())) return *out;
  if (out && out->is_null() && !json) return list ? Value(Value::List()) : Value::map();
  if (problem.empty()) problem = list ? "not a list" : "not an object";
  return list ? Value(Value::List{Value(problem)}) : Value::map({{"Error", Value(problem)}});
}
Value from_yaml(Call& c) { return from_text(text(c, 0), false, false); }
Value from_yaml_array(Call& c) { return from_text(text(c, 0), false, true); }
Value from_json(Call& c) { return from_text(text(c, 0), true, false); }
Value from_json_array(Call& c) { return from_text(text(c, 0), true, true); }

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

// --- Helm's ---

Value include(Call& c) { return c.host.include(text(c, 0), c.args[1]); }
Value tpl(Call& c) { return c.host.tpl(text(c, 0), c.args[1]); }
// A cluster is not asked while rendering, as in `helm template`.
Value lookup(Call&) { return Value::map(); }

constexpr Function kFunctions[] = {
    {"add", "a*", add},
    {"add1", "a", add1},
    {"all", "a*", all},
    {"and", "a*", nullptr},
    {"any", "a*", any},
    {"append", "aa", append},
    {"atoi", "s", atoi},
    {"b64dec", "s", b64dec},
    {"b64enc", "s", b64enc},
    {"cat", "a*", cat},
    {"ceil", "a", ceil_},
    {"coalesce", "a*", coalesce},
    {"compact", "a", compact},
    {"concat", "a*", concat_},
    {"contains", "ss", contains},
    {"deepCopy", "a", deep_copy},
    {"deepEqual", "aa", deep_equal},
    {"default", "aa*", default_},
    {"dict", "a*", dict},
    {"dig", "a*", dig},
    {"div", "aa", div_},
    {"empty", "a", empty},
    {"eq", "aa*", eq},
    {"fail", "s", fail_},
    {"first", "a", first},
    {"float64", "a", float64},
    {"floor", "a", floor_},
    {"fromJson", "s", from_json},
    {"fromJsonArray", "s", from_json_array},
    {"fromYaml", "s", from_yaml},
    {"fromYamlArray", "s", from_yaml_array},
    {"ge", "aa", ge},
    {"get", "ms", get},
    {"gt", "aa", gt},
    {"has", "aa", has},
    {"hasKey", "ms", has_key},
    {"hasPrefix", "ss", has_prefix},
    {"hasSuffix", "ss", has_suffix},
    {"include", "sa", include},
    {"indent", "is", indent},
    {"index", "aa*", index},
    {"initial", "a", initial},
    {"int", "a", int_},
    {"int64", "a", int64},
    {"join", "sa", join},
    {"keys", "m*", keys},
    {"kindIs", "sa", kind_is},
    {"kindOf", "a", kind_of},
    {"last", "a", last},
    {"le", "aa", le},
    {"len", "a", len},
    {"list", "a*", list},
    {"lookup", "ssss", lookup},
    {"lower", "s", lower},
    {"lt", "aa", lt},
    {"max", "aa*", max_},
    {"merge", "mm*", merge},
    {"mergeOverwrite", "mm*", merge_overwrite},
    {"min", "aa*", min_},
    {"mod", "aa", mod_},
    {"mul", "aa*", mul},
    {"mustAppend", "aa", append},
    {"mustDeepCopy", "a", deep_copy},
    {"mustHas", "aa", has},
    {"mustMerge", "mm*", merge},
    {"mustMergeOverwrite", "mm*", merge_overwrite},
    {"mustToJson", "a", to_json_},
    {"ne", "aa", ne},
    {"nindent", "is", nindent},
    {"nospace", "s", nospace},
    {"not", "a", negate},
    {"omit", "ms*", omit},
    {"or", "a*", nullptr},
    {"pick", "ms*", pick},
    {"pluck", "sm*", pluck},
    {"prepend", "aa", prepend},
    {"print", "a*", print_},
    {"printf", "sa*", printf_},
    {"println", "a*", println_},
    {"push", "aa", append},
    {"quote", "a*", quote},
    {"repeat", "is", repeat},
    {"replace", "sss", replace},
    {"required", "sa", required},
    {"rest", "a", rest},
    {"reverse", "a", reverse},
    {"semverCompare", "ss", semver_compare},
    {"set", "msa", set},
    {"sha256sum", "s", sha256sum},
    {"slice", "aa*", slice},
    {"sortAlpha", "a", sort_alpha},
    {"split", "ss", split_map},
    {"splitList", "ss", split_list},
    {"squote", "a*", squote},
    {"sub", "aa", sub},
    {"substr", "iis", substr},
    {"ternary", "aab", ternary},
    {"title", "s", title},
    {"toJson", "a", to_json_},
    {"toPrettyJson", "a", to_pretty_json},
    {"toRawJson", "a", to_raw_json},
    {"toString", "a", to_string},
    {"toStrings", "a", to_strings},
    {"toYaml", "a", to_yaml_},
    {"tpl", "sa", tpl},
    {"trim", "s", trim_},
    {"trimAll", "ss", trim_all},
    {"trimPrefix", "ss", trim_prefix},
    {"trimSuffix", "ss", trim_suffix},
    {"trunc", "is", trunc},
    {"tuple", "a*", list},
    {"typeIs", "sa", type_is},
    {"typeIsLike", "sa", type_is_like},
    {"typeOf", "a", type_of},
    {"uniq", "a", uniq},
    {"unset", "ms", unset},
    {"until", "i", until},
    {"untilStep", "iii", until_step},
    {"upper", "s", upper},
    {"values", "m", values},
    {"without", "aa*", without},
};
static_assert(std::is_sorted(std::begin(kFunctions), std::end(kFunctions),
                             [](const Function& a, const Function& b) { return a.name < b.name; }));

// What Helm 3 has beyond these.
constexpr std::string_view kLeftOut[] = {
    "abbrev",
    "abbrevboth",
    "add1f",
    "addf",
    "adler32sum",
    "ago",
    "b32dec",
    "b32enc",
    "base",
    "bcrypt",
    "biggest",
    "buildCustomCert",
    "call",
    "camelcase",
    "chunk",
    "clean",
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "decryptAES",
    "derivePassword",
    "dir",
    "divf",
    "duration",
    "durationRound",
    "encryptAES",
    "ext",
    "fromToml",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "getHostByName",
    "hello",
    "html",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "initials",
    "isAbs",
    "js",
    "kebabcase",
    "maxf",
    "minf",
    "mulf",
    "mustChunk",
    "mustCompact",
    "mustDateModify",
    "mustFirst",
    "mustFromJson",
    "mustInitial",
    "mustLast",
    "mustPrepend",
    "mustPush",
    "mustRegexFind",
    "mustRegexFindAll",
    "mustRegexMatch",
    "mustRegexReplaceAll",
    "mustRegexReplaceAllLiteral",
    "mustRegexSplit",
    "mustRest",
    "mustReverse",
    "mustSlice",
    "mustToDate",
    "mustToPrettyJson",
    "mustToRawJson",
    "mustUniq",
    "mustWithout",
    "must_date_modify",
    "now",
    "osBase",
    "osClean",
    "osDir",
    "osExt",
    "osIsAbs",
    "plural",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "regexFind",
    "regexFindAll",
    "regexMatch",
    "regexQuoteMeta",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "regexSplit",
    "round",
    "semver",
    "seq",
    "sha1sum",
    "sha512sum",
    "shuffle",
    "snakecase",
    "splitn",
    "subf",
    "swapcase",
    "toDate",
    "toDecimal",
    "toToml",
    "toYamlPretty",
    "trimall",
    "unixEpoch",
    "untitle",
    "urlJoin",
    "urlParse",
    "urlquery",
    "uuidv4",
    "wrap",
    "wrapWith",
};

// "" or what is wrong with an argument.
std::string check(char type, Value& value) {
  const auto wrong = [&](std::string_view expected) {
    if (value.is_none()) return concat("invalid value; expected ", expected);
    return concat("wrong type for value; expected ", expected, "; got ",
                  value.is_null() ? "interface {}" : value.type_name());
  };
  switch (type) {
    case 's': return value.is_string() ? "" : wrong("string");
    case 'i': return value.kind() == Kind::Int ? "" : wrong("int");
    case 'b': return value.kind() == Kind::Bool ? "" : wrong("bool");
    case 'm': return value.is_map() || value.is_none() ? "" : wrong("map[string]interface {}");
    default:
      if (value.is_none()) value = Value::nil();
      return "";
  }
}

}  // namespace

const Function* find_function(std::string_view name) noexcept {
  const auto* const found =
      std::lower_bound(std::begin(kFunctions), std::end(kFunctions), name,
                       [](const Function& f, std::string_view n) { return f.name < n; });
  return found != std::end(kFunctions) && found->name == name ? found : nullptr;
}

bool is_left_out(std::string_view name) noexcept {
  return std::find(std::begin(kLeftOut), std::end(kLeftOut), name) != std::end(kLeftOut);
}

Value call(const Function& function, Call& call) {
  std::string_view types = function.takes;
  const bool open = types.ends_with('*');
  if (open) types.remove_suffix(1);
  const std::size_t least = open ? types.size() - 1 : types.size();
  if (call.args.size() < least || (!open && call.args.size() > least)) {
    return call.fail(concat("wrong number of args for ", function.name, ": want ",
                            open ? "at least " : "", std::to_string(least), " got ",
                            std::to_string(call.args.size())));
  }
  for (std::size_t i = 0; i < call.args.size(); ++i) {
    std::string wrong = check(types[std::min(i, types.size() - 1)], call.args[i]);
    if (!wrong.empty()) return call.fail(std::move(wrong));
  }
  return function.call(call);
}

}  // namespace tulle::chart
