// SPDX-License-Identifier: Apache-2.0
// Between credentials.cc and engine.cc only: the hooks that sessions need in their SSL_CTX.
#pragma once

struct ssl_ctx_st;

namespace tulle::tls::session {

// Installs certificate verification, choice by SNI, ALPN selection, and who hears of alerts.
void configure(ssl_ctx_st* context);

}  // namespace tulle::tls::session
