// SPDX-License-Identifier: Apache-2.0
// Accounts for one response: latency to the first body frame (or the end), success or failure when
// its stream ends (docs/reference/proxy.md §6.1, classification §3.8). Rides on the body as its
// observer.
#pragma once

#include <memory>

#include "lib/http/message.h"
#include "proxy/endpoint/balancer.h"
#include "proxy/observe/metrics.h"
#include "proxy/observe/route_metrics.h"

namespace tulle::proxy {

struct ResponseAccount {
  std::shared_ptr<EndpointMetrics> endpoint;
  TimePoint started;
  bool grpc = false;
  Balancer::Lease lease =
      {};  // may be empty; released, with its latency sample, at the first body frame or the end
  RouteSpan routes = {};
};
void account_response(net::Loop& loop, ResponseAccount account, http::Response& response);
// A request that got no response.
void account_failure(EndpointMetrics& metrics, const Error& error);

// gRPC codes that count as failure: 2, 4, 7, 13, 14, 15.
bool grpc_failure(unsigned code) noexcept;

// The weight that a failing response adds to the load of its endpoint (docs/reference/proxy.md
// §3.7, PenaltyPeakEwma); zero when it is no failure or the balancer does not penalize. `now` reads
// dates in Retry-After.
Duration load_penalty(const EwmaOptions& options, const http::ResponseHead& response, bool grpc,
                      WallTime now);

}  // namespace tulle::proxy
