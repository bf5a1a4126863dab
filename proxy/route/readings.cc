// SPDX-License-Identifier: Apache-2.0
#include "proxy/route/readings.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::proxy {
namespace {

// What a server may do with a path before it looks up what to serve.
enum Step : unsigned {
  kDecode = 1,        // %XX, also of "/" and "."
  kTurn = 2,          // "\" is "/" (URL of the WHATWG)
  kParameters = 4,    // ";…" of a segment goes (RFC 2396; servlets)
  kMerge = 8,         // "//" is "/"
  kDots = 16,         // RFC 3986 §5.2.4
  kNormalize = 32,    // kDots that leaves no slash at the end: "/a/." is "/a" (POSIX paths)
  kAuthority = 64,    // "//host/a" is "/a" (RFC 3986 §4.2)
  kEncodedDots = 128  // %2e is "." for kDots although nothing else is decoded (WHATWG)
};

// First what is done to the path as it was sent, then what is done beside or after decoding it. The
// order counts: ";%2f.." is a parameter to who cuts first and the parent to who decodes first.
struct Server {
  unsigned sent;
  unsigned then = 0;
};
constexpr Server kServers[] = {
    // Nothing is decoded: each simple step, and URL objects (Node, WHATWG).
    {kDots},
    {kMerge},
    {kMerge | kDots},
    {kParameters},
    {kParameters | kMerge | kDots},
    {kTurn | kAuthority | kEncodedDots | kDots},
    {kTurn | kEncodedDots | kDots},
    // Decoded first: alone (Go's ServeMux), then dots and slashes (nginx, Python's http.server),
    // "\" as well (IIS), parameters of what came out (servlets that cut them themselves).
    {0, kDecode},
    {0, kDecode | kDots},
    {0, kDecode | kMerge | kDots},
    {0, kDecode | kMerge | kNormalize},
    {0, kDecode | kParameters | kMerge | kDots},
    {0, kDecode | kTurn | kMerge | kNormalize},
    {0, kDecode | kTurn | kParameters | kMerge | kNormalize},
    {0, kDecode | kTurn | kParameters | kAuthority | kMerge | kDots},
    // Parameters before decoding: Spring, segment by segment and with slashes merged; Jetty, which
    // merges none; Tomcat and Undertow, also where they take "\".
    {kParameters, kDecode},
    {kParameters, kDecode | kMerge},
    {kParameters, kDecode | kDots},
    {kParameters, kDecode | kMerge | kDots},
    {kParameters, kDecode | kTurn | kMerge | kDots},
    {kParameters, kDecode | kTurn | kMerge | kNormalize},
    // Dots before decoding: RFC 3986 §6.2.2 by the letter, Jetty since its tenth version, Apache;
    // URL
    // objects whose pathname is decoded, alone or for a file's name.
    {kDots, kDecode},
    {kParameters | kEncodedDots | kDots, kDecode},
    {kMerge | kEncodedDots | kDots, kDecode},
    {kMerge | kEncodedDots | kDots, kDecode | kMerge | kNormalize},
    {kTurn | kEncodedDots | kDots, kDecode},
    {kTurn | kEncodedDots | kDots, kDecode | kMerge | kNormalize},
    {kTurn | kAuthority | kEncodedDots | kDots, kDecode},
};

int hex_value(char c) noexcept {
  const char lower = ascii_lower(c);
  if (ascii_digit(lower)) return lower - '0';
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string decoded(std::string_view text, bool dots_only) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 &&
        hex_value(text[i + 2]) >= 0) {
      const char c = static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      if (!dots_only || c == '.') {
        out += c;
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

// Segment by segment; `out` begins with "/".
std::string joined(std::string_view path, unsigned steps) {
  std::string out;
  out.reserve(path.size() + 1);
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const auto end = std::min(path.find('/'), path.size());
    std::string_view segment = path.substr(0, end);
    const bool last = end == path.size();
    path.remove_prefix(end);
    if ((steps & kParameters) != 0) segment = segment.substr(0, segment.find(';'));
    const bool up = segment == "..";
    if ((steps & (kDots | kNormalize)) != 0 && (up || segment == ".")) {
      if (up) out.erase(std::min(out.rfind('/'), out.size()));
      if (last && (steps & kDots) != 0) out += '/';
      continue;
    }
    if ((steps & kMerge) != 0 && segment.empty() && !last) continue;
    out += '/';
    out += segment;
  }
  if (out.empty()) out.push_back('/');
  return out;
}

std::string read_as(std::string_view path, unsigned steps) {
  std::string text((steps & (kDecode | kEncodedDots)) != 0 ? decoded(path, (steps & kDecode) == 0)
                                                           : std::string(path));
  if ((steps & kTurn) != 0) std::replace(text.begin(), text.end(), '\\', '/');
  if ((steps & kAuthority) != 0 && text.starts_with("//")) {
    const auto slash = text.find('/', 2);
    text = slash == std::string::npos ? std::string("/") : text.substr(slash);
  }
  return joined(text, steps);
}

std::string read_as(std::string_view path, const Server& server) {
  if (server.sent == 0) return read_as(path, server.then);
  std::string text = read_as(path, server.sent);
  return server.then == 0 ? text : read_as(text, server.then);
}

}  // namespace

bool is_plain_path(std::string_view target) noexcept {
  char before = 0;
  for (const char c : target) {
    if (c == '?') break;
    if (c == '%' || c == ';' || c == '\\') return false;
    if (before == '/' && (c == '/' || c == '.')) return false;
    before = c;
  }
  return true;
}

std::vector<std::string> path_readings(std::string_view target) {
  std::vector<std::string> readings;
  const auto question = std::min(target.find('?'), target.size());
  const std::string_view path = target.substr(0, question);
  if (path.empty() || path.front() != '/') return readings;
  const std::string_view query = target.substr(question);
  for (const Server& server : kServers) {
    std::string reading = read_as(path, server);
    if (reading == path) continue;
    reading += query;
    if (std::find(readings.begin(), readings.end(), reading) == readings.end())
      readings.push_back(std::move(reading));
  }
  return readings;
}

}  // namespace tulle::proxy
