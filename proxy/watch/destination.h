// SPDX-License-Identifier: Apache-2.0
// Watches of endpoints (Destination.Get), published as whole sets. Known endpoints survive an
// outage: the first answer of a new stream replaces them (docs/reference/wire-api.md §5.2).
#pragma once

#include "proxy/snapshot/endpoint_info.h"
#include "proxy/watch/policies.h"

namespace tulle::proxy {

using PublishEndpoints = std::function<void(std::shared_ptr<const EndpointSet>)>;
net::Task<void> watch_endpoints(WatchParts parts, EndpointKey key, PublishEndpoints publish);

}  // namespace tulle::proxy
