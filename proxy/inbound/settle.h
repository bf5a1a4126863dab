// SPDX-License-Identifier: Apache-2.0
// A request between the wire and policy: from here on it is what the application will see, so that
// what is matched is what is served.
#pragma once

#include <string_view>

#include "lib/http/message.h"
#include "proxy/protocol/orig_proto.h"

namespace tulle::proxy {

// Takes out what is not passed on and what only we may say (an identity, however it is spelled);
// hop-by-hop fields go first, so that Connection can name nothing that is added later. Error,
// Invalid: the application could read another request than we do (http1::settle_host,
// http1::check_request); answered with 400.
Result<void> settle_request(http::Request& request, const Downgrade& downgrade);
// Adds what is ours, last before the request is sent: who the client is (if it is known), and Host
// where HTTP/2 carried it as :authority.
void add_ours(http::Request& request, const Downgrade& downgrade, std::string_view identity);

}  // namespace tulle::proxy
