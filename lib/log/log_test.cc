// SPDX-License-Identifier: Apache-2.0
#include "lib/log/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace tulle::log {
namespace {

struct Pipe {
  Pipe() {
    EXPECT_EQ(::pipe(fds.data()), 0);
    EXPECT_EQ(::fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
  }
  ~Pipe() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  // Everything that is there now.
  std::string read_all() const {
    std::string out;
    char buffer[4096];
    for (;;) {
      const ssize_t n = ::read(fds[0], buffer, sizeof buffer);
      if (n <= 0) return out;
      out.append(buffer, static_cast<std::size_t>(n));
    }
  }
  std::array<int, 2> fds{};
};

// A plain line without its uptime and thread.
std::string after_thread(const std::string& line) {
  const std::size_t at = line.find(") ");
  return at == std::string::npos ? line : line.substr(at + 2);
}

TEST(Logger, WritesPlainLines) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("info"));
  const Logger log(sink, "linkerd");
  log.debug("hidden");
  log.info("listening", {{"addr", "1.2.3.4:5"}, {"port", 5}, {"ok", true}});
  const std::string line = pipe.read_all();
  // "[     0.001234s]  INFO ThreadId(01) linkerd: …"
  ASSERT_GT(line.size(), 20U) << line;
  EXPECT_EQ(line.substr(0, 6), "[     ");
  EXPECT_EQ(line[7], '.');
  EXPECT_EQ(line.substr(14, 18), "s]  INFO ThreadId(");
  EXPECT_EQ(after_thread(line), "linkerd: listening addr=1.2.3.4:5 port=5 ok=true\n");
}

TEST(Logger, WritesEveryKindOfValue) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("trace"));
  Logger(sink, "t").trace("m", {{"a", -1},
                                {"b", std::uint64_t{18'446'744'073'709'551'615U}},
                                {"c", 0.25},
                                {"d", 1500ms},
                                {"e", 10s},
                                {"f", -1ns},
                                {"g", ""},
                                {"h", "two words"},
                                {"i", std::string("x=y")}});
  EXPECT_EQ(after_thread(pipe.read_all()),
            "t: m a=-1 b=18446744073709551615 c=0.25 d=1.5s e=10s f=-0.000000001s g=\"\" "
            "h=\"two words\" i=x=y\n");
}

TEST(Logger, OneLineStaysOneLine) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("info"));
  Logger(sink, "t").info("m", {{"a", "x\nforged \x1b[31m \x7f \xff \xc2\x9b"}});
  EXPECT_EQ(after_thread(pipe.read_all()),
            "t: m a=\"x\\nforged \\u001b[31m \\u007f \\ufffd \\u009b\"\n");
}

TEST(Logger, WritesJson) {
  const Pipe pipe;
  Sink json({.fd = pipe.fds[1], .json = true}, Filter::parse_lenient("info"));
  Logger(json, "t").warn("a \"quote\"", {{"n", -1},
                                         {"s", 2s},
                                         {"x", std::numeric_limits<double>::infinity()},
                                         {"u", "\xc3\xa9\xf0\x9f\x99\x82\xed\xa0\x80"}});
  const std::string line = pipe.read_all();
  EXPECT_EQ(line.substr(0, 16), R"({"timestamp":"20)");
  EXPECT_NE(line.find(R"("level":"WARN","fields":{"message":"a \"quote\"","n":-1,"s":"2s",)"
                      "\"x\":\"inf\",\"u\":\"\xc3\xa9\xf0\x9f\x99\x82\\ufffd\\ufffd\\ufffd\"}"
                      R"(,"target":"t","spans":[],"threadId":"ThreadId()"),
            std::string::npos)
      << line;
  EXPECT_TRUE(line.ends_with(")\"}\n"));
}

TEST(Logger, LongLinesAreCut) {
  const Pipe pipe;
  const std::string huge(10'000, 'x');
  for (const bool json : {false, true}) {
    Sink sink({.fd = pipe.fds[1], .json = json}, Filter::parse_lenient("info"));
    Logger(sink, "t").info("m", {{"kept", 1}, {"huge", huge}, {"after", 2}});
    const std::string line = pipe.read_all();
    EXPECT_LE(line.size(), 4096U);
    EXPECT_NE(line.find("kept"), std::string::npos);
    EXPECT_TRUE(line.ends_with(json ? "}\n" : "xxx...\n")) << line;
    if (json) {
      EXPECT_NE(line.find(R"("kept":1,"cut":true})"), std::string::npos) << line;
    }
  }
}

TEST(Logger, TheFilterCanChange) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("warn"));
  const Logger log(sink, "linkerd");
  const Logger copy(log);
  EXPECT_FALSE(log.enabled(Level::Info));
  sink.set_filter(Filter::parse_lenient("warn,linkerd=debug"));
  EXPECT_EQ(sink.filter_text(), "warn,linkerd=debug");
  EXPECT_TRUE(log.enabled(Level::Debug));
  EXPECT_TRUE(copy.enabled(Level::Debug));
  EXPECT_FALSE(log.enabled(Level::Trace));
  sink.set_filter(Filter::parse_lenient("off"));
  EXPECT_FALSE(copy.enabled(Level::Error));
}

TEST(Sink, WritesReadyLines) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("off"));
  sink.write_line("10.0.0.1:5 - - [now] \"GET / HTTP/1.1\" 200");
  EXPECT_EQ(pipe.read_all(), "10.0.0.1:5 - - [now] \"GET / HTTP/1.1\" 200\n");
  sink.write_line(std::string(10'000, 'x'));
  EXPECT_EQ(pipe.read_all().size(), 4096U);
}

TEST(Logger, OffIsOff) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1], .off = true}, Filter::parse_lenient("trace"));
  Logger(sink, "t").error("no");
  EXPECT_EQ(pipe.read_all(), "");
}

TEST(Logger, ASlowReaderLosesLinesAndIsTold) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("info"));
  const Logger log(sink, "t");
  const std::string text(1000, 'x');
  for (int i = 0; i < 1000; ++i) log.info("m", {{"text", text}});
  EXPECT_GT(sink.dropped(), 100U);
  const std::string lost = std::to_string(sink.dropped());
  EXPECT_EQ(pipe.read_all().find("lost"), std::string::npos);
  log.info("again");
  log.info("and again");
  const std::string lines = pipe.read_all();
  EXPECT_NE(lines.find("lines were lost, the reader is too slow lines=" + lost), std::string::npos)
      << lines;
  EXPECT_EQ(lines.find("lost", lines.find("lost") + 1), std::string::npos);
}

TEST(Logger, LinesOfThreadsDoNotMix) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("info"));
  const Logger log(sink, "t");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&log, &sink] {
      for (int n = 0; n < 50; ++n) {
        log.info("whole");
        sink.set_filter(Filter::parse_lenient("info"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::string lines = pipe.read_all();
  std::size_t count = 0;
  for (std::size_t at = 0; at < lines.size(); ++count) {
    const std::size_t end = lines.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    EXPECT_TRUE(lines.substr(at, end - at).ends_with(" t: whole"));
    at = end + 1;
  }
  EXPECT_EQ(count, 200U);
}

TEST(RateLimit, TellsWhatItHeldBack) {
  RateLimit limit(1s);
  std::uint64_t held = 0;
  const TimePoint now{10s};
  EXPECT_TRUE(limit.allow(now, held));
  EXPECT_FALSE(limit.allow(now + 10ms, held));
  EXPECT_FALSE(limit.allow(now + 20ms, held));
  EXPECT_TRUE(limit.allow(now + 1s, held));
  EXPECT_EQ(held, 2U);
}

TEST(RateLimit, LetsABurstThrough) {
  const Pipe pipe;
  Sink sink({.fd = pipe.fds[1]}, Filter::parse_lenient("info"));
  const Logger log(sink, "t");
  RateLimit limit(10s, 2);
  const TimePoint now{10s};
  for (int i = 0; i < 5; ++i) log.limited(limit, now, Level::Warn, "noise", {{"i", i}});
  log.limited(limit, now + 10s, Level::Warn, "noise");
  const std::string lines = pipe.read_all();
  EXPECT_NE(lines.find("noise i=1\n"), std::string::npos);
  EXPECT_EQ(lines.find("i=2"), std::string::npos);
  EXPECT_NE(lines.find("noise held_back=3\n"), std::string::npos);
}

}  // namespace
}  // namespace tulle::log
