// SPDX-License-Identifier: Apache-2.0
// What a byte costs us does not depend on what else the connection carries: each kind of frame and
// each way to break a stream beside 0, 100 and 10,000 open streams.
#include <gtest/gtest.h>

#include <ctime>
#include <functional>
#include <map>

#include "lib/h2/testing.h"
#include "lib/testing/endless.h"

namespace tulle::h2 {
namespace {

constexpr std::uint8_t kWhole = flag::kEndHeaders | flag::kEndStream;

std::string number(std::uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}
std::string initial_window(std::uint32_t n) { return std::string("\0\x4", 2) + number(n); }

std::int64_t cpu_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// A connection with that many streams that wait: their handlers never answer, or what they answer
// waits for a window.
struct Busy final : RawFixture {
  enum class Wait : std::uint8_t { Handler, Stream, Connection };
  Busy(Wait wait, std::uint32_t streams) {
    handler.answer = std::string(1000, 'x');
    if (wait == Wait::Handler) handler.delay = 1000h;
    if (wait == Wait::Stream) frame(frame::kSettings, 0, 0, initial_window(0));
    if (wait == Wait::Connection) {
      handler.answer = std::string(65'535, 'x');
      open();
      handler.answer = std::string(1000, 'x');
    }
    for (std::uint32_t i = 0; i < streams; ++i) open();
    rest();
  }
  void TestBody() override {}
  void open() {
    frame(frame::kHeaders, kWhole, next, kGet);
    next += 2;
    read();
  }
  // Time passes, so that what a kind of frame is charged does not count for the next.
  void rest() {
    loop.advance(30s);
    read();
  }
  // The least of several runs, each of `times` pieces, in nanoseconds a piece.
  std::int64_t cost(int times, const std::function<std::string()>& make) {
    std::int64_t least = INT64_MAX;
    for (int run = 0; run < 4; ++run) {
      std::string all;
      for (int i = 0; i < times; ++i) all += make();
      const std::int64_t before = cpu_ns();
      // In pieces of a segment, as from a network: what is done once a read is done often.
      for (std::size_t at = 0; at < all.size(); at += 1000) send(all.substr(at, 1000));
      least = std::min(least, (cpu_ns() - before) / times);
      const std::string got = read();
      EXPECT_FALSE(received(got, frame::kGoaway));
      rest();
    }
    return least;
  }
  std::uint32_t next = 1;
};

struct Kind {
  const char* name;
  int times;
  std::function<std::string(Busy&)> make;
};

std::string one(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                std::string_view payload) {
  return RawFixture::framed(type, flags, stream, payload);
}
// A stream of its own, and what breaks it.
Kind broken(const char* name, std::uint8_t flags, std::function<std::string(std::uint32_t)> more) {
  return {name, 60, [flags, more = std::move(more)](Busy& busy) {
            const std::uint32_t id = busy.next;
            busy.next += 2;
            return one(frame::kHeaders, flags, id, RawFixture::kGet) + more(id);
          }};
}

const Kind kKinds[] = {
    {"WINDOW_UPDATE of the connection", 1000,
     [](Busy&) { return one(frame::kWindowUpdate, 0, 0, number(100)); }},
    {"WINDOW_UPDATE of one byte", 500,
     [](Busy&) { return one(frame::kWindowUpdate, 0, 0, number(1)); }},
    {"WINDOW_UPDATE of a closed stream", 1000,
     [](Busy&) { return one(frame::kWindowUpdate, 0, 1, number(100)); }},
    {"SETTINGS", 100, [](Busy&) { return one(frame::kSettings, 0, 0, ""); }},
    {"PING", 500, [](Busy&) { return one(frame::kPing, 0, 0, "12345678"); }},
    {"PING ack", 1000, [](Busy&) { return one(frame::kPing, flag::kAck, 0, "12345678"); }},
    {"PRIORITY", 1000, [](Busy&) { return one(frame::kPriority, 0, 3, number(0) + "x"); }},
    {"GOAWAY", 100, [](Busy&) { return one(frame::kGoaway, 0, 0, number(0) + number(0)); }},
    {"RST_STREAM of a closed stream", 1000,
     [](Busy&) { return one(frame::kRstStream, 0, 1, number(8)); }},
    {"DATA of a closed stream", 1000, [](Busy&) { return one(frame::kData, 0, 1, "x"); }},
    {"empty DATA of a closed stream", 500, [](Busy&) { return one(frame::kData, 0, 1, ""); }},
    {"unknown", 1000, [](Busy&) { return one(0xEE, 0, 0, ""); }},
    {"HEADERS and CONTINUATION of a malformed request", 100,
     [](Busy& busy) {
       busy.next += 2;
       return one(frame::kHeaders, flag::kEndStream, busy.next - 2, "\x82") +
              one(frame::kContinuation, flag::kEndHeaders, busy.next - 2, "");
     }},
    broken("RST_STREAM", kWhole,
           [](std::uint32_t id) { return one(frame::kRstStream, 0, id, number(8)); }),
    broken("DATA after the end", kWhole,
           [](std::uint32_t id) { return one(frame::kData, 0, id, "x"); }),
    broken("a window beyond its limit", kWhole,
           [](std::uint32_t id) { return one(frame::kWindowUpdate, 0, id, number(0x7FFFFFFF)); }),
    broken("a stream that depends on itself", kWhole,
           [](std::uint32_t id) { return one(frame::kPriority, 0, id, number(id) + "x"); }),
    broken("trailers without the end", flag::kEndHeaders,
           [](std::uint32_t id) { return one(frame::kHeaders, flag::kEndHeaders, id, ""); }),
};

TEST(CostPerByte, DoesNotGrowWithStreams) {
  // More than a few times as much is a walk; caches are colder with many streams.
  constexpr std::int64_t kTimes = 12;
  constexpr std::int64_t kSlack = 2000;  // ns
  for (const Busy::Wait wait : {Busy::Wait::Handler, Busy::Wait::Stream, Busy::Wait::Connection}) {
    std::map<const Kind*, std::int64_t> alone;
    for (const std::uint32_t streams : {0U, 100U, 9000U}) {
      Busy busy(wait, streams);
      if (streams == 0) busy.open();  // one stream, closed or waiting, that frames can name
      for (const Kind& kind : kKinds) {
        const std::int64_t cost = busy.cost(kind.times, [&] { return kind.make(busy); });
        if (streams == 0) {
          alone[&kind] = cost;
        } else {
          EXPECT_LE(cost, alone[&kind] * kTimes + kSlack)
              << kind.name << " beside " << streams << " streams that wait for "
              << static_cast<int>(wait);
        }
      }
    }
  }
}

// A client chooses its ids so that they would share a place in a table that is not mixed.
TEST(CostPerByte, DoesNotGrowWithIdsThatWereChosen) {
  const auto make = [](Busy&) { return one(frame::kWindowUpdate, 0, 1, number(100)); };
  std::int64_t costs[2];
  for (const bool chosen : {false, true}) {
    Busy busy(Busy::Wait::Handler, 0);
    for (std::uint32_t i = 0; i < 4000; ++i) {
      busy.open();
      if (chosen) busy.next += 2 * ((1U << 16) - 1);
    }
    busy.rest();
    costs[chosen] = busy.cost(1000, [&] { return make(busy); });
  }
  EXPECT_LE(costs[1], costs[0] * 12 + 2000);
}

// A connection that always has something to say keeps no other from being served.
TEST(CostPerByte, AConnectionThatIsAlwaysReadableLetsOthersHaveTheirTurn) {
  const std::string floods[] = {
      one(frame::kWindowUpdate, 0, 0, number(64)),
      one(frame::kPing, flag::kAck, 0, "12345678"),
      one(frame::kSettings, flag::kAck, 0, ""),
      one(frame::kRstStream, 0, 1, number(8)),
  };
  for (const std::string& flood : floods) {
    auto loop = net::Loop::create();
    ASSERT_TRUE(loop);
    EchoHandler handler(**loop);
    net::Drain drain;
    const std::string first = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + one(frame::kSettings, 0, 0, "") +
                              one(frame::kHeaders, kWhole, 1, RawFixture::kGet);
    constexpr std::size_t kMost = std::size_t{64} * 1024 * 1024;
    net::TaskScope scope;
    auto stream = std::make_unique<testing::EndlessStream>(**loop, first, flood, kMost);
    const testing::EndlessStream& seen = *stream;
    scope.spawn(serve(std::move(stream), handler, {}, drain));
    for (std::size_t turn = 1; turn <= 20; ++turn) {
      (*loop)->run_once(1h);
      // The first read may be a whole buffer; then little, and a turn has two parts.
      EXPECT_LE(seen.given, std::size_t{128} * 1024 + turn * 64 * 1024);
    }
  }
}

}  // namespace
}  // namespace tulle::h2
