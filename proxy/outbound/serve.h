// SPDX-License-Identifier: Apache-2.0
// The outbound path: one connection of the local application to whatever it wanted
// (docs/reference/proxy.md §3).
#pragma once

#include "lib/net/socket.h"
#include "lib/net/task.h"

namespace tulle::proxy {

class Worker;

net::Task<void> serve_outbound(Worker& worker, net::Accepted accepted);

}  // namespace tulle::proxy
