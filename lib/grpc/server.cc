// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/server.h"

#include <algorithm>
#include <utility>

#include "lib/grpc/headers.h"

namespace tulle::grpc {
namespace {

constexpr Duration kLongestDeadline = std::chrono::hours(24 * 365);

Deadline deadline_of(net::Loop& loop, const http::HeaderMap& headers) {
  const std::optional<std::string_view> text = headers.get("grpc-timeout");
  const std::optional<Duration> timeout = text ? parse_timeout(*text) : std::nullopt;
  if (!timeout || *timeout > kLongestDeadline) return Deadline::never();
  return loop.after(*timeout);
}

http::Response http_error(std::uint16_t code) {
  http::Response response;
  response.status = code;
  response.version = http::Version::Http2;
  return response;
}

}  // namespace

http::Response make_status_response(const Status& status) {
  http::Response response;
  response.status = 200;
  response.version = http::Version::Http2;
  response.headers.add("content-type", "application/grpc");
  write_status(status, response.headers);
  return response;
}

// What a call costs before it does anything: until its request is whole it counts against a bound
// that all calls share, while it is answered against another.
class ServerCall::Pending final : public SlabAllocated, public net::HeldBytes::Holder {
 public:
  Pending(ServerCall& call, const Options& options, std::shared_ptr<std::size_t> answering)
      : Holder(options.unfinished, call.peer_.address.ip),
        by(options.request_time ? call.loop_.after(*options.request_time) : Deadline::never()),
        call_(call),
        head_(kCall + call.request().headers.list_size()),
        max_answering_(options.max_answering),
        answering_(std::move(answering)) {
    hold_message(0);
  }
  ~Pending() { *answering_ -= answered_; }

  void hold_message(std::size_t bytes) { hold(head_ + bytes); }
  // The request is whole; false: too many are being answered.
  bool answer(std::size_t bytes) {
    hold(0);
    if (*answering_ + head_ + bytes > max_answering_) return false;
    answered_ = head_ + bytes;
    *answering_ += answered_;
    return true;
  }

  const Deadline by;

 private:
  static constexpr std::size_t kCall = 2048;  // its stream, its coroutines and itself, about
  void give_way() override { call_.finish({Code::Unavailable, "too many requests are not whole"}); }
  ServerCall& call_;
  const std::size_t head_;
  const std::size_t max_answering_;
  const std::shared_ptr<std::size_t> answering_;
  std::size_t answered_ = 0;
};

ServerCall::ServerCall(net::Loop& loop, http::Request request, Peer peer, const Options& options,
                       bool streams, std::shared_ptr<MethodCounts> counts,
                       std::shared_ptr<std::size_t> answering)
    : loop_(loop),
      asked_(new Asked{{},
                       std::move(static_cast<http::RequestHead&>(request)),
                       {std::move(request.body), options.max_message, this}}),
      peer_(std::move(peer)),
      deadline_(deadline_of(loop, asked_->head.headers)),
      send_buffer_(options.send_buffer),
      streams_(streams),
      counts_(std::move(counts)),
      pending_(std::make_unique<Pending>(*this, options, std::move(answering))),
      changed_(loop),
      drained_(loop) {
  if (!streams_) deadline_ = deadline_.earlier(pending_->by);
}

void ServerCall::on_held(std::size_t bytes) {
  if (pending_ != nullptr) pending_->hold_message(bytes);
}

ServerCall::~ServerCall() {
  writer_.set_producer(nullptr);
  if (stranger_) --counts_->of_strangers;
  // Nobody has ended it: its client, or our own end.
  if (!done_) ++counts_->handled[static_cast<std::size_t>(Code::Cancelled)];
}

net::Task<StatusOr<std::optional<std::string>>> ServerCall::next(Deadline by) {
  Result<std::optional<std::string>> next = co_await asked_->messages.next(by);
  if (!next) co_return status_of(next.error());
  if (next->has_value()) ++counts_->received;
  co_return std::move(*next);
}

net::Task<StatusOr<std::optional<std::string>>> ServerCall::read() {
  pending_.reset();
  return next(deadline_);
}

net::Task<StatusOr<std::string>> ServerCall::read_one() {
  const Deadline by = deadline_.earlier(pending_->by);
  StatusOr<std::optional<std::string>> message = co_await next(by);
  if (!message) co_return message.status();
  if (!message->has_value()) co_return Status{Code::Internal, "a request without a message"};
  asked_->messages.body() = http::BodyReader{};
  if (streams_) {
    pending_.reset();
  } else if (!pending_->answer((*message)->size())) {
    co_return Status{Code::Unavailable, "too many requests are being answered"};
  }
  co_return std::move(**message);
}

net::Task<bool> ServerCall::ready() {
  while (!gone_ && !done_ && writer_.buffered() >= send_buffer_) {
    const bool woken = co_await drained_.wait();
    (void)woken;
  }
  co_return !gone_ && !done_;
}

void ServerCall::start() {
  if (started_) return;
  auto [writer, reader] = http::make_body(loop_);
  writer_ = std::move(writer);
  reader_ = std::move(reader);
  writer_.set_producer(this);
  started_ = true;
  changed_.notify_all();
}

bool ServerCall::send_frame(Bytes frame) {
  if (gone_ || done_) return false;
  start();
  ++counts_->sent;
  writer_.write(frame);
  return !gone_;
}

void ServerCall::finish(Status status, std::string frame) {
  if (done_) return;
  done_ = true;
  const auto code = static_cast<std::size_t>(status.code);
  ++counts_->handled[std::min(code, counts_->handled.size() - 1)];
  if (!frame.empty()) ++counts_->sent;
  write_status(status, trailers_);
  if (started_) {
    writer_.write(as_bytes(frame));
    writer_.finish(std::move(trailers_));
  } else {
    last_frame_ = std::move(frame);
  }
  drained_.notify_all();
  changed_.notify_all();
}

// Not in the coroutines that wait for it: what it needs would be kept there.
void ServerCall::time_out() {
  finish({Code::DeadlineExceeded, "the deadline passed on the server"});
}

void ServerCall::on_consumed(std::size_t n) {
  (void)n;
  if (writer_.buffered() < send_buffer_) drained_.notify_all();
}

void ServerCall::on_abandoned() {
  gone_ = true;
  drained_.notify_all();
  changed_.notify_all();
}

http::Response ServerCall::head_of_response() {
  http::Response response;
  response.status = 200;
  response.version = http::Version::Http2;
  response.headers = std::move(response_headers_);
  response.headers.set("content-type", "application/grpc");
  return response;
}

http::Response ServerCall::complete_response() {
  http::Response response = head_of_response();
  if (last_frame_.empty()) {
    for (const http::HeaderMap::Field field : trailers_)
      response.headers.add(field.name, field.value);
  } else {
    response.body = http::make_full_body(loop_, as_bytes(last_frame_), std::move(trailers_));
  }
  return response;
}

http::Response ServerCall::streaming_response() {
  http::Response response = head_of_response();
  response.body = std::move(reader_);
  return response;
}

Server::Server(net::Loop& loop, Options options) : loop_(loop), options_(options) {}

Server::~Server() = default;

void Server::add(std::string_view path, bool server_streams, Run run) {
  methods_.insert_or_assign(
      std::string(path), Method{server_streams, std::move(run), std::make_shared<MethodCounts>()});
}

net::Task<Result<http::Response>> Server::handle(http::Request request) {
  return serve(std::move(request), Peer{});
}

net::Task<Result<http::Response>> Server::serve(http::Request request, Peer peer) {
  if (request.method != "POST") co_return http_error(405);
  const std::optional<std::string_view> type = request.headers.get("content-type");
  if (!type || !is_grpc_content_type(*type)) co_return http_error(415);
  const auto method = methods_.find(request.path.view());
  if (method == methods_.end()) {
    co_return make_status_response({Code::Unimplemented, "unknown method"});
  }
  if (draining_) co_return make_status_response({Code::Unavailable, "shutting down"});

  const Run& run = method->second.run;
  ++method->second.counts->started;
  auto call =
      std::make_unique<ServerCall>(loop_, std::move(request), std::move(peer), options_,
                                   method->second.streams, method->second.counts, answering_);
  count_in(*call);
  call->task_.spawn(run(*call));
  while (!call->started_ && !call->done_) {
    const bool in_time = co_await call->changed_.wait(call->deadline_);
    if (!in_time) call->time_out();
  }
  if (!call->started_) co_return call->complete_response();
  http::Response response = call->streaming_response();
  lingering_.spawn(linger(std::move(call)));
  co_return response;
}

void Server::count_in(ServerCall& call) {
  const bool stranger =
      call.streams_ && call.peer_.identity.empty() && !call.peer_.address.ip.is_loopback();
  if (!stranger) return calls_.push_back(call);
  make_room_for_a_stranger();
  call.stranger_ = true;
  ++call.counts_->of_strangers;
  strangers_.push_back(call);
}

void Server::make_room_for_a_stranger() {
  std::size_t streams = 0;
  for (const auto& [path, method] : methods_) streams += method.counts->of_strangers;
  if (streams < options_.max_streams_of_strangers || strangers_.empty()) return;
  ServerCall& oldest = strangers_.front();
  oldest.ListHook<detail::CallTag>::unlink();
  calls_.push_back(oldest);
  oldest.stranger_ = false;
  --oldest.counts_->of_strangers;
  oldest.finish({Code::Unavailable, "too many streams of clients without a certificate"});
}

net::Task<void> Server::linger(std::unique_ptr<ServerCall> call) {
  while (!call->done_ && !call->gone_) {
    const bool in_time = co_await call->changed_.wait(call->deadline_);
    if (!in_time) call->time_out();
  }
}

void Server::drain() {
  draining_ = true;
  const auto end = [](ServerCall& call) {
    if (call.streams_) call.finish({});
  };
  calls_.for_each(end);
  strangers_.for_each(end);
}

}  // namespace tulle::grpc
