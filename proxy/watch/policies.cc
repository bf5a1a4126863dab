// SPDX-License-Identifier: Apache-2.0
#include "proxy/watch/policies.h"

#include <algorithm>

namespace tulle::proxy {
namespace {

using GetProfile = pb::destination::Destination::GetProfile;
using WatchPolicy = pb::outbound::OutboundPolicies::Watch;
using WatchPort = pb::inbound::InboundServerPolicies::WatchPort;

// What a profile says that matters here; by default there is none.
struct Profile {
  bool opaque = false;
  EndpointPtr endpoint;
};

Profile profile_from(const pb::destination::DestinationProfile& from,
                     const Unsupported& unsupported) {
  if (!from.fully_qualified_name.empty() && (!from.routes.empty() || !from.dst_overrides.empty())) {
    unsupported("service profiles");
  }
  return {from.opaque_protocol, from.endpoint ? endpoint_from(*from.endpoint, {}) : nullptr};
}

// What is known of one target; published when both halves have answered.
struct TargetState {
  std::optional<Profile> profile;
  std::optional<ClientPolicyPtr> policy;  // null: none was found
  ClientPolicyPtr combined(const net::SocketAddr& target) const;
};

// docs/reference/proxy.md §3.2: precedence of profile and policy.
ClientPolicyPtr TargetState::combined(const net::SocketAddr& target) const {
  const bool opaque = profile->opaque;
  if (*policy == nullptr) {
    if (profile->endpoint) return forward_policy(profile->endpoint, "endpoint", opaque);
    auto bare = std::make_shared<EndpointInfo>();
    bare->addr = target;
    return forward_policy(std::move(bare), "fallback", opaque);
  }
  if (!opaque || (*policy)->protocol == ClientPolicy::Protocol::Opaque ||
      !(*policy)->invalid.empty())
    return *policy;
  auto forced = std::make_shared<ClientPolicy>(**policy);
  forced->protocol = ClientPolicy::Protocol::Opaque;
  if (!forced->opaque) {
    // An HTTP policy whose port is opaque: its first backends carry the bytes.
    const auto& routes = forced->http1.empty() ? forced->http2 : forced->http1;
    if (!routes.empty() && !routes.front().rules.empty()) {
      OpaqueRule rule;
      rule.meta = routes.front().meta;
      rule.distribution = routes.front().rules.front().distribution;
      forced->opaque = std::move(rule);
    }
  }
  return forced;
}

bool contains(const std::vector<net::Cidr>& networks, const net::IpAddr& ip) {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const net::Cidr& net) { return net.contains(ip); });
}

void publish_if_known(TargetState& state, const net::SocketAddr& target,
                      const PublishClient& publish) {
  if (state.profile && state.policy) publish(state.combined(target));
}

net::Task<void> follow_profile(WatchParts parts, net::SocketAddr target, TargetState& state,
                               const PublishClient& publish) {
  pb::destination::GetDestination request;
  request.path = target.to_string();
  request.context_token = parts.config.destination_context;
  const auto on_message = [&](const pb::destination::DestinationProfile& profile) {
    state.profile = profile_from(profile, parts.unsupported);
    publish_if_known(state, target, publish);
  };
  const StreamLimits limits = stream_limits(parts.config, parts.config.destination);
  const std::vector<grpc::Code> terminal = {grpc::Code::InvalidArgument,
                                            grpc::Code::FailedPrecondition};
  const grpc::Status ended =
      co_await watch_stream<GetProfile>(parts, limits, std::move(request), terminal, on_message);
  state.profile.emplace();
  publish_if_known(state, target, publish);
}

// A task of its own: most targets that are no Service have no policy, and what asked for it is not
// kept.
net::Task<void> follow_policy(WatchParts parts, net::SocketAddr target, TargetState& state,
                              const PublishClient& publish) {
  pb::outbound::TrafficSpec request;
  request.source_workload = parts.config.policy_workload;
  request.target_case = pb::outbound::TrafficSpec::TargetCase::addr;
  request.addr = address_to(target);
  const auto on_message = [&](const pb::outbound::OutboundPolicy& policy) {
    ClientPolicyPtr converted = client_policy_from(policy, parts.unsupported);
    if (!converted->invalid.empty()) {
      parts.log.error("the policy of a target cannot be used",
                      {{"target", target.to_string()}, {"reason", converted->invalid}});
    }
    state.policy.emplace(std::move(converted));
    publish_if_known(state, target, publish);
  };
  const StreamLimits limits = stream_limits(parts.config, parts.config.policy);
  const std::vector<grpc::Code> terminal = {grpc::Code::InvalidArgument,
                                            grpc::Code::FailedPrecondition, grpc::Code::NotFound,
                                            grpc::Code::Unimplemented};
  const grpc::Status ended =
      co_await watch_stream<WatchPolicy>(parts, limits, std::move(request), terminal, on_message);
  if (ended.code == grpc::Code::NotFound || ended.code == grpc::Code::Unimplemented) {
    state.policy.emplace(nullptr);
  } else {
    state.policy.emplace(
        invalid_client_policy("the control plane refused the target: " + ended.message));
  }
  publish_if_known(state, target, publish);
}

PodLife life_from(const pb::inbound::Life& life) {
  using From = pb::inbound::Life::Sidecar;
  using To = PodLife::Sidecar;
  return {life.sidecar == From::CLASSIC  ? To::Classic
          : life.sidecar == From::NATIVE ? To::Native
                                         : To::Unknown,
          life.application_ended};
}

}  // namespace

StreamLimits stream_limits(const Config& config, const ControlService& service) {
  if (service.name.empty()) return {};
  return {config.stream_initial, config.stream_idle, config.stream_lifetime};
}

net::Task<void> watch_server_policy(WatchParts parts, std::uint16_t port, PublishServer publish,
                                    TellLife tell_life) {
  pb::inbound::PortSpec request;
  request.workload = parts.config.policy_workload;
  request.port = port;
  request.wants_life = tell_life != nullptr;
  ServerPolicyPtr last;
  const auto on_message = [&](const pb::inbound::Server& server) {
    if (tell_life && server.life) tell_life(life_from(*server.life));
    last = server_policy_from(server, last.get(), parts.unsupported);
    if (!last->invalid.empty()) {
      parts.log.error("the policy of a port cannot be used",
                      {{"port", static_cast<int>(port)}, {"reason", last->invalid}});
    }
    publish(last);
  };
  const StreamLimits limits = stream_limits(parts.config, parts.config.policy);
  const std::vector<grpc::Code> terminal = {grpc::Code::InvalidArgument,
                                            grpc::Code::FailedPrecondition};
  const grpc::Status ended =
      co_await watch_stream<WatchPort>(parts, limits, std::move(request), terminal, on_message);
  parts.log.warn("the control plane refuses to tell the policy of a port; it stays as it is",
                 {{"port", static_cast<int>(port)},
                  {"code", grpc::to_string(ended.code)},
                  {"message", ended.message}});
}

net::Task<void> watch_client_policy(WatchParts parts, ControlClient& profiles,
                                    net::SocketAddr target, PublishClient publish) {
  TargetState state;
  net::TaskScope scope;
  if (contains(parts.config.profile_networks, target.ip)) {
    const WatchParts with{parts.config, profiles, parts.metrics, parts.log, parts.unsupported};
    scope.spawn(follow_profile(with, target, state, publish));
  } else {
    state.profile.emplace();
  }
  co_await follow_policy(parts, target, state, publish);
  co_await scope.join();
}

}  // namespace tulle::proxy
