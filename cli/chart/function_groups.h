// SPDX-License-Identifier: Apache-2.0
// The functions of templates by what they work on, each group sorted by name; find_function()
// searches them all.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/chart/functions.h"

namespace tulle::chart {

std::span<const Function> text_functions();
std::span<const Function> list_functions();   // lists and maps
std::span<const Function> value_functions();  // comparison, choice, types, numbers

constexpr bool by_name(const Function& a, const Function& b) { return a.name < b.name; }

// The most pieces that one call makes.
inline constexpr std::int64_t kMaxRepeat = 1'000'000;

// What sprig calls toInt64: any value as a number, 0 if it is none.
std::int64_t to_int(const Value& value);

using Strings = std::vector<std::string>;

inline const std::string& text(const Call& c, std::size_t i) { return c.args[i].text(); }
inline std::int64_t whole(const Call& c, std::size_t i) { return c.args[i].as_int(); }

// What sprig calls strval.
inline std::string as_text(const Value& value) { return value.is_null() ? "<nil>" : value.print(); }

// What sprig calls strslice: any value as a list of texts.
inline Strings as_texts(const Value& value) {
  if (value.is_null()) return {};
  if (!value.is_list()) return {as_text(value)};
  Strings out;
  for (const Value& item : value.items()) {
    if (!item.is_null()) out.push_back(as_text(item));
  }
  return out;
}

}  // namespace tulle::chart
