// SPDX-License-Identifier: Apache-2.0
// Whole messages to and from bytes, for every generated struct; times to and from the well-known
// types. The structs themselves: see tools/protogen for their shape.
#pragma once

#include <optional>
#include <string>

#include "lib/base/time.h"
#include "proto/duration.pb.h"
#include "proto/timestamp.pb.h"
#include "proto/wire.h"

namespace tulle::pb {

// Appends the message; fields in the order of their numbers, maps in the order of their keys, so
// equal messages have equal bytes.
template <typename M>
void append_message(const M& message, std::string& out) {
  Writer writer(out);
  encode(message, writer);
}

template <typename M>
std::string encode_message(const M& message) {
  std::string out;
  append_message(message, out);
  return out;
}

// Fails with Invalid on malformed or too deeply nested input. Unknown fields are skipped (see
// `unknown_fields` of each message). How large an input may be is the caller's bound.
template <typename M>
Result<M> decode_message(Bytes bytes) {
  M message;
  if (!decode(message, bytes, kMaxDepth)) return Error{Errc::Invalid, "decode a protobuf message"};
  return message;
}

inline protobuf::Duration to_pb(Duration duration) {
  protobuf::Duration out;
  out.seconds = duration / std::chrono::seconds(1);
  out.nanos = static_cast<std::int32_t>((duration % std::chrono::seconds(1)).count());
  return out;
}
// Negative and malformed durations give nullopt; more than ten years count as ten years.
inline std::optional<Duration> from_pb(const protobuf::Duration& duration) {
  if (duration.seconds < 0 || duration.nanos < 0 || duration.nanos > 999'999'999)
    return std::nullopt;
  if (duration.seconds > 315'576'000) return Duration{std::chrono::seconds{315'576'000}};
  return std::chrono::seconds{duration.seconds} + std::chrono::nanoseconds{duration.nanos};
}

inline protobuf::Timestamp to_pb(WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  protobuf::Timestamp out;
  out.seconds = seconds.time_since_epoch().count();
  out.nanos = static_cast<std::int32_t>((time - seconds).count());
  return out;
}
// Years 1970 to 2262 (what WallTime can hold); nullopt for all else.
inline std::optional<WallTime> from_pb(const protobuf::Timestamp& time) {
  if (time.seconds < 0 || time.seconds > 9'223'372'035 || time.nanos < 0 ||
      time.nanos > 999'999'999)
    return std::nullopt;
  return WallTime{std::chrono::seconds{time.seconds} + std::chrono::nanoseconds{time.nanos}};
}

}  // namespace tulle::pb
