// SPDX-License-Identifier: Apache-2.0
// Accounts for one response: latency to the first body frame (or the end), success or failure when its
// stream ends (proxy.md §6.1, classification §3.8). Rides on the body as its observer.
#pragma once

#include <memory>

#include "lib/http/message.h"
#include "proxy/balance/balancer.h"
#include "proxy/observe/metrics.h"

namespace tulle::proxy {

// `lease` (may be empty) is released, with its latency sample, at the first body frame or the end.
void account_response(net::Loop& loop, std::shared_ptr<EndpointMetrics> metrics, TimePoint started,
                      bool grpc, http::Response& response, Balancer::Lease lease = {});
// A request that got no response.
void account_failure(EndpointMetrics& metrics, const Error& error);

// gRPC codes that count as failure: 2, 4, 7, 13, 14, 15.
bool grpc_failure(unsigned code) noexcept;

}  // namespace tulle::proxy
