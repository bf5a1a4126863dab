// SPDX-License-Identifier: Apache-2.0
#include "lib/regex/regex.h"

#include <gtest/gtest.h>

#include <string>

namespace tulle {
namespace {

bool matches(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::compile(pattern);
  EXPECT_TRUE(regex) << pattern;
  return regex && (*regex)->full_match(text);
}

TEST(Regex, MatchesWholeTexts) {
  EXPECT_TRUE(matches("/api/v[0-9]+/.*", "/api/v12/things"));
  EXPECT_FALSE(matches("/api/v[0-9]+/.*", "/api/v/things"));
  EXPECT_FALSE(matches("abc", "xabc"));
  EXPECT_TRUE(matches("a|bc|", ""));
  EXPECT_TRUE(matches("(a|b){2,3}c?", "abac"));
  EXPECT_FALSE(matches("(a|b){2,3}c?", "abab"));
  EXPECT_TRUE(matches("(?i)Hello", "hELLO"));
  EXPECT_TRUE(matches("(?P<name>x)+(?:y)*?", "xxyy"));
  EXPECT_TRUE(matches(R"(\d+\.\w+\s)", "12.ab "));
  EXPECT_TRUE(matches("[^/]+", "abc"));
  EXPECT_FALSE(matches("[^/]+", "a/c"));
  EXPECT_TRUE(matches("[[:alpha:]_-]+", "a_b-c"));
  EXPECT_TRUE(matches("^a$", "a"));
  EXPECT_TRUE(matches("ü.", "üx"));
  EXPECT_TRUE(matches("a{x}", "a{x}"));
  EXPECT_TRUE(matches("a{01}", "a{01}"));  // no repeat: RE2 knows no leading zeros
  EXPECT_TRUE(matches("{", "{"));
}

TEST(Regex, FlagsEndWithTheirGroup) {
  EXPECT_TRUE(matches("(?s:.)x", "\nx"));
  EXPECT_FALSE(matches("(?s:.).", "\n\n"));
  EXPECT_FALSE(matches("(?i:a)b", "AB"));
  EXPECT_TRUE(matches("((?i)a)b", "Ab"));
  EXPECT_TRUE(matches("(?i)a(?-i)b", "Ab"));
  EXPECT_FALSE(matches("(?i)a(?-i)b", "AB"));
}

TEST(Regex, RefusesWhatItDoesNotKnow) {
  for (const char* pattern :
       {"(", ")", "a**", "[", "[z-a]", "(?=a)", "(?!a)", R"(\1)", R"(\p{L})", "*", "a{2000}", "\\",
        // RE2 refuses these, too.
        "a{9999999999}", "{2,3}", "(?:{1}a)", "a{2,1}", "(?-)a", "(?i--s)a", "(?i)*", "a(?i)+",
        "(?P<a b>x)", "(?P<n>x)(?P<n>y)"}) {
    EXPECT_FALSE(Regex::compile(pattern)) << pattern;
  }
  EXPECT_FALSE(Regex::compile("((a{100}){100}){100}"));
}

// What makes backtracking engines take for ever.
TEST(Regex, TakesLinearTime) {
  EXPECT_FALSE(matches("(a*)*(a*)*(a+a+)+b", std::string(20'000, 'a')));
}

}  // namespace
}  // namespace tulle
