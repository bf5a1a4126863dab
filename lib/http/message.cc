// SPDX-License-Identifier: Apache-2.0
#include "lib/http/message.h"

#include <cstring>

#include <algorithm>
#include <array>
#include <charconv>

#include "lib/base/text.h"

namespace tulle::http {

std::string_view reason_phrase(std::uint16_t status) noexcept {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 508: return "Loop Detected";
    default: return "";
  }
}

Response make_response(std::uint16_t status) {
  Response response;
  response.status = status;
  response.headers.add("content-length", "0");
  response.body_length = 0;
  return response;
}

Response make_text_response(net::Loop& loop, std::uint16_t status, std::string_view text,
                            std::string_view content_type) {
  Response response;
  response.status = status;
  response.headers.add("content-type", content_type);
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, text.size()).ptr;
  response.headers.add("content-length",
                       std::string_view(digits, static_cast<std::size_t>(end - digits)));
  response.body = make_full_body(loop, as_bytes(text));
  response.body_length = text.size();
  return response;
}

bool is_safe(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE";
}

bool is_idempotent(std::string_view method) noexcept {
  return is_safe(method) || method == "PUT" || method == "DELETE";
}

namespace {

// What a byte may be part of.
enum Class : std::uint8_t {
  kToken = 1,   // a token (RFC 9110 §5.6.2)
  kTarget = 2,  // a request target
  kHost = 4,    // a host that is a name or an IPv4 address
  kDigit = 8,
};
constexpr auto kClasses = [] {
  std::array<std::uint8_t, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<char>(byte);
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const auto among = [c](std::string_view some) {
      return some.find(c) != std::string_view::npos;
    };
    // Some servers cut a fragment off, others take it for a part of the path.
    const bool target = byte > 0x20 && byte != 0x7F && c != '#';
    if (digit || letter || among("!#$%&'*+-.^_`|~")) table[byte] |= kToken;
    if (target) table[byte] |= kTarget;
    if (target && !among("/?,@%\\:[]")) table[byte] |= kHost;
    if (digit) table[byte] |= kDigit;
  }
  return table;
}();
bool is_a(char c, Class wanted) noexcept {
  return (kClasses[static_cast<std::uint8_t>(c)] & wanted) != 0;
}
bool all_are(std::string_view text, Class wanted) noexcept {
  for (const char c : text) {
    if (!is_a(c, wanted)) return false;
  }
  return true;
}

}  // namespace

bool is_token(std::string_view text) noexcept { return !text.empty() && all_are(text, kToken); }

bool is_target(std::string_view text) noexcept { return !text.empty() && all_are(text, kTarget); }

bool is_authority(std::string_view text) noexcept {
  if (text.empty()) return true;
  std::size_t host = 0;
  if (text.front() == '[') {
    const auto end = text.find(']');
    if (end == std::string_view::npos || end < 2) return false;
    for (const char c : text.substr(1, end - 1)) {
      if (c != ':' && !is_a(c, kHost)) return false;
    }
    host = end + 1;
  } else {
    bool dot = false;
    for (; host < text.size() && is_a(text[host], kHost); ++host) {
      // No name has an empty part; some servers take any number of final dots off.
      if (text[host] == '.' && dot) return false;
      dot = text[host] == '.';
    }
    if (host == 0) return false;
  }
  if (host == text.size()) return true;
  return text[host] == ':' && all_are(text.substr(host + 1), kDigit);
}

bool is_scheme(std::string_view text) noexcept {
  const auto letter = [](char c) { return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z'; };
  return !text.empty() && letter(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return letter(c) || ascii_digit(c) || c == '+' || c == '-' || c == '.';
         });
}

bool is_field_value(std::string_view text) noexcept {
  const auto plain = [](std::string_view part) {
    for (const char c : part) {
      const auto byte = static_cast<std::uint8_t>(c);
      if ((byte < 0x20 && byte != '\t') || byte == 0x7F) return false;
    }
    return true;
  };
  // Eight bytes at once: is any of them below 0x20 or equal to 0x7F? Tabs are looked at one by one.
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kTops = 0x8080808080808080;
  if (text.size() < 8) return plain(text);
  const std::size_t last = text.size() - 8;  // the last eight may overlap those before them
  for (std::size_t at = 0;; at = std::min(at + 8, last)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, 8);
    const std::uint64_t no_del = word ^ (kOnes * 0x7F);
    const std::uint64_t odd = ((word - kOnes * 0x20) & ~word) | ((no_del - kOnes) & ~no_del);
    if ((odd & kTops) != 0 && !plain(text.substr(at, 8))) return false;
    if (at == last) return true;
  }
}

}  // namespace tulle::http
