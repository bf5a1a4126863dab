// SPDX-License-Identifier: Apache-2.0
#include "control/serve/services.h"

#include "control/destination/endpoints.h"
#include "control/destination/profile.h"
#include "control/policy/inbound.h"
#include "control/policy/outbound.h"
#include "control/serve/follow.h"

namespace tulle::control {
namespace {

// A Follower as Replacing in follow.h, for a stream of changes.
class FollowEndpoints {
 public:
  FollowEndpoints(const MeshConfig& config, EndpointQuery query)
      : config_(config), query_(std::move(query)) {}

  std::optional<grpc::Status> look(grpc::ServerCall& call, Index& index, IndexWatch& watch) {
    TopicSet seen;
    const auto now = endpoints_of(View(index, &seen), config_, query_);
    watch.watch(seen);
    if (!now) return stream_.answered() ? std::nullopt : std::optional(now.status());
    for (const pb::destination::Update& update : stream_.next(*now)) {
      if (!call.send_frame(as_bytes(grpc::frame_message(update)))) return grpc::Status{};
    }
    return std::nullopt;
  }

 private:
  const MeshConfig& config_;
  EndpointQuery query_;
  EndpointStream stream_;
};

grpc::StatusOr<PortQuery> parse_port(const pb::inbound::PortSpec& request, const MeshConfig&) {
  return parse_port_query(request);
}

}  // namespace

void DestinationService::add_to(grpc::Server& server) {
  using Api = pb::destination::Destination;
  add_following<Api::Get, FollowEndpoints>(server, index_, config_, &parse_endpoint_query);
  add_following<Api::GetProfile, Replacing<ProfileQuery, &profile_of>>(server, index_, config_,
                                                                       &parse_profile_query);
}

void PolicyService::add_to(grpc::Server& server) {
  using Inbound = pb::inbound::InboundServerPolicies;
  using Outbound = pb::outbound::OutboundPolicies;
  grpc::add_unary<Inbound::GetPort>(server, *this, &PolicyService::get_port);
  add_following<Inbound::WatchPort, Replacing<PortQuery, &server_of>>(server, index_, config_,
                                                                      &parse_port);
  grpc::add_unary<Outbound::Get>(server, *this, &PolicyService::get);
  add_following<Outbound::Watch, Replacing<TrafficQuery, &outbound_policy_of>>(
      server, index_, config_, &parse_traffic_query);
}

net::Task<grpc::StatusOr<pb::inbound::Server>> PolicyService::get_port(
    grpc::ServerCall&, pb::inbound::PortSpec request) {
  const auto query = parse_port_query(request);
  if (!query) co_return query.status();
  co_return server_of(View(index_), config_, *query);
}

net::Task<grpc::StatusOr<pb::outbound::OutboundPolicy>> PolicyService::get(
    grpc::ServerCall&, pb::outbound::TrafficSpec request) {
  const auto query = parse_traffic_query(request, config_);
  if (!query) co_return query.status();
  co_return outbound_policy_of(View(index_), config_, *query);
}

}  // namespace tulle::control
