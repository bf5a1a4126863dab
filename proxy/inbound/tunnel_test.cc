// SPDX-License-Identifier: Apache-2.0
// CONNECT in one stream of HTTP/2: it passes, and ends when policy does. Application and client in
// memory.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "lib/h2/testing.h"
#include "proxy/inbound/session.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using test::TestWorker;
using testing::PipeEnd;

const net::SocketAddr kTarget = test::addr("10.0.0.5:8080");

ServerPolicyPtr policy_with(const std::function<void(ServerPolicy&)>& change = {}) {
  auto policy = std::make_shared<ServerPolicy>(*default_server_policy(test::small_config(), 8080));
  policy->meta = Meta{"policy.linkerd.io", "server", "", "web", "", 0};
  if (change) change(*policy);
  return policy;
}
void admit_nobody(ServerPolicy& policy) {
  for (InboundRoute& route : policy.routes) route.authorizations.clear();
}

struct Http2Tunnel : ::testing::Test {
  Http2Tunnel() {
    world.on_dial([this](Session, std::unique_ptr<PipeEnd> stream) {
      apps.spawn(h2::serve(std::move(stream), application, {}, never));
    });
    world.publish(kTarget.port, policy_with());
    auto [ours, theirs] = world.loop().pipe();
    client = h2::ClientConnection::make(std::move(ours), {});
    InboundSession session{world.worker(),
                           kTarget,
                           world.worker().server_policies().acquire(kTarget.port),
                           test::peer("10.0.0.9", "client.shop.id"),
                           std::move(theirs),
                           world.worker().inbound_targets().at(kTarget)};
    world.loop().drain();
    scope.spawn(serve_inbound_http(std::move(session), true));
    world.loop().drain();
  }
  static net::Task<void> ask(h2::ClientConnection* connection, http::Request request,
                             std::optional<Result<http::Response>>* out) {
    out->emplace(co_await connection->send(std::move(request), Deadline::never()));
  }
  void open(std::string_view method) {
    http::Request request = test::request(method, method == "CONNECT" ? "" : "/upload", "web:80");
    request.version = http::Version::Http2;
    if (method == "CONNECT") {
      request.form = http::TargetForm::Authority;
    } else {
      request.scheme = "http";
    }
    auto [writer, reader] = http::make_body(world.loop());
    up = std::move(writer);
    request.body = std::move(reader);
    scope.spawn(ask(client.get(), std::move(request), &answer));
    world.loop().drain();
    ASSERT_TRUE(answer && *answer);
    ASSERT_EQ((*answer)->status, 200);
  }
  http::BodyReader& down() { return (*answer)->body; }
  // What comes back of what is said.
  std::string echo(std::string_view text) {
    up.write(as_bytes(text));
    world.loop().drain();
    std::string heard;
    while (!down().data().empty()) {
      heard += as_text(down().data());
      down().consume(down().data().size());
      world.loop().drain();
    }
    return heard;
  }
  void change_policy(const std::function<void(ServerPolicy&)>& change) {
    world.publish(kTarget.port, policy_with(change));
    world.loop().drain();
  }

  TestWorker world;
  net::Drain never;
  h2::EchoHandler application{world.loop()};
  net::TaskScope apps;
  std::unique_ptr<h2::ClientConnection> client;
  http::BodyWriter up;
  std::optional<Result<http::Response>> answer;
  net::TaskScope scope;
};

TEST_F(Http2Tunnel, CarriesBytesBothWaysAndItsEnd) {
  open("CONNECT");
  EXPECT_EQ(echo("ping"), "ping");
  const std::string much(300'000, 'x');
  EXPECT_EQ(echo(much), much);
  up.finish();
  world.loop().drain();
  EXPECT_TRUE(down().ended());
  EXPECT_EQ(client->active(), 0U);
}

TEST_F(Http2Tunnel, EndsWhenPolicyAdmitsItNoLonger) {
  open("CONNECT");
  EXPECT_EQ(echo("ping"), "ping");
  change_policy([](ServerPolicy& policy) {  // admits it as well
    policy.routes.front().meta = Meta{"policy.linkerd.io", "httproute", "shop", "r", "", 0};
  });
  EXPECT_EQ(echo("still"), "still");
  change_policy(admit_nobody);
  ASSERT_NE(down().failure(), nullptr);
  EXPECT_EQ(down().failure()->detail, 8U);
  EXPECT_EQ(client->active(), 0U);
  EXPECT_TRUE(up.abandoned());
  EXPECT_NE(world.scrape().find("\ninbound_tcp_authz_terminate_total{"), std::string::npos);
}

// Also while the client takes nothing and the application has more to say than is carried at once.
TEST_F(Http2Tunnel, EndsUnderASlowReader) {
  open("CONNECT");
  up.write(as_bytes(std::string(1'000'000, 'x')));
  world.loop().drain();
  change_policy(admit_nobody);
  std::size_t got = 0;
  while (!down().data().empty()) {
    got += down().data().size();
    down().consume(down().data().size());
    world.loop().drain();
  }
  EXPECT_LT(got, 1'000'000U);
  ASSERT_NE(down().failure(), nullptr);
  EXPECT_EQ(client->active(), 0U);
}

// A request is admitted once, at its head; so it is with the streams of gRPC.
TEST_F(Http2Tunnel, RequestsGoOn) {
  open("POST");
  change_policy(admit_nobody);
  EXPECT_EQ(echo("more"), "more");
  up.finish();
  world.loop().drain();
  EXPECT_TRUE(down().ended());
}

TEST_F(Http2Tunnel, ClientsThatGoTakeItAlong) {
  open("CONNECT");
  EXPECT_EQ(echo("ping"), "ping");
  answer.reset();
  world.loop().drain();
  EXPECT_EQ(client->active(), 0U);
  change_policy(admit_nobody);
  EXPECT_EQ(world.scrape().find("\ninbound_tcp_authz_terminate_total{"), std::string::npos);
}

}  // namespace
}  // namespace tulle::proxy
