// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/client.h"

#include "lib/grpc/headers.h"

namespace tulle::grpc {
namespace {

const Error kDeadlinePassed{Errc::Timeout, "the deadline of a gRPC call passed"};

}  // namespace

ClientCall::ClientCall(Channel& channel, std::string_view path, CallOptions options,
                       std::optional<std::string> only_message)
    : loop_(channel.loop()),
      client_(channel.client()),
      deadline_(options.deadline),
      max_message_(channel.options().max_message),
      send_buffer_(channel.options().send_buffer),
      changed_(loop_),
      drained_(loop_) {
  http::Request request;
  request.method.assign("POST");
  request.scheme = std::string_view(channel.options().scheme);
  request.authority = std::string_view(channel.options().authority);
  request.path = path;
  request.version = http::Version::Http2;
  request.headers.add("te", "trailers");
  request.headers.add("content-type", "application/grpc");
  request.headers.add("user-agent", channel.options().user_agent);
  if (!deadline_.is_never()) {
    if (deadline_.passed(loop_.now())) {
      end(status_of(kDeadlinePassed));
      return;
    }
    request.headers.add("grpc-timeout", format_timeout(deadline_.at() - loop_.now()));
  }
  copy_metadata(options.metadata, request.headers);

  auto [writer, reader] = http::make_body(loop_);
  writer_ = std::move(writer);
  writer_.set_producer(this);
  request.body = std::move(reader);
  if (only_message) {
    writer_.write(as_bytes(*only_message));
    writer_.finish();
  }
  task_.spawn(run(*this, std::move(request)));
}

ClientCall::~ClientCall() { writer_.set_producer(nullptr); }

net::Task<void> ClientCall::run(ClientCall& call, http::Request request) {
  Result<http::Response> response = co_await call.client_.send(std::move(request), call.deadline_);
  if (response) {
    call.take_response(std::move(*response));
  } else {
    call.end(status_of(response.error()));
  }
  call.changed_.notify_all();
  call.drained_.notify_all();
}

void ClientCall::take_response(http::Response response) {
  http::BodyReader body = std::move(response.body);
  head_ = std::move(static_cast<http::ResponseHead&>(response));
  // A status among the headers: trailers only.
  if (std::optional<Status> status = read_status(head_.headers);
      status && (!status->ok() || body.ended())) {
    end(std::move(*status));
    return;
  }
  if (head_.status != 200) {
    end(status_of_http(head_.status));
    return;
  }
  const std::optional<std::string_view> type = head_.headers.get("content-type");
  if (!type || !is_grpc_content_type(*type)) {
    end({Code::Unknown, "an answer that is not gRPC"});
    return;
  }
  messages_.emplace(std::move(body), max_message_);
}

void ClientCall::end(Status status) {
  if (status_) return;
  status_ = std::move(status);
  messages_.reset();  // a body that is not at its end is cancelled
  drained_.notify_all();
}

void ClientCall::on_consumed(std::size_t n) {
  (void)n;
  if (writer_.buffered() < send_buffer_) drained_.notify_all();
}

void ClientCall::on_abandoned() {
  refused_writes_ = true;
  drained_.notify_all();
}

net::Task<bool> ClientCall::write(std::string frame) {
  while (!refused_writes_ && !status_ && writer_.buffered() >= send_buffer_) {
    const bool in_time = co_await drained_.wait(deadline_);
    if (!in_time) co_return false;
  }
  if (refused_writes_ || status_) co_return false;
  writer_.write(as_bytes(frame));
  co_return !refused_writes_;
}

void ClientCall::finish_writes() { writer_.finish(); }

net::Task<void> ClientCall::wait_for_head(Deadline by) {
  while (!messages_ && !status_) {
    const bool in_time = co_await changed_.wait(by);
    if (in_time || messages_ || status_) continue;
    task_.cancel();  // the request
    end(status_of(kDeadlinePassed));
  }
}

net::Task<bool> ClientCall::headers_came(Deadline by) {
  co_await wait_for_head(deadline_.earlier(by));
  co_return messages_.has_value();
}

net::Task<StatusOr<std::optional<std::string>>> ClientCall::read(Deadline by) {
  using Next = std::optional<std::string>;
  by = by.earlier(deadline_);
  co_await wait_for_head(by);
  if (!status_) {
    Result<Next> next = co_await messages_->next(by);
    if (next && next->has_value()) co_return std::move(*next);
    if (!next) {
      end(status_of(next.error()));
    } else {
      trailers_ = std::move(messages_->body().trailers());
      std::optional<Status> status = read_status(trailers_);
      if (!status) status = read_status(head_.headers);
      end(status ? std::move(*status) : Status{Code::Unknown, "an answer without a grpc-status"});
    }
  }
  if (status_->ok()) co_return Next();
  co_return *status_;
}

namespace detail {

net::Task<StatusOr<std::string>> read_only_message(std::unique_ptr<ClientCall> call) {
  StatusOr<std::optional<std::string>> first = co_await call->read();
  if (!first) co_return first.status();
  if (!first->has_value()) co_return Status{Code::Internal, "a unary call without an answer"};
  StatusOr<std::optional<std::string>> second = co_await call->read();
  if (!second) co_return second.status();
  if (second->has_value()) co_return Status{Code::Internal, "a unary call with two answers"};
  co_return std::move(**first);
}

}  // namespace detail
}  // namespace tulle::grpc
