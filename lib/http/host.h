// SPDX-License-Identifier: Apache-2.0
// When two spellings are one thing: hosts of a request, and header names as applications read
// them.
#pragma once

#include <string_view>

#include "lib/http/header_map.h"

namespace tulle::http {

// Do both name the same host and port, for a request of that scheme ("" is http)? Letters have no
// case, a final dot says nothing, and the scheme's own port may be left out. "" is the same as ""
// only.
bool same_host(std::string_view a, std::string_view b, std::string_view scheme) noexcept;

// Would an application that knows headers as variables (CGI, WSGI, Rack: letters without case, and
// whatever is no letter or digit is the same) take `name` for `known`, which is in lower case?
bool looks_like(std::string_view name, std::string_view known) noexcept;
// Removes every field whose name looks like `known`.
void remove_look_alikes(HeaderMap& headers, std::string_view known) noexcept;

// How a proxy tells its application who the client is; only its own word counts.
inline constexpr std::string_view kClientId = "l5d-client-id";
// May a field of that name stand in trailers that are passed on? Who merges trailers into the
// headers must find no framing, host or identity there (RFC 9110 §6.5.1).
bool may_be_trailer(std::string_view name) noexcept;
// Removes those that may not.
void strip_trailers(HeaderMap& trailers) noexcept;

}  // namespace tulle::http
