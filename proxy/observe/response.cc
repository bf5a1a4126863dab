// SPDX-License-Identifier: Apache-2.0
#include "proxy/observe/response.h"

#include <charconv>
#include <optional>
#include <string>

#include "lib/base/text.h"

namespace tulle::proxy {
namespace {

double milliseconds(Duration duration) { return static_cast<double>(duration.count()) / 1e6; }

std::optional<unsigned> grpc_status(const http::HeaderMap* headers) {
  if (headers == nullptr) return std::nullopt;
  const auto text = headers->get("grpc-status");
  if (!text) return std::nullopt;
  return parse_number<unsigned>(*text).value_or(2);
}

std::string error_label(const Error& error) {
  if (error.code == Errc::Timeout) return "timeout";
  if (error.code == Errc::Reset && error.detail != 0) {
    static constexpr std::string_view kNames[] = {
        "NO_ERROR",       "PROTOCOL_ERROR",    "INTERNAL_ERROR",     "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT", "STREAM_CLOSED",   "FRAME_SIZE_ERROR",   "REFUSED_STREAM",
        "CANCEL",         "COMPRESSION_ERROR", "CONNECT_ERROR",      "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"};
    if (error.detail < std::size(kNames)) return concat("h2(", kNames[error.detail], ")");
  }
  return "unclassified";
}

class Accountant final : public http::BodyObserver {
 public:
  Accountant(net::Loop& loop, std::shared_ptr<EndpointMetrics> metrics, TimePoint started, bool grpc,
             std::uint16_t status, std::optional<unsigned> header_status, Balancer::Lease lease)
      : loop_(loop),
        metrics_(std::move(metrics)),
        by_status_(metrics_->of(status)),
        started_(started),
        lease_(std::move(lease)),
        header_status_(header_status),
        grpc_(grpc) {}

  void on_data(std::size_t /*n*/) override { first(); }
  void on_end(const Error* error, const http::HeaderMap* trailers) override {
    first();
    if (error != nullptr) {
      metrics_->response(by_status_.status, false, "", error_label(*error))->add();
      return;
    }
    if (grpc_) {
      const auto code = header_status_ ? header_status_ : grpc_status(trailers);
      char text[12];
      const unsigned value = code.value_or(2);
      const auto end = std::to_chars(text, text + sizeof text, value).ptr;
      // A stream that ends without a status counts as success with status 2.
      const bool success = !code || !grpc_failure(value);
      metrics_->response(by_status_.status, success,
                         std::string_view(text, static_cast<std::size_t>(end - text)), "")->add();
      return;
    }
    (by_status_.status >= 500 ? by_status_.failure : by_status_.success)->add();
  }

 private:
  void first() {
    if (seen_) return;
    seen_ = true;
    const Duration took = loop_.now() - started_;
    by_status_.latency->observe(milliseconds(took));
    if (lease_) {
      lease_.record(took);
      lease_ = Balancer::Lease{};
    }
  }
  net::Loop& loop_;
  std::shared_ptr<EndpointMetrics> metrics_;
  EndpointMetrics::ByStatus& by_status_;
  TimePoint started_;
  Balancer::Lease lease_;
  std::optional<unsigned> header_status_;
  bool grpc_;
  bool seen_ = false;
};

}  // namespace

bool grpc_failure(unsigned code) noexcept {
  return code == 2 || code == 4 || code == 7 || code == 13 || code == 14 || code == 15;
}

void account_response(net::Loop& loop, std::shared_ptr<EndpointMetrics> metrics, TimePoint started,
                      bool grpc, http::Response& response, Balancer::Lease lease) {
  const auto header_status = grpc ? grpc_status(&response.headers) : std::nullopt;
  response.body.observe(std::make_unique<Accountant>(loop, std::move(metrics), started, grpc,
                                                     response.status, header_status, std::move(lease)));
}

void account_failure(EndpointMetrics& metrics, const Error& error) {
  metrics.response(502, false, "", error_label(error))->add();
}

}  // namespace tulle::proxy
