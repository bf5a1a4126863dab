// SPDX-License-Identifier: Apache-2.0
#include "proxy/request/response.h"

#include <algorithm>
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
    static constexpr std::string_view kNames[] = {"NO_ERROR",
                                                  "PROTOCOL_ERROR",
                                                  "INTERNAL_ERROR",
                                                  "FLOW_CONTROL_ERROR",
                                                  "SETTINGS_TIMEOUT",
                                                  "STREAM_CLOSED",
                                                  "FRAME_SIZE_ERROR",
                                                  "REFUSED_STREAM",
                                                  "CANCEL",
                                                  "COMPRESSION_ERROR",
                                                  "CONNECT_ERROR",
                                                  "ENHANCE_YOUR_CALM",
                                                  "INADEQUATE_SECURITY",
                                                  "HTTP_1_1_REQUIRED"};
    if (error.detail < std::size(kNames)) return concat("h2(", kNames[error.detail], ")");
  }
  return "unclassified";
}

class Accountant final : public http::BodyObserver {
 public:
  Accountant(net::Loop& loop, ResponseAccount account, const http::Response& response)
      : loop_(loop),
        account_(std::move(account)),
        by_status_(account_.endpoint->of(response.status)),
        counts_grpc_(account_.grpc || (account_.routes.route && account_.routes.route->grpc())),
        header_status_(counts_grpc_ ? grpc_status(&response.headers) : std::nullopt),
        penalty_(
            account_.lease && account_.lease.load_options().penalize
                ? load_penalty(account_.lease.load_options(), response, account_.grpc, wall_now())
                : Duration::zero()) {}

  void on_data(std::size_t n) override {
    first();
    account_.routes.response_frame(n);
  }
  void on_end(const Error* error, const http::HeaderMap* trailers) override {
    first();
    std::optional<unsigned> code = header_status_;
    if (!code && counts_grpc_) code = grpc_status(trailers);
    RouteOutcome outcome{by_status_.status,
                         error != nullptr ? route_error(*error) : std::string_view{}};
    if (account_.routes.route && account_.routes.route->grpc()) outcome.status = code;
    account_.routes.ended(outcome, loop_.now());
    EndpointMetrics& endpoint = *account_.endpoint;
    if (error != nullptr) {
      endpoint.response(by_status_.status, false, "", error_label(*error))->add();
      return;
    }
    if (account_.grpc) {
      char text[12];
      const unsigned value = code.value_or(2);
      const auto end = std::to_chars(text, text + sizeof text, value).ptr;
      // A stream that ends without a status counts as success with status 2.
      const bool success = !code || !grpc_failure(value);
      endpoint
          .response(by_status_.status, success,
                    std::string_view(text, static_cast<std::size_t>(end - text)), "")
          ->add();
      return;
    }
    (by_status_.status >= 500 ? by_status_.failure : by_status_.success)->add();
  }

 private:
  void first() {
    if (seen_) return;
    seen_ = true;
    const Duration took = loop_.now() - account_.started;
    by_status_.latency->observe(milliseconds(took));
    if (account_.lease) {
      account_.lease.record(std::max(took, penalty_));
      account_.lease = Balancer::Lease{};
    }
  }
  net::Loop& loop_;
  ResponseAccount account_;
  EndpointMetrics::ByStatus& by_status_;
  bool counts_grpc_;
  std::optional<unsigned> header_status_;
  Duration penalty_;
  bool seen_ = false;
};

// Seconds, or the one form of date that is still sent (RFC 9110 §5.6.7): "Sun, 06 Nov 1994 08:49:37
// GMT".
std::optional<Duration> retry_after(std::string_view text, WallTime now) {
  if (const auto seconds = parse_number<std::uint32_t>(text)) return std::chrono::seconds(*seconds);
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != 29 || !text.ends_with(" GMT")) return std::nullopt;
  const auto day = parse_number<unsigned>(text.substr(5, 2));
  const auto month = kMonths.find(text.substr(8, 3));
  const auto year = parse_number<int>(text.substr(12, 4));
  const auto hour = parse_number<int>(text.substr(17, 2));
  const auto minute = parse_number<int>(text.substr(20, 2));
  const auto second = parse_number<int>(text.substr(23, 2));
  if (!day || month == std::string_view::npos || month % 3 != 0 || !year || !hour || !minute ||
      !second)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month{static_cast<unsigned>(month / 3 + 1)},
                                         std::chrono::day{*day}};
  if (!date.ok()) return std::nullopt;
  const WallTime at = std::chrono::sys_days{date} + std::chrono::hours{*hour} +
                      std::chrono::minutes{*minute} + std::chrono::seconds{*second};
  return std::max<Duration>(at - now, Duration::zero());
}

}  // namespace

bool grpc_failure(unsigned code) noexcept {
  return code == 2 || code == 4 || code == 7 || code == 13 || code == 14 || code == 15;
}

Duration load_penalty(const EwmaOptions& options, const http::ResponseHead& response, bool grpc,
                      WallTime now) {
  if (!options.penalize) return Duration::zero();
  bool limited = response.status == 429 || response.status == 503;
  bool failed = limited || response.status >= 500;
  if (const auto code = grpc ? grpc_status(&response.headers) : std::nullopt) {
    limited = limited || *code == 8 || *code == 14;
    failed = failed || limited || *code == 2 || *code == 4 || *code == 13 || *code == 15;
  }
  if (!failed) return Duration::zero();
  std::optional<Duration> hint;
  if (const auto text = limited ? response.headers.get("retry-after") : std::nullopt)
    hint = retry_after(*text, now);
  if (const auto text = limited ? response.headers.get("grpc-retry-pushback-ms") : std::nullopt) {
    if (const auto ms = parse_number<std::uint32_t>(*text)) hint = std::chrono::milliseconds(*ms);
  }
  return std::max(options.penalty,
                  std::min(hint.value_or(Duration::zero()), options.max_retry_after));
}

void account_response(net::Loop& loop, ResponseAccount account, http::Response& response) {
  response.body.observe(std::make_unique<Accountant>(loop, std::move(account), response));
}

void account_failure(EndpointMetrics& metrics, const Error& error) {
  metrics.response(502, false, "", error_label(error))->add();
}

}  // namespace tulle::proxy
