// SPDX-License-Identifier: Apache-2.0
#include "cli/exposition.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>

#include "lib/base/text.h"

namespace tulle::cli {
namespace {

// The labels between braces; on success `at` stands behind the closing one.
bool read_labels(std::string_view line, std::size_t& at, LabelMap& into) {
  ++at;
  for (;;) {
    while (at < line.size() && (line[at] == ',' || line[at] == ' ')) ++at;
    if (at >= line.size()) return false;
    if (line[at] == '}') {
      ++at;
      return true;
    }
    const std::size_t equals = line.find('=', at);
    if (equals == std::string_view::npos || equals + 1 >= line.size() || line[equals + 1] != '"')
      return false;
    const std::string key(line.substr(at, equals - at));
    std::string value;
    for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] != '\\' || at + 1 >= line.size()) {
        value += line[at];
        continue;
      }
      ++at;
      value += line[at] == 'n' ? '\n' : line[at];
    }
    if (at >= line.size()) return false;
    ++at;
    into[key] = std::move(value);
  }
}

std::optional<double> read_value(std::string_view text) {
  if (text == "+Inf") return std::numeric_limits<double>::infinity();
  if (text == "NaN" || text == "-Inf") return std::nullopt;
  const std::string copy(text);
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  if (end == copy.c_str() || *end != '\0' || std::isnan(value)) return std::nullopt;
  return value;
}

}  // namespace

const std::string& Sample::label(std::string_view key) const {
  static const std::string none;
  const auto found = labels.find(key);
  return found == labels.end() ? none : found->second;
}

std::vector<Sample> parse_exposition(std::string_view text) {
  std::vector<Sample> out;
  for (const std::string_view line : split(text, '\n')) {
    if (line.empty() || line.front() == '#') continue;
    Sample sample;
    std::size_t at = line.find_first_of("{ ");
    if (at == std::string_view::npos || at == 0) continue;
    sample.name = line.substr(0, at);
    if (line[at] == '{' && !read_labels(line, at, sample.labels)) continue;
    // A time stamp may follow the value.
    const std::string_view rest = trim(line.substr(at));
    const auto value = read_value(rest.substr(0, rest.find(' ')));
    if (!value) continue;
    sample.value = *value;
    out.push_back(std::move(sample));
  }
  return out;
}

}  // namespace tulle::cli
