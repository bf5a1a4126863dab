// SPDX-License-Identifier: Apache-2.0
// values.schema.json, as much of JSON Schema (draft 7) as schemas of charts of ours use. A keyword
// that is not known here is an error by name, so that nothing is taken as checked that is not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

// What is wrong with `values`, each "at '/proxy/cores': got string, want integer"; nothing if they
// are right.
std::vector<std::string> check_schema(std::string_view schema, const Value& values);

}  // namespace tulle::chart
