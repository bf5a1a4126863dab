// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/format.h"

#include <charconv>
#include <cmath>

#include "lib/base/text.h"

namespace tulle::chart {

namespace {

constexpr int kMaxWidth = 10'000;

struct Verb {
  bool minus = false, plus = false, zero = false, space = false, sharp = false;
  int width = 0;
  int precision = -1;
  char letter = 0;
};

// "%!d(string=hi)": what Go prints for a verb that does not fit.
std::string misfit(const Verb& verb, const Value& value) {
  if (value.is_null()) return concat("%!", std::string(1, verb.letter), "(<nil>)");
  return concat("%!", std::string(1, verb.letter), "(", value.type_name(), "=", value.print(), ")");
}

std::string integer(const Verb& verb, std::int64_t number) {
  const int base = verb.letter == 'x' || verb.letter == 'X' ? 16
                   : verb.letter == 'o'                     ? 8
                   : verb.letter == 'b'                     ? 2
                                                            : 10;
  char text[80];
  const std::uint64_t size =
      number < 0 ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number);
  std::string digits(text, std::to_chars(text, text + sizeof text, size, base).ptr);
  if (verb.letter == 'X') {
    for (char& c : digits) c = c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  if (verb.precision > static_cast<int>(digits.size()))
    digits.insert(0, static_cast<std::size_t>(verb.precision) - digits.size(), '0');
  return concat(number < 0   ? "-"
                : verb.plus  ? "+"
                : verb.space ? " "
                             : "",
                verb.sharp && base == 16 ? (verb.letter == 'x' ? "0x" : "0X") : "", digits);
}

std::string real(const Verb& verb, double number) {
  if (verb.letter == 'v' || (verb.letter == 'g' && verb.precision < 0))
    return concat(verb.plus && number >= 0 ? "+" : "", format_float(number));
  char text[500];
  const auto format = verb.letter == 'f' || verb.letter == 'F' ? std::chars_format::fixed
                      : verb.letter == 'e'                     ? std::chars_format::scientific
                                                               : std::chars_format::general;
  const auto end = std::to_chars(text, text + sizeof text, number, format,
                                 std::min(verb.precision < 0 ? 6 : verb.precision, 100));
  return concat(verb.plus && number >= 0 ? "+" : "",
                std::string_view(text, static_cast<std::size_t>(end.ptr - text)));
}

std::string text_of(const Verb& verb, std::string_view text) {
  if (verb.precision >= 0) text = text.substr(0, static_cast<std::size_t>(verb.precision));
  switch (verb.letter) {
    case 'q': return quote_go(text);
    case 'x': return hex(as_bytes(text));
    default: return std::string(text);
  }
}

std::string one(const Verb& verb, const Value& value) {
  using Kind = Value::Kind;
  if (verb.letter == 'T') return value.type_name();
  if (value.is_null()) return verb.letter == 'v' ? "<nil>" : misfit(verb, value);
  switch (value.kind()) {
    case Kind::String:
      return std::string_view("vsqx").find(verb.letter) != std::string_view::npos
                 ? text_of(verb, value.text())
                 : misfit(verb, value);
    case Kind::Bool:
      return verb.letter == 'v' || verb.letter == 't' ? value.print() : misfit(verb, value);
    case Kind::Int:
    case Kind::Int64:
      if (verb.letter == 'c') return std::string(1, static_cast<char>(value.as_int()));
      return std::string_view("vdxXob").find(verb.letter) != std::string_view::npos
                 ? integer(verb, value.as_int())
                 : misfit(verb, value);
    case Kind::Float:
      return std::string_view("vfFeg").find(verb.letter) != std::string_view::npos
                 ? real(verb, value.as_float())
                 : misfit(verb, value);
    case Kind::List: {
      std::string out = "[";
      for (const Value& item : value.items())
        out += concat(&item == value.items().data() ? "" : " ", one(verb, item));
      return out + "]";
    }
    case Kind::Map: {
      if (!value.struct_type().empty()) return value.print();
      std::string out = "map[";
      Verb plain = verb;
      for (const auto& [key, member] : value.members())
        out += concat(out.size() > 4 ? " " : "", one(plain, Value(key)), ":", one(plain, member));
      return out + "]";
    }
    default: return "";
  }
}

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

std::string pad(const Verb& verb, std::string text, bool number) {
  const std::size_t size = characters(text);
  if (verb.width <= static_cast<int>(size)) return text;
  const std::size_t missing = static_cast<std::size_t>(verb.width) - size;
  if (verb.minus) return text + std::string(missing, ' ');
  if (!verb.zero || (number && verb.precision >= 0 && verb.letter != 'f'))
    return std::string(missing, ' ') + text;
  const bool sign = number && !text.empty() && (text[0] == '-' || text[0] == '+');
  return text.substr(0, sign ? 1 : 0) + std::string(missing, '0') + text.substr(sign ? 1 : 0);
}

}  // namespace

std::string format_go(std::string_view format, std::span<const Value> args) {
  std::string out;
  std::size_t next = 0;
  const auto count = [&](std::size_t& at) {
    int number = 0;
    while (at < format.size() && ascii_digit(format[at]))
      number = std::min(number * 10 + (format[at++] - '0'), kMaxWidth);
    return number;
  };
  for (std::size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      const std::size_t end = std::min(format.find('%', at), format.size());
      out += format.substr(at, end - at);
      at = end;
      continue;
    }
    Verb verb;
    for (++at;
         at < format.size() && std::string_view("-+0 #").find(format[at]) != std::string_view::npos;
         ++at) {
      verb.minus = verb.minus || format[at] == '-';
      verb.plus = verb.plus || format[at] == '+';
      verb.zero = verb.zero || format[at] == '0';
      verb.space = verb.space || format[at] == ' ';
      verb.sharp = verb.sharp || format[at] == '#';
    }
    verb.width = count(at);
    if (at < format.size() && format[at] == '.') {
      ++at;
      verb.precision = count(at);
    }
    if (at >= format.size()) {
      out += "%!(NOVERB)";
      break;
    }
    verb.letter = format[at++];
    if (verb.letter == '%') {
      out += '%';
    } else if (next >= args.size()) {
      out += concat("%!", std::string(1, verb.letter), "(MISSING)");
    } else {
      const Value& value = args[next++];
      out += pad(verb, one(verb, value), value.is_int() || value.kind() == Value::Kind::Float);
    }
  }
  if (next < args.size()) {
    out += "%!(EXTRA ";
    for (std::size_t i = next; i < args.size(); ++i) {
      out += concat(i > next ? ", " : "", args[i].type_name(),
                    args[i].is_null() ? "" : concat("=", args[i].print()));
    }
    out += ")";
  }
  return out;
}

std::string print_go(std::span<const Value> args, bool always) {
  std::string out;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (i > 0 && (always || (!args[i].is_string() && !args[i - 1].is_string()))) out += ' ';
    out += args[i].is_null() ? "<nil>" : args[i].print();
  }
  return out;
}

}  // namespace tulle::chart
