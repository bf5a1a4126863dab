// SPDX-License-Identifier: Apache-2.0
// One route matcher for inbound and outbound, HTTP and gRPC routes: which rule of a list of routes
// serves a request (docs/reference/wire-api.md §6.1 and §6.3, docs/reference/proxy.md §3.5).
// Compiled once per snapshot; matching allocates nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/http/message.h"
#include "lib/regex/regex.h"
#include "proxy/route/meta.h"

namespace tulle::proxy {

// A host of a route; compared without case, port and final dot.
struct HostMatch {
  bool suffix = false;
  std::string host;  // lower case; for a suffix ".example.com"
};

// A header (any field of that name) or a query parameter (any that is so called, decoded).
struct ValueMatch {
  std::string name;
  std::string exact;
  std::shared_ptr<const Regex> regex;  // set: full match instead of `exact`
  bool matches(std::string_view value) const;
};

// The path without query, as it came. Regular expressions match all of it, prefixes whole segments.
struct PathMatch {
  enum class Kind : std::uint8_t { Any, Exact, Prefix, Regex };
  Kind kind = Kind::Any;
  std::string value;  // a prefix has no trailing slash
  std::shared_ptr<const Regex> regex;
};

// All that is stated must hold.
struct RouteMatch {
  PathMatch path;
  std::vector<ValueMatch> headers;
  std::vector<ValueMatch> query;
  std::string method;  // empty: any
  // gRPC: POST to /service/method, empty = any.
  bool grpc = false;
  std::string grpc_service;
  std::string grpc_method;
};

struct HeaderEdit {
  std::vector<std::pair<std::string, std::string>> add;
  std::vector<std::pair<std::string, std::string>> set;
  std::vector<std::string> remove;
  void apply(http::HeaderMap& headers) const;  // add, set, remove in this order
};

// Empty and absent members are those of the request.
struct Redirect {
  std::string scheme;
  std::string host;
  std::optional<std::uint16_t> port;
  enum class Path : std::uint8_t { Keep, Full, Prefix } path_kind = Path::Keep;
  std::string path;
  std::uint16_t status = 301;
};

// Which members count is said by `kind`; Unsupported answers 500, as it might forbid something
// (docs/design.md §3.9).
struct Filter {
  enum class Kind : std::uint8_t {
    RequestHeaders,
    ResponseHeaders,
    Redirect,
    Fail,
    FailGrpc,
    Unsupported
  };
  Kind kind = Kind::Unsupported;
  HeaderEdit edit;
  Redirect redirect;
  std::uint32_t status = 500;  // Fail: HTTP status; FailGrpc: gRPC code
  std::string message;
  std::uint32_t numerator = 1;  // Fail*: share of requests
  std::uint32_t denominator = 1;
};

// A rule serves a request that one of its matches takes; filters apply in order.
struct RuleBase {
  std::vector<RouteMatch> matches;  // empty: everything
  std::vector<Filter> filters;
};

struct MatchKey {              // what compares, in order (docs/reference/wire-api.md §6.3)
  std::uint8_t host_kind = 0;  // 2 exact, 1 suffix, 0 none
  std::uint32_t host_size = 0;
  std::uint32_t path_size = 0;
  std::uint32_t second = 0;  // HTTP: headers; gRPC: method length
  std::uint32_t third = 0;   // HTTP: query; gRPC: headers
  bool method = false;
  friend auto operator<=>(const MatchKey&, const MatchKey&) = default;
};

// The key with which this route's best host applies; nullopt if none does.
std::optional<MatchKey> match_hosts(std::span<const HostMatch> hosts, std::string_view authority);
// Fills in the rest of the key; false if the rule does not apply.
bool match_rule(const RouteMatch& match, const http::RequestHead& request, MatchKey& key);
// The host of an authority ("[::1]:80" → "::1", "a.b.:80" → "a.b").
std::string_view authority_host(std::string_view authority) noexcept;

// Places in the list of routes, so that what was compiled beside it is found without a look-up.
struct Found {
  std::size_t route = 0;
  std::size_t rule = 0;
  const RouteMatch* match = nullptr;  // null: the rule matches everything
};

// Route must have `hosts` (vector<HostMatch>) and `rules` (of RuleBase); those that do not `count`
// are left out.
template <typename Route, typename Counts>
std::optional<Found> find_route(const std::vector<Route>& routes, const http::RequestHead& request,
                                const Counts& counts) {
  std::optional<Found> best;
  MatchKey best_key;
  for (std::size_t r = 0; r < routes.size(); ++r) {
    if (!counts(routes[r])) continue;
    const std::optional<MatchKey> host = match_hosts(routes[r].hosts, request.authority);
    if (!host) continue;
    for (std::size_t i = 0; i < routes[r].rules.size(); ++i) {
      const auto& matches = routes[r].rules[i].matches;
      if (matches.empty()) {
        MatchKey key = *host;
        if (!best || key > best_key) best = Found{r, i, nullptr}, best_key = key;
        continue;
      }
      for (const RouteMatch& match : matches) {
        MatchKey key = *host;
        if (!match_rule(match, request, key)) continue;
        if (!best || key > best_key) best = Found{r, i, &match}, best_key = key;
      }
    }
  }
  return best;
}
template <typename Route>
std::optional<Found> find_route(const std::vector<Route>& routes,
                                const http::RequestHead& request) {
  return find_route(routes, request, [](const Route&) { return true; });
}

// Where a redirect leads, or nullopt when it would not change anything (then the request goes on).
// `match` is the match that selected the rule. Error: the redirect cannot apply to this request.
struct RedirectTo {
  std::uint16_t status;
  std::string location;
};
std::optional<RedirectTo> redirect_target(const Redirect& redirect,
                                          const http::RequestHead& request, const RouteMatch* match,
                                          bool& invalid);

}  // namespace tulle::proxy
