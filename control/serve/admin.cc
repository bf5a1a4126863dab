// SPDX-License-Identifier: Apache-2.0
#include "control/serve/admin.h"

#include "lib/http1/connection.h"

namespace tulle::control {
namespace {
// Probes come on new connections, so new ones always get in; answers are short, so none may stay
// for not being read.
constexpr net::Admission::Limits kLimits{.total = 512, .per_source = 256, .busy_gives_way = true};
constexpr Duration kIdleTime = 2min;
}  // namespace

AdminPort::AdminPort(net::Loop& loop, metrics::Registry& metrics,
                     std::function<std::string()> ready, net::Drain& drain, PortBounds& bounds,
                     std::string_view name)
    : loop_(loop),
      metrics_(metrics),
      ready_(std::move(ready)),
      drain_(drain),
      bounds_(bounds),
      admission_(kLimits, bounds.counters(name)) {}

Result<void> AdminPort::listen(net::SocketFactory& sockets, net::SocketAddr at) {
  auto listener = net::listen_tcp(loop_, sockets, at, {});
  if (!listener) return listener.error();
  listener_ = *std::move(listener);
  return {};
}

net::Task<void> AdminPort::run() {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener_->accept();
    if (!accepted) co_return;
    const net::IpAddr client = accepted->client.ip;
    auto guest = net::GuestStream::make(admission_, nullptr, *std::move(accepted));
    if (guest != nullptr) connections_.spawn(serve(std::move(guest), client));
  }
}

net::Task<void> AdminPort::serve(std::unique_ptr<net::GuestStream> stream, net::IpAddr client) {
  http1::ServerOptions options;
  options.guard.heads = &bounds_.unfinished;
  options.guard.client = client;
  options.guard.place = stream.get();
  options.guard.head_time = kHeadTime;
  options.guard.idle_time = kIdleTime;
  co_await http1::serve(std::move(stream), handler_, options, drain_);
}

net::Task<Result<http::Response>> AdminPort::Handler::handle(http::Request request) {
  const std::string_view target = request.path;
  const std::string_view path = target.substr(0, target.find('?'));
  if (request.method != "GET" && request.method != "HEAD") co_return http::make_response(405);
  if (path == "/live") co_return http::make_text_response(port_.loop_, 200, "live\n");
  if (path == "/ping") co_return http::make_text_response(port_.loop_, 200, "pong\n");
  if (path == "/ready") {
    const std::string missing = port_.ready_();
    if (missing.empty()) co_return http::make_text_response(port_.loop_, 200, "ok\n");
    co_return http::make_text_response(port_.loop_, 503, "not ready: " + missing + "\n");
  }
  if (path == "/metrics") {
    co_return http::make_text_response(port_.loop_, 200, port_.metrics_.scrape(),
                                       "text/plain; version=0.0.4");
  }
  co_return http::make_response(404);
}

}  // namespace tulle::control
