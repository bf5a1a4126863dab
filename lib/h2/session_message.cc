// SPDX-License-Identifier: Apache-2.0
// The messages of a session: what their header fields must be (RFC 9113 §8), and requests,
// responses and trailers made of them.
#include <algorithm>

#include "lib/base/text.h"
#include "lib/h2/session.h"
#include "lib/h2/wire.h"
#include "lib/http/host.h"

namespace tulle::h2 {
namespace {

bool is_lower_token(std::string_view name) {
  return http::is_token(name) &&
         std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::size_t count_of(const http::HeaderMap& headers, std::string_view name) {
  std::size_t n = 0;
  for (const auto field : headers) n += field.name == name ? 1U : 0U;
  return n;
}

// content-length of a message; nullopt: malformed. -1: none.
std::optional<std::int64_t> body_length(const http::HeaderMap& headers) {
  std::int64_t length = -1;
  for (const auto field : headers) {
    if (field.name != "content-length") continue;
    const auto value = parse_number<std::int64_t>(field.value);
    if (!value || !std::all_of(field.value.begin(), field.value.end(), ascii_digit))
      return std::nullopt;
    if (length >= 0 && length != *value) return std::nullopt;
    length = *value;
  }
  return length;
}

}  // namespace

void Session::on_field(std::string_view name, std::string_view value) {
  Parsing& parsing = *parsing_;
  parsing.size += name.size() + value.size() + 32;
  if (parsing.size > options_.longest_list()) {
    parsing.too_large = true;
    return;
  }
  if (!http::is_field_value(value) ||
      (!value.empty() && (value.front() == ' ' || value.front() == '\t' || value.back() == ' ' ||
                          value.back() == '\t'))) {
    parsing.bad = true;
    return;
  }
  if (!name.empty() && name.front() == ':') {
    struct Pseudo {
      std::string_view name;
      std::string Parsing::*field;
    };
    static constexpr Pseudo kPseudo[] = {{":method", &Parsing::method},
                                         {":scheme", &Parsing::scheme},
                                         {":authority", &Parsing::authority},
                                         {":path", &Parsing::path},
                                         {":status", &Parsing::status}};
    for (unsigned i = 0; i < std::size(kPseudo); ++i) {
      if (name.size() != kPseudo[i].name.size() || name != kPseudo[i].name) continue;
      const bool for_requests = i < 4;
      if (parsing.regular_seen || (parsing.pseudo & 1U << i) != 0 || for_requests != server_)
        parsing.bad = true;
      parsing.pseudo |= 1U << i;
      parsing.*kPseudo[i].field = value;
      return;
    }
    parsing.bad = true;
    return;
  }
  parsing.regular_seen = true;
  if (!is_lower_token(name) || connection_specific(name) ||
      (name.size() == 2 && name == "te" && value != "trailers")) {
    parsing.bad = true;
    return;
  }
  parsing.headers.add(name, value);
}

Result<void> Session::finish_headers() {
  const std::uint32_t id = std::exchange(block_stream_, 0);
  StreamState* const stream = find(id);
  Result<void> outcome;
  if (block_begins_) {
    block_stream_ = id;  // for finish_request
    outcome = finish_request();
    block_stream_ = 0;
  } else if (stream == nullptr) {
    // Late for a stream that we gave up.
    if (count_abuse(1)) outcome = fail(Code::EnhanceYourCalm, "too many HEADERS of closed streams");
  } else if (stream->remote_closed) {
    if (server_) {
      outcome = fail(Code::StreamClosed, "HEADERS after the end of the stream");
    } else {
      outcome = stream_error(*stream, Code::StreamClosed);
    }
  } else if (stream->got_head) {
    outcome = finish_trailers(*stream);
  } else {
    outcome = finish_response(*stream);
  }
  parsing_.reset();
  return outcome;
}

Result<void> Session::finish_request() {
  const std::uint32_t id = block_stream_;
  Parsing& parsing = *parsing_;
  last_peer_stream_ = id;
  if (goaway_final_) {  // the client was told; it goes elsewhere
    remember_reset(id);
    return {};
  }
  if (peer_streams_ >= options_.max_concurrent_streams) {
    rst(id, Code::RefusedStream);
    remember_reset(id);
    // A client that has not seen our SETTINGS yet means no harm.
    if (count_abuse(1)) return fail(Code::EnhanceYourCalm, "too many streams at once");
    return {};
  }
  StreamState& stream = add(id);
  ++peer_streams_;
  const bool connect = parsing.method == "CONNECT";
  const unsigned want =
      connect ? 0b00101U : 0b01011U;  // method and authority; method, scheme and path
  // Each must also be fit for a request line and a Host field: somebody behind us may speak HTTP/1.
  const bool pseudo_ok = connect ? (parsing.pseudo & 0b11111U) == want && !parsing.authority.empty()
                                 : (parsing.pseudo & 0b01011U) == want &&
                                       http::is_target(parsing.path) &&
                                       (parsing.path.front() == '/' ||
                                        (parsing.path == "*" && parsing.method == "OPTIONS")) &&
                                       http::is_scheme(parsing.scheme);
  const auto length = body_length(parsing.headers);
  const auto host = parsing.headers.get("host");
  const bool carried =
      !options_.carries_http1.empty() && parsing.headers.contains(options_.carries_http1);
  if (!carried && parsing.size > options_.max_header_list) parsing.too_large = true;
  const bool host_ok =
      http::is_authority(parsing.authority) &&
      (!host || carried ||
       (http::is_authority(*host) && count_of(parsing.headers, "host") == 1 &&
        (parsing.authority.empty() || http::same_host(*host, parsing.authority, parsing.scheme))));
  // Told in words, as over HTTP/1: people do send those.
  const bool fragment = parsing.path.find('#') != std::string::npos;
  if (!parsing.too_large && !fragment &&
      (parsing.bad || !pseudo_ok || !http::is_token(parsing.method) || !length || !host_ok)) {
    reset(stream, Code::ProtocolError);
    if (count_abuse(10)) return fail(Code::EnhanceYourCalm, "too many malformed requests");
    return {};
  }
  stream.got_head = true;
  if (parsing.too_large || fragment) {
    http::Response response = http::make_response(parsing.too_large ? 431 : 400);
    send_response(stream, response, true);
    if (StreamState* const still = find(id)) reset(*still, Code::NoError);
    return {};
  }
  stream.expected_body = *length;
  if (block_end_stream_ && *length > 0) {
    return stream_error(stream, Code::ProtocolError);
  }
  http::Request request;
  request.version = http::Version::Http2;
  request.method = parsing.method;
  request.scheme = parsing.scheme;
  request.authority =
      parsing.authority.empty() && host ? *host : std::string_view(parsing.authority);
  request.path = parsing.path;
  request.form =
      connect ? http::TargetForm::Authority
              : (parsing.path == "*" ? http::TargetForm::Asterisk : http::TargetForm::Origin);
  request.headers = std::move(parsing.headers);
  if (*length >= 0) request.body_length = static_cast<std::uint64_t>(*length);
  stream.head_request = request.method == "HEAD";
  if (block_end_stream_) stream.remote_closed = true;
  events_.on_request(stream, std::move(request), block_end_stream_);
  return {};
}

Result<void> Session::finish_response(StreamState& stream) {
  Parsing& parsing = *parsing_;
  const auto status = parse_number<std::uint16_t>(parsing.status);
  const auto length = body_length(parsing.headers);
  if (parsing.too_large || parsing.bad || parsing.pseudo != 0b10000U ||
      parsing.status.size() != 3 || !status || *status < 100 || !length || *status == 101) {
    return stream_error(stream, Code::ProtocolError);
  }
  http::Response response;
  response.version = http::Version::Http2;
  response.status = *status;
  response.headers = std::move(parsing.headers);
  if (*status < 200) {
    if (block_end_stream_) {
      return stream_error(stream, Code::ProtocolError);
    }
    if (count_abuse(1)) return fail(Code::EnhanceYourCalm, "too many informational responses");
    events_.on_response(stream, std::move(response), false);
    return {};
  }
  stream.got_head = true;
  stream.no_body = stream.head_request || *status == 204 || *status == 304;
  if (*length >= 0) response.body_length = static_cast<std::uint64_t>(*length);
  if (!stream.no_body) {
    stream.expected_body = *length;
    if (block_end_stream_ && *length > 0) {
      return stream_error(stream, Code::ProtocolError);
    }
  }
  const std::uint32_t id = stream.id;
  if (block_end_stream_) stream.remote_closed = true;
  events_.on_response(stream, std::move(response), block_end_stream_);
  if (block_end_stream_) {
    if (StreamState* const still = find(id); still != nullptr && still->local_closed) close(*still);
  }
  return {};
}

Result<void> Session::finish_trailers(StreamState& stream) {
  Parsing& parsing = *parsing_;
  if (!block_end_stream_ || parsing.bad || parsing.too_large || parsing.pseudo != 0 ||
      stream.expected_body > 0) {
    return stream_error(stream, Code::ProtocolError);
  }
  const std::uint32_t id = stream.id;
  stream.remote_closed = true;
  http::strip_trailers(parsing.headers);
  events_.on_trailers(stream, std::move(parsing.headers));
  if (StreamState* const still = find(id); still != nullptr && still->local_closed) close(*still);
  return {};
}

}  // namespace tulle::h2
