// SPDX-License-Identifier: Apache-2.0
#include "lib/log/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

namespace tulle::log {
namespace {

struct Pipe {
  Pipe() { EXPECT_EQ(::pipe(fds.data()), 0); }
  ~Pipe() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  std::string read_all() const {
    char buffer[4096];
    const ssize_t n = ::read(fds[0], buffer, sizeof buffer);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
  }
  std::array<int, 2> fds{};
};

TEST(Filter, LongestTargetWins) {
  const auto filter = Filter::parse("warn,linkerd=info,linkerd::tls=off,[{headers}]=off");
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->level_for("hickory"), Level::Warn);
  EXPECT_EQ(filter->level_for("linkerd"), Level::Info);
  EXPECT_EQ(filter->level_for("linkerd::tls::server"), Level::Off);
  EXPECT_EQ(filter->level_for("linkerdish"), Level::Warn);
  EXPECT_FALSE(Filter::parse("linkerd=loud"));
  EXPECT_EQ(Filter::parse_lenient("linkerd=loud,debug").level_for("x"), Level::Debug);
}

TEST(Logger, WritesPlainAndJsonLines) {
  const Pipe pipe;
  {
    Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("info"));
    const Logger log(sink, "linkerd");
    log.debug("hidden");
    log.info("listening", {{"addr", "1.2.3.4:5\nforged"}, {"port", 5}, {"ok", true}});
    const std::string line = pipe.read_all();
    EXPECT_EQ(line.find("hidden"), std::string::npos);
    EXPECT_NE(line.find("s]  INFO ThreadId(01) linkerd: listening addr=1.2.3.4:5\\nforged port=5 ok=true\n"),
              std::string::npos)
        << line;
    sink.set_filter(Filter::parse_lenient("debug"));
    log.debug("shown");
    EXPECT_NE(pipe.read_all().find("shown"), std::string::npos);
  }
  Sink json({.fd = pipe.fds[1], .json = true}, Filter::parse_lenient("info"));
  Logger(json, "t").warn("a \"quote\"", {{"n", -1}});
  const std::string line = pipe.read_all();
  EXPECT_NE(line.find(R"("level":"WARN","fields":{"message":"a \"quote\"","n":-1},"target":"t")"),
            std::string::npos)
      << line;
}

TEST(RateLimit, TellsWhatItHeldBack) {
  RateLimit limit(1s);
  std::uint64_t held = 0;
  TimePoint now{10s};
  EXPECT_TRUE(limit.allow(now, held));
  EXPECT_FALSE(limit.allow(now + 10ms, held));
  EXPECT_FALSE(limit.allow(now + 20ms, held));
  EXPECT_TRUE(limit.allow(now + 1s, held));
  EXPECT_EQ(held, 2U);
}

}  // namespace
}  // namespace tulle::log
