// SPDX-License-Identifier: Apache-2.0
#include "proxy/route/route.h"

#include <gtest/gtest.h>

#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using test::request;

struct Route {
  std::vector<HostMatch> hosts;
  std::vector<RuleBase> rules;
};
RouteMatch path(PathMatch::Kind kind, const std::string& value) {
  RouteMatch match;
  match.path.kind = kind;
  match.path.value = value;
  if (kind == PathMatch::Kind::Regex) match.path.regex = *Regex::compile(value);
  return match;
}
RouteMatch exact(const std::string& value) { return path(PathMatch::Kind::Exact, value); }
RouteMatch prefix(const std::string& value) { return path(PathMatch::Kind::Prefix, value); }
RouteMatch regex(const std::string& value) { return path(PathMatch::Kind::Regex, value); }
Route route(std::vector<RouteMatch> matches, std::vector<HostMatch> hosts = {}) {
  Route made;
  made.hosts = std::move(hosts);
  made.rules.push_back({std::move(matches), {}});
  return made;
}
// The index of the route that serves the request, -1 for none.
int serves(const std::vector<Route>& routes, const http::Request& request) {
  const auto found = find_route(routes, request);
  return found ? static_cast<int>(found->route) : -1;
}

TEST(Route, HostsExactBeatSuffixLongerBeatShorterNoneIsLast) {
  const std::vector<Route> routes = {route({}), route({}, {{true, ".com"}}),
                                     route({}, {{true, ".example.com"}}),
                                     route({}, {{false, "a.example.com"}})};
  EXPECT_EQ(serves(routes, request("GET", "/", "a.example.com")), 3);
  EXPECT_EQ(serves(routes, request("GET", "/", "A.Example.COM.:8080")), 3);
  EXPECT_EQ(serves(routes, request("GET", "/", "b.example.com")), 2);
  EXPECT_EQ(serves(routes, request("GET", "/", "example.com")), 1);
  EXPECT_EQ(serves(routes, request("GET", "/", "com")), 0);
  EXPECT_EQ(serves(routes, request("GET", "/", "")), 0);
  EXPECT_EQ(serves({routes[3]}, request("GET", "/", "b.example.com")), -1);
}

TEST(Route, AHostOutranksEveryOtherKey) {
  const std::vector<Route> routes = {route({exact("/a/very/long/path")}),
                                     route({}, {{false, "web"}})};
  EXPECT_EQ(serves(routes, request("GET", "/a/very/long/path", "web")), 1);
}

TEST(Route, PathsByTheCharactersTheyMatched) {
  const std::vector<Route> routes = {route({prefix("/a")}), route({prefix("/a/b")}),
                                     route({exact("/a/b/c")}), route({regex("/a/[a-z]+/x.*")}),
                                     route({prefix("")})};
  EXPECT_EQ(serves(routes, request("GET", "/a?q=1")), 0);
  EXPECT_EQ(serves(routes, request("GET", "/a/")), 0);
  EXPECT_EQ(serves(routes, request("GET", "/ab")), 4);
  EXPECT_EQ(serves(routes, request("GET", "/a/b")), 1);
  EXPECT_EQ(serves(routes, request("GET", "/a/b/c")), 2);
  EXPECT_EQ(serves(routes, request("GET", "/a/b/xyz")), 3);
  EXPECT_EQ(serves(routes, request("GET", "/other")), 4);
  EXPECT_EQ(serves({routes[3]}, request("GET", "/a/b/x/../z\n")), -1);
  EXPECT_EQ(serves({routes[3]}, request("GET", "/pre/a/b/x")), -1);  // regexes match all of it
}

TEST(Route, ThenHeadersThenQueryThenMethod) {
  RouteMatch plain = prefix("/a");
  RouteMatch method = prefix("/a");
  method.method = "GET";
  RouteMatch query = prefix("/a");
  query.query.push_back({"q", "1", nullptr});
  RouteMatch header = prefix("/a");
  header.headers.push_back({"x-a", "1", nullptr});
  RouteMatch two = header;
  two.headers.push_back({"x-b", "", *Regex::compile("[0-9]+")});
  const std::vector<Route> routes = {route({plain}), route({method}), route({query}),
                                     route({header}), route({two})};
  EXPECT_EQ(serves(routes, request("PUT", "/a")), 0);
  EXPECT_EQ(serves(routes, request("GET", "/a")), 1);
  EXPECT_EQ(serves(routes, request("GET", "/a?q=1")), 2);
  EXPECT_EQ(serves(routes, request("GET", "/a?q=1", "web", {{"X-A", "1"}})), 3);
  EXPECT_EQ(serves(routes, request("GET", "/a", "web", {{"X-A", "1"}, {"X-B", "77"}})), 4);
  EXPECT_EQ(serves(routes, request("GET", "/a", "web", {{"X-A", "1"}, {"X-B", "7x"}})), 3);
  // Any value of a header that came twice may match.
  EXPECT_EQ(serves(routes, request("GET", "/a", "web", {{"x-a", "0"}, {"x-a", "1"}})), 3);
  EXPECT_EQ(serves(routes, request("get", "/a")), 0);  // methods have case
}

TEST(Route, QueriesAreFormDecoded) {
  RouteMatch query = prefix("");
  query.query.push_back({"a key", "x&y", nullptr});
  const std::vector<Route> routes = {route({query})};
  EXPECT_EQ(serves(routes, request("GET", "/?b=1&a+key=x%26y")), 0);
  EXPECT_EQ(serves(routes, request("GET", "/?a%20key=no&a%20key=x%26y")), 0);
  EXPECT_EQ(serves(routes, request("GET", "/?a+key=x&y")), -1);
  EXPECT_EQ(serves(routes, request("GET", "/?a+key")), -1);
  EXPECT_EQ(serves(routes, request("GET", "/")), -1);
}

TEST(Route, TiesGoToTheFirstAndAnyMatchOfARuleIsEnough) {
  EXPECT_EQ(serves({route({prefix("/a")}), route({prefix("/a")})}, request("GET", "/a")), 0);
  const std::vector<Route> routes = {route({exact("/x"), exact("/y")})};
  EXPECT_EQ(serves(routes, request("GET", "/y")), 0);
  EXPECT_EQ(serves(routes, request("GET", "/z")), -1);
  EXPECT_EQ(serves({}, request("GET", "/")), -1);
  EXPECT_EQ(serves({Route{}}, request("GET", "/")), -1);  // no rule serves nothing
}

TEST(Route, Grpc) {
  const auto grpc = [](const std::string& service, const std::string& method) {
    RouteMatch match;
    match.grpc = true;
    match.grpc_service = service;
    match.grpc_method = method;
    return match;
  };
  RouteMatch with_header = grpc("a.Svc", "");
  with_header.headers.push_back({"x-a", "1", nullptr});
  const std::vector<Route> routes = {route({grpc("", "")}), route({grpc("a.Svc", "")}),
                                     route({grpc("a.Svc", "Get")}), route({grpc("", "Get")}),
                                     route({with_header})};
  EXPECT_EQ(serves(routes, request("POST", "/a.Svc/Get")), 2);
  EXPECT_EQ(serves(routes, request("POST", "/a.Svc/Put")), 1);
  EXPECT_EQ(serves(routes, request("POST", "/a.Svc/Put", "web", {{"x-a", "1"}})), 4);
  EXPECT_EQ(serves(routes, request("POST", "/b.Svc/Get")), 3);
  EXPECT_EQ(serves(routes, request("POST", "/b.Svc/Put")), 0);
  EXPECT_EQ(serves(routes, request("GET", "/a.Svc/Get")), -1);
  EXPECT_EQ(serves(routes, request("POST", "/nothing")), -1);
}

TEST(Redirect, WhereItLeads) {
  bool invalid = false;
  Redirect https;
  https.scheme = "https";
  auto to = redirect_target(https, request("GET", "/a?b=c", "web.example:8080"), nullptr, invalid);
  ASSERT_TRUE(to);
  EXPECT_EQ(to->location, "https://web.example:8080/a?b=c");
  EXPECT_EQ(to->status, 301);
  https.port = 443;
  EXPECT_EQ(
      redirect_target(https, request("GET", "/a", "web.example:8080"), nullptr, invalid)->location,
      "https://web.example/a");
  Redirect host;
  host.host = "other";
  host.status = 302;
  EXPECT_EQ(redirect_target(host, request("GET", "/a", "web"), nullptr, invalid)->location,
            "http://other/a");
  EXPECT_EQ(redirect_target(host, request("GET", "/a", "[::1]:81"), nullptr, invalid)->location,
            "http://other:81/a");
  Redirect full;
  full.path_kind = Redirect::Path::Full;
  full.path = "/new";
  EXPECT_EQ(redirect_target(full, request("GET", "/a?b", "web"), nullptr, invalid)->location,
            "http://web/new");
  Redirect part;
  part.path_kind = Redirect::Path::Prefix;
  part.path = "/new/";
  const RouteMatch by_prefix = prefix("/a");
  EXPECT_EQ(redirect_target(part, request("GET", "/a/b?c", "web"), &by_prefix, invalid)->location,
            "http://web/new/b?c");
  EXPECT_FALSE(invalid);
  // A prefix can only be replaced where one matched; a location must be absolute.
  const RouteMatch by_exact = exact("/a");
  EXPECT_FALSE(redirect_target(part, request("GET", "/a", "web"), &by_exact, invalid));
  EXPECT_TRUE(invalid);
  EXPECT_FALSE(redirect_target(https, request("GET", "/a", ""), nullptr, invalid));
  EXPECT_TRUE(invalid);
  // To itself: the request goes on.
  EXPECT_FALSE(redirect_target(Redirect{}, request("GET", "/a", "web"), nullptr, invalid));
  EXPECT_FALSE(invalid);
}

TEST(HeaderEdit, AddsThenSetsThenRemoves) {
  HeaderEdit edit;
  edit.add = {{"x-a", "2"}, {"x-b", "1"}};
  edit.set = {{"x-b", "3"}, {"x-c", "4"}};
  edit.remove = {"x-c", "x-gone"};
  http::HeaderMap headers;
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"X-A", "1"}, {"X-Gone", "0"}})
    headers.add(name, value);
  edit.apply(headers);
  ASSERT_EQ(headers.size(), 3U);
  EXPECT_EQ(headers[0].value, "1");
  EXPECT_EQ(headers[1].value, "2");
  EXPECT_EQ(*headers.get("x-b"), "3");
}

}  // namespace
}  // namespace tulle::proxy
