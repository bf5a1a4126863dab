// SPDX-License-Identifier: Apache-2.0
// Counts of the requests of one route, or of one route's backend (docs/reference/proxy.md §6.3 and
// §6.4): the families inbound_{http,grpc}_*, outbound_{http,grpc}_route_* and
// outbound_{http,grpc}_route_backend_*. One object per worker and set of labels; made where a
// policy becomes a plan.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/http/body.h"
#include "lib/http/message.h"
#include "lib/metrics/metrics.h"

namespace tulle::proxy {

// How a request ended, as the status families tell it.
struct RouteOutcome {
  std::optional<unsigned> status;  // HTTP status or gRPC code
  std::string_view error;          // "FAIL_FAST" and such; a literal
};

class RouteMetrics {
 public:
  // The families of one kind; null where it has none.
  struct Families {
    metrics::Family<metrics::Counter>* requests = nullptr;
    metrics::Family<metrics::Histogram>* request_duration =
        nullptr;  // head to the end of the answer
    metrics::Family<metrics::Histogram>* response_duration =
        nullptr;  // end of the request to the end of the answer
    metrics::Family<metrics::Histogram>* request_frames = nullptr;
    metrics::Family<metrics::Histogram>* response_frames = nullptr;
    metrics::Family<metrics::Counter>* statuses = nullptr;
    bool grpc = false;
    bool inbound = false;  // one label "status" instead of http_status or grpc_status, and error
  };
  RouteMetrics(const Families& families, metrics::Labels labels);

  bool grpc() const noexcept { return families_.grpc; }
  void began() {
    if (requests_) requests_->add();
  }
  // The request is over; times are those since its head, and since its body's end.
  void ended(const RouteOutcome& outcome, Duration since_head, Duration since_request);
  void request_frame(std::size_t n) {
    if (request_frames_) request_frames_->observe(static_cast<double>(n));
  }
  void response_frame(std::size_t n) {
    if (response_frames_) response_frames_->observe(static_cast<double>(n));
  }
  bool counts_request_frames() const noexcept { return request_frames_ != nullptr; }

 private:
  struct ByOutcome {
    int status;  // -1: none
    std::string_view error;
    std::shared_ptr<metrics::Counter> counter;
  };
  const Families families_;
  const metrics::Labels labels_;
  std::shared_ptr<metrics::Counter> requests_;
  std::shared_ptr<metrics::Histogram> request_duration_;
  std::shared_ptr<metrics::Histogram> response_duration_;
  std::shared_ptr<metrics::Histogram> request_frames_;
  std::shared_ptr<metrics::Histogram> response_frames_;
  std::vector<ByOutcome> statuses_;
};
using RouteMetricsPtr = std::shared_ptr<RouteMetrics>;

// "UNAVAILABLE" for 14; "UNKNOWN" for codes that do not exist.
std::string_view grpc_code_name(unsigned code) noexcept;
// The label of an error that ended a stream.
std::string_view route_error(const Error& error) noexcept;

// One request as its routes see it: counts frames of its body and when it was over. Lives as long
// as the answer's body.
struct RouteSpan {
  RouteMetricsPtr route;
  RouteMetricsPtr backend;  // outbound only
  TimePoint started{};
  // When the request's body had ended; still kNever while it goes on. Shared with the body's
  // observer.
  std::shared_ptr<TimePoint> request_ended;  // null: there was no body

  void ended(const RouteOutcome& outcome, TimePoint now) const;
  void response_frame(std::size_t n) const {
    if (route) route->response_frame(n);
    if (backend) backend->response_frame(n);
  }
};
// Begins a span; watches the request's body, if it has one.
RouteSpan begin_span(net::Loop& loop, RouteMetricsPtr route, http::Request& request);

}  // namespace tulle::proxy
