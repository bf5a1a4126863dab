// SPDX-License-Identifier: Apache-2.0
// Makes gRPC calls over anything that sends HTTP requests (an HTTP/2 connection, a pool, a
// balancer). Nothing is retried here. To cancel a call, destroy it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lib/base/slab.h"
#include "lib/grpc/frame.h"
#include "lib/grpc/status.h"
#include "lib/http/message.h"
#include "lib/net/task.h"

namespace tulle::grpc {

struct CallOptions {
  Deadline deadline;         // for the whole call; sent as grpc-timeout
  http::HeaderMap metadata;  // see lib/grpc/headers.h
};

// Where calls go. Borrows the client, which must outlive it and its calls. One loop.
class Channel {
 public:
  struct Options {
    std::string authority;  // ":authority"
    std::string scheme = "http";
    std::string user_agent = "tulle";
    std::size_t max_message = kDefaultMaxMessage;      // received
    std::size_t send_buffer = std::size_t{64} * 1024;  // unsent bytes above which write() waits
  };
  Channel(net::Loop& loop, http::Client& client, Options options)
      : loop_(loop), client_(client), options_(std::move(options)) {}

  net::Loop& loop() noexcept { return loop_; }
  http::Client& client() noexcept { return client_; }
  const Options& options() const noexcept { return options_; }

 private:
  net::Loop& loop_;
  http::Client& client_;
  const Options options_;
};

// One call as a stream of framed messages in both directions. Started by its constructor.
class ClientCall final : public SlabAllocated, private http::BodyProducer {
 public:
  // `only_message`: the one framed message of a client that does not stream, sent at once; nullopt:
  // messages follow with write().
  ClientCall(Channel& channel, std::string_view path, CallOptions options,
             std::optional<std::string> only_message);
  ~ClientCall();

  // Sends a framed message once the server keeps up. False: the server wants no more (read() says
  // why).
  net::Task<bool> write(std::string frame);
  void finish_writes();

  // The server's next message; nullopt when the call ended with OK; otherwise how it ended. `by`
  // ends the call, too, e.g. when a stream must say something soon.
  net::Task<StatusOr<std::optional<std::string>>> read(Deadline by = {});
  // Waits for the answer's headers, which a server may send long before its first message. False if
  // the call ended before.
  net::Task<bool> headers_came(Deadline by = {});
  // The server's metadata; empty before headers_came() or the first read(), or the end of the call.
  const http::HeaderMap& headers() const noexcept { return head_.headers; }
  const http::HeaderMap& trailers() const noexcept { return trailers_; }

 private:
  void on_consumed(std::size_t n) override;
  void on_abandoned() override;
  static net::Task<void> run(ClientCall& call, http::Request request);
  void take_response(http::Response response);
  void end(Status status);
  // Waits until the response's head is there or the call has ended.
  net::Task<void> wait_for_head(Deadline by);

  net::Loop& loop_;
  http::Client& client_;
  const Deadline deadline_;
  const std::size_t max_message_;
  const std::size_t send_buffer_;
  bool refused_writes_ = false;
  http::BodyWriter writer_;
  http::ResponseHead head_;
  std::optional<MessageReader> messages_;  // once there is a response with a body
  std::optional<Status> status_;           // once the call has ended
  http::HeaderMap trailers_;
  net::Signal changed_;  // the response's head came, or the call ended
  net::Signal drained_;  // request bytes were taken
  net::TaskScope task_;  // sends the request; destroyed first
};

// The typed form of ClientCall, movable.
template <typename Method>
class ClientStream {
 public:
  using Request = typename Method::Request;
  using Response = typename Method::Response;
  explicit ClientStream(std::unique_ptr<ClientCall> call) : call_(std::move(call)) {}

  // See ClientCall::read.
  net::Task<StatusOr<std::optional<Response>>> read(Deadline by = {}) {
    return read_from(*call_, by);
  }
  net::Task<bool> write(const Request& request) { return call_->write(frame_message(request)); }
  void write(Request&& request) = delete;  // a variable, please: see call_unary
  void finish_writes() { call_->finish_writes(); }
  ClientCall& call() noexcept { return *call_; }

 private:
  static net::Task<StatusOr<std::optional<Response>>> read_from(ClientCall& call, Deadline by) {
    StatusOr<std::optional<std::string>> bytes = co_await call.read(by);
    if (!bytes) co_return bytes.status();
    if (!bytes->has_value()) co_return std::optional<Response>();
    Result<Response> message = pb::decode_message<Response>(as_bytes(**bytes));
    if (!message) co_return Status{Code::Internal, "a malformed message from the server"};
    co_return std::optional<Response>(std::move(*message));
  }
  std::unique_ptr<ClientCall> call_;
};

// Starts a call with one request and any number of answers.
template <typename Method>
ClientStream<Method> open_stream(Channel& channel, const typename Method::Request& request,
                                 CallOptions options = {}) {
  static_assert(!Method::kClientStreams);
  return ClientStream<Method>(std::make_unique<ClientCall>(
      channel, Method::kPath, std::move(options), frame_message(request)));
}
// Starts a call whose requests follow with write().
template <typename Method>
ClientStream<Method> open_bidi(Channel& channel, CallOptions options = {}) {
  return ClientStream<Method>(
      std::make_unique<ClientCall>(channel, Method::kPath, std::move(options), std::nullopt));
}

namespace detail {
// The one message of a call; an error if it ends without or sends more.
net::Task<StatusOr<std::string>> read_only_message(std::unique_ptr<ClientCall> call);

template <typename Method>
net::Task<StatusOr<typename Method::Response>> finish_unary(std::unique_ptr<ClientCall> call) {
  StatusOr<std::string> bytes = co_await read_only_message(std::move(call));
  if (!bytes) co_return bytes.status();
  Result<typename Method::Response> message =
      pb::decode_message<typename Method::Response>(as_bytes(*bytes));
  if (!message) co_return Status{Code::Internal, "a malformed message from the server"};
  co_return std::move(*message);
}
}  // namespace detail

// One request, one answer. The request is sent when this is called, not when it is awaited. It must
// be a variable: g++ 12 destroys temporaries like Request{} twice when they stand in a co_await.
template <typename Method>
net::Task<StatusOr<typename Method::Response>> call_unary(Channel& channel,
                                                          const typename Method::Request& request,
                                                          CallOptions options) {
  static_assert(!Method::kServerStreams && !Method::kClientStreams);
  return detail::finish_unary<Method>(std::make_unique<ClientCall>(
      channel, Method::kPath, std::move(options), frame_message(request)));
}
template <typename Method>
net::Task<StatusOr<typename Method::Response>> call_unary(Channel& channel,
                                                          const typename Method::Request& request) {
  return call_unary<Method>(channel, request, CallOptions());
}
template <typename Method>
void call_unary(Channel& channel, typename Method::Request&& request) = delete;
template <typename Method>
void call_unary(Channel& channel, typename Method::Request&& request, CallOptions) = delete;

}  // namespace tulle::grpc
