// SPDX-License-Identifier: Apache-2.0
// The HTTP/1 codec against llhttp, in its strict mode. The first byte says which side and how large
// the pieces are. Checked: every split gives the same messages; what we take, llhttp takes with the
// same method, target, status, fields, body and end; what we write, we read as the same message
// again.
//
// Where the two differ on purpose, the comparison ends:
//  - we refuse more than llhttp does: bare LF, CR without LF, folded lines, content-length beside
//    transfer-encoding, any coding but chunked, transfer-encoding in HTTP/1.0, versions but 1.0
//    and 1.1, two Hosts, status below 100, CONNECT with a body. Being refused is always safe, so
//    only what we take is compared;
//  - llhttp knows a list of methods and of bytes in targets; a proxy passes any token and any
//  visible byte on;
//  - llhttp refuses a content-length that repeats the same number (RFC 9110 §8.6 lets us take it as
//  one);
//  - llhttp reads a body behind 1xx, 204 and 304 that speak of one; RFC 9112 §6.3 says there is
//  none;
//  - llhttp takes fields that frame a message for that in trailers, too; we pass them by and never
//  write them;
//  - llhttp checks the grammar of chunk extensions, which we read over and never write;
//  - llhttp ends at an upgrade and at the end of a connection, where other rules hold.
#include <llhttp/llhttp.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/http1/codec.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target
using Fields = std::vector<std::pair<std::string, std::string>>;

struct Message {
  std::string method;
  std::string target;  // as on the wire
  unsigned status = 0;
  Fields headers;
  std::string body;
  Fields trailers;
  bool complete = false;
  bool last = false;  // nothing of HTTP follows it on the connection
  std::ptrdiff_t has(std::string_view name) const {
    return std::count_if(headers.begin(), headers.end(),
                         [&](const auto& field) { return iequals(field.first, name); });
  }
  bool operator==(const Message&) const = default;
};

struct Parsed {
  std::vector<Message> messages;  // the last one may be incomplete
  std::size_t used = 0;           // bytes of the complete ones
  std::optional<Error> error;
};

Fields fields_of(const http::HeaderMap& map) {
  Fields out;
  for (const auto field : map) out.emplace_back(field.name, field.value);
  return out;
}

std::string target_of(Bytes head) {
  std::string_view text = as_text(head);
  while (text.starts_with("\r\n")) text.remove_prefix(2);
  const std::string_view line = text.substr(0, text.find("\r\n"));
  const auto first = line.find(' ');
  return std::string(line.substr(first + 1, line.rfind(' ') - first - 1));
}

// Everything, given in pieces, as a connection does: a buffer of what no message has used.
Parsed parse_ours(Bytes input, bool requests, std::size_t piece) {
  Parsed out;
  ByteQueue held;
  std::size_t searched = 0;
  std::optional<http1::BodyDecoder> body;
  const http1::Limits limits;
  std::size_t taken = 0;  // of the input, into messages
  const auto finish = [&] {
    Message& message = out.messages.back();
    message.trailers = fields_of(body->trailers());
    message.complete = true;
    out.used = taken;
    body.reset();
  };
  while (!input.empty()) {
    const Bytes now = input.first(std::min(piece, input.size()));
    input = input.subspan(now.size());
    held.append(now);
    for (;;) {
      if (!body) {
        if (!out.messages.empty() && out.messages.back().last) return out;
        if (held.empty()) break;
        std::size_t consumed = 0;
        Message message;
        http1::Framing framing{};
        std::uint64_t length = 0;
        if (requests) {
          auto parsed = http1::parse_request(held.data(), limits, searched, consumed);
          if (!parsed) return out.error = parsed.error(), out;
          if (!*parsed) break;
          const http::Request& request = (*parsed)->request;
          message.method = std::string(request.method.view());
          message.target = target_of(held.data().first(consumed));
          message.headers = fields_of(request.headers);
          message.last = !(*parsed)->keep_alive || request.form == http::TargetForm::Authority ||
                         request.headers.contains("upgrade");
          framing = (*parsed)->framing;
          length = request.body_length.value_or(0);
        } else {
          auto parsed = http1::parse_response(held.data(), limits, "GET", searched, consumed);
          if (!parsed) return out.error = parsed.error(), out;
          if (!*parsed) break;
          const http::Response& response = (*parsed)->response;
          message.status = response.status;
          message.headers = fields_of(response.headers);
          message.last = !(*parsed)->keep_alive || response.status == 101 ||
                         response.headers.contains("upgrade");
          framing = (*parsed)->framing;
          length = response.body_length.value_or(0);
        }
        TULLE_CHECK(consumed > 0 && consumed <= held.size());
        held.consume(consumed);
        taken += consumed;
        searched = 0;
        out.messages.push_back(std::move(message));
        body.emplace(framing, length, limits);
        if (body->done()) {
          finish();
          continue;
        }
      }
      if (held.empty()) break;
      const auto step = body->decode(held.data());
      if (!step) return out.error = step.error(), out;
      TULLE_CHECK(step->used > 0 || body->done());
      out.messages.back().body += as_text(step->data);
      held.consume(step->used);
      taken += step->used;
      if (body->done()) finish();
    }
  }
  if (body && body->end() && !out.messages.back().complete) finish();
  return out;
}

// --- llhttp --------------------------------------------------------------------------------------

struct Theirs {
  std::vector<Message> messages;
  bool in_trailers = false;
  bool value_open = false;
};

Theirs& self(llhttp_t* parser) { return *static_cast<Theirs*>(parser->data); }
Fields& open_fields(llhttp_t* parser) {
  Theirs& state = self(parser);
  return state.in_trailers ? state.messages.back().trailers : state.messages.back().headers;
}

Parsed parse_theirs(Bytes input, bool requests, llhttp_errno_t& error) {
  Theirs state;
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_message_begin = [](llhttp_t* p) {
    self(p).messages.emplace_back();
    self(p).in_trailers = self(p).value_open = false;
    return 0;
  };
  settings.on_url = [](llhttp_t* p, const char* at, std::size_t n) {
    self(p).messages.back().target.append(at, n);
    return 0;
  };
  settings.on_header_field = [](llhttp_t* p, const char* at, std::size_t n) {
    Fields& fields = open_fields(p);
    if (fields.empty() || self(p).value_open) fields.emplace_back();
    self(p).value_open = false;
    fields.back().first.append(at, n);
    return 0;
  };
  settings.on_header_field_complete = [](llhttp_t* p) {
    self(p).value_open = true;
    return 0;
  };
  settings.on_header_value = [](llhttp_t* p, const char* at, std::size_t n) {
    open_fields(p).back().second.append(at, n);
    return 0;
  };
  settings.on_headers_complete = [](llhttp_t* p) {
    Message& message = self(p).messages.back();
    message.status = p->status_code;
    if (p->type == HTTP_REQUEST)
      message.method = llhttp_method_name(static_cast<llhttp_method_t>(p->method));
    self(p).in_trailers = true;
    self(p).value_open = false;
    return 0;
  };
  settings.on_body = [](llhttp_t* p, const char* at, std::size_t n) {
    self(p).messages.back().body.append(at, n);
    return 0;
  };
  settings.on_message_complete = [](llhttp_t* p) {
    self(p).messages.back().complete = true;
    return 0;
  };
  llhttp_t parser;
  llhttp_init(&parser, requests ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
  parser.data = &state;
  error = llhttp_execute(&parser, reinterpret_cast<const char*>(input.data()), input.size());
  if (error == HPE_OK) (void)llhttp_finish(&parser);
  Parsed out;
  out.messages = std::move(state.messages);
  for (Message& message : out.messages) {
    for (Fields* fields : {&message.headers, &message.trailers}) {
      for (auto& [name, value] : *fields) value = std::string(trim(value));
    }
  }
  return out;
}

bool known_difference(const Message& message, llhttp_errno_t error) {
  switch (error) {
    case HPE_INVALID_METHOD: return true;
    case HPE_INVALID_URL: return true;
    case HPE_PAUSED_UPGRADE:
    case HPE_PAUSED_H2_UPGRADE:
    case HPE_CLOSED_CONNECTION: return true;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH: {
      const auto at =
          std::find_if(message.headers.begin(), message.headers.end(),
                       [](const auto& field) { return iequals(field.first, "content-length"); });
      return message.has("content-length") > 1 ||
             (at != message.headers.end() && at->second.find(',') != std::string::npos);
    }
    case HPE_STRICT:
    case HPE_INVALID_CHUNK_SIZE: return message.has("transfer-encoding") != 0;  // an extension
    default: return false;
  }
}

void compare(const Parsed& ours, Bytes input, bool requests) {
  llhttp_errno_t error = HPE_OK;
  // Only what belongs to our complete messages: what comes after it is not ours to judge.
  const Parsed theirs = parse_theirs(input.first(ours.used), requests, error);
  for (std::size_t i = 0; i < ours.messages.size() && ours.messages[i].complete; ++i) {
    const Message& message = ours.messages[i];
    if (!requests && (message.status < 200 || message.status == 204 || message.status == 304) &&
        (message.has("content-length") != 0 || message.has("transfer-encoding") != 0)) {
      return;
    }
    for (const auto& [name, value] : message.trailers) {
      for (const char* framing : {"content-length", "transfer-encoding", "connection", "upgrade"}) {
        if (iequals(name, framing)) return;
      }
    }
    if (i >= theirs.messages.size() || !theirs.messages[i].complete) {
      if (known_difference(message, error)) return;
      // A response without length ends with the connection: llhttp says so in finish().
      TULLE_CHECK(i < theirs.messages.size() && theirs.messages[i].complete);
    }
    const Message& other = theirs.messages[i];
    TULLE_CHECK(message.method == other.method || !requests);
    TULLE_CHECK(message.target == other.target || !requests);
    TULLE_CHECK(message.status == other.status || requests);
    TULLE_CHECK(message.headers == other.headers);
    if (message.last && (error == HPE_PAUSED_UPGRADE)) return;
    TULLE_CHECK(message.body == other.body);
    TULLE_CHECK(message.trailers == other.trailers);
  }
}

// What a parsed request becomes on the wire again is the same request.
void round_trip(Bytes input) {
  std::size_t searched = 0;
  std::size_t consumed = 0;
  const auto parsed = http1::parse_request(input, {}, searched, consumed);
  if (!parsed || !*parsed) return;
  const http::Request& request = (*parsed)->request;
  ByteQueue out;
  http1::encode_request(request, (*parsed)->framing, out);
  searched = 0;
  const auto again =
      http1::parse_request(out.data(), {std::size_t{256} * 1024, 200, 1024}, searched, consumed);
  TULLE_CHECK(again && *again);
  TULLE_CHECK(consumed == out.size());
  TULLE_CHECK((*again)->framing == (*parsed)->framing);
  TULLE_CHECK((*again)->keep_alive == (*parsed)->keep_alive);
  TULLE_CHECK((*again)->request.method == request.method.view());
  TULLE_CHECK((*again)->request.path == request.path.view());
  TULLE_CHECK((*again)->request.authority == request.authority.view());
  TULLE_CHECK((*again)->request.body_length == request.body_length);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 200'000) return 0;
  const bool requests = (data[0] & 1) == 0;
  const std::size_t piece = 1 + (data[0] >> 1) % 32U;
  const Bytes input(data + 1, size - 1);
  const Parsed whole = parse_ours(input, requests, SIZE_MAX);
  const Parsed pieces = parse_ours(input, requests, size > 4096 ? piece * 64 : piece);
  TULLE_CHECK(whole.error.has_value() == pieces.error.has_value());
  TULLE_CHECK(whole.messages == pieces.messages);
  TULLE_CHECK(whole.used == pieces.used);
  compare(whole, input, requests);
  if (requests) round_trip(input);
  return 0;
}
