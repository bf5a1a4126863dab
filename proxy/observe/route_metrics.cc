// SPDX-License-Identifier: Apache-2.0
#include "proxy/observe/route_metrics.h"

#include "lib/base/text.h"
#include "lib/grpc/status.h"

namespace tulle::proxy {
namespace {

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

class RequestObserver final : public http::BodyObserver {
 public:
  RequestObserver(net::Loop& loop, RouteMetricsPtr route, std::shared_ptr<TimePoint> ended)
      : loop_(loop), route_(std::move(route)), ended_(std::move(ended)) {}
  void on_data(std::size_t n) override { route_->request_frame(n); }
  void on_end(const Error* /*error*/, const http::HeaderMap* /*trailers*/) override {
    *ended_ = loop_.now();
  }

 private:
  net::Loop& loop_;
  RouteMetricsPtr route_;
  std::shared_ptr<TimePoint> ended_;
};

}  // namespace

RouteMetrics::RouteMetrics(const Families& families, metrics::Labels labels)
    : families_(families), labels_(std::move(labels)) {
  if (families.requests != nullptr) requests_ = families.requests->get(labels_);
  if (families.request_duration != nullptr)
    request_duration_ = families.request_duration->get(labels_);
  if (families.response_duration != nullptr)
    response_duration_ = families.response_duration->get(labels_);
  if (families.request_frames != nullptr) request_frames_ = families.request_frames->get(labels_);
  if (families.response_frames != nullptr)
    response_frames_ = families.response_frames->get(labels_);
}

void RouteMetrics::ended(const RouteOutcome& outcome, Duration since_head, Duration since_request) {
  if (request_duration_) request_duration_->observe(seconds(since_head));
  if (response_duration_) response_duration_->observe(seconds(since_request));
  if (families_.statuses == nullptr) return;
  const int status = outcome.status ? static_cast<int>(*outcome.status) : -1;
  for (const ByOutcome& known : statuses_) {
    if (known.status == status && known.error == outcome.error) {
      known.counter->add();
      return;
    }
  }
  metrics::Labels labels = labels_;
  std::string code;
  if (families_.grpc && !families_.inbound) {
    code = grpc_code_name(outcome.status.value_or(2));
  } else if (outcome.status) {
    append_number(code, *outcome.status);
  }
  if (families_.inbound) {
    labels.add("status", code);
  } else {
    labels.add(families_.grpc ? "grpc_status" : "http_status", code).add("error", outcome.error);
  }
  std::shared_ptr<metrics::Counter> counter = families_.statuses->get(labels);
  counter->add();
  if (statuses_.size() < 64) statuses_.push_back({status, outcome.error, std::move(counter)});
}

std::string_view grpc_code_name(unsigned code) noexcept {
  return grpc::to_string(static_cast<grpc::Code>(code));
}

std::string_view route_error(const Error& error) noexcept {
  switch (error.code) {
    case Errc::Unavailable: return error.where == "discovery failed" ? "UNKNOWN" : "FAIL_FAST";
    case Errc::ResourceExhausted: return "LOAD_SHED";
    case Errc::Cancelled: return "CANCEL";
    case Errc::Refused: return "REFUSED";
    case Errc::Io:
    case Errc::Unanswered:
    case Errc::Eof: return "IO";
    case Errc::Reset:
      if (error.detail == 7) return "REFUSED";
      if (error.detail == 8) return "CANCEL";
      if (error.detail == 11) return "ENHANCE_YOUR_CALM";
      return error.detail == 0 ? "IO" : "RESET";
    default: return "UNKNOWN";
  }
}

void RouteSpan::ended(const RouteOutcome& outcome, TimePoint now) const {
  const TimePoint request_end = request_ended ? std::min(*request_ended, now) : started;
  if (route) route->ended(outcome, now - started, now - request_end);
  if (backend) backend->ended(outcome, now - started, now - request_end);
}

RouteSpan begin_span(net::Loop& loop, RouteMetricsPtr route, http::Request& request) {
  RouteSpan span;
  span.started = loop.now();
  route->began();
  if (request.body.has_value()) {
    span.request_ended = std::make_shared<TimePoint>(kNever);
    request.body.observe(std::make_unique<RequestObserver>(loop, route, span.request_ended));
  }
  span.route = std::move(route);
  return span;
}

}  // namespace tulle::proxy
