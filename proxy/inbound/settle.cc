// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/settle.h"

#include "lib/base/text.h"
#include "lib/http/host.h"
#include "lib/http1/codec.h"
#include "lib/http1/hop.h"

namespace tulle::proxy {
namespace {

// An application that knows headers as variables would take `Transfer_Encoding` for what frames the
// body, and both spellings for one field.
void remove_look_alikes_of_framing(http::HeaderMap& headers) {
  constexpr std::string_view kFraming[] = {"content-length", "transfer-encoding"};
  for (std::size_t i = headers.size(); i-- > 0;) {
    for (const std::string_view known : kFraming) {
      const std::string_view name = headers[i].name;
      if (!http::looks_like(name, known) || iequals(name, known)) continue;
      headers.remove_at(i);
      break;
    }
  }
}

}  // namespace

Result<void> settle_request(http::Request& request, const Downgrade& downgrade) {
  const bool http1 = request.version != http::Version::Http2;
  if (http1) http1::strip_hop_headers(request.headers, request.wants_upgrade);
  http::remove_look_alikes(request.headers, http::kClientId);
  remove_look_alikes_of_framing(request.headers);
  if (downgrade.done && request.method == "CONNECT")
    return Error{Errc::Invalid, "CONNECT cannot be carried in HTTP/2"};
  const Result<void> host = http1::settle_host(request);
  // What came as HTTP/1 has been through the parser.
  if (!host || !downgrade.done) return host;
  return http1::check_request(request);
}

void add_ours(http::Request& request, const Downgrade& downgrade, std::string_view identity) {
  http::remove_look_alikes(request.headers, http::kClientId);  // policy may have added one
  if (!identity.empty()) request.headers.add(http::kClientId, identity);
  if (downgrade.done && !request.authority.empty() && !request.headers.contains("host"))
    request.headers.add("host", request.authority);
}

}  // namespace tulle::proxy
