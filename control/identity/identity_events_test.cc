// SPDX-License-Identifier: Apache-2.0
#include "control/identity/identity_events.h"

#include <gtest/gtest.h>

#include "lib/base/text.h"
#include "lib/k8s/fake_server.h"
#include "lib/testing/sim.h"

namespace tulle::control {
namespace {

using k8s::FakeServer;

IssuerState issuer_state() {
  const tls::Issuer anchor = tls::make_anchor("root", 24h * 365);
  return {tls::make_issuer(anchor, "identity", 24h * 30),
          {anchor.certificate},
          anchor.certificate.to_pem()};
}

class IdentityEventsTest : public ::testing::Test {
 protected:
  IdentityEventsTest() {
    access.host = "api";
    client.emplace(loop, server, access, logger, k8s::ApiClient::Options{});
    server.answer = [](const FakeServer::Seen& seen) -> FakeServer::Answer {
      if (seen.method == "GET")
        return {200, R"({"metadata":{"name":"linkerd-control-plane","uid":"dep-1"}})", "", false};
      return {201, "{}", "", false};
    };
    events.emplace(*client, store, logger, "linkerd", "linkerd-control-plane", "pod-1", 1);
  }
  // Bodies of the Events so far.
  std::string told() {
    loop.advance(1s);
    std::string out;
    for (const auto& seen : server.requests) {
      if (seen.method == "POST") out += seen.body + "\n";
    }
    return out;
  }
  testing::SimLoop loop;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  log::Logger logger{sink, "test"};
  FakeServer server{loop};
  k8s::ClusterAccess access;
  std::optional<k8s::ApiClient> client;
  IssuerStore store{logger};
  std::optional<IdentityEvents> events;
  net::TaskScope tasks;
};

TEST_F(IdentityEventsTest, TellsOfTheIssuerOnTheDeployment) {
  store.use(issuer_state(), "test");
  tasks.spawn(events->run());
  EXPECT_EQ(told(), "") << "the first issuer is no update";
  store.use(issuer_state(), "test");
  std::string said = told();
  for (const std::string_view part :
       {R"("reason":"IssuerUpdated")", R"("type":"Normal")", R"("kind":"Deployment")",
        R"("name":"linkerd-control-plane","uid":"dep-1")", R"("component":"linkerd-identity")"}) {
    EXPECT_NE(said.find(part), std::string::npos) << part << said;
  }
  store.refuse("the key does not match", "test");
  store.refuse("the key does not match", "test");
  said = told();
  EXPECT_NE(
      said.find(
          R"("reason":"IssuerUpdateSkipped","message":"the key does not match","type":"Warning","count":1)"),
      std::string::npos)
      << said;
  events->validation_failed("has ended");
  EXPECT_NE(
      told().find(R"("reason":"IssuerValidationFailed","message":"has ended","type":"Warning")"),
      std::string::npos);
}

TEST_F(IdentityEventsTest, WhatHappensBeforeTheDeploymentIsFoundIsTold) {
  events->anchors_in_use("restart deployment shop/web");
  tasks.spawn(events->run());
  const std::string said = told();
  EXPECT_NE(
      said.find(
          R"("reason":"TrustAnchorInUse","message":"restart deployment shop/web","type":"Warning")"),
      std::string::npos)
      << said;
  EXPECT_NE(said.find(R"("uid":"dep-1")"), std::string::npos) << said;
}

}  // namespace
}  // namespace tulle::control
