// SPDX-License-Identifier: Apache-2.0
#include "tests/interop/grpcio/checks.h"

#include <cstdio>
#include <string>
#include <vector>

#include "lib/grpc/headers.h"

namespace tulle::interop {

using grpc::Code;
using grpc::StatusOr;
using pb::echo::EchoReply;
using pb::echo::EchoRequest;

void Checks::expect(bool good, const char* what) {
  if (good) return;
  ++failed_;
  std::printf("FAILED: %s\n", what);
}

net::Task<int> Checks::run_all() {
  co_await unary();
  co_await metadata();
  co_await failures();
  co_await deadlines();
  co_await server_stream();
  co_await large_messages();
  co_await too_large();
  co_await cancel();
  co_await client_stream();
  co_await bidi();
  co_await many_at_once();
  co_return failed_;
}

net::Task<void> Checks::unary() {
  EchoRequest request;
  request.text = "gr\xc3\xbc\xc3\x9f";
  const StatusOr<EchoReply> reply = co_await grpc::call_unary<Echo::Unary>(channel_, request);
  expect(reply.ok() && reply->text == request.text, "unary");
  const EchoRequest nothing;
  const StatusOr<EchoReply> empty = co_await grpc::call_unary<Echo::Unary>(channel_, nothing);
  expect(empty.ok() && *empty == EchoReply{}, "unary, empty messages");
}

net::Task<void> Checks::metadata() {
  grpc::CallOptions options;
  grpc::add_metadata(options.metadata, "x-echo", "value");
  grpc::add_metadata(options.metadata, "x-trace-bin", std::string_view("\x00\xff\x01", 3));
  EchoRequest request;
  request.count = 1;
  auto stream = grpc::open_stream<Echo::ServerStream>(channel_, request, std::move(options));
  const bool came = co_await stream.call().headers_came();
  expect(came && stream.call().headers().get("x-echo") == "value", "initial metadata");
  const StatusOr<std::optional<EchoReply>> first = co_await stream.read();
  expect(first.ok() && first->has_value(), "metadata: a message");
  const StatusOr<std::optional<EchoReply>> end = co_await stream.read();
  expect(end.ok() && !end->has_value(), "metadata: the end");
  expect(
      grpc::get_metadata(stream.call().trailers(), "x-trace-bin") == std::string("\x00\xff\x01", 3),
      "trailing binary metadata");
}

net::Task<void> Checks::failures() {
  EchoRequest request;
  request.fail_code = 5;
  request.fail_message = "no such thing: 100% gr\xc3\xbcn\n";
  const StatusOr<EchoReply> reply = co_await grpc::call_unary<Echo::Unary>(channel_, request);
  expect(!reply.ok() && reply.status().code == Code::NotFound &&
             reply.status().message == request.fail_message,
         "unary failure with a message");
  auto at_once = grpc::open_stream<Echo::ServerStream>(channel_, request);
  const StatusOr<std::optional<EchoReply>> next = co_await at_once.read();
  expect(!next.ok() && next.status().code == Code::NotFound, "trailers only");
  request.count = 2;
  auto later = grpc::open_stream<Echo::ServerStream>(channel_, request);
  StatusOr<std::optional<EchoReply>> one = co_await later.read();
  expect(one.ok() && one->has_value(), "a stream that fails later: first");
  one = co_await later.read();
  expect(one.ok() && one->has_value(), "a stream that fails later: second");
  one = co_await later.read();
  expect(!one.ok() && one.status().code == Code::NotFound, "a stream that fails later");
  const StatusOr<EchoReply> missing = co_await grpc::call_unary<Echo::Missing>(channel_, request);
  expect(!missing.ok() && missing.status().code == Code::Unimplemented, "unknown method");
}

net::Task<int> Checks::running() {
  const EchoRequest request;
  const StatusOr<EchoReply> reply = co_await grpc::call_unary<Echo::Running>(channel_, request);
  co_return reply.ok() ? static_cast<int>(reply->index) : -1;
}

net::Task<void> Checks::deadlines() {
  EchoRequest request;
  request.hang = true;
  grpc::CallOptions options;
  options.deadline = channel_.loop().after(300ms);
  const TimePoint start = monotonic_now();
  const StatusOr<EchoReply> reply =
      co_await grpc::call_unary<Echo::Unary>(channel_, request, std::move(options));
  const Duration took = monotonic_now() - start;
  expect(!reply.ok() && reply.status().code == Code::DeadlineExceeded, "unary deadline");
  expect(took >= 300ms && took < 5s, "the deadline is kept");
  grpc::CallOptions again;
  again.deadline = channel_.loop().after(300ms);
  request.count = 1;
  auto stream = grpc::open_stream<Echo::ServerStream>(channel_, request, std::move(again));
  StatusOr<std::optional<EchoReply>> next = co_await stream.read();
  expect(next.ok() && next->has_value(), "a message before the deadline");
  next = co_await stream.read();
  expect(!next.ok() && next.status().code == Code::DeadlineExceeded, "stream deadline");
}

net::Task<void> Checks::server_stream() {
  EchoRequest request;
  request.count = 1000;
  request.size = 100;
  auto stream = grpc::open_stream<Echo::ServerStream>(channel_, request);
  std::uint32_t seen = 0;
  while (true) {
    const StatusOr<std::optional<EchoReply>> next = co_await stream.read();
    if (!next || !next->has_value()) {
      expect(next.ok(), "server stream: ends with OK");
      break;
    }
    expect((*next)->index == seen && (*next)->payload.size() == 100, "server stream: in order");
    ++seen;
  }
  expect(seen == 1000, "server stream: all of it");
}

net::Task<void> Checks::large_messages() {
  EchoRequest request;
  request.payload.assign(3'000'000, 'y');
  request.size = 4'000'000;
  const StatusOr<EchoReply> reply = co_await grpc::call_unary<Echo::Unary>(channel_, request);
  expect(reply.ok() && reply->index == 3'000'000 && reply->payload.size() == 4'000'000,
         "large messages");
}

net::Task<void> Checks::too_large() {
  EchoRequest request;
  request.size = 4 * 1024 * 1024 + 1;
  const StatusOr<EchoReply> reply = co_await grpc::call_unary<Echo::Unary>(channel_, request);
  expect(!reply.ok() && reply.status().code == Code::ResourceExhausted,
         "a reply that is too large");
  request.size = 0;
  request.payload.assign(4 * 1024 * 1024 + 1, 'y');
  const StatusOr<EchoReply> refused = co_await grpc::call_unary<Echo::Unary>(channel_, request);
  expect(!refused.ok() && refused.status().code == Code::ResourceExhausted,
         "a request that is too large");
}

net::Task<void> Checks::cancel() {
  {
    EchoRequest request;
    request.hang = true;
    request.count = 1;
    auto stream = grpc::open_stream<Echo::ServerStream>(channel_, request);
    const StatusOr<std::optional<EchoReply>> next = co_await stream.read();
    expect(next.ok() && next->has_value(), "cancel: a message");
    const int count = co_await running();
    expect(count == 1, "cancel: under way");
  }
  int count = -1;
  for (int i = 0; i < 100 && count != 0; ++i) {  // the server hears of it soon
    count = co_await running();
    if (count != 0) co_await net::sleep_for(channel_.loop(), 20ms);
  }
  expect(count == 0, "cancel: the server's handler ended");
}

net::Task<void> Checks::client_stream() {
  auto stream = grpc::open_bidi<Echo::ClientStream>(channel_);
  for (const char* const text : {"a", "b", "c"}) {
    EchoRequest request;
    request.text = text;
    request.payload.assign(100'000, 'z');
    const bool sent = co_await stream.write(request);
    expect(sent, "client stream: write");
  }
  stream.finish_writes();
  StatusOr<std::optional<EchoReply>> next = co_await stream.read();
  expect(next.ok() && next->has_value() && (*next)->text == "abc" && (*next)->index == 300'000,
         "client stream: the answer");
  next = co_await stream.read();
  expect(next.ok() && !next->has_value(), "client stream: the end");
}

net::Task<void> Checks::bidi() {
  auto stream = grpc::open_bidi<Echo::Bidi>(channel_);
  for (std::uint32_t i = 0; i < 50; ++i) {
    EchoRequest request;
    request.text = "ping";
    request.size = i * 1000;
    const bool sent = co_await stream.write(request);
    expect(sent, "bidi: write");
    const StatusOr<std::optional<EchoReply>> next = co_await stream.read();
    expect(next.ok() && next->has_value() && (*next)->index == i &&
               (*next)->payload.size() == i * 1000,
           "bidi: the answer");
  }
  stream.finish_writes();
  const StatusOr<std::optional<EchoReply>> end = co_await stream.read();
  expect(end.ok() && !end->has_value(), "bidi: the end");
}

// Counts the messages of a stream. Streams that nobody reads would hold the connection's window.
net::Task<void> Checks::count_messages(EchoRequest request, int& messages) {
  auto stream = grpc::open_stream<Echo::ServerStream>(channel_, request);
  while (true) {
    const StatusOr<std::optional<EchoReply>> next = co_await stream.read();
    if (!next || !next->has_value()) co_return;
    ++messages;
  }
}

net::Task<void> Checks::many_at_once() {
  EchoRequest request;
  request.count = 10;
  request.size = 20'000;
  int messages = 0;
  net::TaskScope scope;
  for (int i = 0; i < 50; ++i) scope.spawn(count_messages(request, messages));
  co_await scope.join();
  expect(messages == 500, "many streams at once");
}

}  // namespace tulle::interop
