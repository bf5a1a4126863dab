// SPDX-License-Identifier: Apache-2.0
// The functions that templates may call: Go's own, sprig's and Helm's, as many as charts of ours
// use and their neighbours. What depends on time, chance, the network or the machine is left out: a
// chart renders the same each time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/chart/value.h"

namespace tulle::chart {

// What a call may need of the one who executes it. Each gives "" after a failure, which is known by
// then.
class Host {
 public:
  virtual ~Host() = default;
  virtual std::string include(std::string_view name, const Value& dot) = 0;
  virtual std::string tpl(std::string_view text, const Value& dot) = 0;
};

struct Call {
  Host& host;
  std::vector<Value> args;
  std::string error;  // what went wrong
  bool by_chart =
      false;  // the chart itself refuses (`fail`, `required`): the error is its own words

  Value fail(std::string reason) {
    error = std::move(reason);
    return {};
  }
};

struct Function {
  std::string_view name;
  // A letter an argument: s text, i int, b bool, m map, a anything. A * at the end: the last one
  // any number of times, also none.
  std::string_view takes;
  Value (*call)(Call&);  // null for `and` and `or`, which the executor does itself
};

// Null if there is none.
const Function* find_function(std::string_view name) noexcept;
// Helm has a function of this name, and tulle does not.
bool is_left_out(std::string_view name) noexcept;
// Checks the number and types of the arguments and calls. None becomes Nil where anything is taken.
Value call(const Function& function, Call& call);

}  // namespace tulle::chart
