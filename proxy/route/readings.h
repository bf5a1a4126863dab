// SPDX-License-Identifier: Apache-2.0
// One path, many servers: what some application may serve for it. Routes match a path byte for
// byte, as it was sent (Gateway API; RFC 3986 §6.2.2 leaves all of this to who serves). Servers
// decode "%61", drop "." and "..", merge "//", cut ";x" off, turn "\" round, or do none of it.
// Where another reading would have come to another rule, the request must not pass: it might be
// served what that other rule guards. Readings that come to the same rule are nobody's business.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/route/route.h"

namespace tulle::proxy {

// Is there but one reading? Nearly always; costs one look at each byte.
bool is_plain_path(std::string_view target) noexcept;

// The readings of a request target that differ from it, each with its query. A decoded "?" ends the
// path as one that was sent: that is one more reading.
// Some thirty at most.
std::vector<std::string> path_readings(std::string_view target);

// Does every reading of this request's path come to the rule that was found? The request is as it
// was afterwards.
// `find`: the rule for a request, as it was found.
template <typename Route, typename Find>
bool readings_agree(const std::vector<Route>& routes, http::RequestHead& request,
                    const Found& found, const Find& find) {
  if (routes.size() == 1 && routes.front().rules.size() == 1 &&
      routes.front().rules.front().matches.empty())
    return true;  // there is no other
  if (is_plain_path(request.path)) return true;
  SlabString sent = std::move(request.path);
  bool agree = true;
  for (const std::string& reading : path_readings(sent)) {
    request.path = reading;
    const std::optional<Found> other = find(request);
    agree = agree && other && other->route == found.route && other->rule == found.rule;
  }
  request.path = std::move(sent);
  return agree;
}
template <typename Route>
bool readings_agree(const std::vector<Route>& routes, http::RequestHead& request,
                    const Found& found) {
  return readings_agree(routes, request, found,
                        [&](const http::RequestHead& head) { return find_route(routes, head); });
}

}  // namespace tulle::proxy
