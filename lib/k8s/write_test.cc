// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/write.h"

#include <gtest/gtest.h>

#include "lib/k8s/fake_server.h"
#include "lib/k8s/metadata.h"
#include "lib/k8s/reviews.h"

namespace tulle::k8s {
namespace {

class ApiClientTest : public ::testing::Test {
 protected:
  ApiClientTest() {
    ClusterAccess access;
    access.host = "10.96.0.1";
    access.prefix = "/k8s/clusters/c-1";
    client = std::make_unique<ApiClient>(loop, server, access, log::Logger(sink, "test"),
                                         ApiClient::Options{});
  }
  ApiResponse call(ApiRequest request) {
    auto response = loop.run(client->call(std::move(request), loop.get().after(10s)), 20s);
    EXPECT_TRUE(response);
    return response ? *std::move(response) : ApiResponse{};
  }
  const FakeServer::Seen& seen() { return server.requests.back(); }

  testing::SimLoop loop;
  FakeServer server{loop};
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  std::unique_ptr<ApiClient> client;
};

TEST_F(ApiClientTest, ReadsMetadataAlone) {
  const auto read = [this](std::uint16_t status, std::string body) {
    server.answer = [status, body](const FakeServer::Seen&) {
      return FakeServer::Answer{status, body, "", false};
    };
    auto out = loop.run(read_metadata(*client, {kConfigMaps, "linkerd", "config", {}, {}},
                                      "find it", loop.get().after(10s)),
                        20s);
    EXPECT_TRUE(out);
    return *std::move(out);
  };
  const auto found =
      read(200, R"({"kind":"PartialObjectMetadata","metadata":{"name":"config","uid":"u-1"}})");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->uid, "u-1");
  EXPECT_EQ(seen().accept,
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
  EXPECT_EQ(read(404, FakeServer::status_json(404, "NotFound")).error().code, Errc::NotFound);
  EXPECT_EQ(read(403, FakeServer::status_json(403, "Forbidden")).error().code, Errc::Unavailable);
  EXPECT_EQ(read(200, R"({"metadata":)").error().code, Errc::Invalid);
}

TEST_F(ApiClientTest, WritesInEveryWay) {
  server.answer = [](const FakeServer::Seen&) {
    return FakeServer::Answer{200, R"({"kind":"X"})", "", false};
  };
  const ObjectPath object{kConfigMaps, "linkerd", "config", "status", {}};
  const std::string path = "/k8s/clusters/c-1/api/v1/namespaces/linkerd/configmaps/config/status";
  EXPECT_EQ(call(merge_patch(object, R"({"a":1})", "a b")).body, R"({"kind":"X"})");
  EXPECT_EQ(seen().method, "PATCH");
  EXPECT_EQ(seen().path, path + "?fieldManager=a%20b");
  EXPECT_EQ(seen().content_type, "application/merge-patch+json");
  EXPECT_EQ(seen().body, R"({"a":1})");
  call(apply(object, "{}", "tulle", true));
  EXPECT_EQ(seen().path, path + "?fieldManager=tulle&force=true");
  EXPECT_EQ(seen().content_type, "application/apply-patch+yaml");
  call(json_patch(object, "[]", ""));
  EXPECT_EQ(seen().path, path);
  EXPECT_EQ(seen().content_type, "application/json-patch+json");
  call(replace(object, "{}"));
  EXPECT_EQ(seen().method, "PUT");
  call(create({kConfigMaps, "linkerd", {}}, "{}"));
  EXPECT_EQ(seen().method, "POST");
  EXPECT_EQ(seen().path, "/k8s/clusters/c-1/api/v1/namespaces/linkerd/configmaps");
  EXPECT_EQ(seen().content_type, "application/json");
  call(remove(object, "u-1"));
  EXPECT_EQ(seen().method, "DELETE");
  EXPECT_EQ(seen().body,
            R"({"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"u-1"}})");
  call(get(object));
  EXPECT_EQ(seen().method, "GET");
  EXPECT_EQ(seen().content_type, "");
  EXPECT_EQ(server.dials, 1);  // all on one connection
}

TEST_F(ApiClientTest, GivesTheServersReasons) {
  server.answer = [](const FakeServer::Seen&) {
    return FakeServer::Answer{409, FakeServer::status_json(409, "Conflict"), "7", false};
  };
  ApiResponse response = call(get({kPods, "a", "b"}));
  EXPECT_FALSE(response.ok());
  EXPECT_EQ(response.status.code, 409);
  EXPECT_EQ(response.status.reason, "Conflict");
  EXPECT_EQ(response.status.retry_after, Duration{7s});
  EXPECT_EQ(response.status.to_string(), "409 Conflict: no Conflict");
  // A proxy in between has no Status to give.
  server.answer = [](const FakeServer::Seen&) {
    return FakeServer::Answer{502, "<html>", "", false};
  };
  EXPECT_EQ(call(get({kPods, "a", "b"})).status.to_string(), "502");
  server.reachable = false;
  server.cut();
  loop.drain();
  response = call(get({kPods, "a", "b"}));
  EXPECT_EQ(response.status.code, 0);
  EXPECT_EQ(response.status.to_string(), "Refused: connect: errno 111");
}

TEST_F(ApiClientTest, BoundsAnswers) {
  const std::string large(std::size_t{9} * 1024 * 1024, 'x');
  server.answer = [&](const FakeServer::Seen&) {
    return FakeServer::Answer{200, large, "", false};
  };
  const ApiResponse response = call(get({kPods, "a", "b"}));
  EXPECT_EQ(response.status.code, 0);
  EXPECT_EQ(response.status.error.code, Errc::TooLarge);
}

TEST_F(ApiClientTest, ManyWaitForOneDial) {
  server.answer = [](const FakeServer::Seen&) { return FakeServer::Answer{200, "{}", "", false}; };
  int answered = 0;
  struct Ask {
    static net::Task<void> run(ApiClient& client, int& answered) {
      ApiRequest request = get({kPods, "a", "b"});
      const ApiResponse response = co_await client.call(std::move(request), Deadline::never());
      answered += response.ok() ? 1 : 0;
    }
  };
  net::TaskScope scope;
  for (int i = 0; i < 50; ++i) scope.spawn(Ask::run(*client, answered));
  loop.drain();
  EXPECT_EQ(answered, 50);
  EXPECT_EQ(server.dials, 1);
}

TEST_F(ApiClientTest, ReviewsTokens) {
  server.answer = [](const FakeServer::Seen& seen) {
    EXPECT_EQ(seen.path, "/k8s/clusters/c-1/apis/authentication.k8s.io/v1/tokenreviews");
    EXPECT_EQ(seen.body, R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview",)"
                         R"("spec":{"token":"t\"","audiences":["identity.l5d.io"]}})");
    return FakeServer::Answer{
        201,
        R"({"kind":"TokenReview","spec":{"token":"t"},"status":{"authenticated":true,"user":)"
        R"({"username":"system:serviceaccount:a:b","uid":"u","groups":["g"],"extra":{"k":["v"]}},)"
        R"("audiences":["identity.l5d.io"]}})",
        "", false};
  };
  auto answer = loop.run(review_token(*client, "t\"", {"identity.l5d.io"}, loop.get().after(5s)));
  ASSERT_TRUE(answer && std::holds_alternative<TokenAnswer>(*answer));
  const TokenAnswer& token = std::get<TokenAnswer>(*answer);
  EXPECT_TRUE(token.authenticated);
  EXPECT_EQ(token.username, "system:serviceaccount:a:b");
  EXPECT_EQ(token.audiences, std::vector<std::string>{"identity.l5d.io"});
  for (const std::string_view body : {"", "[]", R"({"status":{"authenticated":"yes"}})"}) {
    server.answer = [&](const FakeServer::Seen&) {
      return FakeServer::Answer{201, std::string(body), "", false};
    };
    answer = loop.run(review_token(*client, "t", {}, loop.get().after(5s)));
    ASSERT_TRUE(answer);
    EXPECT_TRUE(std::holds_alternative<ApiStatus>(*answer)) << body;
  }
  server.answer = [](const FakeServer::Seen&) {
    return FakeServer::Answer{403, FakeServer::status_json(403, "Forbidden"), "", false};
  };
  answer = loop.run(review_token(*client, "t", {}, loop.get().after(5s)));
  ASSERT_TRUE(answer && std::holds_alternative<ApiStatus>(*answer));
}

TEST_F(ApiClientTest, ReviewsAccess) {
  std::string body;
  server.answer = [&](const FakeServer::Seen& seen) {
    body = seen.path + " " + seen.body;
    return FakeServer::Answer{201, R"({"status":{"allowed":true,"reason":"RBAC"}})", "", false};
  };
  AccessQuestion question;
  question.verb = "create";
  question.group = "authentication.k8s.io";
  question.resource = "tokenreviews";
  auto answer = loop.run(review_access(*client, question, loop.get().after(5s)));
  ASSERT_TRUE(answer && std::holds_alternative<AccessAnswer>(*answer));
  EXPECT_TRUE(std::get<AccessAnswer>(*answer).allowed);
  EXPECT_EQ(body,
            "/k8s/clusters/c-1/apis/authorization.k8s.io/v1/selfsubjectaccessreviews "
            R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":)"
            R"({"resourceAttributes":{"verb":"create","group":"authentication.k8s.io",)"
            R"("resource":"tokenreviews"}}})");
  question.user = "jane";
  question.groups = {"dev"};
  answer = loop.run(review_access(*client, question, loop.get().after(5s)));
  EXPECT_NE(body.find(R"(/subjectaccessreviews {)"), std::string::npos) << body;
  EXPECT_NE(body.find(R"("user":"jane","groups":["dev"])"), std::string::npos) << body;
}

}  // namespace
}  // namespace tulle::k8s
