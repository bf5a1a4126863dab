// SPDX-License-Identifier: Apache-2.0
#include "lib/h2/connection.h"
#include "lib/h2/keep_alive.h"

namespace tulle::h2 {
namespace {

SessionOptions session_options(const ServerOptions& options) {
  SessionOptions out;
  out.stream_window = options.stream_window;
  out.connection_window = options.connection_window;
  out.max_frame_size = options.max_frame_size;
  out.max_header_list = options.max_header_list;
  if (options.max_concurrent_streams != 0)
    out.max_concurrent_streams = options.max_concurrent_streams;
  out.max_pending_resets = options.max_pending_resets;
  out.carries_http1 = options.carries_http1;
  out.max_carried_list = options.max_carried_list;
  return out;
}

class Server;
struct DeadTag;
struct FreshTag;

// One request and its answer.
class ServerStream final : public Outgoing,
                           public http::BodyProducer,
                           public http::InformationalSink,
                           public ListHook<DeadTag>,
                           public ListHook<FreshTag>,
                           public SlabAllocated {
 public:
  explicit ServerStream(Server& s) : server(s) {}
  void on_body_changed() override;
  void on_consumed(std::size_t n) override;
  void on_abandoned() override;
  void on_informational(http::ResponseHead head) override;

  Server& server;
  http::BodyWriter request_body;
  // Until its handler is started. Beside the stream: many streams wait for long.
  struct Waiting : SlabAllocated {
    explicit Waiting(http::Request r) : request(std::move(r)) {}
    http::Request request;
  };
  std::unique_ptr<Waiting> waiting;
  net::TaskScope scope;  // the handler
};

class Server final : public Pump,
                     public SessionEvents,
                     net::DrainListener,
                     net::Timer,
                     net::HeldBytes::Holder,
                     public SlabAllocated {
 public:
  Server(net::StreamPtr stream, http::Handler& handler, const ServerOptions& options,
         net::Drain& drain)
      : Pump(std::move(stream), true, session_options(options), *this),
        Holder(options.guard.heads, options.guard.client),
        handler_(handler),
        most_unsent_(options.send_buffer),
        place_(options.guard.place),
        head_time_(options.guard.head_time),
        idle_time_(options.guard.idle_time),
        keep_alive_(*this, {options.ping_interval, options.ping_timeout, false, true}) {
    hold_reading_at(most_unsent_);
    drain.add(*this);
    if (drain.started()) on_drain();
  }
  ~Server() {
    session().for_each_stream([](StreamState& stream) {
      if (auto* const user = static_cast<ServerStream*>(stream.user)) {
        user->stream = nullptr;
        stream.user = nullptr;
        delete user;
      }
    });
    bury();
  }

  static net::Task<void> run(std::unique_ptr<Server> server) {
    server->begin();
    [[maybe_unused]] const Error ended = co_await server->read_all();
    if (!server->end()) co_return;
    const Deadline by = server->loop().after(1s);
    Result<void> closed = co_await net::shutdown_write(server->stream(), by);
    (void)closed;
  }

  std::size_t most_unsent() const noexcept { return most_unsent_; }

  // SessionEvents
  void on_request(StreamState& state, http::Request request, bool ended) override {
    auto* const stream = new ServerStream(*this);
    stream->stream = &state;
    state.user = stream;
    if (!ended) {
      auto [writer, reader] = http::make_body(loop());
      stream->request_body = std::move(writer);
      stream->request_body.set_producer(stream);
      request.body = std::move(reader);
    }
    request.informational = stream;
    stream->waiting = std::make_unique<ServerStream::Waiting>(std::move(request));
    fresh_.push_back(*stream);
  }
  void on_response(StreamState&, http::Response, bool) override {}
  void on_data(StreamState& state, Bytes data, bool ended) override {
    auto* const stream = static_cast<ServerStream*>(state.user);
    if (stream == nullptr || stream->request_body.abandoned() || !stream->request_body) {
      session().consumed(state, data.size());
    } else {
      stream->request_body.write(data);
    }
    if (ended && stream != nullptr) stream->request_body.finish();
  }
  void on_trailers(StreamState& state, http::HeaderMap trailers) override {
    if (auto* const stream = static_cast<ServerStream*>(state.user))
      stream->request_body.finish(std::move(trailers));
  }
  void on_reset(StreamState& state, Code code, bool /*by_peer*/) override {
    if (auto* const stream = static_cast<ServerStream*>(state.user)) {
      stream->request_body.fail({Errc::Reset, "request body", 0, static_cast<std::uint32_t>(code)});
    }
  }
  void on_window(StreamState& state) override {
    if (state.user != nullptr) window_opened(*static_cast<ServerStream*>(state.user));
  }
  void on_connection_window() override { connection_window_opened(); }
  void on_initial_window() override { initial_window_opened(); }
  void on_goaway(std::uint32_t, Code) override {}
  void on_ping_ack() override { keep_alive_.answered(); }
  void on_closed(StreamState& state) override {
    auto* const stream = static_cast<ServerStream*>(state.user);
    state.user = nullptr;
    if (stream == nullptr) return;
    stream->stream = nullptr;
    // Its handler may be what is running now: it goes at the end of the turn.
    dead_.push_back(*stream);
    flush_soon();
  }

  net::Task<void> answer(ServerStream& stream, http::Request request) {
    const bool head_request = request.method == "HEAD";
    Result<http::Response> response = co_await handler_.handle(std::move(request));
    if (stream.stream == nullptr) co_return;
    if (!response) {
      const std::uint32_t detail = response.error().detail;
      session().reset(*stream.stream,
                      detail != 0 ? static_cast<Code>(detail) : Code::InternalError);
      flush_soon();
      co_return;
    }
    const bool bodyless = head_request || response->status == 204 || response->status == 304;
    const bool end = bodyless || !response->body.has_value() ||
                     (response->body.ended() && response->body.trailers().empty());
    if (response->close_connection) goodbye();
    if (end && stream.request_body && !stream.stream->remote_closed) {
      // The whole answer is given: the rest of the request is not wanted (RFC 9113 §8.1).
      StreamState& state = *stream.stream;
      session().send_response(state, *response, true);
      if (stream.stream != nullptr) session().reset(state, Code::NoError);
      flush_soon();
      co_return;
    }
    session().send_response(*stream.stream, *response, end);
    if (!end) {
      // Answers may go on for long after their request was read, and nothing more comes of it.
      if (stream.request_body.abandoned()) stream.request_body = {};
      stream.body = std::move(response->body);
      start(stream);
    }
    flush_soon();
  }

 private:
  void begin() {
    flush_soon();
    keep_alive_.start();
    watch();
  }
  // Whether there is somebody left to say goodbye to.
  bool end() {
    keep_alive_.stop();
    static_cast<net::Timer*>(this)->unlink();
    if (keep_alive_.gave_up()) return false;
    flush_now();
    stop_writing();
    return true;
  }
  // DrainListener
  void on_drain() override { goodbye(); }
  void goodbye() {
    session().send_goaway(false);
    leaving_ = true;
    flush_soon();
  }
  enum class WaitingFor : std::uint8_t { Nothing, Head, Request };
  // Holder: too much of all connections is not whole. Timer: this one has let us wait.
  void give_way() override { cut(); }
  void fire() override {
    if (waiting_for_ == WaitingFor::Request) {
      goodbye();
    } else {
      cut();
    }
  }
  void cut() {
    stream().abort();
    stop_reading();
  }
  // Keeps the guard's bounds, after whatever may have changed what is under way.
  void watch() {
    const std::size_t unfinished = session().unfinished();
    if (session().last_peer_stream() != last_begun_) {
      last_begun_ = session().last_peer_stream();
      hold(0);  // what is not whole now is another head
      wait_for(WaitingFor::Nothing);
    }
    hold(unfinished);
    const bool busy = session().open_streams() != 0;
    if (place_ != nullptr) place_->set_busy(busy);
    const bool silent = idle_time_ && !session().greeted();
    const WaitingFor now = unfinished != 0 || silent ? WaitingFor::Head
                           : busy                    ? WaitingFor::Nothing
                                                     : WaitingFor::Request;
    if (now != waiting_for_) wait_for(now);
  }
  void wait_for(WaitingFor what) {
    waiting_for_ = what;
    static_cast<net::Timer*>(this)->unlink();
    std::optional<Duration> time;
    if (what == WaitingFor::Head) time = head_time_;
    if (what == WaitingFor::Request) time = idle_time_;
    if (time) loop().arm(*this, loop().now() + *time);
  }
  void after_flush() override {
    bury();
    watch();
    if (leaving_ && session().open_streams() == 0 && session().output().empty()) {
      session().send_goaway(true);
      if (!session().output().empty()) {
        flush_soon();
        return;
      }
      stop_reading();
    }
  }
  void after_receive() override {
    while (ServerStream* const stream = fresh_.pop_front()) {
      if (stream->stream == nullptr) continue;  // reset in the same breath
      http::Request request = std::move(stream->waiting->request);
      stream->waiting.reset();
      stream->scope.spawn(answer(*stream, std::move(request)));
    }
    watch();
  }
  void bury() {
    while (ServerStream* const stream = dead_.pop_front()) delete stream;
  }

  http::Handler& handler_;
  const std::size_t most_unsent_;
  net::Place* const place_;
  const std::optional<Duration> head_time_;
  const std::optional<Duration> idle_time_;
  WaitingFor waiting_for_ = WaitingFor::Nothing;
  std::uint32_t last_begun_ = 0;
  KeepAlive keep_alive_;
  bool leaving_ = false;
  IntrusiveList<ServerStream, FreshTag> fresh_;
  IntrusiveList<ServerStream, DeadTag> dead_;
};

void ServerStream::on_body_changed() { server.wake(*this); }
void ServerStream::on_consumed(std::size_t n) {
  if (stream == nullptr) return;
  server.session().consumed(*stream, n);
  if (!server.session().output().empty()) server.flush_soon();
}
void ServerStream::on_abandoned() {
  // Nobody reads the request any more: what came and what comes is given back.
  if (stream != nullptr) on_consumed(stream->unconsumed);
}
void ServerStream::on_informational(http::ResponseHead head) {
  if (stream == nullptr || head.status == 101) return;
  if (server.session().output().size() > server.most_unsent())
    return;  // the client does not read, and may do without
  server.session().send_response(*stream, head, false);
  server.flush_soon();
}

}  // namespace

// No coroutine: what one takes by value, it keeps.
net::Task<void> serve(net::StreamPtr stream, http::Handler& handler, const ServerOptions& options,
                      net::Drain& drain) {
  return Server::run(std::make_unique<Server>(std::move(stream), handler, options, drain));
}

}  // namespace tulle::h2
