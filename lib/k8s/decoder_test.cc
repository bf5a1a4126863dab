// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/decoder.h"

#include <gtest/gtest.h>

#include "lib/k8s/json_source.h"
#include "lib/k8s/manifest.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::k8s {
namespace {

struct Inner {
  std::int32_t n = -1;
  std::vector<std::string> list;
};
struct Outer {
  std::string text;
  bool flag = false;
  std::optional<std::int32_t> maybe;
  std::vector<Inner> inner;
  StringMap map;
  IntOrString port;
  Time time;
  net::Cidr cidr;
};
template <typename V>
void describe(V& v, Inner& x) {
  v.field("n", x.n);
  v.field("list", x.list);
}
template <typename V>
void describe(V& v, Outer& x) {
  v.field("text", x.text);
  v.field("flag", x.flag);
  v.field("maybe", x.maybe);
  v.field("inner", x.inner);
  v.field("map", x.map);
  v.field("port", x.port);
  v.field("time", x.time);
  v.field("cidr", x.cidr);
}

std::string problem_in_yaml(std::string_view text) {
  YamlSource source(text);
  source.next_document();
  Outer outer;
  const auto problem = decode(source, outer);
  return problem ? problem->to_string() : "";
}

TEST(Decoder, ReadsYamlAndJsonAlike) {
  const std::string_view yaml = R"(
text: hello
unknown: {deep: [1, {x: y}]}
flag: true
inner:
- n: 7
  list: [a, b]
- {}
map: {b: "2", a: "1"}
port: http
time: 2026-11-24T12:00:00Z
cidr: 10.0.0.0/8
maybe: 3
)";
  const std::string_view json =
      R"({"text":"hello","unknown":{"deep":[1,{"x":"y"}]},"flag":true,"inner":[{"n":7,"list":["a","b"]},{}],
         "map":{"b":"2","a":"1"},"port":"http","time":"2026-11-24T12:00:00Z","cidr":"10.0.0.0/8","maybe":3})";
  YamlSource from_yaml(yaml);
  JsonSource from_json(json);
  for (TokenSource* const source :
       {static_cast<TokenSource*>(&from_yaml), static_cast<TokenSource*>(&from_json)}) {
    ASSERT_TRUE(source->next_document());
    Outer x;
    const auto problem = decode(*source, x);
    ASSERT_FALSE(problem) << problem->to_string();
    EXPECT_EQ(x.text, "hello");
    EXPECT_TRUE(x.flag);
    ASSERT_EQ(x.inner.size(), 2U);
    EXPECT_EQ(x.inner[0].n, 7);
    EXPECT_EQ(x.inner[0].list, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(x.inner[1].n, -1);
    EXPECT_EQ(x.map, (StringMap{{"a", "1"}, {"b", "2"}}));
    EXPECT_EQ(x.port.name, "http");
    EXPECT_EQ(x.time.unix_seconds, 1795521600);
    EXPECT_EQ(x.cidr.to_string(), "10.0.0.0/8");
    EXPECT_EQ(x.maybe, 3);
  }
}

TEST(Decoder, NullCountsAsAbsent) {
  YamlSource source("text: null\nmaybe: ~\ninner:\nflag: null\n");
  source.next_document();
  Outer x;
  ASSERT_FALSE(decode(source, x));
  EXPECT_FALSE(x.maybe);
  EXPECT_TRUE(x.inner.empty());
}

TEST(Decoder, NamesLineFieldAndReason) {
  const struct {
    std::string_view yaml, problem;
  } cases[] = {
      {"text: 8080\n", ":1: text: must be text, not a number (write it in quotes)"},
      {"text: on\n", ":1: text: must be text, not a boolean (write it in quotes)"},
      {"text: [a]\n", ":1: text: must be text, not a list"},
      {"flag: 'true'\n", ":1: flag: must be a boolean, not text"},
      {"\ninner:\n- n: x\n", ":3: inner[0].n: must be a number, not text"},
      {"inner:\n- n: 1\n- n: 99999999999\n",
       ":3: inner[1].n: the number 99999999999 is out of range here"},
      {"inner: {}\n", ":1: inner: must be a list, not an object"},
      {"inner: [1]\n", ":1: inner[0]: must be an object, not a number"},
      {"map: {config.linkerd.io/opaque-ports: 3306}\n",
       ":1: map[config.linkerd.io/opaque-ports]: must be text, not a number (write it in quotes)"},
      {"map: {a: '1', a: '2'}\n", ":1: map.a: occurs twice"},
      {"text: a\ntext: b\n", ":2: text: occurs twice"},
      {"port: 1.5\n", ":1: port: must be a number or a name, not a number"},
      {"port: ''\n", ":1: port: must not be empty"},
      {"time: yesterday\n", ":1: time: must be a time such as 2026-11-24T12:00:00Z"},
      {"cidr: 10.0.0.0/33\n", ":1: cidr: must be a network such as 10.0.0.0/8"},
      {"<<: text\n", ":1: << must refer to maps"},
      {"{[a]: b}\n", ":1: a key must be text"},
      {"just text\n", ":1: must be an object, not text"},
  };
  for (const auto& c : cases) EXPECT_EQ(problem_in_yaml(c.yaml), c.problem) << c.yaml;
}

TEST(Decoder, TakesQuotedDigitsForAPortNumber) {
  YamlSource source("port: '8080'\n");
  source.next_document();
  Outer x;
  ASSERT_FALSE(decode(source, x));
  EXPECT_FALSE(x.port.is_name());
  EXPECT_EQ(x.port.number, 8080);
}

TEST(ParseTime, ReadsRfc3339) {
  const struct {
    std::string_view text;
    std::int64_t seconds;
  } good[] = {{"1970-01-01T00:00:00Z", 0},
              {"2026-11-24T12:00:00.123456Z", 1795521600},
              {"2026-11-24T13:00:00+01:00", 1795521600},
              {"2026-11-24T10:30:00-01:30", 1795521600},
              {"2024-02-29T23:59:59Z", 1709251199}};
  for (const auto& c : good) {
    const auto time = parse_time(c.text);
    ASSERT_TRUE(time) << c.text;
    EXPECT_EQ(time->unix_seconds, c.seconds) << c.text;
  }
  for (const auto text :
       {"", "2026-11-24", "2026-11-24T12:00:00", "2026-13-24T12:00:00Z", "2025-02-29T00:00:00Z",
        "2026-11-24T24:00:00Z", "2026-11-24T12:00:00.Z", "2026-11-24T12:00:00Zx",
        "-026-11-24T12:00:00Z", "2026-11-24T12:00:00+1:00"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

TEST(LabelSelector, MatchesLikeKubernetes) {
  const StringMap labels{{"app", "web"}, {"tier", "front"}};
  const auto expression = [](std::string op, std::vector<std::string> values,
                             std::string key = "app") {
    return LabelSelector{{}, {{std::move(key), std::move(op), std::move(values)}}};
  };
  EXPECT_TRUE((LabelSelector{}.matches(labels)));
  EXPECT_TRUE((LabelSelector{{{"app", "web"}}, {}}.matches(labels)));
  EXPECT_FALSE((LabelSelector{{{"app", "db"}}, {}}.matches(labels)));
  EXPECT_FALSE((LabelSelector{{{"app", "web"}, {"x", "y"}}, {}}.matches(labels)));
  EXPECT_TRUE(expression("In", {"db", "web"}).matches(labels));
  EXPECT_FALSE(expression("In", {"db"}).matches(labels));
  EXPECT_FALSE(expression("In", {"db"}, "none").matches(labels));
  EXPECT_TRUE(expression("NotIn", {"db"}).matches(labels));
  EXPECT_TRUE(expression("NotIn", {"db"}, "none").matches(labels));
  EXPECT_FALSE(expression("NotIn", {"web"}).matches(labels));
  EXPECT_TRUE(expression("Exists", {}).matches(labels));
  EXPECT_FALSE(expression("Exists", {}, "none").matches(labels));
  EXPECT_TRUE(expression("DoesNotExist", {}, "none").matches(labels));
  EXPECT_FALSE(expression("DoesNotExist", {}).matches(labels));
  EXPECT_FALSE(expression("Unheard", {}).matches(labels));
}

}  // namespace
}  // namespace tulle::k8s
