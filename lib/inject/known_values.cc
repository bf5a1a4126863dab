// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/known_values.h"

#include <algorithm>

#include "lib/base/nearest.h"
#include "lib/base/text.h"

namespace tulle::inject {
namespace {

// charts/linkerd-control-plane/known.txt, put into a literal by the build.
constexpr std::string_view kText =
#include "inject/known_values.inc"
    ;

bool is_known(std::string_view path) {
  const auto all = known_values();
  return std::find(all.begin(), all.end(), path) != all.end();
}

// Until 2.10 all values were below "global"; since then they are one level up. Helm's own "global"
// is empty.
void moved(const Value& global, std::vector<UnknownValue>& out) {
  for (const std::string& key : global.keys()) {
    const auto all = known_values();
    const auto at = std::find(all.begin(), all.end(), key);
    out.push_back({concat("global.", key), at != all.end() ? *at : nearest(key, all)});
  }
}

void collect(const Value& values, const std::string& prefix, std::vector<UnknownValue>& out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string& key = values.keys()[i];
    const std::string path = prefix.empty() ? key : concat(prefix, ".", key);
    if (path == "global") {
      moved(values.items()[i], out);
      continue;
    }
    if (!is_known(path)) {
      out.push_back({path, nearest(path, known_values())});
    } else if (values.items()[i].is_map() && !is_known(concat(path, ".*"))) {
      collect(values.items()[i], path, out);
    }
  }
}

}  // namespace

std::span<const std::string_view> known_values() {
  static const std::vector<std::string_view> lines = [] {
    auto out = split(kText, '\n');
    std::erase(out, std::string_view());
    return out;
  }();
  return lines;
}

std::vector<UnknownValue> unknown_values(const Value& values) {
  std::vector<UnknownValue> out;
  if (values.is_map()) collect(values, "", out);
  return out;
}

}  // namespace tulle::inject
