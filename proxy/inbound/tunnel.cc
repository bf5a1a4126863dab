// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/tunnel.h"

namespace tulle::proxy {

Tunnel::Tunnel(net::StreamPtr inner, const InboundSession& session, http::RequestHead head)
    : inner_(std::move(inner)),
      worker_(session.worker),
      target_(session.target),
      port_(session.port),
      peer_(session.peer),
      head_(std::move(head)),
      recheck_([this](const ServerPolicyPtr& policy) { recheck(*policy); }) {
  port_.listen(&recheck_);
  recheck(*port_.get());  // it may have changed while the application was asked
}

void Tunnel::recheck(const ServerPolicy& policy) {
  if (ended_) return;
  if (policy.invalid.empty()) {
    const std::optional<Found> found = find_inbound_route(policy, head_, peer_);
    if (found && find_permit(policy.routes[found->route].authorizations, peer_) != nullptr) return;
  }
  ended_ = true;
  const net::SocketAddr named = worker_.named(target_);
  metrics::Labels labels = target_labels(named);
  labels.append(server_labels(policy.meta, named.port)).append(peer_labels(peer_));
  worker_.metrics().tcp_authz_terminate.get(labels)->add();
  worker_.log().info("Tunnel ended by policy", {{"client", peer_.addr.to_string()},
                                                {"target", target_.to_string()},
                                                {"server", policy.meta.name}});
  inner_->abort();
}

}  // namespace tulle::proxy
