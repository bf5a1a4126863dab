// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/tunnel.h"

#include <algorithm>

namespace tulle::proxy {
namespace {

constexpr std::size_t kMostCarried = std::size_t{64} * 1024;  // not yet taken by the client
constexpr std::uint32_t kCancel = 8;                          // RFC 9113 §7

// Wakes whoever carries a body: the application has sent something, the client has taken something.
class Carried final : public http::BodyListener, public http::BodyProducer {
 public:
  explicit Carried(net::Loop& loop) : news(loop) {}
  void on_body_changed() override { news.notify_all(); }
  void on_consumed(std::size_t /*n*/) override { news.notify_all(); }
  void on_abandoned() override { news.notify_all(); }
  net::Signal news;
};

// Hands on what is there; true once that was all.
bool carry_some(http::BodyReader& from, http::BodyWriter& to) {
  while (!from.data().empty() && to.buffered() < kMostCarried) {
    const Bytes data = from.data();
    const std::size_t n = std::min(data.size(), kMostCarried - to.buffered());
    to.write(data.first(n));
    from.consume(n);
  }
  if (!from.data().empty()) return false;
  if (from.failure() != nullptr) {
    to.fail(*from.failure());
    return true;
  }
  if (!from.ended()) return false;
  to.finish(std::move(from.trailers()));
  return true;
}

}  // namespace

HeldToPolicy::HeldToPolicy(const InboundSession& session, http::RequestHead head,
                           std::function<void()> end)
    : worker_(session.worker),
      target_(session.target),
      port_(session.port),
      peer_(session.peer),
      head_(std::move(head)),
      end_(std::move(end)),
      recheck_([this](const ServerPolicyPtr& policy) { recheck(*policy); }) {
  port_.listen(&recheck_);
  recheck(*port_.get());  // it may have changed while the application was asked
}

void HeldToPolicy::recheck(const ServerPolicy& policy) {
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
  end_();
}

Tunnel::Tunnel(net::StreamPtr inner, const InboundSession& session, http::RequestHead head)
    : inner_(std::move(inner)), held_(session, std::move(head), [this] { inner_->abort(); }) {}

net::Task<void> carry_tunnel(const InboundSession& session, http::RequestHead head,
                             http::BodyReader from, http::BodyWriter to) {
  Carried carried(session.worker.loop());
  std::function<void()> wake = [&carried] { carried.news.notify_all(); };
  const HeldToPolicy held(session, std::move(head), std::move(wake));
  from.listen(&carried);
  to.set_producer(&carried);
  bool done = false;
  while (!done && !held.ended() && !to.abandoned()) {
    done = carry_some(from, to);
    if (done) break;
    [[maybe_unused]] const bool told = co_await carried.news.wait();
  }
  if (held.ended() && !done) to.fail({Errc::Reset, "ended by policy", 0, kCancel});
  to.set_producer(nullptr);
  from.listen(nullptr);
}

}  // namespace tulle::proxy
