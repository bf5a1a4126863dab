// SPDX-License-Identifier: Apache-2.0
#include "proxy/observe/access_log.h"

#include "lib/base/text.h"

namespace tulle::proxy {
namespace {

std::string header(const http::HeaderMap& headers, std::string_view name) {
  return std::string(headers.get(name).value_or(std::string_view{}));
}

std::string uri_of(const http::RequestHead& request) {
  if (request.form == http::TargetForm::Authority) return std::string(request.authority.view());
  const bool whole =
      request.version == http::Version::Http2 || request.form == http::TargetForm::Absolute;
  if (!whole || request.authority.empty()) return std::string(request.path.view());
  return concat(request.scheme.empty() ? std::string_view("http") : request.scheme.view(), "://",
                request.authority.view(), request.path.view());
}

std::string_view version_of(http::Version version) {
  switch (version) {
    case http::Version::Http10: return "HTTP/1.0";
    case http::Version::Http11: return "HTTP/1.1";
    case http::Version::Http2: break;
  }
  return "HTTP/2.0";
}

void member(std::string& out, std::string_view name, std::string_view value) {
  out += concat(out.size() > 1 ? ",\"" : "\"", name, "\":\"");
  log::append_json_escaped(out, value);
  out += '"';
}
// A quote in a target must not end the field.
std::string quoted(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}
std::string number(std::int64_t value) {
  std::string text;
  append_number(text, value);
  return text;
}

}  // namespace

AccessEntry::AccessEntry(Config::AccessLog format, const Peer& peer,
                         const http::RequestHead& request, TimePoint now)
    : json_(format == Config::AccessLog::Json),
      started_(now),
      timestamp_(format_rfc3339(wall_now(), true)),
      client_(peer.addr.to_string()),
      identity_(peer.identity.empty() ? "-" : peer.identity),
      method_(request.method.view()),
      uri_(uri_of(request)),
      version_(version_of(request.version)) {
  if (!json_) return;
  host_ = header(request.headers, "host");
  if (host_.empty() && request.version == http::Version::Http2) host_ = request.authority.view();
  user_agent_ = header(request.headers, "user-agent");
  for (const std::string_view name : {"x-b3-traceid", "x-request-id", "x-amzn-trace-id"}) {
    if (trace_id_.empty()) trace_id_ = header(request.headers, name);
  }
  request_bytes_ = header(request.headers, "content-length");
}

void AccessEntry::write(log::Sink& sink, const http::ResponseHead& response, TimePoint now,
                        Duration waited) const {
  const Duration total = now - started_;
  std::string line;
  if (!json_) {
    line =
        concat(client_, " ", identity_, " - [", timestamp_, "] \"", method_, " ", quoted(uri_), " ",
               version_, "\" ", response.status != 0 ? number(response.status) : std::string{});
    sink.write_line(line);
    return;
  }
  line = "{";
  member(line, "client.addr", client_);
  member(line, "client.id", identity_);
  member(line, "host", host_);
  member(line, "method", method_);
  member(line, "processing_ns", number((total - waited).count()));
  member(line, "request_bytes", request_bytes_);
  if (const auto length = response.headers.get("content-length"))
    member(line, "response_bytes", *length);
  if (response.status != 0) line += concat(",\"status\":", number(response.status));
  member(line, "timestamp", timestamp_);
  member(line, "total_ns", number(total.count()));
  member(line, "trace_id", trace_id_);
  member(line, "uri", uri_);
  member(line, "user_agent", user_agent_);
  member(line, "version", version_);
  line += '}';
  sink.write_line(line);
}

}  // namespace tulle::proxy
