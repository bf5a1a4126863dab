// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/port_forward.h"

#include <gtest/gtest.h>

#include "lib/base/text.h"
#include "lib/k8s/fake_server.h"

namespace tulle::k8s {
namespace {

using Forwarded = std::variant<std::unique_ptr<PodStream>, ApiStatus>;

class PortForward : public ::testing::Test {
 protected:
  PortForward() {
    server_.upgrade = [this](const http::Request& request) {
      auto [near_end, far_end] = testing::make_pipe(loop_.get());
      kubelet_ = std::move(near_end);
      http::Response response = http::make_response(101);
      response.headers.add("connection", "upgrade");
      response.headers.add("upgrade", "websocket");
      response.headers.add(
          "sec-websocket-accept",
          accept_.empty() ? websocket_accept(*request.headers.get("sec-websocket-key")) : accept_);
      response.headers.add("sec-websocket-protocol",
                           *request.headers.get("sec-websocket-protocol"));
      response.upgraded = std::move(far_end);
      return response;
    };
  }
  Forwarded forward() {
    return *loop_.run(forward_port(client_, "shop", "web-0", 8086, loop_.get().after(5s)));
  }
  std::unique_ptr<PodStream> opened() {
    Forwarded got = forward();
    auto* const stream = std::get_if<std::unique_ptr<PodStream>>(&got);
    EXPECT_TRUE(stream) << std::get<ApiStatus>(got).to_string();
    return stream != nullptr ? std::move(*stream) : nullptr;
  }
  // A frame of the kubelet with one message.
  void say(std::string_view message, std::uint8_t first = 0x82) {
    const std::string frame = concat(std::string(1, static_cast<char>(first)),
                                     std::string(1, static_cast<char>(message.size())), message);
    ASSERT_TRUE(*kubelet_->try_write(as_bytes(frame)) == frame.size());
    loop_.drain();
  }
  // What the client sent, frames with their masks taken off.
  std::string heard() {
    loop_.drain();
    std::uint8_t bytes[4096];
    const Result<std::size_t> n = kubelet_->try_read(bytes);
    std::string out;
    for (std::size_t at = 0; n && at + 6 <= *n;) {
      const std::size_t size = bytes[at + 1] & 0x7f;
      EXPECT_LT(size, 126U);
      out += concat("[", std::to_string(bytes[at] & 0x0f), " ");
      for (std::size_t i = 0; i < size; ++i)
        out += static_cast<char>(bytes[at + 6 + i] ^ bytes[at + 2 + i % 4]);
      out += "]";
      at += 6 + size;
    }
    return out;
  }
  std::string read(PodStream& stream) {
    std::uint8_t bytes[64];
    const Result<std::size_t> n = *loop_.run(net::read_some(stream, bytes, loop_.get().after(1s)));
    return n ? std::string(as_text(Bytes(bytes, *n))) : concat("!", to_string(n.error().code));
  }

  testing::SimLoop loop_;
  FakeServer server_{loop_.get()};
  std::string accept_;
  net::StreamPtr kubelet_;
  log::Sink sink_{{.off = true}, log::Filter::parse_lenient("off")};
  ApiClient client_{loop_.get(), server_, ClusterAccess{}, log::Logger(sink_, "test"), {}};
};

using namespace std::string_literals;

TEST_F(PortForward, CarriesBytesBothWays) {
  const auto stream = opened();
  ASSERT_TRUE(stream);
  EXPECT_EQ(server_.requests.back().path,
            "/api/v1/namespaces/shop/pods/web-0/portforward?ports=8086");
  EXPECT_EQ(server_.requests.back().method, "GET");
  // The number of the port comes first on each channel, here in two pieces on one of them.
  say("\0\x96"s), say("\1\x96\x1f"s), say("\0\x1fhello"s);
  EXPECT_EQ(read(*stream), "hello");
  say("\0one"s), say("\0two"s), say("ping", 0x89);
  EXPECT_EQ(read(*stream), "onetwo");
  ASSERT_TRUE(*loop_.run(net::write_all(*stream, as_bytes("request"))));
  EXPECT_EQ(heard(), "[10 ping][2 \0request]"s);
  EXPECT_EQ(read(*stream), "!Timeout");
  say("\x03\xe8", 0x88);
  EXPECT_EQ(read(*stream), "");
  EXPECT_EQ(heard(), "[8 \x03\xe8]");
  EXPECT_FALSE(*loop_.run(net::write_all(*stream, as_bytes("late"))));
}

TEST_F(PortForward, GivesOutMoreThanOneReadTakes) {
  const auto stream = opened();
  ASSERT_TRUE(stream);
  say(concat("\0\x96\x1f"s, std::string(100, 'x')));
  EXPECT_EQ(read(*stream).size(), 64U);
  EXPECT_EQ(read(*stream).size(), 36U);
}

TEST_F(PortForward, SaysWhyAPortRefuses) {
  const auto stream = opened();
  ASSERT_TRUE(stream);
  say("\0\x96\x1f"s), say("\1\x96\x1f"s), say("\1connection refused"s);
  EXPECT_EQ(read(*stream), "");
  EXPECT_EQ(*stream->problem(), "connection refused");
}

TEST_F(PortForward, RefusesWhatIsNoAnswer) {
  accept_ = "another key's";
  Forwarded got = forward();
  EXPECT_EQ(std::get<ApiStatus>(got).error.code, Errc::Protocol);
  accept_.clear();
  auto stream = opened();
  ASSERT_TRUE(stream);
  say("\7channel"s);
  EXPECT_EQ(read(*stream), "!Protocol");
  server_.upgrade = nullptr;
  server_.answer = [](const FakeServer::Seen&) {
    return FakeServer::Answer{403, FakeServer::status_json(403, "Forbidden"), "", false};
  };
  got = forward();
  EXPECT_EQ(std::get<ApiStatus>(got).code, 403);
  server_.reachable = false;
  got = forward();
  EXPECT_EQ(std::get<ApiStatus>(got).code, 0);
}

}  // namespace
}  // namespace tulle::k8s
