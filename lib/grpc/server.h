// SPDX-License-Identifier: Apache-2.0
// Answers gRPC calls on one loop: an http::Handler that any number of connections share. Services
// register their methods with lib/grpc/service.h; what is not registered is UNIMPLEMENTED.
//
// A call lives until its handler is done, its deadline passes, its client goes away or drain() ends
// it. In the latter cases the handler's coroutine is destroyed where it is suspended; it never runs
// past that, so what it holds must clean up in destructors.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/intrusive_list.h"
#include "lib/base/slab.h"
#include "lib/base/slab_string.h"
#include "lib/grpc/frame.h"
#include "lib/grpc/status.h"
#include "lib/http/message.h"
#include "lib/net/address.h"
#include "lib/net/held_bytes.h"
#include "lib/net/task.h"

namespace tulle::grpc {

// The caller, as far as the connection knows it.
struct Peer {
  SlabString identity;      // authenticated name, empty if there is none
  net::SocketAddr address;  // of the other end of the connection
};

// Outcomes of the calls of one method, for metrics.
struct MethodCounts {
  std::uint64_t started = 0;
  std::uint64_t received = 0;               // messages
  std::uint64_t sent = 0;                   // messages
  std::array<std::uint64_t, 17> handled{};  // calls that ended, by code
  std::size_t of_strangers = 0;             // streams under way, see max_streams_of_strangers
};

namespace detail {
struct CallTag;
}

// One call, as its handler sees it. Made by Server.
class ServerCall final : public SlabAllocated,
                         public ListHook<detail::CallTag>,
                         private http::BodyProducer,
                         private HeldListener {
 public:
  struct Options {
    std::size_t max_message = kDefaultMaxMessage;      // received
    std::size_t send_buffer = std::size_t{16} * 1024;  // ready() while less than this is unsent
    // A unary call ends in that time, and the one request of a stream has come.
    std::optional<Duration> request_time;
    // Bounds what calls hold together whose one request is not whole; outlives the server. The
    // oldest ends with UNAVAILABLE.
    net::HeldBytes* unfinished = nullptr;
    // Of requests of unary calls that are being answered; beyond it new ones are UNAVAILABLE.
    std::size_t max_answering = SIZE_MAX;
    // Streaming calls under way of peers that have shown no identity and come from elsewhere, of
    // all methods: for a new one the oldest ends with UNAVAILABLE. Others are not counted.
    std::size_t max_streams_of_strangers = SIZE_MAX;
  };
  ServerCall(net::Loop& loop, http::Request request, Peer peer, const Options& options,
             bool streams, std::shared_ptr<MethodCounts> counts,
             std::shared_ptr<std::size_t> answering);
  ~ServerCall();

  net::Loop& loop() noexcept { return loop_; }
  const Peer& peer() const noexcept { return peer_; }
  // The client's, from grpc-timeout.
  Deadline deadline() const noexcept { return deadline_; }
  // The request's head; metadata is among its headers (lib/grpc/headers.h).
  const http::RequestHead& request() const noexcept { return asked_->head; }
  // Frees the request, for a call that will live long and needs it no more: neither request() nor
  // reading after this.
  void forget_request() noexcept { asked_.reset(); }
  // Metadata to send before the first message and with the status; set it in time.
  http::HeaderMap& response_headers() noexcept { return response_headers_; }
  http::HeaderMap& trailers() noexcept { return trailers_; }

  // The next message of a client that streams; nullopt when it has sent its last. Such a call has
  // no one request: the bounds for it end here.
  net::Task<StatusOr<std::optional<std::string>>> read();
  // The one message of a unary or server-streaming call. Messages after it are dropped.
  net::Task<StatusOr<std::string>> read_one();

  // Waits until the client keeps up: little of what was sent before is still held back by its flow
  // control. False when it is gone. Ask before composing a message, so that a slow client gets the
  // latest state instead of a queue.
  net::Task<bool> ready();
  // Sends a framed message (frame_message) at once. False when the client is gone.
  bool send_frame(Bytes frame);
  // Ends the call; later calls are ignored. `frame` is a last framed message, if not empty.
  void finish(Status status, std::string frame = {});
  // The client cancelled, or its connection broke. The call is about to be destroyed.
  bool gone() const noexcept { return gone_; }

 private:
  class Pending;
  net::Task<StatusOr<std::optional<std::string>>> next(Deadline by);
  void time_out();
  void on_held(std::size_t bytes) override;
  friend class Server;
  void on_consumed(std::size_t n) override;
  void on_abandoned() override;
  void start();
  http::Response head_of_response();
  // For a call that ended before anything was sent: trailers only, or one message.
  http::Response complete_response();
  http::Response streaming_response();

  // Beside the call: there are many that wait for long and have read all they will.
  struct Asked : SlabAllocated {
    http::RequestHead head;
    MessageReader messages;
  };

  net::Loop& loop_;
  std::unique_ptr<Asked> asked_;
  Peer peer_;
  Deadline deadline_;
  const std::size_t send_buffer_;
  bool stranger_ = false;                       // counted in of_strangers
  const bool streams_;                          // the server may send several messages
  const std::shared_ptr<MethodCounts> counts_;  // a call may outlive its server
  std::unique_ptr<Pending> pending_;            // until the request is whole, or answered
  bool started_ = false;
  bool done_ = false;
  bool gone_ = false;
  http::BodyWriter writer_;
  http::BodyReader reader_;
  http::HeaderMap response_headers_;
  http::HeaderMap trailers_;
  std::string last_frame_;
  net::Signal changed_;  // started, done or gone: for the server
  net::Signal drained_;  // bytes were taken: for the handler
  net::TaskScope task_;  // the handler; destroyed first
};

class Server final : public http::Handler {
 public:
  using Options = ServerCall::Options;
  // The function behind a method: reads from the call, sends, and ends with finish().
  using Run = std::function<net::Task<void>(ServerCall& call)>;

  explicit Server(net::Loop& loop, Options options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // `path` is "/package.Service/Method". The server must not outlive anything that `run` borrows.
  void add(std::string_view path, bool server_streams, Run run);

  net::Task<Result<http::Response>> handle(http::Request request) override;
  net::Task<Result<http::Response>> serve(http::Request request, Peer peer);

  // Ends every streaming call with OK (its client comes back, elsewhere) and refuses new calls with
  // UNAVAILABLE. Unary calls go on to their end.
  void drain();
  // f(path, server_streams, counts) for each method, in the order of their paths.
  template <typename F>
  void for_each_method(F&& f) const {
    for (const auto& [path, method] : methods_) f(path, method.streams, *method.counts);
  }
  // No call is under way.
  bool idle() const noexcept { return calls_.empty() && strangers_.empty(); }

 private:
  struct Method {
    bool streams;
    Run run;
    std::shared_ptr<MethodCounts> counts;
  };
  void count_in(ServerCall& call);
  void make_room_for_a_stranger();
  static net::Task<void> linger(std::unique_ptr<ServerCall> call);

  net::Loop& loop_;
  const Options options_;
  bool draining_ = false;
  // Bytes of requests of unary calls that are being answered.
  const std::shared_ptr<std::size_t> answering_ = std::make_shared<std::size_t>(0);
  std::map<std::string, Method, std::less<>> methods_;
  IntrusiveList<ServerCall, detail::CallTag> calls_;
  IntrusiveList<ServerCall, detail::CallTag> strangers_;  // those that are counted, oldest first
  net::TaskScope lingering_;
};

// An answer that is only a status, e.g. for calls that a connection may not make.
http::Response make_status_response(const Status& status);

}  // namespace tulle::grpc
