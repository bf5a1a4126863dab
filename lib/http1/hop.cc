// SPDX-License-Identifier: Apache-2.0
#include "lib/http1/hop.h"

#include <algorithm>
#include <string>
#include <vector>

#include "lib/base/text.h"

namespace tulle::http1 {
namespace {

// Could that be one of the names below?
bool may_be_hop_header(std::string_view name) noexcept {
  const auto begins = [name](char c) { return (name.front() | 0x20) == c; };
  switch (name.size()) {
    case 2: return begins('t');                  // te
    case 7: return begins('u');                  // upgrade
    case 10: return begins('c') || begins('k');  // connection, keep-alive
    case 14: return begins('h');                 // http2-settings
    case 16: return begins('p');                 // proxy-connection
    default: return false;
  }
}
// Most messages have none of them, and one look is enough.
bool may_have_hop_headers(const http::HeaderMap& headers) noexcept {
  for (const auto field : headers) {
    if (may_be_hop_header(field.name)) return true;
  }
  return false;
}

}  // namespace

void strip_hop_headers(http::HeaderMap& headers, bool keep_upgrade) {
  if (!may_have_hop_headers(headers)) return;
  if (const auto connection = headers.get("connection")) {
    std::vector<std::string> named;
    for (const auto field : headers) {
      if (!iequals(field.name, "connection")) continue;
      for (std::string_view rest = field.value; !rest.empty();) {
        const std::string_view name = trim(rest.substr(0, rest.find(',')));
        rest.remove_prefix(std::min(rest.find(','), rest.size() - 1) + 1);
        if (name.empty() || iequals(name, "close") || iequals(name, "keep-alive")) continue;
        // Framing and routing are never removed on a client's word.
        if (iequals(name, "host") || iequals(name, "content-length") ||
            iequals(name, "transfer-encoding"))
          continue;
        if (keep_upgrade && iequals(name, "upgrade")) continue;
        named.emplace_back(name);
      }
    }
    for (const std::string& name : named) headers.remove(name);
    headers.remove("connection");
  }
  headers.remove("keep-alive");
  headers.remove("proxy-connection");
  if (const auto te = headers.get("te"); te && !iequals(trim(*te), "trailers"))
    headers.remove("te");
  if (!keep_upgrade) {
    headers.remove("upgrade");
    headers.remove("http2-settings");
  } else if (headers.contains("upgrade")) {
    headers.add("connection", "upgrade");
  }
}

}  // namespace tulle::http1
