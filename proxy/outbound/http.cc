// SPDX-License-Identifier: Apache-2.0
// Requests of one outbound connection: route, filter, choose, send, account
// (docs/reference/proxy.md §3.4).
#include "lib/base/text.h"
#include "lib/config/values.h"
#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "lib/http1/hop.h"
#include "proxy/config/limits.h"
#include "proxy/outbound/session.h"
#include "proxy/protocol/orig_proto.h"
#include "proxy/request/http_outcome.h"
#include "proxy/request/response.h"

namespace tulle::proxy {
namespace {

// How often a request may be refused before its client learns of it. Scaling down takes most
// endpoints of a Service away at once, and each that refuses is asked last from then on; the list
// of endpoints follows within a second.
constexpr unsigned kRefusals = 10;

class OutboundHttp final : public http::Handler {
 public:
  explicit OutboundHttp(OutboundSession& session) : session_(session) {}
  net::Task<Result<http::Response>> handle(http::Request request) override;

 private:
  Worker& worker() { return session_.worker; }
  http::Response refuse(const http::RequestHead& request, Cause cause, std::string_view message);
  ReplyOptions options(std::string_view message) {
    return {worker().config().informational_headers, message};
  }
  std::optional<http::Response> apply_filters(http::Request& request,
                                              const std::vector<Filter>& filters,
                                              const RouteMatch* match);
  net::Task<Result<http::Response>> send(PlannedBackend& backend, http::Request request,
                                         std::string required_identity, RouteSpan span);

  OutboundSession& session_;
};

http::Response OutboundHttp::refuse(const http::RequestHead& request, Cause cause,
                                    std::string_view message) {
  const CauseInfo info = info_of(cause);
  if (!info.label.empty()) {
    worker().metrics().outbound_http_errors.get({{"error", info.label}})->add();
  }
  worker().log().debug("request failed", {{"target", session_.target.to_string()},
                                          {"status", static_cast<int>(info.status)},
                                          {"reason", message}});
  return reply(request, cause, options(message));
}

std::optional<http::Response> OutboundHttp::apply_filters(http::Request& request,
                                                          const std::vector<Filter>& filters,
                                                          const RouteMatch* match) {
  for (const Filter& filter : filters) {
    switch (filter.kind) {
      case Filter::Kind::RequestHeaders: filter.edit.apply(request.headers); break;
      case Filter::Kind::ResponseHeaders: break;  // applied to the response
      case Filter::Kind::Redirect: {
        bool invalid = false;
        const auto to = redirect_target(filter.redirect, request, match, invalid);
        if (invalid) return refuse(request, Cause::InvalidRedirect, "invalid redirect");
        if (!to) break;
        http::Response response =
            reply_status(request, to->status, 5, false, options("request redirected"));
        response.headers.add("location", to->location);
        return response;
      }
      case Filter::Kind::Fail:
      case Filter::Kind::FailGrpc:
        if (worker().random().below(filter.denominator) >= filter.numerator) break;
        if (filter.kind == Filter::Kind::FailGrpc) {
          return reply_status(request, 200, static_cast<std::uint8_t>(filter.status), false,
                              options(filter.message));
        }
        return reply_status(request, static_cast<std::uint16_t>(filter.status), 9, false,
                            options(filter.message));
      case Filter::Kind::Unsupported:
        return refuse(request, Cause::UnsupportedPolicy, "unsupported route filter");
    }
  }
  return std::nullopt;
}

// Chooses an endpoint and sends. While nothing of the request was sent, other endpoints are tried;
// meshed ones that cannot be reached are waited for until fail-fast. A request that was sent and
// certainly not processed goes to another endpoint if there is one (a body that was begun cannot be
// sent twice), kRefusals times at most. This is no retry: nothing is processed twice. A safe
// request that met the end of a connection goes to another endpoint as well, but only once: an
// application that closes its listener resets what it has not accepted yet, and whatever ended the
// one application must not end all.
net::Task<Result<http::Response>> OutboundHttp::send(PlannedBackend& backend, http::Request request,
                                                     std::string required_identity,
                                                     RouteSpan span) {
  const TimePoint started = worker().loop().now();
  const Deadline dial_by{started + worker().config().outbound.failfast_timeout};
  const bool grpc = is_grpc(request);
  unsigned again = request.body.has_value() ? 0 : kRefusals;
  bool repeated = false;
  std::shared_ptr<Endpoint> forward = backend.forward;
  const std::shared_ptr<BalancedBackend> balanced = backend.balanced;
  Balancer::Lease lease;
  std::shared_ptr<Endpoint> failed;
  for (;;) {
    if (balanced) {
      Result<Balancer::Lease> picked = co_await balanced->balancer().pick(failed.get());
      if (!picked) co_return picked.error();
      lease = std::move(*picked);
      forward = lease.endpoint();
    }
    Endpoint& endpoint = *forward;
    if (!required_identity.empty() &&
        (!endpoint.meshed() || endpoint.info().identity != required_identity)) {
      co_return Error{Errc::Unauthenticated, "the endpoint is not who l5d-require-id asks for"};
    }
    if (!endpoint.ready(request)) {
      const Result<void> dialled = co_await endpoint.prepare(request);
      if (!dialled) {
        const bool another = balanced && balanced->balancer().usable_besides(&endpoint);
        const bool wait = balanced && endpoint.meshed() &&
                          dialled.error().code != Errc::Unauthenticated &&
                          !dial_by.passed(worker().loop().now());
        if (another || wait) {
          worker().metrics().redispatched.get({{"reason", "dial"}})->add();
          failed = forward;
          continue;
        }
        endpoint.metrics()->requests->add();
        account_failure(*endpoint.metrics(), dialled.error());
        co_return dialled.error();
      }
    }
    Result<http::Response> response = co_await endpoint.send(request, Deadline::never());
    RefusedMark mark = RefusedMark::None;
    if (!response) {
      mark = refused_mark(response.error());
    } else if ((response->status == 502 || grpc) && endpoint.tulle()) {
      mark = take_refused_mark(*response);
    }
    if (response && mark == RefusedMark::None) {
      account_response(worker().loop(),
                       {endpoint.metrics(), started, grpc, std::move(lease), std::move(span)},
                       *response);
      co_return response;
    }
    const bool another = balanced && balanced->balancer().usable_besides(&endpoint);
    const bool behind = response.has_value();
    const bool unanswered = mark == RefusedMark::Unanswered;
    if (behind && another)
      endpoint.refused();  // what has a body could not be sent twice: ask the others first
    const bool safe = behind || unanswered ? another : mark == RefusedMark::Refused;
    if (safe && again > 0 && !(unanswered && repeated)) {
      --again;
      repeated |= unanswered;
      const std::string_view reason = unanswered ? "unanswered"
                                      : behind   ? "application"
                                                 : "refused";
      worker().metrics().redispatched.get({{"reason", reason}})->add();
      failed = forward;
      continue;
    }
    if (response) {
      account_response(worker().loop(),
                       {endpoint.metrics(), started, grpc, std::move(lease), std::move(span)},
                       *response);
    } else {
      account_failure(*endpoint.metrics(), response.error());
    }
    co_return response;
  }
}

net::Task<Result<http::Response>> OutboundHttp::handle(http::Request request) {
  const bool http2 = request.version == http::Version::Http2;
  // Hop-by-hop fields go first, so that Connection can name nothing that policy adds.
  if (!http2) http1::strip_hop_headers(request.headers, request.wants_upgrade);
  const Result<void> settled = http1::settle_host(request);
  if (!settled) co_return refuse(request, Cause::BadRequest, settled.error().where);
  Plan& plan = session_.current();
  const std::shared_ptr<Plan> keep = session_.plan;  // for this request, whatever changes meanwhile
  const ClientPolicy& policy = *plan.policy;
  if (!policy.invalid.empty()) {
    co_return refuse(request, Cause::InvalidPolicy, "invalid client policy configuration");
  }
  const auto& routes = http2 ? policy.http2 : policy.http1;
  auto& planned = http2 ? plan.http2 : plan.http1;
  const std::optional<Found> found = find_route(routes, request);
  if (!found) co_return refuse(request, Cause::NoRoute, "no route found for request");
  const OutboundRule& rule = routes[found->route].rules[found->rule];
  PlannedRule& planned_rule = planned[found->route][found->rule];
  RouteSpan span =
      begin_span(worker().loop(), planned_rule.metrics(worker(), request.authority), request);
  // Answers that need no backend. `error`: what failed; empty when policy asked for the answer.
  const auto answer = [&](http::Response response, std::string_view error) {
    RouteOutcome outcome{std::nullopt, error};
    if (error.empty()) outcome.status = response.status;
    if (const auto code = response.headers.get("grpc-status"))
      outcome.status = parse_number<unsigned>(*code);
    span.ended(outcome, worker().loop().now());
    return response;
  };
  std::optional<http::Response> answered = apply_filters(request, rule.filters, found->match);
  if (answered) co_return answer(std::move(*answered), {});
  PlannedBackend* const backend = planned_rule.distribution.choose(worker().random());
  if (backend == nullptr) {
    co_return answer(refuse(request, Cause::NoBackend, "no backend for the request"), "LOAD_SHED");
  }
  answered = apply_filters(request, backend->spec->filters, found->match);
  if (answered) co_return answer(std::move(*answered), {});
  if (backend->spec->kind == Backend::Kind::Fail) {
    const Meta& meta = backend->spec->meta;
    const std::string message =
        concat("backend for ", meta.kind, " ", meta.ns, "/", meta.name, " has no dispatcher");
    co_return answer(refuse(request, Cause::BackendUndefined, message), "UNKNOWN");
  }
  ProxyWide& wide = worker().wide();
  if (wide.in_flight_outbound.load(std::memory_order_relaxed) >=
      worker().config().outbound.max_in_flight) {
    worker().metrics().shed.get({{"direction", "outbound"}, {"reason", "requests"}})->add();
    co_return answer(refuse(request, Cause::LoadShed, "too many requests in flight"), "LOAD_SHED");
  }
  if (wide.memory.short_of(worker().loop().now())) {
    worker().metrics().shed.get({{"direction", "outbound"}, {"reason", "memory"}})->add();
    co_return answer(refuse(request, Cause::LoadShed, "the proxy is short of memory"), "LOAD_SHED");
  }

  // Removed in any case; what names nobody asks for nothing.
  std::string required;
  if (const auto id = request.headers.get("l5d-require-id")) {
    if (config::is_dns_name(*id) || id->find("://") != std::string_view::npos) required = *id;
    request.headers.remove("l5d-require-id");
  }
  http::RequestHead asked;
  asked.version = request.version;
  const bool grpc = is_grpc(request);
  if (grpc) asked.headers.add("content-type", "application/grpc");
  span.backend = backend->metrics;
  span.backend->began();
  Result<http::Response> response = Error{Errc::Internal, ""};
  {
    const InFlight in_flight(wide.in_flight_outbound);
    response = co_await send(*backend, std::move(request), std::move(required), span);
  }
  if (!response) {
    const Error& error = response.error();
    Cause cause = cause_of(error);
    if (error.where.starts_with("the endpoint is not who")) cause = Cause::RequireIdMismatch;
    const bool h2_error = http2 && error.code == Errc::Reset && error.detail != 0;
    // What an endpoint failed to do is an answer of that endpoint; what stands before it is an
    // error.
    const bool by_endpoint =
        !h2_error && (cause == Cause::ConnectFailed || cause == Cause::ConnectTimeout);
    RouteOutcome outcome{std::nullopt, by_endpoint ? std::string_view{} : route_error(error)};
    const bool counts_grpc = span.route->grpc();
    if (by_endpoint) outcome.status = counts_grpc ? info_of(cause).grpc : info_of(cause).status;
    span.ended(outcome, worker().loop().now());
    if (h2_error) co_return error;
    std::string message;
    if (backend->balanced) {
      const std::size_t count = backend->balanced->balancer().endpoints().endpoints.size();
      message = concat("service ", backend->balanced->path(), " (", std::to_string(count),
                       " endpoints): ", error.where);
    } else {
      message = concat("endpoint ", backend->spec->endpoint->addr.to_string(), ": ", error.where);
    }
    co_return refuse(asked, cause, message);
  }
  if (grpc) rescue_grpc_body(response->body, worker().config().informational_headers);
  // What a peer's proxy says of errors is for us, not for the application.
  response->headers.remove("l5d-proxy-error");
  const bool close = response->headers.has_token("l5d-proxy-connection", "close");
  response->headers.remove("l5d-proxy-connection");
  if (close && backend->forward && backend->forward->meshed() && !http2)
    response->close_connection = true;
  if (!http2) {
    http1::strip_hop_headers(response->headers, response->status == 101);
  } else {
    response->version = http::Version::Http2;
  }
  for (const Filter& filter : rule.filters) {
    if (filter.kind == Filter::Kind::ResponseHeaders) filter.edit.apply(response->headers);
  }
  for (const Filter& filter : backend->spec->filters) {
    if (filter.kind == Filter::Kind::ResponseHeaders) filter.edit.apply(response->headers);
  }
  co_return response;
}

}  // namespace

net::Task<void> serve_outbound_http(OutboundSession session, bool http2) {
  OutboundHttp handler(session);
  if (session.source != nullptr) session.source->settled();
  const SideConfig& config = session.worker.config().outbound;
  const net::Guard guard = session.worker.guard(session.client.ip);
  if (http2) {
    h2::ServerOptions options;
    options.stream_window = config.h2_stream_window;
    options.connection_window = config.h2_connection_window;
    options.max_frame_size = config.h2_max_frame;
    options.max_header_list = header_list_limit(config);
    options.max_pending_resets = config.h2_max_pending_reset;
    options.send_buffer = config.h2_send_buffer;
    options.ping_interval = config.h2_ping_interval;
    if (config.h2_ping_timeout) options.ping_timeout = *config.h2_ping_timeout;
    if (config.h2_max_concurrent != 0) options.max_concurrent_streams = config.h2_max_concurrent;
    options.guard = guard;
    co_await h2::serve(std::move(session.stream), handler, options,
                       session.worker.outbound_drain());
  } else {
    http1::ServerOptions options;
    options.guard = guard;
    options.limits = http1_limits(config);
    co_await http1::serve(std::move(session.stream), handler, options,
                          session.worker.outbound_drain());
  }
}

}  // namespace tulle::proxy
