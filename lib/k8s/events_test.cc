// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/events.h"

#include <gtest/gtest.h>

#include "lib/k8s/fake_server.h"

namespace tulle::k8s {
namespace {

class EventsTest : public ::testing::Test {
 protected:
  EventsTest() {
    ClusterAccess access;
    access.host = "k";
    client = std::make_unique<ApiClient>(loop, server, access, log::Logger(sink, "test"),
                                         ApiClient::Options{});
    server.answer = [](const FakeServer::Seen&) {
      return FakeServer::Answer{201, "{}", "", false};
    };
    options.instance = "linkerd-destination-x";
    make();
  }
  ~EventsTest() override { scope.cancel(); }
  void make() {
    scope.cancel();
    recorder = std::make_unique<EventRecorder>(*client, log::Logger(sink, "test"), options, 5);
    scope.spawn(recorder->run());
  }
  void record(std::string_view message, std::string_view name = "linkerd-identity") {
    EventTarget target;
    target.api_version = "apps/v1";
    target.kind = "Deployment";
    target.ns = "linkerd";
    target.name = name;
    recorder->record(target, EventRecorder::Type::Warning, "IssuerUpdateSkipped", message);
  }

  testing::SimLoop loop;
  FakeServer server{loop};
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  EventRecorder::Options options;
  std::unique_ptr<ApiClient> client;
  std::unique_ptr<EventRecorder> recorder;
  net::TaskScope scope;
};

TEST_F(EventsTest, TheSameAgainIsCounted) {
  record("no key");
  loop.drain();
  ASSERT_EQ(server.requests.size(), 1U);
  EXPECT_EQ(server.requests[0].method, "POST");
  EXPECT_EQ(server.requests[0].path, "/api/v1/namespaces/linkerd/events");
  for (
      const std::string_view part :
      {R"("involvedObject":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"linkerd","name":"linkerd-identity"})",
       R"("reason":"IssuerUpdateSkipped","message":"no key","type":"Warning","count":1)",
       R"("source":{"component":"tulle-control","host":"linkerd-destination-x"})",
       R"("metadata":{"name":"linkerd-identity.)"}) {
    EXPECT_NE(server.requests[0].body.find(part), std::string::npos) << server.requests[0].body;
  }
  for (int i = 0; i < 100; ++i) record("no key");
  loop.drain();
  EXPECT_EQ(server.requests.size(), 1U);  // not so soon
  loop.advance(11s);
  ASSERT_EQ(server.requests.size(), 2U);
  EXPECT_EQ(server.requests[1].method, "PATCH");
  EXPECT_TRUE(
      server.requests[1].path.starts_with("/api/v1/namespaces/linkerd/events/linkerd-identity."));
  EXPECT_NE(server.requests[1].body.find(R"("count":101)"), std::string::npos);
  loop.advance(1h);
  EXPECT_EQ(server.requests.size(), 2U);
  // Long after, the Event may have gone from the server: then it is made anew.
  record("no key");
  loop.drain();
  EXPECT_EQ(server.requests.back().method, "POST");
}

TEST_F(EventsTest, ManyThatDifferLittleBecomeOne) {
  for (int i = 0; i < 1000; ++i) record("message " + std::to_string(i));
  loop.advance(5min);
  EXPECT_LE(server.requests.size(), 12U);
  std::size_t combined = 0;
  for (const auto& seen : server.requests) {
    combined += seen.body.find("(combined from similar events): message 999") != std::string::npos;
  }
  EXPECT_EQ(combined, 1U);
  EXPECT_EQ(recorder->dropped(), 0U);
}

TEST_F(EventsTest, IsLimitedInRateAndNumber) {
  for (int i = 0; i < 2000; ++i) record("m", "target-" + std::to_string(i));
  loop.drain();
  EXPECT_EQ(server.requests.size(), 25U);
  EXPECT_EQ(recorder->dropped(), 2000U - 512U);
  loop.advance(60s);
  EXPECT_GE(server.requests.size(), 50U);
  EXPECT_LE(server.requests.size(), 57U);
}

TEST_F(EventsTest, WhatCannotBeSentIsSentLater) {
  server.reachable = false;
  record("no key");
  loop.advance(30s);
  EXPECT_EQ(server.requests.size(), 0U);
  record("no key");
  server.reachable = true;
  loop.advance(30s);
  ASSERT_EQ(server.requests.size(), 1U);
  EXPECT_NE(server.requests[0].body.find(R"("count":2)"), std::string::npos);
}

TEST_F(EventsTest, AnEventThatIsGoneIsMadeAnew) {
  record("no key");
  loop.drain();
  server.answer = [](const FakeServer::Seen& seen) {
    if (seen.method == "PATCH") {
      return FakeServer::Answer{404, FakeServer::status_json(404, "NotFound"), "", false};
    }
    return FakeServer::Answer{201, "{}", "", false};
  };
  record("no key");
  loop.advance(30s);
  ASSERT_EQ(server.requests.size(), 3U);
  EXPECT_EQ(server.requests[2].method, "POST");
  EXPECT_NE(server.requests[2].body.find(R"("count":2)"), std::string::npos);
}

TEST_F(EventsTest, WhatIsForbiddenIsNotTriedForEver) {
  server.answer = [](const FakeServer::Seen&) {
    return FakeServer::Answer{403, FakeServer::status_json(403, "Forbidden"), "", false};
  };
  record("no key");
  loop.advance(10min);
  EXPECT_EQ(server.requests.size(), 1U);
  EXPECT_EQ(recorder->dropped(), 1U);
}

}  // namespace
}  // namespace tulle::k8s
