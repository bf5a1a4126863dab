// SPDX-License-Identifier: Apache-2.0
// The functions that templates may call: those of Go's templates, and of Sprig and Helm what charts
// of a mesh use. Those that need the set of templates (include, tpl) are in template.cc.
#pragma once

#include <string_view>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

using Function = Value (*)(const std::vector<Value>& arguments);
// Null if there is none of this name. Functions throw TemplateError (without a place).
Function find_function(std::string_view name);
// Go's fmt verbs %s %d %v %q %t %f %x %%.
std::string go_printf(const std::vector<Value>& arguments);

}  // namespace tulle::chart
