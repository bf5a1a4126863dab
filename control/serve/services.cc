// SPDX-License-Identifier: Apache-2.0
#include "control/serve/services.h"

#include "control/destination/endpoints.h"
#include "control/destination/profile.h"
#include "control/policy/inbound.h"
#include "control/policy/outbound.h"
#include "control/serve/follow.h"

namespace tulle::control {
namespace {

struct ComputeProfile {
  const MeshConfig& config;
  ProfileQuery query;
  auto operator()(const View& view) const { return profile_of(view, config, query); }
};
struct ComputeServer {
  const MeshConfig& config;
  PortQuery query;
  auto operator()(const View& view) const { return server_of(view, config, query); }
};
struct ComputeOutbound {
  const MeshConfig& config;
  TrafficQuery query;
  auto operator()(const View& view) const { return outbound_policy_of(view, config, query); }
};

// As look() in follow.h, for a stream of changes.
std::optional<grpc::Status> send_endpoints(const MeshConfig& config, Index& index,
                                           const EndpointQuery& query, IndexWatch& watch,
                                           EndpointStream& stream,
                                           grpc::ServerStream<pb::destination::Update>& out) {
  TopicSet seen;
  const auto now = endpoints_of(View(index, &seen), config, query);
  watch.watch(seen);
  if (!now) return stream.answered() ? std::nullopt : std::optional(now.status());
  for (const pb::destination::Update& update : stream.next(*now)) {
    if (!out.send_now(update)) return grpc::Status{};
  }
  return std::nullopt;
}

}  // namespace

void DestinationService::add_to(grpc::Server& server) {
  using Api = pb::destination::Destination;
  grpc::add_stream<Api::Get>(server, *this, &DestinationService::get);
  grpc::add_stream<Api::GetProfile>(server, *this, &DestinationService::get_profile);
}

net::Task<grpc::Status> DestinationService::get(grpc::ServerCall& call,
                                                pb::destination::GetDestination request,
                                                grpc::ServerStream<pb::destination::Update> out) {
  const auto query = parse_endpoint_query(request, config_);
  if (!query) co_return query.status();
  IndexWatch watch(index_, call.loop());
  EndpointStream stream;
  for (;;) {
    const bool there = co_await call.ready();
    if (!there) co_return grpc::Status{};
    std::optional<grpc::Status> end = send_endpoints(config_, index_, *query, watch, stream, out);
    if (end) co_return *std::move(end);
    co_await watch.changed();
  }
}

net::Task<grpc::Status> DestinationService::get_profile(
    grpc::ServerCall& call, pb::destination::GetDestination request,
    grpc::ServerStream<pb::destination::DestinationProfile>) {
  auto query = parse_profile_query(request, config_);
  if (!query) co_return query.status();
  ComputeProfile compute{config_, *std::move(query)};
  co_return co_await follow(call, index_, std::move(compute));
}

void PolicyService::add_to(grpc::Server& server) {
  using Inbound = pb::inbound::InboundServerPolicies;
  using Outbound = pb::outbound::OutboundPolicies;
  grpc::add_unary<Inbound::GetPort>(server, *this, &PolicyService::get_port);
  grpc::add_stream<Inbound::WatchPort>(server, *this, &PolicyService::watch_port);
  grpc::add_unary<Outbound::Get>(server, *this, &PolicyService::get);
  grpc::add_stream<Outbound::Watch>(server, *this, &PolicyService::watch);
}

net::Task<grpc::StatusOr<pb::inbound::Server>> PolicyService::get_port(
    grpc::ServerCall&, pb::inbound::PortSpec request) {
  const auto query = parse_port_query(request);
  if (!query) co_return query.status();
  co_return server_of(View(index_), config_, *query);
}

net::Task<grpc::Status> PolicyService::watch_port(grpc::ServerCall& call,
                                                  pb::inbound::PortSpec request,
                                                  grpc::ServerStream<pb::inbound::Server>) {
  auto query = parse_port_query(request);
  if (!query) co_return query.status();
  ComputeServer compute{config_, *std::move(query)};
  co_return co_await follow(call, index_, std::move(compute));
}

net::Task<grpc::StatusOr<pb::outbound::OutboundPolicy>> PolicyService::get(
    grpc::ServerCall&, pb::outbound::TrafficSpec request) {
  const auto query = parse_traffic_query(request, config_);
  if (!query) co_return query.status();
  co_return outbound_policy_of(View(index_), config_, *query);
}

net::Task<grpc::Status> PolicyService::watch(grpc::ServerCall& call,
                                             pb::outbound::TrafficSpec request,
                                             grpc::ServerStream<pb::outbound::OutboundPolicy>) {
  auto query = parse_traffic_query(request, config_);
  if (!query) co_return query.status();
  ComputeOutbound compute{config_, *std::move(query)};
  co_return co_await follow(call, index_, std::move(compute));
}

}  // namespace tulle::control
