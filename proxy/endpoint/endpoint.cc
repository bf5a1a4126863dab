// SPDX-License-Identifier: Apache-2.0
#include "proxy/endpoint/endpoint.h"

#include "proxy/config/limits.h"
#include "proxy/protocol/mesh_tls.h"
#include "proxy/protocol/orig_proto.h"
#include "proxy/protocol/transport_header.h"

namespace tulle::proxy {
namespace {

PoolOptions pool_options(const Config& config, const EndpointInfo& info) {
  PoolOptions options;
  options.http1_idle = config.outbound.pool_idle;
  options.http1 = http1_limits(config.outbound);
  options.h2.carries_http1 = kOrigProto;
  options.h2.max_header_list = carried_list_limit(config.outbound);
  options.max_idle = config.outbound.max_idle_per_endpoint;
  options.h2.stream_window =
      info.stream_window != 0 ? info.stream_window : config.h2_client_stream_window;
  options.h2.connection_window =
      info.connection_window != 0 ? info.connection_window : config.h2_client_connection_window;
  if (info.keep_alive) {
    options.h2.ping_interval = info.keep_alive->interval;
    options.h2.ping_timeout = info.keep_alive->timeout;
    options.h2.ping_while_idle = info.keep_alive->while_idle;
  } else if (info.meshed()) {
    // A proxy that is dead is noticed also when nobody asked for it (docs/design.md §3.17). Other
    // servers may take such PINGs for an attack: those of gRPC end a connection that has more than
    // a few in five minutes.
    options.h2.ping_interval = 10s;
    options.h2.ping_timeout = 3s;
  }
  return options;
}

std::string_view zone_locality(const EndpointInfo& info) noexcept {
  for (const auto& [name, value] : info.labels) {
    if (name != "zone_locality") continue;
    return value == "local" ? "Local" : value == "remote" ? "Remote" : "Unknown";
  }
  return "Unknown";
}

BackoffOptions retry_options(const Config& config) {
  BackoffOptions options = config.outbound.backoff;
  // Endpoints are dialled when there are requests: one that has come back must not stay out long.
  options.max = std::min<Duration>(options.max, 1s);
  options.min = std::min(options.min, options.max);
  return options;
}

// A client that waits for 100 (RFC 9110 §10.1.1) before it sends its body gets it from us where the
// peer's proxy would keep to itself what the application says in between: it hears that the way is
// free, the application that the client expects. What comes later all the same is one too many.
class ContinueSent final : public http::InformationalSink {
 public:
  ContinueSent(http::Request& request, bool needed) : request_(request) {
    if (!needed || request.informational == nullptr || !request.body.has_value() ||
        !request.headers.has_token("expect", "100-continue")) {
      return;
    }
    client_ = std::exchange(request.informational, this);
    http::ResponseHead head;
    head.status = 100;
    client_->on_informational(std::move(head));
  }
  ~ContinueSent() {
    if (client_ != nullptr) request_.informational = client_;
  }
  ContinueSent(const ContinueSent&) = delete;
  ContinueSent& operator=(const ContinueSent&) = delete;

  void on_informational(http::ResponseHead head) override {
    if (head.status != 100) client_->on_informational(std::move(head));
  }

 private:
  http::Request& request_;
  http::InformationalSink* client_ = nullptr;
};

}  // namespace

Endpoint::Endpoint(const EndpointContext& context, EndpointPtr info, std::string_view authority)
    : context_(context),
      info_(std::move(info)),
      own_(context.config.is_own(info_->addr.ip)),
      backoff_(retry_options(context.config), context.random.next()),
      authority_(authority),
      pool_(context.loop, *this, pool_options(context.config, *info_), context.random.next()) {}

Endpoint::~Endpoint() = default;

const std::shared_ptr<EndpointMetrics>& Endpoint::metrics() {
  if (!metrics_) metrics_ = context_.metrics.endpoint(endpoint_labels(*info_, own_, authority_));
  return metrics_;
}

const std::shared_ptr<TransportMetrics>& Endpoint::transport() {
  if (!transport_) {
    metrics::Labels labels;
    if (!authority_.empty()) labels.add("authority", authority_);
    labels.append(target_labels(info_->addr)).append(endpoint_tls_labels(*info_, own_));
    for (const auto& [name, value] : info_->labels) labels.add("dst_" + name, value);
    transport_ = context_.metrics.transport(Direction::Outbound, false, labels);
    transport_->cost = context_.metrics.transfer_cost(zone_locality(*info_));
  }
  return transport_;
}

net::SocketAddr Endpoint::dial_addr() const noexcept {
  net::SocketAddr to = info_->addr;
  if (meshed() && info_->transport_port != 0) to.port = info_->transport_port;
  return to;
}

bool Endpoint::usable() const noexcept { return context_.loop.now() >= failed_until_; }

net::Task<Result<Dialled>> Endpoint::dial(Session session) {
  Result<Dialled> stream = co_await dial_once(session);
  if (stream) {
    works();
    tulle_ = stream->tulle;
  } else {
    failed_now();
    unreachable_ = true;
    tried_ = session;
    context_.log.debug("endpoint not reached", {{"endpoint", info_->addr.to_string()},
                                                {"step", stream.error().where},
                                                {"error", to_string(stream.error().code)},
                                                {"errno", stream.error().os_errno}});
  }
  co_return stream;
}

net::Task<Result<Dialled>> Endpoint::dial_once(Session session) {
  const Config& config = context_.config;
  const Deadline by = context_.loop.after(config.outbound.connect_timeout);
  const bool mesh = meshed();
  if (!own_ && info_->tls_broken)
    co_return Error{Errc::Unauthenticated, "the endpoint's identity cannot be used"};
  if (Dialer* const instead = context_.instead) co_return co_await instead->dial(session);
  auto tcp = co_await net::connect_tcp(context_.loop, context_.sockets, dial_addr(),
                                       config.outbound.connect, by);
  if (!tcp) co_return tcp.error();
  auto counted = std::make_unique<CountedStream>(std::move(*tcp), context_.accounts);
  counted->set_metrics(transport());
  Dialled dialled;
  if (!mesh) {
    dialled.stream = std::move(counted);
    co_return dialled;
  }

  const bool transport = info_->transport_port != 0 || !info_->authority_override.empty();
  Result<MeshConnected> connected = co_await connect_mesh(
      std::move(counted), context_.credentials, info_->server_name, info_->identity, transport, by);
  if (!connected) co_return connected.error();
  if (transport && connected->transport) {
    TransportHeader header;
    header.port = info_->addr.port;
    const auto colon = info_->authority_override.rfind(':');
    if (colon != std::string::npos) {
      header.name = info_->authority_override.substr(0, colon);
      header.port =
          parse_number<std::uint16_t>(std::string_view(info_->authority_override).substr(colon + 1))
              .value_or(header.port);
    }
    header.session = info_->hint == EndpointInfo::Hint::Opaque ? Session::Opaque : session;
    const std::string bytes = encode_transport_header(header);
    Result<void> written = co_await net::write_all(*connected->stream, as_bytes(bytes), by);
    if (!written) co_return written.error();
  } else if (info_->transport_port != 0) {
    // Without the header the peer could not know the port: nothing may be sent.
    co_return Error{Errc::Tls, "the peer did not agree to the transport header"};
  }
  dialled.stream = std::move(connected->stream);
  dialled.tulle = connected->tulle;
  co_return dialled;
}

net::Task<Result<net::StreamPtr>> Endpoint::connect() {
  Result<Dialled> dialled = co_await dial(Session::Opaque);
  if (!dialled) co_return dialled.error();
  co_return std::move(dialled->stream);
}

Endpoint::Carried Endpoint::how(const http::Request& request) const noexcept {
  if (request.version == http::Version::Http2) return Carried::Http2;
  const bool in_http2 = !own_ && info_->hint == EndpointInfo::Hint::H2 && !request.wants_upgrade;
  return in_http2 ? Carried::Http1InHttp2 : Carried::Http1;
}

bool Endpoint::keeps(const http::Request& request) noexcept {
  return request.version != http::Version::Http10 && !request.authority.empty() &&
         !request.wants_upgrade;
}

bool Endpoint::ready(const http::Request& request) {
  if (how(request) != Carried::Http1) return pool_.http2_ready();
  if (!info_->authority_override.empty()) return true;  // kept under another name: send() dials
  return pool_.http1_ready(request, keeps(request));
}

net::Task<Result<void>> Endpoint::prepare(const http::Request& request) {
  if (how(request) != Carried::Http1) return pool_.prepare_http2(Deadline::never());
  return pool_.prepare_http1(request, keeps(request));
}

net::Task<Result<http::Response>> Endpoint::send(http::Request& request, Deadline by) {
  metrics()->requests->add();
  if (!own_ && !info_->authority_override.empty()) {
    request.authority = info_->authority_override;
    request.headers.remove("host");
    request.headers.remove("l5d-dst-canonical");
  }
  const Carried carried = how(request);
  if (carried != Carried::Http1 && !pool_.http2_ready()) {
    const Result<void> ready = co_await pool_.prepare_http2(by);
    if (!ready) co_return ready.error();
  }
  // Known of the connection that this request takes: nothing is awaited between here and there.
  const bool tulle = carried == Carried::Http1 ? tulle_ : pool_.http2_to_tulle();
  ContinueSent continued(request, meshed() && !tulle);
  if (carried == Carried::Http1) {
    const bool keep = keeps(request);
    co_return co_await pool_.send_http1(request, keep, by);
  }
  Upgraded upgraded;
  if (carried == Carried::Http1InHttp2) upgraded = upgrade(request, tulle);
  Result<http::Response> response = co_await pool_.send_http2(request, by);
  if (response) answered();
  if (carried == Carried::Http2) co_return response;
  // It may go to another endpoint (a 502 may say that the application refused): then as it came.
  const bool again =
      response ? response->status == 502 : refused_mark(response.error()) != RefusedMark::None;
  if (again) undo_upgrade(request, upgraded);
  if (response) downgrade_response(*response, upgraded);
  co_return response;
}

Upgraded Endpoint::upgrade(http::Request& request, bool tulle) {
  if (tulle || !request.authority.empty()) return upgrade_request(request, {.tulle = tulle});
  const std::string authority = authority_.empty() ? info_->addr.to_string() : authority_;
  return upgrade_request(request, {.default_authority = authority});
}

void Endpoint::works() noexcept {
  backoff_.reset();
  failed_until_ = TimePoint{};
  unreachable_ = false;
}

void Endpoint::answered() noexcept {
  if (usable() && failing()) works();
}

void Endpoint::failed_now() { failed_until_ = context_.loop.now() + backoff_.next(); }

void Endpoint::lost() {
  failed_now();
  unreachable_ = true;
  tried_ = Session::Http2;
  context_.log.debug("endpoint is silent", {{"endpoint", info_->addr.to_string()}});
}

// Its connections may live, but it is not asked first.
void Endpoint::refused() {
  failed_now();
  context_.log.debug("endpoint does not serve", {{"endpoint", info_->addr.to_string()}});
}

void Endpoint::probe() {
  if (!unreachable_ || probing_ || !usable() || (!own_ && info_->tls_broken)) return;
  probing_ = true;
  probes_.spawn(probe_once());
}

// Requests find the connection of HTTP/2 that this makes. For others there would be nobody to use
// one: that the kernel there takes a connection, and the application or proxy sees it end, is
// reason enough for one request to try, while the back-off goes on growing until that one works.
net::Task<void> Endpoint::probe_once() {
  if (tried_ == Session::Http2) {
    const Result<void> reached = co_await pool_.prepare_http2(Deadline::never());
    if (reached) works();  // by a connection that stands already, perhaps
  } else {
    bool reached = false;
    if (Dialer* const instead = context_.instead) {
      const Result<Dialled> stream = co_await instead->dial(tried_);
      reached = static_cast<bool>(stream);
    } else {
      const Config& config = context_.config;
      const auto tcp = co_await net::connect_tcp(
          context_.loop, context_.sockets, dial_addr(), config.outbound.connect,
          context_.loop.after(config.outbound.connect_timeout));
      reached = static_cast<bool>(tcp);
    }
    if (reached) {
      unreachable_ = false;
    } else if (unreachable_) {  // no request reached it meanwhile
      failed_now();
    }
  }
  probing_ = false;
}

}  // namespace tulle::proxy
