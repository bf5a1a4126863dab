// SPDX-License-Identifier: Apache-2.0
// What comes in: frames taken apart, each charged for what it costs.
#include <algorithm>

#include "lib/base/text.h"
#include "lib/h2/session.h"
#include "lib/h2/wire.h"

namespace tulle::h2 {
namespace {

// The budget for frames that carry nothing: that many at once, refilled at kAbuseRate a second.
constexpr double kAbuseBurst = 2000;
constexpr double kAbuseRate = 500;
// What a frame of ours is worth: window updates of the stream and the connection, a PING that
// measures, and some.
constexpr double kEarnedByFrame = 5;
constexpr double kMostEarned = 2000;
constexpr std::uint32_t kMaxContinuations = 16;
constexpr std::int64_t kMaxWindow = 0x7FFFFFFF;

}  // namespace

void Session::earn() noexcept { earned_ = std::min(kMostEarned, earned_ + kEarnedByFrame); }

bool Session::count_abuse(double weight) {
  if (earned_ >= weight) {
    earned_ -= weight;
    return false;
  }
  const double passed = std::chrono::duration<double>(now_ - abuse_at_).count();
  abuse_at_ = now_;
  abuse_ = std::max(0.0, abuse_ - passed * kAbuseRate);
  abuse_ += weight;
  return abuse_ > kAbuseBurst;
}

std::size_t Session::unfinished() const noexcept {
  const Bytes begun = input_.data();
  const bool of_body = table_count_ != 0 && begun.size() > 3 && begun[3] == frame::kData;
  return block_.size() + (of_body ? 0 : begun.size());
}

// Rapid reset: streams begun only to be over cost us, not the peer. Over in the turn in which they
// began they are most likely that; many young ones at once may be a crowd that left; old ones are
// ordinary life.
double Session::reset_weight(const StreamState& stream) const noexcept {
  if (stream.local_closed) return 0.2;
  if (now_ == stream.began)
    return kAbuseBurst / (5.0 * std::max<std::uint32_t>(options_.max_pending_resets, 1));
  return now_ - stream.began < std::chrono::seconds(1) ? 2 : 0.2;
}

Result<void> Session::stream_error(StreamState& stream, Code code) {
  // However old the stream: nobody breaks the rules in ordinary life.
  const double weight = std::max(2.0, reset_weight(stream));
  rst(stream.id, code);
  remember_reset(stream.id);
  events_.on_reset(stream, code, false);
  close(stream);
  if (count_abuse(weight)) return fail(Code::EnhanceYourCalm, "too many broken streams");
  return {};
}

Result<void> Session::receive(Bytes bytes, TimePoint now) {
  if (failed_) return Error{Errc::Protocol, "use a failed connection"};
  now_ = now;
  if (abuse_at_ == TimePoint{}) abuse_at_ = now;
  if (!input_.empty()) {
    input_.append(bytes);
    ByteQueue whole;
    whole.swap(input_);
    Bytes left = whole.data();
    while (!left.empty()) {
      const Result<std::size_t> n = take_frame(left);
      if (!n) return n.error();
      if (*n == 0) break;
      left = left.subspan(*n);
    }
    whole.consume(whole.size() - left.size());
    if (!left.empty()) input_.swap(whole);
    return {};
  }
  while (!bytes.empty()) {
    const Result<std::size_t> n = take_frame(bytes);
    if (!n) return n.error();
    if (*n == 0) break;
    bytes = bytes.subspan(*n);
  }
  input_.append(bytes);
  return {};
}

// Handles one frame at the front; 0: it is not complete.
Result<std::size_t> Session::take_frame(Bytes bytes) {
  if (server_ && !preface_done_) {
    const std::size_t n = std::min(bytes.size(), kPreface.size());
    if (as_text(bytes.first(n)) != kPreface.substr(0, n))
      return fail(Code::ProtocolError, "read the HTTP/2 preface");
    if (n < kPreface.size()) return std::size_t{0};
    preface_done_ = true;
    return kPreface.size();
  }
  if (bytes.size() < 9) return std::size_t{0};
  Frame frame{};
  frame.length = static_cast<std::uint32_t>(bytes[0]) << 16 |
                 static_cast<std::uint32_t>(bytes[1]) << 8 | bytes[2];
  frame.type = bytes[3];
  frame.flags = bytes[4];
  frame.stream = read32(bytes.data() + 5) & 0x7FFFFFFF;
  if (frame.length > options_.max_frame_size)
    return fail(Code::FrameSizeError, "read a frame that is too large");
  if (!settings_received_ && frame.type != frame::kSettings)
    return fail(Code::ProtocolError, "read the first SETTINGS");
  if (bytes.size() < 9 + std::size_t{frame.length}) return std::size_t{0};
  ++frames_received_;
  const Result<void> handled = on_frame(frame, bytes.subspan(9, frame.length));
  if (!handled) return handled.error();
  return 9 + std::size_t{frame.length};
}

Result<void> Session::on_frame(const Frame& frame, Bytes payload) {
  if (block_stream_ != 0 && (frame.type != frame::kContinuation || frame.stream != block_stream_)) {
    return fail(Code::ProtocolError, "a header block was interrupted");
  }
  switch (frame.type) {
    case frame::kData: return on_data_frame(frame, payload);
    case frame::kHeaders: return on_headers_frame(frame, payload);
    case frame::kPriority: {
      if (frame.stream == 0) return fail(Code::ProtocolError, "PRIORITY of no stream");
      if (count_abuse(1)) return fail(Code::EnhanceYourCalm, "too many PRIORITY frames");
      if (frame.length != 5) return bad_priority(frame.stream, Code::FrameSizeError);
      if ((read32(payload.data()) & 0x7FFFFFFF) == frame.stream)
        return bad_priority(frame.stream, Code::ProtocolError);
      return {};
    }
    case frame::kRstStream: return on_rst_stream(frame, payload);
    case frame::kSettings: return on_settings(frame, payload);
    case frame::kPushPromise: return fail(Code::ProtocolError, "a push that was refused");
    case frame::kPing: return on_ping(frame, payload);
    case frame::kGoaway: return on_goaway_frame(frame, payload);
    case frame::kWindowUpdate: return on_window_update(frame, payload);
    case frame::kContinuation: return on_continuation(frame, payload);
    default:
      if (count_abuse(1)) return fail(Code::EnhanceYourCalm, "too many unknown frames");
      return {};
  }
}

Result<void> Session::bad_priority(std::uint32_t id, Code code) {
  if (StreamState* const stream = find(id)) return stream_error(*stream, code);
  rst(id, code);
  return {};
}

Result<void> Session::on_data_frame(const Frame& frame, Bytes payload) {
  if (frame.stream == 0) return fail(Code::ProtocolError, "DATA of no stream");
  const std::uint32_t flow = frame.length;
  if (static_cast<std::int64_t>(flow) > recv_window_)
    return fail(Code::FlowControlError, "more DATA than the window");
  recv_window_ -= flow;
  StreamState* const stream = find(frame.stream);
  const auto give_back = [&](std::uint32_t n) {  // bytes that no reader will ever consume
    to_announce_ += n;
    announce();
  };
  if ((frame.flags & flag::kPadded) != 0) {
    if (payload.empty() || payload[0] >= payload.size())
      return fail(Code::ProtocolError, "DATA with too much padding");
    payload = payload.subspan(1, payload.size() - 1 - payload[0]);
  }
  const bool end = (frame.flags & flag::kEndStream) != 0;
  if (payload.empty() && !end && count_abuse(2))
    return fail(Code::EnhanceYourCalm, "too many empty DATA frames");
  if (stream == nullptr) {
    if (is_idle(frame.stream)) return fail(Code::ProtocolError, "DATA of an idle stream");
    give_back(flow);
    // It was on its way when we reset the stream (RFC 9113 §5.1).
    if (recently_reset(frame.stream)) return {};
    if (server_ || !is_ours(frame.stream)) {
      if (count_abuse(1)) return fail(Code::EnhanceYourCalm, "too much DATA of closed streams");
      rst(frame.stream, Code::StreamClosed);
    }
    return {};
  }
  if (stream->remote_closed) {
    give_back(flow);
    return stream_error(*stream, Code::StreamClosed);
  }
  if (!stream->got_head) return fail(Code::ProtocolError, "DATA before HEADERS");
  if (static_cast<std::int64_t>(flow) > stream->recv_window) {
    give_back(flow);
    return stream_error(*stream, Code::FlowControlError);
  }
  stream->recv_window -= static_cast<std::int32_t>(flow);
  stream->unconsumed += flow;
  unconsumed_ += flow;
  const auto padding = flow - static_cast<std::uint32_t>(payload.size());
  if (padding != 0) consumed(*stream, padding);
  if (stream->no_body && !payload.empty()) {
    return stream_error(*stream, Code::ProtocolError);
  }
  if (stream->expected_body >= 0) {
    stream->expected_body -= static_cast<std::int64_t>(payload.size());
    if (stream->expected_body < 0 || (end && stream->expected_body != 0)) {
      return stream_error(*stream, Code::ProtocolError);
    }
  }
  if (end) stream->remote_closed = true;
  const std::uint32_t id = stream->id;
  events_.on_data(*stream, payload, end);
  if (end) {
    if (StreamState* const still = find(id); still != nullptr && still->local_closed) close(*still);
  }
  return {};
}

Result<void> Session::on_headers_frame(const Frame& frame, Bytes payload) {
  if (frame.stream == 0) return fail(Code::ProtocolError, "HEADERS of no stream");
  std::size_t padding = 0;
  if ((frame.flags & flag::kPadded) != 0) {
    if (payload.empty()) return fail(Code::FrameSizeError, "HEADERS too short");
    padding = payload[0];
    payload = payload.subspan(1);
  }
  if ((frame.flags & flag::kPriority) != 0) {
    if (payload.size() < 5) return fail(Code::FrameSizeError, "HEADERS too short");
    if ((read32(payload.data()) & 0x7FFFFFFF) == frame.stream)
      return fail(Code::ProtocolError, "a stream that depends on itself");
    payload = payload.subspan(5);
  }
  if (padding > payload.size()) return fail(Code::ProtocolError, "HEADERS with too much padding");
  payload = payload.first(payload.size() - padding);
  if (server_) {
    if (is_ours(frame.stream)) return fail(Code::ProtocolError, "HEADERS of an even stream");
    // Of a stream that we reset they were on their way (RFC 9113 §5.1): read, since they change
    // what later ones mean, and ignored.
    if (frame.stream <= last_peer_stream_ && find(frame.stream) == nullptr &&
        !recently_reset(frame.stream)) {
      return fail(Code::StreamClosed, "HEADERS of a closed stream");
    }
  } else if (!is_ours(frame.stream) || frame.stream >= next_stream_) {
    return fail(Code::ProtocolError, "HEADERS of an idle stream");
  }
  block_stream_ = frame.stream;
  block_end_stream_ = (frame.flags & flag::kEndStream) != 0;
  block_begins_ = server_ && frame.stream > last_peer_stream_;
  block_frames_ = 1;
  if ((frame.flags & flag::kEndHeaders) != 0) {
    parsing_ = std::make_unique<Parsing>();
    const Result<void> decoded = decoder_.decode(payload, *this);
    if (!decoded) return fail(Code::CompressionError, decoded.error().where);
    return finish_headers();
  }
  block_.append(payload);
  return {};
}

Result<void> Session::on_continuation(const Frame& frame, Bytes payload) {
  if (block_stream_ == 0) return fail(Code::ProtocolError, "CONTINUATION of nothing");
  block_.append(payload);
  // The largest list that is set may need more frames of the smallest size.
  const std::uint32_t most = std::max(kMaxContinuations, options_.longest_list() / 8192 + 2);
  if (++block_frames_ > most || block_.size() > max_block(options_.longest_list())) {
    return fail(Code::EnhanceYourCalm, "a header block without end");
  }
  if ((frame.flags & flag::kEndHeaders) == 0) return {};
  ByteQueue block;
  block.swap(block_);
  parsing_ = std::make_unique<Parsing>();
  const Result<void> decoded = decoder_.decode(block.data(), *this);
  if (!decoded) return fail(Code::CompressionError, decoded.error().where);
  return finish_headers();
}

Result<void> Session::on_settings(const Frame& frame, Bytes payload) {
  if (frame.stream != 0) return fail(Code::ProtocolError, "SETTINGS of a stream");
  if ((frame.flags & flag::kAck) != 0) {
    if (frame.length != 0) return fail(Code::FrameSizeError, "SETTINGS ack with settings");
    if (!settings_received_) return fail(Code::ProtocolError, "read the first SETTINGS");
    return {};
  }
  if (frame.length % 6 != 0) return fail(Code::FrameSizeError, "SETTINGS of an odd size");
  if (count_abuse(10)) return fail(Code::EnhanceYourCalm, "too many SETTINGS");
  if (!settings_received_) peer_max_streams_ = 0x7FFFFFFF;
  settings_received_ = true;
  bool opened = false;
  for (; !payload.empty(); payload = payload.subspan(6)) {
    const auto id = static_cast<std::uint16_t>(payload[0] << 8 | payload[1]);
    const std::uint32_t value = read32(payload.data() + 2);
    switch (id) {
      case setting::kTableSize: encoder_.set_table_limit(value); break;
      case setting::kEnablePush:
        if (value > 1 || (!server_ && value != 0))
          return fail(Code::ProtocolError, "a bad ENABLE_PUSH");
        break;
      case setting::kMaxStreams: peer_max_streams_ = value; break;
      case setting::kInitialWindow: {
        if (value > kMaxWindow) return fail(Code::FlowControlError, "a bad INITIAL_WINDOW_SIZE");
        opened = opened || value > peer_initial_window_;
        if (!raise_initial_window(value))
          return fail(Code::FlowControlError, "a window beyond its limit");
        break;
      }
      case setting::kMaxFrame:
        if (value < 16'384 || value > 16'777'215)
          return fail(Code::ProtocolError, "a bad MAX_FRAME_SIZE");
        peer_max_frame_ = std::min<std::uint32_t>(value, 65'536);
        break;
      default: break;
    }
  }
  header(0, frame::kSettings, flag::kAck, 0);
  if (opened) events_.on_initial_window();
  return {};
}

// Windows stand beside the initial one, so that it changes without a walk over the streams; whether
// one would go beyond the limit is seen on the largest. False: it would.
bool Session::raise_initial_window(std::uint32_t to) {
  peer_initial_window_ = to;
  if (to + most_credit_ <= kMaxWindow) return true;
  most_credit_ = 0;
  for (const StreamState* const stream : table_) {
    if (stream != nullptr) most_credit_ = std::max(most_credit_, stream->send_credit);
  }
  return to + most_credit_ <= kMaxWindow;
}

Result<void> Session::on_window_update(const Frame& frame, Bytes payload) {
  if (frame.length != 4) return fail(Code::FrameSizeError, "WINDOW_UPDATE of a wrong size");
  const std::uint32_t n = read32(payload.data()) & 0x7FFFFFFF;
  if (n < 64 && count_abuse(1)) return fail(Code::EnhanceYourCalm, "too many WINDOW_UPDATEs");
  if (frame.stream == 0) {
    if (n == 0) return fail(Code::ProtocolError, "WINDOW_UPDATE of nothing");
    if (send_window_ + n > kMaxWindow)
      return fail(Code::FlowControlError, "a window beyond its limit");
    send_window_ += n;
    events_.on_connection_window();
    return {};
  }
  StreamState* const stream = find(frame.stream);
  if (stream == nullptr) {
    if (is_idle(frame.stream)) return fail(Code::ProtocolError, "WINDOW_UPDATE of an idle stream");
    return {};
  }
  if (n == 0) {
    return stream_error(*stream, Code::ProtocolError);
  }
  if (send_window(*stream) + n > kMaxWindow) {
    return stream_error(*stream, Code::FlowControlError);
  }
  stream->send_credit += n;
  most_credit_ = std::max(most_credit_, stream->send_credit);
  events_.on_window(*stream);
  return {};
}

Result<void> Session::on_rst_stream(const Frame& frame, Bytes payload) {
  if (frame.length != 4) return fail(Code::FrameSizeError, "RST_STREAM of a wrong size");
  if (frame.stream == 0) return fail(Code::ProtocolError, "RST_STREAM of no stream");
  StreamState* const stream = find(frame.stream);
  if (stream == nullptr) {
    if (is_idle(frame.stream)) return fail(Code::ProtocolError, "RST_STREAM of an idle stream");
    return {};
  }
  const auto code = static_cast<Code>(read32(payload.data()));
  if (server_) {
    if (count_abuse(reset_weight(*stream))) return fail(Code::EnhanceYourCalm, "too many resets");
  }
  events_.on_reset(*stream, code, true);
  close(*stream);
  return {};
}

Result<void> Session::on_goaway_frame(const Frame& frame, Bytes payload) {
  if (frame.stream != 0) return fail(Code::ProtocolError, "GOAWAY of a stream");
  if (frame.length < 8) return fail(Code::FrameSizeError, "GOAWAY too short");
  if (count_abuse(10)) return fail(Code::EnhanceYourCalm, "too many GOAWAYs");
  const std::uint32_t last = read32(payload.data()) & 0x7FFFFFFF;
  const bool news = !goaway_received_ || last < goaway_last_;
  goaway_last_ = std::min(goaway_last_, last);
  goaway_received_ = true;
  if (news) events_.on_goaway(goaway_last_, static_cast<Code>(read32(payload.data() + 4)));
  return {};
}

Result<void> Session::on_ping(const Frame& frame, Bytes payload) {
  if (frame.stream != 0) return fail(Code::ProtocolError, "PING of a stream");
  if (frame.length != 8) return fail(Code::FrameSizeError, "PING of a wrong size");
  if ((frame.flags & flag::kAck) != 0) {
    events_.on_ping_ack();
    return {};
  }
  if (count_abuse(2)) return fail(Code::EnhanceYourCalm, "too many PINGs");
  header(8, frame::kPing, flag::kAck, 0);
  output_.append(payload);
  return {};
}

}  // namespace tulle::h2
