// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cli/chart/format.h"
#include "cli/chart/function_groups.h"
#include "cli/chart/yaml.h"
#include "lib/base/text.h"
#include "lib/tls/cert.h"

namespace tulle::chart {
namespace {

using Kind = Value::Kind;

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

// --- text ---

Value printf_(Call& c) { return format_go(text(c, 0), std::span(c.args).subspan(1)); }
Value print_(Call& c) { return print_go(c.args, false); }
Value println_(Call& c) { return print_go(c.args, true) + "\n"; }
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

constexpr Function kFunctions[] = {
    {"b64dec", "s", b64dec},
    {"b64enc", "s", b64enc},
    {"cat", "a*", cat},
    {"contains", "ss", contains},
    {"fromJson", "s", from_json},
    {"fromJsonArray", "s", from_json_array},
    {"fromYaml", "s", from_yaml},
    {"fromYamlArray", "s", from_yaml_array},
    {"hasPrefix", "ss", has_prefix},
    {"hasSuffix", "ss", has_suffix},
    {"indent", "is", indent},
    {"join", "sa", join},
    {"lower", "s", lower},
    {"mustToJson", "a", to_json_},
    {"nindent", "is", nindent},
    {"nospace", "s", nospace},
    {"print", "a*", print_},
    {"printf", "sa*", printf_},
    {"println", "a*", println_},
    {"quote", "a*", quote},
    {"repeat", "is", repeat},
    {"replace", "sss", replace},
    {"sha256sum", "s", sha256sum},
    {"sortAlpha", "a", sort_alpha},
    {"split", "ss", split_map},
    {"splitList", "ss", split_list},
    {"squote", "a*", squote},
    {"substr", "iis", substr},
    {"title", "s", title},
    {"toJson", "a", to_json_},
    {"toPrettyJson", "a", to_pretty_json},
    {"toRawJson", "a", to_raw_json},
    {"toString", "a", to_string},
    {"toStrings", "a", to_strings},
    {"toYaml", "a", to_yaml_},
    {"trim", "s", trim_},
    {"trimAll", "ss", trim_all},
    {"trimPrefix", "ss", trim_prefix},
    {"trimSuffix", "ss", trim_suffix},
    {"trunc", "is", trunc},
    {"upper", "s", upper},
};
static_assert(std::is_sorted(std::begin(kFunctions), std::end(kFunctions), by_name));

}  // namespace

std::span<const Function> text_functions() { return kFunctions; }

}  // namespace tulle::chart
