// SPDX-License-Identifier: Apache-2.0
// What a role answers to a call: a message, or a refusal with its gRPC status. Status numbers are
// those of gRPC (grpc/doc/statuscodes.md).
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace tulle::control {

enum class Code : int {
  Ok = 0,
  Unknown = 2,
  InvalidArgument = 3,
  NotFound = 5,
  FailedPrecondition = 9,
  Internal = 13,
  Unavailable = 14,
};

struct Refusal {
  Code code;
  std::string message;
};

template <typename T>
class Answer {
 public:
  Answer(T value) : state_(std::move(value)) {}            // NOLINT: implicit on purpose
  Answer(Refusal refusal) : state_(std::move(refusal)) {}  // NOLINT: implicit on purpose
  explicit operator bool() const noexcept { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  const T& operator*() const { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const Refusal& refusal() const { return std::get<1>(state_); }

 private:
  std::variant<T, Refusal> state_;
};

}  // namespace tulle::control
