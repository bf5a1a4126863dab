// SPDX-License-Identifier: Apache-2.0
// Who holds a token? Signed tokens where there is no Kubernetes; a TokenReview is another
// implementation of the same question.
#pragma once

#include <string>
#include <string_view>

#include "control/index/index.h"
#include "lib/grpc/status.h"
#include "lib/net/task.h"

namespace tulle::control {

inline constexpr std::string_view kTokenAudience = "identity.l5d.io";

struct TokenHolder {
  std::string type;  // "serviceaccount"
  std::string ns;
  std::string name;
};

class TokenVerifier {
 public:
  virtual ~TokenVerifier() = default;
  // InvalidArgument: this is no token. FailedPrecondition: nobody vouches for it. Internal: could
  // not be asked.
  virtual net::Task<grpc::StatusOr<TokenHolder>> review(std::string token) = 0;
};

// "system:serviceaccount:<ns>:<name>"; InvalidArgument for anything else.
grpc::StatusOr<TokenHolder> parse_subject(std::string_view subject);

// Tokens that are JWTs signed with ES256. The key file (a public key, PEM) is read for each token,
// so that it can be replaced any time. A token that names its pod (claims `pod` and `pod_uid`) ends
// with it: once another pod has that name, or the pod another account, it is refused. A pod that
// the index does not know (yet) is taken at the word of whoever signed.
class SignedTokens final : public TokenVerifier {
 public:
  SignedTokens(std::string key_file, const Index& index)
      : key_file_(std::move(key_file)), index_(index) {}
  net::Task<grpc::StatusOr<TokenHolder>> review(std::string token) override;

 private:
  const std::string key_file_;
  const Index& index_;
};

}  // namespace tulle::control
