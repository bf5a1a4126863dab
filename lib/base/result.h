// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error. Everything that can fail for a reason outside of our own
// reasoning (bytes, peers, system calls) returns one; nothing in tulle throws.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "lib/base/check.h"

namespace tulle {

// Kinds of failure, as far as callers need to tell them apart.
enum class Errc : std::uint8_t {
  Eof,                // the peer ended its side cleanly
  WouldBlock,         // not now; wait for readiness and call again
  Timeout,            // a deadline passed
  Io,                 // a system call failed; os_errno says how
  Refused,            // the other side refused a connection or a stream (nothing was processed)
  Reset,              // the other side cut a connection or a stream
  Unanswered,         // … before one byte of an answer; what was asked may safely be asked again
  Cancelled,          // the caller or an owner gave up
  Invalid,            // malformed input: bytes, configuration, arguments
  TooLarge,           // a bound was exceeded
  Protocol,           // the peer broke the rules of its protocol
  Tls,                // a handshake or a record failed
  Unauthenticated,    // the peer did not prove who it is
  Forbidden,          // policy says no
  NotFound,           // no such thing
  Unavailable,        // nothing can serve this now
  ResourceExhausted,  // a queue, budget or table is full
  WrongAddress,       // a connection came to an address that is not ours
  Unsupported,        // known, but not done by this build
  Internal,           // our own reasoning failed
};

// The enumerator's name, e.g. "Timeout".
std::string_view to_string(Errc code) noexcept;

// Cheap enough for the data path: nothing here allocates.
struct Error {
  Errc code;
  std::string_view where;    // a string literal: the step that failed, e.g. "read request head"
  int os_errno = 0;          // 0 unless a system call failed
  std::uint32_t detail = 0;  // protocol code where one exists: HTTP/2 error, TLS alert, gRPC status
};

// A T or an Error. Use like std::expected: if (!r) return r.error(); use(*r).
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}       // NOLINT: implicit on purpose
  Result(Error error) : state_(std::in_place_index<1>, error) {}  // NOLINT: implicit on purpose

  explicit operator bool() const noexcept { return state_.index() == 0; }
  bool has_value() const noexcept { return state_.index() == 0; }

  T& operator*() & {
    TULLE_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& operator*() const& {
    TULLE_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& operator*() && {
    TULLE_ASSERT(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  T& value() & { return **this; }
  const T& value() const& { return **this; }
  T&& value() && { return *std::move(*this); }

  const Error& error() const {
    TULLE_ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }

  template <typename U>
  T value_or(U&& other) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(other));
  }
  template <typename F>
  auto transform(F&& f) && -> Result<std::invoke_result_t<F, T&&>> {
    if (!has_value()) return error();
    return std::forward<F>(f)(*std::move(*this));
  }
  template <typename F>
  auto and_then(F&& f) && -> std::invoke_result_t<F, T&&> {
    if (!has_value()) return error();
    return std::forward<F>(f)(*std::move(*this));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(error), ok_(false) {}  // NOLINT: implicit on purpose
  explicit operator bool() const noexcept { return ok_; }
  bool has_value() const noexcept { return ok_; }
  const Error& error() const {
    TULLE_ASSERT(!ok_);
    return error_;
  }

 private:
  Error error_{Errc::Internal, ""};
  bool ok_ = true;
};

}  // namespace tulle
