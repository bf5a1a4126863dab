// SPDX-License-Identifier: Apache-2.0
// Client and server against each other, without a connection between them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lib/grpc/client.h"
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

// A method that no contract of ours has: messages both ways.
struct Chat {
  using Request = GetDestination;
  using Response = GetDestination;
  static constexpr std::string_view kPath = "/test.Chat/Chat";
  static constexpr bool kClientStreams = true;
  static constexpr bool kServerStreams = true;
};

struct Nowhere : Certify {
  static constexpr std::string_view kPath = "/io.linkerd.proxy.identity.Identity/Revoke";
};

// Counts what is alive, to see coroutines destroyed.
struct Alive {
  explicit Alive(int& count) : count_(count) { ++count_; }
  ~Alive() { --count_; }
  int& count_;
};

struct Service {
  explicit Service(net::Loop& loop) : changed(loop) {}

  Task<StatusOr<CertifyResponse>> certify(ServerCall& call, CertifyRequest request) {
    const Alive alive(running);
    if (request.identity == "slow") {
      const bool woken = co_await changed.wait();
      (void)woken;
    }
    if (request.identity.empty()) co_return Status{Code::InvalidArgument, "no identity"};
    token = get_metadata(call.request().headers, "trace-bin").value_or("");
    seen_deadline = call.deadline();
    call.trailers().add("cost", "1");
    CertifyResponse response;
    response.leaf_certificate = request.identity + "'s";
    co_return response;
  }

  Task<Status> get(ServerCall& call, GetDestination request, ServerStream<Update> out) {
    const Alive alive(running);
    if (request.path == "missing") co_return Status{Code::NotFound, "no such service"};
    call.response_headers().add("served-by", "test");
    for (int i = 0; request.path == "three" && i < 3; ++i) {
      Update update;
      update.set_add().addrs.emplace_back().weight = static_cast<std::uint32_t>(i);
      const bool taken = co_await out.send(update);
      if (!taken) co_return Status{Code::Cancelled, ""};
    }
    if (request.path == "three") co_return Status{};
    while (true) {  // a watch
      const bool ready = co_await out.ready();
      if (!ready) co_return Status{Code::Cancelled, ""};
      Update update;
      update.set_no_endpoints().exists = true;
      if (request.path == "large") {
        for (int i = 0; i < 1000; ++i)
          update.set_add().metric_labels["label"] = std::string(5000, 'x');
      }
      out.send_now(update);
      ++sent;
      if (request.path == "large") continue;
      const bool woken = co_await changed.wait();
      (void)woken;
    }
  }

  Task<Status> chat(ServerCall&, ServerReader<GetDestination> in,
                    ServerStream<GetDestination> out) {
    const Alive alive(running);
    while (true) {
      StatusOr<std::optional<GetDestination>> next = co_await in.read();
      if (!next) co_return next.status();
      if (!next->has_value()) co_return Status{};
      GetDestination answer;
      answer.path = "re: " + (*next)->path;
      const bool taken = co_await out.send(answer);
      if (!taken) co_return Status{Code::Cancelled, ""};
    }
  }

  net::Signal changed;
  int running = 0;
  int sent = 0;
  std::string token;
  Deadline seen_deadline;
};

// Hands requests to a handler of the same loop; can also answer by itself.
struct Loopback final : http::Client {
  explicit Loopback(http::Handler& handler) : to(handler) {}
  Task<Result<http::Response>> send(http::Request request, Deadline) override {
    if (fail) co_return *fail;
    co_return co_await to.handle(std::move(request));
  }
  http::Handler& to;
  std::optional<Error> fail;
};

class CallTest : public ::testing::Test {
 protected:
  CallTest() {
    add_unary<Certify>(server, service, &Service::certify);
    add_stream<Get>(server, service, &Service::get);
    add_bidi<Chat>(server, service, &Service::chat);
  }
  StatusOr<CertifyResponse> certify(std::string identity, CallOptions options = {}) {
    CertifyRequest request;
    request.identity = std::move(identity);
    return *loop.run(call_unary<Certify>(channel, request, std::move(options)));
  }
  ClientStream<Get> get(std::string path, CallOptions options = {}) {
    GetDestination request;
    request.path = std::move(path);
    return open_stream<Get>(channel, request, std::move(options));
  }

  testing::SimLoop loop;
  Service service{loop};
  Server server{loop};
  Loopback transport{server};
  Channel channel{loop, transport, {.authority = "test:1"}};
};

TEST_F(CallTest, Unary) {
  CallOptions options;
  add_metadata(options.metadata, "trace-bin", std::string_view("\x00\x01", 2));
  options.deadline = loop.get().after(10s);
  const auto response = certify("web", std::move(options));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->leaf_certificate, "web's");
  EXPECT_EQ(service.token, std::string_view("\x00\x01", 2));
  EXPECT_EQ(service.seen_deadline.at(), loop.get().after(10s).at());
  EXPECT_EQ(service.running, 0);
  EXPECT_TRUE(server.idle());
}

TEST_F(CallTest, UnaryFails) {
  const auto response = certify("");
  ASSERT_FALSE(response);
  EXPECT_EQ(response.status(), (Status{Code::InvalidArgument, "no identity"}));
}

TEST_F(CallTest, UnaryDeadline) {
  CallOptions options;
  options.deadline = loop.get().after(2s);
  const auto response = certify("slow", std::move(options));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.status().code, Code::DeadlineExceeded);
  EXPECT_EQ(service.running, 0);
  CallOptions late;
  late.deadline = Deadline{loop.get().now()};
  EXPECT_EQ(certify("web", std::move(late)).status().code, Code::DeadlineExceeded);
}

TEST_F(CallTest, AClientThatGoesAwayEndsTheHandler) {
  {
    CertifyRequest request;
    request.identity = "slow";
    auto call = call_unary<Certify>(channel, request);
    EXPECT_EQ(service.running, 1);
  }
  EXPECT_EQ(service.running, 0);
  {
    auto stream = get("watch");
    loop.drain();
    EXPECT_EQ(service.running, 1);
    EXPECT_EQ(service.sent, 1);
  }
  loop.drain();
  EXPECT_EQ(service.running, 0);
  EXPECT_TRUE(server.idle());
}

TEST_F(CallTest, ServerStream) {
  auto stream = get("three");
  for (std::uint32_t i = 0; i < 3; ++i) {
    const auto next = loop.run(stream.read());
    ASSERT_TRUE(next && *next && **next);
    EXPECT_EQ((**next)->add->addrs.at(0).weight, i);
  }
  EXPECT_EQ(stream.call().headers().get("served-by"), "test");
  for (int i = 0; i < 2; ++i) {  // the end stays the end
    const auto end = loop.run(stream.read());
    ASSERT_TRUE(end && *end);
    EXPECT_FALSE((*end)->has_value());
  }
  EXPECT_TRUE(server.idle());
}

TEST_F(CallTest, AStreamThatFailsAtOnceIsTrailersOnly) {
  auto stream = get("missing");
  const auto next = loop.run(stream.read());
  EXPECT_EQ(next->status(), (Status{Code::NotFound, "no such service"}));
  EXPECT_EQ(stream.call().headers().get("grpc-status"), "5");
  EXPECT_FALSE(*loop.run(stream.call().headers_came()));
}

TEST_F(CallTest, AStreamMustSaySomethingInTime) {
  auto stream = get("watch");
  EXPECT_TRUE(*loop.run(stream.call().headers_came()));
  EXPECT_TRUE(loop.run(stream.read(loop.get().after(1s)))->ok());
  EXPECT_EQ(loop.run(stream.read(loop.get().after(1s)))->status().code, Code::DeadlineExceeded);
  loop.drain();
  EXPECT_EQ(service.running, 0);  // that was the end of the call
}

TEST_F(CallTest, TheServersDeadlineEndsAStream) {
  CallOptions options;
  options.deadline = loop.get().after(5s);
  auto stream = get("watch", std::move(options));
  loop.drain();
  loop.advance(6s);
  EXPECT_EQ(service.running, 0);
  EXPECT_TRUE(loop.run(stream.read())->ok());  // came before
  EXPECT_EQ(loop.run(stream.read())->status().code, Code::DeadlineExceeded);
}

TEST_F(CallTest, ASlowClientHoldsTheServerBack) {
  auto stream = get("large");
  loop.drain();
  const int before = service.sent;
  EXPECT_GE(before, 1);
  EXPECT_LE(before, 5);  // 16 KiB in messages of 5 KiB
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(loop.run(stream.read())->ok());
  loop.drain();
  EXPECT_LE(service.sent, before + 21);
  EXPECT_GE(service.sent, 20);
}

TEST_F(CallTest, BothWays) {
  auto chat = open_bidi<Chat>(channel);
  for (const std::string word : {"a", "b"}) {
    GetDestination message;
    message.path = word;
    EXPECT_TRUE(*loop.run(chat.write(message)));
    const auto answer = loop.run(chat.read());
    ASSERT_TRUE(answer && *answer && **answer);
    EXPECT_EQ((**answer)->path, "re: " + word);
  }
  chat.finish_writes();
  EXPECT_FALSE((*loop.run(chat.read()))->has_value());
  const GetDestination late;
  EXPECT_FALSE(*loop.run(chat.write(late)));
}

TEST_F(CallTest, DrainEndsStreamsAndRefusesCalls) {
  auto stream = get("watch");
  EXPECT_TRUE(loop.run(stream.read())->ok());
  server.drain();
  const auto end = loop.run(stream.read());
  ASSERT_TRUE(end->ok());
  EXPECT_FALSE((*end)->has_value());
  EXPECT_EQ(service.running, 0);
  EXPECT_EQ(certify("web").status().code, Code::Unavailable);
  EXPECT_TRUE(server.idle());
}

TEST_F(CallTest, TheServerMayGoFirst) {
  auto stream = std::make_unique<ClientStream<Get>>(get("watch"));
  loop.drain();
  {
    Server other{loop};
    Loopback to_other{other};
    Channel channel_to_other{loop, to_other, {}};
    add_stream<Get>(other, service, &Service::get);
    GetDestination request;
    auto watch = open_stream<Get>(channel_to_other, request);
    EXPECT_TRUE(loop.run(watch.read())->ok());
    EXPECT_EQ(service.running, 2);
  }
  EXPECT_EQ(service.running, 1);
}

TEST_F(CallTest, UnknownMethodsAndWrongRequests) {
  const CertifyRequest request;
  EXPECT_EQ(loop.run(call_unary<Nowhere>(channel, request))->status().code, Code::Unimplemented);
  http::Request get_request;
  get_request.method.assign("GET");
  EXPECT_EQ((*loop.run(server.handle(std::move(get_request))))->status, 405);
  http::Request json;
  json.method.assign("POST");
  json.path = Certify::kPath;
  json.headers.add("content-type", "application/json");
  EXPECT_EQ((*loop.run(server.handle(std::move(json))))->status, 415);
}

// Calls Certify with these bytes as the request's body.
Status certify_bytes(testing::SimLoop& loop, Server& server, std::string_view body) {
  http::Request request;
  request.method.assign("POST");
  request.path = Certify::kPath;
  request.headers.add("content-type", "application/grpc");
  request.body = http::make_full_body(loop, as_bytes(body));
  auto response = loop.run(server.handle(std::move(request)));
  return *read_status((*response)->headers);
}

TEST_F(CallTest, CallsAreCounted) {
  EXPECT_TRUE(certify("web"));
  EXPECT_FALSE(certify(""));
  auto missing = get("missing");
  EXPECT_FALSE(*loop.run(missing.read()));
  int methods = 0;
  server.for_each_method([&](std::string_view path, bool streams, const MethodCounts& counts) {
    ++methods;
    if (path == Get::kPath) {
      EXPECT_TRUE(streams);
      EXPECT_EQ(counts.started, 1U);
    }
    if (path != Certify::kPath) return;
    EXPECT_FALSE(streams);
    EXPECT_EQ(counts.started, 2U);
    EXPECT_EQ(counts.received, 2U);
    EXPECT_EQ(counts.sent, 1U);
    EXPECT_EQ(counts.handled[0], 1U);
    EXPECT_EQ(counts.handled[static_cast<std::size_t>(Code::InvalidArgument)], 1U);
  });
  EXPECT_GE(methods, 2);
}

TEST_F(CallTest, MalformedRequests) {
  EXPECT_EQ(certify_bytes(loop, server, "").code, Code::Internal);
  EXPECT_EQ(certify_bytes(loop, server, std::string_view("\0\0\0\0\2\x0a\x05", 7)).code,
            Code::Internal);
  EXPECT_EQ(certify_bytes(loop, server, std::string_view("\1\0\0\0\0", 5)).code,
            Code::Unimplemented);
  EXPECT_EQ(certify_bytes(loop, server, std::string_view("\0\xff\0\0\0", 5)).code,
            Code::ResourceExhausted);
}

// Answers every request with what a test wants.
struct Canned final : http::Handler {
  explicit Canned(net::Loop& its_loop) : loop(its_loop) {}
  Task<Result<http::Response>> handle(http::Request) override {
    http::Response response;
    response.status = status;
    for (const auto& [name, value] : headers) response.headers.add(name, value);
    if (body) {
      http::HeaderMap fields;
      for (const auto& [name, value] : trailers) fields.add(name, value);
      response.body = http::make_full_body(loop, as_bytes(*body), std::move(fields));
    }
    co_return response;
  }
  using Fields = std::vector<std::pair<std::string, std::string>>;
  net::Loop& loop;
  std::uint16_t status = 200;
  Fields headers = {{"content-type", "application/grpc"}};
  Fields trailers = {{"grpc-status", "0"}};
  std::optional<std::string> body = frame_bytes({});
};

class AnswerTest : public ::testing::Test {
 protected:
  Status ask() {
    const CertifyRequest request;
    const auto response = loop.run(call_unary<Certify>(channel, request));
    return response->ok() ? Status{} : response->status();
  }
  testing::SimLoop loop;
  Canned server{loop};
  Loopback transport{server};
  Channel channel{loop, transport, {.max_message = 100}};
};

TEST_F(AnswerTest, GoodOnes) {
  EXPECT_TRUE(ask().ok());
  server.headers = {{"content-type", "application/grpc+proto"}};
  EXPECT_TRUE(ask().ok());
}

TEST_F(AnswerTest, BrokenOnes) {
  server.body = "";
  EXPECT_EQ(ask().code, Code::Internal);  // no message
  server.body = frame_bytes({}) + frame_bytes({});
  EXPECT_EQ(ask().code, Code::Internal);  // two
  server.body = frame_bytes(as_bytes(std::string(101, ' ')));
  EXPECT_EQ(ask().code, Code::ResourceExhausted);
  server.body = std::string_view("\1\0\0\0\0", 5);
  EXPECT_EQ(ask().code, Code::Unimplemented);
  server.body = std::string_view("\0\0\0\0\5", 5);
  EXPECT_EQ(ask().code, Code::Internal);
  server.body = frame_bytes(as_bytes("\xff"));
  EXPECT_EQ(ask().code, Code::Internal);
  server.body = frame_bytes({});
  server.trailers = {};
  EXPECT_EQ(ask().code, Code::Unknown);
  server.trailers = {{"grpc-status", "14"}, {"grpc-message", "later"}};
  EXPECT_EQ(ask(), (Status{Code::Unavailable, "later"}));
}

TEST_F(AnswerTest, WhatIsNotGrpc) {
  server.headers = {{"content-type", "text/html"}};
  EXPECT_EQ(ask().code, Code::Unknown);
  server.status = 503;
  EXPECT_EQ(ask().code, Code::Unavailable);
  server.headers.emplace_back("grpc-status", "7");  // counts more than the HTTP status
  EXPECT_EQ(ask().code, Code::PermissionDenied);
  transport.fail = Error{Errc::Refused, "connect"};
  EXPECT_EQ(ask(), (Status{Code::Unavailable, "connect"}));
}

TEST_F(AnswerTest, TrailersOnly) {
  server.body = std::nullopt;
  server.headers = {{"grpc-status", "5"}, {"grpc-message", "no%20such"}};
  EXPECT_EQ(ask(), (Status{Code::NotFound, "no such"}));
  server.headers = {{"grpc-status", "0"}};
  EXPECT_EQ(ask().code, Code::Internal);  // OK, but no message
}

}  // namespace
}  // namespace tulle::grpc
