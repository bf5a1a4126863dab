// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/template.h"

#include <gtest/gtest.h>

#include "cli/chart/chart.h"

namespace tulle::chart {
namespace {

Value yaml(std::string_view text) {
  std::string problem;
  Value out = parse_yaml(text, problem);
  EXPECT_EQ(problem, "");
  return out;
}

// The rendered text, or "error: …".
std::string render(std::string_view text, std::string_view dot = "{}") {
  try {
    TemplateSet set;
    set.parse("t", text);
    return set.render("t", yaml(dot));
  } catch (const TemplateError& error) {
    return std::string("error: ") + error.what();
  }
}

TEST(Template, TextActionsAndTrimming) {
  EXPECT_EQ(render("a {{ .x }} b", "{x: 1}"), "a 1 b");
  EXPECT_EQ(render("a\n {{- .x -}} \n b", "{x: 1}"), "a1b");
  EXPECT_EQ(render("a{{/* no */}}b{{- /* more */ -}} c"), "abc");
  EXPECT_EQ(render("{{ \"}}\" }}{{ `{{` }}"), "}}{{");
  EXPECT_EQ(render("{{ .none }}|{{ .x.none }}", "{x: {}}"), "|");
}

TEST(Template, BlocksAndVariables) {
  EXPECT_EQ(render("{{ if .a }}1{{ else if .b }}2{{ else }}3{{ end }}", "{b: x}"), "2");
  EXPECT_EQ(render("{{ with .a }}{{ . }}{{ else }}none{{ end }}", "{a: x}"), "x");
  EXPECT_EQ(render("{{ range $i, $v := .l }}{{ $i }}={{ $v }};{{ else }}none{{ end }}", "{l: [a, b]}"), "0=a;1=b;");
  EXPECT_EQ(render("{{ range $k, $v := .m }}{{ $k }}={{ $v }};{{ end }}", "{m: {b: 1, a: 2}}"), "a=2;b=1;");
  EXPECT_EQ(render("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ end }}{{ $x }}"), "2");
  EXPECT_EQ(render("{{ range .l }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ if eq . 4 }}{{ break }}{{ end }}{{ . }}{{ end }}", "{l: [1, 2, 3, 4, 5]}"), "13");
  EXPECT_EQ(render("{{ with $y := .a }}{{ $y }}{{ $.b }}{{ end }}", "{a: 1, b: 2}"), "12");
}

TEST(Template, PipelinesAndFunctions) {
  EXPECT_EQ(render("{{ .x | default \"d\" | quote }}"), "\"d\"");
  EXPECT_EQ(render("{{ (dict \"a\" (list 1 2)).a | join \"-\" }}"), "1-2");
  EXPECT_EQ(render("{{ printf \"%s-%d%%\" \"a\" 5 }}"), "a-5%");
  EXPECT_EQ(render("{{ and .a .b.c }}|{{ or .a 7 }}"), "|7") << "what is not needed is not looked at";
  EXPECT_EQ(render("{{ $m := deepCopy .m }}{{ $_ := set $m.n \"k\" 1 }}{{ toJson $m }}{{ toJson .m }}", "{m: {n: {}}}"), R"({"n":{"k":1}}{"n":{}})");
  EXPECT_EQ(render("a:{{ toYaml .m | nindent 2 }}", "{m: {x: 1, z: [2]}}"), "a:\n  x: 1\n  z:\n  - 2");
  EXPECT_EQ(render("{{ if and (not .x) (ne 1 2) (lt 1 2) (ge 2.5 2) }}ok{{ end }}"), "ok");
  EXPECT_EQ(render("{{ \"x\" | sha256sum | trunc 8 }}"), "2d711642");
  EXPECT_EQ(render("{{ b64enc \"abc\" }}{{ b64dec \"YWJj\" }}"), "YWJjabc");
  EXPECT_EQ(render("{{ tpl \"{{ .x }}!\" . }}", "{x: 3}"), "3!");
}

TEST(Template, Templates) {
  EXPECT_EQ(render("{{ define \"f\" }}<{{ . }}>{{ end }}{{ template \"f\" 1 }}{{ include \"f\" .x | upper }}", "{x: a}"), "<1><A>");
  EXPECT_EQ(render("{{ define \"f\" }}{{ $.a }}{{ end }}{{ include \"f\" (dict \"a\" 5) }}"), "5") << "$ is the argument";
}

TEST(Template, WhatIsWrongIsSaidWithItsPlace) {
  EXPECT_EQ(render("\n{{ dateInZone 1 }}"), "error: t:2: the function \"dateInZone\" is not supported");
  EXPECT_EQ(render("{{ if .a }}"), "error: t:1: a block does not end with {{end}}");
  EXPECT_EQ(render("{{ end }}"), "error: t:1: unexpected {{end}}");
  EXPECT_EQ(render("{{ .a.b }}"), "error: t:1: nil has no field b");
  EXPECT_EQ(render("{{ .a.b }}", "{a: x}"), "error: t:1: a string has no field b");
  EXPECT_EQ(render("{{ $x }}"), "error: t:1: the variable $x is not defined");
  EXPECT_EQ(render("{{ include \"none\" . }}"), "error: t:1: there is no template \"none\"");
  EXPECT_EQ(render("{{ fail \"on purpose\" }}"), "error: on purpose");
  EXPECT_EQ(render("{{ required \"wanted\" .x }}"), "error: wanted");
  EXPECT_EQ(render("{{ define \"f\" }}{{ include \"f\" . }}{{ end }}{{ include \"f\" . }}").substr(0, 52), "error: t:1: the template \"f\" calls itself too deeply");
  EXPECT_EQ(render("{{ eq 1 \"1\" }}"), "error: t:1: eq: cannot compare a int64 with a string");
  EXPECT_EQ(render("{{ .a"), "error: t:1: an action does not end with }}");
  EXPECT_EQ(render("{{ .a }"), "error: t:1: an action does not end with }}");
  EXPECT_EQ(render("{{ \"abc }}"), "error: t:1: an action does not end with }}");
  EXPECT_EQ(render("{{ 1 2 }}"), "error: t:1: a constant cannot be called");
}

TEST(Charts, TheirOwnDefaultsRender) {
  for (const auto* const name : {"linkerd-crds", "linkerd-control-plane"}) {
    const auto manifests = chart::render(built_in(name), {}, Map{});
    EXPECT_GT(manifests.size(), 8U) << name;
    EXPECT_EQ(to_text(manifests), to_text(chart::render(built_in(name), {}, Map{}))) << "twice the same";
  }
}

TEST(Charts, WhatTheyRefuseIsSaidInTheirWords) {
  try {
    chart::render(built_in("linkerd-control-plane"), {}, yaml("{enablePSP: true}"));
    FAIL();
  } catch (const Refusal& refusal) {
    EXPECT_STREQ(refusal.what(), "enablePSP: Kubernetes has no PodSecurityPolicy any more; see Pod Security Standards");
  }
}

}  // namespace
}  // namespace tulle::chart
