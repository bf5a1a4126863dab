// SPDX-License-Identifier: Apache-2.0
// What tests/charts compares with Helm is compared there; here is what holds without it.
#include "cli/chart/chart.h"

#include <gtest/gtest.h>

#include "cli/chart/embedded.h"
#include "cli/chart/schema.h"
#include "cli/chart/semver.h"
#include "cli/chart/set.h"
#include "cli/chart/template.h"
#include "cli/chart/yaml.h"

namespace tulle::chart {
namespace {

Value yaml(std::string_view text) {
  std::string problem;
  auto out = parse_yaml(text, problem);
  EXPECT_TRUE(out) << problem;
  return out.value_or(Value());
}

// What the template gives for the values, or the problem.
std::string rendered(std::string_view text, std::string_view values = "{}") {
  TemplateSet templates;
  std::string problem, out;
  if (!templates.add("t", text, "t.yaml", problem)) return problem;
  return execute(templates, "t", yaml(values), out, problem) ? out : problem;
}

TEST(Template, NumbersPrintAsTheirTypeDoes) {
  EXPECT_EQ(rendered("{{ .a }} {{ .b }} {{ .c }} {{ 12345678 }}", "{a: 2103, b: 12345678, c: 0.5}"),
            "2103 1.2345678e+07 0.5 12345678");
}

TEST(Template, ANullAndAMissingKeyDiffer) {
  EXPECT_EQ(rendered("[{{ .a }}][{{ (.a).b }}]"), "[][]");
  EXPECT_EQ(rendered("x\n{{ .a.b }}"), "t.yaml:2: nil pointer evaluating interface {}.b");
}

TEST(Template, MapsAreShared) {
  EXPECT_EQ(
      rendered(
          "{{ $m := dict \"in\" dict }}{{ $n := $m.in }}{{ $_ := set $n \"a\" 1 }}{{ $m.in.a }}"),
      "1");
  EXPECT_EQ(rendered("{{ $m := dict }}{{ set $m \"self\" (list $m) }}"),
            "t.yaml:1: error calling set: a map cannot hold itself");
}

TEST(Template, RefusesByNameAndLine) {
  EXPECT_EQ(rendered("\n\n{{ now }}"),
            "t.yaml:3: Helm's function \"now\" is not one that tulle has");
  EXPECT_EQ(rendered("{{ nosuch }}"), "t.yaml:1: function \"nosuch\" not defined");
  EXPECT_EQ(rendered("{{ fail \"these words\" }}"), "t.yaml:1: these words");
}

TEST(Template, CallsThatNeverEndAreEnded) {
  EXPECT_NE(rendered("{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}")
                .find("templates call each other"),
            std::string::npos);
  const std::string open(5000, '(');
  EXPECT_EQ(rendered("{{ " + open + " }}"),
            "t.yaml:1: blocks and parentheses are nested too deeply");
  std::string blocks;
  for (int i = 0; i < 5000; ++i) blocks += "{{ if true }}";
  EXPECT_EQ(rendered(blocks), "t.yaml:1: blocks and parentheses are nested too deeply");
}

TEST(Set, ReadsWhatHelmReads) {
  const auto set = [](std::string_view line, SetKind kind = SetKind::Typed) {
    const Value into = Value::map();
    const std::string problem = set_values(line, kind, into);
    return problem.empty() ? to_json(into) : problem;
  };
  EXPECT_EQ(set("a.b=1,c=true,d=null,e=1.5,f=012,g="),
            R"({"a":{"b":1},"c":true,"d":null,"e":"1.5","f":"012","g":""})");
  EXPECT_EQ(set("a.b=1", SetKind::String), R"({"a":{"b":"1"}})");
  EXPECT_EQ(set("l={a,2},m[1].x=y,n[0][1]=z"),
            R"({"l":["a",2],"m":[null,{"x":"y"}],"n":[[null,"z"]]})");
  EXPECT_EQ(set(R"(a\.b/c=d\,e)"), R"({"a.b/c":"d,e"})");
  EXPECT_EQ(set("a"), "key \"a\" has no value");
  EXPECT_EQ(set("a=1,a.b=2"), "\"a\" is no map, so nothing can be set in it");
  EXPECT_EQ(set("l={a"), "list must terminate with '}'");
}

TEST(Values, NullRemovesAndMapsMerge) {
  const Source files[] = {{"Chart.yaml", "name: c\nversion: 1.0.0\n"},
                          {"values.yaml", "a: {b: 1, c: {d: 2}}\ne: [1]\nf: x\n"}};
  std::string problem;
  const auto chart = read_chart(files, problem);
  ASSERT_TRUE(chart) << problem;
  std::vector<std::string> warnings;
  EXPECT_EQ(to_json(coalesce(*chart, yaml("{a: {b: null, c: {g: 3}}, e: [2], f: null}"), warnings)),
            R"({"a":{"c":{"d":2,"g":3}},"e":[2]})");
  EXPECT_TRUE(warnings.empty());
  (void)coalesce(*chart, yaml("{a: {c: 5}}"), warnings);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0], "cannot overwrite table with non table for c.a.c (map[d:2])");
}

TEST(Values, MergeKeysAreWrittenOut) {
  EXPECT_EQ(to_json(yaml("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n")),
            R"({"a":{"b":1,"c":2},"d":{"b":1,"c":3}})");
}

TEST(Schema, NamesWhatIsWrong) {
  constexpr std::string_view kSchema =
      R"({"type":"object","properties":{"num":{"type":"integer","minimum":1},"e":{"enum":["a","b"]},
    "o":{"type":"object","additionalProperties":false,"properties":{"x":{"type":["string","null"]}}},"l":{"type":"array","items":{"type":"object","required":["name"]}}}})";
  EXPECT_TRUE(check_schema(kSchema, yaml("{num: 2, e: a, o: {x: null}, l: [{name: q}]}")).empty());
  EXPECT_EQ(check_schema(kSchema, yaml("{num: many}")),
            (std::vector<std::string>{"at '/num': got string, want integer"}));
  EXPECT_EQ(check_schema(kSchema, yaml("{num: 0, e: c}")),
            (std::vector<std::string>{"at '/e': value must be one of 'a', 'b'",
                                      "at '/num': minimum: got 0, want 1"}));
  EXPECT_EQ(check_schema(kSchema, yaml("{o: {z: 1}, l: [{}]}")),
            (std::vector<std::string>{"at '/l/0': missing property 'name'",
                                      "at '/o': additional properties 'z' not allowed"}));
  EXPECT_EQ(check_schema(R"({"pattern":"a"})", yaml("{}")),
            (std::vector<std::string>{
                "at '': the schema has the keyword \"pattern\", which is not known here"}));
}

TEST(Semver, PreReleasesNeedOne) {
  EXPECT_EQ(version_fits(">=1.29.0-0", "v1.34.4+k3s1"), true);
  EXPECT_EQ(version_fits(">=1.29", "v1.30.0-rc.1"), false);
  EXPECT_EQ(version_fits(">=1.29.0-0", "v1.28.9"), false);
  EXPECT_EQ(version_fits("what", "1.0.0"), std::nullopt);
}

TEST(Chart, OursRenderTwiceTheSame) {
  for (const std::string_view name : {"linkerd-crds", "linkerd-control-plane"}) {
    std::string problem;
    const auto chart = read_chart(embedded_chart(name), problem);
    ASSERT_TRUE(chart) << problem;
    std::vector<std::string> warnings;
    const Value values = coalesce(*chart, Value::map(), warnings);
    Rendered once, twice;
    ASSERT_TRUE(render(*chart, values, {"r", "linkerd"}, once, problem)) << problem;
    ASSERT_TRUE(render(*chart, values, {"r", "linkerd"}, twice, problem)) << problem;
    EXPECT_FALSE(once.manifests.empty());
    EXPECT_EQ(to_text(once), to_text(twice));
    Rendered old;
    EXPECT_FALSE(render(*chart, values, {"r", "linkerd", false, "v1.20.0"}, old, problem));
    EXPECT_NE(problem.find("incompatible with Kubernetes v1.20.0"), std::string::npos);
  }
}

}  // namespace
}  // namespace tulle::chart
