// SPDX-License-Identifier: Apache-2.0
#include "lib/net/copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "lib/net/socket.h"

namespace tulle::net {
namespace {

constexpr std::size_t kSplice = std::size_t{256} * 1024;
// A receiver that takes nothing for this long is slow. A fast one is full for less than a
// millisecond many times a second.
constexpr Duration kSlow = 50ms;
// What is read in all when there is much to carry, and what a receiver must have taken since it was
// slow to count as fast. Until then little is held for it: the kernel's buffer would have grown to
// megabytes before the first time that it takes nothing. In how many pieces it came says nothing: a
// busy machine reads seldom and much, an idle one often and little.
constexpr std::size_t kMuch = std::size_t{64} * 1024;
constexpr std::size_t kFluent = std::size_t{1} * 1024 * 1024;
// Between two sides that never block a direction would never end its turn.
constexpr std::size_t kTurn = std::size_t{1} * 1024 * 1024;

// A kernel pipe that carries bytes of one direction while they are in flight. Few are kept for
// reuse.
class KernelPipe {
 public:
  KernelPipe() = default;
  KernelPipe(const KernelPipe&) = delete;
  KernelPipe& operator=(const KernelPipe&) = delete;
  ~KernelPipe() { give_back(); }
  bool open() {
    if (read_ >= 0) return true;
    auto& spare = pool();
    if (!spare.empty()) {
      read_ = spare.back().first;
      write_ = spare.back().second;
      spare.pop_back();
      return true;
    }
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return false;
    read_ = ends[0];
    write_ = ends[1];
    return true;
  }
  void give_back() {
    if (read_ < 0) return;
    if (held == 0 && pool().size() < 8) {
      pool().emplace_back(read_, write_);
    } else {
      ::close(read_);
      ::close(write_);
    }
    read_ = write_ = -1;
  }
  int read_end() const { return read_; }
  int write_end() const { return write_; }
  std::size_t held = 0;

 private:
  struct Pool {
    std::vector<std::pair<int, int>> pipes;
    ~Pool() {
      for (const auto& [r, w] : pipes) {
        ::close(r);
        ::close(w);
      }
    }
  };
  static std::vector<std::pair<int, int>>& pool() {
    thread_local Pool spare;
    return spare.pipes;
  }
  int read_ = -1;
  int write_ = -1;
};

struct Direction {
  Stream& from;
  Stream& to;
  std::uint64_t& moved;
  std::optional<Error>& error;
  std::size_t fluent = 0;  // taken since the receiver was slow
  bool little = false;     // is held of what the sender sends
  std::size_t turn = 0;    // moved without waiting for anything
  bool much = false;       // was read
  std::size_t so_far = 0;  // until then

  void hold_little(bool on) {
    if (on == little) return;
    little = on;
    from.hold_little(on);
  }
  void read(std::size_t n) {
    if (!much) {
      so_far += n;
      much = so_far >= kMuch;
    }
    if (much && fluent < kFluent) hold_little(true);
  }
  void wrote(std::size_t n) {
    moved += n;
    turn += n;
    fluent += n;
    if (fluent >= kFluent) hold_little(false);
  }
  void slow() {
    fluent = 0;
    hold_little(true);
  }
};

// Both ends plain TCP: bytes stay in the kernel. Unsupported if the kernel will not.
Task<Result<void>> splice_one_way(Direction way) {
  KernelPipe pipe;
  TcpStream& from = *way.from.plain_tcp();
  TcpStream& to = *way.to.plain_tcp();
  bool ended = false;
  for (;;) {
    if (way.turn >= kTurn) {
      way.turn = 0;
      co_await yield(way.from.loop());
    }
    if (pipe.held == 0) {
      if (ended) co_return Result<void>{};
      if (!pipe.open()) co_return Error{Errc::Unsupported, "splice"};
      const ssize_t n = ::splice(from.fd(), nullptr, pipe.write_end(), nullptr, kSplice,
                                 SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) {
        pipe.held = static_cast<std::size_t>(n);
        from.count_spliced(pipe.held, 0);
        way.read(pipe.held);
      } else if (n == 0) {
        ended = true;
        continue;
      } else if (errno == EINTR) {
        continue;
      } else if (errno == EAGAIN) {
        from.io().readable = false;
        pipe.give_back();  // an idle connection holds no pipe
        way.turn = 0;
        co_await readable(from.io());
        continue;
      } else if (errno == EINVAL && way.moved == 0) {
        co_return Error{Errc::Unsupported, "splice"};
      } else {
        co_return Error{errno == ECONNRESET ? Errc::Reset : Errc::Io, "splice", errno};
      }
    }
    const ssize_t n = ::splice(pipe.read_end(), nullptr, to.fd(), nullptr, pipe.held,
                               SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
      pipe.held -= static_cast<std::size_t>(n);
      way.wrote(static_cast<std::size_t>(n));
      to.count_spliced(0, static_cast<std::uint64_t>(n));
    } else if (n < 0 && errno == EAGAIN) {
      to.io().writable = false;
      const bool soon = co_await writable(to.io(), way.from.loop().after(kSlow));
      if (!soon) {
        way.slow();
        co_await writable(to.io());
      }
    } else if (n < 0 && errno != EINTR) {
      co_return Error{errno == EPIPE || errno == ECONNRESET ? Errc::Reset : Errc::Io, "splice",
                      errno};
    }
  }
}

// Through the loop's bulk buffer; only what the other side does not take at once is kept.
Task<Result<void>> copy_through(Direction way) {
  ByteQueue held;
  for (;;) {
    if (way.turn >= kTurn) {
      way.turn = 0;
      co_await yield(way.from.loop());
    }
    // What is not taken is kept here: little, too.
    const MutableBytes room = way.little ? way.from.loop().scratch() : way.from.loop().bulk();
    const Result<std::size_t> n = way.from.try_read(room);
    if (!n) {
      if (n.error().code != Errc::WouldBlock) co_return n.error();
      way.turn = 0;
      co_await readable(way.from.io());
      continue;
    }
    if (*n == 0) co_return Result<void>{};
    way.read(*n);
    Bytes left(room.data(), *n);
    while (!left.empty()) {
      const Result<std::size_t> written = way.to.try_write(left);
      if (written) {
        left = left.subspan(*written);
        way.wrote(*written);
        continue;
      }
      if (written.error().code != Errc::WouldBlock) co_return written.error();
      break;
    }
    if (!left.empty()) held.append(left);
    for (;;) {
      Error blocked{Errc::WouldBlock, ""};
      if (!held.empty()) {
        const Result<std::size_t> written = way.to.try_write(held.data());
        if (written) {
          held.consume(*written);
          way.wrote(*written);
          continue;
        }
        blocked = written.error();
      } else {
        const Result<void> flushed = way.to.try_flush();
        if (flushed) break;
        blocked = flushed.error();
      }
      if (blocked.code != Errc::WouldBlock) co_return blocked;
      const bool soon = co_await writable(way.to.io(), way.from.loop().after(kSlow));
      if (!soon) {
        way.slow();
        co_await writable(way.to.io());
      }
    }
  }
}

Task<void> one_way(Direction way, Signal& done) {
  Result<void> outcome = Error{Errc::Unsupported, ""};
  if (way.from.plain_tcp() != nullptr && way.to.plain_tcp() != nullptr) {
    outcome = co_await splice_one_way(way);
  }
  if (!outcome && outcome.error().code == Errc::Unsupported) outcome = co_await copy_through(way);
  // The end of one side is the end of what the other hears; its own bytes go on.
  if (outcome) outcome = co_await shutdown_write(way.to);
  if (!outcome && !way.error) way.error = outcome.error();
  done.notify_all();
}

}  // namespace

Task<CopyOutcome> copy_duplex(Stream& a, Stream& b, CopyControl* control) {
  CopyControl own;
  CopyControl& counts = control != nullptr ? *control : own;
  CopyOutcome outcome;
  Signal done{a.loop()};
  {
    TaskScope scope;
    scope.spawn(one_way({a, b, counts.forward, outcome.error}, done));
    scope.spawn(one_way({b, a, counts.backward, outcome.error}, done));
    while (!scope.empty() && !outcome.error) {
      [[maybe_unused]] const bool told = co_await done.wait();
    }
  }
  outcome.forward = counts.forward;
  outcome.backward = counts.backward;
  if (outcome.error) {
    a.abort();
    b.abort();
  }
  co_return outcome;
}

}  // namespace tulle::net
