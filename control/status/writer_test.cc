// SPDX-License-Identifier: Apache-2.0
#include "control/status/writer.h"

#include <gtest/gtest.h>

#include "control/testing.h"
#include "lib/k8s/fake_server.h"

namespace tulle::control {
namespace {

using k8s::FakeServer;

constexpr std::string_view kRoute =
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: "
    "shop}\n"
    "spec: {parentRefs: [{group: policy.linkerd.io, kind: Server, name: http}]}\n";

class Writer : public ::testing::Test {
 protected:
  Writer() {
    k8s::ClusterAccess access;
    access.host = "10.96.0.1";
    client = std::make_unique<k8s::ApiClient>(loop, server, access, log::Logger(sink, "test"),
                                              k8s::ApiClient::Options{});
    election = std::make_unique<k8s::LeaderElection>(
        *client, log::Logger(sink, "test"),
        k8s::LeaderElection::Options{.ns = "linkerd", .name = "write", .identity = "me"}, 1);
    server.answer = [this](const FakeServer::Seen& seen) {
      if (seen.path.find("/leases") != std::string::npos) {
        if (!lead)
          return FakeServer::Answer{403, FakeServer::status_json(403, "Forbidden"), "", false};
        return seen.method == "GET"
                   ? FakeServer::Answer{404, FakeServer::status_json(404, "NotFound"), "", false}
                   : FakeServer::Answer{201, "{}", "", false};
      }
      return FakeServer::Answer{answer, answer == 200 ? "{}" : FakeServer::status_json(answer, "X"),
                                "", false};
    };
    put_yaml(index,
             "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: http, "
             "namespace: shop}\nspec: {podSelector: {}, port: 80}\n");
  }
  void run() {
    writer = std::make_unique<StatusWriter>(*client, index, config, *election,
                                            log::Logger(sink, "test"));
    scope.spawn(election->run());
    scope.spawn(writer->run());
  }
  void pass(Duration time) { loop.advance(time); }
  std::vector<FakeServer::Seen> patches() {
    std::vector<FakeServer::Seen> out;
    for (const auto& seen : server.requests) {
      if (seen.path.find("/status?") != std::string::npos) out.push_back(seen);
    }
    return out;
  }

  testing::SimLoop loop;
  FakeServer server{loop};
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  Index index;
  MeshConfig config;
  bool lead = true;
  std::uint16_t answer = 200;
  std::unique_ptr<k8s::ApiClient> client;
  std::unique_ptr<k8s::LeaderElection> election;
  std::unique_ptr<StatusWriter> writer;
  net::TaskScope scope;  // destroyed first
};

TEST_F(Writer, WritesWhatAStatusShouldSayOnce) {
  put_yaml(index, kRoute);
  run();
  pass(3s);
  ASSERT_EQ(patches().size(), 1U);
  const auto seen = patches()[0];
  EXPECT_EQ(seen.path,
            "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/r/"
            "status?fieldManager=linkerd.io%2Fpolicy-controller");
  EXPECT_EQ(seen.content_type, "application/merge-patch+json");
  EXPECT_NE(seen.body.find(R"("type":"Accepted","status":"True","reason":"Accepted")"),
            std::string::npos)
      << seen.body;
  // The server tells us what we wrote; nothing is left to do.
  put_yaml(index, concat(kRoute, "status: ",
                         seen.body.substr(seen.body.find("{\"parents\""),
                                          seen.body.size() - seen.body.find("{\"parents\"") - 1),
                         "\n"));
  pass(25s);
  EXPECT_EQ(patches().size(), 1U) << patches().back().body;
  EXPECT_EQ(writer->stats().patches, 1U);
}

TEST_F(Writer, KeepsWhatOtherControllersSay) {
  put_yaml(index,
           concat(kRoute,
                  "status: {parents: [{controllerName: example.com/gateway, parentRef: {name: gw, "
                  "sectionName: s}, "
                  "conditions: [{type: Programmed, status: 'True', reason: Programmed, message: m, "
                  "lastTransitionTime: '2026-01-01T00:00:00Z', observedGeneration: 3}]}]}\n"));
  run();
  pass(3s);
  ASSERT_EQ(patches().size(), 1U);
  const std::string body = patches()[0].body;
  EXPECT_NE(
      body.find(
          R"({"controllerName":"example.com/gateway","parentRef":{"name":"gw","sectionName":"s"},"conditions":[{"type":"Programmed","status":"True","reason":"Programmed","message":"m","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":3}]})"),
      std::string::npos)
      << body;
  EXPECT_NE(body.find("linkerd.io/policy-controller"), std::string::npos);
}

TEST_F(Writer, AChangeIsWrittenSoonAndAFailureAgain) {
  run();
  pass(3s);
  EXPECT_TRUE(patches().empty());
  answer = 500;
  put_yaml(index, kRoute);
  pass(2s);
  EXPECT_EQ(patches().size(), 1U);
  EXPECT_EQ(writer->stats().api_errors, 1U);
  answer = 200;
  pass(11s);
  EXPECT_EQ(patches().size(), 2U);
}

TEST_F(Writer, WhoDoesNotLeadWritesNothing) {
  lead = false;
  put_yaml(index, kRoute);
  run();
  pass(15s);
  EXPECT_TRUE(patches().empty());
}

}  // namespace
}  // namespace tulle::control
