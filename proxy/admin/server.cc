// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/server.h"

#include <unistd.h>

#include <cstdlib>
#include <map>

#include "lib/base/text.h"
#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "proxy/detect.h"
#include "proxy/mesh_tls.h"
#include "proxy/policy/route.h"
#include "proxy/proxy.h"

extern char** environ;

namespace tulle::proxy {
namespace {

class AdminHandler final : public http::Handler {
 public:
  AdminHandler(Proxy& proxy, Peer peer) : proxy_(proxy), peer_(std::move(peer)) {}
  net::Task<Result<http::Response>> handle(http::Request request) override;

 private:
  http::Response text(std::uint16_t status, std::string_view body) {
    return http::make_text_response(proxy_.loop(), status, body);
  }
  std::optional<http::Response> refused(const http::RequestHead& request);
  http::Response environment(const http::RequestHead& request, std::string_view query);
  net::Task<http::Response> log_level(http::Request& request);

  Proxy& proxy_;
  Peer peer_;
};

// The admin port has a policy like any other.
std::optional<http::Response> AdminHandler::refused(const http::RequestHead& request) {
  const std::uint16_t port = proxy_.config().admin_listen.port;
  const ServerPolicyPtr policy = proxy_.server_policy(port);
  if (!policy->invalid.empty()) return http::make_response(500);
  const std::optional<Found> found = find_route(policy->routes, request);
  metrics::Labels labels = target_labels(proxy_.config().admin_listen);
  labels.append(server_labels(policy->meta, port));
  if (!found) {
    proxy_.metrics().route_not_found.get(labels.append(peer_labels(peer_)))->add();
    return http::make_response(404);
  }
  const InboundRoute& route = policy->routes[found->route];
  const Authorization* const permit = find_permit(route.authorizations, peer_);
  labels.append(route_labels(route.meta));
  if (permit == nullptr) {
    proxy_.metrics().authz_deny.get(labels.append(peer_labels(peer_)))->add();
    return http::make_response(403);
  }
  labels.append(authz_labels(permit->meta));
  proxy_.metrics().authz_allow.get(labels.append(peer_labels(peer_)))->add();
  return std::nullopt;
}

http::Response AdminHandler::environment(const http::RequestHead& request, std::string_view query) {
  if (request.method != "GET") return http::make_response(405);
  if (const auto accept = request.headers.get("accept");
      accept && accept->find("*/*") == std::string_view::npos && accept->find("application/json") == std::string_view::npos &&
      accept->find("application/*") == std::string_view::npos) {
    return http::make_response(406);
  }
  std::map<std::string, std::optional<std::string>> wanted;
  if (query.empty()) {
    for (char** at = environ; *at != nullptr; ++at) {
      const std::string_view entry(*at);
      const auto equals = entry.find('=');
      if (equals != std::string_view::npos) wanted[std::string(entry.substr(0, equals))] = entry.substr(equals + 1);
    }
  } else if (query.find('=') != std::string_view::npos) {
    return http::make_text_response(proxy_.loop(), 400, R"({"error":"invalid query: name variables, separated by &","status":400})",
                                    "application/json");
  } else {
    for (const std::string_view name : split(query, '&')) {
      const char* const value = std::getenv(std::string(name).c_str());
      wanted[std::string(name)] = value != nullptr ? std::optional<std::string>(value) : std::nullopt;
    }
  }
  std::string body = "{";
  for (const auto& [name, value] : wanted) {
    if (body.size() > 1) body += ',';
    body += '"';
    log::append_json_escaped(body, name);
    body += "\":";
    if (value) {
      body += '"';
      log::append_json_escaped(body, *value);
      body += '"';
    } else {
      body += "null";
    }
  }
  body += '}';
  return http::make_text_response(proxy_.loop(), 200, body, "application/json");
}

net::Task<http::Response> AdminHandler::log_level(http::Request& request) {
  log::Sink& sink = proxy_.sink();
  if (sink.off()) co_return http::make_response(404);
  if (request.method == "GET") co_return text(200, sink.filter_text());
  if (request.method != "PUT") {
    http::Response response = http::make_response(405);
    response.headers.add("allow", "GET, PUT");
    co_return response;
  }
  std::string body;
  while (!request.body.ended() && body.size() < 4096) {
    if (request.body.failure() != nullptr) co_return http::make_response(400);
    body += as_text(request.body.data());
    request.body.consume(request.body.data().size());
    if (request.body.ready()) continue;
    [[maybe_unused]] const bool told = co_await request.body.changed();
  }
  Result<log::Filter> filter = log::Filter::parse(trim(body));
  if (!filter) co_return text(400, "invalid log filter: expected directives such as warn,linkerd=debug\n");
  sink.set_filter(std::move(*filter));
  http::Response response;
  response.status = 204;
  co_return response;
}

net::Task<Result<http::Response>> AdminHandler::handle(http::Request request) {
  if (std::optional<http::Response> refusal = refused(request)) co_return std::move(*refusal);
  const std::string target(request.path.view());
  const std::string_view path = std::string_view(target).substr(0, target.find('?'));
  const std::string_view query = target.find('?') == std::string::npos ? "" : std::string_view(target).substr(target.find('?') + 1);
  const bool local = peer_.addr.ip.is_loopback();
  if (path == "/live") co_return text(200, "live\n");
  if (path == "/ready") co_return proxy_.ready() ? text(200, "ready\n") : text(503, "not ready\n");
  if (path == "/metrics") {
    std::string body = co_await proxy_.scrape();
    co_return text(200, body);
  }
  if (path == "/env.json") co_return environment(request, query);
  if (path == "/proxy-log-level" || path == "/shutdown") {
    if (!local) co_return text(403, "Requests are only permitted from localhost.");
    if (path == "/proxy-log-level") {
      http::Response response = co_await log_level(request);
      co_return std::move(response);
    }
    if (request.method != "POST") co_return http::make_response(405);
    if (!proxy_.config().shutdown_endpoint) co_return text(404, "shutdown endpoint is not enabled\n");
    proxy_.shut_down();
    co_return text(200, "shutdown\n");
  }
  co_return http::make_response(404);
}

}  // namespace

Result<void> AdminServer::listen() {
  auto listener = net::listen_tcp(proxy_.loop(), proxy_.sockets(), proxy_.config().admin_listen, proxy_.config().inbound.accept);
  if (!listener) return listener.error();
  listener_ = std::move(*listener);
  scope_.spawn(accept_all());
  return {};
}

net::Task<void> AdminServer::accept_all() {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener_->accept();
    if (!accepted) co_return;
    scope_.spawn(serve(std::move(*accepted)));
  }
}

net::Task<void> AdminServer::serve(net::Accepted accepted) {
  Peer peer;
  peer.addr = accepted.client;
  const Deadline by = proxy_.loop().after(1s);
  Result<DetectedTls> hello = co_await detect_tls(std::move(accepted.stream), by);
  if (!hello) co_return;
  net::StreamPtr stream = std::move(hello->stream);
  if (hello->tls) {
    if (hello->sni != proxy_.config().server_name) co_return;
    Result<MeshAccepted> mesh = co_await accept_mesh(std::move(stream), proxy_.credentials(), false, by);
    if (!mesh) co_return;
    peer.tls = Peer::Tls::Terminated;
    peer.identity = std::move(mesh->identity);
    stream = std::move(mesh->stream);
  }
  Result<DetectedHttp> detected = co_await detect_http(std::move(stream), by);
  if (!detected || detected->spoken == Spoken::NotHttp) co_return;
  AdminHandler handler(proxy_, std::move(peer));
  if (detected->spoken == Spoken::Http2) {
    const h2::ServerOptions options;
    co_await h2::serve(std::move(detected->stream), handler, options, drain_);
  } else {
    const http1::ServerOptions options;
    co_await http1::serve(std::move(detected->stream), handler, options, drain_);
  }
}

}  // namespace tulle::proxy
