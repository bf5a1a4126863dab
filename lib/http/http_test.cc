// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "lib/base/text.h"
#include "lib/http/body.h"
#include "lib/http/header_map.h"
#include "lib/http/host.h"
#include "lib/http/message.h"
#include "lib/testing/sim.h"

namespace tulle::http {
namespace {

TEST(HeaderMap, KeepsOrderAndSpelling) {
  HeaderMap map;
  map.add("X-First", "1");
  map.add("host", "a");
  map.add("x-first", "2");
  EXPECT_EQ(map.get("X-FIRST"), "1");
  EXPECT_EQ(map[2].name, "x-first");
  EXPECT_EQ(map.list_size(), 7 + 1 + 4 + 1 + 7 + 1 + 3 * 32U);
  map.set("x-FIRST", "long value");
  EXPECT_EQ(map.size(), 2U);
  EXPECT_EQ(map[0].name, "X-First");
  EXPECT_EQ(map[0].value, "long value");
  EXPECT_EQ(map.remove("HOST"), 1U);
  EXPECT_FALSE(map.contains("host"));
}

TEST(HeaderMap, FieldsMayPointIntoTheMap) {
  HeaderMap map;
  map.add("a", "value");
  for (int i = 0; i < 500; ++i) map.add(map[0].name, map[0].value);
  EXPECT_EQ(map.size(), 501U);
  for (const auto field : map) EXPECT_EQ(field.value, "value");
  const HeaderMap copy(map);
  map.clear();
  EXPECT_EQ(copy[500].name, "a");
}

TEST(HeaderMap, FindsTokens) {
  HeaderMap map;
  map.add("Connection", "keep-alive, Upgrade");
  map.add("connection", "close");
  EXPECT_TRUE(map.has_token("connection", "upgrade"));
  EXPECT_TRUE(map.has_token("connection", "CLOSE"));
  EXPECT_FALSE(map.has_token("connection", "keep"));
}

struct Producer final : BodyProducer {
  void on_consumed(std::size_t n) override { consumed += n; }
  void on_abandoned() override { abandoned = true; }
  std::size_t consumed = 0;
  bool abandoned = false;
};

TEST(Body, GivesCreditBackAndEnds) {
  testing::SimLoop loop;
  Producer producer;
  auto [writer, reader] = make_body(loop);
  writer.set_producer(&producer);
  writer.write(as_bytes("hello"));
  EXPECT_TRUE(reader.ready());
  reader.consume(2);
  EXPECT_EQ(producer.consumed, 2U);
  EXPECT_EQ(writer.buffered(), 3U);
  HeaderMap trailers;
  trailers.add("grpc-status", "0");
  writer.finish(std::move(trailers));
  EXPECT_TRUE(reader.complete());
  EXPECT_FALSE(reader.ended());
  reader.consume(3);
  EXPECT_TRUE(reader.ended());
  EXPECT_EQ(reader.trailers().get("grpc-status"), "0");
}

TEST(Body, DroppedSidesAreHeardOf) {
  testing::SimLoop loop;
  Producer producer;
  auto [writer, reader] = make_body(loop);
  writer.set_producer(&producer);
  reader.reset();
  EXPECT_TRUE(producer.abandoned);
  EXPECT_TRUE(writer.abandoned());

  auto [writer2, reader2] = make_body(loop);
  { const BodyWriter gone = std::move(writer2); }
  ASSERT_NE(reader2.failure(), nullptr);
  EXPECT_EQ(reader2.failure()->code, Errc::Cancelled);
}

TEST(Message, ChecksNamesAndValues) {
  for (const char* safe : {"GET", "HEAD", "OPTIONS", "TRACE"}) {
    EXPECT_TRUE(is_safe(safe) && is_idempotent(safe)) << safe;
  }
  for (const char* not_safe : {"PUT", "DELETE"}) {
    EXPECT_TRUE(!is_safe(not_safe) && is_idempotent(not_safe)) << not_safe;
  }
  for (const char* neither : {"POST", "PATCH", "CONNECT", "get", ""}) {
    EXPECT_FALSE(is_safe(neither) || is_idempotent(neither)) << neither;
  }
  EXPECT_TRUE(is_token("X-Header_1"));
  for (const char* bad : {"", "a b", "a:", "a\r", "ü"}) EXPECT_FALSE(is_token(bad)) << bad;
  EXPECT_TRUE(is_field_value("any \t text ü"));
  EXPECT_FALSE(is_field_value("a\nb"));
  EXPECT_FALSE(is_field_value(std::string_view("a\0b", 3)));
  // Every byte at every place of values that are taken eight bytes at once.
  for (const std::size_t size : {1U, 7U, 8U, 9U, 16U, 19U}) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(size, byte % 2 == 0 ? '!' : '\xFF');
        text[at] = static_cast<char>(byte);
        EXPECT_EQ(is_field_value(text), (byte >= 0x20 && byte != 0x7F) || byte == '\t')
            << size << ' ' << at << ' ' << byte;
      }
    }
  }
}

TEST(Message, AuthoritiesAreAHostAndPerhapsAPort) {
  for (const char* good : {"", "a", "a.", "a.b:80", "a:", "10.0.0.1:8080", "[::1]", "[::1]:443",
                           "[fe80::1:2]:", "xn--bcher-kva.example", "b\xC3\xBC"})
    EXPECT_TRUE(is_authority(good)) << good;
  for (const char* bad :
       {":80",     "a:b",     "a:80:81", "a b",   "a#",      "a/",    "a?", "u@a",  "a,b",
        "a%2e",    "a\\b",    "a..",     "a..b",  "..",      "[",     "[]", "[::1", "[::1]a",
        "[::1]80", "[[::1]]", "a[::1]",  "[a/b]", "[a%25b]", "a\x7F", "a\t"})
    EXPECT_FALSE(is_authority(bad)) << bad;
}

TEST(Message, TargetsHaveNoBlanksControlsOrFragments) {
  for (const char* good : {"/", "/a?b=c", "*", "http://a/b", "/\xC3\xBC", "/%23", "/[]{}|"})
    EXPECT_TRUE(is_target(good)) << good;
  for (const char* bad : {"", "/ a", "/a#", "/\r", "/\n", "/\t", "/\x7F", "/\x01"})
    EXPECT_FALSE(is_target(bad)) << bad;
}

TEST(Host, SpellingsOfOneHostAreOne) {
  EXPECT_TRUE(same_host("Web.Shop", "web.shop.", ""));
  EXPECT_TRUE(same_host("web:80", "web", "http"));
  EXPECT_TRUE(same_host("web.:80", "WEB:", ""));
  EXPECT_TRUE(same_host("web:443", "web", "https"));
  EXPECT_TRUE(same_host("[::1]:80", "[::1]", ""));
  EXPECT_TRUE(same_host("", "", ""));
  for (const auto& [a, b] : {std::pair("web", "web2"),
                             {"web:80", "web:81"},
                             {"web", ""},
                             {"", "web"},
                             {"web:443", "web"},
                             {"web..", "web"},
                             {"[::1]", "[::2]"}})
    EXPECT_FALSE(same_host(a, b, "http")) << a << ' ' << b;
  EXPECT_FALSE(same_host("web:80", "web", "https"));
}

TEST(HeaderMap, LookAlikesAreTakenOut) {
  HeaderMap headers;
  for (const char* name : {"l5d-client-id", "L5D_Client_Id", "l5d.client-id", "x", "L5D-CLIENT~ID",
                           "l5d-client-ids", "l5dxclient-id"})
    headers.add(name, "1");
  remove_look_alikes(headers, "l5d-client-id");
  ASSERT_EQ(headers.size(), 3U);
  EXPECT_EQ(headers[0].name, "x");
  EXPECT_EQ(headers[1].name, "l5d-client-ids");
  EXPECT_EQ(headers[2].name, "l5dxclient-id");
}

TEST(HeaderMap, NamesAreSpelledAnewAndFieldsMoved) {
  HeaderMap headers;
  for (const std::string_view name : {"a", "content-type", "b", "c"}) headers.add(name, name);
  headers.respell(1, "Content-TYPE");
  EXPECT_EQ(headers[1].name, "Content-TYPE");
  EXPECT_EQ(headers[1].value, "content-type");
  const auto order = [&] {
    std::string text;
    for (const auto field : headers) text += field.value.substr(0, 2);
    return text;
  };
  headers.move(3, 0);
  EXPECT_EQ(order(), "cacob");
  headers.move(0, 2);
  EXPECT_EQ(order(), "acocb");
  headers.move(1, 1);
  EXPECT_EQ(order(), "acocb");
}

}  // namespace
}  // namespace tulle::http
