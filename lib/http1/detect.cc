// SPDX-License-Identifier: Apache-2.0
#include "lib/http1/detect.h"

#include <algorithm>

#include "lib/http/message.h"

namespace tulle::http1 {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::size_t kMaxMethod = 32;
constexpr std::size_t kMaxLine = 8000;

}  // namespace

Detected detect(Bytes bytes) noexcept {
  std::string_view text = as_text(bytes);
  if (text.empty()) return Detected::NeedMore;
  // So many bytes tell the preface from every request of HTTP/1; the rest is the session's to
  // check.
  constexpr std::size_t kTelling = 14;
  const std::size_t same = std::min(text.size(), kTelling);
  if (text.substr(0, same) == kPreface.substr(0, same)) {
    return same == kTelling ? Detected::Http2 : Detected::NeedMore;
  }
  // Leading empty lines are allowed before a request line.
  while (text.starts_with("\r\n")) text.remove_prefix(2);
  if (text.empty() || text == "\r") return Detected::NeedMore;
  const auto space = text.find(' ');
  const std::string_view method = text.substr(0, space);
  if (method.size() > kMaxMethod || !http::is_token(method)) return Detected::NotHttp;
  if (space == std::string_view::npos) return Detected::NeedMore;
  // A target begins with a slash, an asterisk, a letter of a scheme or host, a digit or a bracket.
  const std::string_view rest = text.substr(space + 1);
  if (rest.empty()) return Detected::NeedMore;
  const auto first = static_cast<std::uint8_t>(rest.front());
  if (first <= 0x20 || first >= 0x7F) return Detected::NotHttp;
  const auto end = rest.find_first_of(" \r\n");
  // The same answer however the bytes come in.
  if (std::min(end, rest.size()) > kMaxLine) return Detected::NotHttp;
  if (end == std::string_view::npos) return Detected::NeedMore;
  if (rest[end] != ' ') return Detected::NotHttp;
  constexpr std::string_view kVersion = "HTTP/1.";
  const std::string_view version = rest.substr(end + 1);
  const std::size_t known = std::min(version.size(), kVersion.size());
  if (version.substr(0, known) != kVersion.substr(0, known)) return Detected::NotHttp;
  return version.size() >= kVersion.size() ? Detected::Http1 : Detected::NeedMore;
}

}  // namespace tulle::http1
