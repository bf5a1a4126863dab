// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/values.h"

#include <gtest/gtest.h>

namespace tulle::chart {
namespace {

Value yaml(std::string_view text) {
  std::string problem;
  Value out = parse_yaml(text, problem);
  EXPECT_EQ(problem, "");
  return out;
}
std::string after(std::string_view expression, bool strings = false) {
  Value values = yaml("{a: {b: 1}, l: [x, z]}");
  const std::string problem = set(values, expression, strings);
  return problem.empty() ? to_json(values) : problem;
}

TEST(Values, SetTakesHelmsSyntax) {
  EXPECT_EQ(after("a.b=2"), R"({"a":{"b":2},"l":["x","z"]})");
  EXPECT_EQ(after("a.c=true,n=null"), R"({"a":{"b":1,"c":true},"l":["x","z"],"n":null})");
  EXPECT_EQ(after("l[1]=w,l[3].k=v"), R"({"a":{"b":1},"l":["x","w",null,{"k":"v"}]})");
  EXPECT_EQ(after("l={p,7}"), R"({"a":{"b":1},"l":["p",7]})");
  EXPECT_EQ(after("l={}"), R"({"a":{"b":1},"l":[]})");
  EXPECT_EQ(after("a\\.b=c\\,d"), R"({"a":{"b":1},"a.b":"c,d","l":["x","z"]})");
  EXPECT_EQ(after("v=0123,w=-5,x=1.5,y="), R"({"a":{"b":1},"l":["x","z"],"v":"0123","w":-5,"x":"1.5","y":""})");
  EXPECT_EQ(after("v=12,w=true", true), R"({"a":{"b":1},"l":["x","z"],"v":"12","w":"true"})");
}

TEST(Values, SetSaysWhatIsWrongAndChangesNothing) {
  EXPECT_EQ(after("a"), "\"a\": key \"a\" has no value");
  EXPECT_EQ(after("a.b=1,=2"), "\"a.b=1,=2\": a key is missing");
  EXPECT_EQ(after("l[x]=2"), "\"l[x]=2\": key \"l\" has a bad index \"x\"");
  EXPECT_EQ(after("l={a"), "\"l={a\": a list must end with }");
  EXPECT_EQ(after("l[99999999]=2"), "\"l[99999999]=2\": key \"l\" has a bad index \"99999999\"");
  Value values = yaml("{a: 1}");
  EXPECT_NE(set(values, "b=2,c", false), "");
  EXPECT_EQ(to_json(values), R"({"a":1})");
}

TEST(Values, MergeAndDifferenceAreInverse) {
  const Value base = yaml("{a: {b: 1, c: 2}, l: [1], gone: x, n: null}");
  const Value over = yaml("{a: {c: 3, d: {e: 4}}, l: [2, 3], gone: null}");
  const Value merged = merge(base, over);
  EXPECT_EQ(to_json(merged), R"({"a":{"b":1,"c":3,"d":{"e":4}},"l":[2,3],"n":null})");
  EXPECT_EQ(to_json(difference(base, merged)), R"({"a":{"c":3,"d":{"e":4}},"gone":null,"l":[2,3]})");
  EXPECT_EQ(merge(base, difference(base, merged)), merged);
}

TEST(Values, UnknownKeysComeWithTheNearestOne) {
  const Value defaults = yaml("{proxy: {image: {name: x}, logLevel: y}, podLabels: {}, nodeSelector: null}");
  const auto unknown = unknown_keys(defaults, yaml("{proxy: {logLevl: a, image: {name: b}}, podLabels: {free: c}, zebra: 1, nodeselector: {}}"));
  ASSERT_EQ(unknown.size(), 3U);
  EXPECT_EQ(unknown[0].path, "nodeselector");
  EXPECT_EQ(unknown[0].nearest, "nodeSelector");
  EXPECT_EQ(unknown[1].path, "proxy.logLevl");
  EXPECT_EQ(unknown[1].nearest, "proxy.logLevel");
  EXPECT_EQ(unknown[2].path, "zebra");
  EXPECT_EQ(unknown[2].nearest, "");
}

TEST(Values, YamlIsLaidOutAsHelmsIs) {
  const Value value = yaml("{b: [1, {c: d, e: []}], a: 'yes', t: \"x\\ny\", n: null, m: {}, p: '1.5', s: 'a: b', q: '', d: '2020-01-01', big: 1.5}");
  EXPECT_EQ(to_yaml(value),
            "a: \"yes\"\nb:\n- 1\n- c: d\n  e: []\nbig: 1.5\nd: \"2020-01-01\"\nm: {}\n\"n\": null\np: \"1.5\"\nq: \"\"\ns: 'a: b'\nt: |-\n  x\n  y");
}

}  // namespace
}  // namespace tulle::chart
