// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/forged_id.h"

#include <gtest/gtest.h>

#include "lib/testing/sim.h"

namespace tulle::proxy {
namespace {

using testing::PipeEnd;
using testing::SimLoop;

// After how many bytes, in pieces of that size; 0: never.
std::size_t found_at(std::string_view text, std::size_t piece) {
  ForgedId forged;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    if (forged.feed(as_bytes(text.substr(at, piece))))
      return at + std::min(piece, text.size() - at);
  }
  return 0;
}

TEST(ForgedId, IsFoundWhereALineBeginsWithItsName) {
  const std::string long_line(1000, 'x');
  for (const std::string& text :
       {std::string("l5d-client-id:"), std::string("\nl5d-client-id:"),
        std::string("GET foo\r\nL5D_Client.Id \t:"), std::string("a\r l5d-client-id:"),
        long_line + "\nl5d-client-id:", "a\x85l5d-client-id:" + std::string(),
        std::string("a\x1c\xA0l5d client id:"), std::string("l5d\nl5d-\n\n\rl5d-client-id:"),
        std::string("a: b\x0bl5d-client-id:")}) {
    for (const std::size_t piece : {1U, 2U, 3U, 7U, 13U, 64U, 5000U}) {
      const std::size_t at = found_at(text + " forged\r\n\r\n", piece);
      EXPECT_GE(at, text.size()) << text << piece;
      EXPECT_LT(at, text.size() + piece) << text << piece;
    }
  }
}

TEST(ForgedId, IsNothingElse) {
  for (const char* text :
       {"", "x-l5d-client-id: a", "\"l5d-client-id\": a", "\nl5d-client-id\r\n: a",
        "\nl5d-client-ids: a", "\nl5d-client-i: a", "\nl5dclientid: a", "\nl5d:client-id: a",
        "say l5d-client-id: a", "\nl5d-client-id a: b", "\n\"l5d-client-id: a"}) {
    for (const std::size_t piece : {1U, 5U, 5000U}) EXPECT_EQ(found_at(text, piece), 0U) << text;
  }
}

struct Watched : ::testing::Test {
  Watched() {
    auto [ours, theirs] = loop.pipe(1 << 20);
    client = std::move(theirs);
    stream = std::make_unique<WatchedStream>(std::move(ours));
  }
  // False when reading fails.
  bool passes(std::string_view text) {
    EXPECT_TRUE(client->try_write(as_bytes(text)));
    loop.drain();
    std::string got;
    std::uint8_t room[4096];
    for (;;) {
      const Result<std::size_t> n = stream->try_read(room);
      if (!n) return n.error().code == Errc::WouldBlock && got == text;
      got += as_text({room, *n});
    }
  }
  SimLoop loop;
  std::unique_ptr<PipeEnd> client;
  std::unique_ptr<WatchedStream> stream;
};

constexpr std::string_view kForged = "\nl5d-client-id: forged\n";

TEST_F(Watched, FailsAndStaysSo) {
  EXPECT_TRUE(passes("GET /x FOO\r\nl5d-clie"));
  EXPECT_FALSE(passes("nt-id: forged\r\n\r\n"));
  EXPECT_TRUE(stream->forged());
  EXPECT_FALSE(passes("more"));
}

// Of a kept connection the second request may be the forged one, however long the first was.
TEST_F(Watched, GoesOnWhileTheServerIsSilentOrAnswersAsHttp) {
  const std::string much(WatchedStream::kWatched + 1000, 'x');
  EXPECT_TRUE(passes(much));
  EXPECT_TRUE(stream->try_write(as_bytes("HT")));
  EXPECT_TRUE(stream->try_write(as_bytes("TP/1.1 200 OK\r\n\r\n")));
  EXPECT_TRUE(passes(much));
  EXPECT_FALSE(passes(kForged));
}

TEST_F(Watched, EndsAfterAnotherAnswer) {
  EXPECT_TRUE(stream->try_write(as_bytes("HTT-no")));
  EXPECT_TRUE(passes(std::string(WatchedStream::kWatched, 'x')));
  EXPECT_TRUE(passes(kForged));
  EXPECT_FALSE(stream->forged());
}

TEST_F(Watched, DoesNotEndBefore) {
  EXPECT_TRUE(stream->try_write(as_bytes("+OK\r\n")));
  EXPECT_TRUE(passes(std::string(WatchedStream::kWatched - 100, 'x')));
  EXPECT_FALSE(passes(kForged));
}

}  // namespace
}  // namespace tulle::proxy
