// SPDX-License-Identifier: Apache-2.0
// HTTP/2 connections: sessions with a stream under them. What a batch of events produced leaves in
// one write at the end of the loop's turn. Idle connections hold no buffers.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "lib/h2/session.h"
#include "lib/http/message.h"
#include "lib/net/admission.h"
#include "lib/net/drain.h"
#include "lib/net/stream.h"

namespace tulle::h2 {

struct ServerOptions {
  std::uint32_t stream_window = 65'535;
  std::uint32_t connection_window = 1'048'576;
  std::uint32_t max_frame_size = 16'384;
  std::uint32_t max_header_list = 16'384;
  std::uint32_t max_concurrent_streams = 0;  // announced; 0: 10,000
  std::uint32_t max_pending_resets = 20;
  std::string_view carries_http1;      // see SessionOptions
  std::uint32_t max_carried_list = 0;  // see SessionOptions
  // A client that asks on and on and reads no answer is not listened to beyond that many bytes of
  // answers, all streams together.
  std::uint32_t send_buffer = 409'600;
  // PING when, with streams open, nothing has moved for that long; without an answer in time the
  // connection is cut.
  std::optional<Duration> ping_interval;
  Duration ping_timeout = 3s;
  net::Guard guard;  // a header block that takes too long ends the connection
};

// Serves the connection until it ends. Draining: GOAWAY, then the streams under way finish. The
// options are read before this returns: a connection keeps of them what it needs.
net::Task<void> serve(net::StreamPtr stream, http::Handler& handler, const ServerOptions& options,
                      net::Drain& drain);

struct ClientOptions {
  std::uint32_t stream_window = 65'535;
  std::uint32_t connection_window = 1'048'576;
  std::uint32_t max_header_list = 16'384;
  // PING after that long without a frame from the peer; the connection fails if no answer comes in
  // time.
  std::optional<Duration> ping_interval;
  Duration ping_timeout = 3s;
  bool ping_while_idle = false;    // also without open streams
  std::string_view carries_http1;  // see SessionOptions
};

class ClientConnection final : public http::Client {
 public:
  static std::unique_ptr<ClientConnection> make(net::StreamPtr stream, ClientOptions options);
  // Cuts what is under way.
  ~ClientConnection() override;

  // See http::Client. Refused also when available() is 0.
  net::Task<Result<http::Response>> send(http::Request request, Deadline by) override;
  // As send(), with a request that the caller keeps: its head is left as it is, its body is taken.
  // So a request without a body can be sent elsewhere after Refused.
  net::Task<Result<http::Response>> exchange(http::Request& request, Deadline by);

  std::size_t available() const noexcept;  // requests that may be begun now
  std::size_t active() const noexcept;     // requests under way
  bool accepting() const noexcept;         // neither failed nor told to go away
  bool stalled() const noexcept;  // slow streams hold its window: a request would wait for them
  bool failed() const noexcept;
  TimePoint heard_at() const noexcept;  // when the last bytes came
  void ping();                          // asks for a sign of life, seen in heard_at()
  bool silent() const noexcept;         // it failed because the peer did not answer a PING
  // Called once when the connection is over, from the loop; must not destroy it from inside.
  void on_closed(std::function<void()> callback);

 private:
  class Impl;
  explicit ClientConnection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tulle::h2
