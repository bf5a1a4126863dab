// SPDX-License-Identifier: Apache-2.0
#include "control/identity/token_review.h"

#include <algorithm>

#include "lib/base/text.h"
#include "lib/k8s/reviews.h"

namespace tulle::control {
namespace {

constexpr Duration kPatience = 8s;

}  // namespace

net::Task<grpc::StatusOr<TokenHolder>> ReviewedTokens::review(std::string token) {
  const std::string audience(kTokenAudience);
  if (projection_) co_return co_await ask(std::move(token), audience);
  grpc::StatusOr<TokenHolder> holder = co_await ask(token, audience);
  if (holder || holder.status().code == grpc::Code::Internal) co_return holder;
  const std::string none;
  co_return co_await ask(std::move(token), none);
}

net::Task<grpc::StatusOr<TokenHolder>> ReviewedTokens::ask(std::string token,
                                                           std::string audience) {
  std::vector<std::string> audiences;
  if (!audience.empty()) audiences.push_back(audience);
  const Deadline by = client_.loop().after(kPatience);
  auto answer = co_await k8s::review_token(client_, std::move(token), std::move(audiences), by);
  if (const auto* const status = std::get_if<k8s::ApiStatus>(&answer)) {
    log_.warn("the API server does not review tokens", {{"reason", status->to_string()}});
    co_return grpc::Status{grpc::Code::Internal, "the token could not be reviewed"};
  }
  const auto& review = std::get<k8s::TokenAnswer>(answer);
  if (!review.error.empty()) {
    // The message may say much of the cluster's tokens: it goes to the log, not to the client.
    log_.debug("a token was not reviewed", {{"reason", review.error}});
    co_return grpc::Status{grpc::Code::InvalidArgument, "the token is not valid"};
  }
  const auto& granted = review.audiences;
  const bool ours =
      audience.empty() || std::find(granted.begin(), granted.end(), audience) != granted.end();
  if (!review.authenticated || !ours) {
    co_return grpc::Status{grpc::Code::FailedPrecondition, "nobody vouches for the token"};
  }
  co_return parse_subject(review.username);
}

}  // namespace tulle::control
