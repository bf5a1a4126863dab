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

// Cut anywhere, with any blanks: the same as byte for byte.
TEST(ForgedId, IsFoundInAnyPieces) {
  const std::string blanks(100, ' ');
  for (const std::string& before : {std::string("a5l5\n"), std::string("l5d-client-i5\r"),
                                    std::string("\nl5\n"), std::string("\x85")}) {
    for (const std::string& gap : {std::string(), blanks}) {
      const std::string text = before + gap + "l5d-client-id" + gap + ":";
      for (std::size_t cut = 0; cut < text.size(); ++cut) {
        for (std::size_t again = cut; again < text.size(); again += 7) {
          ForgedId forged;
          EXPECT_FALSE(forged.feed(as_bytes(text.substr(0, cut))));
          EXPECT_FALSE(forged.feed(as_bytes(text.substr(cut, again - cut))));
          EXPECT_TRUE(forged.feed(as_bytes(text.substr(again)))) << text << cut << " " << again;
        }
      }
    }
  }
  std::uint32_t seed = 1;
  constexpr std::string_view kBytes = "l5d-client-id:\n \rx";
  for (int round = 0; round < 300; ++round) {
    std::string text;
    while (text.size() < 200) {
      seed = seed * 1664525 + 1013904223;
      if (seed >> 28 < 12) text += kBytes[(seed >> 8) % kBytes.size()];
      if (seed >> 28 >= 14) text += std::string_view("\nl5d-client-id").substr(0, seed % 15);
    }
    const std::size_t slow = found_at(text, 1);
    for (const std::size_t piece : {2U, 5U, 31U, 5000U}) {
      const std::size_t at = found_at(text, piece);
      EXPECT_EQ(at == 0, slow == 0) << text;
      EXPECT_GE(at, slow) << text;
      EXPECT_LT(at, slow + std::max<std::size_t>(piece, 1) + (piece == 5000U ? 200 : 0)) << text;
    }
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
