// SPDX-License-Identifier: Apache-2.0
// Typed methods of gRPC services: from the structs that tools/protogen makes to the bytes of
// Server.
//
//   struct Greeter {
//     net::Task<StatusOr<HelloReply>> say_hello(ServerCall& call, HelloRequest request);
//     net::Task<Status> watch(ServerCall& call, WatchRequest request, ServerStream<Greeting> out);
//   };
//   add_unary<pb::greeter::Greeter::SayHello>(server, greeter, &Greeter::say_hello);
//   add_stream<pb::greeter::Greeter::Watch>(server, greeter, &Greeter::watch);
//
// The call outlives the coroutine; the service must outlive the server.
#pragma once

#include <utility>

#include "lib/grpc/server.h"
#include "proto/message.h"

namespace tulle::grpc {

// The sending side of a streaming call; a view of its ServerCall.
template <typename Message>
class ServerStream {
 public:
  explicit ServerStream(ServerCall& call) : call_(&call) {}
  // Waits until the client keeps up; false when it is gone (see ServerCall::ready).
  net::Task<bool> ready() { return call_->ready(); }
  // Sends without waiting; false when the client is gone.
  bool send_now(const Message& message) {
    return call_->send_frame(as_bytes(frame_message(message)));
  }
  // ready(), then send_now(). The message must be a variable: g++ 12 destroys temporaries like
  // Message{} twice when they stand in a co_await.
  void send(Message&& message) = delete;
  net::Task<bool> send(const Message& message) {
    return send_framed(*call_, frame_message(message));
  }

 private:
  static net::Task<bool> send_framed(ServerCall& call, std::string frame) {
    const bool ready = co_await call.ready();
    if (!ready) co_return false;
    co_return call.send_frame(as_bytes(frame));
  }
  ServerCall* call_;
};

// The receiving side of a call whose client streams.
template <typename Message>
class ServerReader {
 public:
  explicit ServerReader(ServerCall& call) : call_(&call) {}
  // The next message; nullopt when the client has sent its last.
  net::Task<StatusOr<std::optional<Message>>> read() { return read_from(*call_); }

 private:
  static net::Task<StatusOr<std::optional<Message>>> read_from(ServerCall& call) {
    StatusOr<std::optional<std::string>> bytes = co_await call.read();
    if (!bytes) co_return bytes.status();
    if (!bytes->has_value()) co_return std::optional<Message>();
    Result<Message> message = pb::decode_message<Message>(as_bytes(**bytes));
    if (!message) co_return Status{Code::Internal, "a malformed message"};
    co_return std::optional<Message>(std::move(*message));
  }
  ServerCall* call_;
};

namespace detail {

template <typename Message>
net::Task<StatusOr<Message>> read_request(ServerCall& call) {
  StatusOr<std::string> bytes = co_await call.read_one();
  if (!bytes) co_return bytes.status();
  Result<Message> message = pb::decode_message<Message>(as_bytes(*bytes));
  if (!message) co_return Status{Code::Internal, "a malformed request"};
  co_return std::move(*message);
}

template <typename Method, typename Service, typename Handle>
net::Task<void> run_unary(ServerCall& call, Service* service, Handle handle) {
  StatusOr<typename Method::Request> request =
      co_await read_request<typename Method::Request>(call);
  if (!request) {
    call.finish(request.status());
    co_return;
  }
  StatusOr<typename Method::Response> response =
      co_await (service->*handle)(call, std::move(*request));
  if (response) {
    call.finish({}, frame_message(*response));
  } else {
    call.finish(response.status());
  }
}

template <typename Method, typename Service, typename Handle>
net::Task<void> run_stream(ServerCall& call, Service* service, Handle handle) {
  StatusOr<typename Method::Request> request =
      co_await read_request<typename Method::Request>(call);
  if (!request) {
    call.finish(request.status());
    co_return;
  }
  const ServerStream<typename Method::Response> out(call);
  Status status = co_await (service->*handle)(call, std::move(*request), out);
  call.finish(std::move(status));
}

template <typename Method, typename Service, typename Handle>
net::Task<void> run_bidi(ServerCall& call, Service* service, Handle handle) {
  const ServerReader<typename Method::Request> in(call);
  const ServerStream<typename Method::Response> out(call);
  Status status = co_await (service->*handle)(call, in, out);
  call.finish(std::move(status));
}

}  // namespace detail

template <typename Method, typename Service>
void add_unary(Server& server, Service& service,
               net::Task<StatusOr<typename Method::Response>> (Service::*handle)(
                   ServerCall&, typename Method::Request)) {
  static_assert(!Method::kServerStreams && !Method::kClientStreams);
  server.add(Method::kPath, false, [service = &service, handle](ServerCall& call) {
    return detail::run_unary<Method>(call, service, handle);
  });
}

template <typename Method, typename Service>
void add_stream(Server& server, Service& service,
                net::Task<Status> (Service::*handle)(ServerCall&, typename Method::Request,
                                                     ServerStream<typename Method::Response>)) {
  static_assert(Method::kServerStreams && !Method::kClientStreams);
  server.add(Method::kPath, true, [service = &service, handle](ServerCall& call) {
    return detail::run_stream<Method>(call, service, handle);
  });
}

// Methods whose client streams; a method with one answer sends it with ServerStream, too.
template <typename Method, typename Service>
void add_bidi(Server& server, Service& service,
              net::Task<Status> (Service::*handle)(ServerCall&,
                                                   ServerReader<typename Method::Request>,
                                                   ServerStream<typename Method::Response>)) {
  static_assert(Method::kClientStreams);
  server.add(Method::kPath, Method::kServerStreams, [service = &service, handle](ServerCall& call) {
    return detail::run_bidi<Method>(call, service, handle);
  });
}

}  // namespace tulle::grpc
