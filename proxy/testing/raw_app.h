// SPDX-License-Identifier: Apache-2.0
// An application that is bytes, for tests of requests in both directions.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/testing/support.h"

namespace tulle::proxy::test {

// What has come, taken out.
inline std::string text_of(tulle::testing::PipeEnd& end) {
  std::string text(as_text(end.pending()));
  std::uint8_t buffer[65536];
  while (!end.pending().empty()) {
    if (!end.try_read(buffer)) break;
  }
  return text;
}

// An application that is bytes: what came, and what goes back.
struct RawApp {
  void attach(TestWorker& world) {
    world.on_dial([this](Session, std::unique_ptr<tulle::testing::PipeEnd> stream) {
      connections.push_back(std::move(stream));
      last = connections.back().get();
    });
  }
  std::string received() {
    std::string all;
    for (const auto& connection : connections) {
      const std::string text = text_of(*connection);
      if (!text.empty()) last = connection.get();
      all += text;
    }
    return all;
  }
  // Where something came last.
  void send(std::string_view text) {
    EXPECT_TRUE((last != nullptr ? last : connections.back().get())->try_write(as_bytes(text)));
  }
  std::vector<std::unique_ptr<tulle::testing::PipeEnd>> connections;
  tulle::testing::PipeEnd* last = nullptr;
};

inline constexpr std::string_view kPlainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
inline const net::SocketAddr kTarget = addr("10.0.0.5:8080");

inline ServerPolicyPtr open_policy(const std::function<void(ServerPolicy&)>& change = {}) {
  auto policy = std::make_shared<ServerPolicy>(*default_server_policy(small_config(), 8080));
  policy->meta = Meta{"policy.linkerd.io", "server", "", "web-http", "", 0};
  if (change) change(*policy);
  return policy;
}

}  // namespace tulle::proxy::test
