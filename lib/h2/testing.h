// SPDX-License-Identifier: Apache-2.0
// For tests of servers: a handler that echoes, and a peer that sends any frames it likes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/h2/connection.h"
#include "lib/h2/wire.h"
#include "lib/testing/sim.h"

namespace tulle::h2 {

using testing::SimLoop;

class EchoHandler final : public http::Handler {
 public:
  explicit EchoHandler(net::Loop& l) : loop(l) {}
  net::Task<Result<http::Response>> handle(http::Request request) override {
    ++calls;
    if (scribble) std::fill(loop.scratch().begin(), loop.scratch().end(), std::uint8_t{0xFF});
    if (delay != Duration::zero()) co_await net::sleep_for(loop, delay);
    if (request.path == "/reset") co_return Error{Errc::Reset, "test", 0, 11};
    http::Response response;
    response.status = 200;
    response.headers.add("X-Path", request.path);
    if (request.path == "/early") {
      response.status = 413;
      co_return response;
    }
    if (request.body.has_value()) {
      response.body = std::move(request.body);
    } else {
      http::HeaderMap trailers;
      if (request.path == "/trailers") trailers.add("grpc-status", "0");
      response.body = http::make_full_body(loop, as_bytes(answer), std::move(trailers));
    }
    co_return response;
  }
  net::Loop& loop;
  int calls = 0;
  bool scribble = false;
  Duration delay{};
  std::string answer = "hello";
};

// Raw frames against the server.
struct RawFixture : ::testing::Test {
  explicit RawFixture(const ServerOptions& options = {}, std::size_t capacity = 1U << 20) : handler(loop) {
    auto [a, b] = loop.pipe(capacity);
    peer = std::move(a);
    scope.spawn(serve(std::move(b), handler, options, drain));
    loop.drain();
    send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame(frame::kSettings, 0, 0, "");
    read();
  }
  void send(std::string_view bytes) {
    (void)peer->try_write(as_bytes(bytes));
    loop.drain();
  }
  static std::string framed(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
    std::uint8_t head[9];
    write_header(head, static_cast<std::uint32_t>(payload.size()), type, flags, stream);
    return std::string(reinterpret_cast<char*>(head), 9) + std::string(payload);
  }
  void frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
    send(framed(type, flags, stream, payload));
  }
  std::string read() {
    std::string got(as_text(peer->pending()));
    std::vector<std::uint8_t> buffer(got.size() + 1);
    if (!got.empty()) (void)peer->try_read(buffer);
    return got;
  }
  // The code of the GOAWAY in what was received; -1 if there is none.
  int goaway() {
    const auto payload = received(read(), frame::kGoaway);
    return payload ? static_cast<int>(read32(reinterpret_cast<const std::uint8_t*>(payload->data()) + 4)) : -1;
  }
  // The payload of the first frame of that type.
  static std::optional<std::string> received(const std::string& got, std::uint8_t type) {
    for (std::size_t at = 0; at + 9 <= got.size();) {
      const auto* p = reinterpret_cast<const std::uint8_t*>(got.data() + at);
      const std::size_t length = static_cast<std::size_t>(p[0]) << 16 | static_cast<std::size_t>(p[1]) << 8 | p[2];
      if (p[3] == type) return got.substr(at + 9, length);
      at += 9 + length;
    }
    return std::nullopt;
  }
  static constexpr std::string_view kGet = "\x82\x86\x84\x41\x01\x61";  // GET http / a
  SimLoop loop;
  net::Drain drain;
  EchoHandler handler;
  std::unique_ptr<testing::PipeEnd> peer;
  net::TaskScope scope;
};

}  // namespace tulle::h2
