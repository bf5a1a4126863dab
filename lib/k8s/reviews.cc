// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/reviews.h"

#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/json_writer.h"
#include "lib/k8s/manifest.h"
#include "lib/k8s/write.h"

namespace tulle::k8s {
namespace {

struct UserInfo {
  std::string username, uid;
  std::vector<std::string> groups;
};
struct TokenStatus {
  bool authenticated = false;
  UserInfo user;
  std::vector<std::string> audiences;
  std::string error;
};
struct TokenReview {
  TokenStatus status;
};
struct AccessReview {
  AccessAnswer status;
};
template <typename V>
void describe(V& v, UserInfo& x) {
  v.field("username", x.username);
  v.field("uid", x.uid);
  v.field("groups", x.groups);
}
template <typename V>
void describe(V& v, TokenStatus& x) {
  v.field("authenticated", x.authenticated);
  v.field("user", x.user);
  v.field("audiences", x.audiences);
  v.field("error", x.error);
}
template <typename V>
void describe(V& v, TokenReview& x) {
  v.field("status", x.status);
}

}  // namespace

template <typename V>
void describe(V& v, AccessAnswer& x) {
  v.field("allowed", x.allowed);
  v.field("reason", x.reason);
}

namespace {

template <typename V>
void describe(V& v, AccessReview& x) {
  v.field("status", x.status);
}

template <typename T>
bool read_answer(const ApiResponse& response, T& into) {
  JsonSource source(response.body, JsonSource::Skipping::Unparsed);
  return source.next_document() && !decode(source, into);
}

ApiStatus unreadable() {
  ApiStatus status;
  status.error = {Errc::Invalid, "read a review"};
  return status;
}

void write_list(JsonWriter& json, std::string_view name, const std::vector<std::string>& items) {
  if (items.empty()) return;
  json.key(name);
  json.list([&] {
    for (const std::string& item : items) json.value(item);
  });
}

}  // namespace

net::Task<std::variant<TokenAnswer, ApiStatus>> review_token(ApiClient& client, std::string token,
                                                             std::vector<std::string> audiences,
                                                             Deadline by) {
  using Out = std::variant<TokenAnswer, ApiStatus>;
  JsonWriter json;
  json.object([&] {
    json.member("apiVersion", "authentication.k8s.io/v1");
    json.member("kind", "TokenReview");
    json.key("spec");
    json.object([&] {
      json.member("token", token);
      write_list(json, "audiences", audiences);
    });
  });
  ApiRequest request = create({.resource = kTokenReviews}, json.take());
  ApiResponse response = co_await client.call(std::move(request), by);
  if (!response.ok()) {
    Out failed(std::move(response.status));
    co_return failed;
  }
  TokenReview review;
  if (!read_answer(response, review)) {
    Out failed(unreadable());
    co_return failed;
  }
  TokenStatus& status = review.status;
  Out out(TokenAnswer{status.authenticated, std::move(status.user.username),
                      std::move(status.user.uid), std::move(status.user.groups),
                      std::move(status.audiences), std::move(status.error)});
  co_return out;
}

net::Task<std::variant<AccessAnswer, ApiStatus>> review_access(ApiClient& client,
                                                               AccessQuestion question,
                                                               Deadline by) {
  using Out = std::variant<AccessAnswer, ApiStatus>;
  const bool own = question.user.empty();
  JsonWriter json;
  json.object([&] {
    json.member("apiVersion", "authorization.k8s.io/v1");
    json.member("kind", own ? "SelfSubjectAccessReview" : "SubjectAccessReview");
    json.key("spec");
    json.object([&] {
      json.member_unless_empty("user", question.user);
      if (!own) write_list(json, "groups", question.groups);
      json.key("resourceAttributes");
      json.object([&] {
        json.member("verb", question.verb);
        json.member_unless_empty("group", question.group);
        json.member("resource", question.resource);
        json.member_unless_empty("subresource", question.subresource);
        json.member_unless_empty("namespace", question.ns);
        json.member_unless_empty("name", question.name);
      });
    });
  });
  ApiRequest request =
      create({.resource = own ? kSelfSubjectAccessReviews : kSubjectAccessReviews}, json.take());
  ApiResponse response = co_await client.call(std::move(request), by);
  if (!response.ok()) {
    Out failed(std::move(response.status));
    co_return failed;
  }
  AccessReview review;
  if (!read_answer(response, review)) {
    Out failed(unreadable());
    co_return failed;
  }
  Out out(std::move(review.status));
  co_return out;
}

}  // namespace tulle::k8s
