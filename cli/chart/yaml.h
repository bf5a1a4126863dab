// SPDX-License-Identifier: Apache-2.0
// Values from and to YAML and JSON, in the forms that Helm's functions give: every number of a
// document is a float64, `toYaml` sorts keys and folds long lines as Go's YAML library does.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/chart/value.h"

namespace tulle::chart {

// The first document; Nil if there is none. A key twice: the later one counts. The problem ("line
// 3: …") goes to `problem`.
std::optional<Value> parse_yaml(std::string_view text, std::string& problem);
std::optional<Value> parse_json(std::string_view text, std::string& problem);
// Without a newline at the end.
std::string to_yaml(const Value& value);
// `indent` = 0: on one line. `html_safe`: <, > and & are escaped, as Go does it unless told
// otherwise.
std::string to_json(const Value& value, int indent = 0, bool html_safe = true);

}  // namespace tulle::chart
