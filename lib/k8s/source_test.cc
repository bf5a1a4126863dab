// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/k8s/json_source.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::k8s {
namespace {

// All documents as one line: "{ a 1:int }" with "|" between documents and "!reason" for Bad.
std::string dump(TokenSource& source) {
  std::string out;
  while (source.next_document()) {
    if (!out.empty()) out += " |";
    for (;;) {
      const Token token = source.next();
      if (token.kind == Token::Kind::End) break;
      if (!out.empty()) out += ' ';
      switch (token.kind) {
        case Token::Kind::MapBegin: out += '{'; break;
        case Token::Kind::MapEnd: out += '}'; break;
        case Token::Kind::ListBegin: out += '['; break;
        case Token::Kind::ListEnd: out += ']'; break;
        default: out += token.text;
      }
      if (token.kind == Token::Kind::Bad) return out + "!";
      if (token.kind == Token::Kind::Scalar && token.type != Token::Type::String) {
        out += token.type == Token::Type::Int    ? ":int"
               : token.type == Token::Type::Bool ? ":bool"
               : token.type == Token::Type::Null ? ":null"
                                                 : ":float";
      }
    }
  }
  return out;
}
std::string yaml(std::string_view text) {
  YamlSource source(text);
  return dump(source);
}
std::string json(std::string_view text) {
  JsonSource source(text);
  return dump(source);
}

// As kubectl reads them: what is written into a cluster and what a folder holds is one number.
TEST(YamlSource, WholeNumbersAreThoseOfKubectl) {
  EXPECT_EQ(
      yaml("[0120, 0o17, 0x1F, 0b101, 1_000, +8, -010, 09, 0, 00, -0, 4191]"),
      "[ 80:int 15:int 31:int 5:int 1000:int 8:int -8:int 9:int 0:int 0:int -0:int 4191:int ]");
  EXPECT_EQ(yaml("[\"0120\", '0x1F', !!str 0120, &a 010, *a]"), "[ 0120 0x1F 0120 8:int 8:int ]");
}

TEST(YamlSource, GivesTypedTokens) {
  EXPECT_EQ(yaml("a: 1\nb: [x, 'y', 1.5]\nc: {d: null}\ne: yes\n"),
            "{ a 1:int b [ x y 1.5:float ] c { d null:null } e yes:bool }");
  EXPECT_EQ(yaml("---\na: b\n---\n---\nc: d\n"), "{ a b } | :null | { c d }");
  EXPECT_EQ(yaml(""), "");
  EXPECT_EQ(yaml("# only a comment\n"), "");
}

TEST(YamlSource, KnowsThePlainTypes) {
  using Type = Token::Type;
  for (const auto text : {"0", "-1", "+7", "0x1F", "0o17", "0b11", "1_000", "0777"}) {
    EXPECT_EQ(plain_type(text), Type::Int) << text;
  }
  for (const auto text : {"1.5", ".5", "1.", "1e3", "1E-3", ".inf", "-.inf", ".nan"}) {
    EXPECT_EQ(plain_type(text), Type::Float) << text;
  }
  for (const auto text : {"10.0.0.1", "1.2.3", "abc", "0x", "-", "+", ".", "1e", "e3", "8080-8090",
                          "_1", "2026-11-24T12:00:00Z", "None", "nullx", "10.0.0.0/8"}) {
    EXPECT_EQ(plain_type(text), Type::String) << text;
  }
  for (const auto text : {"true", "False", "YES", "off", "n"}) {
    EXPECT_EQ(plain_type(text), Type::Bool) << text;
  }
  for (const auto text : {"", "~", "null", "NULL"}) EXPECT_EQ(plain_type(text), Type::Null) << text;
}

TEST(YamlSource, RepeatsAnchors) {
  EXPECT_EQ(yaml("a: &x {k: [1]}\nb: *x\nc: *x\n"),
            "{ a { k [ 1:int ] } b { k [ 1:int ] } c { k [ 1:int ] } }");
  EXPECT_EQ(yaml("a: &x v\nb: &y [*x, *x]\nc: *y\n"), "{ a v b [ v v ] c [ v v ] }");
  // The last definition before the alias counts.
  EXPECT_EQ(yaml("a: &x 1\nb: &x 2\nc: *x\n"), "{ a 1:int b 2:int c 2:int }");
}

TEST(YamlSource, RefusesAliasesThatAreNotThere) {
  EXPECT_EQ(yaml("a: *x\n"), "{ a alias *x has no anchor before it!");
  EXPECT_EQ(yaml("a: &x [*x]\n"), "{ a [ alias *x has no anchor before it!");
  // Anchors end with their document.
  EXPECT_EQ(yaml("a: &x 1\n---\nb: *x\n"), "{ a 1:int } | { b alias *x has no anchor before it!");
}

TEST(YamlSource, BoundsWhatAliasesMultiply) {
  std::string bomb = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string name = "l" + std::to_string(i), before = "*l" + std::to_string(i - 1);
    bomb += name + ": &" + name + " [";
    for (int k = 0; k < 10; ++k) bomb += (k == 0 ? "" : ", ") + before;
    bomb += "]\n";
  }
  YamlSource source(bomb);
  ASSERT_TRUE(source.next_document());
  Token token;
  std::size_t tokens = 0;
  do {
    token = source.next();
    ASSERT_LT(++tokens, 100'000U);
  } while (token.kind != Token::Kind::Bad && token.kind != Token::Kind::End);
  EXPECT_EQ(token.kind, Token::Kind::Bad);
}

TEST(YamlSource, WritesMergeKeysOut) {
  EXPECT_EQ(yaml("a: &x {k: 1, l: [2]}\nb:\n  <<: *x\n  m: 3\n"),
            "{ a { k 1:int l [ 2:int ] } b { m 3:int k 1:int l [ 2:int ] } }");
  // What the map has itself stays, before and after the merge key.
  EXPECT_EQ(yaml("a: &x {k: 1, l: 2, m: 3}\nb: {k: 4, <<: *x, m: 5}\n"),
            "{ a { k 1:int l 2:int m 3:int } b { k 4:int m 5:int l 2:int } }");
  // Of several maps the first has it.
  EXPECT_EQ(yaml("a: [&x {k: 1}, &y {k: 2, l: 3}]\nb: {<<: [*x, *y]}\n"),
            "{ a [ { k 1:int } { k 2:int l 3:int } ] b { k 1:int l 3:int } }");
  EXPECT_EQ(yaml("a: {<<: {k: 1}, <<: {k: 2, l: {m: 3}}, o: {}}\n"),
            "{ a { o { } k 1:int l { m 3:int } } }");
  EXPECT_EQ(yaml("- {<<: ~, k: 1}\n- {<<: [], k: 2}\n- {<<: {}}\n"),
            "[ { k 1:int } { k 2:int } { } ]");
}

TEST(YamlSource, WritesMergeKeysOutAtEachDepth) {
  EXPECT_EQ(yaml("a: &x {k: 1}\nb: &y {<<: *x, l: {k: 2, <<: *x}}\nc: {<<: *y, k: 0}\n"),
            "{ a { k 1:int } b { l { k 2:int } k 1:int } c { k 0:int l { k 2:int } } }");
  EXPECT_EQ(yaml("a: {<<: {<<: {k: 1}, k: 2, l: [{<<: {m: 3}}]}}\nb: c\n"),
            "{ a { k 2:int l [ { m 3:int } ] } b c }");
  EXPECT_EQ(yaml("a: {<<: &x {k: 1}}\nb: *x\n---\n{<<: {k: 2}, l: 3}\n"),
            "{ a { k 1:int } b { k 1:int } } | { l 3:int k 2:int }");
}

TEST(YamlSource, TellsMergeKeysFromOthers) {
  EXPECT_EQ(yaml("'<<': {a: 1}\n"), "{ << { a 1:int } }");
  EXPECT_EQ(yaml("a: <<\nb: [<<]\n"), "{ a << b [ << ] }");
  EXPECT_EQ(yaml("a: &x {'<<': 1}\nb: {<<: *x}\n"), "{ a { << 1:int } b { << 1:int } }");
  for (const char* wrong : {"<<: text\n", "<<: [{a: 1}, text]\n", "<<: [[{a: 1}]]\n"}) {
    EXPECT_EQ(yaml(wrong), "{ << must refer to maps!") << wrong;
  }
  EXPECT_EQ(yaml("<<: {[a]: b}\n"), "{ a key must be text!");
  EXPECT_EQ(yaml("<<: *x\n"), "{ alias *x has no anchor before it!");
}

TEST(YamlSource, BoundsWhatMergeKeysMultiply) {
  std::string bomb = "l0: &l0 {k: [x, x, x, x, x, x, x, x, x, x]}\n";
  for (int i = 1; i < 40; ++i) {
    const std::string name = "l" + std::to_string(i), before = "*l" + std::to_string(i - 1);
    bomb += name + ": &" + name + " {<<: " + before + ", k" + name + ": " + before + "}\n";
  }
  YamlSource source(bomb);
  ASSERT_TRUE(source.next_document());
  Token token;
  std::size_t tokens = 0;
  do {
    token = source.next();
    ASSERT_LT(++tokens, 200'000U);
  } while (token.kind != Token::Kind::Bad && token.kind != Token::Kind::End);
  EXPECT_EQ(token.kind, Token::Kind::Bad);
  EXPECT_EQ(source.next().kind, Token::Kind::Bad);
}

TEST(YamlSource, BoundsDepth) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  EXPECT_TRUE(yaml(deep).ends_with("nested deeper than 64 levels!"));
  const std::string fine = std::string(64, '[') + std::string(64, ']');
  EXPECT_FALSE(yaml(fine).ends_with("!"));
}

TEST(YamlSource, SaysWhereTheSyntaxBreaks) {
  YamlSource source("a: 1\nb: [\nc: }\n");
  ASSERT_TRUE(source.next_document());
  Token token = source.next();
  while (token.kind != Token::Kind::Bad) token = source.next();
  EXPECT_EQ(token.line, 3U);
  EXPECT_TRUE(std::string_view(token.text).starts_with("not valid YAML: ")) << token.text;
  EXPECT_FALSE(source.next_document());
}

TEST(YamlSource, GoesOnAfterADocumentThatWasNotReadToItsEnd) {
  YamlSource source("a: [1, 2]\n---\nb: 2\n");
  ASSERT_TRUE(source.next_document());
  source.next();
  ASSERT_TRUE(source.next_document());
  source.next();
  EXPECT_EQ(source.next().text, "b");
}

TEST(YamlSource, RefusesTags) {
  EXPECT_TRUE(yaml("a: !!binary aGk=\n").ends_with("!"));
  EXPECT_EQ(yaml("a: !!str 1\n"), "{ a 1 }");
}

TEST(JsonSource, GivesTypedTokens) {
  EXPECT_EQ(json(R"({"a":1,"b":["x",-2.5,true,null],"c":{}})"),
            "{ a 1:int b [ x -2.5:float true:bool null:null ] c { } }");
  EXPECT_EQ(json("{\"a\":1}\n{\"b\":2} [3]"), "{ a 1:int } | { b 2:int } | [ 3:int ]");
  EXPECT_EQ(json(" \n "), "");
  EXPECT_EQ(json(R"("é\n")"), "\xc3\xa9\n");
}

TEST(JsonSource, RefusesWhatIsNotJson) {
  for (const std::string_view text : {"{", "[1,]", "{\"a\":}", "{a:1}", "nul", "\"\x01\"",
                                      "\"\xff\"", "[1 2]", "{\"a\" 1}", "'a'"}) {
    EXPECT_TRUE(json(text).ends_with("!")) << text << ": " << json(text);
  }
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  EXPECT_TRUE(json(deep).ends_with("nested deeper than 64 levels!"));
}

TEST(JsonSource, CountsLines) {
  JsonSource source("{\n\"a\": 1,\n\"b\": x}");
  ASSERT_TRUE(source.next_document());
  Token token = source.next();
  while (token.kind != Token::Kind::Bad) token = source.next();
  EXPECT_EQ(token.line, 3U);
}

}  // namespace
}  // namespace tulle::k8s
