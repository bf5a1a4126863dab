// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker.h"

#include <algorithm>

#include "proxy/inbound/local_target.h"

namespace tulle::proxy {
namespace {

constexpr Duration kSweepEvery = 5s;

BalancerOptions balancer_options(const Config& config, const EwmaOptions& load) {
  BalancerOptions options;
  options.load = load;
  options.failfast = config.outbound.failfast_timeout;
  options.queue_capacity = config.outbound.queue_capacity;
  return options;
}

}  // namespace

BalancedBackend::BalancedBackend(Worker& worker, std::string path, const EwmaOptions& load)
    : path_(std::move(path)),
      balancer_(worker.loop(), worker, balancer_options(worker.config(), load), worker.random().next()),
      endpoints_(worker.endpoint_sets().acquire(path_)),
      on_change_([this](const std::shared_ptr<const EndpointSet>& set) { balancer_.update(*set); }) {
  if (endpoints_.get()) balancer_.update(*endpoints_.get());
  endpoints_.listen(&on_change_);
}

BalancedBackend::~BalancedBackend() { endpoints_.unlisten(&on_change_); }

// Lets go of balancers, endpoints and targets that nothing has used for a while.
class Worker::Sweep final : public net::Timer {
 public:
  explicit Sweep(Worker& worker) : worker_(worker) { again(); }
  void fire() override {
    worker_.sweep();
    again();
  }

 private:
  void again() { worker_.loop().arm(*this, worker_.loop().now() + kSweepEvery); }
  Worker& worker_;
};

Worker::Worker(const WorkloadParts& parts, net::Loop& loop, std::uint64_t seed)
    : parts_(parts),
      loop_(loop),
      random_(seed),
      learned_(parts.wide.learned),
      server_policies_(loop, parts.server_policies, parts.config.inbound.discovery_idle,
                       [&config = parts.config](const std::uint16_t& port) {
                         return default_server_policy(config, port);
                       }),
      client_policies_(loop, parts.client_policies, parts.config.outbound.discovery_idle),
      endpoint_sets_(loop, parts.endpoints, parts.config.outbound.discovery_idle),
      inbound_targets_(std::make_unique<InboundTargets>(*this)),
      sweep_(std::make_unique<Sweep>(*this)) {}

Worker::~Worker() = default;

bool Worker::owns(const net::IpAddr& ip) const noexcept {
  return parts_.config.inbound_ips.empty() || is_own(ip) || ip.is_loopback();
}
bool Worker::is_own(const net::IpAddr& ip) const noexcept {
  const auto& ips = parts_.config.inbound_ips;
  return std::find(ips.begin(), ips.end(), ip) != ips.end();
}

std::shared_ptr<BalancedBackend> Worker::balanced(const std::string& path, const EwmaOptions& load) {
  auto& kept = balanced_[{path, load.penalize}];
  if (!kept.value) kept.value = std::make_shared<BalancedBackend>(*this, path, load);
  kept.used = loop_.now();
  return kept.value;
}

std::shared_ptr<Endpoint> Worker::forward(const EndpointPtr& info) {
  auto& kept = forwards_[info->addr];
  if (!kept.value || !(kept.value->info() == *info)) kept.value = std::make_shared<Endpoint>(*this, info);
  kept.used = loop_.now();
  return kept.value;
}

std::shared_ptr<Endpoint> Worker::make_endpoint(const EndpointPtr& info) {
  return std::make_shared<Endpoint>(*this, info);
}

void Worker::fold_accounts() {
  accounts_.for_each([](Account& account) { account.fold(); });
}

void Worker::sweep() {
  const TimePoint now = loop_.now();
  const Duration idle = parts_.config.outbound.discovery_idle;
  const auto forget_stale = [&](auto& kept) {
    for (auto at = kept.begin(); at != kept.end();) {
      if (at->second.value.use_count() > 1) at->second.used = now;
      at = now - at->second.used >= idle ? kept.erase(at) : std::next(at);
    }
  };
  forget_stale(balanced_);
  forget_stale(forwards_);
  inbound_targets_->sweep();
}

}  // namespace tulle::proxy
