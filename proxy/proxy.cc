// SPDX-License-Identifier: Apache-2.0
#include "proxy/proxy.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "lib/base/text.h"
#include "proxy/admin/server.h"
#include "proxy/inbound/serve.h"
#include "proxy/outbound/serve.h"
#include "proxy/process/application_sockets.h"
#include "proxy/protocol/mesh_tls.h"
#include "proxy/watch/control_client.h"
#include "proxy/watch/destination.h"
#include "proxy/watch/identity.h"
#include "proxy/watch/policies.h"
#include "proxy/workload/worker.h"

namespace tulle::proxy {
namespace {

dns::ResolverOptions resolver_options(const Config& config) {
  dns::ResolverOptions options;
  if (config.dns_min_ttl) options.min_ttl = *config.dns_min_ttl;
  if (config.dns_max_ttl) options.max_ttl = *config.dns_max_ttl;
  return options;
}

std::uint64_t entropy() {
  return static_cast<std::uint64_t>(monotonic_now().time_since_epoch().count()) *
             0x9E3779B97F4A7C15ULL ^
         static_cast<std::uint64_t>(wall_now().time_since_epoch().count());
}

std::string control_addr(const ControlService& service) {
  std::string_view host = service.host;
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string addr = concat(host, ":");
  append_number(addr, service.port);
  return addr;
}

metrics::Labels control_labels(const ControlService& service) {
  metrics::Labels labels{{"addr", control_addr(service)}};
  if (service.name.empty()) {
    labels.add("tls", "no_identity").add("no_tls_reason", "loopback");
  } else {
    labels.add("tls", "true").add("server_id", service.name);
  }
  return labels;
}

net::Task<void> accept_inbound(Worker& worker, net::TcpListener& listener,
                               net::TaskScope& connections) {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener.accept();
    if (!accepted) co_return;
    connections.spawn(serve_inbound(worker, std::move(*accepted)));
  }
}
// `accepted_count` counts, for other threads.
net::Task<void> accept_outbound(Worker& worker, net::TcpListener& listener,
                                net::TaskScope& connections,
                                std::atomic<std::uint64_t>& accepted_count) {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener.accept();
    if (!accepted) co_return;
    accepted_count.fetch_add(1, std::memory_order_relaxed);
    connections.spawn(serve_outbound(worker, std::move(*accepted)));
  }
}

// Gives memory back once traffic has gone quiet.
class Trim final : public net::Timer {
 public:
  explicit Trim(net::Loop& loop) : loop_(loop) { again(); }
  void fire() override {
    slab_trim();
    loop_.release_scratch();
    again();
  }

 private:
  void again() { loop_.arm(*this, loop_.now() + 20s); }
  net::Loop& loop_;
};

}  // namespace

struct Proxy::WorkerThread {
  std::unique_ptr<net::Loop> loop;
  std::unique_ptr<Worker> worker;
  std::unique_ptr<Trim> trim;
  std::unique_ptr<net::TcpListener> inbound;
  std::vector<std::unique_ptr<net::TcpListener>> outbound;
  net::TaskScope inbound_connections;
  net::TaskScope outbound_connections;
  net::TaskScope acceptors;
  std::atomic<bool> idle{false};
  std::atomic<std::uint64_t> outbound_accepted{0};
  std::thread thread;
  bool started = false;

  // On the worker's loop.
  void begin() {
    if (started) return;
    started = true;
    acceptors.spawn(accept_inbound(*worker, *inbound, inbound_connections));
    for (const auto& listener : outbound)
      acceptors.spawn(accept_outbound(*worker, *listener, outbound_connections, outbound_accepted));
  }
  void drain_inbound() {
    inbound->close();
    worker->inbound_drain().start();
  }
  void drain_outbound() {
    for (const auto& listener : outbound) listener->close();
    worker->outbound_drain().start();
  }
};

Proxy::Proxy(net::Loop& control, const Config& config, log::Sink& sink, log::Sink& access,
             net::SocketFactory& sockets)
    : control_(control),
      config_(config),
      sink_(sink),
      access_sink_(access),
      log_(sink, "linkerd"),
      sockets_(sockets),
      started_at_(wall_now()),
      metrics_(config.metrics_retain_idle),
      exchange_(control, sockets),
      resolver_(control, exchange_, resolver_options(config), entropy()),
      unsupported_([this](std::string_view feature) { count_unsupported(feature); }),
      server_policies_(
          control,
          [this](std::uint16_t port, ServerPolicyHub::Publish publish) {
            TellLife tell_life;  // on the port that is always watched
            if (port == config_.admin_listen.port)
              tell_life = [this](PodLife life) { told_life(life); };
            return watch_server_policy({config_, *policy_client_, metrics_, log_, unsupported_},
                                       port, std::move(publish), std::move(tell_life));
          },
          {[this] { return policy_client_->heard_at(); }, [this] { policy_client_->ask(); },
           [this] { return policy_client_->away(); }}),
      client_policies_(
          control,
          [this](net::SocketAddr target, ClientPolicyHub::Publish publish) {
            return watch_client_policy({config_, *policy_client_, metrics_, log_, unsupported_},
                                       *destination_client_, target, std::move(publish));
          },
          {[this] { return policy_client_->heard_at(); }, [this] { policy_client_->ask(); },
           [this] { return policy_client_->away(); }}),
      endpoints_(control,
                 [this](EndpointKey key, EndpointHub::Publish publish) {
                   return watch_endpoints(
                       {config_, *destination_client_, metrics_, log_, unsupported_},
                       std::move(key), std::move(publish));
                 },
                 {[this] { return destination_client_->heard_at(); },
                  [this] { destination_client_->ask(); },
                  [this] { return destination_client_->away(); }}) {}

Proxy::~Proxy() {
  scope_.cancel();
  for (const auto& worker : workers_) {
    worker->loop->stop();
    if (worker->thread.joinable()) worker->thread.join();
  }
}

void Proxy::count_unsupported(std::string_view feature) {
  metrics_.unsupported.get({{"feature", feature}})->add();
  if (std::find(unsupported_seen_.begin(), unsupported_seen_.end(), feature) !=
      unsupported_seen_.end())
    return;
  unsupported_seen_.emplace_back(feature);
  log_.warn("a policy uses a feature that this version does not have", {{"feature", feature}});
}

net::Task<std::vector<net::SocketAddr>> Proxy::resolve(std::string_view client, std::string host,
                                                       std::uint16_t port) {
  dns::ControlNameOptions options;
  options.on_look_up = [this, client](bool srv, bool found) {
    metrics_.dns_resolutions
        .get({{"client", client},
              {"record_type", srv ? "SRV" : "A/AAAA"},
              {"result", found ? "ok" : "not_found"}})
        ->add();
  };
  options.host = host;
  if (host == "localhost.") {  // RFC 6761 §6.3: resolved without asking anybody
    options.host = "127.0.0.1";
    options.on_look_up(false, true);
  }
  options.port = port;
  dns::ControlName name(control_, resolver_, std::move(options));
  Result<dns::ControlName::Targets> targets = co_await name.resolve();
  if (!targets) co_return std::vector<net::SocketAddr>{};
  co_return std::move(targets->addresses);
}

ServerPolicyPtr Proxy::server_policy(std::uint16_t port) const {
  ServerPolicyPtr policy = server_policies_.current(port);
  return policy ? policy : server_policy_until_known(config_, port);
}

Result<void> Proxy::bind_worker(WorkerThread& worker, bool shared_ports) {
  auto inbound = net::listen_tcp(*worker.loop, sockets_, config_.inbound_listen,
                                 config_.inbound.accept, shared_ports);
  if (!inbound) return inbound.error();
  worker.inbound = std::move(*inbound);
  for (const net::SocketAddr& at : config_.outbound_listen) {
    auto outbound =
        net::listen_tcp(*worker.loop, sockets_, at, config_.outbound.accept, shared_ports);
    if (!outbound) {
      // A machine without IPv6 has no [::1]: the IPv4 address does.
      if (at.ip.is_v6() && config_.outbound_listen.size() > 1) {
        log_.info("no IPv6 outbound listener",
                  {{"addr", at.to_string()}, {"errno", outbound.error().os_errno}});
        continue;
      }
      return outbound.error();
    }
    worker.outbound.push_back(std::move(*outbound));
  }
  return {};
}

Result<void> Proxy::start() {
  Result<std::vector<tls::Certificate>> anchors = tls::Certificate::from_pem(config_.trust_anchors);
  if (!anchors) return Error{Errc::Invalid, "read LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"};
  Result<CredentialsPtr> bare = tls::Credentials::make(
      {.anchors = std::move(*anchors), .alpn = {std::string(kTransportAlpn)}});
  if (!bare) return bare.error();
  credentials_ = *bare;
  // `name`: a literal.
  const auto client = [&](const ControlService& service, std::string_view name, Balanced what) {
    const auto ip = net::IpAddr::parse(service.host);
    const bool loopback = service.host == "localhost." || (ip && ip->is_loopback());
    return std::make_unique<ControlClient>(
        control_, sockets_, service, loopback ? config_.inbound : config_.outbound, log_,
        [this] { return control_credentials(); },
        [this, name](std::string host, std::uint16_t port) {
          return resolve(name, std::move(host), port);
        },
        metrics_.control(control_labels(service)),
        metrics_.balancer({{"addr", control_addr(service)}}, what), entropy());
  };
  identity_client_ = client(config_.identity, "identity", Balanced::ControlIdentity);
  destination_client_ = client(config_.destination, "destination", Balanced::ControlDestination);
  policy_client_ = client(config_.policy, "policy", Balanced::ControlPolicy);
  identity_ = std::make_unique<IdentityWatch>(
      *identity_client_, config_, metrics_, log_, *bare,
      [this](CredentialsPtr credentials) { on_certified(std::move(credentials)); });
  parts_ = std::make_unique<WorkloadParts>(WorkloadParts{config_, sockets_, metrics_, log_,
                                                         access_sink_, server_policies_,
                                                         client_policies_, endpoints_, wide_});
  for (unsigned i = 0; i < config_.workers; ++i) {
    auto worker = std::make_unique<WorkerThread>();
    Result<std::unique_ptr<net::Loop>> loop = net::Loop::create();
    if (!loop) return loop.error();
    worker->loop = std::move(*loop);
    worker->loop->never_forks();
    if (const Result<void> bound = bind_worker(*worker, config_.workers > 1); !bound) return bound;
    worker->worker = std::make_unique<Worker>(*parts_, *worker->loop, entropy() + i);
    worker->trim = std::make_unique<Trim>(*worker->loop);
    workers_.push_back(std::move(worker));
  }
  admin_ = std::make_unique<AdminServer>(*this, sockets_, credentials_);
  if (const Result<void> bound = admin_->listen(); !bound) return bound;
  log_.info("Admin interface", {{"addr", config_.admin_listen.to_string()}});
  log_.info("Inbound interface", {{"addr", config_.inbound_listen.to_string()}});
  for (const net::SocketAddr& at : config_.outbound_listen)
    log_.info("Outbound interface", {{"addr", at.to_string()}});
  log_.info("Local identity", {{"id", config_.local_name}});
  log_.info("Server name", {{"sni", config_.server_name}});
  log_.info("Identity is certified by",
            {{"addr", config_.identity.authority}, {"name", config_.identity.name}});
  log_.info("Destinations are resolved by",
            {{"addr", config_.destination.authority}, {"name", config_.destination.name}});
  log_.info("Policies come from",
            {{"addr", config_.policy.authority}, {"name", config_.policy.name}});
  for (const auto& worker : workers_) {
    worker->thread = std::thread([loop = worker->loop.get()] { loop->run(); });
  }
  server_policies_.pin(config_.admin_listen.port);
  for (const PortRange& range : config_.inbound_ports.ranges) {
    for (std::uint32_t port = range.first; port <= range.last; ++port)
      server_policies_.pin(static_cast<std::uint16_t>(port));
  }
  scope_.spawn(identity_->run());
  scope_.spawn(warn_while_waiting());
  return {};
}

CredentialsPtr Proxy::control_credentials() {
  if (!credentials_->has_own()) return credentials_;
  const WallTime now = wall_now();
  if (credentials_->leaf().not_before <= now && now < credentials_->leaf().not_after)
    return credentials_;
  // A certificate that has ended would be refused, and so the new one never be had: come without.
  Result<CredentialsPtr> bare = tls::Credentials::make(
      {.anchors = credentials_->anchors(), .alpn = {std::string(kTransportAlpn)}});
  return bare ? *bare : credentials_;
}

// In the pods of the control plane whoever tells certificates or policies starts, or is reached,
// only once their own proxy is ready.
bool Proxy::waits_for_policies() const noexcept {
  return server_policies_.awaited() != 0 && !config_.policy.in_this_pod() &&
         !config_.identity.in_this_pod();
}

bool Proxy::ready() const noexcept { return certified_ && !waits_for_policies(); }

net::Task<void> Proxy::warn_while_waiting() {
  for (;;) {
    co_await net::sleep_for(control_, 15s);
    if (ready()) co_return;
    if (!certified_) {
      log_.warn("Waiting for identity to be initialized...");
    } else {
      log_.warn("Waiting for the policy of declared ports...",
                {{"ports", static_cast<int>(server_policies_.awaited())}});
    }
  }
}

void Proxy::on_certified(CredentialsPtr credentials) {
  credentials_ = credentials;
  certified_ = true;
  for (const auto& entry : workers_) {
    WorkerThread* const worker = entry.get();
    worker->loop->post([worker, credentials] {
      worker->worker->set_credentials(credentials);
      worker->begin();
    });
  }
}

net::Task<std::string> Proxy::scrape() {
  admin_->fold_accounts();
  std::shared_ptr<std::atomic<int>> left =
      std::make_shared<std::atomic<int>>(static_cast<int>(workers_.size()));
  net::Signal folded{control_};
  bool done = workers_.empty();
  for (const auto& entry : workers_) {
    WorkerThread* const worker = entry.get();
    worker->loop->post([worker, left] {
      worker->worker->fold_accounts();
      left->fetch_sub(1);
    });
  }
  const Deadline by = control_.after(200ms);
  while (!done && left->load() > 0 && !by.passed(control_.now()))
    co_await net::sleep_for(control_, 1ms);
  std::string text = metrics_.registry().scrape();
  // The process's own families come before the end mark.
  constexpr std::string_view kEnd = "# EOF\n";
  if (text.ends_with(kEnd)) text.resize(text.size() - kEnd.size());
  metrics::append_process_metrics(text, started_at_);
  text += "# HELP proxy_build_info Proxy build info\n# TYPE proxy_build_info gauge\n";
  text +=
      "proxy_build_info{date=\"\",git_sha=\"\",profile=\"release\",vendor=\"tulle\",version="
      "\"" TULLE_VERSION "\"} 1\n";
  text += kEnd;
  co_return text;
}

void Proxy::shut_down() { drain(departure_.leave()); }
void Proxy::terminate() { drain(departure_.terminate(control_.now())); }

void Proxy::told_life(PodLife life) {
  const Departure::State state = departure_.told(life);
  if (state == Departure::State::Drained && drained_ != state)
    log_.info("the application has ended");
  drain(state);
}

void Proxy::drain(Departure::State state) {
  if (state == drained_) return;
  const bool first = drained_ == Departure::State::Serving;
  drained_ = state;
  const bool all = state == Departure::State::Drained;
  log_.info("draining", {{"outbound", all ? "drains" : "open until the application has ended"}});
  for (const auto& entry : workers_) {
    WorkerThread* const worker = entry.get();
    worker->loop->post([worker, first, all] {
      if (first) worker->drain_inbound();
      if (all) worker->drain_outbound();
    });
  }
  if (first) scope_.spawn(leave_when_drained());
}

net::Task<void> Proxy::leave_when_drained() {
  const Deadline by = control_.after(config_.shutdown_grace);
  std::uint64_t accepted = 0;
  while (drained_ != Departure::State::Drained) {
    if (by.passed(control_.now())) {
      control_.stop();
      co_return;
    }
    co_await net::sleep_for(control_, 200ms);
    // What is dialled and closed between two looks at the sockets came through here.
    std::uint64_t now_accepted = 0;
    for (const auto& worker : workers_)
      now_accepted += worker->outbound_accepted.load(std::memory_order_relaxed);
    const bool dialled = std::exchange(accepted, now_accepted) != now_accepted;
    drain(departure_.saw_sockets(dialled || application_has_sockets(), control_.now()));
  }
  for (;;) {
    bool idle = true;
    for (const auto& entry : workers_) {
      WorkerThread* const worker = entry.get();
      worker->loop->post([worker] {
        worker->idle.store(worker->inbound_connections.empty() &&
                           worker->outbound_connections.empty());
      });
      idle = idle && worker->idle.load();
    }
    if (idle || by.passed(control_.now())) break;
    co_await net::sleep_for(control_, 20ms);
  }
  control_.stop();
}

}  // namespace tulle::proxy
