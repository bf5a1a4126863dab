// SPDX-License-Identifier: Apache-2.0
#include "lib/inject/value.h"

#include <gtest/gtest.h>

#include "lib/inject/patch.h"

namespace tulle::inject {
namespace {

Value json(std::string_view text) {
  std::string problem;
  auto value = parse_json(text, problem);
  EXPECT_TRUE(value) << problem;
  return value.value_or(Value());
}

Value yaml(std::string_view text) {
  std::string problem;
  auto value = parse_yaml(text, problem);
  EXPECT_TRUE(value) << problem;
  return value.value_or(Value());
}

TEST(Value, KeepsOrderAndNumbersOfJson) {
  constexpr std::string_view kText =
      R"({"z":1,"a":[1.50,1e3,-0,123456789012345678901234567890],"m":{"t":true,"f":false,"n":null},"s":"a\"b\\\n\u0001é"})";
  EXPECT_EQ(
      json(kText).to_json(),
      R"({"z":1,"a":[1.50,1e3,-0,123456789012345678901234567890],"m":{"t":true,"f":false,"n":null},"s":"a\"b\\\n\u0001é"})");
}

TEST(Value, RefusesMembersThatOccurTwice) {
  std::string problem;
  EXPECT_FALSE(parse_json(R"({"a":{"b":1,"b":2}})", problem));
  EXPECT_NE(problem.find("twice"), std::string::npos) << problem;
  EXPECT_FALSE(parse_json("{} {}", problem));
  EXPECT_FALSE(parse_json("{", problem));
}

TEST(Value, GivesYamlTheTypesOfKubernetes) {
  const Value value = yaml(
      "octal: 0644\nhex: 0x1F\nunder: 1_000\nyes: on\ntext: \"8080\"\nversion: 1.10\nnothing: "
      "~\npoint: .5\nodd: 09\n");
  EXPECT_EQ(
      value.to_json(),
      R"({"octal":420,"hex":31,"under":1000,"yes":true,"text":"8080","version":1.10,"nothing":null,"point":0.5,"odd":9})");
}

TEST(Value, WritesYamlThatReadsBackTheSame) {
  const Value value = json(
      R"({"kind":"Pod","empty":{},"none":[],"list":[{"a":1,"b":["x","true","1","a: b","#c","",null,"2026-01-01","12:30","line\nline"]},[1,[2]]],"on":true,"-":"- a","k: y":"{x}"})");
  for (const std::size_t indent : {0U, 4U}) {
    const std::string text = value.to_yaml(indent);
    EXPECT_EQ(yaml(text), value) << text;
  }
  EXPECT_EQ(json(value.to_pretty_json()), value);
}

TEST(Value, ComparesMapsWithoutOrder) {
  EXPECT_EQ(json(R"({"a":1,"b":[1,2]})"), json(R"({"b":[1,2],"a":1})"));
  EXPECT_FALSE(json(R"({"a":[2,1]})") == json(R"({"a":[1,2]})"));
  EXPECT_FALSE(json(R"({"a":"1"})") == json(R"({"a":1})"));
}

TEST(Patch, AddsMembersAndItems) {
  Value value = json(R"({"a":{"x~/y":[1,2]}})");
  EXPECT_TRUE(apply_add(value, "/a/x~0~1y/1", "mid"));
  EXPECT_TRUE(apply_add(value, "/a/x~0~1y/-", "end"));
  EXPECT_TRUE(apply_add(value, "/b~1c", true));
  EXPECT_FALSE(apply_add(value, "/nowhere/b", true));
  EXPECT_FALSE(apply_add(value, "/a/x~0~1y/9", true));
  EXPECT_EQ(value.to_json(), R"({"a":{"x~/y":[1,"mid",2,"end"]},"b/c":true})");
  EXPECT_EQ(pointer_step("x~/y"), "x~0~1y");
}

}  // namespace
}  // namespace tulle::inject
