// SPDX-License-Identifier: Apache-2.0
#include "lib/log/filter.h"

#include <algorithm>
#include <optional>

#include "lib/base/text.h"

namespace tulle::log {
namespace {

constexpr std::size_t kMaxText = 4096;
constexpr std::size_t kMaxDirectives = 64;

std::optional<Level> parse_level(std::string_view text) {
  for (const Level level :
       {Level::Off, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace}) {
    if (iequals(text, to_string(level))) return level;
  }
  return std::nullopt;
}

bool is_target(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || ascii_digit(c) || c == '_' || c == ':' || c == '-' ||
           c == '.';
  });
}

}  // namespace

std::string_view to_string(Level level) noexcept {
  switch (level) {
    case Level::Off: return "OFF";
    case Level::Error: return "ERROR";
    case Level::Warn: return "WARN";
    case Level::Info: return "INFO";
    case Level::Debug: return "DEBUG";
    case Level::Trace: return "TRACE";
  }
  return "OFF";
}

bool Filter::read_directive(std::string_view text) {
  if (directives_.size() >= kMaxDirectives) return false;
  // The level follows the last "=" outside of a span's brackets.
  const std::size_t span = text.find('[');
  const std::size_t span_end = text.rfind(']');
  if (span != std::string_view::npos) {
    if (span_end == std::string_view::npos || span_end < span) return false;
    const std::string_view rest = text.substr(span_end + 1);
    return is_target(text.substr(0, span)) &&
           (rest.empty() || (rest.front() == '=' && parse_level(rest.substr(1))));
  }
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    if (const std::optional<Level> level = parse_level(text)) {
      directives_.push_back({"", *level});
      return true;
    }
    if (!is_target(text)) return false;
    directives_.push_back({std::string(text), Level::Trace});
    return true;
  }
  const std::string_view target = trim(text.substr(0, equals));
  const std::optional<Level> level = parse_level(trim(text.substr(equals + 1)));
  if (!level || target.empty() || !is_target(target)) return false;
  directives_.push_back({std::string(target), *level});
  return true;
}

bool Filter::parse_into(std::string_view text, Filter& filter) {
  if (text.size() > kMaxText) return false;
  filter.text_ = text;
  bool ok = true;
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) {
      if (text[i] == '[' || text[i] == '{') ++depth;
      if (text[i] == ']' || text[i] == '}') --depth;
      if (text[i] != ',' || depth > 0) continue;
    }
    const std::string_view piece = trim(text.substr(start, i - start));
    start = i + 1;
    if (!piece.empty()) ok = filter.read_directive(piece) && ok;
  }
  std::stable_sort(
      filter.directives_.begin(), filter.directives_.end(),
      [](const Directive& a, const Directive& b) { return a.target.size() > b.target.size(); });
  return ok;
}

Result<Filter> Filter::parse(std::string_view text) {
  Filter filter;
  if (!parse_into(text, filter)) return Error{Errc::Invalid, "read a log filter"};
  return filter;
}

Filter Filter::parse_lenient(std::string_view text) {
  Filter filter;
  [[maybe_unused]] const bool ok = parse_into(text, filter);
  return filter;
}

const Filter::Directive* Filter::find(std::string_view target) const noexcept {
  for (const Directive& directive : directives_) {
    if (target.starts_with(directive.target)) return &directive;
  }
  return nullptr;
}

Level Filter::level_for(std::string_view target) const noexcept {
  if (directives_.empty()) return Level::Warn;
  const Directive* found = find(target);
  if ((found == nullptr || found->target.empty()) && target.starts_with("tulle")) {
    const Directive* const linkerd = find("linkerd");
    if (linkerd != nullptr) found = linkerd;
  }
  return found == nullptr ? Level::Off : found->level;
}

}  // namespace tulle::log
