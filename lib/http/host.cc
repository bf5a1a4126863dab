// SPDX-License-Identifier: Apache-2.0
#include "lib/http/host.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::http {
namespace {

struct HostAndPort {
  std::string_view host;  // with its brackets, without a final dot
  std::string_view port;  // "" for the scheme's own
};

HostAndPort take_apart(std::string_view authority, std::string_view scheme) noexcept {
  HostAndPort parts{authority, {}};
  const auto colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
    parts.host = authority.substr(0, colon);
    parts.port = authority.substr(colon + 1);
    const std::string_view own = iequals(scheme, "https") ? "443" : "80";
    if (parts.port == own) parts.port = {};
  }
  if (parts.host.size() > 1 && parts.host.ends_with('.')) parts.host.remove_suffix(1);
  return parts;
}

bool letter_or_digit(char c) noexcept {
  const char lower = ascii_lower(c);
  return ascii_digit(c) || (lower >= 'a' && lower <= 'z');
}

}  // namespace

bool same_host(std::string_view a, std::string_view b, std::string_view scheme) noexcept {
  if (a == b) return true;  // the usual case
  const HostAndPort left = take_apart(a, scheme);
  const HostAndPort right = take_apart(b, scheme);
  return iequals(left.host, right.host) && left.port == right.port;
}

bool looks_like(std::string_view name, std::string_view known) noexcept {
  if (name.size() != known.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool plain = letter_or_digit(name[i]);
    if (plain != letter_or_digit(known[i])) return false;
    if (plain && ascii_lower(name[i]) != known[i]) return false;
  }
  return true;
}

bool may_be_trailer(std::string_view name) noexcept {
  return !looks_like(name, "content-length") && !looks_like(name, "transfer-encoding") &&
         !iequals(name, "host") && !looks_like(name, kClientId);
}

void strip_trailers(HeaderMap& trailers) noexcept {
  for (std::size_t i = trailers.size(); i-- > 0;) {
    if (!may_be_trailer(trailers[i].name)) trailers.remove_at(i);
  }
}

void remove_look_alikes(HeaderMap& headers, std::string_view known) noexcept {
  for (std::size_t i = headers.size(); i-- > 0;) {
    if (looks_like(headers[i].name, known)) headers.remove_at(i);
  }
}

}  // namespace tulle::http
