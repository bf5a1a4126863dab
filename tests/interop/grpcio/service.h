// SPDX-License-Identifier: Apache-2.0
// The echo service in terms of lib/grpc.
#pragma once

#include <string>

#include "lib/grpc/headers.h"
#include "lib/grpc/service.h"
#include "proto/echo.pb.h"

namespace tulle::interop {

using pb::echo::Echo;
using pb::echo::EchoReply;
using pb::echo::EchoRequest;

class EchoService {
 public:
  explicit EchoService(net::Loop& loop) : never_(loop) {}
  void register_at(grpc::Server& server) {
    grpc::add_unary<Echo::Unary>(server, *this, &EchoService::unary);
    grpc::add_stream<Echo::ServerStream>(server, *this, &EchoService::server_stream);
    grpc::add_bidi<Echo::ClientStream>(server, *this, &EchoService::client_stream);
    grpc::add_bidi<Echo::Bidi>(server, *this, &EchoService::bidi);
    grpc::add_unary<Echo::Running>(server, *this, &EchoService::running);
  }

 private:
  using Replies = grpc::ServerStream<EchoReply>;
  using Requests = grpc::ServerReader<EchoRequest>;

  class Count {
   public:
    explicit Count(int& count) : count_(count) { ++count_; }
    ~Count() { --count_; }

   private:
    int& count_;
  };

  static void echo_metadata(grpc::ServerCall& call) {
    if (const auto value = grpc::get_metadata(call.request().headers, "x-echo"))
      grpc::add_metadata(call.response_headers(), "x-echo", *value);
    if (const auto value = grpc::get_metadata(call.request().headers, "x-trace-bin"))
      grpc::add_metadata(call.trailers(), "x-trace-bin", *value);
  }
  static grpc::Status failure(const EchoRequest& request) {
    return {static_cast<grpc::Code>(request.fail_code), request.fail_message};
  }
  static EchoReply reply_to(const EchoRequest& request, std::uint32_t index) {
    EchoReply reply;
    reply.text = request.text;
    reply.payload.assign(request.size, 'x');
    reply.index = index;
    return reply;
  }

  net::Task<grpc::StatusOr<EchoReply>> unary(grpc::ServerCall& call, EchoRequest request) {
    const Count counted(running_);
    echo_metadata(call);
    if (request.hang) co_await never_.wait();
    if (request.fail_code != 0) co_return failure(request);
    co_return reply_to(request, static_cast<std::uint32_t>(request.payload.size()));
  }

  net::Task<grpc::Status> server_stream(grpc::ServerCall& call, EchoRequest request, Replies out) {
    const Count counted(running_);
    echo_metadata(call);
    for (std::uint32_t i = 0; i < request.count; ++i) {
      const EchoReply reply = reply_to(request, i);
      const bool sent = co_await out.send(reply);
      if (!sent) co_return grpc::Status{grpc::Code::Cancelled, ""};
    }
    if (request.hang) co_await never_.wait();
    co_return failure(request);
  }

  net::Task<grpc::Status> client_stream(grpc::ServerCall&, Requests in, Replies out) {
    const Count counted(running_);
    EchoReply reply;
    while (true) {
      grpc::StatusOr<std::optional<EchoRequest>> next = co_await in.read();
      if (!next) co_return next.status();
      if (!next->has_value()) break;
      reply.text += (*next)->text;
      reply.index += static_cast<std::uint32_t>((*next)->payload.size());
    }
    co_await out.send(reply);
    co_return grpc::Status{};
  }

  net::Task<grpc::Status> bidi(grpc::ServerCall&, Requests in, Replies out) {
    const Count counted(running_);
    std::uint32_t index = 0;
    while (true) {
      grpc::StatusOr<std::optional<EchoRequest>> next = co_await in.read();
      if (!next) co_return next.status();
      if (!next->has_value()) co_return grpc::Status{};
      const EchoReply reply = reply_to(**next, index++);
      const bool sent = co_await out.send(reply);
      if (!sent) co_return grpc::Status{grpc::Code::Cancelled, ""};
    }
  }

  net::Task<grpc::StatusOr<EchoReply>> running(grpc::ServerCall&, EchoRequest) {
    EchoReply reply;
    reply.index = static_cast<std::uint32_t>(running_);
    co_return reply;
  }

  net::Signal never_;
  int running_ = 0;
};

}  // namespace tulle::interop
