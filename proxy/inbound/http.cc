// SPDX-License-Identifier: Apache-2.0
// Requests of one inbound connection: route, authorize, limit, forward, account
// (docs/reference/proxy.md §2.5).
#include <algorithm>

#include "lib/base/text.h"
#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "lib/http1/hop.h"
#include "proxy/config/limits.h"
#include "proxy/inbound/session.h"
#include "proxy/inbound/settle.h"
#include "proxy/inbound/tunnel.h"
#include "proxy/observe/access_log.h"
#include "proxy/protocol/orig_proto.h"
#include "proxy/request/http_outcome.h"
#include "proxy/request/response.h"
#include "proxy/route/readings.h"

namespace tulle::proxy {
namespace {

// The counters of one (policy, route, authorization), looked up at the first request that meets
// them.
struct RouteCounters {
  const ServerPolicy* policy;
  const InboundRoute* route;
  const Authorization* permit;
  std::shared_ptr<const ServerPolicy> keep;
  std::shared_ptr<EndpointMetrics> endpoint;
  std::shared_ptr<metrics::Counter> allow;
  RouteMetricsPtr routes;
  std::string authority;  // the label; only if asked for
};

// What one request has come to, as far as its end is to be told.
struct Outcome {
  Result<http::Response> response;
  Duration waited{};  // for the application's answer
};

class InboundHttp final : public http::Handler {
 public:
  explicit InboundHttp(InboundSession& session)
      : session_(session), pool_(session.local->pool_for(session.peer)) {}
  net::Task<Result<http::Response>> handle(http::Request request) override;

 private:
  Worker& worker() { return session_.worker; }
  metrics::Labels base_labels(const ServerPolicy& policy) const {
    const net::SocketAddr target = session_.worker.named(session_.target);
    metrics::Labels labels = target_labels(target);
    labels.append(server_labels(policy.meta, target.port));
    return labels;
  }
  net::Task<Outcome> answer(http::Request request);
  RouteCounters& counters(const ServerPolicyPtr& policy, const InboundRoute& route,
                          const Authorization& permit, std::string_view authority);
  http::Response refuse(const http::RequestHead& request, const ServerPolicy& policy, Cause cause,
                        std::string_view message);
  // Informational headers go to meshed peers with an identity only.
  ReplyOptions reply_options(std::string_view message) const {
    return {session_.peer.tls == Peer::Tls::Terminated && !session_.peer.identity.empty(), message};
  }
  std::optional<http::Response> apply_filters(http::Request& request, const ServerPolicy& policy,
                                              const RuleBase& rule, const RouteMatch* match);

  InboundSession& session_;
  const std::shared_ptr<HttpPool> pool_;  // this client's connections to the application
  std::vector<RouteCounters> counters_;
  net::TaskScope tunnels_;  // those that are streams of HTTP/2
};

RouteCounters& InboundHttp::counters(const ServerPolicyPtr& policy, const InboundRoute& route,
                                     const Authorization& permit, std::string_view authority) {
  if (!worker().config().authority_labels) authority = {};
  for (RouteCounters& known : counters_) {
    if (known.policy == policy.get() && known.route == &route && known.permit == &permit &&
        known.authority == authority) {
      return known;
    }
  }
  // A new policy: what belonged to the old one is not needed any more. A client that names ever new
  // authorities gets ever new look-ups, not ever more memory.
  std::erase_if(counters_, [&](const RouteCounters& known) {
    return known.policy != policy.get() || counters_.size() > 100;
  });
  metrics::Labels tls = peer_labels(session_.peer);
  metrics::Labels endpoint{{"direction", "inbound"}};
  if (!authority.empty()) endpoint.add("authority", authority);
  const net::SocketAddr target = worker().named(session_.target);
  endpoint.append(target_labels(target)).append(tls);
  endpoint.append(server_labels(policy->meta, target.port));
  endpoint.append(route_labels(route.meta)).append(authz_labels(permit.meta));
  metrics::Labels allow = base_labels(*policy);
  allow.append(route_labels(route.meta)).append(authz_labels(permit.meta)).append(tls);
  Metrics& metrics = worker().metrics();
  counters_.push_back({policy.get(), &route, &permit, policy, metrics.endpoint(endpoint),
                       metrics.authz_allow.get(allow),
                       worker().inbound_route(policy, route, target.port), std::string(authority)});
  return counters_.back();
}

http::Response InboundHttp::refuse(const http::RequestHead& request, const ServerPolicy& policy,
                                   Cause cause, std::string_view message) {
  const CauseInfo info = info_of(cause);
  if (!info.label.empty()) {
    metrics::Labels labels{{"error", info.label}};
    labels.append(base_labels(policy));
    worker().metrics().inbound_http_errors.get(labels)->add();
  }
  return reply(request, cause, reply_options(message));
}

std::optional<http::Response> InboundHttp::apply_filters(http::Request& request,
                                                         const ServerPolicy& policy,
                                                         const RuleBase& rule,
                                                         const RouteMatch* match) {
  for (const Filter& filter : rule.filters) {
    switch (filter.kind) {
      case Filter::Kind::RequestHeaders: filter.edit.apply(request.headers); break;
      case Filter::Kind::ResponseHeaders: break;  // not part of inbound policy
      case Filter::Kind::Redirect: {
        bool invalid = false;
        const auto to = redirect_target(filter.redirect, request, match, invalid);
        if (invalid) return refuse(request, policy, Cause::InvalidRedirect, "invalid redirect");
        if (!to) break;
        http::Response response =
            reply_status(request, to->status, 5, false, reply_options("request redirected"));
        response.headers.add("location", to->location);
        return response;
      }
      case Filter::Kind::Fail:
      case Filter::Kind::FailGrpc:
        if (worker().random().below(filter.denominator) >= filter.numerator) break;
        // Linkerd's inbound side answers 500 here whatever was configured; we give what was asked
        // for.
        if (filter.kind == Filter::Kind::FailGrpc) {
          return reply_status(request, 200, static_cast<std::uint8_t>(filter.status), false,
                              reply_options(filter.message));
        }
        return reply_status(request, static_cast<std::uint16_t>(filter.status), 9, false,
                            reply_options(filter.message));
      case Filter::Kind::Unsupported:
        return refuse(request, policy, Cause::UnsupportedPolicy, "unsupported route filter");
    }
  }
  return std::nullopt;
}

net::Task<Result<http::Response>> InboundHttp::handle(http::Request request) {
  const Config::AccessLog format = worker().config().access_log;
  if (format == Config::AccessLog::Off) {
    Outcome outcome = co_await answer(std::move(request));
    co_return std::move(outcome.response);
  }
  const AccessEntry entry(format, session_.peer, request, worker().loop().now());
  Outcome outcome = co_await answer(std::move(request));
  // An error goes to the client as a reset: no status was sent.
  const http::ResponseHead none;
  const http::ResponseHead& head = outcome.response ? *outcome.response : none;
  entry.write(worker().access_log(), head, worker().loop().now(), outcome.waited);
  co_return std::move(outcome.response);
}

net::Task<Outcome> InboundHttp::answer(http::Request request) {
  const TimePoint started = worker().loop().now();
  const bool meshed = session_.peer.tls == Peer::Tls::Terminated;
  Downgrade downgrade;
  if (request.version == http::Version::Http2)
    downgrade = downgrade_request(request, session_.peer.tulle);
  const bool grpc = is_grpc(request);
  // The answer's head in the version that the peer speaks.
  const auto finish = [&](http::Response response) -> Outcome {
    if (downgrade.done) {
      upgrade_response(response, downgrade);
      // On a shared HTTP/2 connection one refused request is no reason to end the others.
      response.close_connection = false;
    }
    return {std::move(response)};
  };

  const ServerPolicyPtr policy =
      session_.port.get();  // for this request, whatever changes meanwhile
  const Result<void> settled = settle_request(request, downgrade);
  if (!settled) {
    co_return finish(refuse(request, *policy, Cause::BadRequest, settled.error().where));
  }
  if (!policy->known) {
    co_return finish(
        refuse(request, *policy, Cause::PolicyUnknown, "the policy of this port is not known yet"));
  }
  if (!policy->invalid.empty()) {
    co_return finish(
        refuse(request, *policy, Cause::InvalidPolicy, "invalid server configuration"));
  }
  const std::optional<Found> found = find_inbound_route(*policy, request, session_.peer);
  if (!found) {
    metrics::Labels labels = base_labels(*policy);
    worker().metrics().route_not_found.get(labels.append(peer_labels(session_.peer)))->add();
    co_return finish(refuse(request, *policy, Cause::NoRoute, "no route found for request"));
  }
  const auto find = [&](const http::RequestHead& head) {
    return find_inbound_route(*policy, head, session_.peer);
  };
  const bool probe = !policy->routes[found->route].probe_target.empty();
  if (!probe && !readings_agree(policy->routes, request, *found, find)) {
    co_return finish(refuse(request, *policy, Cause::BadRequest,
                            "a path that could be served as that of another route"));
  }
  const InboundRoute& route = policy->routes[found->route];
  const Authorization* const permit = find_permit(route.authorizations, session_.peer);
  if (permit == nullptr) {
    metrics::Labels labels = base_labels(*policy);
    labels.append(route_labels(route.meta)).append(peer_labels(session_.peer));
    worker().metrics().authz_deny.get(labels)->add();
    worker().log().info("Request denied", {{"client", session_.peer.addr.to_string()},
                                           {"client.id", session_.peer.identity},
                                           {"target", session_.target.to_string()},
                                           {"server", policy->meta.name}});
    co_return finish(
        refuse(request, *policy, Cause::Unauthorized, "unauthorized request on route"));
  }
  RouteCounters& count = counters(policy, route, *permit, request.authority);
  count.allow->add();
  if (permit->audit) {
    worker().log().info("Request allowed", {{"client", session_.peer.addr.to_string()},
                                            {"client.id", session_.peer.identity},
                                            {"server", policy->meta.name}});
  }
  // What a tunnel goes on being held to: what the client sent, before filters change it.
  std::optional<http::RequestHead> routed;
  if (request.wants_upgrade || request.method == "CONNECT") routed = request;
  std::optional<http::Response> answered =
      apply_filters(request, *policy, route.rules[found->rule], found->match);
  if (answered) co_return finish(std::move(*answered));
  if (policy->rate_limit) {
    const RateLimit::Scope scope =
        policy->rate_limit->admit(session_.peer.identity, worker().loop().now());
    if (scope != RateLimit::Scope::None) {
      metrics::Labels labels = base_labels(*policy);
      if (const auto& meta = policy->rate_limit->spec().meta) {
        labels.add("ratelimit_group", meta->group)
            .add("ratelimit_kind", meta->kind)
            .add("ratelimit_name", meta->name);
      }
      labels.add("ratelimit_scope", scope == RateLimit::Scope::Total ? "total" : "identity");
      worker().metrics().rate_limited.get(labels.append(peer_labels(session_.peer)))->add();
      co_return finish(refuse(request, *policy, Cause::RateLimited, "rate-limit exceeded"));
    }
  }
  ProxyWide& wide = worker().wide();
  if (wide.in_flight_inbound.load(std::memory_order_relaxed) >=
      worker().config().inbound.max_in_flight) {
    worker().metrics().shed.get({{"direction", "inbound"}, {"reason", "requests"}})->add();
    co_return finish(refuse(request, *policy, Cause::LoadShed, "too many requests in flight"));
  }
  if (wide.memory.short_of(worker().loop().now())) {
    worker().metrics().shed.get({{"direction", "inbound"}, {"reason", "memory"}})->add();
    co_return finish(refuse(request, *policy, Cause::LoadShed, "the proxy is short of memory"));
  }

  add_ours(request, downgrade, meshed ? std::string_view(session_.peer.identity) : "");
  const bool http1 = request.version != http::Version::Http2;
  const bool keep = request.version != http::Version::Http10 && !request.authority.empty() &&
                    !request.wants_upgrade;
  const http::Version version = request.version;
  http::RequestHead asked;  // what an error answer needs to know of the request
  asked.version = version;
  if (grpc) asked.headers.add("content-type", "application/grpc");
  std::shared_ptr<EndpointMetrics> endpoint = count.endpoint;
  endpoint->requests->add();
  RouteSpan span = begin_span(worker().loop(), count.routes, request);
  Result<http::Response> response = Error{Errc::Internal, ""};
  const TimePoint asked_at = worker().loop().now();
  {
    const InFlight in_flight(wide.in_flight_inbound);
    if (http1) {
      response = co_await pool_->send_http1(request, keep, Deadline::never());
    } else {
      response = co_await pool_->send_http2(request, Deadline::never());
    }
  }
  const Duration waited = worker().loop().now() - asked_at;
  if (!response) {
    const Error& error = response.error();
    account_failure(*endpoint, error);
    span.ended({std::nullopt, route_error(error)}, worker().loop().now());
    // The same code goes to the client, unless it speaks HTTP/1 and could not hear it.
    const bool h2_error = !http1 && error.code == Errc::Reset && error.detail != 0;
    if (h2_error) co_return Outcome{error, waited};
    http::Response told = refuse(asked, *policy, cause_of(error), error.where);
    if (session_.peer.tulle) mark_refused(told, refused_mark(error));
    Outcome outcome = finish(std::move(told));
    outcome.waited = waited;
    co_return outcome;
  }
  if (response->status == 502 || grpc) take_refused_mark(*response);  // only we may say so
  if (response->upgraded && routed) {
    response->upgraded =
        std::make_unique<Tunnel>(std::move(response->upgraded), session_, std::move(*routed));
  } else if (routed && !http1 && response->status < 300 && response->body.has_value()) {
    auto [writer, reader] = http::make_body(worker().loop());
    tunnels_.spawn(
        carry_tunnel(session_, std::move(*routed), std::move(response->body), std::move(writer)));
    response->body = std::move(reader);
  }
  response->version = http1 ? response->version : http::Version::Http2;
  if (http1) http1::strip_hop_headers(response->headers, response->status == 101);
  account_response(worker().loop(), {std::move(endpoint), started, grpc, {}, std::move(span)},
                   *response);
  if (grpc) rescue_grpc_body(response->body, reply_options({}).informational);
  Outcome outcome = finish(std::move(*response));
  outcome.waited = waited;
  co_return outcome;
}

}  // namespace

metrics::Labels source_labels(const InboundSession& session) {
  const net::SocketAddr target = session.worker.named(session.target);
  metrics::Labels labels = target_labels(target);
  labels.append(peer_labels(session.peer));
  labels.append(server_labels(session.port.get()->meta, target.port));
  return labels;
}

net::Task<void> serve_inbound_http(InboundSession session, bool http2) {
  if (!session.proxy_head.empty())
    session.local = session.local->with_head(std::move(session.proxy_head));
  InboundHttp handler(session);
  const SideConfig& config = session.worker.config().inbound;
  if (session.source != nullptr) session.source->settled();
  const net::Guard guard = session.worker.guard(session.peer.addr.ip);
  if (http2) {
    h2::ServerOptions options;
    options.stream_window = config.h2_stream_window;
    options.connection_window = config.h2_connection_window;
    options.max_frame_size = config.h2_max_frame;
    options.max_header_list = header_list_limit(config);
    options.max_pending_resets = config.h2_max_pending_reset;
    options.carries_http1 = kOrigProto;
    options.max_carried_list = carried_list_limit(config);
    options.send_buffer = config.h2_send_buffer;
    options.ping_interval = config.h2_ping_interval;
    if (config.h2_ping_timeout) options.ping_timeout = *config.h2_ping_timeout;
    if (config.h2_max_concurrent != 0) options.max_concurrent_streams = config.h2_max_concurrent;
    options.guard = guard;
    co_await h2::serve(std::move(session.stream), handler, options, session.worker.inbound_drain());
  } else {
    http1::ServerOptions options;
    options.guard = guard;
    options.limits = http1_limits(config);
    co_await http1::serve(std::move(session.stream), handler, options,
                          session.worker.inbound_drain());
  }
}

}  // namespace tulle::proxy
