// SPDX-License-Identifier: Apache-2.0
// HTTP connections to one place. HTTP/2: few connections that carry many requests, opened when
// needed. HTTP/1: one request at a time on each, kept by authority and target form for `idle` after
// use. Belongs to one worker. Nothing here chooses an endpoint or keeps metrics of requests.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "lib/base/text.h"
#include "lib/h2/connection.h"
#include "lib/http/message.h"
#include "lib/http1/connection.h"
#include "lib/net/loop.h"
#include "proxy/endpoint/dialer.h"

namespace tulle::proxy {

struct PoolOptions {
  Duration http1_idle = 3s;
  std::uint32_t max_idle = 10'000;
  // Where several pools to one place count their idle connections of HTTP/1: max_idle is then what
  // they keep together. Null: this pool alone. Must outlive the pool.
  std::size_t* shared_idle = nullptr;
  std::uint32_t max_http2 = 8;  // connections that may be opened because others are stalled
  Duration http2_idle = 60s;    // docs/design.md §3.4
  Duration http2_max_age = 1h;
  h2::ClientOptions h2;
  http1::Limits http1;  // of answers
};

class HttpPool final : http1::ClientOwner {
 public:
  // `dialer` must outlive the pool.
  HttpPool(net::Loop& loop, Dialer& dialer, PoolOptions options, std::uint64_t seed);
  ~HttpPool();
  HttpPool(const HttpPool&) = delete;
  HttpPool& operator=(const HttpPool&) = delete;

  // Could a request be sent now, without a dial?
  bool http2_ready() { return usable_http2() != nullptr; }
  // Would it go to a proxy of our kind, if it were sent now?
  bool http2_to_tulle();
  bool http1_ready(const http::Request& request, bool keep);
  // Makes it so, or tells the reason: then not one byte of any request was sent. Who sends at once
  // after it, with no other await in between, finds the connection.
  net::Task<Result<void>> prepare_http2(Deadline by);
  net::Task<Result<void>> prepare_http1(const http::Request& request, bool keep);

  // Dials if it must. The request must already be an HTTP/2 request. The head of the request is
  // left as it is: after Refused a request without a body can be sent elsewhere.
  net::Task<Result<http::Response>> send_http2(http::Request& request, Deadline by);
  // `keep`: may use and leave a pooled connection (HTTP/1.0, upgrades and requests without Host do
  // not). A request without a body that met a kept connection which had just been closed is sent
  // again, on a new one.
  net::Task<Result<http::Response>> send_http1(http::Request& request, bool keep, Deadline by);

  // No connection and nobody waiting for one.
  bool idle() const noexcept;
  // Connections finish what they carry and close; new ones may be dialled.
  void drain();
  std::size_t open_connections() const noexcept;

 private:
  struct Http2Slot;
  class Sweep;

  // One HTTP/1 connection. It stays where it is while it moves between the lists, so that a request
  // on a kept connection allocates nothing; connection.tag leads from the connection to it.
  struct Http1Slot {
    std::unique_ptr<http1::ClientConnection> connection;
    std::string key;  // empty: not to be kept
    TimePoint until{};
    std::list<Http1Slot>::iterator self;
  };
  using Http1List = std::list<Http1Slot>;
  void on_exchange_done(http1::ClientConnection& connection) override;
  Http1Slot& add(Http1List& list, std::unique_ptr<http1::ClientConnection> connection,
                 std::string key);
  http1::ClientConnection* take_idle(const std::string& key);
  Http2Slot* usable_http2();
  net::Task<void> dial_http2();
  void sweep();
  void schedule_sweep();
  void one_more_idle() noexcept;
  void one_less_idle() noexcept;
  // Empty: not to be kept. Valid until the next call.
  const std::string& http1_key(const http::Request& request, bool keep);

  net::Loop& loop_;
  Dialer& dialer_;
  PoolOptions options_;
  Random random_;
  std::vector<std::unique_ptr<Http2Slot>> http2_;
  std::unordered_map<std::string, Http1List> http1_;  // idle, the youngest last
  std::size_t http1_idle_ = 0;
  Http1List busy_;
  std::string key_;  // of http1_key()
  std::vector<std::unique_ptr<http1::ClientConnection>> dead_;
  bool draining_ = false;
  bool dialing_ = false;
  std::optional<Error> dial_error_;
  std::uint64_t dial_round_ = 0;
  net::Signal dialed_;
  std::unique_ptr<Sweep> sweep_;
  net::TaskScope scope_;  // last: its tasks use the rest
};

}  // namespace tulle::proxy
