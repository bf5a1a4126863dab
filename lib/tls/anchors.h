// SPDX-License-Identifier: Apache-2.0
// Which new trust anchors may be believed: those for which a trusted one vouches, by having signed
// their name and key (a bridge, cross-signed). A holder of an issuer of the trusted ones
// cannot make that.
#pragma once

#include <vector>

#include "lib/tls/cert.h"

namespace tulle::tls {

// Is it in the name of its own signer? A bridge is not: it is offered for what it says, not as an
// anchor of its own.
bool is_self_issued(const Certificate& anchor);

// Those of `offered` that are `trusted`, or that a chain of bridges leads to from a trusted one:
// each bridge signed by an anchor itself, never by an issuer below it, and valid now. A bridge may
// stand among `bridges` or be offered itself. Where none of `offered` is left: `trusted`, as it is.
std::vector<Certificate> vouched_anchors(const std::vector<Certificate>& offered,
                                         const std::vector<Certificate>& bridges,
                                         const std::vector<Certificate>& trusted);

}  // namespace tulle::tls
