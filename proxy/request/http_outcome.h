// SPDX-License-Identifier: Apache-2.0
// Answers that the proxy makes itself when it cannot pass on the application's: one table from
// causes to status, gRPC code and whether the connection closes (docs/reference/proxy.md §2.8 and
// §3.11).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/http/message.h"

namespace tulle::proxy {

// Why a request is answered by the proxy.
enum class Cause : std::uint8_t {
  BadRequest,  // it could be read two ways
  // Inbound policy, and what no policy can say.
  NoRoute,
  Unauthorized,
  RateLimited,
  InvalidPolicy,
  PolicyUnknown,
  UnsupportedPolicy,
  InvalidRedirect,
  FilterFailure,
  // Nothing could serve it: for the whole patience, at once, or by what policy names.
  Failfast,
  LoadShed,
  NoBackend,
  BackendUndefined,
  // An endpoint was chosen, and that came of it.
  ConnectFailed,
  ConnectTimeout,
  RequireIdMismatch,
  IdentityUnusable,
  Timeout,
  Loop,
  Unexpected,
};

// `close`: the client's connection ends after the answer.
struct CauseInfo {
  std::uint16_t status;
  std::uint8_t grpc;
  bool close;
  std::string_view label;  // the `error` label of *_http_errors_total; "" = not counted there
};
CauseInfo info_of(Cause cause) noexcept;

// The cause behind this error of a send().
Cause cause_of(const Error& error) noexcept;

struct ReplyOptions {
  bool informational = true;  // may carry l5d-proxy-error and l5d-proxy-connection
  std::string_view message;
};
// The whole answer for the request (gRPC requests get their own form: status 200 and grpc-status).
http::Response reply(const http::RequestHead& request, Cause cause, const ReplyOptions& options);
// As above with a status or gRPC code of the policy's choice.
http::Response reply_status(const http::RequestHead& request, std::uint16_t status,
                            std::uint8_t grpc, bool close, const ReplyOptions& options);
// A gRPC answer whose body fails on its way ends with a status instead of a reset.
void rescue_grpc_body(http::BodyReader& body, bool informational);
// HTTP/2 and a content-type that begins with application/grpc.
bool is_grpc(const http::RequestHead& request) noexcept;

}  // namespace tulle::proxy
