// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/json_split.h"

#include <gtest/gtest.h>

#include <vector>

#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/json_writer.h"

namespace tulle::k8s {
namespace {

struct Collect final : JsonSplitter::Sink {
  std::vector<std::string> values;
  void on_json(std::string_view json) override { values.emplace_back(json); }
};

struct Cut {
  std::vector<std::string> values;
  std::string envelope;
  Result<void> result;
  Result<void> finished;
};
Cut cut(JsonSplitter::Mode mode, std::string_view text, std::size_t slice) {
  JsonSplitter splitter(mode);
  Collect collect;
  Cut out;
  while (!text.empty() && out.result) {
    const std::size_t n = std::min(slice, text.size());
    out.result = splitter.feed(as_bytes(text.substr(0, n)), collect);
    text.remove_prefix(n);
  }
  out.finished = splitter.finish();
  out.values = std::move(collect.values);
  out.envelope = splitter.envelope();
  return out;
}
using Strings = std::vector<std::string>;

TEST(JsonSplitter, CutsDocumentsHoweverTheyCome) {
  const std::string text = R"({"type":"ADDED","object":{"a":"}\"]","b":[1,{"c":"\\"}]}})"
                           "\n  {}[\"[\"]\n";
  for (const std::size_t slice : {1U, 2U, 3U, 7U, 1000U}) {
    const Cut out = cut(JsonSplitter::Mode::Documents, text, slice);
    ASSERT_TRUE(out.result);
    EXPECT_TRUE(out.finished);
    EXPECT_EQ(out.values, (Strings{R"({"type":"ADDED","object":{"a":"}\"]","b":[1,{"c":"\\"}]}})",
                                   "{}", "[\"[\"]"}));
  }
}

TEST(JsonSplitter, TakesNothingAfterAnError) {
  for (const auto mode : {JsonSplitter::Mode::Documents, JsonSplitter::Mode::Items}) {
    JsonSplitter splitter(mode);
    Collect collect;
    EXPECT_FALSE(splitter.feed(as_bytes("ata\":{}}"), collect));
    EXPECT_FALSE(splitter.feed(as_bytes("{}"), collect));
    EXPECT_FALSE(splitter.finish());
    EXPECT_TRUE(collect.values.empty());
  }
}

TEST(JsonSplitter, CutsItemsAndKeepsTheRest) {
  // Members in the order of typed lists, and in that of custom resources; items nested in an item
  // and a text that looks like the member are neither.
  const std::string_view lists[] = {
      R"({"kind":"PodList","metadata":{"resourceVersion":"7","items":[1]},"items":[{"items":[{}],"x":"]"},{"b":2}]})",
      R"( {"x":"items","items" : [ {"items":[{}],"x":"]"} , {"b":2} ],"metadata":{"resourceVersion":"7"}} )"};
  for (const std::string_view text : lists) {
    for (const std::size_t slice : {1U, 5U, 1000U}) {
      const Cut out = cut(JsonSplitter::Mode::Items, text, slice);
      ASSERT_TRUE(out.result) << text;
      EXPECT_TRUE(out.finished);
      EXPECT_EQ(out.values, (Strings{R"({"items":[{}],"x":"]"})", R"({"b":2})"}));
      EXPECT_NE(out.envelope.find("\"resourceVersion\":\"7\""), std::string::npos);
      EXPECT_EQ(out.envelope.find("\"b\""), std::string::npos);
      JsonSource whole(out.envelope);
      ASSERT_TRUE(whole.next_document());
      Token token = whole.next();
      while (token.kind != Token::Kind::End && token.kind != Token::Kind::Bad) token = whole.next();
      EXPECT_EQ(token.kind, Token::Kind::End) << out.envelope;
    }
  }
}

TEST(JsonSplitter, AListMayHaveNoItems) {
  for (const std::string_view text : {R"({"items":[]})", R"({"items":null})", R"({})"}) {
    const Cut out = cut(JsonSplitter::Mode::Items, text, 1);
    EXPECT_TRUE(out.result && out.finished) << text;
    EXPECT_TRUE(out.values.empty());
  }
}

TEST(JsonSplitter, TellsWhatIsCutOffOrNoJson) {
  using Mode = JsonSplitter::Mode;
  for (const std::string_view text : {R"({"a":1)", R"({"a":")", R"([{)"}) {
    EXPECT_FALSE(cut(Mode::Documents, text, 1).finished) << text;
  }
  for (const std::string_view text :
       {R"({"items":[{},)", R"({"items":[{"a":1)", R"({"metadata":{})", ""}) {
    EXPECT_FALSE(cut(Mode::Items, text, 1).finished) << text;
  }
  for (const std::string_view text : {"HTTP/1.1 500", "}", "\x16\x03", "1"}) {
    EXPECT_FALSE(cut(Mode::Documents, text, 1).result) << text;
  }
  for (const std::string_view text :
       {R"([])", R"({"items":[1]})", R"({} {})", R"({"items":[[]]})"}) {
    EXPECT_FALSE(cut(Mode::Items, text, 1).result) << text;
  }
}

TEST(JsonSplitter, BoundsWhatItHolds) {
  JsonSplitter splitter(JsonSplitter::Mode::Documents);
  Collect collect;
  const std::string block(65536, 'x');
  Result<void> fed = splitter.feed(as_bytes("{\"a\":\""), collect);
  std::size_t total = 0;
  while (fed && total < 2 * JsonSplitter::kMaxValue) {
    fed = splitter.feed(as_bytes(block), collect);
    total += block.size();
  }
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, Errc::TooLarge);
  EXPECT_LE(splitter.held(), JsonSplitter::kMaxValue);
}

TEST(JsonSource, SkipsUnparsedWhatNobodyReads) {
  struct Small {
    std::string a;
    std::int32_t z = 0;
  };
  // Not JSON inside of what is skipped: only the brackets count.
  const std::string_view text = R"({"skip":{"x":[1 2,"\"}"]},"a":"v","list":[nope,[]],"z":3})";
  JsonSource source(text, JsonSource::Skipping::Unparsed);
  ASSERT_TRUE(source.next_document());
  Decoder decoder(source);
  std::string key, a;
  std::int32_t z = 0;
  ASSERT_TRUE(decoder.open(Token::Kind::MapBegin, "an object"));
  while (decoder.next_key(key)) {
    if (key == "a") {
      decoder.read(a);
    } else if (key == "z") {
      decoder.read(z);
    } else {
      decoder.skip();
    }
  }
  EXPECT_FALSE(decoder.failed()) << decoder.problem()->to_string();
  EXPECT_EQ(a, "v");
  EXPECT_EQ(z, 3);
  EXPECT_FALSE(source.next_document());
  for (const std::string_view cut_off :
       {R"({"skip":{"x":1)", R"({"skip":["]}"])", R"({"skip":{)"}) {
    JsonSource broken(cut_off, JsonSource::Skipping::Unparsed);
    ASSERT_TRUE(broken.next_document());
    Decoder reader(broken);
    reader.skip();
    EXPECT_TRUE(reader.failed()) << cut_off;
  }
}

TEST(JsonSource, GivesValuesRaw) {
  const std::string_view text = R"({"type":"ADDED", "object": {"a":[1,"}"]} ,"n":-1.5})";
  JsonSource source(text);
  ASSERT_TRUE(source.next_document());
  EXPECT_EQ(source.next().kind, Token::Kind::MapBegin);
  EXPECT_EQ(source.next().text, "type");
  EXPECT_EQ(source.take_raw(), "\"ADDED\"");
  EXPECT_EQ(source.next().text, "object");
  EXPECT_EQ(source.take_raw(), R"({"a":[1,"}"]})");
  EXPECT_EQ(source.next().text, "n");
  EXPECT_EQ(source.take_raw(), "-1.5");
  EXPECT_EQ(source.next().kind, Token::Kind::MapEnd);
  EXPECT_EQ(source.next().kind, Token::Kind::End);
}

TEST(JsonWriter, WritesWhatReadersTake) {
  JsonWriter json;
  json.object([&] {
    json.member("text", "a\"b\\c\n\x01\xc3\xa9");
    json.member("yes", true);
    json.member("n", -5);
    json.key("list");
    json.list([&] {
      json.value("x");
      json.object([] {});
      json.list([] {});
      json.raw("null");
    });
    json.member_unless_empty("none", "");
    json.member("last", std::string("z"));
  });
  EXPECT_EQ(json.text(),
            "{\"text\":\"a\\\"b\\\\c\\n\\u0001\xc3\xa9\",\"yes\":true,\"n\":-5,"
            "\"list\":[\"x\",{},[],null],\"last\":\"z\"}");
}

}  // namespace
}  // namespace tulle::k8s
