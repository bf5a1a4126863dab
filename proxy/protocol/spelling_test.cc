// SPDX-License-Identifier: Apache-2.0
#include "proxy/protocol/spelling.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lib/base/text.h"
#include "proxy/protocol/orig_proto.h"

namespace tulle::proxy {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

http::HeaderMap headers_of(const Fields& fields) {
  http::HeaderMap headers;
  for (const auto& [name, value] : fields) headers.add(name, value);
  return headers;
}
Fields fields_of(const http::HeaderMap& headers) {
  Fields fields;
  for (const auto field : headers) fields.emplace_back(field.name, field.value);
  return fields;
}

// As HTTP/2 carries a head: lower case, Host as :authority, nothing about framing.
void over_http2(http::HeaderMap& headers, bool drop_host) {
  http::HeaderMap carried;
  for (const auto field : headers) {
    std::string name(field.name);
    for (char& c : name) c = ascii_lower(c);
    if (drop_host && name == "host") continue;
    ASSERT_NE(name, "transfer-encoding");
    carried.add(name, field.value);
  }
  headers = std::move(carried);
}

std::string described(const Fields& fields) {
  SmallText text;
  describe_spelling(headers_of(fields), text);
  return std::string(text.view());
}

http::Request round_trip(http::Request request) {
  [[maybe_unused]] const Upgraded upgraded = upgrade_request(request, {.tulle = true});
  EXPECT_EQ(request.version, http::Version::Http2);
  over_http2(request.headers, !request.authority.empty());
  request.form = http::TargetForm::Origin;
  const Downgrade downgrade = downgrade_request(request, true);
  EXPECT_TRUE(downgrade.done);
  EXPECT_TRUE(downgrade.tulle);
  return request;
}

http::Request http1_request(const Fields& fields) {
  http::Request request;
  request.method = "GET";
  request.path = "/";
  request.headers = headers_of(fields);
  request.authority = request.headers.get("host").value_or("");
  return request;
}

TEST(Spelling, OneFlagIsEnoughForTheUsualWays) {
  EXPECT_EQ(described({{"Host", "a"}, {"User-Agent", "b"}, {"Accept", "*/*"}}), "; names=t");
  EXPECT_EQ(described({{"host", "a"}, {"user-agent", "b"}}), "; names=l");
  EXPECT_EQ(described({}), "; names=l");
  EXPECT_EQ(described({{"Server", "x"}, {"Date", "y"}, {"ETag", "z"}}), "; names=t,ETag");
}

TEST(Spelling, EverythingComesBackAsItWas) {
  const std::vector<Fields> cases = {
      {{"Host", "web"}, {"User-Agent", "curl"}, {"Accept", "*/*"}},
      {{"host", "web"}, {"x-a", "1"}},
      {{"Accept", "*/*"}, {"X-FOO", "1"}, {"hOsT", "web"}, {"x-bar", "2"}},
      {{"Host", "web"}, {"Cookie", "a"}, {"cookie", "b"}, {"COOKIE", "c"}, {"Cookie", "d"}},
      {{"Host", "web"}, {"X-A", "1"}, {"X-A", "2"}, {"X-1-b", "3"}},
      {{"Host", "web"}, {"DNT", "1"}, {"sec-ch-ua", "x"}, {"Accept", "y"}, {"TE", "trailers"}},
  };
  for (const Fields& fields : cases) {
    EXPECT_EQ(fields_of(round_trip(http1_request(fields)).headers), fields);
  }
}

TEST(Spelling, TransferEncodingKeepsItsPlace) {
  const Fields fields = {
      {"Transfer-Encoding", "chunked"}, {"Accept", "a"}, {"Host", "web"}, {"Trailer", "x"}};
  http::Request request = http1_request(fields);
  [[maybe_unused]] const Upgraded upgraded = upgrade_request(request, {.tulle = true});
  EXPECT_EQ(*request.headers.get(kOrigProto), "HTTP/1.1; names=t; host=2; te=0");
  over_http2(request.headers, true);
  http::HeaderMap carried = request.headers;
  carried.remove(kOrigProto);
  restore_spelling(*request.headers.get(kOrigProto), "web", true, carried);
  EXPECT_EQ(fields_of(carried), fields);
  // A body of known length has none.
  http::HeaderMap again = request.headers;
  again.remove(kOrigProto);
  restore_spelling(*request.headers.get(kOrigProto), "web", false, again);
  EXPECT_FALSE(again.contains("transfer-encoding"));
}

TEST(Spelling, ResponsesToo) {
  http::Response response;
  response.status = 200;
  response.reason = "Very; Fine";
  const Fields fields = {{"server", "x"}, {"ETag", "1"}, {"content-length", "0"}};
  response.headers = headers_of(fields);
  upgrade_response(response, {true, true});
  over_http2(response.headers, false);
  response.reason.clear();
  downgrade_response(response, {.version = http::Version::Http11, .tulle = true});
  EXPECT_EQ(fields_of(response.headers), fields);
  EXPECT_EQ(response.reason.view(), "Very; Fine");
}

// A proxy that is not ours gets the plain value, and what it sends is understood.
TEST(Spelling, OthersSeeWhatTheyKnow) {
  http::Response response;
  response.status = 200;
  response.headers = headers_of({{"ETag", "1"}});
  upgrade_response(response, {true, false});
  EXPECT_EQ(*response.headers.get(kOrigProto), "HTTP/1.1");
  http::Request request =
      http1_request({{"x-a", "1"}, {std::string(kOrigProto), "HTTP/1.0; absolute-form"}});
  request.version = http::Version::Http2;
  const Downgrade downgrade = downgrade_request(request, true);
  EXPECT_TRUE(downgrade.done);
  EXPECT_FALSE(downgrade.tulle);
  EXPECT_EQ(request.version, http::Version::Http10);
  EXPECT_EQ(request.form, http::TargetForm::Absolute);
  EXPECT_EQ(fields_of(request.headers), (Fields{{"x-a", "1"}}));
}

// A peer that is not known to be ours reads Host where every implementation looks for it, and no
// word of ours; the parameters of one that is not ours mean nothing.
TEST(Spelling, OthersGetThePlainForm) {
  http::Request request =
      http1_request({{"Accept", "a"}, {"Host", "web"}, {"X-FOO", "1"}, {"TE", "trailers"}});
  [[maybe_unused]] const Upgraded plain =
      upgrade_request(request, {.default_authority = "web.shop.svc.cluster.local:80"});
  EXPECT_EQ(request.authority.view(), "web");
  EXPECT_EQ(fields_of(request.headers), (Fields{{"Accept", "a"},
                                                {"Host", "web"},
                                                {"X-FOO", "1"},
                                                {"TE", "trailers"},
                                                {std::string(kOrigProto), "HTTP/1.1"}}));
  http::Request absolute = http1_request({{"Host", "other:81"}});
  absolute.form = http::TargetForm::Absolute;
  absolute.scheme = "http";
  absolute.authority = "web";
  [[maybe_unused]] const Upgraded differing = upgrade_request(absolute, {});
  EXPECT_EQ(absolute.authority.view(), "web");
  EXPECT_EQ(*absolute.headers.get("host"), "other:81");
  EXPECT_EQ(*absolute.headers.get(kOrigProto), "HTTP/1.1; absolute-form");

  http::Request forged =
      http1_request({{"x-a", "1"}, {std::string(kOrigProto), "HTTP/1.1; names=t; hostname=evil"}});
  const Downgrade downgrade = downgrade_request(forged, false);
  EXPECT_TRUE(downgrade.done);
  EXPECT_FALSE(downgrade.tulle);
  EXPECT_EQ(fields_of(forged.headers), (Fields{{"x-a", "1"}}));
  http::Response response;
  response.headers =
      headers_of({{"etag", "1"}, {std::string(kOrigProto), "HTTP/1.1; names=t,ETag; reason=No"}});
  downgrade_response(response, {.version = http::Version::Http11});
  EXPECT_EQ(fields_of(response.headers), (Fields{{"etag", "1"}}));
  EXPECT_EQ(response.reason.view(), "");
}

// Others refuse a request without authority; its Host stays missing (HTTP/1.0 health checks).
TEST(Spelling, WhoNamesNoHostGetsAnAuthorityTowardOthersOnly) {
  for (const bool empty_field : {false, true}) {
    const Fields fields =
        empty_field ? Fields{{"Host", ""}, {"Accept", "a"}} : Fields{{"Accept", "a"}};
    http::Request request = http1_request(fields);
    request.version = http::Version::Http10;
    const Upgraded upgraded =
        upgrade_request(request, {.default_authority = "web.shop.svc.cluster.local:80"});
    EXPECT_EQ(request.authority.view(), "web.shop.svc.cluster.local:80");
    EXPECT_EQ(request.headers.contains("host"), empty_field);
    EXPECT_EQ(*request.headers.get(kOrigProto), "HTTP/1.0");
    undo_upgrade(request, upgraded);
    EXPECT_EQ(fields_of(request.headers), fields);
    EXPECT_TRUE(request.authority.empty());
    http::Request ours = http1_request(fields);
    [[maybe_unused]] const Upgraded kept = upgrade_request(
        ours, {.tulle = true, .default_authority = "web.shop.svc.cluster.local:80"});
    EXPECT_TRUE(ours.authority.empty());
  }
}

TEST(Spelling, WhatGoesElsewhereIsAgainWhatItWas) {
  for (const bool tulle : {false, true}) {
    const Fields fields = {{"Accept", "a"}, {"hOsT", "web"}, {"X-FOO", "1"}, {"x-bar", "2"}};
    http::Request request = http1_request(fields);
    request.version = http::Version::Http10;
    const Upgraded upgraded = upgrade_request(request, {.tulle = tulle, .default_authority = "z"});
    EXPECT_EQ(request.version, http::Version::Http2);
    undo_upgrade(request, upgraded);
    EXPECT_EQ(request.version, http::Version::Http10);
    EXPECT_EQ(fields_of(request.headers), fields);
    EXPECT_EQ(request.authority.view(), "web");
    EXPECT_TRUE(request.scheme.empty());
  }
}

// Host as it was spelled, if it is the target's; never another one.
TEST(Spelling, AbsoluteFormKeepsAnotherSpellingOfItsHost) {
  const auto arrives = [](const char* host) {
    http::Request request = http1_request({{"Host", host}, {"Accept", "a"}});
    request.form = http::TargetForm::Absolute;
    request.scheme = "http";
    request.authority = "web";
    [[maybe_unused]] const Upgraded upgraded = upgrade_request(request, {.tulle = true});
    over_http2(request.headers, true);
    EXPECT_TRUE(downgrade_request(request, true).done);
    EXPECT_EQ(request.form, http::TargetForm::Absolute);
    EXPECT_EQ(request.authority.view(), "web");
    return std::string(*request.headers.get("host"));
  };
  EXPECT_EQ(arrives("Web.:80"), "Web.:80");
  EXPECT_EQ(arrives("other:81"), "web");
  EXPECT_EQ(arrives("web:81"), "web");
}

// Whatever stands in the header, nothing but the case of names and two known fields can change.
TEST(Spelling, NonsenseChangesNothing) {
  for (const std::string_view value :
       {"", "HTTP/1.1", "HTTP/1.1; names=", "HTTP/1.1; names=t,,,",
        "HTTP/1.1; names=x,X-B,y; te=999; host=zz", "HTTP/1.1; names=t,X-A,X-A,X-A", ";;;=;names",
        "HTTP/1.1; host=1; te=1"}) {
    http::HeaderMap headers = headers_of({{"x-a", "1"}, {"x-c", "2"}});
    restore_spelling(value, "", false, headers);
    ASSERT_EQ(headers.size(), 2U) << value;
    EXPECT_TRUE(iequals(headers[0].name, "x-a")) << value;
    EXPECT_EQ(headers[1].value, "2") << value;
  }
  http::HeaderMap headers = headers_of({{"x-a", "1"}});
  restore_spelling("HTTP/1.1; names=t; host=77", "web", false, headers);
  EXPECT_EQ(fields_of(headers), (Fields{{"X-A", "1"}, {"Host", "web"}}));
}

TEST(Spelling, ListsThatAreTooLongAreCutAtANameBoundary) {
  Fields fields;
  for (int i = 0; i < 60; ++i) fields.emplace_back("X-LONG-NAME-NUMBER-" + std::to_string(i), "v");
  fields.emplace_back("Accept", "a");
  http::Request request = http1_request(fields);
  const http::Request back = round_trip(std::move(request));
  ASSERT_EQ(back.headers.size(), fields.size());
  EXPECT_EQ(back.headers[0].name, fields[0].first);
  for (std::size_t i = 0; i < fields.size(); ++i)
    EXPECT_TRUE(iequals(back.headers[i].name, fields[i].first));
}

}  // namespace
}  // namespace tulle::proxy
