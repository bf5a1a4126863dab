// SPDX-License-Identifier: Apache-2.0
// admission.k8s.io AdmissionReview, v1 and v1beta1 alike: what the API server asks of a webhook,
// and the answer. Text in and out; no sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/inject/patch.h"
#include "lib/inject/value.h"
#include "lib/net/task.h"

namespace tulle::control {

struct Review {
  std::string api_version;  // "admission.k8s.io/v1"; echoed
  std::string uid;
  std::string group;  // of the object's kind; "" is the core group
  std::string kind;
  std::string operation;  // CREATE, UPDATE, …
  std::string ns;
  std::string name;
  bool dry_run = false;
  inject::Value object;
};

struct Answer {
  bool allowed = true;
  std::string message;  // why not
  int code = 0;         // HTTP status of a refusal; 0: the API server's default (403)
  std::vector<std::string> warnings;
  inject::Patch patch;
};

// What is wrong with the text goes to `problem`.
std::optional<Review> parse_review(std::string_view body, std::string& problem);
std::string to_json(const Review& review, const Answer& answer);

// Answers reviews. May suspend; is destroyed with its request.
class Webhook {
 public:
  virtual net::Task<Answer> answer(Review review) = 0;

 protected:
  ~Webhook() = default;
};

}  // namespace tulle::control
