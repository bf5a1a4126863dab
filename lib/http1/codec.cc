// SPDX-License-Identifier: Apache-2.0
#include "lib/http1/codec.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>

#include "lib/base/text.h"
#include "lib/http/host.h"

namespace tulle::http1 {
namespace {

Error invalid(std::string_view what) { return {Errc::Invalid, what}; }

// Most fields differ in length already, which needs no call.
bool is_named(std::string_view field, std::string_view name) noexcept {
  return field.size() == name.size() && iequals(field, name);
}

// Length of the head up to and with its empty line; 0: not complete. A bare LF or CR is found
// later, line by line; here only the end matters.
std::size_t head_end(Bytes bytes, std::size_t& searched) {
  const std::string_view text = as_text(bytes);
  const std::size_t from = searched > 3 ? searched - 3 : 0;
  const auto at = text.find("\r\n\r\n", from);
  searched = text.size();
  return at == std::string_view::npos ? 0 : at + 4;
}

// A head that is not complete may be known to be none: waiting for its end would be waiting for
// ever. `from`: what comes before was looked at. A line that ends in a bare LF, or a first line
// without a version (HTTP/0.9), is refused as soon as it is there.
Result<void> look_at_part(Bytes bytes, std::size_t from) {
  const std::string_view text = as_text(bytes);
  for (std::size_t at = text.find('\n', from); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    if (at == 0 || text[at - 1] != '\r') return invalid("a line does not end with CRLF");
    const bool first = text.find('\n') == at;
    if (first && text.substr(0, at).find(" HTTP/") == std::string_view::npos)
      return invalid("a malformed request line");
  }
  return {};
}

// The next line without its CRLF. A lone CR is refused here, a lone LF by whoever reads the line:
// no part of one may hold a control byte.
Result<std::string_view> next_line(std::string_view& text) {
  const auto end = text.find('\r');
  if (end == std::string_view::npos || end + 1 >= text.size() || text[end + 1] != '\n') {
    return invalid("a line does not end with CRLF");
  }
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Result<void> parse_fields(std::string_view text, const Limits& limits, http::HeaderMap& headers) {
  while (!text.empty()) {
    const Result<std::string_view> line = next_line(text);
    if (!line) return line.error();
    if (line->empty()) {
      if (!text.empty()) return invalid("bytes after the empty line");
      return {};
    }
    if (line->front() == ' ' || line->front() == '\t') return invalid("a folded header line");
    const auto colon = line->find(':');
    if (colon == std::string_view::npos || !http::is_token(line->substr(0, colon))) {
      return invalid("a malformed header name");
    }
    const std::string_view value = trim_blanks(line->substr(colon + 1));
    if (!http::is_field_value(value)) return invalid("a control byte in a header value");
    if (headers.size() >= limits.max_fields) return Error{Errc::TooLarge, "too many headers"};
    headers.add(line->substr(0, colon), value);
  }
  return {};
}

struct Length {
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
};

// The codings of a message, field by field.
struct Codings {
  bool chunked = false;
  bool unknown = false;
  // "chunked" said twice or not at the end has more than one reading.
  Result<void> add(std::string_view value) {
    for (;;) {
      const auto comma = value.find(',');
      const std::string_view item = trim_blanks(value.substr(0, comma));
      const std::string_view name = trim_blanks(item.substr(0, item.find(';')));
      if (chunked || !http::is_token(name)) return invalid("an unusable transfer-encoding");
      chunked = iequals(item, "chunked");
      unknown |= !chunked;
      if (comma == std::string_view::npos) return {};
      value.remove_prefix(comma + 1);
    }
  }
};

// RFC 9112 §6: one meaning or none.
Result<Length> parse_framing(const http::HeaderMap& headers, http::Version version) {
  Length length;
  Codings codings;
  for (const auto field : headers) {
    if (is_named(field.name, "content-length")) {
      std::string_view rest = field.value;
      for (;;) {  // a list of equal values is one value
        const auto comma = rest.find(',');
        const std::string_view item = trim_blanks(rest.substr(0, comma));
        const auto value = item.empty() || !std::all_of(item.begin(), item.end(), ascii_digit)
                               ? std::nullopt
                               : parse_number<std::uint64_t>(item);
        if (!value || *value > INT64_MAX) return invalid("a malformed content-length");
        if (length.content_length && *length.content_length != *value)
          return invalid("different content-lengths");
        length.content_length = *value;
        if (comma == std::string_view::npos) break;
        rest.remove_prefix(comma + 1);
      }
    } else if (is_named(field.name, "transfer-encoding")) {
      const Result<void> usable = codings.add(field.value);
      if (!usable) return usable.error();
    }
  }
  length.chunked = codings.chunked;
  if (length.chunked && length.content_length)
    return invalid("content-length with transfer-encoding");
  if ((length.chunked || codings.unknown) && version == http::Version::Http10)
    return invalid("transfer-encoding in HTTP/1.0");
  // RFC 9112 §6.1.
  if (codings.unknown) return Error{Errc::Unsupported, "an unknown transfer-encoding"};
  return length;
}

// What the transfer-encoding of an answer comes to.
struct AnswerCodings {
  bool chunked = false;
  bool exact = true;  // nothing, or "chunked" alone and once
  std::string
      inside;  // codings that were applied before the chunks, as content-encoding names them
};

bool is_content_coding(std::string_view coding) {
  return iequals(coding, "gzip") || iequals(coding, "deflate") || iequals(coding, "compress") ||
         iequals(coding, "x-gzip") || iequals(coding, "x-compress");
}

Result<void> add_coding(std::string_view coding, AnswerCodings& codings) {
  if (iequals(coding, "chunked")) {
    codings.exact = codings.exact && !codings.chunked;
    codings.chunked = true;
    return {};
  }
  codings.exact = false;
  if (iequals(coding, "identity")) return {};
  // Where chunks do not come last, nobody agrees what the body is.
  if (codings.chunked || !is_content_coding(coding))
    return invalid("an unusable transfer-encoding");
  if (!codings.inside.empty()) codings.inside += ", ";
  codings.inside += coding;
  return {};
}

Result<AnswerCodings> parse_answer_codings(const http::HeaderMap& headers) {
  AnswerCodings codings;
  for (const auto field : headers) {
    if (!is_named(field.name, "transfer-encoding")) continue;
    std::string_view rest = field.value;
    for (;;) {
      const auto comma = rest.find(',');
      const Result<void> added = add_coding(trim_blanks(rest.substr(0, comma)), codings);
      if (!added) return added.error();
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  if (!codings.inside.empty() && !codings.chunked) return invalid("an unusable transfer-encoding");
  return codings;
}

// Answers come from where we asked and not from anybody: what applications get wrong about framing
// is taken where only one reading makes sense (RFC 9112 §6.3, rules 3 to 5). The fields are set
// right; `exact` says that nothing had to be. What was compressed for the hop says so as
// content-encoding: the next hop may have no transfer codings.
Result<void> settle_answer_framing(http::HeaderMap& headers, bool& exact) {
  const Result<AnswerCodings> codings = parse_answer_codings(headers);
  if (!codings) return codings.error();
  exact = codings->exact && !(codings->chunked && headers.contains("content-length"));
  if (exact) return {};
  headers.remove("transfer-encoding");
  if (!codings->chunked) return {};
  headers.remove("content-length");
  headers.add("transfer-encoding", "chunked");
  if (!codings->inside.empty()) headers.add("content-encoding", codings->inside);
  return {};
}

std::optional<http::Version> parse_version(std::string_view text) {
  if (text == "HTTP/1.1") return http::Version::Http11;
  if (text == "HTTP/1.0") return http::Version::Http10;
  return std::nullopt;
}

bool keeps_alive(const http::HeaderMap& headers, http::Version version) {
  if (headers.has_token("connection", "close")) return false;
  return version == http::Version::Http11 || headers.has_token("connection", "keep-alive");
}

// authority-form: host and port, nothing else; in ASCII, as RFC 3986 §3.2.2 has hosts (a Host field
// may hold what it likes beyond that).
bool is_host_and_port(std::string_view text) {
  return http::is_authority(text) && text.rfind(':') != std::string_view::npos &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<std::uint8_t>(c) < 0x80; });
}

// Applications route by the path of an absolute form whatever its scheme is; another scheme's
// resource is none of theirs.
bool is_scheme_of_http(std::string_view scheme) {
  return iequals(scheme, "http") || iequals(scheme, "https");
}

Result<void> parse_target(std::string_view target, http::Request& request) {
  if (!http::is_target(target)) return invalid("a malformed request target");
  if (request.method == "CONNECT") {
    if (request.version != http::Version::Http11) return invalid("CONNECT needs HTTP/1.1");
    if (!is_host_and_port(target)) return invalid("CONNECT needs an authority");
    request.form = http::TargetForm::Authority;
    request.authority = target;
    request.wants_upgrade = true;
    return {};
  }
  if (target.front() == '/') {
    request.form = http::TargetForm::Origin;
    request.path = target;
    return {};
  }
  if (target == "*") {
    if (request.method != "OPTIONS") return invalid("an asterisk needs OPTIONS");
    request.form = http::TargetForm::Asterisk;
    request.path = target;
    return {};
  }
  const auto scheme_end = target.find("://");
  if (scheme_end == std::string_view::npos || !http::is_scheme(target.substr(0, scheme_end))) {
    return invalid("an authority needs CONNECT");
  }
  if (!is_scheme_of_http(target.substr(0, scheme_end))) return invalid("not a scheme of HTTP");
  request.form = http::TargetForm::Absolute;
  request.scheme = target.substr(0, scheme_end);
  const std::string_view rest = target.substr(scheme_end + 3);
  const auto path = rest.find_first_of("/?");
  const std::string_view authority = rest.substr(0, path);
  if (authority.empty() || !http::is_authority(authority)) return invalid("a malformed authority");
  request.authority = authority;
  if (path == std::string_view::npos) {
    request.path = "/";
  } else if (rest[path] == '?') {
    request.path = concat("/", rest.substr(path));
  } else {
    request.path = rest.substr(path);
  }
  return {};
}

void put_number(std::uint64_t value, int base, ByteQueue& out) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, base).ptr;
  out.append(std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

void put_field(std::string_view name, std::string_view value, ByteQueue& out) {
  const MutableBytes room = out.prepare(name.size() + value.size() + 4);
  std::uint8_t* at = room.data();
  const auto put = [&at](std::string_view text) {
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    at += text.size();
  };
  put(name);
  put(": ");
  put(value);
  put("\r\n");
  out.commit(room.size());
}

void put_fields(const http::HeaderMap& headers, Framing framing,
                std::optional<std::uint64_t> length, ByteQueue& out) {
  bool has_length = false;
  bool has_transfer = false;
  for (const auto field : headers) {
    if (is_named(field.name, "content-length")) {
      if (framing == Framing::Chunked) continue;
      if (has_length) continue;  // equal values collapse into one
      has_length = true;
      if (framing == Framing::Length && length) {
        out.append(field.name);
        out.append(": ");
        put_number(*length, 10, out);
        out.append("\r\n");
      } else {
        put_field(field.name, trim_blanks(field.value.substr(0, field.value.find(','))), out);
      }
      continue;
    }
    if (is_named(field.name, "transfer-encoding")) {
      if (framing != Framing::Chunked || has_transfer) continue;
      has_transfer = true;
    }
    put_field(field.name, field.value, out);
  }
  if (framing == Framing::Chunked && !has_transfer) out.append("transfer-encoding: chunked\r\n");
  if (framing == Framing::Length && !has_length && length) {
    out.append("content-length: ");
    put_number(*length, 10, out);
    out.append("\r\n");
  }
}

}  // namespace

Result<std::optional<ParsedRequest>> parse_request(Bytes bytes, const Limits& limits,
                                                   std::size_t& searched, std::size_t& consumed) {
  // RFC 9112 §2.2: an empty line before the request line is skipped.
  std::size_t skipped = 0;
  while (bytes.size() >= skipped + 2 && bytes[skipped] == '\r' && bytes[skipped + 1] == '\n' &&
         skipped < 8)
    skipped += 2;
  const Bytes head = bytes.subspan(skipped);
  std::size_t from = searched > skipped ? searched - skipped : 0;
  const std::size_t looked = from;
  const std::size_t size = head_end(head, from);
  searched = bytes.size();
  if (size == 0) {
    if (head.size() > limits.max_head) {
      const bool line = as_text(head).find('\n') == std::string_view::npos;
      return Error{Errc::TooLarge,
                   line ? "the request line is too long" : "the request head is too large", 0,
                   line ? 414U : 431U};
    }
    if (const Result<void> part = look_at_part(head, looked); !part) return part.error();
    return std::optional<ParsedRequest>{};
  }
  if (size > limits.max_head) return Error{Errc::TooLarge, "the request head is too large"};
  consumed = skipped + size;
  std::string_view text = as_text(head.first(size));
  const Result<std::string_view> line = next_line(text);
  if (!line) return line.error();
  const auto first = line->find(' ');
  const auto last = line->rfind(' ');
  if (first == std::string_view::npos || first == last) return invalid("a malformed request line");
  ParsedRequest parsed;
  http::Request& request = parsed.request;
  if (!http::is_token(line->substr(0, first))) return invalid("a malformed method");
  request.method = line->substr(0, first);
  const auto version = parse_version(line->substr(last + 1));
  if (!version) return invalid("an unknown HTTP version");
  request.version = *version;
  if (const Result<void> target = parse_target(line->substr(first + 1, last - first - 1), request);
      !target) {
    return target.error();
  }
  if (const Result<void> fields = parse_fields(text, limits, request.headers); !fields)
    return fields.error();
  const Result<Length> length = parse_framing(request.headers, request.version);
  if (!length) return length.error();

  std::size_t hosts = 0;
  std::string_view host;
  for (const auto field : request.headers) {
    if (!is_named(field.name, "host")) continue;
    ++hosts;
    host = field.value;
  }
  if (hosts > 1) return invalid("more than one Host");
  if (hosts == 0 && request.version == http::Version::Http11 && request.authority.empty())
    return invalid("HTTP/1.1 without Host");
  if (!http::is_authority(host)) return invalid("a malformed Host");
  if (request.form == http::TargetForm::Origin || request.form == http::TargetForm::Asterisk)
    request.authority = host;

  if (length->chunked) {
    parsed.framing = Framing::Chunked;
  } else if (length->content_length) {
    request.body_length = *length->content_length;
    parsed.framing = *length->content_length == 0 ? Framing::None : Framing::Length;
  }
  if (request.form == http::TargetForm::Authority) {
    if (parsed.framing != Framing::None) return invalid("CONNECT with a body");
  } else if (request.version == http::Version::Http11 && request.headers.contains("upgrade") &&
             request.headers.has_token("connection", "upgrade")) {
    // h2c by upgrade is not spoken, and where a body comes first nobody agrees when the new
    // protocol begins: such a request is answered as it stands.
    request.wants_upgrade =
        parsed.framing == Framing::None && !request.headers.has_token("upgrade", "h2c");
  }
  parsed.keep_alive = keeps_alive(request.headers, request.version);
  return std::optional<ParsedRequest>{std::move(parsed)};
}

Result<void> check_request(const http::Request& request) {
  if (!http::is_token(request.method)) return invalid("a malformed method");
  const bool connect = request.method == "CONNECT";
  const std::string_view path = request.path;
  const bool path_ok = http::is_target(path) && path.front() == '/';
  switch (request.form) {
    case http::TargetForm::Authority:
      // Without the tunnel nobody could say where its answer ends.
      if (!connect || !request.wants_upgrade || request.version != http::Version::Http11)
        return invalid("an authority needs CONNECT");
      if (!is_host_and_port(request.authority)) return invalid("CONNECT needs an authority");
      if (request.body.has_value()) return invalid("CONNECT with a body");
      break;
    case http::TargetForm::Absolute:
      if (!path_ok || request.authority.empty() || !http::is_authority(request.authority) ||
          !(request.scheme.empty() || is_scheme_of_http(request.scheme)))
        return invalid("a malformed request target");
      break;
    case http::TargetForm::Origin:
      if (!path_ok) return invalid("a malformed request target");
      break;
    case http::TargetForm::Asterisk:
      if (path != "*" || request.method != "OPTIONS") return invalid("an asterisk needs OPTIONS");
      break;
  }
  if (connect && request.form != http::TargetForm::Authority)
    return invalid("CONNECT needs an authority");
  bool host = false;
  for (const auto field : request.headers) {
    if (!is_named(field.name, "host")) continue;
    if (std::exchange(host, true)) return invalid("more than one Host");
    if (!http::is_authority(field.value)) return invalid("a malformed Host");
  }
  if (!host && !http::is_authority(request.authority)) return invalid("a malformed Host");
  return {};
}

Result<void> settle_host(http::Request& request) {
  std::optional<std::string_view> host;
  for (const auto field : request.headers) {
    if (!is_named(field.name, "host")) continue;
    if (host) return invalid("more than one Host");
    host = field.value;
  }
  if (!host) {
    if (request.version == http::Version::Http11 && request.authority.empty())
      return invalid("HTTP/1.1 without Host");
    return {};
  }
  if (!http::is_authority(*host)) return invalid("a malformed Host");
  if (request.authority.empty()) {
    request.authority = *host;
  } else if (!http::same_host(*host, request.authority, request.scheme)) {
    if (request.version == http::Version::Http2) return invalid("two hosts");
    request.headers.set("host", request.authority);
  }
  return {};
}

Result<std::optional<ParsedResponse>> parse_response(Bytes bytes, const Limits& limits,
                                                     std::string_view method, std::size_t& searched,
                                                     std::size_t& consumed) {
  const std::size_t size = head_end(bytes, searched);
  if (size == 0) {
    if (bytes.size() > limits.max_head)
      return Error{Errc::TooLarge, "the response head is too large"};
    return std::optional<ParsedResponse>{};
  }
  if (size > limits.max_head) return Error{Errc::TooLarge, "the response head is too large"};
  consumed = size;
  std::string_view text = as_text(bytes.first(size));
  const Result<std::string_view> line = next_line(text);
  if (!line) return line.error();
  ParsedResponse parsed;
  http::Response& response = parsed.response;
  const auto space = line->find(' ');
  const auto version = parse_version(line->substr(0, space));
  if (!version || space == std::string_view::npos) return invalid("a malformed status line");
  response.version = *version;
  const std::string_view status = line->substr(space + 1, 3);
  const auto code = parse_number<std::uint16_t>(status);
  if (!code || status.size() != 3 || *code < 100) return invalid("a malformed status");
  const std::string_view after = line->substr(space + 4);
  if (!after.empty() && after.front() != ' ') return invalid("a malformed status line");
  if (!http::is_field_value(after)) return invalid("a control byte in a reason");
  response.status = *code;
  if (after.size() > 1) response.reason = after.substr(1);
  if (const Result<void> fields = parse_fields(text, limits, response.headers); !fields)
    return fields.error();
  bool exact = true;
  if (const Result<void> settled = settle_answer_framing(response.headers, exact); !settled)
    return settled.error();
  const Result<Length> length = parse_framing(response.headers, response.version);
  if (!length) return invalid(length.error().where);
  parsed.keep_alive = exact && keeps_alive(response.headers, response.version);
  const bool tunnel = method == "CONNECT" && *code >= 200 && *code < 300;
  if (method == "HEAD" || *code < 200 || *code == 204 || *code == 304 || tunnel) {
    parsed.framing = Framing::None;
    if (length->content_length) response.body_length = *length->content_length;
    if (tunnel) {  // RFC 9110 §9.3.6
      response.headers.remove("content-length");
      response.headers.remove("transfer-encoding");
    }
  } else if (length->chunked) {
    parsed.framing = Framing::Chunked;
  } else if (length->content_length) {
    response.body_length = *length->content_length;
    parsed.framing = *length->content_length == 0 ? Framing::None : Framing::Length;
  } else {
    parsed.framing = Framing::UntilClose;
    parsed.keep_alive = false;
  }
  return std::optional<ParsedResponse>{std::move(parsed)};
}

Result<BodyDecoder::Step> BodyDecoder::decode(Bytes bytes) {
  switch (framing_) {
    case Framing::None: return Step{};
    case Framing::UntilClose: return Step{bytes, bytes.size()};
    case Framing::Length: {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      left_ -= n;
      done_ = left_ == 0;
      return Step{bytes.first(n), n};
    }
    case Framing::Chunked: return decode_chunked(bytes);
  }
  TULLE_UNREACHABLE();
}

Result<BodyDecoder::Step> BodyDecoder::decode_chunked(Bytes bytes) {
  std::size_t used = 0;
  while (used < bytes.size() && !done_) {
    if (state_ == State::Data) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - used));
      left_ -= n;
      if (left_ == 0) state_ = State::DataEnd;
      return Step{bytes.subspan(used, n), used + n};
    }
    // Everything else is made of short lines: gathered until the LF.
    const std::uint8_t byte = bytes[used++];
    const bool after_cr = !line_.empty() && line_.data().back() == '\r';
    if (byte == '\n' ? !after_cr : after_cr) return invalid("a chunk line does not end with CRLF");
    line_.push_back(byte);
    const std::size_t most = state_ == State::Trailers ? limits_.max_head : limits_.max_chunk_line;
    if (line_.size() > most) {
      if (state_ == State::Trailers) return Error{Errc::TooLarge, "the trailers are too large"};
      return invalid("a chunk line is too long");
    }
    if (byte != '\n') continue;
    std::string_view text = as_text(line_.data());
    if (state_ == State::DataEnd) {
      if (text != "\r\n") return invalid("a chunk is longer than it said");
      line_.clear();
      state_ = State::Size;
    } else if (state_ == State::Size) {
      text.remove_suffix(2);
      const auto extension = text.find(';');
      std::string_view digits = text.substr(0, extension);
      if (extension != std::string_view::npos) digits = trim_blanks(digits);
      if (!http::is_field_value(text)) return invalid("a control byte in a chunk extension");
      if (digits.empty() || digits.size() > 15 ||
          digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
        return invalid("a malformed chunk size");
      }
      left_ = *parse_number<std::uint64_t>(digits, 16);
      line_.clear();
      state_ = left_ == 0 ? State::Trailers : State::Data;
    } else if (text == "\r\n" || text.ends_with("\r\n\r\n")) {
      if (text != "\r\n") {
        const Result<void> fields = parse_fields(text, limits_, trailers_);
        if (!fields) return fields.error();
      }
      line_.clear();
      done_ = true;
    }
  }
  return Step{{}, used};
}

Result<void> BodyDecoder::end() {
  if (done_) return {};
  if (framing_ == Framing::UntilClose) {
    done_ = true;
    return {};
  }
  return Error{Errc::Eof, "the body ended early"};
}

void encode_request(const http::Request& request, Framing framing, ByteQueue& out) {
  out.append(request.method.view());
  out.push_back(' ');
  switch (request.form) {
    case http::TargetForm::Authority: out.append(request.authority.view()); break;
    case http::TargetForm::Absolute:
      out.append(request.scheme.empty() ? std::string_view("http") : request.scheme.view());
      out.append("://");
      out.append(request.authority.view());
      out.append(request.path.view());
      break;
    case http::TargetForm::Origin:
    case http::TargetForm::Asterisk: out.append(request.path.view()); break;
  }
  out.append(request.version == http::Version::Http10 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
  // RFC 9112 §3.2: HTTP/1.1 has a Host, and so has what names its host in the target.
  if ((request.form == http::TargetForm::Absolute || request.version != http::Version::Http10) &&
      !request.headers.contains("host")) {
    put_field("host", request.authority, out);
  }
  put_fields(request.headers, framing, request.body_length, out);
  out.append("\r\n");
}

void encode_response(const http::ResponseHead& response, Framing framing,
                     std::optional<std::uint64_t> length, bool close, bool keep_alive_10,
                     ByteQueue& out) {
  out.append(response.version == http::Version::Http10 ? "HTTP/1.0 " : "HTTP/1.1 ");
  put_number(response.status, 10, out);
  out.push_back(' ');
  out.append(response.reason.empty() ? http::reason_phrase(response.status)
                                     : response.reason.view());
  out.append("\r\n");
  put_fields(response.headers, framing, length, out);
  if (close && !response.headers.has_token("connection", "close")) {
    out.append("connection: close\r\n");
  } else if (keep_alive_10 && !response.headers.has_token("connection", "keep-alive")) {
    out.append("connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

void encode_chunk(Bytes data, ByteQueue& out) {
  if (data.empty()) return;  // an empty chunk would end the body
  put_number(data.size(), 16, out);
  out.append("\r\n");
  out.append(data);
  out.append("\r\n");
}

void encode_last_chunk(const http::HeaderMap& trailers, ByteQueue& out) {
  out.append("0\r\n");
  for (const auto field : trailers) {
    if (!http::may_be_trailer(field.name)) continue;
    put_field(field.name, field.value, out);
  }
  out.append("\r\n");
}

}  // namespace tulle::http1
