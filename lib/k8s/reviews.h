// SPDX-License-Identifier: Apache-2.0
// Questions that the API server answers: whose token is this, and who may do what
// (authentication.k8s.io/v1 TokenReview, authorization.k8s.io/v1 SubjectAccessReview).
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "lib/k8s/client.h"

namespace tulle::k8s {

struct TokenAnswer {
  bool authenticated = false;
  std::string username;  // "system:serviceaccount:<ns>:<name>"
  std::string uid;
  std::vector<std::string> groups;
  std::vector<std::string> audiences;  // those asked for that the token has
  std::string error;                   // why the server could not decide
};
// Fails only when the server could not be asked.
net::Task<std::variant<TokenAnswer, ApiStatus>> review_token(ApiClient& client, std::string token,
                                                             std::vector<std::string> audiences,
                                                             Deadline by);

struct AccessQuestion {
  std::string user;  // "": we ourselves
  std::vector<std::string> groups;
  std::string verb;  // get, list, watch, create, …
  std::string group;
  std::string resource;
  std::string subresource;
  std::string ns;  // "": all namespaces
  std::string name;
};
struct AccessAnswer {
  bool allowed = false;
  std::string reason;
};
net::Task<std::variant<AccessAnswer, ApiStatus>> review_access(ApiClient& client,
                                                               AccessQuestion question,
                                                               Deadline by);

}  // namespace tulle::k8s
