// SPDX-License-Identifier: Apache-2.0
#include "lib/h2/session.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/slab.h"

namespace tulle::h2 {
namespace {

// Takes everything and keeps the streams that came.
struct Events final : SessionEvents {
  void on_request(StreamState& stream, http::Request /*request*/, bool /*ended*/) override {
    streams.push_back(&stream);
  }
  void on_response(StreamState& /*stream*/, http::Response /*response*/, bool /*ended*/) override {
    ++responses;
  }
  void on_data(StreamState& /*stream*/, Bytes /*data*/, bool /*ended*/) override {}
  void on_trailers(StreamState& /*stream*/, http::HeaderMap /*trailers*/) override {}
  void on_reset(StreamState& /*stream*/, Code /*code*/, bool /*by_peer*/) override {}
  void on_window(StreamState& /*stream*/) override {}
  void on_connection_window() override {}
  void on_initial_window() override {}
  void on_goaway(std::uint32_t /*last_stream*/, Code /*code*/) override {}
  void on_ping_ack() override {}
  void on_closed(StreamState& /*stream*/) override {}
  std::vector<StreamState*> streams;
  int responses = 0;
};

// A client's and a server's session that hand each other their bytes.
struct Pair {
  Pair()
      : client(false, SessionOptions{}, client_events),
        server(true, SessionOptions{}, server_events) {
    exchange();
  }
  void exchange() {
    while (!client.output().empty() || !server.output().empty()) {
      pass(client, server);
      pass(server, client);
    }
  }
  static void pass(Session& from, Session& to) {
    ByteQueue bytes;
    bytes.swap(from.output());
    EXPECT_TRUE(to.receive(bytes.data(), TimePoint{}));
  }
  void request(const std::string& path) {
    http::Request request;
    request.version = http::Version::Http2;
    request.method = "GET";
    request.scheme = "http";
    request.authority = "web.shop.svc.cluster.local";
    request.path = path;
    request.headers.add("user-agent", "curl/8.5.0");
    request.headers.add("accept", "*/*");
    request.headers.add("l5d-client-id",
                        "client.shop.serviceaccount.identity.linkerd.cluster.local");
    ASSERT_NE(client.send_request(request, true), nullptr);
    exchange();
  }
  void answer() {
    http::ResponseHead head;
    head.status = 200;
    head.headers.add("content-type", "application/json");
    head.headers.add("date", "Wed, 25 Nov 2026 12:00:00 GMT");
    server.send_response(*server_events.streams.back(), head, true);
    server_events.streams.pop_back();
    exchange();
  }
  Events client_events, server_events;
  Session client, server;
};

std::size_t allocated() {
  slab_trim();  // cached blocks are free ones
  return ::mallinfo2().uordblks;
}

// The budgets of the library: 6 KiB a session that has carried requests, 300 bytes a stream that is
// open.
TEST(Session, StaysInItsBudget) {
  constexpr std::size_t kPairs = 20;
  constexpr std::size_t kStreams = 90;
  std::vector<std::unique_ptr<Pair>> pairs;
  pairs.reserve(kPairs);
  {
    Pair warm;
    warm.request("/");
    warm.answer();
  }
  const std::size_t before = allocated();
  for (std::size_t i = 0; i < kPairs; ++i) {
    pairs.push_back(std::make_unique<Pair>());
    for (int n = 0; n < 50; ++n) {
      pairs.back()->request("/items/" + std::to_string(n) + "?of=" + std::to_string(i));
      pairs.back()->answer();
    }
    ASSERT_EQ(pairs.back()->client_events.responses, 50);
    pairs.back()->server_events.streams = {};
  }
  const std::size_t idle = allocated();
  for (const auto& pair : pairs) {
    for (std::size_t n = 0; n < kStreams; ++n) pair->request("/items/" + std::to_string(n));
    ASSERT_EQ(pair->server.open_streams(), kStreams);
    pair->server_events.streams = {};
  }
  const std::size_t busy = allocated();
  const std::size_t session = (idle - before) / (2 * kPairs);
  const std::size_t stream = (busy - idle) / (2 * kPairs * kStreams);
  RecordProperty("bytes_per_session", static_cast<int>(session));
  RecordProperty("bytes_per_stream", static_cast<int>(stream));
  std::printf("bytes per session that has carried requests: %zu; per open stream: %zu\n", session,
              stream);
  EXPECT_LE(sizeof(StreamState), 300U);
  if (idle == 0) return;  // sanitizers have an allocator of their own
  EXPECT_LE(session, 6U * 1024);
  EXPECT_LE(stream, 300U);
}

}  // namespace
}  // namespace tulle::h2
