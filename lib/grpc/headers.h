// SPDX-License-Identifier: Apache-2.0
// The header fields of gRPC (gRPC's PROTOCOL-HTTP2): timeouts, custom metadata, content type.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/base/time.h"
#include "lib/http/header_map.h"

namespace tulle::grpc {

// "application/grpc" and whatever follows it after '+' or ';'.
bool is_grpc_content_type(std::string_view value) noexcept;

// grpc-timeout: 1 to 8 digits and a unit out of H M S m u n. nullopt for anything else; beyond what
// a Duration holds: the largest Duration.
std::optional<Duration> parse_timeout(std::string_view text) noexcept;
// The shortest timeout that is not less and fits into 8 digits; zero and less give "1n".
std::string format_timeout(Duration timeout);

// Custom metadata travels as header fields. A name ends in "-bin" if its values are bytes: they are
// base64 on the wire. Names are lower case; "grpc-" is reserved.
void add_metadata(http::HeaderMap& fields, std::string_view name, std::string_view value);
// The first value of that name, decoded; nullopt if there is none or it is not base64.
std::optional<std::string> get_metadata(const http::HeaderMap& fields, std::string_view name);
// Appends to `to` what of `from` is custom metadata, as it stands.
void copy_metadata(const http::HeaderMap& from, http::HeaderMap& to);

}  // namespace tulle::grpc
