// SPDX-License-Identifier: Apache-2.0
// HTTP/1 on the wire (RFC 9112): heads and bodies out of bytes, and back. Strict: what two parsers
// could read differently is refused. Holds no sockets; the same events for every split of the
// input.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/http/message.h"

namespace tulle::http1 {

struct Limits {
  std::size_t max_head = std::size_t{64} * 1024;  // request line or status line and fields
  std::size_t max_fields = 100;
  std::size_t max_chunk_line = 1024;  // chunk size with extensions
};

// How a body ends (RFC 9112 §6.3).
enum class Framing : std::uint8_t { None, Length, Chunked, UntilClose };

struct ParsedRequest {
  http::Request request;
  Framing framing = Framing::None;
  bool keep_alive = true;
};
struct ParsedResponse {
  http::Response response;
  Framing framing = Framing::None;
  bool keep_alive = true;
};

// Finds and parses one head at the front of `bytes`. nullopt: not complete yet. On success
// `consumed` is the size of the head. Errors: Invalid (400) or TooLarge (431, or
// 414 as its detail says); `where` says what is wrong. `searched` lets repeated calls on a growing
// buffer not search again what was searched; start at 0.
Result<std::optional<ParsedRequest>> parse_request(Bytes bytes, const Limits& limits,
                                                   std::size_t& searched, std::size_t& consumed);
// Would this head, once written, be read as the same request? What parse_request asks of method,
// target and Host, for requests that came another way (HTTP/2, policy). Error: Invalid.
Result<void> check_request(const http::Request& request);
// The request names one host, and its Host field says that one: where the target names the host
// (absolute-form, authority-form, HTTP/2), Host is made from it (RFC 9112 §3.2.2). Errors, Invalid:
// more than one Host, a Host that could be read two ways, none at all in HTTP/1.1 (an empty one is
// one); what stays HTTP/2 must not name two hosts (RFC 9113 §8.3.1).
Result<void> settle_host(http::Request& request);
// `method` is that of the request it answers.
Result<std::optional<ParsedResponse>> parse_response(Bytes bytes, const Limits& limits,
                                                     std::string_view method, std::size_t& searched,
                                                     std::size_t& consumed);

// Takes a body apart.
class BodyDecoder {
 public:
  BodyDecoder() = default;
  BodyDecoder(Framing framing, std::uint64_t length, const Limits& limits)
      : framing_(framing),
        left_(framing == Framing::Length ? length : 0),
        limits_(limits),
        done_(framing == Framing::None || (framing == Framing::Length && length == 0)) {}

  bool done() const noexcept { return done_; }
  // The next piece of body in `bytes` (may be empty) and how many bytes of input were used; call
  // again while input is left and not done(). After done(), trailers() holds those of a chunked
  // body.
  struct Step {
    Bytes data;
    std::size_t used = 0;
  };
  Result<Step> decode(Bytes bytes);
  // The connection ended: fine only for UntilClose.
  Result<void> end();
  http::HeaderMap& trailers() noexcept { return trailers_; }

 private:
  enum class State : std::uint8_t { Size, Data, DataEnd, Trailers };
  Result<Step> decode_chunked(Bytes bytes);
  Framing framing_ = Framing::None;
  State state_ = State::Size;
  std::uint64_t left_ = 0;
  Limits limits_;
  ByteQueue line_;  // an incomplete chunk line or trailer section
  http::HeaderMap trailers_;
  bool done_ = true;
};

// Heads as bytes. Framing fields are written as the body needs them: with `framing` Chunked a
// transfer-encoding is added and content-length dropped, with Length the content-length is written
// if it is not there, with None and UntilClose fields pass as they are.
void encode_request(const http::Request& request, Framing framing, ByteQueue& out);
void encode_response(const http::ResponseHead& response, Framing framing,
                     std::optional<std::uint64_t> length, bool close, bool keep_alive_10,
                     ByteQueue& out);
void encode_chunk(Bytes data, ByteQueue& out);
// Without what may stand in no trailer (http::may_be_trailer).
void encode_last_chunk(const http::HeaderMap& trailers, ByteQueue& out);

}  // namespace tulle::http1
