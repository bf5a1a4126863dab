// SPDX-License-Identifier: Apache-2.0
#include "lib/log/filter.h"

#include <gtest/gtest.h>

namespace tulle::log {
namespace {

TEST(Filter, TheLongestTargetWins) {
  const auto filter = Filter::parse("warn, linkerd=info ,linkerd::tls=off,h2");
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->level_for("hickory"), Level::Warn);
  EXPECT_EQ(filter->level_for("linkerd"), Level::Info);
  EXPECT_EQ(filter->level_for("linkerd_app"), Level::Info);  // prefixes, as Linkerd's filters mean
  EXPECT_EQ(filter->level_for("linkerd::tls::server"), Level::Off);
  EXPECT_EQ(filter->level_for("h2"), Level::Trace);
}

TEST(Filter, LinkerdMeansUsToo) {
  // As Linkerd's charts write it.
  const auto filter =
      Filter::parse("warn,linkerd=info,hickory=error,[{headers}]=off,[{request}]=off");
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->level_for("tulle::h2"), Level::Info);
  EXPECT_EQ(Filter::parse("warn,linkerd=info,tulle=debug")->level_for("tulle::h2"), Level::Debug);
  EXPECT_EQ(Filter::parse("warn,linkerd=info,tulle::h2=debug")->level_for("tulle::tls"),
            Level::Info);
  EXPECT_EQ(Filter::parse("warn,linkerd::tls=trace")->level_for("tulle::tls"), Level::Warn);
  EXPECT_EQ(Filter::parse("linkerd=debug")->level_for("tulle"), Level::Debug);
}

TEST(Filter, Defaults) {
  EXPECT_EQ(Filter::parse("")->level_for("x"), Level::Warn);
  EXPECT_EQ(Filter::parse("linkerd=info")->level_for("x"), Level::Off);
  EXPECT_EQ(Filter::parse("OFF")->level_for("x"), Level::Off);
  EXPECT_EQ(Filter::parse("Debug")->level_for("x"), Level::Debug);
  EXPECT_EQ(Filter::parse("info,debug")->level_for("x"), Level::Info);
}

TEST(Filter, StrictRefusesWhatLenientIgnores) {
  for (const char* bad : {"linkerd=loud", "=info", "a b", "a=b=c", "[span", "x]", "[span]=loud",
                          "!!", "linkerd=", "a/b=info"}) {
    EXPECT_FALSE(Filter::parse(bad)) << bad;
    const std::string with_more = std::string("debug,") + bad;
    EXPECT_FALSE(Filter::parse(with_more)) << bad;
  }
  EXPECT_EQ(Filter::parse_lenient("linkerd=loud,debug").level_for("linkerd"), Level::Debug);
  EXPECT_EQ(Filter::parse_lenient("=,=").level_for("x"), Level::Warn);
  EXPECT_FALSE(Filter::parse(std::string(5000, 'a')));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "a,";
  EXPECT_FALSE(Filter::parse(many));
}

TEST(Filter, SpansAreAcceptedAndMatchNothing) {
  for (const char* span : {"info,[{headers}]=off", "info,x[span{a=b,c=d}]=trace", "info,[span]"}) {
    const auto filter = Filter::parse(span);
    ASSERT_TRUE(filter) << span;
    EXPECT_EQ(filter->level_for("x"), Level::Info) << span;
  }
}

}  // namespace
}  // namespace tulle::log
