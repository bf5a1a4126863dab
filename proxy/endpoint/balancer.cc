// SPDX-License-Identifier: Apache-2.0
#include "proxy/endpoint/balancer.h"

#include <algorithm>

#include "proxy/endpoint/endpoint.h"

namespace tulle::proxy {

// Shared by the balancer and its leases, so that a lease on a removed endpoint stays valid.
struct Balancer::Lease::Slot {
  Slot(std::shared_ptr<Endpoint> e, net::Loop& l, const EwmaOptions& o)
      : endpoint(std::move(e)), loop(l), options(o), load(o, l.now()) {}
  std::shared_ptr<Endpoint> endpoint;
  net::Loop& loop;
  EwmaOptions options;
  PeakEwma load;
};

namespace {

// Of one backend at a time, while none of its endpoints can be reached.
constexpr int kProbes = 2;

bool reachable(const Balancer::Lease::Slot& slot) noexcept {
  return slot.endpoint->usable() && !slot.endpoint->unreachable();
}

}  // namespace

Balancer::Lease::Lease(std::shared_ptr<Slot> slot) : slot_(std::move(slot)) { slot_->load.began(); }
Balancer::Lease::Lease(Lease&& other) noexcept : slot_(std::move(other.slot_)) {}
Balancer::Lease& Balancer::Lease::operator=(Lease&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}
Balancer::Lease::~Lease() {
  if (slot_) slot_->load.finished();
}
Endpoint& Balancer::Lease::operator*() const noexcept { return *slot_->endpoint; }
Endpoint* Balancer::Lease::operator->() const noexcept { return slot_->endpoint.get(); }
const std::shared_ptr<Endpoint>& Balancer::Lease::endpoint() const noexcept {
  return slot_->endpoint;
}
const EwmaOptions& Balancer::Lease::load_options() const noexcept { return slot_->options; }
void Balancer::Lease::record(Duration rtt) {
  if (slot_) slot_->load.record(rtt, slot_->loop.now(), slot_->options);
}

Balancer::Balancer(net::Loop& loop, EndpointFactory& factory, const BalancerOptions& options,
                   std::uint64_t seed, std::unique_ptr<BalancerMetrics> metrics)
    : loop_(loop),
      factory_(factory),
      options_(options),
      random_(seed),
      changed_(loop),
      metrics_(std::move(metrics)) {
  if (metrics_) metrics_->timeout(options_.requests.failfast);
}

void Balancer::count_connections(std::unique_ptr<BalancerMetrics> metrics, QueueLimits limits,
                                 bool tls) {
  std::unique_ptr<BalancerMetrics>& counted = tls ? tls_ : connections_;
  counted = std::move(metrics);
  counted->timeout(limits.failfast);
  counted->updated(true, false, false);
  fold();
}

void Balancer::gate(bool open) {
  if (metrics_) metrics_->gate(open);
  if (connections_) connections_->gate(open);
  if (tls_) tls_->gate(open);
}

void Balancer::fold() {
  if (!metrics_ && !connections_ && !tls_) return;
  const auto usable = std::count_if(slots_.begin(), slots_.end(),
                                    [](const auto& slot) { return reachable(*slot); });
  for (BalancerMetrics* const each : {metrics_.get(), connections_.get(), tls_.get()}) {
    if (each != nullptr) each->endpoints(static_cast<std::int64_t>(slots_.size()), usable);
  }
}

void Balancer::update(const EndpointSet& set) {
  std::vector<std::shared_ptr<Lease::Slot>> next;
  next.reserve(set.endpoints.size());
  bool added = false;
  bool removed = false;
  for (const EndpointPtr& info : set.endpoints) {
    const auto same = std::find_if(slots_.begin(), slots_.end(), [&](const auto& slot) {
      return slot->endpoint->info().addr == info->addr && slot->endpoint->info() == *info;
    });
    if (same != slots_.end()) {
      next.push_back(*same);
    } else {
      added = true;
      next.push_back(
          std::make_shared<Lease::Slot>(factory_.make_endpoint(info), loop_, options_.load));
    }
  }
  for (const auto& slot : slots_) {
    if (std::find(next.begin(), next.end(), slot) != next.end()) continue;
    removed = true;
    slot->endpoint->drain();
  }
  slots_ = std::move(next);
  for (BalancerMetrics* const each : {metrics_.get(), connections_.get(), tls_.get()}) {
    if (each != nullptr) each->updated(!set_.known, added, removed);
  }
  set_ = set;
  fold();
  // Fail-fast ends with the first endpoint that works, not with one that is due to be tried again.
  if (std::any_of(slots_.begin(), slots_.end(),
                  [](const auto& slot) { return !slot->endpoint->failing(); })) {
    unready_since_ = kNever;
    gate(true);
  }
  changed_.notify_all();
}

bool Balancer::ready() {
  for (const auto& slot : slots_) {
    if (reachable(*slot)) return true;
  }
  int probes = 0;
  for (const auto& slot : slots_) {
    if (slot->endpoint->usable() && ++probes <= kProbes) slot->endpoint->probe();
  }
  return false;
}

bool Balancer::usable_besides(const Endpoint* endpoint) const noexcept {
  return std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) {
    return slot->endpoint.get() != endpoint && reachable(*slot);
  });
}

// Without building a list of them. Those that cannot be reached are often neighbours (the pods of a
// node), so that the first one behind them must not get all their share.
std::shared_ptr<Balancer::Lease::Slot> Balancer::draw(const Lease::Slot* other,
                                                      const Endpoint* avoid, bool only_reachable) {
  constexpr int kTries = 4;
  const auto count = static_cast<std::uint32_t>(slots_.size());
  const auto fits = [&](const std::shared_ptr<Lease::Slot>& slot) {
    return slot.get() != other && slot->endpoint.get() != avoid &&
           (only_reachable ? reachable(*slot) : slot->endpoint->usable());
  };
  std::uint32_t at = 0;
  for (int i = 0; i < kTries; ++i) {
    at = random_.below(count);
    if (fits(slots_[at])) return slots_[at];
  }
  for (std::uint32_t i = 1; i < count; ++i) {
    const auto& slot = slots_[(at + i) % count];
    if (fits(slot)) return slot;
  }
  return nullptr;
}

// Two draws. Those that cannot be reached are left out while there are others (docs/design.md
// §3.17): one that is due is probed, so that no request waits for a dial that most likely fails.
// While none can be reached, requests try them.
std::shared_ptr<Balancer::Lease::Slot> Balancer::choose(const Endpoint* avoid) {
  const auto count = static_cast<std::uint32_t>(slots_.size());
  if (count == 0) return nullptr;
  std::shared_ptr<Lease::Slot> first = draw(nullptr, avoid, true);
  if (!first && avoid != nullptr) first = draw(nullptr, nullptr, true);
  if (!first) {
    first = draw(nullptr, avoid, false);
    if (!first && avoid != nullptr) return draw(nullptr, nullptr, false);
    if (first) return first;
    // All fail. A plain-text endpoint is as ready as it ever is (docs/reference/proxy.md §3.9): the
    // dial tells.
    for (const auto& slot : slots_) {
      if (!slot->endpoint->meshed()) return slot;
    }
    return nullptr;
  }
  if (count == 1) return first;
  // Each pick looks at one endpoint whether it is to be probed: in step with what is asked.
  slots_[random_.below(count)]->endpoint->probe();
  std::shared_ptr<Lease::Slot> second = draw(first.get(), avoid, true);
  if (!second) return first;
  const TimePoint now = loop_.now();
  return second->load.load(now, options_.load) < first->load.load(now, options_.load) ? second
                                                                                      : first;
}

// An endpoint that works ends fail-fast; one that is only due to be tried again does not.
std::shared_ptr<Balancer::Lease::Slot> Balancer::choose_now(const Endpoint* avoid) {
  std::shared_ptr<Lease::Slot> slot = choose(avoid);
  if (slot && !slot->endpoint->failing()) {
    unready_since_ = kNever;
    gate(true);
  }
  return slot;
}

net::Task<Result<Balancer::Lease>> Balancer::pick(const Endpoint* avoid, QueueLimits limits,
                                                  BalancerMetrics* metrics) {
  const TimePoint asked = loop_.now();
  const auto give = [&](std::shared_ptr<Lease::Slot> slot) {
    if (metrics != nullptr) metrics->picked(loop_.now() - asked);
    return Lease{std::move(slot)};
  };
  if (std::shared_ptr<Lease::Slot> slot = choose_now(avoid)) co_return give(std::move(slot));
  const auto why = [this]() -> std::string_view {
    return slots_.empty() ? "no endpoints" : "all endpoints failed";
  };
  if (!set_.failure.empty()) co_return Error{Errc::Unavailable, "discovery failed"};
  if (queued_ >= limits.capacity) co_return Error{Errc::ResourceExhausted, "queue full"};
  if (unready_since_ == kNever) unready_since_ = loop_.now();
  const Deadline by{unready_since_ + limits.failfast};
  if (by.passed(loop_.now())) co_return Error{Errc::ResourceExhausted, why()};
  struct Queued {
    Balancer& balancer;
    BalancerMetrics* metrics;
    Queued(Balancer& b, BalancerMetrics* m) : balancer(b), metrics(m) { change(1); }
    ~Queued() { change(-1); }
    void change(int by) {
      balancer.queued_ = static_cast<std::uint32_t>(static_cast<int>(balancer.queued_) + by);
      if (metrics != nullptr) metrics->queued(by);
    }
  };
  const Queued queued(*this, metrics);
  for (;;) {
    // An endpoint that failed becomes usable again by time alone.
    TimePoint retry = kNever;
    for (const auto& slot : slots_) retry = std::min(retry, slot->endpoint->retry_at());
    const Deadline wake = by.earlier(Deadline{retry});
    [[maybe_unused]] const bool changed = co_await changed_.wait(wake);
    if (std::shared_ptr<Lease::Slot> slot = choose_now(nullptr)) co_return give(std::move(slot));
    if (!set_.failure.empty()) co_return Error{Errc::Unavailable, "discovery failed"};
    if (by.passed(loop_.now())) {
      gate(false);
      co_return Error{Errc::Unavailable, why()};
    }
  }
}

}  // namespace tulle::proxy
