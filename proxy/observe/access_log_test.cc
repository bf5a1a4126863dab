// SPDX-License-Identifier: Apache-2.0
#include "proxy/observe/access_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

std::string line(Config::AccessLog format, const Peer& peer, const http::RequestHead& request,
                 const http::ResponseHead& response) {
  int fds[2];
  if (::pipe(fds) != 0) return "no pipe";
  log::Sink sink({.fd = fds[1]}, log::Filter::parse_lenient("info"));
  const TimePoint start{100s};
  AccessEntry(format, peer, request, start).write(sink, response, start + 5ms, 3ms);
  char buffer[4096];
  const ssize_t n = ::read(fds[0], buffer, sizeof buffer);
  ::close(fds[0]);
  ::close(fds[1]);
  std::string text(buffer, static_cast<std::size_t>(n));
  // The time is of now.
  const bool json = format == Config::AccessLog::Json;
  const std::size_t from = text.find(json ? "timestamp\":\"" : "- [") + (json ? 12 : 3);
  const std::size_t to = text.find(json ? '"' : ']', from);
  EXPECT_GE(to - from, 20U);
  text.replace(from, to - from, "T");
  return text;
}

TEST(AccessLog, AsApacheWritesIt) {
  http::ResponseHead response;
  response.status = 200;
  EXPECT_EQ(line(Config::AccessLog::Apache, test::peer("10.0.0.7", "client.id"),
                 test::request("GET", "/a?b", "web"), response),
            "10.0.0.7:40000 client.id - [T] \"GET /a?b HTTP/1.1\" 200\n");
  http::Request http2 = test::request("POST", "/\"x", "web:81");
  http2.version = http::Version::Http2;
  response.status = 403;
  EXPECT_EQ(line(Config::AccessLog::Apache, test::peer("fd00::7"), http2, response),
            "[fd00::7]:40000 - - [T] \"POST http://web:81/\\\"x HTTP/2.0\" 403\n");
}

TEST(AccessLog, Json) {
  http::ResponseHead response;
  response.status = 200;
  response.headers.add("Content-Length", "7");
  EXPECT_EQ(
      line(Config::AccessLog::Json, test::peer("10.0.0.7"),
           test::request("GET", "/a", "web",
                         {{"Host", "web"}, {"User-Agent", "cu\"rl"}, {"X-Request-Id", "r1"}}),
           response),
      R"({"client.addr":"10.0.0.7:40000","client.id":"-","host":"web","method":"GET","processing_ns":"2000000",)"
      R"("request_bytes":"","response_bytes":"7","status":200,"timestamp":"T","total_ns":"5000000","trace_id":"r1",)"
      R"("uri":"/a","user_agent":"cu\"rl","version":"HTTP/1.1"})"
      "\n");
}

}  // namespace
}  // namespace tulle::proxy
