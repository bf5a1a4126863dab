// SPDX-License-Identifier: Apache-2.0
#include "cli/yaml_text.h"

#include <gtest/gtest.h>

#include "lib/base/text.h"

namespace tulle::cli {
namespace {

using inject::Value;

Value yaml(std::string_view text) {
  std::string problem;
  auto value = inject::parse_yaml(text, problem);
  EXPECT_TRUE(value) << problem << "\n" << text;
  return value.value_or(Value());
}

// The text with its only document become `wanted`, or "! why not".
std::string become(std::string_view text, std::string_view wanted) {
  std::string problem;
  const auto parsed = YamlText::parse(std::string(text), problem);
  if (!parsed) return "! " + problem;
  EXPECT_EQ(parsed->size(), 1U);
  return parsed->with({yaml(wanted)}, problem).value_or("! " + problem);
}

TEST(YamlText, LeavesWhatIsTheSame) {
  for (const std::string_view text :
       {"a: 1 # one\nb:   {c: [1,  2]}\n", "# only a comment\na: |\n  text\n\n\nb: >-\n  folded\n",
        "a: 1", "--- \na: 1\n...\n", "a:\r\n  b: 1\r\n",
        "\xEF\xBB\xBF"
        "a: 1\n",
        "a: \"\xC3\xA4\" # \xC3\xA4\n"}) {
    EXPECT_EQ(become(text, inject::parse_yaml(text, *std::make_unique<std::string>())->to_json()),
              text);
  }
}

TEST(YamlText, AddsToBlocks) {
  EXPECT_EQ(become("a:\n  b: 1 # one\n", "{a: {b: 1, c: {d: x}}}"),
            "a:\n  c:\n    d: x\n  b: 1 # one\n");
  EXPECT_EQ(become("a:\n", "{a: {b: 1}}"), "a:\n  b: 1\n");
  EXPECT_EQ(become("a: # why\nz: 1\n", "{a: {b: x}, z: 1}"), "a:\n  b: x # why\nz: 1\n");
  EXPECT_EQ(become("a: {}\n", "{a: {b: x}}"), "a:\n  b: x\n");
  EXPECT_EQ(become("a: ~\n", "{a: [x, z]}"), "a:\n- x\n- z\n");
  EXPECT_EQ(become("l:\n- a: 1\n  b: 2\n", "{l: [{m: 0, a: 1, b: 2}]}"),
            "l:\n- m: 0\n  a: 1\n  b: 2\n");
  EXPECT_EQ(become("\xC3\xA4: \xC3\xBC\nl:\n  - a: \xC3\xB6\n",
                   "{\xC3\xA4: \xC3\xBC, l: [{b: 1, a: \xC3\xB6}]}"),
            "\xC3\xA4: \xC3\xBC\nl:\n  - b: 1\n    a: \xC3\xB6\n");
  EXPECT_EQ(become("a:\r\n  b: 1\r\n", "{a: {b: 1, c: x}}"), "a:\r\n  c: x\r\n  b: 1\r\n");
}

TEST(YamlText, AddsToLists) {
  EXPECT_EQ(become("l:\n- a\n- b # last\nz: 1\n", "{l: [x, a, w, b, {c: d}], z: 1}"),
            "l:\n- x\n- a\n- w\n- b # last\n- c: d\nz: 1\n");
  EXPECT_EQ(become("l:\n  - a: 1\n    b: 2\n", "{l: [{c: {d: e}}, {a: 1, b: 2}]}"),
            "l:\n  - c:\n      d: e\n  - a: 1\n    b: 2\n");
  EXPECT_EQ(become("l:\n- a", "{l: [a, b]}"), "l:\n- a\n- b");
  EXPECT_EQ(become("l:\n- |\n  text\nz: 1\n", "{l: [\"text\\n\", b], z: 1}"),
            "l:\n- |\n  text\n- b\nz: 1\n");
  EXPECT_EQ(become("- - a\n  - b\n", "[[x, a, b]]"), "- - x\n  - a\n  - b\n");
}

TEST(YamlText, TakesOut) {
  EXPECT_EQ(become("a: 1\nb: 2 # two\nc: 3\n", "{a: 1, c: 3}"), "a: 1\nc: 3\n");
  EXPECT_EQ(become("a:\n  x: |\n    long\n    text\n  y: 1\n", "{a: {y: 1}}"), "a:\n  y: 1\n");
  EXPECT_EQ(become("l:\n- a: 1\n  b: 2\n- c: 3\n", "{l: [{b: 2}, {c: 3}]}"),
            "l:\n- b: 2\n- c: 3\n");
  EXPECT_EQ(become("l:\n- a: 1\n  b: 2\n- c: 3\n", "{l: [{c: 3}]}"), "l:\n- c: 3\n");
  EXPECT_EQ(become("l:\n- a\n- b\n- c\nz: 1\n", "{l: [a], z: 1}"), "l:\n- a\nz: 1\n");
  EXPECT_EQ(become("a: 1\nb: 2", "{a: 1}"), "a: 1\n");
  EXPECT_EQ(become("a:\n  b: 1\n", "{a: {}}"), "a:\n    {}\n");
}

TEST(YamlText, ChangesFlowsAndJson) {
  EXPECT_EQ(become("{\"a\": {\"b\": 1},\n \"l\": [1, 2]}\n", "{a: {b: 1, c: x}, l: [0, 1, 2, 3]}"),
            "{\"a\": {\"c\": \"x\", \"b\": 1},\n \"l\": [0, 1, 2, 3]}\n");
  EXPECT_EQ(become("{\"a\": {}, \"l\": []}", "{a: {b: x}, l: [1]}"),
            "{\"a\": {\"b\":\"x\"}, \"l\": [1]}");
  EXPECT_EQ(become("{a: 1, b: 2, c: 3}", "{b: 2}"), "{b: 2}");
  EXPECT_EQ(become("{a: 1, b: 2, c: 3}", "{a: 1}"), "{a: 1}");
  EXPECT_EQ(become("[1, 2, 3, 4]", "[2, 5]"), "[2, 5]");
  EXPECT_EQ(become("a: {b: {c: 1}}", "{a: {b: {c: 1, d: {e: f}}}}"),
            "a: {b: {\"d\": {\"e\":\"f\"}, c: 1}}");
}

TEST(YamlText, ReplacesScalars) {
  EXPECT_EQ(become("a: 'x' # why\n", "{a: z}"), "a: z # why\n");
  EXPECT_EQ(become("a: |\n  x\nb: 1\n", "{a: 'true', b: 1}"), "a: \"true\"\nb: 1\n");
  EXPECT_EQ(become("a: {b: x}\n", "{a: {b: 'y'}}"), "a: {b: \"y\"}\n");
}

// Editing in place needs a tree of its own; what it reads is what everything else reads.
TEST(YamlText, ReadsMergeKeysAsAllReadersDo) {
  for (const std::string& text :
       {std::string("a: &x {b: 1, c: {d: [2]}}\ne:\n  c: 3\n  <<: *x\n  f: 4\n"),
        std::string("a: [&x {b: 1}, &y {b: 2, c: 3}]\nd: {<<: [*x, *y], e: ~}\n"),
        std::string("a: &x {b: 1}\nc: &y {<<: *x, d: {b: 2, <<: *x}}\ne: {<<: *y, b: 0}\n"),
        std::string("a: {<<: {b: 1}, <<: {b: 2, c: 3}}\nd: {'<<': 1}\ne: <<\n"),
        std::string("a: {<<: {<<: {b: 1}, c: 2}}\nd: {<<: ~, e: 1}\nf: {<<: []}\n")}) {
    std::string problem;
    const auto edited = YamlText::parse(text, problem);
    ASSERT_TRUE(edited) << text << problem;
    const auto read = inject::parse_yaml(text, problem);
    ASSERT_TRUE(read) << text << problem;
    EXPECT_EQ(edited->value(0), *read) << text << read->to_json();
  }
}

TEST(YamlText, RefusesWhatWouldChangeMore) {
  EXPECT_EQ(become("a: &x {b: 1}\n", "{a: {b: 1, d: 2}}"), "a: &x {\"d\": 2, b: 1}\n");
  EXPECT_EQ(become("a: {<<: 5}\n", "{}").substr(0, 9), "! line 1:");
  EXPECT_EQ(become("a: 1\na: 2\n", "{}"), "! line 2: \"a\" occurs twice");
  EXPECT_EQ(become("a: [\n", "{}").substr(0, 2), "! ");
}

TEST(YamlText, WritesAliasesAndMergeKeysOutInPlace) {
  // Both sides of an alias can change alone.
  EXPECT_EQ(become("a: &x {b: 1}\nc: *x\n", "{a: {b: 1, d: 2}, c: {b: 1}}"),
            "a: &x {\"d\": 2, b: 1}\nc:\n  b: 1\n");
  EXPECT_EQ(become("a: &x {b: 1}\nc: *x # why\n", "{a: {b: 1}, c: {b: 2}}"),
            "a: &x {b: 1}\nc:\n  b: 2 # why\n");
  EXPECT_EQ(become("a: &x v\nb: [*x, w]\nc: *x\n", "{a: v, b: [v, w, z], c: u}"),
            "a: &x v\nb: [\"v\", w, \"z\"]\nc: u\n");
  // What a map says itself stands over what << brings, and an earlier one over a later.
  EXPECT_EQ(become("a: &x\n  b: 1\n  c: 2\nd:\n  <<: *x\n  c: 3 # own\n",
                   "{a: {b: 1, c: 2}, d: {b: 1, c: 3, e: 4}}"),
            "a: &x\n  b: 1\n  c: 2\nd:\n  e: 4\n  b: 1\n  c: 3 # own\n");
  EXPECT_EQ(become("a: &x {b: 1}\nd: &y {b: 2, f: 3}\ne:\n  <<: [*x, *y]\n",
                   "{a: {b: 1}, d: {b: 2, f: 3}, e: {b: 1, f: 9}}"),
            "a: &x {b: 1}\nd: &y {b: 2, f: 3}\ne:\n  b: 1\n  f: 9\n");
  EXPECT_EQ(become("{a: &x {b: 1}, d: {<<: *x, c: 3}}", "{a: {b: 1}, d: {b: 1, c: 3, e: 4}}"),
            "{a: &x {b: 1}, d: {\"e\": 4, \"b\": 1, c: 3}}");
  EXPECT_EQ(become("l:\n- &x {a: 1}\n- *x\n", "{l: [{a: 1}, {a: 2}]}"),
            "l:\n- &x {a: 1}\n- {\"a\": 2}\n");
  EXPECT_EQ(become("a: &x {b: 1}\nc:\n  <<: *x\n  b: 2\n", "{a: {b: 1}, c: {b: 3}}"),
            "a: &x {b: 1}\nc:\n  b: 3\n");
  // Documents that do not change keep theirs.
  std::string problem;
  const auto two = YamlText::parse("a: &x 1\nb: *x\n---\na: &x 1\nb: *x\n", problem);
  ASSERT_TRUE(two) << problem;
  EXPECT_EQ(two->with({two->value(0), yaml("{a: 1, b: 2}")}, problem),
            "a: &x 1\nb: *x\n---\na: &x 1\nb: 2\n");
}

// Whatever differs, the text says it afterwards, and what does not differ stays.
TEST(YamlText, RandomChangesComeOutRight) {
  Random random(7);
  const auto scalar = [&]() -> Value {
    switch (random.below(5)) {
      case 0: return Value();
      case 1: return random.below(100) > 50;
      case 2: return random.below(1000);
      case 3: return "multi\nline: #x";
      default: return concat("text ", std::to_string(random.below(100)));
    }
  };
  const auto tree = [&](auto& self, int depth) -> Value {
    const std::uint32_t kind = depth > 3 ? 0 : random.below(3);
    if (kind == 0) return scalar();
    Value out = kind == 1 ? Value::map() : Value::list();
    for (std::uint32_t i = random.below(4); i > 0; --i) {
      Value child = self(self, depth + 1);
      if (kind == 1)
        out.set(concat("k", std::to_string(random.below(30))), std::move(child));
      else
        out.push(std::move(child));
    }
    return out;
  };
  const auto mutate = [&](auto& self, Value& value) -> void {
    if (value.empty() || random.below(6) == 0) {
      value = tree(tree, 2);
      return;
    }
    const std::uint32_t at = random.below(static_cast<std::uint32_t>(value.size()));
    switch (random.below(4)) {
      case 0:
        if (value.is_map())
          value.erase(std::string(value.keys()[at]));
        else
          value.items().erase(value.items().begin() + at);
        return;
      case 1:
        if (value.is_map())
          value.set(concat("n", std::to_string(random.below(9))), tree(tree, 2));
        else
          value.insert(at, tree(tree, 2));
        return;
      default: self(self, value.items()[at]);
    }
  };
  int refused = 0;
  for (int round = 0; round < 5000; ++round) {
    Value value = Value::map({{"first", tree(tree, 0)}, {"second", tree(tree, 0)}});
    std::string text = round % 3 == 0   ? value.to_pretty_json()
                       : round % 3 == 1 ? value.to_json()
                                        : value.to_yaml();
    std::string problem;
    const auto parsed = YamlText::parse(text, problem);
    ASSERT_TRUE(parsed) << problem << "\n" << text;
    ASSERT_EQ(parsed->value(0), value) << text;
    Value wanted = value;
    for (std::uint32_t i = random.below(3); i < 3; ++i) mutate(mutate, wanted);
    const auto changed = parsed->with({wanted}, problem);
    if (!changed) {
      ++refused;
      continue;
    }
    const auto again = YamlText::parse(*changed, problem);
    ASSERT_TRUE(again) << problem;
    ASSERT_EQ(again->value(0), wanted) << text << "\n" << *changed;
  }
  EXPECT_LT(refused, 10);
}

}  // namespace
}  // namespace tulle::cli
