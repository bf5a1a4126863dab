// SPDX-License-Identifier: Apache-2.0
// Fields that belong to one connection and are not passed on (RFC 9110 §7.6.1,
// docs/reference/proxy.md §2.6).
#pragma once

#include "lib/http/header_map.h"

namespace tulle::http1 {

// Removes connection and every field it names, keep-alive, proxy-connection, upgrade, and te other
// than trailers. `keep_upgrade` keeps an upgrade that is to be passed on (connection is then just
// "upgrade").
void strip_hop_headers(http::HeaderMap& headers, bool keep_upgrade);

}  // namespace tulle::http1
