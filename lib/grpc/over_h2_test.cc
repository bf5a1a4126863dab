// SPDX-License-Identifier: Apache-2.0
// Calls over real HTTP/2 connections through an in-memory pipe: flow control, cuts, shutdown.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "lib/grpc/client.h"
#include "lib/grpc/service.h"
#include "lib/h2/connection.h"
#include "lib/testing/sim.h"
#include "proto/destination.pb.h"

namespace tulle::grpc {
namespace {

using net::Task;
using pb::destination::GetDestination;
using pb::destination::Update;
using Get = pb::destination::Destination::Get;

// Sends updates of 5,000 bytes as fast as the client takes them; "once" one and then nothing.
struct Watch {
  explicit Watch(net::Loop& loop) : never(loop) {}
  struct Alive {
    explicit Alive(int& its_count) : count(its_count) { ++count; }
    ~Alive() { --count; }
    int& count;
  };
  Task<Status> get(ServerCall&, GetDestination request, ServerStream<Update> out) {
    const Alive alive(running);
    Update update;
    update.set_add().metric_labels["label"] = std::string(5000, 'x');
    while (true) {
      const bool taken = co_await out.send(update);
      if (!taken) co_return Status{Code::Cancelled, ""};
      ++sent;
      if (request.path == "once") {
        const bool woken = co_await never.wait();
        (void)woken;
      }
    }
  }
  net::Signal never;
  int running = 0;
  int sent = 0;
};

class OverH2 : public ::testing::Test {
 protected:
  OverH2() {
    add_stream<Get>(server, watch, &Watch::get);
    auto [near_end, far_end] = loop.pipe();
    server_end = far_end.get();
    serving.emplace();
    serving->spawn(h2::serve(std::move(far_end), server, {}, drain));
    connection = h2::ClientConnection::make(std::move(near_end), {});
    channel.emplace(loop.get(), *connection, Channel::Options{.authority = "test"});
  }
  ClientStream<Get> get(std::string path, CallOptions options = {}) {
    GetDestination request;
    request.path = std::move(path);
    return open_stream<Get>(*channel, request, std::move(options));
  }

  testing::SimLoop loop;
  Watch watch{loop};
  Server server{loop};
  net::Drain drain;
  testing::PipeEnd* server_end = nullptr;
  std::optional<net::TaskScope> serving;
  std::unique_ptr<h2::ClientConnection> connection;
  std::optional<Channel> channel;
};

TEST_F(OverH2, ASlowClientHoldsTheServerBack) {
  auto stream = get("all");
  loop.drain();
  // One stream window, and what the call holds back by itself.
  EXPECT_GT(watch.sent, 10);
  EXPECT_LT(watch.sent, 25);
  const int before = watch.sent;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(loop.run(stream.read())->ok());
  loop.drain();
  EXPECT_GE(watch.sent, before + 80);
  EXPECT_LE(watch.sent, before + 101);
}

TEST_F(OverH2, CancellingReachesTheHandler) {
  {
    auto stream = get("all");
    EXPECT_TRUE(loop.run(stream.read())->ok());
    EXPECT_EQ(watch.running, 1);
  }
  loop.drain();
  EXPECT_EQ(watch.running, 0);
  EXPECT_TRUE(server.idle());
  auto again = get("once");  // the connection goes on
  EXPECT_TRUE(loop.run(again.read())->ok());
}

TEST_F(OverH2, ACutConnectionIsUnavailable) {
  auto stream = get("once");
  EXPECT_TRUE(loop.run(stream.read())->ok());
  server_end->abort();
  EXPECT_EQ(loop.run(stream.read())->status().code, Code::Unavailable);
  auto after = get("once");
  EXPECT_EQ(loop.run(after.read())->status().code, Code::Unavailable);
}

TEST_F(OverH2, AConnectionThatIsGoneEndsItsHandlers) {
  auto one = get("once");
  auto two = get("all");
  loop.drain();
  EXPECT_EQ(watch.running, 2);
  connection.reset();
  loop.drain();
  EXPECT_EQ(watch.running, 0);
  EXPECT_FALSE(loop.run(one.read())->ok() && loop.run(one.read())->ok());
}

TEST_F(OverH2, DrainingEndsWatchesWithOkThenTheConnection) {
  auto stream = get("once");
  EXPECT_TRUE(loop.run(stream.read())->ok());
  drain.start();
  server.drain();
  const auto end = loop.run(stream.read());
  ASSERT_TRUE(end->ok());
  EXPECT_FALSE((*end)->has_value());
  loop.drain();
  EXPECT_EQ(watch.running, 0);
  EXPECT_TRUE(serving->empty());
  EXPECT_FALSE(connection->accepting());
}

TEST_F(OverH2, TheDeadlineHoldsAtBothEnds) {
  CallOptions options;
  options.deadline = loop.get().after(3s);
  auto stream = get("once", std::move(options));
  EXPECT_TRUE(loop.run(stream.read())->ok());
  const auto late = loop.run(stream.read());
  EXPECT_EQ(late->status().code, Code::DeadlineExceeded);
  loop.drain();
  EXPECT_EQ(watch.running, 0);
}

}  // namespace
}  // namespace tulle::grpc
