// SPDX-License-Identifier: Apache-2.0
// Which lines are written: levels by target, as LINKERD2_PROXY_LOG and PUT /proxy-log-level say it
// (docs/reference/proxy.md §8.3). "warn,linkerd=info,tulle::h2=debug": the longest target prefix
// wins.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"

namespace tulle::log {

enum class Level : std::uint8_t { Off, Error, Warn, Info, Debug, Trace };
std::string_view to_string(Level level) noexcept;  // "INFO"

// Directives are `level`, `target=level` or `target` (everything of it). Spans ("[{headers}]=off")
// do not exist here: directives that name one are accepted and match nothing. Filters written for
// Linkerd say "linkerd": such a directive also holds for our targets, "tulle…", that no other one
// names.
class Filter {
 public:
  // Strict: any directive that cannot be understood fails with Invalid.
  static Result<Filter> parse(std::string_view text);
  // Lenient: such directives are ignored; nothing left means "warn".
  static Filter parse_lenient(std::string_view text);
  Level level_for(std::string_view target) const noexcept;
  // As it was given.
  std::string_view text() const noexcept { return text_; }

 private:
  struct Directive {
    std::string target;  // empty: everything
    Level level;
  };
  static bool parse_into(std::string_view text, Filter& filter);
  bool read_directive(std::string_view text);
  const Directive* find(std::string_view target) const noexcept;
  std::vector<Directive> directives_;  // longest target first
  std::string text_;
};

}  // namespace tulle::log
