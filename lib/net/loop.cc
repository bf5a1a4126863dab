// SPDX-License-Identifier: Apache-2.0
#include "lib/net/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace tulle::net {
namespace {

constexpr Duration kTick = 1ms;
constexpr int kEventsPerTurn = 128;
// How often coroutines may wake each other in a turn before descriptors are looked at again. Two
// that pass bytes between streams that never block would go on for ever.
constexpr unsigned kRoundsPerTurn = 32;

void wake_in(IoState& state, Waiter*& slot) noexcept {
  if (slot == nullptr) return;
  Waiter* const waiter = std::exchange(slot, nullptr);
  state.loop->wake(*waiter);
}

}  // namespace

void IoState::set_readable() noexcept {
  readable = true;
  wake_in(*this, reader);
}
void IoState::set_writable() noexcept {
  writable = true;
  wake_in(*this, writer);
}

void TimerWheel::place(Timer& timer) {
  const std::uint64_t at = std::max(timer.tick_, now_ + 1);
  const std::uint64_t delta = at - now_;
  unsigned level = 0;
  while (level + 1 < kLevels && delta >= (std::uint64_t{1} << (kBits * (level + 1)))) ++level;
  // Beyond the wheel's horizon: parked in the last slot reached, placed again from there.
  const std::uint64_t horizon = (std::uint64_t{1} << (kBits * kLevels)) - 1;
  const std::uint64_t slot_at = std::min(at, now_ + horizon);
  const std::uint64_t slot = (slot_at >> (kBits * level)) & (kSlots - 1);
  slots_[level][slot].push_back(timer);
  occupied_[level] |= std::uint64_t{1} << slot;
}

void TimerWheel::arm(Timer& timer, std::uint64_t tick) {
  timer.unlink();
  timer.tick_ = tick;
  place(timer);
}

void TimerWheel::advance(std::uint64_t tick) {
  while (now_ < tick) {
    const std::uint64_t idle = until_next();
    if (idle == UINT64_MAX) {
      now_ = tick;
      return;
    }
    now_ = std::min(tick, now_ + std::max<std::uint64_t>(idle, 1));
    // Cascade: when a lower wheel has come round, its next turn is spread from the level above.
    for (unsigned level = 1; level < kLevels; ++level) {
      if ((now_ & ((std::uint64_t{1} << (kBits * level)) - 1)) != 0) break;
      List due;
      due.splice_back(slots_[level][(now_ >> (kBits * level)) & (kSlots - 1)]);
      while (Timer* const timer = due.pop_front()) {
        if (timer->tick_ <= now_) {
          slots_[0][now_ & (kSlots - 1)].push_back(*timer);  // due: taken right below
        } else {
          place(*timer);
        }
      }
    }
    List due;
    due.splice_back(slots_[0][now_ & (kSlots - 1)]);
    while (Timer* const timer = due.pop_front()) {
      if (timer->tick_ <= now_) {
        timer->fire();
      } else {
        place(*timer);
      }
    }
  }
}

std::uint64_t TimerWheel::until_next() const noexcept {
  std::uint64_t best = UINT64_MAX;
  for (unsigned level = 0; level < kLevels; ++level) {
    const std::uint64_t base = (now_ >> (kBits * level)) + 1;
    while (occupied_[level] != 0) {
      const auto turned = std::rotr(occupied_[level], static_cast<int>(base & (kSlots - 1)));
      const std::uint64_t at = base + static_cast<std::uint64_t>(std::countr_zero(turned));
      const std::uint64_t slot = at & (kSlots - 1);
      if (slots_[level][slot].empty()) {  // its timers were disarmed
        occupied_[level] &= ~(std::uint64_t{1} << slot);
        continue;
      }
      best = std::min(best, (at << (kBits * level)) - now_);
      break;
    }
  }
  return best;
}

Loop::Loop(bool simulated, int epoll_fd, int event_fd)
    : simulated_(simulated),
      epoll_fd_(epoll_fd),
      event_fd_(event_fd),
      now_(simulated ? TimePoint{1h} : monotonic_now()),
      epoch_(now_),
      scratch_(static_cast<std::uint8_t*>(::operator new[](2 * kBulk + kRecords, kScratchAlign))) {}

Result<std::unique_ptr<Loop>> Loop::create() {
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return Error{Errc::Io, "create epoll", errno};
  const int event_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd < 0) {
    const int saved = errno;
    ::close(epoll_fd);
    return Error{Errc::Io, "create eventfd", saved};
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event) != 0) {
    const int saved = errno;
    ::close(epoll_fd);
    ::close(event_fd);
    return Error{Errc::Io, "watch eventfd", saved};
  }
  return std::unique_ptr<Loop>(new Loop(false, epoll_fd, event_fd));
}

std::unique_ptr<Loop> Loop::create_simulated() {
  return std::unique_ptr<Loop>(new Loop(true, -1, -1));
}

void Loop::release_scratch() noexcept {
  ::madvise(scratch_.get(), 2 * kBulk + kRecords, MADV_DONTNEED);
}

Loop::~Loop() {
  if (epoll_fd_ >= 0) ::close(epoll_fd_);
  if (event_fd_ >= 0) ::close(event_fd_);
}

Deadline Loop::after(Duration delay) const noexcept {
  if (delay >= kNever - now_) return Deadline::never();
  return Deadline{now_ + delay};
}

void Loop::refresh_now() noexcept {
  if (!simulated_) now_ = monotonic_now();
}

std::uint64_t Loop::tick_of(TimePoint at, bool round_up) const noexcept {
  if (at <= epoch_) return 0;
  const Duration since = at - epoch_;
  const auto ticks = static_cast<std::uint64_t>(since / kTick);
  return round_up && since % kTick != Duration::zero() ? ticks + 1 : ticks;
}

void Loop::arm(Timer& timer, TimePoint at) { wheel_.arm(timer, tick_of(at, true)); }

Result<void> Loop::watch(int fd, IoState& state) {
  state.loop = this;
  if (simulated_) return Error{Errc::Unsupported, "watch a descriptor on a simulated loop"};
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (state.out_armed ? EPOLLOUT : 0U);
  event.data.ptr = &state;
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return Error{Errc::Io, "watch a descriptor", errno};
  }
  state.fd = fd;
  return {};
}

void Loop::want_writable(IoState& state) noexcept {
  if (state.out_armed || state.fd < 0 || epoll_fd_ < 0) return;
  state.out_armed = true;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &state;
  ::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, state.fd, &event);
}

void Loop::forget(int fd, IoState& state) noexcept {
  state.fd = -1;
  // A state is only touched while its event is handled, and handling only queues coroutines, so an
  // event of this very turn cannot outlive its state.
  if (epoll_fd_ >= 0 && forks_) ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

void Loop::stop() noexcept {
  stopped_.store(true, std::memory_order_release);
  if (event_fd_ >= 0) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(event_fd_, &one, sizeof one);
  }
}

void Loop::post(std::function<void()> function) {
  {
    const std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(function));
  }
  has_posted_.store(true, std::memory_order_release);
  if (event_fd_ >= 0) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(event_fd_, &one, sizeof one);
  }
}

void Loop::run_posted() {
  if (!has_posted_.exchange(false, std::memory_order_acq_rel)) return;
  std::vector<std::function<void()>> functions;
  {
    const std::lock_guard lock(posted_mutex_);
    functions.swap(posted_);
  }
  for (auto& function : functions) function();
}

// Those that are ready now, in order; whom they wake runs in the next round.
void Loop::run_batch() {
  IntrusiveList<Waiter, detail::ReadyTag> batch;
  batch.splice_back(ready_);
  while (Waiter* const waiter = batch.pop_front()) waiter->handle.resume();
}

void Loop::flush_batch() {
  IntrusiveList<FlushHook, detail::FlushTag> batch;
  batch.splice_back(flush_);
  while (FlushHook* const hook = batch.pop_front()) hook->flush_now();
}

void Loop::drain() {
  unsigned rounds = 0;
  for (;;) {
    run_posted();
    while (!ready_.empty()) {
      if (!simulated_ && ++rounds > kRoundsPerTurn) {
        flush_batch();
        return;
      }
      run_batch();
    }
    if (has_posted_.load(std::memory_order_acquire)) continue;
    if (FlushHook* const hook = flush_.pop_front()) {
      hook->flush_now();
      continue;
    }
    if (!simulated_ || yielded_.empty()) return;
    ready_.splice_back(yielded_);  // there are no descriptors to look at
  }
}

void Loop::run() {
  stopped_.store(false, std::memory_order_release);
  while (!stopped_.load(std::memory_order_acquire)) run_once(kNever - now_);
}

void Loop::run_once(Duration max_wait) {
  TULLE_CHECK(!simulated_);
  drain();
  if (stopped_.load(std::memory_order_acquire)) return;
  int timeout = -1;
  const std::uint64_t ticks = wheel_.until_next();
  if (has_work()) {
    timeout = 0;
  } else if (ticks != UINT64_MAX || max_wait < 24h) {
    refresh_now();
    Duration wait = std::min<Duration>(max_wait, 24h);
    if (ticks != UINT64_MAX) {
      // The wheel stands at the tick it was last moved to.
      const std::uint64_t passed = tick_of(now_, false) - wheel_tick();
      const Duration due = ticks > passed ? kTick * static_cast<std::int64_t>(ticks - passed) : 0ns;
      wait = std::min(wait, due);
    }
    timeout = static_cast<int>((wait + kTick - 1ns) / kTick);
  }
  std::array<epoll_event, kEventsPerTurn> events __attribute__((uninitialized));
  const int n = ::epoll_wait(epoll_fd_, events.data(), kEventsPerTurn, timeout);
  refresh_now();
  for (int i = 0; i < n; ++i) {
    auto* const state = static_cast<IoState*>(events[static_cast<std::size_t>(i)].data.ptr);
    const std::uint32_t what = events[static_cast<std::size_t>(i)].events;
    if (state == nullptr) {
      std::uint64_t count = 0;
      [[maybe_unused]] const ssize_t got = ::read(event_fd_, &count, sizeof count);
      continue;
    }
    if ((what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) state->hang_up = true;
    if ((what & (EPOLLHUP | EPOLLERR)) != 0) state->failed = true;
    const bool for_nobody = what == EPOLLOUT && state->writer == nullptr;
    if ((what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) state->set_readable();
    if ((what & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) state->set_writable();
    if (for_nobody && state->out_armed && state->fd >= 0) {
      state->out_armed = false;
      epoll_event event{};
      event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
      event.data.ptr = state;
      ::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, state->fd, &event);
    }
  }
  wheel_.advance(tick_of(now_, false));
  ready_.splice_back(yielded_);  // behind those that something happened to
  drain();
}

void Loop::advance(Duration by) {
  TULLE_CHECK(simulated_);
  drain();
  const TimePoint end = now_ + by;
  while (now_ < end) {
    const std::uint64_t ticks = wheel_.until_next();
    const std::uint64_t here = wheel_tick();
    TimePoint next = end;
    if (ticks != UINT64_MAX && epoch_ + kTick * static_cast<std::int64_t>(here + ticks) < end) {
      next = epoch_ + kTick * static_cast<std::int64_t>(here + ticks);
    }
    now_ = std::max(now_, next);
    wheel_.advance(tick_of(now_, false));
    drain();
  }
}

std::uint64_t Loop::wheel_tick() const noexcept { return wheel_.now(); }

}  // namespace tulle::net
