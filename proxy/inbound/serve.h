// SPDX-License-Identifier: Apache-2.0
// The inbound path: one accepted connection from a peer to the local application
// (docs/reference/proxy.md §2).
#pragma once

#include <memory>

#include "lib/net/socket.h"
#include "lib/net/task.h"

namespace tulle::proxy {

class Worker;

// Serves one connection to its end. Failures are counted, never thrown.
net::Task<void> serve_inbound(Worker& worker, net::Accepted accepted);

}  // namespace tulle::proxy
