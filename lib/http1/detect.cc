// SPDX-License-Identifier: Apache-2.0
#include "lib/http1/detect.h"

#include <algorithm>

#include "lib/base/text.h"
#include "lib/http/message.h"

namespace tulle::http1 {
namespace {

constexpr std::size_t kMaxMethod = 32;
// A line that is longer is the codec's to refuse, if it is a request's.
constexpr std::uint32_t kMaxUndecided = 8000;
constexpr std::size_t kPrefaceLine = 14;  // PRI * HTTP/2.0
constexpr std::string_view kProtocol = "HTTP/";

constexpr std::string_view kMethods[] = {
    "GET", "HEAD",     "POST",      "PUT",   "DELETE", "CONNECT", "OPTIONS", "TRACE",  "PATCH",
    "PRI", "PROPFIND", "PROPPATCH", "MKCOL", "COPY",   "MOVE",    "LOCK",    "UNLOCK", "REPORT"};

bool is_known(std::string_view method) {
  return std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
}
bool begins_known(std::string_view text) {
  return std::any_of(std::begin(kMethods), std::end(kMethods),
                     [&](std::string_view method) { return method.starts_with(text); });
}
bool is_token_byte(std::uint8_t byte) {
  const char c = static_cast<char>(byte);
  return http::is_token({&c, 1});
}
// RFC 9112 §3: a lenient server parts words at any of these.
bool is_blank(std::uint8_t byte) {
  return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f' || byte == '\r';
}

}  // namespace

// A path, an asterisk or an absolute form.
bool FirstLine::usual_target() const noexcept {
  const std::string_view text = target();
  if (text.starts_with('/') || text == "*") return true;
  const auto colon = text.find("://");
  return colon != std::string_view::npos && http::is_scheme(text.substr(0, colon));
}

// As only HTTP has it; absolute forms of other schemes are those of RTSP and ICAP.
bool FirstLine::names_a_resource() const noexcept {
  return target().starts_with('/') || iequals(target().substr(0, 7), "http://") ||
         iequals(target().substr(0, 8), "https://");
}

bool FirstLine::looks_like_a_request() const noexcept {
  if (seen_ != Detected::NeedMore || at_ == At::Start) return false;
  if (at_ == At::Method) return begins_known(method());
  return is_known(method()) || usual_target();
}

// The protocol's name has begun; version_ holds what came of it.
Detected FirstLine::version(std::uint8_t byte) noexcept {
  version_[version_size_++] = static_cast<char>(byte);
  const std::string_view text(version_.data(), version_size_);
  const bool preface = method() == "PRI";
  if (text.size() < (preface ? 8U : 7U)) return Detected::NeedMore;
  if (!preface || text[5] == '0' || text[5] == '1') return Detected::Http1;
  // Only as it stands in RFC 9113 §3.4 is it HTTP/2's; the rest is the session's to check.
  const bool exact = text == "HTTP/2.0" && target() == "*" && taken_ == kPrefaceLine;
  return exact ? Detected::Http2 : Detected::NotHttp;
}

// Two words are a request of HTTP/0.9, which servers still take, and some read fields after it. For
// a target without a slash that would also be a command of other protocols (GET key).
Detected FirstLine::line_ends() noexcept {
  if (at_ == At::Start) return Detected::NeedMore;
  if (at_ == At::Method || at_ == At::BeforeTarget) return Detected::NotHttp;
  if (at_ == At::Version && version_size_ >= kProtocol.size())
    return method() == "PRI" ? Detected::NotHttp : Detected::Http1;
  // Whatever comes third, some server takes it for a version; of a path only HTTP's methods are
  // told.
  if (more_words_ || at_ == At::Version)
    return is_known(method()) && names_a_resource() ? Detected::Http1 : Detected::NotHttp;
  return is_known(method()) && method() != "PRI" && usual_target() && target() != "*"
             ? Detected::Http1
             : Detected::NotHttp;
}

Detected FirstLine::take(std::uint8_t byte) noexcept {
  if (byte == '\n') return line_ends();
  if (byte == '\r' && at_ == At::Start) return Detected::NeedMore;
  const bool blank = is_blank(byte);
  if (!blank && (byte < 0x20 || byte == 0x7F)) return Detected::NotHttp;
  switch (at_) {
    case At::Start:
      if (blank) return grammar_ == Grammar::Anybody ? Detected::NeedMore : Detected::NotHttp;
      at_ = At::Method;
      [[fallthrough]];
    case At::Method:
      if (blank) {
        at_ = At::BeforeTarget;
        return Detected::NeedMore;
      }
      if (!is_token_byte(byte)) return Detected::NotHttp;
      if (method_size_ == kMaxMethod && grammar_ == Grammar::Usual) return Detected::NotHttp;
      if (method_size_ < method_.size()) method_[method_size_++] = static_cast<char>(byte);
      return Detected::NeedMore;
    case At::BeforeTarget:
      if (blank) return Detected::NeedMore;
      if (byte > 0x7F && grammar_ == Grammar::Usual) return Detected::NotHttp;
      at_ = At::Target;
      [[fallthrough]];
    case At::Target:
      if (blank) {
        at_ = At::BeforeVersion;
      } else if (target_size_ < target_.size()) {
        target_[target_size_++] = static_cast<char>(byte);
      }
      return Detected::NeedMore;
    case At::BeforeVersion:
      if (blank) return Detected::NeedMore;
      at_ = At::Version;
      version_size_ = 0;
      [[fallthrough]];
    case At::Version:
      if (version_size_ >= kProtocol.size() ||
          ascii_lower(static_cast<char>(byte)) == ascii_lower(kProtocol[version_size_])) {
        return version(byte);
      }
      // Some servers take targets with spaces in them.
      if (!usual_target() && grammar_ == Grammar::Usual) return Detected::NotHttp;
      more_words_ = true;
      at_ = blank ? At::BeforeVersion : At::Word;
      return Detected::NeedMore;
    case At::Word:
      if (blank) at_ = At::BeforeVersion;
      return Detected::NeedMore;
  }
  return Detected::NotHttp;
}

Detected FirstLine::feed(Bytes bytes) noexcept {
  for (const std::uint8_t byte : bytes) {
    if (seen_ != Detected::NeedMore) break;
    ++taken_;
    // A CR parts words like a blank, unless the line ends there.
    if (after_cr_ && byte != '\n') seen_ = take('\r');
    after_cr_ = false;
    if (seen_ != Detected::NeedMore) break;
    if (byte == '\r') {
      after_cr_ = true;
    } else {
      seen_ = take(byte);
    }
    if (seen_ == Detected::NeedMore && taken_ == kMaxUndecided && grammar_ == Grammar::Usual) {
      seen_ = at_ == At::Start || looks_like_a_request() ? Detected::Http1 : Detected::NotHttp;
    }
  }
  return seen_;
}

Detected detect(Bytes bytes) noexcept {
  FirstLine line;
  return line.feed(bytes);
}

}  // namespace tulle::http1
