// SPDX-License-Identifier: Apache-2.0
// What a metrics endpoint says, read back: the text format of Prometheus as proxies write it. Lines
// that are no samples (comments, anything malformed) are passed over.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tulle::cli {

using LabelMap = std::map<std::string, std::string, std::less<>>;

struct Sample {
  std::string name;
  LabelMap labels;
  double value = 0;
  // "" if there is no such label.
  const std::string& label(std::string_view key) const;
};

std::vector<Sample> parse_exposition(std::string_view text);

}  // namespace tulle::cli
