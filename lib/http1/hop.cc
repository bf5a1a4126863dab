// SPDX-License-Identifier: Apache-2.0
#include "lib/http1/hop.h"

#include <algorithm>
#include <string>
#include <vector>

#include "lib/base/text.h"

namespace tulle::http1 {

void strip_hop_headers(http::HeaderMap& headers, bool keep_upgrade) {
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
