// SPDX-License-Identifier: Apache-2.0
#include "lib/http1/codec.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "lib/base/text.h"
#include "lib/http1/detect.h"
#include "lib/http1/hop.h"

namespace tulle::http1 {
namespace {

Result<std::optional<ParsedRequest>> parse(std::string_view text) {
  std::size_t searched = 0;
  std::size_t consumed = 0;
  return parse_request(as_bytes(text), {}, searched, consumed);
}

TEST(Request, KeepsWhatItWasSent) {
  const std::string text =
      "GET /a?b HTTP/1.1\r\nHost: web\r\nX-Mixed: 1\r\nx-mixed:  2 \r\n\r\nrest";
  std::size_t searched = 0;
  std::size_t consumed = 0;
  // The same for every split.
  for (std::size_t n = 0; n <= text.size(); ++n) {
    if (n + 3 >= text.size()) searched = 0;  // a whole head was found: the next search is a new one
    const auto parsed =
        parse_request(as_bytes(std::string_view(text).substr(0, n)), {}, searched, consumed);
    ASSERT_TRUE(parsed);
    ASSERT_EQ(parsed->has_value(), n + 4 >= text.size()) << n;
  }
  const auto parsed = parse(text);
  const http::Request& request = (*parsed)->request;
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path, "/a?b");
  EXPECT_EQ(request.authority, "web");
  EXPECT_EQ(request.headers[1].name, "X-Mixed");
  EXPECT_EQ(request.headers[2].value, "2");
  ByteQueue out;
  encode_request(request, Framing::None, out);
  EXPECT_EQ(as_text(out.data()),
            "GET /a?b HTTP/1.1\r\nHost: web\r\nX-Mixed: 1\r\nx-mixed: 2\r\n\r\n");
}

TEST(Request, RefusesWhatCouldBeReadTwoWays) {
  for (const char* head :
       {"GET / HTTP/1.1\r\nHost: a\r\nX\nY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: b\n\r\n\r\n",
        "GET /\n HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\r\n\r\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\nX: b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "G@T / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "chunked\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /# HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a#b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a..\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a%62\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a]\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: fd00::1\r\n\r\n",
        "CONNECT / HTTP/1.1\r\n\r\n",
        "CONNECT http://a/ HTTP/1.1\r\n\r\n",
        "CONNECT * HTTP/1.1\r\n\r\n",
        "CONNECT a:80 HTTP/1.0\r\n\r\n",
        "CONNECT \xA3:80 HTTP/1.1\r\n\r\n",
        "GET a:80 HTTP/1.1\r\n\r\n",
        "GET * HTTP/1.1\r\n\r\n",
        "GET http://u@a/ HTTP/1.1\r\n\r\n"}) {
    const auto parsed = parse(head);
    EXPECT_FALSE(parsed) << head;
    if (!parsed) {
      EXPECT_EQ(parsed.error().code, Errc::Invalid) << head;
    }
  }
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 101; ++i) many += "x: y\r\n";
  EXPECT_EQ(parse(many + "\r\n").error().code, Errc::TooLarge);
  EXPECT_EQ(parse("GET /" + std::string(70'000, 'a')).error().code, Errc::TooLarge);
}

// RFC 9112 §6.1.
TEST(Request, CodingsThatNobodyKnowsHereAreNotImplemented) {
  for (const char* coding :
       {"gzip, chunked", "xchunked", "identity", "gzip", "gzip;a=b, chunked"}) {
    const auto parsed =
        parse(concat("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ", coding, "\r\n\r\n"));
    ASSERT_FALSE(parsed) << coding;
    EXPECT_EQ(parsed.error().code, Errc::Unsupported) << coding;
  }
}

TEST(Request, AHostIsNeededUnlessTheTargetHasOne) {
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost:\r\n\r\n"));
  EXPECT_TRUE(parse("GET http://a/ HTTP/1.1\r\n\r\n"));
  for (const char* host :
       {"a", "a.", "a:", "a:80", "[::1]", "[::1]:80", "A_b-c", "\xC3\xA4.example"})
    EXPECT_TRUE(parse(concat("GET / HTTP/1.1\r\nHost: ", host, "\r\n\r\n"))) << host;
}

http::Request head(std::string_view method, http::TargetForm form, std::string_view path,
                   std::string_view authority = "a") {
  http::Request request;
  request.method = method;
  request.form = form;
  request.path = path;
  request.authority = authority;
  return request;
}

// What comes another way than by the parser must not be able to say more than what it takes.
TEST(Request, WhatIsWrittenMustReadBackAsTheSame) {
  using Form = http::TargetForm;
  EXPECT_TRUE(check_request(head("GET", Form::Origin, "/a?b")));
  EXPECT_TRUE(check_request(head("get", Form::Origin, "/")));
  EXPECT_TRUE(check_request(head("OPTIONS", Form::Asterisk, "*")));
  EXPECT_TRUE(check_request(head("GET", Form::Absolute, "/x", "a:80")));
  http::Request connect = head("CONNECT", Form::Authority, "", "a:80");
  EXPECT_FALSE(check_request(connect));
  connect.wants_upgrade = true;
  EXPECT_TRUE(check_request(connect));
  for (const http::Request& request :
       {head("CONNECT", Form::Origin, "/"), head("CONNECT", Form::Origin, ""),
        head("CONNECT", Form::Absolute, "/"), head("GET", Form::Authority, "", "a:80")})
    EXPECT_FALSE(check_request(request));
  for (const char* method : {"", "G T", "GET\r\nX:"})
    EXPECT_FALSE(check_request(head(method, Form::Origin, "/"))) << method;
  for (const char* path : {"", "a", "*", "http://a/", "/a b", "/\r\n", "/#", "#"}) {
    EXPECT_FALSE(check_request(head("GET", Form::Origin, path))) << path;
    EXPECT_FALSE(check_request(head("GET", Form::Absolute, path))) << path;
  }
  for (const char* host : {"a/b", "a b", "a:b", "a@b", "a,b"})
    EXPECT_FALSE(check_request(head("GET", Form::Origin, "/", host))) << host;
  EXPECT_FALSE(check_request(head("GET", Form::Absolute, "/", "")));
  http::Request schemed = head("GET", Form::Absolute, "/", "a");
  for (const char* scheme : {"", "http", "HTTPS"}) {
    schemed.scheme = scheme;
    EXPECT_TRUE(check_request(schemed)) << scheme;
  }
  for (const char* scheme : {"a+b", "ftp", "file", "httpx", "http "}) {
    schemed.scheme = scheme;
    EXPECT_FALSE(check_request(schemed)) << scheme;
    EXPECT_FALSE(parse(concat("GET ", scheme, "://a/ HTTP/1.1\r\nHost: a\r\n\r\n"))) << scheme;
  }
  http::Request two = head("GET", Form::Origin, "/");
  two.headers.add("host", "a");
  EXPECT_TRUE(check_request(two));
  two.headers.add("Host", "a");
  EXPECT_FALSE(check_request(two));
}

// RFC 9112 §3.2.2.
TEST(Request, HostIsMadeFromTheTarget) {
  const auto settled = [](std::string_view target, std::string_view host) {
    auto parsed = parse(concat("GET ", target, " HTTP/1.1\r\nX: 1\r\nHost: ", host, "\r\n\r\n"));
    EXPECT_TRUE(parsed && *parsed) << target;
    if (!parsed || !*parsed) return std::string();
    EXPECT_TRUE(settle_host((*parsed)->request));
    return std::string(*(*parsed)->request.headers.get("host"));
  };
  EXPECT_EQ(settled("http://public.example/", "admin.example"), "public.example");
  EXPECT_EQ(settled("http://public.example:81/", "public.example"), "public.example:81");
  EXPECT_EQ(settled("http://public.example/", ""), "public.example");
  EXPECT_EQ(settled("http://public.example:80/", "Public.Example."), "Public.Example.");
  EXPECT_EQ(settled("/", "admin.example"), "admin.example");
  http::Request nameless = head("GET", http::TargetForm::Origin, "/", "");
  EXPECT_FALSE(settle_host(nameless));
  nameless.version = http::Version::Http10;
  EXPECT_TRUE(settle_host(nameless));
  http::Request two = head("GET", http::TargetForm::Origin, "/");
  two.headers.add("host", "a");
  two.headers.add("host", "a");
  EXPECT_FALSE(settle_host(two));
}

TEST(Request, KnowsTheFormsOfATarget) {
  const auto absolute = parse("GET http://other:81/x HTTP/1.1\r\nHost: web\r\n\r\n");
  ASSERT_TRUE(absolute && *absolute);
  EXPECT_EQ((*absolute)->request.form, http::TargetForm::Absolute);
  EXPECT_EQ((*absolute)->request.authority, "other:81");
  EXPECT_EQ((*absolute)->request.headers.get("host"), "web");
  const auto connect = parse("CONNECT a:80 HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(connect && *connect);
  EXPECT_TRUE((*connect)->request.wants_upgrade);
  const auto options = parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(options && *options);
  const auto upgrade =
      parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_TRUE((*upgrade)->request.wants_upgrade);
  const auto h2c = parse(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
      "h2c\r\nHTTP2-Settings: "
      "x\r\n\r\n");
  EXPECT_FALSE((*h2c)->request.wants_upgrade);
  http::HeaderMap headers = (*h2c)->request.headers;
  strip_hop_headers(headers, false);
  EXPECT_EQ(headers.size(), 1U);  // Host
  EXPECT_TRUE(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n"));
}

std::string decode_all(std::string_view wire, std::size_t slice, Result<void>* outcome,
                       http::HeaderMap* trailers) {
  BodyDecoder decoder(Framing::Chunked, 0, {});
  std::string body;
  Bytes left = as_bytes(wire);
  *outcome = Result<void>{};
  while (!left.empty() && !decoder.done()) {
    Bytes piece = left.first(std::min(slice, left.size()));
    const std::size_t all = piece.size();
    while (!piece.empty() && !decoder.done()) {
      const auto step = decoder.decode(piece);
      if (!step) {
        *outcome = step.error();
        return body;
      }
      body += as_text(step->data);
      piece = piece.subspan(step->used);
    }
    left = left.subspan(all - piece.size());
  }
  if (!decoder.done()) *outcome = decoder.end();
  *trailers = decoder.trailers();
  return body;
}

TEST(Chunked, DecodesWhateverTheSplit) {
  const std::string wire = "5;ext=1\r\nhello\r\n00006\r\n world\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\n";
  for (std::size_t slice = 1; slice <= wire.size(); ++slice) {
    Result<void> outcome;
    http::HeaderMap trailers;
    EXPECT_EQ(decode_all(wire, slice, &outcome, &trailers), "hello world") << slice;
    EXPECT_TRUE(outcome);
    EXPECT_EQ(trailers.get("y"), "2");
  }
  for (const char* bad :
       {"5\r\nhelloX\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "-1\r\n", "g\r\n", "\r\n",
        "5 \r\nhello\r\n", "ffffffffffffffffff\r\n", "0\r\nbad name: x\r\n\r\n", "5\r\nhel"}) {
    Result<void> outcome;
    http::HeaderMap trailers;
    decode_all(bad, 100, &outcome, &trailers);
    EXPECT_FALSE(outcome) << bad;
  }
}

// Sizes that another parser may read as another number, and lines that it may end elsewhere.
TEST(Chunked, RefusesSizesThatCouldBeReadTwoWays) {
  for (const char* size :
       {"+5", "0x5", "0X5", " 5", "5 ", "5\t", "5_0", "5,5", "0005g", "1 5", "5\x0b",
        "\xef\xbb\xbf"
        "5",
        "5;a\x01", "5;\x7f", "10000000000000005", "fffffffffffffffb"}) {
    Result<void> outcome;
    http::HeaderMap trailers;
    EXPECT_EQ(decode_all(std::string(size) + "\r\nhello\r\n0\r\n\r\n", 100, &outcome, &trailers),
              "")
        << size;
    EXPECT_FALSE(outcome) << size;
    EXPECT_EQ(outcome.error().code, Errc::Invalid) << size;
  }
  for (const char* wire :
       {"5\r\nhello\n0\r\n\r\n",                      // a bare LF after the data
        "5;a\nGET / HTTP/1.1\r\nhello\r\n0\r\n\r\n",  // … and in an extension
        "5;a\rb\r\nhello\r\n0\r\n\r\n", "4\r\nhello\r\n0\r\n\r\n", "6\r\nhello\r\n0\r\n\r\n",
        "0\r\nX: a\n\r\n\r\n",
        "0\r\nX: a\r\n b\r\n\r\n",  // obs-fold among trailers
        "0\r\nX : a\r\n\r\n", "0\r\nX: a\x01\r\n\r\n", "0\r\nno colon\r\n\r\n"}) {
    for (const std::size_t slice : {std::size_t{1}, std::size_t{100}}) {
      Result<void> outcome;
      http::HeaderMap trailers;
      decode_all(wire, slice, &outcome, &trailers);
      EXPECT_FALSE(outcome) << wire;
    }
  }
  Result<void> outcome;
  http::HeaderMap trailers;
  decode_all("5;" + std::string(2000, 'x') + "\r\nhello\r\n0\r\n\r\n", 100, &outcome, &trailers);
  EXPECT_FALSE(outcome);
  decode_all("0\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n", 100, &outcome, &trailers);
  EXPECT_EQ(outcome.error().code, Errc::TooLarge);
}

// An encoder that leaves framing and routing fields out of trailers keeps the next hop from being
// fooled by them.
TEST(Chunked, TrailersCarryNoFraming) {
  http::HeaderMap trailers;
  for (const char* name :
       {"Content-Length", "transfer-encoding", "Host", "X-Kept", "L5D_client-id"})
    trailers.add(name, "1");
  ByteQueue out;
  encode_last_chunk(trailers, out);
  EXPECT_EQ(as_text(out.data()), "0\r\nX-Kept: 1\r\n\r\n");
}

TEST(Response, RefusesWhatCouldBeReadTwoWays) {
  const auto parse_it = [](std::string_view text, std::string_view method = "GET") {
    std::size_t searched = 0;
    std::size_t consumed = 0;
    return parse_response(as_bytes(text), {}, method, searched, consumed);
  };
  for (const char* head : {"HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\n\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 1,2\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity, gzip\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: br, chunked\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: \r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n",
                           "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0b"
                           "chunked\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nX: a\x01\r\n\r\n",
                           "HTTP/1.1 200 O\x01K\r\n\r\n",
                           "HTTP/1.1 20 OK\r\n\r\n",
                           "HTTP/1.1 2000 OK\r\n\r\n",
                           "HTTP/1.1  200 OK\r\n\r\n",
                           "HTTP/2.0 200 OK\r\n\r\n",
                           "HTTP/1.1 099 OK\r\n\r\n",
                           "HTTP/1.1 +20 OK\r\n\r\n"}) {
    const auto parsed = parse_it(head);
    EXPECT_FALSE(parsed) << head;
    if (!parsed) {
      EXPECT_EQ(parsed.error().code, Errc::Invalid) << head;
    }
  }
  // What has no body by definition has none, whatever its fields say.
  for (const char* head : {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
                           "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
                           "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n"}) {
    const auto parsed = parse_it(head);
    ASSERT_TRUE(parsed && *parsed) << head;
    EXPECT_EQ((*parsed)->framing, Framing::None) << head;
  }
  const auto head = parse_it("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD");
  ASSERT_TRUE(head && *head);
  EXPECT_EQ((*head)->framing, Framing::None);
}

// Applications get framing wrong in ways that leave one reading only.
TEST(Response, TakesWhatCanBeReadInOneWayOnly) {
  struct Case {
    const char* fields;
    Framing framing;
    std::vector<std::pair<std::string, std::string>> left;
    bool keep_alive;
  };
  const std::pair<std::string, std::string> chunked = {"transfer-encoding", "chunked"};
  for (const Case& c : {
           Case{"Transfer-Encoding: Chunked\r\n",
                Framing::Chunked,
                {{"Transfer-Encoding", "Chunked"}},
                true},
           Case{"Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                Framing::Chunked,
                {chunked},
                false},
           Case{"Transfer-Encoding: chunked, chunked\r\n", Framing::Chunked, {chunked}, false},
           Case{"Transfer-Encoding: identity, chunked\r\n", Framing::Chunked, {chunked}, false},
           Case{"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                Framing::Chunked,
                {chunked},
                false},
           Case{"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                Framing::Chunked,
                {chunked},
                false},
           Case{"Transfer-Encoding: gzip, chunked\r\n",
                Framing::Chunked,
                {chunked, {"content-encoding", "gzip"}},
                false},
           Case{"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
                Framing::Chunked,
                {chunked, {"content-encoding", "gzip"}},
                false},
           Case{"Transfer-Encoding: identity\r\nContent-Length: 3\r\n",
                Framing::Length,
                {{"Content-Length", "3"}},
                false},
           Case{"Transfer-Encoding: identity\r\n", Framing::UntilClose, {}, false},
       }) {
    const std::string text = std::string("HTTP/1.1 200 OK\r\n") + c.fields + "\r\n";
    std::size_t searched = 0;
    std::size_t consumed = 0;
    const auto parsed = parse_response(as_bytes(text), {}, "GET", searched, consumed);
    ASSERT_TRUE(parsed && *parsed) << text;
    EXPECT_EQ((*parsed)->framing, c.framing) << text;
    EXPECT_EQ((*parsed)->keep_alive, c.keep_alive) << text;
    std::vector<std::pair<std::string, std::string>> left;
    for (const auto field : (*parsed)->response.headers) left.emplace_back(field.name, field.value);
    EXPECT_EQ(left, c.left) << text;
  }
}

TEST(Detect, DecidesAsEarlyAsItCan) {
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (std::size_t n = 0; n < 14; ++n)
    EXPECT_EQ(detect(as_bytes(preface).first(n)), Detected::NeedMore) << n;
  EXPECT_EQ(detect(as_bytes(preface)), Detected::Http2);
  const std::string request = "GET /path HTTP/1.1\r\n";
  for (std::size_t n = 0; n < 17; ++n)
    EXPECT_EQ(detect(as_bytes(request).first(n)), Detected::NeedMore) << n;
  EXPECT_EQ(detect(as_bytes(request)), Detected::Http1);
  for (const char* other : {"\x16\x03\x01", "*1\r\n$4\r\nPING\r\n", "SSH-2.0-x\r\n", "{\"a\"",
                            "GET\r\n", "A B\r\n", "PRI * HTTP/3.0\r\n"}) {
    EXPECT_EQ(detect(as_bytes(std::string_view(other))), Detected::NotHttp) << other;
  }
  EXPECT_EQ(detect(as_bytes("\x00")), Detected::NeedMore);  // an empty literal: nothing came yet
}

}  // namespace
}  // namespace tulle::http1
