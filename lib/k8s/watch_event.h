// SPDX-License-Identifier: Apache-2.0
// One event of a watch, with its object still unread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tulle::k8s {

struct WatchEvent {
  std::string type;         // "ADDED", "BOOKMARK", …
  std::string_view object;  // its JSON, in the text that was read; that its brackets end is all that is known of it
};

// {"type": "ADDED", "object": {…}}, in any order; nullopt if it is something else.
std::optional<WatchEvent> read_watch_event(std::string_view json);

}  // namespace tulle::k8s
