// SPDX-License-Identifier: Apache-2.0
// Regular expressions from users (routes, profiles) in linear time: the subset of RE2's syntax that
// needs no backtracking (literals, ., classes incl. \d \w \s and POSIX names, alternation, groups
// (capturing or not, never captured), ?, *, +, {m,n} up to 1000, lazy forms, anchors, flag group
// (?i)). Bytes, not code points, but UTF-8 literals and classes of them work. Anything else is an
// error.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "lib/base/result.h"

namespace tulle {

class Regex {
 public:
  // Fails with Invalid (error.where names the reason) or TooLarge (over 10,000 states).
  static Result<std::shared_ptr<const Regex>> compile(std::string_view pattern);
  // Does the whole text match? Time is O(states × text), memory bounded by the states.
  bool full_match(std::string_view text) const;
  ~Regex();

 private:
  struct Program;
  explicit Regex(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace tulle
