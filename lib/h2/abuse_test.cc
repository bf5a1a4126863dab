// SPDX-License-Identifier: Apache-2.0
// What a hostile client can send: each is answered with the code that RFC 9113 names for it, and
// takes little memory.
#include <gtest/gtest.h>
#include <malloc.h>

#include <functional>

#include "lib/h2/testing.h"

namespace tulle::h2 {
namespace {

constexpr int kProtocol = 1, kFlowControl = 3, kStreamClosed = 5, kFrameSize = 6, kCompression = 9,
              kCalm = 11;
constexpr std::size_t kLittle = std::size_t{512} * 1024;

std::size_t memory_in_use() { return ::mallinfo2().uordblks; }  // nothing under sanitizers
std::string number(std::uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}
std::string setting(std::uint16_t id, std::uint32_t value) {
  return std::string{static_cast<char>(id >> 8), static_cast<char>(id)} + number(value);
}

struct Abuse : RawFixture {
  static constexpr std::uint8_t kWhole = flag::kEndHeaders | flag::kEndStream;

  // Sends step(0), step(1), … until the server has enough; its code, -1 if it bears all of them.
  int flood(int most, const std::function<std::string(int)>& step) {
    const std::size_t before = memory_in_use();
    for (int i = 0; i < most; ++i) {
      send(step(i));
      if (memory_in_use() > before) {
        EXPECT_LT(memory_in_use() - before, kLittle) << i;
      }
      if (const int code = goaway(); code >= 0) return code;
    }
    return -1;
  }
  void get(std::uint32_t id, bool end = true) {
    frame(frame::kHeaders, static_cast<std::uint8_t>(end ? kWhole : flag::kEndHeaders), id, kGet);
  }
  // The code of an RST_STREAM in what was received; -1 if there is none.
  int rst() {
    const auto payload = received(read(), frame::kRstStream);
    return payload
               ? static_cast<int>(read32(reinterpret_cast<const std::uint8_t*>(payload->data())))
               : -1;
  }
  bool serves() {
    const int before = handler.calls;
    read();
    get(next);
    next += 2;
    return handler.calls == before + 1 && goaway() == -1;
  }
  std::uint32_t next = 2001;  // a stream that no test has used
};

// For cases that take several connections.
struct Peer final : Abuse {
  void TestBody() override {}
};

// CVE-2023-44487.
TEST_F(Abuse, RapidReset) {
  handler.delay = 1h;
  EXPECT_EQ(flood(4000,
                  [](int i) {
                    const auto id = static_cast<std::uint32_t>(2 * i + 1);
                    return framed(frame::kHeaders, kWhole, id, kGet) +
                           framed(frame::kRstStream, 0, id, number(8));
                  }),
            kCalm);
  EXPECT_LT(handler.calls, 200);
}

// The same by errors that the server itself answers with resets (CVE-2025-8671).
TEST_F(Abuse, ResetsThatTheServerIsMadeToSend) {
  handler.delay = 1h;
  EXPECT_EQ(flood(20'000,
                  [](int i) {
                    const auto id = static_cast<std::uint32_t>(2 * i + 1);
                    return framed(frame::kHeaders, kWhole, id, kGet) +
                           framed(frame::kWindowUpdate, 0, id, number(0));
                  }),
            kCalm);
}

TEST_F(Abuse, MalformedRequests) {
  EXPECT_EQ(flood(20'000,
                  [](int i) {
                    return framed(frame::kHeaders, kWhole, static_cast<std::uint32_t>(2 * i + 1),
                                  "\x82");
                  }),
            kCalm);
  EXPECT_EQ(handler.calls, 0);
}

// CVE-2024-27316 and its like.
TEST_F(Abuse, ContinuationsWithoutEnd) {
  frame(frame::kHeaders, 0, 1, kGet);
  EXPECT_EQ(flood(100, [](int) { return framed(frame::kContinuation, 0, 1, ""); }), kCalm);
  EXPECT_EQ(handler.calls, 0);
}

TEST_F(Abuse, LargeContinuations) {
  frame(frame::kHeaders, 0, 1, kGet);
  // A literal field of sixteen thousand bytes each.
  const std::string field = std::string("\x00\x01x\x7f\x81\x7c", 6) + std::string(16'000, 'v');
  EXPECT_EQ(flood(100, [&](int) { return framed(frame::kContinuation, 0, 1, field); }), kCalm);
  EXPECT_EQ(handler.calls, 0);
}

TEST_F(Abuse, FloodsOfFramesThatMustBeAnsweredOrRead) {
  struct {
    const char* name;
    std::string frame;
  } const floods[] = {
      {"SETTINGS", framed(frame::kSettings, 0, 0, "")},
      {"SETTINGS with settings",
       framed(frame::kSettings, 0, 0, setting(setting::kInitialWindow, 1))},
      {"PING", framed(frame::kPing, 0, 0, "12345678")},
      {"PRIORITY", framed(frame::kPriority, 0, 3, number(0) + "x")},
      {"GOAWAY", framed(frame::kGoaway, 0, 0, number(0) + number(0))},
      {"unknown", framed(0xEE, 0, 0, "")},
      {"small WINDOW_UPDATE", framed(frame::kWindowUpdate, 0, 0, number(1))},
      {"empty DATA", framed(frame::kData, 0, 1, "")},
  };
  for (const auto& each : floods) {
    Peer peer_of_its_own;
    peer_of_its_own.handler.delay = 1h;
    peer_of_its_own.get(1, false);
    EXPECT_EQ(peer_of_its_own.flood(50'000, [&](int) { return each.frame; }), kCalm) << each.name;
  }
}

// A peer that makes us answer and never reads what we say.
TEST_F(Abuse, AnswersThatNobodyReads) {
  const std::size_t before = memory_in_use();
  const std::size_t pipe = std::size_t{1} << 20;  // what the fixture's own pipe may hold
  std::string pings;
  for (int i = 0; i < 1000; ++i) pings += framed(frame::kPing, 0, 0, "12345678");
  for (int i = 0; i < 500; ++i) send(pings);
  if (memory_in_use() > before) {
    EXPECT_LT(memory_in_use() - before, 3 * pipe + kLittle);
  }
}

TEST_F(Abuse, WindowsOfNothing) {
  frame(frame::kSettings, 0, 0, setting(setting::kInitialWindow, 0));
  handler.answer = std::string(1000, 'x');
  const std::size_t before = memory_in_use();
  for (std::uint32_t id = 1; id < 200; id += 2) get(id);
  EXPECT_EQ(handler.calls, 100);
  const std::string got = read();
  EXPECT_FALSE(received(got, frame::kData));
  EXPECT_FALSE(received(got, frame::kGoaway));
  if (memory_in_use() > before) {
    EXPECT_LT(memory_in_use() - before, 100 * 1000 + kLittle);
  }
  // One stream's window opens: its answer comes, and no other.
  frame(frame::kWindowUpdate, 0, 5, number(1000));
  const auto data = received(read(), frame::kData);
  ASSERT_TRUE(data);
  EXPECT_EQ(data->size(), 1000U);
}

TEST_F(Abuse, AWindowBeyondItsLimit) {
  frame(frame::kWindowUpdate, 0, 0, number(0x7FFFFFFF));
  EXPECT_EQ(goaway(), kFlowControl);
}
TEST_F(Abuse, AStreamsWindowBeyondItsLimit) {
  handler.delay = 1h;
  get(1);
  frame(frame::kWindowUpdate, 0, 1, number(0x7FFFFFFF));
  EXPECT_EQ(rst(), kFlowControl);
  EXPECT_TRUE(serves());
}
TEST_F(Abuse, AnInitialWindowBeyondItsLimit) {
  frame(frame::kSettings, 0, 0, setting(setting::kInitialWindow, 0x80000000));
  EXPECT_EQ(goaway(), kFlowControl);
}
TEST_F(Abuse, AnInitialWindowThatTakesAStreamBeyondIt) {
  handler.delay = 1h;
  get(1);
  frame(frame::kWindowUpdate, 0, 1, number(0x7FFFFFFF - 65'535));
  EXPECT_EQ(goaway(), -1);
  frame(frame::kSettings, 0, 0, setting(setting::kInitialWindow, 65'536));
  EXPECT_EQ(goaway(), kFlowControl);
}
TEST_F(Abuse, WindowUpdatesOfNothing) {
  handler.delay = 1h;
  get(1);
  frame(frame::kWindowUpdate, 0, 1, number(0));
  EXPECT_EQ(rst(), kProtocol);
  frame(frame::kWindowUpdate, 0, 0, number(0));
  EXPECT_EQ(goaway(), kProtocol);
}
TEST_F(Abuse, MoreDataThanTheWindow) {
  handler.delay = 1h;
  get(1, false);
  const std::string most(16'384, 'x');
  for (int i = 0; i < 4; ++i) frame(frame::kData, 0, 1, most);  // one byte too many
  EXPECT_EQ(rst(), kFlowControl);
  EXPECT_TRUE(serves());
}

TEST_F(Abuse, AHeaderListThatIsTooLarge) {
  std::string block(kGet);
  for (int i = 0; i < 5; ++i)
    block += std::string("\x00\x01x\x7f\xa1\x1e", 6) + std::string(4000, 'v');
  frame(frame::kHeaders, flag::kEndStream, 1, block.substr(0, 16'000));
  frame(frame::kContinuation, flag::kEndHeaders, 1, block.substr(16'000));
  const auto answer = received(read(), frame::kHeaders);
  ASSERT_TRUE(answer);
  EXPECT_NE(answer->find("431"), std::string::npos);
  EXPECT_EQ(handler.calls, 0);
  EXPECT_TRUE(serves());
}

// One large field in the table, then thousands of references of a byte each.
TEST_F(Abuse, ABombOfReferences) {
  const std::string field = std::string("\x40\x01x\x7f\xa1\x1e", 6) + std::string(4000, 'v');
  handler.delay = 1h;
  frame(frame::kHeaders, kWhole, 1, std::string(kGet) + field);
  EXPECT_EQ(handler.calls, 1);
  EXPECT_EQ(flood(200,
                  [](int i) {
                    return framed(frame::kHeaders, kWhole, static_cast<std::uint32_t>(2 * i + 3),
                                  std::string(kGet) + std::string(16'000, '\xbe'));
                  }),
            -1);
  EXPECT_EQ(handler.calls, 1);
}

TEST_F(Abuse, ATableLargerThanWasAllowed) {
  frame(frame::kHeaders, kWhole, 1, std::string("\x3f\xe1\xff\x03", 4) + std::string(kGet));
  EXPECT_EQ(goaway(), kCompression);
}
TEST_F(Abuse, TableSizesInTheMiddleOfABlock) {
  frame(frame::kHeaders, kWhole, 1, std::string(kGet) + "\x20");
  EXPECT_EQ(goaway(), kCompression);
}
TEST_F(Abuse, AFieldThatTheTableDoesNotHave) {
  frame(frame::kHeaders, kWhole, 1, std::string(kGet) + "\xff\x80\x80\x80\x01");
  EXPECT_EQ(goaway(), kCompression);
}

TEST_F(Abuse, AStreamThatIsUsedTwice) {
  get(1);
  get(1);
  EXPECT_EQ(goaway(), kStreamClosed);
  EXPECT_EQ(handler.calls, 1);
}
TEST_F(Abuse, StreamsThatGoBackwards) {
  get(5);
  get(3);
  EXPECT_EQ(goaway(), kStreamClosed);
  EXPECT_EQ(handler.calls, 1);
}
TEST_F(Abuse, AStreamOfTheServersOwn) {
  get(2);
  EXPECT_EQ(goaway(), kProtocol);
}

TEST_F(Abuse, DataOfAClosedStream) {
  get(1);
  frame(frame::kData, 0, 1, "late");
  EXPECT_EQ(rst(), kStreamClosed);
  EXPECT_TRUE(serves());
  EXPECT_EQ(flood(50'000, [](int) { return framed(frame::kData, 0, 1, "late"); }), kCalm);
}

// How many streams there may be is told.
TEST(Server, AnnouncesHowManyStreamsItTakes) {
  SimLoop loop;
  EchoHandler handler(loop);
  net::Drain drain;
  for (const auto& [option, announced] :
       {std::pair<std::uint32_t, std::uint32_t>{0, 10'000}, {250, 250}}) {
    auto [peer, ours] = loop.pipe();
    net::TaskScope scope;
    ServerOptions options;
    options.max_concurrent_streams = option;
    scope.spawn(serve(std::move(ours), handler, options, drain));
    loop.drain();
    const auto settings =
        RawFixture::received(std::string(as_text(peer->pending())), frame::kSettings);
    ASSERT_TRUE(settings);
    EXPECT_NE(settings->find(setting(setting::kMaxStreams, announced)), std::string::npos);
  }
}

// Errors of streams of every kind are charged as resets are: none goes on for ever.
TEST_F(Abuse, BrokenStreamsOfEveryKind) {
  const std::string length =
      "\x0f\x0d\x01"
      "1";  // content-length: 1
  const std::string many(20'000, 'x');
  struct {
    const char* name;
    std::function<std::string(std::uint32_t id)> make;
  } const kinds[] = {
      {"DATA after the end",
       [](std::uint32_t id) {
         return framed(frame::kHeaders, kWhole, id, kGet) + framed(frame::kData, 0, id, "x");
       }},
      {"DATA beyond content-length",
       [&](std::uint32_t id) {
         return framed(frame::kHeaders, flag::kEndHeaders, id, std::string(kGet) + length) +
                framed(frame::kData, 0, id, "xx");
       }},
      {"DATA short of content-length",
       [&](std::uint32_t id) {
         return framed(frame::kHeaders, flag::kEndHeaders, id, std::string(kGet) + length) +
                framed(frame::kData, flag::kEndStream, id, "");
       }},
      {"an end short of content-length",
       [&](std::uint32_t id) {
         return framed(frame::kHeaders, kWhole, id, std::string(kGet) + length);
       }},
      {"a window beyond its limit",
       [](std::uint32_t id) {
         return framed(frame::kHeaders, kWhole, id, kGet) +
                framed(frame::kWindowUpdate, 0, id, number(0x7FFFFFFF));
       }},
      {"a WINDOW_UPDATE of nothing",
       [](std::uint32_t id) {
         return framed(frame::kHeaders, kWhole, id, kGet) +
                framed(frame::kWindowUpdate, 0, id, number(0));
       }},
      {"a stream that depends on itself",
       [](std::uint32_t id) {
         return framed(frame::kHeaders, kWhole, id, kGet) +
                framed(frame::kPriority, 0, id, number(id) + "x");
       }},
      {"a PRIORITY of a wrong size",
       [](std::uint32_t id) {
         return framed(frame::kHeaders, kWhole, id, kGet) + framed(frame::kPriority, 0, id, "x");
       }},
      {"trailers that are none",
       [](std::uint32_t id) {
         return framed(frame::kHeaders, flag::kEndHeaders, id, kGet) +
                framed(frame::kHeaders, kWhole, id, kGet);
       }},
      {"trailers without the end",
       [](std::uint32_t id) {
         return framed(frame::kHeaders, flag::kEndHeaders, id, kGet) +
                framed(frame::kHeaders, flag::kEndHeaders, id, "");
       }},
  };
  for (const auto& kind : kinds) {
    for (const Duration apart : {Duration{0}, Duration{1ms}}) {
      Peer peer_of_its_own;
      peer_of_its_own.handler.delay = 1h;
      EXPECT_EQ(peer_of_its_own.flood(5000,
                                      [&](int i) {
                                        peer_of_its_own.loop.advance(apart);
                                        return kind.make(static_cast<std::uint32_t>(2 * i + 1));
                                      }),
                kCalm)
          << kind.name;
    }
  }
}

// What was on its way when we reset a stream ends nothing (RFC 9113 §5.1), and what it adds to the
// table of fields is known later.
TEST_F(Abuse, WhatWasOnItsWayToAStreamThatWeReset) {
  const std::string field = "\x40\x01y\x01z";  // y: z, field 63 once another was added
  frame(frame::kSettings, 0, 0, "");
  frame(frame::kHeaders, flag::kEndHeaders, 1, "\x82\x86\x41\x01\x61\x44\x06/early");
  EXPECT_EQ(rst(), 0);  // answered early: the rest is not wanted
  frame(frame::kData, 0, 1, "late");
  frame(frame::kWindowUpdate, 0, 1, number(100));
  EXPECT_EQ(read(), "");  // neither a reset nor the end of the connection
  frame(frame::kHeaders, flag::kEndStream, 1, field.substr(0, 3));
  frame(frame::kContinuation, flag::kEndHeaders, 1, field.substr(3));
  EXPECT_EQ(read(), "");
  EXPECT_EQ(handler.calls, 1);
  frame(frame::kHeaders, kWhole, 3, std::string(kGet) + "\xbf");
  EXPECT_EQ(handler.calls, 2);
  EXPECT_TRUE(serves());
  // Forgotten are those of long ago only; of a stream that ended well nothing can be on its way.
  get(next);
  frame(frame::kHeaders, kWhole, next, kGet);
  EXPECT_EQ(goaway(), kStreamClosed);
}

// A stream that is reset while its trailers come is not begun anew by the rest of them.
TEST_F(Abuse, TrailersOfAStreamThatEndsBetweenTheirFrames) {
  handler.delay = 10ms;
  frame(frame::kHeaders, flag::kEndHeaders, 1, "\x82\x86\x41\x01\x61\x44\x06/early");
  frame(frame::kHeaders, flag::kEndStream, 1, "");
  loop.advance(20ms);
  EXPECT_EQ(rst(), 0);
  frame(frame::kContinuation, flag::kEndHeaders, 1, kGet);
  EXPECT_EQ(handler.calls, 1);
  EXPECT_TRUE(serves());
}

TEST_F(Abuse, FramesOfIdleStreams) {
  const std::pair<std::uint8_t, std::string> frames[] = {
      {frame::kData, "x"}, {frame::kRstStream, number(8)}, {frame::kWindowUpdate, number(1)}};
  for (const auto& [type, payload] : frames) {
    Peer peer_of_its_own;
    peer_of_its_own.frame(type, 0, 7, payload);
    EXPECT_EQ(peer_of_its_own.goaway(), kProtocol) << int{type};
  }
}

TEST_F(Abuse, FramesOfWrongSizes) {
  const std::tuple<std::uint8_t, std::uint32_t, std::size_t> frames[] = {
      {frame::kData, 1, 16'385}, {frame::kPing, 0, 7},         {frame::kSettings, 0, 5},
      {frame::kRstStream, 1, 3}, {frame::kWindowUpdate, 0, 5}, {frame::kGoaway, 0, 7}};
  for (const auto& [type, stream, size] : frames) {
    Peer peer_of_its_own;
    peer_of_its_own.handler.delay = 1h;
    peer_of_its_own.get(1, false);
    // Of the largest the head is enough: it is not waited for.
    peer_of_its_own.send(framed(type, 0, stream, std::string(size, '\1'))
                             .substr(0, size > 16'384 ? 9 : std::string::npos));
    EXPECT_EQ(peer_of_its_own.goaway(), kFrameSize) << int{type};
  }
}

TEST_F(Abuse, APushByAClient) {
  frame(frame::kPushPromise, flag::kEndHeaders, 1, number(2) + std::string(kGet));
  EXPECT_EQ(goaway(), kProtocol);
}

TEST_F(Abuse, NewStreamsAfterGoaway) {
  handler.delay = 10s;
  get(1);
  drain.start();
  loop.drain();
  EXPECT_EQ(goaway(), 0);
  // On their way when it came: still served.
  get(3);
  EXPECT_EQ(handler.calls, 2);
  loop.advance(11s);
  EXPECT_NE(read().find("hello"), std::string::npos);
  // The last word was said: nothing more is begun, and the connection ends.
  get(5);
  EXPECT_EQ(handler.calls, 2);
  EXPECT_TRUE(scope.empty());
}

}  // namespace
}  // namespace tulle::h2
