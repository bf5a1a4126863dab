// SPDX-License-Identifier: Apache-2.0
// Requests and responses in one vocabulary for HTTP/1 and HTTP/2, and the two interfaces between
// connections and those who use them: Handler (a server connection calls it) and Client (something
// that sends requests: a connection, a pool, a balancer).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "lib/base/result.h"
#include "lib/base/slab_string.h"
#include "lib/base/time.h"
#include "lib/http/body.h"
#include "lib/http/header_map.h"
#include "lib/net/stream.h"
#include "lib/net/task.h"

namespace tulle::http {

enum class Version : std::uint8_t { Http10, Http11, Http2 };

// RFC 9112 §3.2. HTTP/2 requests are Origin (or Authority for CONNECT, Asterisk for "OPTIONS *").
enum class TargetForm : std::uint8_t { Origin, Absolute, Authority, Asterisk };

struct RequestHead {
  SlabString method;     // as sent, case-sensitive
  SlabString scheme;     // "http" or "https"; for HTTP/1 origin-form: empty
  SlabString authority;  // HTTP/2 :authority; HTTP/1: of the absolute-form or authority-form
                         // target, else the Host header's value; may be empty
  SlabString path;       // path and query as sent ("/a?b"), "*" for Asterisk, empty for Authority
  TargetForm form = TargetForm::Origin;
  Version version = Version::Http11;
  // HTTP/1: including Host, as it came. Framing (content-length, transfer-encoding)
  // is in here as it came too; encoders re-frame from body_length when they must
  HeaderMap headers;
};

struct ResponseHead {
  std::uint16_t status = 0;
  Version version = Version::Http11;
  SlabString reason;  // HTTP/1 reason phrase as sent; empty otherwise
  HeaderMap headers;
};

// Takes 1xx responses (not 101) as they come, before the final response.
class InformationalSink {
 public:
  virtual void on_informational(ResponseHead head) = 0;

 protected:
  ~InformationalSink() = default;
};

struct Request : RequestHead {
  BodyReader body;                             // has_value() is false when there is none
  std::optional<std::uint64_t> body_length;    // content-length, if known
  InformationalSink* informational = nullptr;  // valid until the response was given; may be null
  // The request asks to leave HTTP: Upgrade with `connection: upgrade`, or CONNECT (HTTP/1.1).
  bool wants_upgrade = false;
};

struct Response : ResponseHead {
  BodyReader body;
  std::optional<std::uint64_t> body_length;
  // 101, or 2xx to an HTTP/1.1 CONNECT: the duplex stream behind the response. The server
  // connection that sends this response joins its client to it, byte for byte, until both sides
  // end.
  net::StreamPtr upgraded;
  // The server connection ends after this response: `connection: close` on HTTP/1.1, GOAWAY on
  // HTTP/2.
  bool close_connection = false;
};

// Answers requests. An error resets the stream (HTTP/2: RST_STREAM with code error.detail, or
// INTERNAL_ERROR when that is 0) or cuts the connection (HTTP/1). May be destroyed while suspended
// (the client went away).
class Handler {
 public:
  virtual net::Task<Result<Response>> handle(Request request) = 0;

 protected:
  ~Handler() = default;
};

// Sends requests. The result comes with the response head; the body follows in its reader.
// Destroying the task cancels the request. Errors: Refused = nothing was processed, safe to send
// elsewhere (refused connect, REFUSED_STREAM, GOAWAY below the stream, a pooled connection that
// closed before an answer to an idempotent request without a body: RFC 9110 §9.2.2); Unanswered =
// a new connection that closed before an answer to a safe request without a body: it may have been
// processed, once more does no harm; Reset with detail = HTTP/2 error code; Timeout; Eof/Io: the
// connection broke.
class Client {
 public:
  virtual net::Task<Result<Response>> send(Request request, Deadline by) = 0;
  virtual ~Client() = default;
};

// "Not Found" for 404; "" for codes without a registered phrase.
std::string_view reason_phrase(std::uint16_t status) noexcept;
// A response without a body ("content-length: 0").
Response make_response(std::uint16_t status);
Response make_text_response(net::Loop& loop, std::uint16_t status, std::string_view text,
                            std::string_view content_type = "text/plain");

// RFC 9110 §9.2.1: asking changes nothing (GET, HEAD, OPTIONS, TRACE).
bool is_safe(std::string_view method) noexcept;
// RFC 9110 §9.2.2: asking twice is asking once (the safe ones, PUT, DELETE).
bool is_idempotent(std::string_view method) noexcept;
// RFC 9110 §5.6.2 token characters; a valid header name.
bool is_token(std::string_view text) noexcept;
// RFC 9110 §5.5: no CR, LF, NUL or other control but HTAB.
bool is_field_value(std::string_view text) noexcept;
// A request target as it may stand in a request line: not empty, no blanks, controls, fragment.
bool is_target(std::string_view text) noexcept;
// A text that may stand as host and port in a Host field, an :authority or a target, and has one
// reading: a host without ":" or one in brackets, then perhaps ":" and digits; nothing that would
// end it elsewhere or name another host ("/", "?", "#", ",", "@", "%", "\\"). May be empty.
bool is_authority(std::string_view text) noexcept;
// RFC 3986 §3.1.
bool is_scheme(std::string_view text) noexcept;

}  // namespace tulle::http
