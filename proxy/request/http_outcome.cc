// SPDX-License-Identifier: Apache-2.0
#include "proxy/request/http_outcome.h"

#include <charconv>

namespace tulle::proxy {

CauseInfo info_of(Cause cause) noexcept {
  switch (cause) {
    case Cause::BadRequest: return {400, 3, false, "unexpected"};
    case Cause::NoRoute: return {404, 5, false, ""};
    case Cause::Unauthorized: return {403, 7, false, ""};
    case Cause::RateLimited: return {429, 8, false, ""};
    case Cause::InvalidPolicy: return {500, 13, true, "unexpected"};
    case Cause::PolicyUnknown: return {503, 14, true, "policy unknown"};
    case Cause::UnsupportedPolicy: return {500, 13, true, "unexpected"};
    case Cause::InvalidRedirect: return {500, 13, true, "unexpected"};
    case Cause::FilterFailure: return {500, 13, true, "unexpected"};
    case Cause::Failfast: return {504, 4, true, "failfast"};
    case Cause::LoadShed: return {503, 14, true, "loadshed"};
    case Cause::NoBackend: return {503, 14, true, "loadshed"};
    case Cause::BackendUndefined: return {502, 14, true, "unexpected"};
    case Cause::ConnectFailed: return {502, 14, true, "i/o"};
    case Cause::ConnectTimeout: return {504, 4, true, "i/o"};
    case Cause::RequireIdMismatch: return {502, 14, true, "identity required"};
    case Cause::IdentityUnusable: return {502, 14, true, "identity required"};
    case Cause::Timeout: return {504, 4, false, "response timeout"};
    case Cause::Loop: return {508, 10, true, "unexpected"};
    case Cause::Unexpected: break;
  }
  return {500, 13, true, "unexpected"};
}

Cause cause_of(const Error& error) noexcept {
  switch (error.code) {
    case Errc::Timeout: return Cause::ConnectTimeout;
    case Errc::Unavailable:
      return error.where == "discovery failed" ? Cause::Unexpected : Cause::Failfast;
    case Errc::ResourceExhausted: return Cause::LoadShed;
    case Errc::Unauthenticated: return Cause::IdentityUnusable;
    case Errc::Forbidden: return Cause::Unauthorized;
    case Errc::Refused:
    case Errc::Unanswered:
    case Errc::Eof:
    case Errc::Io:
    case Errc::Reset:
    case Errc::Tls:
    case Errc::Cancelled:
    case Errc::Protocol: return Cause::ConnectFailed;
    default: return Cause::Unexpected;
  }
}

bool is_grpc(const http::RequestHead& request) noexcept {
  if (request.version != http::Version::Http2) return false;
  const auto type = request.headers.get("content-type");
  return type && type->starts_with("application/grpc");
}

http::Response reply_status(const http::RequestHead& request, std::uint16_t status,
                            std::uint8_t grpc, bool close, const ReplyOptions& options) {
  http::Response response;
  response.version = request.version;
  std::string_view message = options.message;
  if (!http::is_field_value(message)) message = "unexpected error";
  if (is_grpc(request)) {
    response.status = 200;
    response.headers.add("content-type", "application/grpc");
    char digits[4];
    const auto end = std::to_chars(digits, digits + sizeof digits, grpc).ptr;
    response.headers.add("grpc-status",
                         std::string_view(digits, static_cast<std::size_t>(end - digits)));
    if (options.informational && !message.empty()) response.headers.add("grpc-message", message);
  } else {
    response.status = status;
    response.headers.add("content-length", "0");
  }
  response.body_length = 0;
  if (options.informational) {
    if (!message.empty()) response.headers.add("l5d-proxy-error", message);
    if (close) response.headers.add("l5d-proxy-connection", "close");
  }
  response.close_connection = close;
  return response;
}

http::Response reply(const http::RequestHead& request, Cause cause, const ReplyOptions& options) {
  const CauseInfo info = info_of(cause);
  return reply_status(request, info.status, info.grpc, info.close, options);
}

namespace {

http::HeaderMap grpc_trailers(const Error& error) {
  http::HeaderMap trailers;
  char digits[4];
  const auto end = std::to_chars(digits, digits + sizeof digits, info_of(cause_of(error)).grpc).ptr;
  trailers.add("grpc-status", std::string_view(digits, static_cast<std::size_t>(end - digits)));
  return trailers;
}
http::HeaderMap grpc_trailers_with_message(const Error& error) {
  http::HeaderMap trailers = grpc_trailers(error);
  trailers.add("grpc-message", error.where);
  return trailers;
}

}  // namespace

void rescue_grpc_body(http::BodyReader& body, bool informational) {
  body.rescue_with(informational ? grpc_trailers_with_message : grpc_trailers);
}

}  // namespace tulle::proxy
