// SPDX-License-Identifier: Apache-2.0
#include "lib/base/nearest.h"

#include <algorithm>
#include <vector>

namespace tulle {
namespace {

constexpr std::size_t kFarthest = 4;
constexpr std::size_t kLongestName = 200;  // names come from outside; distance is quadratic

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t k = 0; k <= b.size(); ++k) row[k] = k;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t k = 1; k <= b.size(); ++k) {
      const std::size_t above = row[k];
      row[k] = std::min({row[k] + 1, row[k - 1] + 1, diagonal + (a[i - 1] == b[k - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates) {
  if (name.size() > kLongestName) return "";
  std::string_view best;
  std::size_t least = std::min(kFarthest, name.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t away = edit_distance(name, candidate);
    if (away >= least) continue;
    least = away;
    best = candidate;
  }
  return best;
}

}  // namespace tulle
