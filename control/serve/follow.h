// SPDX-License-Identifier: Apache-2.0
// A stream that says what is true now: sends a state, waits until something that it depends on has
// changed and the client keeps up, and sends the state as it is then. Nothing is queued; states in
// between are not missed by anybody.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "control/index/index.h"
#include "lib/grpc/server.h"
#include "lib/net/loop.h"
#include "proto/message.h"

namespace tulle::control {

// Waits for changes of the index on behalf of a coroutine.
class IndexWatch final : public Subscription {
 public:
  IndexWatch(Index& index, net::Loop& loop) : Subscription(index), signal_(loop) {}
  void watch(const TopicSet& topics) {
    changed_ = false;
    depend_on(topics);
  }
  net::Task<void> changed() {
    while (!changed_) co_await signal_.wait();
  }

 private:
  void on_change() override {
    changed_ = true;
    signal_.notify_all();
  }
  net::Signal signal_;
  bool changed_ = false;
};

// 64-bit FNV-1a: enough to see that a message of ours differs from the one before.
inline std::uint64_t fingerprint(std::string_view bytes) noexcept {
  std::uint64_t h = 14695981039346656037ULL;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return h;
}

// Looks once: sends the state if it is another than before. Gives the status that ends the call, if
// it is to end. No coroutine, so that nothing of the state outlives the look: there are many
// streams.
template <typename Compute>
std::optional<grpc::Status> look(grpc::ServerCall& call, Index& index, IndexWatch& watch,
                                 const Compute& compute, std::optional<std::uint64_t>& sent) {
  TopicSet seen;
  const auto state = compute(View(index, &seen));
  watch.watch(seen);
  if (!state) {
    if (!sent || state.status().code == grpc::Code::NotFound) return state.status();
    return std::nullopt;
  }
  const std::string frame = grpc::frame_message(*state);
  const std::uint64_t print = fingerprint(frame);
  if (sent != print && !call.send_frame(as_bytes(frame))) return grpc::Status{};
  sent = print;
  return std::nullopt;
}

// Sends compute(View) → StatusOr<Message>, whenever it gives another message. A first state that is
// a refusal ends the call; later only NotFound does (the thing is gone), while other refusals (two
// pods with one address for a moment) leave the client with what it has.
template <typename Compute>
net::Task<grpc::Status> follow(grpc::ServerCall& call, Index& index, Compute compute) {
  IndexWatch watch(index, call.loop());
  std::optional<std::uint64_t> sent;
  for (;;) {
    const bool there = co_await call.ready();
    if (!there) co_return grpc::Status{};
    std::optional<grpc::Status> end = look(call, index, watch, compute, sent);
    if (end) co_return *std::move(end);
    co_await watch.changed();
  }
}

}  // namespace tulle::control
