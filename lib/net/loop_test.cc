// SPDX-License-Identifier: Apache-2.0
#include "lib/net/loop.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/text.h"
#include "lib/testing/sim.h"

namespace tulle::net {
namespace {

using testing::SimLoop;

struct Note final : Timer {
  Note(std::vector<std::uint64_t>& log, const TimerWheel& wheel) : out(log), at(wheel) {}
  void fire() override { out.push_back(at.now()); }
  std::vector<std::uint64_t>& out;
  const TimerWheel& at;
};

// Against a model: every timer fires at its tick, exactly once, in order; disarmed ones never.
TEST(TimerWheel, FiresEachTimerAtItsTick) {
  Random random{42};
  TimerWheel wheel{0};
  std::vector<std::uint64_t> fired;
  std::vector<std::unique_ptr<Note>> timers;
  std::vector<std::uint64_t> expected;
  for (int i = 0; i < 2000; ++i) {
    timers.push_back(std::make_unique<Note>(fired, wheel));
    const std::uint64_t tick = 1 + random.next() % (i % 3 == 0   ? 100
                                                    : i % 3 == 1 ? 5000
                                                                 : 30'000'000);
    wheel.arm(*timers.back(), tick);
    if (i % 5 == 0) {
      timers.pop_back();
    } else {
      expected.push_back(tick);
    }
  }
  std::sort(expected.begin(), expected.end());
  std::uint64_t now = 0;
  while (now < 31'000'000) {
    now += 1 + random.next() % 100'000;
    wheel.advance(now);
  }
  ASSERT_EQ(fired.size(), expected.size());
  for (std::size_t i = 0; i < fired.size(); ++i) EXPECT_EQ(fired[i], expected[i]);
  EXPECT_EQ(wheel.until_next(), UINT64_MAX);
}

Task<int> ready_value(int n) { co_return n; }

Task<void> await_many(int count, std::int64_t* sum) {
  for (int i = 0; i < count; ++i) {
    const int value = co_await ready_value(1);
    *sum += value;
  }
}

// The stack must not grow with the number of awaits that complete at once.
TEST(Task, AwaitsAMillionReadyTasks) {
  std::int64_t sum = 0;
  TaskScope scope;
  scope.spawn(await_many(1'000'000, &sum));
  EXPECT_EQ(sum, 1'000'000);
  EXPECT_TRUE(scope.empty());
}

struct Counted {
  static inline int made = 0;
  static inline int destroyed = 0;
  Counted() { ++made; }
  Counted(Counted&&) noexcept { ++made; }
  ~Counted() { ++destroyed; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  Counted& operator=(Counted&&) = delete;
};

Task<void> take(Counted /*argument*/, Loop* loop) { co_await sleep_for(*loop, 1s); }

TEST(Task, ArgumentsBalanceWhenATaskIsCancelled) {
  Counted::made = Counted::destroyed = 0;
  SimLoop loop;
  {
    TaskScope scope;
    scope.spawn(take(Counted{}, &loop.get()));
    EXPECT_EQ(scope.size(), 1U);
  }
  EXPECT_GT(Counted::made, 0);
  EXPECT_EQ(Counted::made, Counted::destroyed);
  loop.advance(2s);  // nothing left to resume
}

Task<void> append_after(Loop* loop, Duration delay, std::string* out, char c) {
  co_await sleep_for(*loop, delay);
  *out += c;
}

TEST(TaskScope, RunsSideBySideAndJoins) {
  SimLoop loop;
  std::string out;
  TaskScope scope;
  scope.spawn(append_after(&loop.get(), 30ms, &out, 'c'));
  scope.spawn(append_after(&loop.get(), 10ms, &out, 'a'));
  scope.spawn(append_after(&loop.get(), 20ms, &out, 'b'));
  loop.advance(25ms);
  EXPECT_EQ(out, "ab");
  loop.advance(1s);
  EXPECT_EQ(out, "abc");
  EXPECT_TRUE(scope.empty());
}

Task<void> wait_signal(Signal* signal, Deadline by, int* outcome) {
  const bool woken = co_await signal->wait(by);
  *outcome = woken ? 1 : 2;
}

TEST(Signal, WakesOrTimesOut) {
  SimLoop loop;
  Signal signal{loop};
  int first = 0;
  int second = 0;
  TaskScope scope;
  scope.spawn(wait_signal(&signal, loop.get().after(50ms), &first));
  loop.advance(60ms);
  EXPECT_EQ(first, 2);
  scope.spawn(wait_signal(&signal, loop.get().after(50ms), &second));
  signal.notify_all();
  loop.drain();
  EXPECT_EQ(second, 1);
}

Task<void> echo(Stream* stream) {
  for (;;) {
    std::uint8_t buffer[16];
    const Result<std::size_t> n = co_await read_some(*stream, buffer);
    if (!n || *n == 0) break;
    const Result<void> written = co_await write_all(*stream, Bytes(buffer, *n));
    if (!written) break;
  }
  const Result<void> done = co_await shutdown_write(*stream);
  EXPECT_TRUE(done);
}

TEST(Pipe, CarriesBytesAndEnds) {
  SimLoop loop;
  auto [a, b] = loop.pipe(8);
  TaskScope scope;
  scope.spawn(echo(b.get()));
  std::string got;
  std::string sent = "a long enough line to block both ways";
  Bytes left = as_bytes(sent);
  while (got.size() < sent.size()) {
    if (!left.empty()) {
      const Result<std::size_t> n = a->try_write(left);
      if (n) left = left.subspan(*n);
    }
    loop.drain();
    std::uint8_t buffer[64];
    const Result<std::size_t> n = a->try_read(buffer);
    if (n) got += as_text(Bytes(buffer, *n));
  }
  EXPECT_EQ(got, sent);
  EXPECT_TRUE(a->try_shutdown());
  loop.drain();
  EXPECT_TRUE(scope.empty());
  EXPECT_TRUE(a->peer_closed());
}

TEST(Loop, RunsPostedFunctionsFromOtherThreads) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  int count = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) {
      (*loop)->post([&] {
        if (++count == 1000) (*loop)->stop();
      });
    }
  });
  (*loop)->run();
  other.join();
  EXPECT_EQ(count, 1000);
}

Task<void> pass_on(Signal* from, Signal* to, int* passes) {
  for (;;) {
    [[maybe_unused]] const bool told = co_await from->wait();
    ++*passes;
    to->notify_all();
  }
}

Task<void> go_on(Loop* loop, int* turns) {
  for (;;) {
    ++*turns;
    co_await yield(*loop);
  }
}

// Two that wake each other, and one that lets others go first, never keep the loop from looking at
// its descriptors and timers.
TEST(RealLoop, NobodyHoldsATurnForEver) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  Signal one{**loop};
  Signal other{**loop};
  int passes = 0;
  int turns = 0;
  TaskScope scope;
  scope.spawn(pass_on(&one, &other, &passes));
  scope.spawn(pass_on(&other, &one, &passes));
  scope.spawn(go_on(loop->get(), &turns));
  one.notify_all();
  for (int i = 1; i <= 10; ++i) {
    (*loop)->run_once(1h);  // does not sleep: there is work
    EXPECT_GE(passes, i);
    EXPECT_LE(passes, i * 100);
    EXPECT_GE(turns, i);
    EXPECT_LE(turns, i + 2);
  }
}

}  // namespace
}  // namespace tulle::net
