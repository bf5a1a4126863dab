// SPDX-License-Identifier: Apache-2.0
// Connections addressed to the inbound port itself: mesh TLS with a transport header that names the
// port and the protocol (docs/reference/proxy.md §2.4).
#pragma once

#include "proxy/inbound/session.h"
#include "proxy/protocol/detect.h"

namespace tulle::proxy {

net::Task<void> serve_direct(Worker& worker, net::SocketAddr target, net::SocketAddr client,
                             std::unique_ptr<CountedStream> stream, CountedStream& source);

// From the header on: `said` is what it says of the protocol.
net::Task<void> serve_as_said(InboundSession session, Session said);

// inbound/serve.cc: from a known peer on, for both ways in.
net::Task<void> serve_secured(InboundSession session, net::StreamPtr dialled);
void source_gone(Worker& worker, const net::SocketAddr& target, const Error& error);

}  // namespace tulle::proxy
