// SPDX-License-Identifier: Apache-2.0
#include "lib/testing/sim.h"

#include <algorithm>
#include <array>

namespace tulle::testing {

struct PipeEnd::Shared {
  struct Side {
    PipeEnd* end = nullptr;
    ByteQueue incoming;  // written by the other side
    bool ended = false;  // this side will write no more
    bool aborted = false;
  };
  std::array<Side, 2> sides;
};

PipeEnd::PipeEnd(net::Loop& loop, std::shared_ptr<Shared> shared, int side)
    : shared_(std::move(shared)), side_(side), capacity_(0) {
  io_.loop = &loop;
  shared_->sides[static_cast<std::size_t>(side)].end = this;
}

std::pair<std::unique_ptr<PipeEnd>, std::unique_ptr<PipeEnd>> make_pipe(net::Loop& loop,
                                                                        std::size_t capacity) {
  auto shared = std::make_shared<PipeEnd::Shared>();
  std::unique_ptr<PipeEnd> a(new PipeEnd(loop, shared, 0));
  std::unique_ptr<PipeEnd> b(new PipeEnd(loop, shared, 1));
  a->capacity_ = b->capacity_ = capacity;
  return {std::move(a), std::move(b)};
}

PipeEnd::~PipeEnd() {
  auto& mine = shared_->sides[static_cast<std::size_t>(side_)];
  auto& other = shared_->sides[static_cast<std::size_t>(1 - side_)];
  mine.end = nullptr;
  mine.ended = true;
  if (!mine.incoming.empty())
    mine.aborted = true;  // as TCP: unread bytes turn a close into a reset
  if (other.end != nullptr) {
    other.end->io_.hang_up = true;
    other.end->io_.failed = mine.aborted;
    other.end->io_.set_readable();
    other.end->io_.set_writable();
  }
}

Result<std::size_t> PipeEnd::try_read(MutableBytes into) {
  auto& mine = shared_->sides[static_cast<std::size_t>(side_)];
  auto& other = shared_->sides[static_cast<std::size_t>(1 - side_)];
  if (mine.aborted) return Error{Errc::Reset, "read"};
  if (mine.incoming.empty()) {
    if (other.aborted) return Error{Errc::Reset, "read"};
    if (other.ended) return std::size_t{0};
    io_.readable = false;
    return Error{Errc::WouldBlock, "read"};
  }
  std::size_t n = std::min(into.size(), mine.incoming.size());
  if (max_read_ != 0) n = std::min(n, max_read_);
  std::copy_n(mine.incoming.data().begin(), n, into.begin());
  mine.incoming.consume(n);
  if (other.end != nullptr) other.end->io_.set_writable();
  return n;
}

Result<std::size_t> PipeEnd::try_write(Bytes bytes) {
  auto& mine = shared_->sides[static_cast<std::size_t>(side_)];
  auto& other = shared_->sides[static_cast<std::size_t>(1 - side_)];
  if (mine.aborted || other.aborted || other.end == nullptr || mine.ended) {
    return Error{Errc::Reset, "write"};
  }
  const std::size_t room =
      capacity_ > other.incoming.size() ? capacity_ - other.incoming.size() : 0;
  const std::size_t n = std::min(room, bytes.size());
  if (n == 0 && !bytes.empty()) {
    io_.writable = false;
    return Error{Errc::WouldBlock, "write"};
  }
  other.incoming.append(bytes.first(n));
  other.end->io_.set_readable();
  return n;
}

Result<void> PipeEnd::try_shutdown() {
  auto& mine = shared_->sides[static_cast<std::size_t>(side_)];
  auto& other = shared_->sides[static_cast<std::size_t>(1 - side_)];
  mine.ended = true;
  if (other.end != nullptr) {
    other.end->io_.hang_up = true;
    other.end->io_.set_readable();
  }
  return {};
}

void PipeEnd::abort() noexcept {
  auto& mine = shared_->sides[static_cast<std::size_t>(side_)];
  auto& other = shared_->sides[static_cast<std::size_t>(1 - side_)];
  mine.aborted = mine.ended = true;
  other.incoming.clear();
  if (other.end != nullptr) {
    other.end->io_.hang_up = true;
    other.end->io_.failed = mine.aborted;
    other.end->io_.set_readable();
    other.end->io_.set_writable();
  }
  io_.set_readable();
  io_.set_writable();
}

Bytes PipeEnd::pending() const {
  return shared_->sides[static_cast<std::size_t>(side_)].incoming.data();
}
bool PipeEnd::peer_closed() const {
  return shared_->sides[static_cast<std::size_t>(1 - side_)].ended;
}
bool PipeEnd::peer_aborted() const {
  return shared_->sides[static_cast<std::size_t>(1 - side_)].aborted;
}

}  // namespace tulle::testing
