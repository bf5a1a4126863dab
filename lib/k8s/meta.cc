// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/meta.h"

#include <algorithm>
#include <chrono>

#include "lib/base/text.h"

namespace tulle::k8s {

const std::string* StringMap::find(std::string_view key) const noexcept {
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), key,
                                   [](const Entry& e, std::string_view k) { return e.first < k; });
  return at != entries_.end() && at->first == key ? &at->second : nullptr;
}

std::string_view StringMap::get(std::string_view key) const noexcept {
  const std::string* const value = find(key);
  return value != nullptr ? std::string_view(*value) : std::string_view();
}

bool StringMap::insert(std::string key, std::string value) {
  const auto at =
      std::lower_bound(entries_.begin(), entries_.end(), key,
                       [](const Entry& e, const std::string& k) { return e.first < k; });
  if (at != entries_.end() && at->first == key) return false;
  const auto place = at - entries_.begin();
  auto& entries = entries_.edit();
  entries.emplace(entries.begin() + place, std::move(key), std::move(value));
  return true;
}

std::optional<Time> parse_time(std::string_view text) noexcept {
  // 2026-11-24T12:00:00[.fraction](Z|±hh:mm)
  const auto number = [&](std::size_t at, std::size_t size) -> std::optional<int> {
    if (at + size > text.size()) return std::nullopt;
    for (const char c : text.substr(at, size)) {
      if (!ascii_digit(c)) return std::nullopt;
    }
    return parse_number<int>(text.substr(at, size));
  };
  const auto is = [&](std::size_t at, char c) { return at < text.size() && text[at] == c; };
  const auto year = number(0, 4), month = number(5, 2), day = number(8, 2);
  const auto hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (!is(4, '-') || !is(7, '-') || !(is(10, 'T') || is(10, 't')) || !is(13, ':') || !is(16, ':')) {
    return std::nullopt;
  }
  std::size_t at = 19;
  if (is(at, '.')) {
    ++at;
    const std::size_t start = at;
    while (at < text.size() && ascii_digit(text[at])) ++at;
    if (at == start) return std::nullopt;
  }
  int offset_minutes = 0;
  if (is(at, 'Z') || is(at, 'z')) {
    ++at;
  } else if (is(at, '+') || is(at, '-')) {
    const auto h = number(at + 1, 2), m = number(at + 4, 2);
    if (!h || !m || !is(at + 3, ':') || *h > 23 || *m > 59) return std::nullopt;
    offset_minutes = (*h * 60 + *m) * (text[at] == '-' ? -1 : 1);
    at += 6;
  } else {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (at != text.size() || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return Time{std::int64_t{days} * 86400 + *hour * 3600 + *minute * 60 + *second -
              std::int64_t{offset_minutes} * 60};
}

bool LabelSelector::matches(const StringMap& labels) const noexcept {
  for (const auto& [key, value] : match_labels) {
    const std::string* const found = labels.find(key);
    if (found == nullptr || *found != value) return false;
  }
  for (const SelectorRequirement& term : match_expressions) {
    const std::string* const found = labels.find(term.key);
    const bool listed = found != nullptr && std::find(term.values.begin(), term.values.end(),
                                                      *found) != term.values.end();
    bool holds = false;
    if (term.op == "In") holds = listed;
    if (term.op == "NotIn") holds = !listed;  // also when the key is absent, as in Kubernetes
    if (term.op == "Exists") holds = found != nullptr;
    if (term.op == "DoesNotExist") holds = found == nullptr;
    if (!holds) return false;
  }
  return true;
}

}  // namespace tulle::k8s
