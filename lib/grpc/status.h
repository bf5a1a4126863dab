// SPDX-License-Identifier: Apache-2.0
// How a gRPC call ended, and a value or that. Codes and their mapping from HTTP follow the gRPC
// documents statuscodes, PROTOCOL-HTTP2 and http-grpc-status-mapping.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "lib/base/result.h"
#include "lib/http/header_map.h"

namespace tulle::grpc {

// Numbers of the wire; a server may send others, which are UNKNOWN.
enum class Code : std::uint32_t {
  Ok = 0,
  Cancelled = 1,
  Unknown = 2,
  InvalidArgument = 3,
  DeadlineExceeded = 4,
  NotFound = 5,
  AlreadyExists = 6,
  PermissionDenied = 7,
  ResourceExhausted = 8,
  FailedPrecondition = 9,
  Aborted = 10,
  OutOfRange = 11,
  Unimplemented = 12,
  Internal = 13,
  Unavailable = 14,
  DataLoss = 15,
  Unauthenticated = 16,
};

// The name in capitals, e.g. "DEADLINE_EXCEEDED"; "UNKNOWN" for numbers without a name.
std::string_view to_string(Code code) noexcept;

// How a call ended. Compares by code and message.
struct Status {
  Code code = Code::Ok;
  std::string message;  // for people; decoded, bounded to 4 KiB when received

  bool ok() const noexcept { return code == Code::Ok; }
  bool operator==(const Status&) const = default;
};

// The status that a local failure (of a connection, a stream, a codec) means to a caller.
Status status_of(const Error& error);
// The status of an HTTP answer that has no grpc-status.
Status status_of_http(std::uint16_t http_status);

// Reads grpc-status and grpc-message; nullopt if there is no grpc-status.
std::optional<Status> read_status(const http::HeaderMap& fields);
// Adds grpc-status and, unless empty, grpc-message.
void write_status(const Status& status, http::HeaderMap& fields);

// The percent-encoding of grpc-message: printable ASCII but '%' stays. Decoding never fails: what
// is not an escape stays as it is.
std::string encode_message_text(std::string_view text);
std::string decode_message_text(std::string_view text);

// A T, or a Status that is not Ok. Use like Result: if (!r) return r.status(); use(*r).
template <typename T>
class [[nodiscard]] StatusOr {
 public:
  using value_type = T;
  StatusOr(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: on purpose
  StatusOr(Status status) : state_(std::in_place_index<1>, std::move(status)) {  // NOLINT
    TULLE_ASSERT(!this->status().ok());
  }
  explicit operator bool() const noexcept { return state_.index() == 0; }
  bool ok() const noexcept { return state_.index() == 0; }
  T& operator*() & { return *std::get_if<0>(&state_); }
  const T& operator*() const& { return *std::get_if<0>(&state_); }
  T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() { return std::get_if<0>(&state_); }
  const T* operator->() const { return std::get_if<0>(&state_); }
  const Status& status() const {
    TULLE_ASSERT(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Status> state_;
};

}  // namespace tulle::grpc
