// SPDX-License-Identifier: Apache-2.0
// The event loop of one thread: readiness of file descriptors (edge-triggered epoll), timers (one
// wheel), woken coroutines, and functions posted from other threads. Connections never move
// between loops. Also the primitives that suspend a coroutine: readiness, Signal, sleep.
#pragma once

#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/intrusive_list.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/net/task.h"

namespace tulle::net {

class Loop;

namespace detail {
struct ReadyTag;
struct TimerTag;
struct SignalTag;
struct FlushTag;
}  // namespace detail

// A coroutine that can be put on the loop's run queue. Destroying it while queued removes it, so a
// cancelled coroutine is never resumed.
struct Waiter : ListHook<detail::ReadyTag> {
  std::coroutine_handle<> handle;
};

// A callback at a point in time. Owned by whoever needs it; destroying it disarms it.
// Resolution is 1 ms; it never fires early.
class Timer : public ListHook<detail::TimerTag> {
 public:
  virtual void fire() = 0;
  bool armed() const noexcept { return linked(); }

 protected:
  ~Timer() = default;

 private:
  friend class Loop;
  friend class TimerWheel;
  std::uint64_t tick_ = 0;
};

// Something to do once before the loop sleeps, e.g. writing what a batch of events produced.
class FlushHook : public ListHook<detail::FlushTag> {
 public:
  virtual void flush_now() = 0;

 protected:
  ~FlushHook() = default;
};

// Edge-triggered readiness of one stream, as the loop last heard it. Optimistic at first; whoever
// gets WouldBlock from a read or write clears the flag and waits.
struct IoState {
  bool readable = true;
  bool writable = true;
  bool hang_up = false;  // the peer closed its side or the connection failed (data may remain)
  bool failed = false;   // both directions are over: reset, or closed by both
  Waiter* reader = nullptr;
  Waiter* writer = nullptr;
  Loop* loop = nullptr;
  int fd = -1;             // as registered with the loop
  bool out_armed = false;  // the kernel is asked to tell when writing is possible

  // Wakes whoever waits; called by the loop and by in-memory pipes.
  void set_readable() noexcept;
  void set_writable() noexcept;
};

// Hierarchical timing wheel, 1 ms ticks, 4 levels of 64 slots.
class TimerWheel {
 public:
  using List = IntrusiveList<Timer, detail::TimerTag>;
  explicit TimerWheel(std::uint64_t now_tick) : now_(now_tick) {}
  void arm(Timer& timer, std::uint64_t tick);
  // Moves time to `tick` and fires what is due, in order of ticks.
  void advance(std::uint64_t tick);
  // Ticks until something may be due; UINT64_MAX if nothing is armed.
  std::uint64_t until_next() const noexcept;
  std::uint64_t now() const noexcept { return now_; }

 private:
  static constexpr unsigned kBits = 6;
  static constexpr unsigned kSlots = 1U << kBits;
  static constexpr unsigned kLevels = 4;
  void place(Timer& timer);
  std::uint64_t now_;
  std::array<std::array<List, kSlots>, kLevels> slots_;
  // Slots that may hold timers; bits of emptied slots are cleared when they are met.
  mutable std::array<std::uint64_t, kLevels> occupied_{};
};

class Loop {
 public:
  // Real time and real descriptors.
  static Result<std::unique_ptr<Loop>> create();
  // Virtual time, no descriptors: time moves only by advance() (see lib/testing).
  static std::unique_ptr<Loop> create_simulated();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // The cached monotonic time of this turn; cheap.
  TimePoint now() const noexcept { return now_; }
  Deadline after(Duration delay) const noexcept;

  // Runs until stop(). Call from the thread that owns the loop.
  void run();
  // One turn: waits at most `max_wait` for something to happen, then handles it.
  void run_once(Duration max_wait);
  // May be called from any thread and from signal handlers.
  void stop() noexcept;

  // Runs the function on this loop's thread, soon. From any thread.
  void post(std::function<void()> function);

  // Puts a suspended coroutine on the run queue (idempotent).
  void wake(Waiter& waiter) noexcept {
    if (!waiter.linked()) ready_.push_back(waiter);
  }
  // As wake(), but only after descriptors were looked at again: whoever could go on for ever lets
  // others have their turn.
  void wake_next_turn(Waiter& waiter) noexcept {
    if (!waiter.linked()) yielded_.push_back(waiter);
  }
  void arm(Timer& timer, TimePoint at);
  // Calls hook.flush_now() once before the loop sleeps; idempotent until then.
  void flush_later(FlushHook& hook) noexcept {
    if (!hook.linked()) flush_.push_back(hook);
  }

  // Registers a descriptor for reading, edge-triggered, and for writing if `state.out_armed` is
  // set. `state` must outlive forget(), which the descriptor's owner calls right before closing it.
  Result<void> watch(int fd, IoState& state);
  void forget(int fd, IoState& state) noexcept;
  // Closing a descriptor takes it off epoll too, unless a child process shares it. A program that
  // never forks says so here, and forget() needs no system call.
  void never_forks() noexcept { forks_ = false; }
  // Asks to hear when the descriptor can be written; that ends with the first time that nobody
  // waits for it, since a peer's acknowledgements of a full socket would be an event each.
  void want_writable(IoState& state) noexcept;

  // Memory that the code running now may scribble on until it suspends or returns to the loop;
  // nobody keeps a view into it across a suspension. scratch() is 64 KiB for what is parsed;
  // bulk(), which begins with it, is 192 KiB for what is only carried on; scratch2() is for what a
  // TLS layer decrypts: a whole bulk() in its records.
  MutableBytes scratch() noexcept { return {scratch_.get(), kScratch}; }
  MutableBytes bulk() noexcept { return {scratch_.get(), kBulk}; }
  MutableBytes scratch2() noexcept { return {scratch_.get() + kBulk, kBulk + kRecords}; }
  // Gives the pages of all three back to the system until they are used again.
  void release_scratch() noexcept;

  // Simulated loops only: moves time forward, firing timers and running tasks in order.
  void advance(Duration by);
  // Runs woken coroutines, posted functions and flush hooks; no waiting. Simulated loops: until
  // none is left. In real time coroutines that wake each other on and on go on in the next turn.
  void drain();

 private:
  Loop(bool simulated, int epoll_fd, int event_fd);
  void run_posted();
  void run_batch();
  void flush_batch();
  bool has_work() noexcept { return !ready_.empty() || !yielded_.empty() || !flush_.empty(); }
  void refresh_now() noexcept;
  std::uint64_t tick_of(TimePoint at, bool round_up) const noexcept;
  std::uint64_t wheel_tick() const noexcept;
  static constexpr std::size_t kScratch = std::size_t{64} * 1024;
  static constexpr std::size_t kBulk = std::size_t{192} * 1024;
  // Headers and tags of a bulk's records; they need little of it, but with 64 KiB, the largest page
  // of any machine, all of the block is whole pages and can be given back.
  static constexpr std::size_t kRecords = std::size_t{64} * 1024;
  static constexpr std::align_val_t kScratchAlign{std::size_t{64} * 1024};
  struct FreeScratch {
    void operator()(std::uint8_t* block) const noexcept {
      ::operator delete[](block, kScratchAlign);
    }
  };

  const bool simulated_;
  const int epoll_fd_;
  const int event_fd_;
  std::atomic<bool> stopped_{false};
  bool forks_ = true;
  TimePoint now_;
  TimePoint epoch_;
  TimerWheel wheel_{0};
  IntrusiveList<Waiter, detail::ReadyTag> ready_;
  IntrusiveList<Waiter, detail::ReadyTag> yielded_;  // until the next turn
  IntrusiveList<FlushHook, detail::FlushTag> flush_;
  std::unique_ptr<std::uint8_t[], FreeScratch> scratch_;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  std::atomic<bool> has_posted_{false};
};

// An awaiter that resumes when woken or, if it comes first, when the deadline passes.
// await_resume() says true if it was woken, false on timeout.
class TimedWaiter : public Waiter, private Timer {
 public:
  TimedWaiter(Loop& loop, Deadline by) : loop_(loop), by_(by) {}
  TimedWaiter(const TimedWaiter&) = delete;
  TimedWaiter& operator=(const TimedWaiter&) = delete;

 protected:
  ~TimedWaiter() = default;
  void suspend(std::coroutine_handle<> caller) {
    handle = caller;
    if (!by_.is_never()) loop_.arm(*this, by_.at());
  }
  // Disarms the timer; true if woken in time.
  bool finish() noexcept {
    static_cast<Timer*>(this)->unlink();
    return !timed_out_;
  }
  Loop& loop_;
  Deadline by_;

 private:
  void fire() override {
    if (static_cast<Waiter*>(this)->linked()) return;  // woken in this very turn
    timed_out_ = true;
    on_timeout();
    loop_.wake(*this);
  }
  virtual void on_timeout() {}
  bool timed_out_ = false;
};

// Tells waiting coroutines that something changed; no memory: check the condition in a loop.
//   while (!ready) { const bool in_time = co_await signal.wait(by); if (!in_time) … }
// A Signal may be destroyed while coroutines wait: they then wait for their deadline only.
class Signal {
 public:
  explicit Signal(Loop& loop) : loop_(&loop) {}
  class Wait : public TimedWaiter, public ListHook<detail::SignalTag> {
   public:
    Wait(Signal& signal, Loop& loop, Deadline by) : TimedWaiter(loop, by), signal_(signal) {}
    bool await_ready() const noexcept { return by_.passed(loop_.now()); }
    void await_suspend(std::coroutine_handle<> caller) {
      suspended_ = true;
      signal_.waiting_.push_back(*this);
      suspend(caller);
    }
    bool await_resume() noexcept { return suspended_ && finish(); }

   private:
    friend class Signal;
    void on_timeout() override { ListHook<detail::SignalTag>::unlink(); }
    Signal& signal_;
    bool suspended_ = false;
  };
  // True when notified, false when the deadline passed first.
  Wait wait(Deadline by = {}) { return Wait{*this, *loop_, by}; }
  void notify_all() noexcept {
    while (Wait* const waiting = waiting_.pop_front()) loop_->wake(*waiting);
  }
  void notify_one() noexcept {
    if (Wait* const waiting = waiting_.pop_front()) loop_->wake(*waiting);
  }
  bool has_waiters() noexcept { return !waiting_.empty(); }

 private:
  Loop* loop_;
  IntrusiveList<Wait, detail::SignalTag> waiting_;
};

// co_await sleep_until(loop, at): suspends until then.
class Sleep : public TimedWaiter {
 public:
  Sleep(Loop& loop, TimePoint at) : TimedWaiter(loop, Deadline{at}) {}
  bool await_ready() const noexcept { return by_.passed(loop_.now()); }
  void await_suspend(std::coroutine_handle<> caller) { suspend(caller); }
  void await_resume() noexcept { finish(); }
};
inline Sleep sleep_until(Loop& loop, TimePoint at) { return Sleep{loop, at}; }
inline Sleep sleep_for(Loop& loop, Duration delay) { return Sleep{loop, loop.now() + delay}; }

// co_await yield(loop): lets everything else run first, also what descriptors have to tell.
class Yield : public Waiter {
 public:
  explicit Yield(Loop& loop) : loop_(loop) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    handle = caller;
    loop_.wake_next_turn(*this);
  }
  void await_resume() noexcept {}

 private:
  Loop& loop_;
};
inline Yield yield(Loop& loop) { return Yield{loop}; }

// co_await readable(state, by) / writable(state, by): true when ready, false on timeout. At most
// one coroutine waits for each side of a stream.
class IoWait : public TimedWaiter {
 public:
  IoWait(IoState& state, bool for_reading, Deadline by)
      : TimedWaiter(*state.loop, by), state_(state), reading_(for_reading) {}
  ~IoWait() { leave(); }
  bool await_ready() const noexcept { return reading_ ? state_.readable : state_.writable; }
  void await_suspend(std::coroutine_handle<> caller) {
    suspended_ = true;
    Waiter*& slot = reading_ ? state_.reader : state_.writer;
    TULLE_ASSERT(slot == nullptr);
    slot = this;
    if (!reading_) loop_.want_writable(state_);
    suspend(caller);
  }
  bool await_resume() noexcept {
    if (!suspended_) return true;
    leave();
    return finish();
  }

 private:
  void on_timeout() override { leave(); }
  void leave() noexcept {
    Waiter*& slot = reading_ ? state_.reader : state_.writer;
    if (suspended_ && slot == this) slot = nullptr;
  }
  IoState& state_;
  bool reading_;
  bool suspended_ = false;
};
inline IoWait readable(IoState& state, Deadline by = {}) { return IoWait{state, true, by}; }
inline IoWait writable(IoState& state, Deadline by = {}) { return IoWait{state, false, by}; }

}  // namespace tulle::net
