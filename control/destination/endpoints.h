// SPDX-License-Identifier: Apache-2.0
// Endpoints of a Service as one client sees them, and the changes from one state to the next
// (docs/reference/control-plane.md §5.3, docs/reference/wire-api.md §5.2). Plain functions over the
// index: no sockets, no waiting.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/digest.h"
#include "control/index/index.h"
#include "control/names.h"
#include "lib/grpc/status.h"
#include "proto/destination.pb.h"

namespace tulle::control {

// A request for endpoints, understood.
struct EndpointQuery {
  ServiceName service;
  std::uint16_t port = 80;
  ClientContext client;
  // The family to keep to while it has endpoints; unset: one address a pod, IPv6 if it may be used.
  enum class Family : std::uint8_t { Unset, V4, V6 };
  Family family = Family::Unset;
};
grpc::StatusOr<EndpointQuery> parse_endpoint_query(const pb::destination::GetDestination& request,
                                                   const MeshConfig& config);

struct EndpointSet {
  bool exists = false;  // the Service is known
  std::map<net::SocketAddr, pb::destination::WeightedAddr> endpoints;
  std::map<std::string, std::string> labels;  // of all of them
};
// Refuses an ExternalName Service. An unknown Service is an empty set: it may yet come.
grpc::StatusOr<EndpointSet> endpoints_of(const View& view, const MeshConfig& config,
                                         const EndpointQuery& query);

// What a client was sent, and what to send next. The first call gives one message always; a later
// one gives those that lead from the last state to the new one, none if there is no difference.
class EndpointStream {
 public:
  std::vector<pb::destination::Update> next(const EndpointSet& now);
  bool answered() const noexcept { return sent_ != Sent::Nothing; }

 private:
  enum class Sent : std::uint8_t { Nothing, Endpoints, Empty, Unknown };
  Sent sent_ = Sent::Nothing;
  struct Known {
    net::SocketAddr address;
    Digest digest{};  // of what was said about it
  };
  std::vector<Known> known_;  // in the order of addresses
};

}  // namespace tulle::control
