// SPDX-License-Identifier: Apache-2.0
#include "lib/h2/session.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "lib/base/text.h"
#include "lib/h2/wire.h"

namespace tulle::h2 {
namespace {

constexpr std::uint32_t kLeastUpdate = 4096;  // smaller window updates cost more than they bring

// Trailers that were on their way are few at a time; ids that are further apart than this share a
// place.
constexpr std::size_t kRememberedResets = 1024;

// A client chooses the ids of its streams, but not where they stand in the table: it could make all
// of them share a place, and each frame a walk.
std::uint64_t table_secret() {
  static const std::uint64_t secret = [] {
    std::uint64_t random = 0x9E3779B97F4A7C15ULL;
    [[maybe_unused]] const ssize_t n = ::getrandom(&random, sizeof random, GRND_NONBLOCK);
    return random | 1;
  }();
  return secret;
}

std::size_t next_size(std::size_t count) {
  std::size_t size = 8;
  while (size < count * 2) size *= 2;
  return size;
}

}  // namespace

Session::Session(bool server, const SessionOptions& options, SessionEvents& events)
    : server_(server),
      options_(options),
      events_(events),
      // A field too large for us is decoded all the same, so that its request can be answered with
      // 431: no text is longer than twice the block it came in (five bits are the shortest code).
      decoder_(4096, max_block(options.longest_list()) * 2) {
  if (!server_) output_.append(kPreface);
  struct Setting {
    std::uint16_t id;
    std::uint32_t value;
  };
  std::vector<Setting> settings;
  if (!server_) settings.push_back({setting::kEnablePush, 0});
  if (options.stream_window != 65'535)
    settings.push_back({setting::kInitialWindow, options.stream_window});
  if (options.max_frame_size != 16'384)
    settings.push_back({setting::kMaxFrame, options.max_frame_size});
  if (server_) settings.push_back({setting::kMaxStreams, options.max_concurrent_streams});
  settings.push_back({setting::kMaxHeaderList, options.max_header_list});
  header(static_cast<std::uint32_t>(settings.size() * 6), frame::kSettings, 0, 0);
  for (const Setting& one : settings) {
    put16(output_, one.id);
    put32(output_, one.value);
  }
  if (options.connection_window > 65'535) window_update(0, options.connection_window - 65'535);
  recv_window_ = std::max<std::int64_t>(options.connection_window, 65'535);
}

Session::~Session() {
  for (StreamState* const stream : table_) delete stream;
}

// --- output --------------------------------------------------------------------------------------

void Session::header(std::uint32_t length, std::uint8_t type, std::uint8_t flags,
                     std::uint32_t stream) {
  const MutableBytes room = output_.prepare(9);
  write_header(room.data(), length, type, flags, stream);
  output_.commit(9);
}

void Session::rst(std::uint32_t stream, Code code) {
  header(4, frame::kRstStream, 0, stream);
  put32(output_, static_cast<std::uint32_t>(code));
}

void Session::window_update(std::uint32_t stream, std::uint32_t n) {
  header(4, frame::kWindowUpdate, 0, stream);
  put32(output_, n);
}

void Session::send_ping() {
  header(8, frame::kPing, 0, 0);
  put32(output_, 0x74756c6c);
  put32(output_, 0x65000001);
}

Error Session::fail(Code code, std::string_view why) {
  if (!failed_) {
    failed_ = true;
    goaway_sent_ = goaway_final_ = true;
    header(8, frame::kGoaway, 0, 0);
    put32(output_, last_peer_stream_);
    put32(output_, static_cast<std::uint32_t>(code));
  }
  return Error{Errc::Protocol, why, 0, static_cast<std::uint32_t>(code)};
}

void Session::send_goaway(bool final_goaway) {
  if (goaway_final_ || (goaway_sent_ && !final_goaway)) return;
  goaway_sent_ = true;
  goaway_final_ = final_goaway;
  header(8, frame::kGoaway, 0, 0);
  put32(output_, final_goaway ? last_peer_stream_ : 0x7FFFFFFF);
  put32(output_, static_cast<std::uint32_t>(Code::NoError));
}

void Session::begin_block(std::uint32_t stream, bool end) {
  earn();
  block_start_ = output_.size();
  header(0, frame::kHeaders,
         static_cast<std::uint8_t>(flag::kEndHeaders | (end ? flag::kEndStream : 0)), stream);
  encoder_.begin(output_);
}

// Sets the length, and cuts a block that is larger than a frame into CONTINUATIONs.
void Session::end_block() {
  const std::size_t size = output_.size() - block_start_ - 9;
  std::uint8_t* const at = output_.mutable_data().data() + block_start_;
  if (size <= peer_max_frame_) {
    at[0] = static_cast<std::uint8_t>(size >> 16);
    at[1] = static_cast<std::uint8_t>(size >> 8);
    at[2] = static_cast<std::uint8_t>(size);
    return;
  }
  const std::string block(as_text(output_.data().subspan(block_start_ + 9)));
  const std::uint8_t flags = at[4];
  const std::uint32_t stream = read32(at + 5);
  output_.drop_back(size + 9);
  for (std::size_t done = 0; done < block.size();) {
    const std::size_t n = std::min<std::size_t>(block.size() - done, peer_max_frame_);
    const bool first = done == 0;
    const bool last = done + n == block.size();
    std::uint8_t now = last ? flag::kEndHeaders : 0;
    if (first) now |= flags & flag::kEndStream;
    header(static_cast<std::uint32_t>(n), first ? frame::kHeaders : frame::kContinuation, now,
           stream);
    output_.append(std::string_view(block).substr(done, n));
    done += n;
  }
}

void Session::put_headers(const http::HeaderMap& headers, bool has_authority) {
  char lower[256] __attribute__((uninitialized));  // written before it is read
  std::string long_name;
  for (const auto field : headers) {
    std::string_view name = field.name;
    if (std::any_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) {
      if (name.size() <= sizeof lower) {
        std::transform(name.begin(), name.end(), lower, ascii_lower);
        name = std::string_view(lower, name.size());
      } else {
        long_name.resize(name.size());
        std::transform(name.begin(), name.end(), long_name.begin(), ascii_lower);
        name = long_name;
      }
    }
    if (connection_specific(name)) continue;
    // Some servers take both for two hosts.
    if (name == "host" && has_authority &&
        (options_.carries_http1.empty() || !headers.contains(options_.carries_http1)))
      continue;
    if (name == "te" && !iequals(trim(field.value), "trailers")) continue;
    encoder_.encode(name, field.value, output_);
  }
}

std::size_t Session::available() const noexcept {
  if (goaway_received_ || goaway_sent_ || failed_ || next_stream_ > 0x7FFFFFFF) return 0;
  return own_streams_ < peer_max_streams_ ? peer_max_streams_ - own_streams_ : 0;
}

StreamState* Session::send_request(const http::Request& request, bool end) {
  if (available() == 0) return nullptr;
  StreamState& stream = add(next_stream_);
  next_stream_ += 2;
  ++own_streams_;
  stream.head_request = request.method == "HEAD";
  begin_block(stream.id, end);
  encoder_.encode(":method", request.method, output_);
  if (request.method != "CONNECT") {
    encoder_.encode(":scheme", request.scheme.empty() ? "http" : request.scheme.view(), output_);
    encoder_.encode(":path", request.path.empty() ? "/" : request.path.view(), output_);
  }
  if (!request.authority.empty()) encoder_.encode(":authority", request.authority, output_);
  put_headers(request.headers, !request.authority.empty());
  end_block();
  if (end) end_local(stream);
  return &stream;
}

void Session::send_response(StreamState& stream, const http::ResponseHead& response, bool end) {
  if (stream.local_closed) return;
  begin_block(stream.id, end);
  char digits[3] = {static_cast<char>('0' + response.status / 100 % 10),
                    static_cast<char>('0' + response.status / 10 % 10),
                    static_cast<char>('0' + response.status % 10)};
  encoder_.encode(":status", std::string_view(digits, 3), output_);
  put_headers(response.headers, false);
  end_block();
  if (end) end_local(stream);
}

std::size_t Session::send_data(StreamState& stream, Bytes data, bool end) {
  if (stream.local_closed) return data.size();
  const std::int64_t window = std::min<std::int64_t>(send_window(stream), send_window_);
  const auto room = static_cast<std::size_t>(std::max<std::int64_t>(window, 0));
  const std::size_t n = std::min({data.size(), room, static_cast<std::size_t>(peer_max_frame_)});
  const bool last = end && n == data.size();
  if (n == 0 && !last) return 0;
  earn();
  header(static_cast<std::uint32_t>(n), frame::kData, last ? flag::kEndStream : 0, stream.id);
  output_.append(data.first(n));
  stream.send_credit -= static_cast<std::int64_t>(n);
  send_window_ -= static_cast<std::int64_t>(n);
  if (last) end_local(stream);
  return n;
}

void Session::send_trailers(StreamState& stream, const http::HeaderMap& trailers) {
  if (stream.local_closed) return;
  begin_block(stream.id, true);
  put_headers(trailers, false);
  end_block();
  end_local(stream);
}

void Session::reset(StreamState& stream, Code code) {
  rst(stream.id, code);
  remember_reset(stream.id);
  close(stream);
}

// Gives the connection's credit back in few pieces, but in smaller ones the less the peer has left:
// slow streams must not keep what others have consumed.
void Session::announce() {
  if (to_announce_ < options_.connection_window / 2 &&
      (to_announce_ < kLeastUpdate || to_announce_ < recv_window_))
    return;
  recv_window_ += to_announce_;
  window_update(0, to_announce_);
  to_announce_ = 0;
}

void Session::consumed(StreamState& stream, std::size_t n) {
  const auto amount = static_cast<std::uint32_t>(std::min<std::size_t>(n, stream.unconsumed));
  stream.unconsumed -= amount;
  unconsumed_ -= amount;
  to_announce_ += amount;
  announce();
  if (stream.remote_closed) return;
  stream.to_announce += amount;
  if (stream.to_announce >= options_.stream_window / 2) {
    stream.recv_window += static_cast<std::int32_t>(stream.to_announce);
    window_update(stream.id, stream.to_announce);
    stream.to_announce = 0;
  }
}

// --- streams -------------------------------------------------------------------------------------

void Session::remember_reset(std::uint32_t id) {
  if (!server_) return;  // a client ignores whatever comes late
  if (resets_.empty()) resets_.resize(kRememberedResets);
  resets_[(id >> 1) % kRememberedResets] = id;
}

bool Session::recently_reset(std::uint32_t id) const noexcept {
  return !resets_.empty() && resets_[(id >> 1) % kRememberedResets] == id;
}

std::size_t Session::place_of(std::uint32_t id) const noexcept {
  const std::uint64_t mixed = (id + 1) * table_secret();
  return static_cast<std::size_t>(mixed >> 32) & (table_.size() - 1);
}

StreamState* Session::find(std::uint32_t id) const noexcept {
  if (table_.empty()) return nullptr;
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = place_of(id); table_[at] != nullptr; at = (at + 1) & mask) {
    if (table_[at]->id == id) return table_[at];
  }
  return nullptr;
}

StreamState& Session::add(std::uint32_t id) {
  if ((table_count_ + 1) * 2 > table_.size()) {
    std::vector<StreamState*> old(next_size(table_count_ + 1), nullptr);
    old.swap(table_);
    for (StreamState* const stream : old) {
      if (stream == nullptr) continue;
      std::size_t at = place_of(stream->id);
      while (table_[at] != nullptr) at = (at + 1) & (table_.size() - 1);
      table_[at] = stream;
    }
  }
  auto* const stream = new StreamState;
  stream->id = id;
  stream->recv_window = static_cast<std::int32_t>(options_.stream_window);
  stream->began = now_;
  const std::size_t mask = table_.size() - 1;
  std::size_t at = place_of(id);
  while (table_[at] != nullptr) at = (at + 1) & mask;
  table_[at] = stream;
  ++table_count_;
  return *stream;
}

void Session::remove(std::uint32_t id) noexcept {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = place_of(id);
  while (table_[at]->id != id) at = (at + 1) & mask;
  delete table_[at];
  table_[at] = nullptr;
  --table_count_;
  // Close the gap, so that every chain of probes stays whole.
  for (std::size_t next = (at + 1) & mask; table_[next] != nullptr; next = (next + 1) & mask) {
    const std::size_t home = place_of(table_[next]->id);
    if (((next - home) & mask) >= ((next - at) & mask)) {
      table_[at] = table_[next];
      table_[next] = nullptr;
      at = next;
    }
  }
}

void Session::close(StreamState& stream) {
  const std::uint32_t id = stream.id;
  if (stream.unconsumed != 0) {  // nobody will read it: the connection's credit goes back
    stream.remote_closed = true;
    consumed(stream, stream.unconsumed);
  }
  stream.local_closed = stream.remote_closed = true;
  events_.on_closed(stream);
  if (is_ours(id)) {
    --own_streams_;
  } else {
    --peer_streams_;
  }
  remove(id);
}

bool Session::end_remote(StreamState& stream) {
  stream.remote_closed = true;
  if (!stream.local_closed) return false;
  close(stream);
  return true;
}

void Session::end_local(StreamState& stream) {
  stream.local_closed = true;
  // Bytes that came and were not consumed keep the stream, so that their credit is counted.
  if (stream.remote_closed) close(stream);
}

}  // namespace tulle::h2
