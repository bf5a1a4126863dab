// SPDX-License-Identifier: Apache-2.0
// What a server keeps callers to that nobody knows: unfinished requests share a bound, and all
// requests have a time.
#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "lib/grpc/headers.h"
#include "lib/grpc/service.h"
#include "lib/testing/sim.h"
#include "proto/destination.pb.h"
#include "proto/identity.pb.h"

namespace tulle::grpc {
namespace {

using net::Task;
using pb::destination::GetDestination;
using pb::destination::Update;
using pb::identity::CertifyRequest;
using pb::identity::CertifyResponse;
using Certify = pb::identity::Identity::Certify;
using Get = pb::destination::Destination::Get;

struct Service {
  explicit Service(net::Loop& loop) : never(loop) {}
  Task<StatusOr<CertifyResponse>> certify(ServerCall&, CertifyRequest request) {
    ++certified;
    if (request.identity == "slow") [[maybe_unused]]
      const bool woken = co_await never.wait();
    co_return CertifyResponse{};
  }
  Task<Status> get(ServerCall&, GetDestination, ServerStream<Update> out) {
    const Update update;
    [[maybe_unused]] const bool taken = co_await out.send(update);
    [[maybe_unused]] const bool woken = co_await never.wait();
    co_return Status{};
  }
  net::Signal never;
  int certified = 0;
};

// One call, with the sending end of its body.
struct Call {
  std::string_view path;
  http::BodyWriter body;
  std::optional<Result<http::Response>> response;
  net::TaskScope scope;

  // The status in its head; -1: it still runs, or streams.
  int code() const {
    if (!response || !*response) return -1;
    const auto text = (*response)->headers.get("grpc-status");
    return text ? std::atoi(std::string(*text).c_str()) : -1;
  }
};

struct BoundsTest : ::testing::Test {
  static constexpr std::size_t kLimit = 100'000;
  BoundsTest() {
    add_unary<Certify>(server, service, &Service::certify);
    add_stream<Get>(server, service, &Service::get);
  }
  static ServerCall::Options options(net::HeldBytes& unfinished) {
    ServerCall::Options out;
    out.max_message = 65'536;
    out.request_time = 10s;
    out.unfinished = &unfinished;
    out.max_answering = kLimit;
    out.max_streams_of_strangers = 20;
    return out;
  }
  static Task<void> serve(Server* server, http::Request request, Peer peer,
                          std::optional<Result<http::Response>>* out) {
    out->emplace(co_await server->serve(std::move(request), std::move(peer)));
  }
  Call& begin(std::string_view path, std::string_view client = "10.0.0.1",
              std::string_view identity = "") {
    Call& call = calls.emplace_back();
    auto [writer, reader] = http::make_body(loop);
    call.body = std::move(writer);
    http::Request request;
    request.version = http::Version::Http2;
    request.method = "POST";
    request.path = path;
    request.headers.add("content-type", "application/grpc");
    request.body = std::move(reader);
    Peer peer;
    peer.address.ip = *net::IpAddr::parse(client);
    peer.identity = identity;
    call.scope.spawn(serve(&server, std::move(request), std::move(peer), &call.response));
    return call;
  }
  void send(Call& call, std::string_view bytes) {
    call.body.write(as_bytes(bytes));
    loop.drain();
  }
  // The beginning of a message of 60,000 bytes.
  static std::string beginning(std::size_t size) {
    return std::string("\0\0\0\xEA\x60", 5) + std::string(size, 'x');
  }
  static std::string slow() {
    CertifyRequest request;
    request.identity = "slow";
    request.token = std::string(20'000, 't');
    return frame_message(request);
  }

  testing::SimLoop loop;
  net::HeldBytes unfinished{kLimit};
  Service service{loop};
  Server server{loop, options(unfinished)};
  std::deque<Call> calls;
};

TEST_F(BoundsTest, UnfinishedMessagesShareABoundAndTheOldestGivesWay) {
  for (int i = 0; i < 100; ++i) {
    Call& call = begin(Certify::kPath, "10.0.0." + std::to_string(i % 10));
    send(call, beginning(30'000));
    EXPECT_LE(unfinished.total(), kLimit);
  }
  EXPECT_EQ(calls.front().code(), static_cast<int>(Code::Unavailable));
  EXPECT_EQ(calls.back().code(), -1);
  Call& good = begin(Certify::kPath, "10.0.1.1");
  send(good, frame_message(CertifyRequest{}));
  good.body.finish();
  loop.drain();
  EXPECT_EQ(service.certified, 1);
  ASSERT_TRUE(good.response && *good.response);
}

// However many sources they come from, watches of strangers leave room for those who are known.
TEST_F(BoundsTest, StreamsOfStrangersShareABoundAndTheOldestGivesWay) {
  const auto watch = [&](std::string_view client, std::string_view identity = "") -> Call& {
    Call& call = begin(Get::kPath, client, identity);
    send(call, frame_message(GetDestination{}));
    return call;
  };
  Call& known = watch("10.0.0.1", "web.shop.serviceaccount.identity.linkerd.cluster.local");
  Call& own = watch("127.0.0.1");
  const auto open = [](const Call& call) {
    return call.response && *call.response && !(*call.response)->body.complete();
  };
  std::deque<Call*> strangers;
  for (int i = 0; i < 100; ++i) {
    strangers.push_back(&watch("10.1." + std::to_string(i) + ".1"));
    int alive = 0;
    for (const Call* call : strangers) alive += open(*call) ? 1 : 0;
    EXPECT_LE(alive, 20);
  }
  EXPECT_TRUE(open(*strangers.back()));
  EXPECT_FALSE(open(*strangers.front()));
  EXPECT_TRUE(open(known) && open(own));
  // Those who are known are not counted, and a stranger who leaves makes room.
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(open(watch("10.2.0.1", "a.b.serviceaccount")));
  EXPECT_TRUE(open(*strangers[80]));
  calls.clear();
  loop.drain();
  EXPECT_TRUE(server.idle());
}

TEST_F(BoundsTest, CallsThatHaveSentNothingCountToo) {
  for (int i = 0; i < 1000; ++i) {
    begin(i % 2 == 0 ? Certify::kPath : Get::kPath);
    EXPECT_LE(unfinished.total(), kLimit);
  }
  loop.drain();
  int open = 0;
  for (const Call& call : calls) open += call.code() == -1 ? 1 : 0;
  EXPECT_LE(open, 50);
}

TEST_F(BoundsTest, AnotherSourceKeepsWhatItBegan) {
  Call& kept = begin(Certify::kPath, "10.0.0.9");
  send(kept, beginning(1000));
  for (int i = 0; i < 100; ++i) send(begin(Certify::kPath, "10.0.0.1"), beginning(30'000));
  EXPECT_EQ(kept.code(), -1);
}

TEST_F(BoundsTest, AMessageOverTheLimitIsRefusedByItsPrefix) {
  Call& call = begin(Certify::kPath);
  send(call, std::string("\0\0\1\0\1", 5));
  EXPECT_EQ(call.code(), static_cast<int>(Code::ResourceExhausted));
}

TEST_F(BoundsTest, AnUnfinishedRequestEndsInTime) {
  Call& unary = begin(Certify::kPath);
  Call& stream = begin(Get::kPath);
  Call& slow_answer = begin(Certify::kPath);
  send(slow_answer, slow());
  for (int i = 0; i < 9; ++i) {
    loop.advance(1s);
    send(unary, i == 0 ? beginning(1) : "x");
    send(stream, i == 0 ? beginning(1) : "x");
  }
  EXPECT_EQ(unary.code(), -1);
  loop.advance(1100ms);
  EXPECT_EQ(unary.code(), static_cast<int>(Code::DeadlineExceeded));
  EXPECT_EQ(stream.code(), static_cast<int>(Code::DeadlineExceeded));
  EXPECT_EQ(slow_answer.code(), static_cast<int>(Code::DeadlineExceeded));
  EXPECT_EQ(unfinished.total(), 0U);
  EXPECT_TRUE(server.idle());
}

TEST_F(BoundsTest, AWatchHasAllTimeAndHoldsNothing) {
  Call& watch = begin(Get::kPath);
  send(watch, frame_message(GetDestination{}));
  EXPECT_EQ(unfinished.total(), 0U);
  ASSERT_TRUE(watch.response && *watch.response);
  // Nobody reads what comes after its one message.
  send(watch, std::string(50'000, 'x'));
  EXPECT_TRUE(watch.body.abandoned());
  for (int i = 0; i < 100; ++i) send(begin(Certify::kPath), beginning(30'000));
  loop.advance(24h);
  EXPECT_FALSE(server.idle());
  EXPECT_FALSE((*watch.response)->body.complete());
}

TEST_F(BoundsTest, RequestsThatAreAnsweredHaveABoundAndTheNewOneWaitsElsewhere) {
  for (int i = 0; i < 10; ++i) send(begin(Certify::kPath), slow());
  EXPECT_EQ(service.certified, 4);
  EXPECT_EQ(calls.front().code(), -1);
  EXPECT_EQ(calls.back().code(), static_cast<int>(Code::Unavailable));
  calls.clear();
  send(begin(Certify::kPath), slow());
  EXPECT_EQ(service.certified, 5);
}

}  // namespace
}  // namespace tulle::grpc
