// SPDX-License-Identifier: Apache-2.0
// A stream that says what is true now: sends a state, waits until something that it depends on has
// changed and the client keeps up, and sends the state as it is then. Nothing is queued; states in
// between are not missed by anybody.
//
// There are many streams and most of them wait, so what one keeps while it waits is one coroutine
// and what a Follower holds; the request and the state sent are gone by then.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "control/config.h"
#include "control/digest.h"
#include "control/index/index.h"
#include "lib/grpc/server.h"
#include "lib/grpc/service.h"
#include "lib/net/loop.h"
#include "proto/message.h"

namespace tulle::control {

// Waits for a change of the index on behalf of one coroutine, which awaits this. No net::Signal: a
// place for each of many streams that wait would be larger than what they wait with.
class IndexWatch final : public Subscription, private net::Waiter {
 public:
  IndexWatch(Index& index, net::Loop& loop) : Subscription(index), loop_(loop) {}
  void watch(const TopicSet& topics) { depend_on(topics); }

  bool await_ready() const noexcept { return told(); }
  void await_suspend(std::coroutine_handle<> caller) noexcept { handle = caller; }
  void await_resume() noexcept { handle = nullptr; }

 private:
  void on_change() override {
    if (handle) loop_.wake(*this);
  }
  net::Loop& loop_;
};

// A Follower of a state that is sent as a whole: what(view, config, query) → StatusOr<Message>,
// whenever it gives another message. A first state that is a refusal ends the call; later only
// NotFound does (the thing is gone), while other refusals (two pods with one address for a moment)
// leave the client with what it has.
template <typename Query, auto kWhat>
class Replacing {
 public:
  Replacing(const MeshConfig& config, Query query) : config_(config), query_(std::move(query)) {}

  // Looks once; gives the status that ends the call, if it is to end.
  std::optional<grpc::Status> look(grpc::ServerCall& call, Index& index, IndexWatch& watch) {
    TopicSet seen;
    const auto state = kWhat(View(index, &seen), config_, query_);
    watch.watch(seen);
    if (!state) {
      if (!sent_ || state.status().code == grpc::Code::NotFound) return state.status();
      return std::nullopt;
    }
    const std::string frame = grpc::frame_message(*state);
    const Digest print = digest_of(frame);
    if (sent_ != print && !call.send_frame(as_bytes(frame))) return grpc::Status{};
    sent_ = print;
    return std::nullopt;
  }

 private:
  const MeshConfig& config_;
  Query query_;
  std::optional<Digest> sent_;  // of what was sent last
};

// Makes the follower that the client's one message asks for; otherwise finishes the call.
template <typename Method, typename Follower, typename Query>
net::Task<void> begin_following(grpc::ServerCall& call, const MeshConfig& config,
                                grpc::StatusOr<Query> (*parse)(const typename Method::Request&,
                                                               const MeshConfig&),
                                std::optional<Follower>& follower) {
  const grpc::StatusOr<std::string> bytes = co_await call.read_one();
  if (!bytes) {
    call.finish(bytes.status());
    co_return;
  }
  const auto request = pb::decode_message<typename Method::Request>(as_bytes(*bytes));
  if (!request) {
    call.finish({grpc::Code::Internal, "a malformed request"});
    co_return;
  }
  auto query = parse(*request, config);
  if (!query) {
    call.finish(query.status());
    co_return;
  }
  follower.emplace(config, std::move(*query));
  call.forget_request();
}

// Looks once; false, and the call is finished, if it is to end. No coroutine: what it needs on the
// way is gone while the stream waits.
template <typename Follower>
bool look_once(Follower& follower, grpc::ServerCall& call, Index& index, IndexWatch& watch) {
  std::optional<grpc::Status> end = follower.look(call, index, watch);
  if (end) call.finish(std::move(*end));
  return !end;
}

// Serves one call of Method: reads the request, then follows the index with a Follower. Nothing of
// the request and no status is in this coroutine: it is what each of many streams keeps.
template <typename Method, typename Follower, typename Query>
net::Task<void> follow(grpc::ServerCall& call, Index& index, const MeshConfig& config,
                       grpc::StatusOr<Query> (*parse)(const typename Method::Request&,
                                                      const MeshConfig&)) {
  std::optional<Follower> follower;
  co_await begin_following<Method, Follower, Query>(call, config, parse, follower);
  if (!follower) co_return;
  IndexWatch watch(index, call.loop());
  for (;;) {
    const bool there = co_await call.ready();
    if (!there || !look_once(*follower, call, index, watch)) co_return;
    co_await watch;
  }
}

// Registers a stream of states with a server. What is borrowed must outlive the server.
template <typename Method, typename Follower, typename Query>
void add_following(grpc::Server& server, Index& index, const MeshConfig& config,
                   grpc::StatusOr<Query> (*parse)(const typename Method::Request&,
                                                  const MeshConfig&)) {
  server.add(Method::kPath, true,
             [index = &index, config = &config, parse](grpc::ServerCall& call) {
               return follow<Method, Follower, Query>(call, *index, *config, parse);
             });
}

}  // namespace tulle::control
