// SPDX-License-Identifier: Apache-2.0
// One side of an HTTP/2 connection as a codec (RFC 9113): bytes in, events out; calls in, bytes
// into output(). Holds no socket and waits for nothing. Flow control is the caller's consumption:
// credit goes back to the sender only as consumed() is called. Everything a peer can make us keep
// or do is bounded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/h2/hpack.h"
#include "lib/http/message.h"

namespace tulle::h2 {

enum class Code : std::uint32_t {  // RFC 9113 §7
  NoError = 0,
  ProtocolError = 1,
  InternalError = 2,
  FlowControlError = 3,
  SettingsTimeout = 4,
  StreamClosed = 5,
  FrameSizeError = 6,
  RefusedStream = 7,
  Cancel = 8,
  CompressionError = 9,
  ConnectError = 10,
  EnhanceYourCalm = 11,
  InadequateSecurity = 12,
  Http11Required = 13,
};

struct SessionOptions {
  std::uint32_t stream_window = 65'535;         // what we let a peer send ahead, a stream
  std::uint32_t connection_window = 1'048'576;  // and in all
  std::uint32_t max_frame_size = 16'384;
  std::uint32_t max_header_list = 16'384;
  // Server: announced, and what is beyond it is refused. Enough for any client that carries a whole
  // workload's requests over one connection.
  std::uint32_t max_concurrent_streams = 10'000;
  // server: a fifth of the streams that a client may reset at once as soon as they have begun,
  // before that is taken for an attack
  std::uint32_t max_pending_resets = 20;
  // A request with this field is one of HTTP/1 that a proxy carries in HTTP/2. Server: which host
  // it names, with Host beside :authority, is for the handler to judge. Client: its Host is sent
  // beside :authority, that of others is not. Empty: none is.
  std::string_view carries_http1;
  // Server: the bound of a header list with that field, if it is larger than max_header_list: what
  // carries a head of HTTP/1 is longer than that.
  std::uint32_t max_carried_list = 0;
  std::uint32_t longest_list() const noexcept {
    return std::max(max_header_list, max_carried_list);
  }
};

// A stream as the session knows it. The user hangs its own object on it.
struct StreamState : SlabAllocated {
  std::uint32_t id = 0;
  std::int64_t send_credit = 0;     // beside the peer's initial window: may be negative
  std::int32_t recv_window = 0;     // what the peer may still send
  std::uint32_t unconsumed = 0;     // received, not yet consumed
  std::uint32_t to_announce = 0;    // consumed, not yet given back
  std::int64_t expected_body = -1;  // content-length still to come; -1: not told
  TimePoint began{};
  bool local_closed = false;
  bool remote_closed = false;
  bool got_head = false;  // the final head of the message
  bool no_body = false;   // an answer to HEAD, 204, 304
  bool head_request = false;
  void* user = nullptr;
};

class SessionEvents {
 public:
  // Server: a request came. Return the user's object for the stream.
  virtual void on_request(StreamState& stream, http::Request request, bool ended) = 0;
  // Client: a response head; informational ones (1xx) come before the final one.
  virtual void on_response(StreamState& stream, http::Response response, bool ended) = 0;
  // Body bytes; call Session::consumed for them when they are used (or at once if not wanted).
  virtual void on_data(StreamState& stream, Bytes data, bool ended) = 0;
  // The end of the peer's side by trailers.
  virtual void on_trailers(StreamState& stream, http::HeaderMap trailers) = 0;
  // The stream is over before its time; by_peer: the peer reset it, otherwise it broke the rules.
  virtual void on_reset(StreamState& stream, Code code, bool by_peer) = 0;
  // The stream's window, that of the connection, or those of all streams were raised: who waits for
  // it may send on. Comes with each frame; what it costs is paid by a peer's few bytes.
  virtual void on_window(StreamState& stream) = 0;
  virtual void on_connection_window() = 0;
  virtual void on_initial_window() = 0;
  // `last_stream` is lower than before, or this is the first.
  virtual void on_goaway(std::uint32_t last_stream, Code code) = 0;
  virtual void on_ping_ack() = 0;
  // The stream's state goes away after this call.
  virtual void on_closed(StreamState& stream) = 0;

 protected:
  ~SessionEvents() = default;
};

// The message being read from a header block.
struct ParsedHeaders : SlabAllocated {
  http::HeaderMap headers;
  std::string method, scheme, authority, path, status;
  unsigned pseudo = 0;
  std::size_t size = 0;
  bool bad = false;
  bool too_large = false;
  bool regular_seen = false;
};

class Session final : HpackSink {
 public:
  Session(bool server, const SessionOptions& options, SessionEvents& events);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Takes all of the bytes. An error ends the connection: GOAWAY with error.detail is in output()
  // already.
  Result<void> receive(Bytes bytes, TimePoint now);
  ByteQueue& output() noexcept { return output_; }

  // Client: begins a stream. Null when none can be begun (GOAWAY, limit, ids used up).
  StreamState* send_request(const http::Request& request, bool end);
  void send_response(StreamState& stream, const http::ResponseHead& response, bool end);
  // Sends a prefix of `data` as the windows allow (and at most one frame) and returns its length;
  // `end` takes effect if all of it was sent.
  std::size_t send_data(StreamState& stream, Bytes data, bool end);
  // The connection's window lets something through.
  bool may_send() const noexcept { return send_window_ > 0; }
  void send_trailers(StreamState& stream, const http::HeaderMap& trailers);
  void reset(StreamState& stream, Code code);
  void consumed(StreamState& stream, std::size_t n);
  void send_ping();
  // Server: no new streams after those that may be on their way; final_goaway names the last one.
  void send_goaway(bool final_goaway);

  std::size_t open_streams() const noexcept { return table_count_; }
  // Bytes held of a header block or frame that is not whole. What belongs to a request's body does
  // not count: its window bounds that.
  std::size_t unfinished() const noexcept;
  // The peer's preface and SETTINGS have come.
  bool greeted() const noexcept { return settings_received_; }
  // Server: the last request that the peer has begun.
  std::uint32_t last_peer_stream() const noexcept { return last_peer_stream_; }
  std::uint64_t frames_received() const noexcept { return frames_received_; }
  // Streams whose readers or whose peer's readers are slow hold the connection's window: what else
  // goes over it must wait.
  bool stalled() const noexcept {
    return unconsumed_ >= static_cast<std::int64_t>(options_.connection_window) / 2 ||
           (send_window_ <= 0 && table_count_ != 0);
  }
  // Client: streams that may be begun now.
  std::size_t available() const noexcept;
  bool goaway_received() const noexcept { return goaway_received_; }
  bool goaway_sent() const noexcept { return goaway_sent_; }
  // Calls f(StreamState&) for each open stream; f may close it.
  template <typename F>
  void for_each_stream(F&& f) {
    std::vector<StreamState*> all;
    for (StreamState* const stream : table_) {
      if (stream != nullptr) all.push_back(stream);
    }
    for (StreamState* const stream : all) f(*stream);
  }

 private:
  struct Frame {
    std::uint32_t length;
    std::uint8_t type;
    std::uint8_t flags;
    std::uint32_t stream;
  };
  struct Rate;
  void on_field(std::string_view name, std::string_view value) override;

  Result<std::size_t> take_frame(Bytes bytes);
  Result<void> on_frame(const Frame& frame, Bytes payload);
  Result<void> on_data_frame(const Frame& frame, Bytes payload);
  Result<void> on_headers_frame(const Frame& frame, Bytes payload);
  Result<void> on_continuation(const Frame& frame, Bytes payload);
  Result<void> on_settings(const Frame& frame, Bytes payload);
  Result<void> on_window_update(const Frame& frame, Bytes payload);
  Result<void> on_rst_stream(const Frame& frame, Bytes payload);
  Result<void> on_goaway_frame(const Frame& frame, Bytes payload);
  Result<void> on_ping(const Frame& frame, Bytes payload);
  Result<void> finish_headers();
  Result<void> finish_request();
  Result<void> finish_response(StreamState& stream);
  Result<void> finish_trailers(StreamState& stream);
  Error fail(Code code, std::string_view why);
  // Resets the stream; charged as the peer's own resets are.
  Result<void> stream_error(StreamState& stream, Code code);
  Result<void> bad_priority(std::uint32_t id, Code code);
  double reset_weight(const StreamState& stream) const noexcept;
  std::int64_t send_window(const StreamState& stream) const noexcept {
    return peer_initial_window_ + stream.send_credit;
  }
  bool raise_initial_window(std::uint32_t to);
  bool is_idle(std::uint32_t id) const noexcept {
    return is_ours(id) ? id >= next_stream_ : id > last_peer_stream_;
  }
  void remember_reset(std::uint32_t id);
  bool recently_reset(std::uint32_t id) const noexcept;
  std::size_t place_of(std::uint32_t id) const noexcept;
  bool count_abuse(double weight);
  void earn() noexcept;
  void header(std::uint32_t length, std::uint8_t type, std::uint8_t flags, std::uint32_t stream);
  void rst(std::uint32_t stream, Code code);
  void window_update(std::uint32_t stream, std::uint32_t n);
  void announce();
  void begin_block(std::uint32_t stream, bool end);
  void end_block();
  void put_headers(const http::HeaderMap& headers, bool has_authority);
  bool end_remote(StreamState& stream);
  void end_local(StreamState& stream);
  void close(StreamState& stream);
  StreamState* find(std::uint32_t id) const noexcept;
  StreamState& add(std::uint32_t id);
  void remove(std::uint32_t id) noexcept;
  bool is_ours(std::uint32_t id) const noexcept { return (id & 1) == (server_ ? 0 : 1); }

  const bool server_;
  const SessionOptions options_;
  SessionEvents& events_;
  ByteQueue input_;  // an incomplete frame
  ByteQueue output_;
  HpackDecoder decoder_;
  HpackEncoder encoder_;
  std::vector<StreamState*> table_;  // open addressing by id
  std::size_t table_count_ = 0;
  // Streams that we reset, each in the place that its id has: what was on its way is ignored.
  std::vector<std::uint32_t> resets_;

  std::int64_t send_window_ = 65'535;
  std::int64_t recv_window_ = 65'535;
  std::uint32_t to_announce_ = 0;
  std::int64_t unconsumed_ = 0;  // of all streams
  std::uint32_t peer_initial_window_ = 65'535;
  std::int64_t most_credit_ = 0;  // no stream's send_credit is above
  std::uint32_t peer_max_frame_ = 16'384;
  std::uint32_t peer_max_streams_ = 100;  // until its SETTINGS say otherwise
  std::uint32_t last_peer_stream_ = 0;
  std::uint32_t next_stream_ = 1;
  std::size_t own_streams_ = 0;
  std::size_t peer_streams_ = 0;

  // The header block under way.
  ByteQueue block_;
  std::uint32_t block_stream_ = 0;  // 0: none
  bool block_end_stream_ = false;
  bool block_begins_ = false;  // a stream, rather than going on with one
  unsigned block_frames_ = 0;
  std::size_t block_start_ = 0;  // of the one being written into output_

  using Parsing = ParsedHeaders;
  std::unique_ptr<Parsing> parsing_;  // while a whole block is read

  bool preface_done_ = false;
  bool settings_received_ = false;
  bool goaway_received_ = false;
  bool goaway_sent_ = false;
  bool goaway_final_ = false;
  bool failed_ = false;
  std::uint32_t goaway_last_ = 0x7FFFFFFF;

  // Frames that cost us and carry nothing: a budget that refills with time, and with what we send,
  // since a peer may answer each of our frames with some of its own.
  TimePoint now_{};
  TimePoint abuse_at_{};
  double abuse_ = 0;
  double earned_ = 0;
  std::uint64_t frames_received_ = 0;
};

}  // namespace tulle::h2
