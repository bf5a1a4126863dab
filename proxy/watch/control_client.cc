// SPDX-License-Identifier: Apache-2.0
#include "proxy/watch/control_client.h"

#include <algorithm>

#include "lib/tls/stream.h"
#include "proxy/request/response.h"

namespace tulle::proxy {

ControlClient::ControlClient(net::Loop& loop, net::SocketFactory& sockets,
                             const ControlService& service, const SideConfig& side, log::Logger log,
                             CurrentCredentials credentials, ResolveControl resolve,
                             std::shared_ptr<EndpointMetrics> metrics,
                             std::unique_ptr<BalancerMetrics> balancer, std::uint64_t seed)
    : loop_(loop),
      sockets_(sockets),
      service_(service),
      side_(side),
      log_(log),
      credentials_(std::move(credentials)),
      resolve_(std::move(resolve)),
      metrics_(std::move(metrics)),
      balancer_(std::move(balancer)),
      random_(seed),
      backoff_(side.backoff, seed + 1),
      connected_(loop),
      wanted_(loop),
      channel_(loop, *this, {.authority = service.authority}) {
  scope_.spawn(keep_connected());
}

ControlClient::~ControlClient() = default;

void ControlClient::forget() { connection_.reset(); }

net::Task<Result<std::unique_ptr<h2::ClientConnection>>> ControlClient::dial(net::SocketAddr to) {
  const Deadline by = loop_.after(std::max<Duration>(side_.connect_timeout, 1s));
  auto tcp = co_await net::connect_tcp(loop_, sockets_, to, side_.connect, by);
  if (!tcp) co_return tcp.error();
  net::StreamPtr stream = std::move(*tcp);
  if (!service_.name.empty()) {
    tls::ClientOptions options{service_.name, service_.name};
    Result<std::unique_ptr<tls::TlsStream>> secured =
        co_await tls::connect_tls(std::move(stream), credentials_(), std::move(options), by);
    if (!secured) co_return secured.error();
    stream = std::move(*secured);
  }
  h2::ClientOptions options;
  options.ping_interval = 10s;
  options.ping_timeout = 3s;
  co_return h2::ClientConnection::make(std::move(stream), options);
}

void ControlClient::note_heard() noexcept {
  if (connection_)
    heard_ns_.store(connection_->heard_at().time_since_epoch().count(), std::memory_order_relaxed);
}

void ControlClient::ask() {
  if (asked_.fetch_add(1) == 0) loop_.post([this] { scope_.spawn(probe()); });
}

net::Task<void> ControlClient::probe() {
  // Whoever asks while an answer is on its way needs one that comes later: once more, for all of
  // them together.
  for (std::uint32_t asked = asked_.load(); asked != 0; asked = asked_.fetch_sub(asked) - asked) {
    if (connection_) connection_->ping();
    co_await net::sleep_for(loop_, 250ms);
    note_heard();
  }
}

net::Task<void> ControlClient::keep_connected() {
  for (;;) {
    note_heard();
    if (connection_ && connection_->accepting() && connection_->available() != 0) {
      [[maybe_unused]] const bool told = co_await wanted_.wait(loop_.after(5s));
      continue;
    }
    if (!wanted_.has_waiters() && !connected_.has_waiters()) {
      // Nobody needs it: no dial without demand.
      [[maybe_unused]] const bool told = co_await wanted_.wait();
    }
    std::vector<net::SocketAddr> addresses = co_await resolve_(service_.host, service_.port);
    std::string_view step = "resolve the name";
    int os_errno = 0;
    bool done = false;
    for (std::size_t tried = 0; tried < addresses.size() && !done; ++tried) {
      const std::size_t pick =
          tried + random_.below(static_cast<std::uint32_t>(addresses.size() - tried));
      std::swap(addresses[tried], addresses[pick]);
      Result<std::unique_ptr<h2::ClientConnection>> made = co_await dial(addresses[tried]);
      if (made) {
        connection_ = std::move(*made);
        backoff_.reset();
        done = true;
      } else {
        step = made.error().where;
        os_errno = made.error().os_errno;
      }
    }
    away_.store(!done, std::memory_order_relaxed);
    // One connection is kept, to any of them.
    balancer_->updated(addresses_ == 0, addresses.size() > addresses_,
                       addresses.size() < addresses_);
    addresses_ = addresses.size();
    balancer_->endpoints(static_cast<std::int64_t>(addresses_), done ? 1 : 0);
    balancer_->gate(done);
    if (done) {
      connected_.notify_all();
      // Whoever waited begins now; then look again.
      co_await net::yield(loop_);
      continue;
    }
    log_.warn("control plane not reached",
              {{"service", service_.authority}, {"step", step}, {"errno", os_errno}});
    // New demand cuts a long wait short: whoever asks first after an outage is not made to wait it
    // out.
    const Duration pause = backoff_.next();
    const TimePoint soonest = loop_.now() + std::min<Duration>(pause, 1s);
    [[maybe_unused]] const bool told = co_await wanted_.wait(loop_.after(pause));
    if (loop_.now() < soonest) co_await net::sleep_until(loop_, soonest);
  }
}

net::Task<Result<http::Response>> ControlClient::send(http::Request request, Deadline by) {
  struct Queued {
    explicit Queued(BalancerMetrics& m) : metrics(m) { metrics.queued(1); }
    ~Queued() { metrics.queued(-1); }
    BalancerMetrics& metrics;
  };
  const TimePoint asked = loop_.now();
  std::optional<Queued> queued(std::in_place, *balancer_);
  for (;;) {
    // Held, so that a forgotten connection lives as long as its calls.
    const std::shared_ptr<h2::ClientConnection> connection = connection_;
    if (connection && connection->accepting() && connection->available() != 0) {
      const TimePoint started = loop_.now();
      queued.reset();
      balancer_->picked(started - asked);
      metrics_->requests->add();
      Result<http::Response> response = co_await connection->send(std::move(request), by);
      if (response) {
        account_response(loop_, {metrics_, started, true}, *response);
      } else {
        account_failure(*metrics_, response.error());
      }
      co_return response;
    }
    wanted_.notify_all();
    const bool in_time = co_await connected_.wait(by);
    if (!in_time) co_return Error{Errc::Timeout, "reach the control plane"};
  }
}

}  // namespace tulle::proxy
