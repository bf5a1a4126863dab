// SPDX-License-Identifier: Apache-2.0
// Between credentials.cc and stream.cc only: the hooks that a session needs in its SSL_CTX.
#pragma once

#include <string>

#include "lib/base/result.h"
#include "lib/tls/cert.h"

struct ssl_ctx_st;
struct ssl_st;

namespace tulle::tls::session {

// Installs certificate verification and ALPN selection.
void configure(ssl_ctx_st* context);
// The identity of a verified peer; Unauthenticated if the session expects another one.
Result<std::string> identity_for(ssl_st* ssl, const Certificate& leaf);

}  // namespace tulle::tls::session
