// SPDX-License-Identifier: Apache-2.0
#include "proxy/route/readings.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "proxy/snapshot/server_policy.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

RouteMatch path_match(PathMatch::Kind kind, std::string value) {
  RouteMatch match;
  match.path = {kind, std::move(value), nullptr};
  return match;
}

// "/admin" and what is below it, "/exact" alone, and the rest.
std::vector<InboundRoute> routes() {
  std::vector<InboundRoute> all(3);
  all[0].rules.emplace_back().matches = {path_match(PathMatch::Kind::Prefix, "/admin")};
  all[1].rules.emplace_back().matches = {path_match(PathMatch::Kind::Exact, "/exact")};
  all[2].rules.emplace_back().matches = {path_match(PathMatch::Kind::Prefix, "")};
  return all;
}

// The route that serves the path, or nothing when the readings do not agree.
std::optional<std::size_t> served_by(const std::string& path) {
  const auto all = routes();
  http::Request request = test::request("GET", path);
  const auto found = find_route(all, request);
  EXPECT_TRUE(found) << path;
  const bool agree = readings_agree(all, request, *found);
  EXPECT_EQ(request.path, path);
  return agree ? std::optional(found->route) : std::nullopt;
}

TEST(Readings, OrdinaryPathsHaveOne) {
  for (const char* path : {"/", "/a", "/a/b/", "/a.b/c.d", "/a?b=//../%61;c", "*", "/~a-b_c", ""})
    EXPECT_TRUE(is_plain_path(path)) << path;
  for (const char* path : {"//", "/a//b", "/.", "/a/../b", "/%61", "/a;b", "/a\\b"})
    EXPECT_FALSE(is_plain_path(path)) << path;
  EXPECT_TRUE(path_readings("/a/b.c?d=%61").empty());
}

TEST(Readings, AreThoseOfServers) {
  const auto reads_as = [](std::string_view path, std::string_view as) {
    const auto all = path_readings(path);
    return std::find(all.begin(), all.end(), as) != all.end();
  };
  EXPECT_TRUE(reads_as("/%61dmin?x=1", "/admin?x=1"));
  EXPECT_TRUE(reads_as("/a/..;/admin", "/admin"));
  EXPECT_TRUE(reads_as("/a/b/../../admin", "/admin"));
  EXPECT_TRUE(reads_as("/../../admin", "/admin"));
  EXPECT_TRUE(reads_as("/admin/.", "/admin"));
  EXPECT_TRUE(reads_as("/admin/.", "/admin/"));
  EXPECT_TRUE(reads_as("/a//b///c", "/a/b/c"));
  EXPECT_TRUE(reads_as("//host/admin", "/admin"));
  EXPECT_TRUE(reads_as("/\\host/admin", "/admin"));
  EXPECT_TRUE(reads_as("/a/%2E%2e/%2e/%61", "/%61"));
  EXPECT_TRUE(reads_as("/a%2f..%2fadmin", "/admin"));
  EXPECT_TRUE(reads_as("/%", "/%") == false);
  EXPECT_LE(path_readings("/\\x//a;b/%2e%2e/../%2f./c;d/").size(), 30U);
}

// Who cuts, merges or resolves before decoding reads something else than who decodes first.
TEST(Readings, AreInTheOrderOfServers) {
  const auto reads_as_admin = [](std::string_view path) {
    const auto all = path_readings(path);
    return std::find(all.begin(), all.end(), "/admin") != all.end();
  };
  for (const char* path : {"/%61dmin;%2f..", "/%61dmin;a=%2f..%2fb", "//admin;%2f..",
                           "/%61dmin;%2f..;x", "/x/..;%2f/%61dmin", "/x/..;a%2fb/%61dmin",
                           "/\\%61dmin;%2f..", "/x\\..;%2f/%61dmin", "/a%2fb/../%61dmin",
                           "/a%2fb/%2e%2e/%61dmin", "/a%2fb\\..\\%61dmin", "//a%2fb/../%61dmin"}) {
    EXPECT_TRUE(reads_as_admin(path)) << path;
    EXPECT_EQ(served_by(path), std::nullopt) << path;
  }
  EXPECT_EQ(served_by("/%61dmin;%2f../a"), std::nullopt);
}

// What another reading would lead to another rule is not passed on.
TEST(Readings, APathThatCouldBeAnotherRoutesIsNone) {
  for (const char* path :
       {"/%61dmin", "//admin", "/./admin", "/x/../admin", "/admin/../x", "/x/..;/admin", "/admin;x",
        "/x/%2e%2e/admin", "/x%2f..%2fadmin", "/x\\..\\admin", "//x/admin/y", "/%2fadmin",
        "/exact;x", "/exact/.", "/%65xact", "/admin%2fx", "/admin%2F..", "/adm%69n/x?y"})
    EXPECT_EQ(served_by(path), std::nullopt) << path;
  for (const char* path : {"/admin/%41", "/admin//x", "/admin/./x", "/admin/x;y"})
    EXPECT_EQ(served_by(path), 0U) << path;
  for (const char* path : {"/a%20b", "/a//b", "/a;b", "/a/../b", "/files/%2e%2e", "/~%7E", "/ADMIN",
                           "/administrator", "/a?x=/../admin", "/g%2Fp/-/raw"})
    EXPECT_EQ(served_by(path), 2U) << path;
  EXPECT_EQ(served_by("/exact"), 1U);
}

}  // namespace
}  // namespace tulle::proxy
