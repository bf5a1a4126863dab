// SPDX-License-Identifier: Apache-2.0
#include "lib/h2/connection.h"
#include "lib/h2/keep_alive.h"

namespace tulle::h2 {
namespace {

SessionOptions session_options(const ClientOptions& options) {
  SessionOptions out;
  out.carries_http1 = options.carries_http1;
  out.stream_window = options.stream_window;
  out.connection_window = options.connection_window;
  out.max_header_list = options.max_header_list;
  return out;
}

struct DeadTag;

}  // namespace

class ClientConnection::Impl final : public Pump, public SessionEvents {
 public:
  // One request and its answer. Lives until both the stream is over and nobody uses its response
  // body.
  class ClientStream final : public Outgoing,
                             public http::BodyProducer,
                             public ListHook<DeadTag>,
                             public SlabAllocated {
   public:
    explicit ClientStream(Impl& c) : connection(c) {}
    void on_body_changed() override { connection.wake(*this); }
    void on_consumed(std::size_t n) override {
      if (stream == nullptr) return;
      connection.session().consumed(*stream, n);
      if (!connection.session().output().empty()) connection.flush_soon();
    }
    void on_abandoned() override {
      if (stream == nullptr) return;
      connection.session().reset(*stream, Code::Cancel);
      connection.flush_soon();
    }
    Impl& connection;
    http::BodyWriter response_body;
    std::optional<Result<http::Response>> response;
    http::InformationalSink* sink = nullptr;
    net::Waiter* waiter = nullptr;  // the task in send()

    void answered(Result<http::Response> result) {
      if (response) return;
      response.emplace(std::move(result));
      if (waiter != nullptr) connection.loop().wake(*waiter);
    }
  };

  Impl(net::StreamPtr stream, const ClientOptions& options)
      : Pump(std::move(stream), false, session_options(options), *this),
        keep_alive_(*this, {options.ping_interval, options.ping_timeout, options.ping_while_idle}) {
    flush_soon();
    keep_alive_.start();
    scope_.spawn(run());
  }
  ~Impl() {
    scope_.cancel();
    fail_all({Errc::Cancelled, "close HTTP/2"});
    bury();
  }

  net::Task<Result<http::Response>> exchange(http::Request& request, Deadline by);
  bool silent() const noexcept { return keep_alive_.gave_up(); }
  bool stalled() noexcept { return session().stalled(); }
  void ping() {
    if (failed_) return;
    session().send_ping();
    flush_soon();
  }
  bool accepting() const noexcept { return !failed_ && !goaway_; }
  bool failed() const noexcept { return failed_; }
  std::size_t active() noexcept { return session().open_streams(); }
  std::size_t available() noexcept { return failed_ ? 0 : session().available(); }
  void set_on_closed(std::function<void()> callback) { on_closed_callback_ = std::move(callback); }

  // SessionEvents
  void on_request(StreamState&, http::Request, bool) override {}
  void on_response(StreamState& state, http::Response response, bool ended) override {
    auto* const stream = static_cast<ClientStream*>(state.user);
    if (stream == nullptr) return;
    if (response.status < 200) {
      if (stream->sink != nullptr) stream->sink->on_informational(std::move(response));
      return;
    }
    if (!ended) {
      auto [writer, reader] = http::make_body(loop());
      stream->response_body = std::move(writer);
      stream->response_body.set_producer(stream);
      response.body = std::move(reader);
    }
    stream->answered(std::move(response));
  }
  void on_data(StreamState& state, Bytes data, bool ended) override {
    auto* const stream = static_cast<ClientStream*>(state.user);
    if (stream == nullptr || !stream->response_body || stream->response_body.abandoned()) {
      session().consumed(state, data.size());
      return;
    }
    stream->response_body.write(data);
    if (ended) stream->response_body.finish();
  }
  void on_trailers(StreamState& state, http::HeaderMap trailers) override {
    if (auto* const stream = static_cast<ClientStream*>(state.user))
      stream->response_body.finish(std::move(trailers));
  }
  void on_reset(StreamState& state, Code code, bool by_peer) override {
    auto* const stream = static_cast<ClientStream*>(state.user);
    if (stream == nullptr) return;
    const bool refused = by_peer && code == Code::RefusedStream;
    if (stream->response_body && by_peer && code == Code::NoError && state.remote_closed) return;
    const Error error{refused ? Errc::Refused : Errc::Reset,
                      refused ? "the stream was refused" : "the stream was reset", 0,
                      static_cast<std::uint32_t>(by_peer ? code : Code::ProtocolError)};
    stream->response_body.fail(error);
    stream->answered(error);
  }
  void on_window(StreamState& state) override {
    if (state.user != nullptr) window_opened(*static_cast<ClientStream*>(state.user));
  }
  void on_connection_window() override { connection_window_opened(); }
  void on_initial_window() override { initial_window_opened(); }
  void on_goaway(std::uint32_t last, Code /*code*/) override {
    goaway_ = true;
    session().for_each_stream([last, this](StreamState& state) {
      if (state.id <= last) return;
      if (auto* const stream = static_cast<ClientStream*>(state.user)) {
        const Error error{Errc::Refused, "the connection went away before the stream"};
        stream->response_body.fail(error);
        stream->answered(error);
      }
      session().reset(state, Code::Cancel);
    });
  }
  void on_ping_ack() override { keep_alive_.answered(); }
  void on_closed(StreamState& state) override {
    auto* const stream = static_cast<ClientStream*>(state.user);
    state.user = nullptr;
    if (stream == nullptr) return;
    stream->stream = nullptr;
    if (!stream->response) stream->answered(Error{Errc::Reset, "the stream ended"});
    if (stream->waiter == nullptr) retire(*stream);
  }

  // The stream's object goes at the end of the turn: it may be in use right now.
  void retire(ClientStream& stream) {
    if (!stream.ListHook<DeadTag>::linked()) dead_.push_back(stream);
    flush_soon();
  }

 private:
  net::Task<void> run() {
    Error ended = co_await read_all();
    failed_ = true;
    if (keep_alive_.gave_up()) ended = Error{Errc::Reset, "the peer does not answer"};
    if (ended.code == Errc::Eof || ended.code == Errc::Protocol) ended.code = Errc::Reset;
    fail_all(ended);
    stream().abort();
    if (on_closed_callback_) on_closed_callback_();
  }
  void fail_all(Error error) {
    failed_ = true;
    keep_alive_.stop();
    error.detail = 0;
    session().for_each_stream([&](StreamState& state) {
      auto* const stream = static_cast<ClientStream*>(state.user);
      if (stream == nullptr) return;
      stream->response_body.fail(error);
      stream->answered(error);
      state.user = nullptr;
      stream->stream = nullptr;
      if (stream->waiter == nullptr) retire(*stream);
    });
  }
  void after_flush() override { bury(); }
  void bury() {
    while (ClientStream* const stream = dead_.pop_front()) delete stream;
  }

  KeepAlive keep_alive_;
  std::function<void()> on_closed_callback_;
  bool failed_ = false;
  bool goaway_ = false;
  IntrusiveList<ClientStream, DeadTag> dead_;
  net::TaskScope scope_;
};

namespace {

// Waits for the answer of one stream.
template <typename Stream>
class Answer final : public net::TimedWaiter {
 public:
  Answer(net::Loop& loop, Stream& stream, Deadline by) : TimedWaiter(loop, by), stream_(stream) {}
  bool await_ready() const noexcept { return stream_.response.has_value(); }
  void await_suspend(std::coroutine_handle<> caller) {
    suspended_ = true;
    stream_.waiter = this;
    suspend(caller);
  }
  bool await_resume() noexcept { return !suspended_ || finish(); }

 private:
  Stream& stream_;
  bool suspended_ = false;
};

}  // namespace

net::Task<Result<http::Response>> ClientConnection::Impl::exchange(http::Request& request,
                                                                   Deadline by) {
  if (available() == 0) co_return Error{Errc::Refused, "begin a stream"};
  const bool end = !request.body.has_value();
  StreamState* const state = session().send_request(request, end);
  auto* const stream = new ClientStream(*this);
  stream->stream = state;
  stream->sink = request.informational;
  state->user = stream;
  // However this task ends, the stream is told, and its object goes when the stream is over.
  struct Guard {
    Impl& connection;
    ClientStream* stream;
    ~Guard() {
      stream->waiter = nullptr;
      stream->sink = nullptr;
      if (stream->stream == nullptr) {
        connection.retire(*stream);
      } else if (!stream->response || !*stream->response) {
        connection.session().reset(*stream->stream, Code::Cancel);
        connection.flush_soon();
      }
    }
  };
  const Guard guard{*this, stream};
  net::Waiter holding;  // until the answer is awaited the stream belongs to this task
  stream->waiter = &holding;
  if (!end) {
    stream->body = std::move(request.body);
    start(*stream);
  }
  flush_soon();
  const bool in_time = co_await Answer<ClientStream>(loop(), *stream, by);
  if (!in_time && !stream->response) co_return Error{Errc::Timeout, "wait for a response"};
  Result<http::Response> response = std::move(*stream->response);
  stream->response.emplace(http::Response{});  // taken: the guard leaves the stream alone
  if (!response) stream->response.emplace(response.error());
  co_return response;
}

ClientConnection::ClientConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientConnection::~ClientConnection() = default;
std::unique_ptr<ClientConnection> ClientConnection::make(net::StreamPtr stream,
                                                         ClientOptions options) {
  return std::unique_ptr<ClientConnection>(
      new ClientConnection(std::make_unique<Impl>(std::move(stream), options)));
}
net::Task<Result<http::Response>> ClientConnection::send(http::Request request, Deadline by) {
  co_return co_await impl_->exchange(request, by);
}
net::Task<Result<http::Response>> ClientConnection::exchange(http::Request& request, Deadline by) {
  return impl_->exchange(request, by);
}
TimePoint ClientConnection::heard_at() const noexcept { return impl_->heard_at; }
void ClientConnection::ping() { impl_->ping(); }
bool ClientConnection::silent() const noexcept { return impl_->silent(); }
std::size_t ClientConnection::available() const noexcept { return impl_->available(); }
std::size_t ClientConnection::active() const noexcept { return impl_->active(); }
bool ClientConnection::accepting() const noexcept { return impl_->accepting(); }
bool ClientConnection::stalled() const noexcept { return impl_->stalled(); }
bool ClientConnection::failed() const noexcept { return impl_->failed(); }
void ClientConnection::on_closed(std::function<void()> callback) {
  impl_->set_on_closed(std::move(callback));
}

}  // namespace tulle::h2
