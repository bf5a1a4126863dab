// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/semver.h"

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "lib/base/text.h"

namespace tulle::chart {

namespace {

struct Version {
  std::array<std::uint64_t, 3> parts{};
  int given = 0;  // how many parts are written, none of them a wildcard
  std::string_view pre;
};

std::optional<Version> parse(std::string_view text) {
  Version out;
  if (text.starts_with('v')) text.remove_prefix(1);
  text = text.substr(0, text.find('+'));
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    out.pre = text.substr(dash + 1);
    text = text.substr(0, dash);
  }
  const std::vector<std::string_view> parts = split(text, '.');
  if (parts.size() > 3) return std::nullopt;
  for (const std::string_view part : parts) {
    if (part == "x" || part == "X" || part == "*" || part.empty())
      return part.empty() ? std::nullopt : std::optional(out);
    const auto number = parse_number<std::uint64_t>(part);
    if (!number) return std::nullopt;
    out.parts[static_cast<std::size_t>(out.given++)] = *number;
  }
  return out;
}

// SemVer 2.0.0 §11.4
std::strong_ordering compare_pre(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty())
    return b.empty() <=> a.empty() == 0 ? std::strong_ordering::equal
           : a.empty()                  ? std::strong_ordering::greater
                                        : std::strong_ordering::less;
  const std::vector<std::string_view> left = split(a, '.'), right = split(b, '.');
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    const auto x = parse_number<std::uint64_t>(left[i]), y = parse_number<std::uint64_t>(right[i]);
    if (x && y && *x != *y) return *x <=> *y;
    if (x.has_value() != y.has_value())
      return x ? std::strong_ordering::less : std::strong_ordering::greater;
    if (!x && left[i] != right[i]) return left[i] <=> right[i];
  }
  return left.size() <=> right.size();
}

std::strong_ordering compare(const Version& a, const Version& b) {
  if (a.parts != b.parts) return a.parts <=> b.parts;
  return compare_pre(a.pre, b.pre);
}

// Is it below the first version in which part number `part` is another?
bool same_up_to(const Version& a, const Version& b, int part) {
  for (int i = 0; i < part; ++i) {
    if (a.parts[static_cast<std::size_t>(i)] != b.parts[static_cast<std::size_t>(i)]) return false;
  }
  return true;
}

std::optional<bool> fits_one(std::string_view term, const Version& version) {
  const std::size_t start = term.find_first_not_of("=<>!~^ ");
  if (start == std::string_view::npos) return std::nullopt;
  std::string op(term.substr(0, start));
  std::erase(op, ' ');
  const auto bound = parse(term.substr(start));
  if (!bound) return std::nullopt;
  if (!version.pre.empty() && bound->pre.empty()) return false;
  const auto order = compare(version, *bound);
  const bool partial = bound->given < 3;
  if (op == ">=" || op == "=>") return order >= 0;
  if (op == "<") return order < 0;
  if (op == ">")
    return partial ? order > 0 && !same_up_to(version, *bound, bound->given) : order > 0;
  if (op == "<=" || op == "=<")
    return partial ? order <= 0 || same_up_to(version, *bound, bound->given) : order <= 0;
  if (op == "!=") return partial ? !same_up_to(version, *bound, bound->given) : order != 0;
  if (op == "~" || op == "~>")
    return order >= 0 && same_up_to(version, *bound, std::min(bound->given, 2));
  if (op == "^") {
    int part = 0;
    while (part < bound->given - 1 && bound->parts[static_cast<std::size_t>(part)] == 0) ++part;
    return order >= 0 && same_up_to(version, *bound, bound->given == 0 ? 0 : part + 1);
  }
  if (op.empty() || op == "=")
    return partial ? same_up_to(version, *bound, bound->given) : order == 0;
  return std::nullopt;
}

// Terms side by side must all fit: ">=1.2, <2" or ">=1.2 <2".
std::optional<bool> fits_all(std::string_view terms, const Version& version) {
  bool all = true;
  bool any = false;
  while (true) {
    terms.remove_prefix(std::min(terms.find_first_not_of(" ,"), terms.size()));
    if (terms.empty()) break;
    const std::size_t number = terms.find_first_not_of("=<>!~^ ");
    const std::size_t end =
        terms.find_first_of(" ,", number == std::string_view::npos ? 0 : number);
    const auto one = fits_one(terms.substr(0, end), version);
    if (!one) return std::nullopt;
    all = all && *one;
    any = true;
    terms.remove_prefix(end == std::string_view::npos ? terms.size() : end);
  }
  return any ? std::optional(all) : std::nullopt;
}

}  // namespace

std::optional<bool> version_fits(std::string_view constraint, std::string_view version) {
  const auto parsed = parse(trim(version));
  if (!parsed) return std::nullopt;
  bool any = false;
  while (true) {
    const std::size_t bar = constraint.find("||");
    const auto one = fits_all(constraint.substr(0, bar), *parsed);
    if (!one) return std::nullopt;
    any = any || *one;
    if (bar == std::string_view::npos) return any;
    constraint.remove_prefix(bar + 2);
  }
}

}  // namespace tulle::chart
