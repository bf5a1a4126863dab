// SPDX-License-Identifier: Apache-2.0
// One endpoint as a worker uses it: dials it (TCP, mesh TLS, transport header), carries requests
// over pooled connections in the version that it understands, remembers when it cannot be reached
// (docs/reference/proxy.md §3.9).
#pragma once

#include <memory>
#include <string>

#include "lib/http/message.h"
#include "lib/log/log.h"
#include "lib/net/socket.h"
#include "lib/tls/credentials.h"
#include "proxy/config/backoff.h"
#include "proxy/config/config.h"
#include "proxy/endpoint/dialer.h"
#include "proxy/endpoint/http_pool.h"
#include "proxy/observe/counted_stream.h"
#include "proxy/observe/metrics.h"
#include "proxy/protocol/orig_proto.h"
#include "proxy/snapshot/endpoint_info.h"

namespace tulle::proxy {

// What endpoints use of their worker, which outlives them.
struct EndpointContext {
  net::Loop& loop;
  const Config& config;
  net::SocketFactory& sockets;
  Metrics& metrics;
  const log::Logger& log;
  AccountList& accounts;
  Random& random;
  // Null before the first certificate; new handshakes use whatever is current.
  const std::shared_ptr<const tls::Credentials>& credentials;
  Dialer* instead = nullptr;  // makes every connection, instead of TCP and mesh TLS (tests)
};

class Endpoint final : public Dialer {
 public:
  // `authority`: of the backend that balances over it, for metrics.
  Endpoint(const EndpointContext& context, EndpointPtr info, std::string_view authority = {});
  ~Endpoint();

  const EndpointInfo& info() const noexcept { return *info_; }
  // The address is the pod's own: plain text, no hints, no overrides.
  bool is_own() const noexcept { return own_; }
  // Made with the first request: an address that is only looked at costs no series.
  const std::shared_ptr<EndpointMetrics>& metrics();
  HttpPool& pool() noexcept { return pool_; }
  bool meshed() const noexcept { return !own_ && info_->meshed(); }
  // The peer that was dialled last is a proxy of our kind. Requests go by the connection that it
  // takes.
  bool tulle() const noexcept { return tulle_; }

  // False for a while after it could not be reached, a peer fell silent or an application refused.
  bool usable() const noexcept;
  TimePoint retry_at() const noexcept { return failed_until_; }
  // It could not be reached, or did not serve, when it was last tried.
  bool failing() const noexcept { return failed_until_ != TimePoint{}; }
  // It fails because it could not be reached or fell silent: a dial tells when that is over, and no
  // request has to wait for it.
  bool unreachable() const noexcept { return unreachable_; }
  // Tries to reach an unreachable endpoint, beside all requests, if it is time for that.
  void probe();
  void drain() { pool_.drain(); }

  // Could this request be sent now, without a dial? If not, prepare() makes it so; when that fails,
  // nothing of the request has been touched. The request must be sent right after, with no other
  // await in between.
  bool ready(const http::Request& request);
  net::Task<Result<void>> prepare(const http::Request& request);
  // Sends one request. The response head tells the version that the application spoke. Errors of
  // the connection, not of policy. Refused: it was not processed, and a request without a body is
  // again what it was.
  net::Task<Result<http::Response>> send(http::Request& request, Deadline by);
  // A connection for bytes.
  net::Task<Result<net::StreamPtr>> connect();

  net::Task<Result<Dialled>> dial(Session session) override;
  void lost() override;
  // Its application refuses what it carries there: only a request can tell when that is over.
  void refused();

 private:
  enum class Carried : std::uint8_t { Http2, Http1, Http1InHttp2 };
  Carried how(const http::Request& request) const noexcept;
  static bool keeps(const http::Request& request) noexcept;
  Upgraded upgrade(http::Request& request, bool tulle);
  void failed_now();
  void works() noexcept;     // ends what failed_now() began
  void answered() noexcept;  // the same if it was time to try again
  net::Task<void> probe_once();
  net::SocketAddr dial_addr() const noexcept;
  net::Task<Result<Dialled>> dial_once(Session session);
  const std::shared_ptr<TransportMetrics>& transport();

  const EndpointContext& context_;
  EndpointPtr info_;
  bool own_;
  Backoff backoff_;
  TimePoint failed_until_{};
  Session tried_ = Session::Http2;  // what could not be dialled
  bool unreachable_ = false;
  bool tulle_ = false;
  bool probing_ = false;
  std::string authority_;
  std::shared_ptr<EndpointMetrics> metrics_;     // null before the first request
  std::shared_ptr<TransportMetrics> transport_;  // null before the first connection
  HttpPool pool_;
  net::TaskScope probes_;  // last: its task uses the rest
};

}  // namespace tulle::proxy
