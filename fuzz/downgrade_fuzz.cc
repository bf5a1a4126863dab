// SPDX-License-Identifier: Apache-2.0
// Downgrade equivalence: what an inbound proxy writes to its application is read by an HTTP/1
// parser (ours) as the same request, or the request was refused; and the same of answers. The first
// byte says the way, modulo four:
//  - 0: any request of HTTP/2, a field a line ("name" TAB "value"), with any l5d-orig-proto, as
//    somebody may send it who is no proxy at all. A line "." says that a body follows;
//  - 1: a request of HTTP/1 that our outbound proxy carries to our inbound proxy. What arrives is
//    what was sent, but for hop-by-hop fields, the host of an absolute target and identities;
//  - 2: any answer of HTTP/2, as fields, that our outbound proxy writes to its application. A line
//    "?" says that the request was HEAD;
//  - 3: an answer of HTTP/1 that our inbound proxy carries to our outbound proxy.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/h2/session.h"
#include "lib/h2/wire.h"
#include "lib/http/host.h"
#include "lib/http1/codec.h"
#include "lib/http1/hop.h"
#include "proxy/inbound/settle.h"
#include "proxy/protocol/orig_proto.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target
using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kIdentity = "client.shop.id";
const http1::Limits kLimits{std::size_t{1} << 20, 10'000, 1024};

struct Events final : h2::SessionEvents {
  void on_request(h2::StreamState& /*stream*/, http::Request head, bool end) override {
    request.emplace(std::move(head));
    ended = end;
  }
  void on_response(h2::StreamState& /*stream*/, http::Response head, bool end) override {
    response.emplace(std::move(head));
    ended = end;
  }
  void on_data(h2::StreamState& /*stream*/, Bytes /*data*/, bool /*ended*/) override {}
  void on_trailers(h2::StreamState& /*stream*/, http::HeaderMap /*trailers*/) override {}
  void on_reset(h2::StreamState& /*stream*/, h2::Code /*code*/, bool /*by_peer*/) override {}
  void on_window(h2::StreamState& /*stream*/) override {}
  void on_connection_window() override {}
  void on_initial_window() override {}
  void on_goaway(std::uint32_t /*last_stream*/, h2::Code /*code*/) override {}
  void on_ping_ack() override {}
  void on_closed(h2::StreamState& /*stream*/) override {}
  std::optional<http::Request> request;
  std::optional<http::Response> response;
  bool ended = false;
};

h2::SessionOptions options() {
  h2::SessionOptions made;
  made.max_header_list = 1U << 20;
  made.carries_http1 = proxy::kOrigProto;
  return made;
}

std::string framed(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                   std::string_view payload) {
  std::uint8_t head[9];
  h2::write_header(head, static_cast<std::uint32_t>(payload.size()), type, flags, stream);
  return concat(as_text(Bytes(head, 9)), payload);
}

std::string headers_frame(const Fields& fields, bool body) {
  ByteQueue block;
  h2::HpackEncoder encoder;
  encoder.begin(block);
  for (const auto& [name, value] : fields) encoder.encode(name, value, block);
  const std::uint8_t end = body ? 0 : h2::flag::kEndStream;
  return framed(h2::frame::kHeaders, h2::flag::kEndHeaders | end, 1, as_text(block.data()));
}

// What a server session makes of these fields.
Events received(const Fields& fields, bool body) {
  const std::string bytes =
      concat("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", framed(h2::frame::kSettings, 0, 0, ""),
             headers_frame(fields, body));
  Events events;
  h2::Session server(true, options(), events);
  (void)server.receive(as_bytes(bytes), TimePoint{});
  return events;
}

bool framing_field(std::string_view name) {
  return iequals(name, "content-length") || iequals(name, "transfer-encoding");
}

Fields fields_of(const http::HeaderMap& map, bool hosts) {
  Fields out;
  for (const auto field : map) {
    if (framing_field(field.name) || (!hosts && iequals(field.name, "host"))) continue;
    std::string name(field.name);
    for (char& c : name) c = ascii_lower(c);
    out.emplace_back(std::move(name), field.value);
  }
  return out;
}

std::size_t count_of(const http::HeaderMap& map, std::string_view name) {
  std::size_t count = 0;
  for (const auto field : map) count += iequals(field.name, name) ? 1 : 0;
  return count;
}

// The inbound proxy's way with a request that came by HTTP/2, up to the application's parser.
// Nothing: it was refused, or stays HTTP/2.
std::optional<http1::ParsedRequest> at_application(Events came, bool from_tulle) {
  http::Request& request = *came.request;
  const proxy::Downgrade downgrade = proxy::downgrade_request(request, from_tulle);
  if (!proxy::settle_request(request, downgrade) || !downgrade.done) return std::nullopt;
  proxy::add_ours(request, downgrade, kIdentity);
  http1::Framing framing = http1::Framing::None;
  if (!came.ended) framing = request.body_length ? http1::Framing::Length : http1::Framing::Chunked;
  // As the client connection does it: no other version has a body of unknown length.
  if (framing == http1::Framing::Chunked) request.version = http::Version::Http11;
  TULLE_CHECK(http1::check_request(request));
  ByteQueue out;
  http1::encode_request(request, framing, out);
  std::size_t searched = 0;
  std::size_t consumed = 0;
  auto again = http1::parse_request(out.data(), kLimits, searched, consumed);
  TULLE_CHECK(again && *again);
  TULLE_CHECK(consumed == out.size());
  const http::Request& seen = (*again)->request;
  TULLE_CHECK(seen.method == request.method.view() && seen.method != "CONNECT");
  TULLE_CHECK(seen.form == request.form);
  TULLE_CHECK(seen.path == request.path.view());
  TULLE_CHECK(seen.version == request.version);
  TULLE_CHECK(!seen.wants_upgrade);
  TULLE_CHECK(http::same_host(seen.authority, request.authority, ""));
  const auto host = seen.headers.get("host");
  TULLE_CHECK(count_of(seen.headers, "host") <= 1);
  TULLE_CHECK(host || seen.version == http::Version::Http10);
  if (host) TULLE_CHECK(http::same_host(*host, request.authority, seen.scheme));
  TULLE_CHECK(fields_of(seen.headers, false) == fields_of(request.headers, false));
  if (framing == http1::Framing::Chunked) TULLE_CHECK((*again)->framing == framing);
  if (framing == http1::Framing::Length) TULLE_CHECK(seen.body_length == request.body_length);
  if (framing == http1::Framing::None) TULLE_CHECK((*again)->framing == framing);
  std::size_t identities = 0;
  for (const auto field : seen.headers) {
    if (!http::looks_like(field.name, "l5d-client-id")) continue;
    ++identities;
    TULLE_CHECK(field.value == kIdentity);
  }
  TULLE_CHECK(identities == 1);
  for (const char* hop :
       {"connection", "upgrade", "keep-alive", "proxy-connection", "l5d-orig-proto"})
    TULLE_CHECK(!seen.headers.contains(hop));
  return std::move(**again);
}

Fields lines_of(std::string_view text, bool& body, bool& head) {
  Fields fields;
  for (const std::string_view line : split(text, '\n')) {
    body |= line == ".";
    head |= line == "?";
    const auto tab = line.find('\t');
    if (tab == std::string_view::npos) continue;
    fields.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }
  return fields;
}

void any_request(std::string_view text) {
  bool body = false;
  bool head = false;
  const Fields fields = lines_of(text, body, head);
  for (const bool from_tulle : {false, true}) {
    Events came = received(fields, body);
    if (came.request) (void)at_application(std::move(came), from_tulle);
  }
}

// As endpoint/endpoint.cc, outbound/http.cc and the server connection take an answer on.
void any_response(std::string_view text, bool from_tulle) {
  bool body = false;
  bool head = false;
  const Fields fields = lines_of(text, body, head);
  Events came;
  h2::Session client(false, options(), came);
  http::Request asked;
  asked.version = http::Version::Http2;
  asked.method = head ? "HEAD" : "GET";
  asked.path = "/";
  TULLE_CHECK(client.send_request(asked, true) != nullptr);
  const std::string bytes =
      concat(framed(h2::frame::kSettings, 0, 0, ""), headers_frame(fields, body));
  (void)client.receive(as_bytes(bytes), TimePoint{});
  if (!came.response || came.response->status < 200) return;
  http::Response& response = *came.response;
  proxy::downgrade_response(response, {.version = http::Version::Http11, .tulle = from_tulle});
  http1::strip_hop_headers(response.headers, false);
  const bool bodyless = head || response.status == 204 || response.status == 304;
  http1::Framing framing = http1::Framing::None;
  std::optional<std::uint64_t> length = response.body_length;
  if (!bodyless) {
    if (came.ended) length = 0;
    framing = http1::Framing::Length;
    if (!length) {
      framing = response.version == http::Version::Http10 ? http1::Framing::UntilClose
                                                          : http1::Framing::Chunked;
    }
  }
  ByteQueue out;
  http1::encode_response(response, framing, length, false, false, out);
  std::size_t searched = 0;
  std::size_t consumed = 0;
  const auto again = http1::parse_response(out.data(), kLimits, asked.method, searched, consumed);
  TULLE_CHECK(again && *again);
  TULLE_CHECK(consumed == out.size());
  const http::Response& seen = (*again)->response;
  TULLE_CHECK(seen.status == response.status && seen.version == response.version);
  TULLE_CHECK(fields_of(seen.headers, true) == fields_of(response.headers, true));
  const bool empty = framing == http1::Framing::Length && *length == 0;
  TULLE_CHECK((*again)->framing == (empty ? http1::Framing::None : framing));
  if (framing == http1::Framing::Length) TULLE_CHECK(seen.body_length == length);
}

// Sent elsewhere after all, it is what it was.
void check_undone(const http::Request& request, bool tulle) {
  http::Request again;
  static_cast<http::RequestHead&>(again) = request;
  again.headers.remove(proxy::kOrigProto);  // from outside it says nothing
  const Fields before = fields_of(again.headers, false);
  const proxy::Upgraded upgraded = proxy::upgrade_request(again, {.tulle = tulle});
  TULLE_CHECK(again.version == http::Version::Http2);
  proxy::undo_upgrade(again, upgraded);
  TULLE_CHECK(again.version == request.version && again.method == request.method.view());
  TULLE_CHECK(again.path == request.path.view() && again.authority == request.authority.view());
  TULLE_CHECK(fields_of(again.headers, false) == before);
}

// Toward a proxy of our kind, or in the plain form toward another.
void carried_request(std::string_view text, bool tulle) {
  std::size_t searched = 0;
  std::size_t consumed = 0;
  auto parsed = http1::parse_request(as_bytes(text), {}, searched, consumed);
  if (!parsed || !*parsed) return;
  http::Request& request = (*parsed)->request;
  if (request.wants_upgrade) return;  // goes by HTTP/1
  // As the outbound proxy begins.
  http1::strip_hop_headers(request.headers, false);
  TULLE_CHECK(http1::settle_host(request));
  http::Request sent;
  static_cast<http::RequestHead&>(sent) = request;
  sent.body_length = request.body_length;
  const bool body = (*parsed)->framing != http1::Framing::None;
  if (!body) check_undone(sent, tulle);
  constexpr std::string_view kService = "web.shop.svc.cluster.local:80";
  const bool names_no_host = !tulle && sent.authority.empty();
  (void)proxy::upgrade_request(
      sent, {.tulle = tulle, .default_authority = names_no_host ? kService : std::string_view{}});
  Events nobody;
  h2::Session client(false, h2::SessionOptions{}, nobody);
  TULLE_CHECK(client.send_request(sent, !body) != nullptr);
  Events came;
  h2::Session server(true, options(), came);
  (void)server.receive(client.output().data(), TimePoint{});
  if (!came.request) return;  // refused; the client session may say more than a server takes
  const auto seen = at_application(std::move(came), tulle);
  if (!seen) return;
  TULLE_CHECK(seen->request.method == request.method.view());
  TULLE_CHECK(seen->request.path == request.path.view());
  TULLE_CHECK(seen->request.form == request.form);
  const std::string_view host = names_no_host ? kService : request.authority.view();
  TULLE_CHECK(http::same_host(seen->request.authority, host, ""));
  TULLE_CHECK(seen->framing == (*parsed)->framing);
  TULLE_CHECK(seen->request.version == request.version || body);
  http::HeaderMap expected = request.headers;
  http::remove_look_alikes(expected, "l5d-client-id");
  expected.remove(proxy::kOrigProto);
  http::HeaderMap got = seen->request.headers;
  got.remove("l5d-client-id");
  TULLE_CHECK(fields_of(got, false) == fields_of(expected, false));
}

// As inbound/http.cc takes an application's answer to a request that was downgraded, and
// outbound/endpoint.cc takes it on.
void carried_response(std::string_view text, bool tulle) {
  std::size_t searched = 0;
  std::size_t consumed = 0;
  auto parsed = http1::parse_response(as_bytes(text), kLimits, "GET", searched, consumed);
  if (!parsed || !*parsed || (*parsed)->response.status < 200) return;
  http::Response& response = (*parsed)->response;
  response.headers.remove(proxy::kOrigProto);
  const http::Version version = response.version;
  const std::uint16_t status = response.status;
  (void)proxy::take_refused_mark(response);
  for (const Errc code : {Errc::Refused, Errc::Unanswered, Errc::Eof}) {
    const proxy::RefusedMark mark = proxy::refused_mark({code, "fuzz"});
    proxy::mark_refused(response, mark);
    TULLE_CHECK(proxy::take_refused_mark(response) == mark);
  }
  http::HeaderMap expected = response.headers;
  http1::strip_hop_headers(expected, false);
  proxy::upgrade_response(response, {.done = true, .tulle = tulle});
  TULLE_CHECK(response.version == http::Version::Http2);
  proxy::downgrade_response(response, {.version = version, .tulle = tulle});
  TULLE_CHECK(response.status == status && response.version == version);
  TULLE_CHECK(fields_of(response.headers, true) == fields_of(expected, true));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 12'000) return 0;
  const std::string_view text = as_text(Bytes(data + 1, size - 1));
  switch (data[0] % 4) {
    case 0: any_request(text); break;
    case 1:
      carried_request(text, true);
      carried_request(text, false);
      break;
    case 3:
      carried_response(text, true);
      carried_response(text, false);
      break;
    default:
      any_response(text, true);
      any_response(text, false);
      break;
  }
  return 0;
}
