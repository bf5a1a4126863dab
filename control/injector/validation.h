// SPDX-License-Identifier: Apache-2.0
// The validators of policies and routes (docs/reference/control-plane.md §6.5) and of
// ServiceProfiles (§6.9): what would be misunderstood later is refused now, with the field and the
// reason.
#pragma once

#include <optional>
#include <string>

#include "control/injector/review.h"

namespace tulle::control {

// policy.linkerd.io and the routes of gateway.networking.k8s.io; other kinds are refused.
class PolicyWebhook final : public Webhook {
 public:
  net::Task<Answer> answer(Review review) override;
};

// linkerd.io ServiceProfile.
class ProfileWebhook final : public Webhook {
 public:
  net::Task<Answer> answer(Review review) override;
};

// Why not; nullopt if it may be.
std::optional<std::string> policy_problem(const Review& review);
std::optional<std::string> profile_problem(const inject::Value& profile);

}  // namespace tulle::control
