// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/handler.h"

#include <unistd.h>

#include <cstdlib>
#include <map>

#include "lib/base/text.h"
#include "lib/metrics/gzip.h"
#include "proxy/request/response.h"
#include "proxy/route/route.h"

extern char** environ;

namespace tulle::proxy {
namespace {

std::string_view path_of(std::string_view target) { return target.substr(0, target.find('?')); }

}  // namespace

// Before the port's policy is known the kubelet is answered nevertheless, and who is local.
std::optional<http::Response> AdminHandler::refused_unknown(
    const http::RequestHead& request, const ServerPolicy& policy,
    std::shared_ptr<EndpointMetrics>& metrics) {
  const std::string_view path = path_of(request.path.view());
  if (path != "/live" && path != "/ready" && !peer_.addr.ip.is_loopback())
    return text(503, "the policy of this port is not known yet\n");
  metrics::Labels endpoint{{"direction", "inbound"}};
  endpoint.append(target_labels(host_.config().admin_listen)).append(peer_labels(peer_));
  endpoint.append(server_labels(policy.meta, host_.config().admin_listen.port));
  metrics = host_.metrics().endpoint(endpoint);
  return std::nullopt;
}

// The admin port has a policy like any other.
std::optional<http::Response> AdminHandler::refused(const http::RequestHead& request,
                                                    std::shared_ptr<EndpointMetrics>& metrics) {
  const std::uint16_t port = host_.config().admin_listen.port;
  const ServerPolicyPtr policy = host_.server_policy(port);
  if (!policy->known) return refused_unknown(request, *policy, metrics);
  if (!policy->invalid.empty()) return http::make_response(500);
  const std::optional<Found> found = find_inbound_route(*policy, request, peer_);
  metrics::Labels labels = target_labels(host_.config().admin_listen);
  labels.append(server_labels(policy->meta, port));
  if (!found) {
    host_.metrics().route_not_found.get(labels.append(peer_labels(peer_)))->add();
    return http::make_response(404);
  }
  const InboundRoute& route = policy->routes[found->route];
  const Authorization* const permit = find_permit(route.authorizations, peer_);
  labels.append(route_labels(route.meta));
  if (permit == nullptr) {
    host_.metrics().authz_deny.get(labels.append(peer_labels(peer_)))->add();
    return http::make_response(403);
  }
  labels.append(authz_labels(permit->meta));
  host_.metrics().authz_allow.get(labels.append(peer_labels(peer_)))->add();
  metrics::Labels endpoint{{"direction", "inbound"}};
  endpoint.append(target_labels(host_.config().admin_listen)).append(peer_labels(peer_));
  endpoint.append(server_labels(policy->meta, port))
      .append(route_labels(route.meta))
      .append(authz_labels(permit->meta));
  metrics = host_.metrics().endpoint(endpoint);
  return std::nullopt;
}

http::Response AdminHandler::environment(const http::RequestHead& request, std::string_view query) {
  if (request.method != "GET") return http::make_response(405);
  if (const auto accept = request.headers.get("accept");
      accept && accept->find("*/*") == std::string_view::npos &&
      accept->find("application/json") == std::string_view::npos &&
      accept->find("application/*") == std::string_view::npos) {
    return http::make_response(406);
  }
  std::map<std::string, std::optional<std::string>> wanted;
  if (query.empty()) {
    for (char** at = environ; *at != nullptr; ++at) {
      const std::string_view entry(*at);
      const auto equals = entry.find('=');
      if (equals != std::string_view::npos)
        wanted[std::string(entry.substr(0, equals))] = entry.substr(equals + 1);
    }
  } else if (query.find('=') != std::string_view::npos) {
    return http::make_text_response(
        host_.loop(), 400,
        R"({"error":"invalid query: name variables, separated by &","status":400})",
        "application/json");
  } else {
    for (const std::string_view name : split(query, '&')) {
      const char* const value = std::getenv(std::string(name).c_str());
      wanted[std::string(name)] =
          value != nullptr ? std::optional<std::string>(value) : std::nullopt;
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
  return http::make_text_response(host_.loop(), 200, body, "application/json");
}

net::Task<http::Response> AdminHandler::log_level(http::Request& request) {
  log::Sink& sink = host_.sink();
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
  if (!filter)
    co_return text(400, "invalid log filter: expected directives such as warn,linkerd=debug\n");
  sink.set_filter(std::move(*filter));
  http::Response response;
  response.status = 204;
  co_return response;
}

net::Task<Result<http::Response>> AdminHandler::handle(http::Request request) {
  const TimePoint started = host_.loop().now();
  std::shared_ptr<EndpointMetrics> metrics;
  if (std::optional<http::Response> refusal = refused(request, metrics))
    co_return std::move(*refusal);
  metrics->requests->add();
  http::Response response = co_await answer(std::move(request));
  account_response(host_.loop(), {std::move(metrics), started}, response);
  co_return response;
}

net::Task<http::Response> AdminHandler::answer(http::Request request) {
  const std::string target(request.path.view());
  const std::string_view path = path_of(target);
  const std::string_view query = target.find('?') == std::string::npos
                                     ? ""
                                     : std::string_view(target).substr(target.find('?') + 1);
  const bool local = peer_.addr.ip.is_loopback();
  if (path == "/live") co_return text(200, "live\n");
  if (path == "/ready") co_return host_.ready() ? text(200, "ready\n") : text(503, "not ready\n");
  if (path == "/metrics") {
    std::string body = co_await host_.scrape();
    const bool packed =
        request.headers.get("accept-encoding").value_or("").find("gzip") != std::string_view::npos;
    if (!packed) co_return text(200, body);
    http::Response response = text(200, metrics::gzip(body));
    response.headers.add("content-encoding", "gzip");
    co_return response;
  }
  if (path == "/env.json" || path == "/proxy-log-level" || path == "/shutdown") {
    if (!local) co_return text(403, "Requests are only permitted from localhost.");
    if (path == "/env.json") co_return environment(request, query);
    if (path == "/proxy-log-level") {
      http::Response response = co_await log_level(request);
      co_return std::move(response);
    }
    if (request.method != "POST") co_return http::make_response(405);
    if (!host_.config().shutdown_endpoint)
      co_return text(404, "shutdown endpoint is not enabled\n");
    host_.shut_down();
    co_return text(200, "shutdown\n");
  }
  co_return http::make_response(404);
}

}  // namespace tulle::proxy
