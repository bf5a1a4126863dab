// SPDX-License-Identifier: Apache-2.0
#include "lib/http1/detect.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tulle::http1 {
namespace {

using Grammar = FirstLine::Grammar;

Detected in_pieces(std::string_view text, Grammar grammar = Grammar::Usual) {
  FirstLine line(grammar);
  for (const char& c : text) line.feed(as_bytes({&c, 1}));
  return line.seen();
}
bool hopeful(std::string_view text) {
  FirstLine line;
  line.feed(as_bytes(text));
  return line.looks_like_a_request();
}

// Whatever some server would serve, however it is spelled.
const std::vector<std::string>& served() {
  static const std::vector<std::string> all = {
      "GET / HTTP/1.1\r\n",
      "\r\n\r\nGET / HTTP/1.1\r\n",
      "\nGET / HTTP/1.1\r\n",
      "\r\r\n\n\rGET / HTTP/1.1\n",
      std::string(6000, '\n') + "GET / HTTP/1.0\n",
      std::string(20'000, '\n') + "GET / HTTP/1.0\n",
      "GET / HTTP/1.1\n",
      "GET  /  HTTP/1.1\n",
      "GET\t/\tHTTP/1.1\r\n",
      "GET \v/\f HTTP/1.1\r\n",
      "GET\r/\rHTTP/1.1\n",
      "GET /a b HTTP/1.1\r\n",
      "GET /\xC3\xA9 HTTP/1.1\r\n",
      "GET / http/1.1\r\n",
      "GET / HTTP/1\r\n",
      "GET / HTTP/2.0\r\n",
      "GET / HTTP/0.9\r\n",
      "GET admin HTTP/1.1\r\n",
      "get / HTTP/1.1\r\n",
      "X-ODD!~ /x HTTP/1.1\r\n",
      "GET /\r\n",
      "GET /index.html\n",
      "GET http://a/\r\n",
      "DELETE /a\n",
      "PRI * HTTP/1.1\r\n",
      "CONNECT a:443 HTTP/1.1\r\n",
      "OPTIONS * HTTP/1.1\r\n",
      "GET /x RTSP/1.0\r\n",
      "GET /x FOO\r\n",
      "GET /x HTTQ/1.1\r\n",
      "GET /x a b\n",
      "POST http://a/ ICE/1.0\r\n",
      "GET /" + std::string(7990, 'a') + " HTTP/1.1\r\n",
      "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\n",
      "FROB /" + std::string(20'000, 'a') + " HTTP/1.1\r\n",
      "GET " + std::string(20'000, ' ') + "/ HTTP/1.1\r\n",
  };
  return all;
}

TEST(FirstLine, WhatAServerWouldServeIsHttpInAnyPieces) {
  for (const std::string& text : served()) {
    EXPECT_EQ(detect(as_bytes(text)), Detected::Http1) << text.substr(0, 60);
    EXPECT_EQ(in_pieces(text), Detected::Http1) << text.substr(0, 60);
    EXPECT_EQ(in_pieces(text, Grammar::Anybody), Detected::Http1) << text.substr(0, 60);
  }
}

TEST(FirstLine, WhatNoRequestLineHoldsDecidesAtOnce) {
  struct Case {
    std::string text;
    std::size_t decides;  // at this byte
  };
  const std::vector<Case> cases = {
      {std::string("0032git-upload-pack /p.git\0host=a\0", 34), 27},
      {std::string("GET /\0 HTTP/1.1\r\n", 17), 6},
      {"GET /\x7F", 6},
      {std::string("\0", 1), 1},
      {"\x16\x03\x01", 1},
      {"{\"a\"", 1},
      {" ", 1},
      {"A B\r\n", 5},
      {"EHLO example.com\r\n", 18},
      {"GET key\r\n", 9},
      {"get /key\r\n", 10},
      {"PING\r\n", 6},
      {"GET \r\n", 6},
      {"SET key value\r\n", 9},
      {"OPTIONS sip:a@b SIP/2.0\r\n", 17},
      {"OPTIONS * RTSP/1.0\r\n", 20},
      {"SET /key value\r\n", 16},
      {"OPTIONS rtsp://a/b RTSP/1.0\r\n", 29},
      {"PRI * HTTP/3.0\r\n", 14},
      {"PRI * HTTP/2.1\r\n", 14},
      {"PRI  * HTTP/2.0\r\n", 15},
      {std::string(40, 'A'), 33},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(detect(as_bytes(c.text).first(c.decides - 1)), Detected::NeedMore) << c.text;
    EXPECT_EQ(detect(as_bytes(c.text).first(c.decides)), Detected::NotHttp) << c.text;
    EXPECT_EQ(in_pieces(c.text), Detected::NotHttp) << c.text;
  }
  // A long line that has not begun as requests do.
  EXPECT_EQ(detect(as_bytes("SET key " + std::string(9000, 'v'))), Detected::NotHttp);
  EXPECT_EQ(detect(as_bytes("SET " + std::string(9000, 'k'))), Detected::NotHttp);
}

TEST(FirstLine, APreface) {
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  EXPECT_EQ(in_pieces(preface), Detected::Http2);
  EXPECT_EQ(detect(as_bytes(preface).first(13)), Detected::NeedMore);
  EXPECT_EQ(detect(as_bytes(preface).first(14)), Detected::Http2);
}

TEST(FirstLine, KnowsWhatIsWorthToWaitFor) {
  for (const char* yes : {"G", "GET", "GET ", "GET k", "\r\nGET /", "POST /a", "X-ODD /a", "X *",
                          "X http://a", "PRI * HTTP/2", "GET / HT", "GET /a b", "OPTIONS"}) {
    EXPECT_TRUE(hopeful(yes)) << yes;
  }
  for (const char* no : {"", "\r\n", "a", "hello", "ruok", "QUIT", "PING\r", "SET k", "hello wor",
                         "GETX", "get", "GET / HTTP/1.1"}) {
    EXPECT_FALSE(hopeful(no)) << no;
  }
}

// A few servers take blanks before the method and methods of any length.
TEST(FirstLine, TheWidestGrammarTakesMore) {
  for (const std::string& odd :
       {std::string(" GET / HTTP/1.1\r\n"), std::string("\t\nGET / HTTP/1.1\r\n"),
        std::string(50'000, 'A') + " / HTTP/1.1\r\n", std::string("GET \xE9 HTTP/1.1\r\n"),
        std::string("X a b HTTP/1.1\r\n")}) {
    EXPECT_EQ(in_pieces(odd, Grammar::Anybody), Detected::Http1) << odd.substr(0, 60);
    EXPECT_EQ(detect(as_bytes(odd)), Detected::NotHttp) << odd.substr(0, 60);
  }
}

}  // namespace
}  // namespace tulle::http1
