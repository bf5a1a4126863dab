// SPDX-License-Identifier: Apache-2.0
#include "proxy/endpoint/endpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

net::Task<void> ask(Endpoint& endpoint) {
  http::Request request = test::request("GET", "/");
  request.version = http::Version::Http2;
  [[maybe_unused]] const auto response = co_await endpoint.send(request, Deadline::never());
}

// How many PING frames (RFC 9113 §6.7) an endpoint sends in a minute while a request waits.
int pings(const EndpointPtr& info) {
  test::TestWorker world;
  std::unique_ptr<testing::PipeEnd> server;
  world.on_dial([&](Session, std::unique_ptr<testing::PipeEnd> stream) {
    server = std::move(stream);
    constexpr std::uint8_t kSettings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
    EXPECT_TRUE(server->try_write(kSettings));
  });
  Endpoint endpoint(world.worker().endpoint_context(), info);
  net::TaskScope scope;
  scope.spawn(ask(endpoint));
  int count = 0;
  std::size_t skip = std::string_view("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").size();
  for (int second = 0; second < 60; ++second) {
    world.loop().advance(1s);
    std::uint8_t room[4096];
    const Result<std::size_t> n = server->try_read(room);
    if (!n || *n == 0) continue;
    for (std::size_t at = std::exchange(skip, 0); at + 9 <= *n;) {
      const std::size_t size =
          (std::size_t{room[at]} << 16) | (std::size_t{room[at + 1]} << 8) | room[at + 2];
      if (room[at + 3] == 6 && room[at + 4] == 0) {
        ++count;
        std::uint8_t ack[17];
        std::copy(room + at, room + at + sizeof ack, ack);
        ack[4] = 1;
        EXPECT_TRUE(server->try_write(ack));
      }
      at += 9 + size;
    }
  }
  return count;
}

// Servers of gRPC end connections of who asks more often than every few minutes.
TEST(Endpoint, AsksOnlyProxiesForASignOfLife) {
  const EndpointPtr plain = test::endpoint("10.0.0.1:80");
  EXPECT_EQ(pings(plain), 0);
  auto meshed = std::make_shared<EndpointInfo>(*plain);
  meshed->identity = meshed->server_name = "web.shop.serviceaccount.identity.linkerd.cluster.local";
  EXPECT_GE(pings(meshed), 4);
}

}  // namespace
}  // namespace tulle::proxy
