// SPDX-License-Identifier: Apache-2.0
// The values of a chart: defaults, files and --set, put together as Helm does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

// Puts `over` onto `base`: maps member by member, everything else as a whole, null takes away what
// the base has. `over` wins.
Value merge(const Value& base, const Value& over);
// "a.b=c,d[0].e=1,f={x,y}": Helm's --set. With `strings` values are text as they stand
// (--set-string). "" or what is wrong with it.
std::string set(Value& values, std::string_view expression, bool strings);
// "a.b=FILE": the value is the file's content (--set-file). "" or what is wrong.
std::string set_file(Value& values, std::string_view expression);
// What `values` says otherwise than `base`: merge(base, difference) is `values`.
Value difference(const Value& base, const Value& values);

// A key that `defaults` does not know. Maps that are empty (or null) in the defaults may hold
// anything.
struct UnknownKey {
  std::string path;     // "proxy.imagge"
  std::string nearest;  // "proxy.image"; "" if nothing is near
};
std::vector<UnknownKey> unknown_keys(const Value& defaults, const Value& values);

}  // namespace tulle::chart
