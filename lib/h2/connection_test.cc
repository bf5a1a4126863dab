// SPDX-License-Identifier: Apache-2.0
#include "lib/h2/connection.h"

#include <gtest/gtest.h>

#include <string>

#include "lib/h2/testing.h"

namespace tulle::h2 {
namespace {

using testing::SimLoop;

http::Request request_for(std::string_view path) {
  http::Request request;
  request.version = http::Version::Http2;
  request.method = "GET";
  request.scheme = "http";
  request.authority = "a";
  request.path = path;
  return request;
}

struct Fixture : ::testing::Test {
  explicit Fixture(std::size_t capacity = 1U << 20) : handler(loop) {
    auto [a, b] = loop.pipe(capacity);
    client = ClientConnection::make(std::move(a), {});
    server_scope.spawn(serve(std::move(b), handler, {}, drain));
    loop.drain();
  }
  static net::Task<void> run(ClientConnection* connection, http::Request request, Deadline by,
                             std::optional<Result<http::Response>>* out) {
    out->emplace(co_await connection->send(std::move(request), by));
  }
  void start(http::Request request, std::optional<Result<http::Response>>& out) {
    scope.spawn(run(client.get(), std::move(request), loop.get().after(60s), &out));
    loop.drain();
  }
  static std::string all(http::Response& response) {
    std::string got(as_text(response.body.data()));
    response.body.consume(got.size());
    return got;
  }
  SimLoop loop;
  net::Drain drain;
  EchoHandler handler;
  std::unique_ptr<ClientConnection> client;
  net::TaskScope server_scope;
  net::TaskScope scope;
};

TEST_F(Fixture, CarriesManyRequests) {
  for (int i = 0; i < 300; ++i) {
    std::optional<Result<http::Response>> response;
    start(request_for("/" + std::to_string(i)), response);
    ASSERT_TRUE(response && *response);
    EXPECT_EQ((*response)->headers.get("x-path"), "/" + std::to_string(i));
    EXPECT_EQ(all(**response), "hello");
    EXPECT_TRUE((*response)->body.ended());
  }
  EXPECT_EQ(client->active(), 0U);
}

TEST_F(Fixture, RequestsGoSideBySide) {
  handler.delay = 100ms;
  std::array<std::optional<Result<http::Response>>, 50> responses;
  for (auto& response : responses) start(request_for("/"), response);
  EXPECT_EQ(client->active(), 50U);
  loop.advance(150ms);
  for (auto& response : responses) {
    ASSERT_TRUE(response && *response);
    EXPECT_EQ(all(**response), "hello");
  }
}

TEST_F(Fixture, TrailersAndResetsPass) {
  std::optional<Result<http::Response>> response;
  start(request_for("/trailers"), response);
  ASSERT_TRUE(response && *response);
  EXPECT_EQ(all(**response), "hello");
  EXPECT_TRUE((*response)->body.ended());
  EXPECT_EQ((*response)->body.trailers().get("grpc-status"), "0");
  std::optional<Result<http::Response>> reset;
  start(request_for("/reset"), reset);
  ASSERT_TRUE(reset);
  EXPECT_EQ(reset->error().code, Errc::Reset);
  EXPECT_EQ(reset->error().detail, 11U);
}

// A reader that does not read stops the sender; when it reads, everything comes.
TEST_F(Fixture, ASlowReaderStopsTheSender) {
  handler.answer = std::string(1'000'000, 'x');
  std::optional<Result<http::Response>> response;
  start(request_for("/"), response);
  ASSERT_TRUE(response && *response);
  loop.advance(1s);
  EXPECT_LE((*response)->body.data().size(), 65'535U);
  std::string got;
  for (int turn = 0; turn < 1000 && !(*response)->body.ended(); ++turn) {
    got += all(**response);
    loop.drain();
  }
  EXPECT_EQ(got.size(), handler.answer.size());
  // Others were not held up meanwhile.
  std::optional<Result<http::Response>> other;
  start(request_for("/other"), other);
  ASSERT_TRUE(other && *other);
}

TEST_F(Fixture, BodiesFlowBothWays) {
  auto [writer, reader] = http::make_body(loop);
  http::Request request = request_for("/echo");
  request.method = "POST";
  request.body = std::move(reader);
  std::optional<Result<http::Response>> response;
  start(std::move(request), response);
  std::string sent;
  std::string got;
  for (int i = 0; i < 100; ++i) {
    const std::string piece(5000, static_cast<char>('a' + i % 26));
    writer.write(as_bytes(piece));
    sent += piece;
    loop.drain();
    if (response && *response) got += all(**response);
  }
  http::HeaderMap trailers;
  trailers.add("x-end", "1");
  writer.finish(std::move(trailers));
  for (int i = 0; i < 100; ++i) {
    loop.drain();
    ASSERT_TRUE(response && *response);
    got += all(**response);
  }
  EXPECT_EQ(got, sent);
  EXPECT_TRUE((*response)->body.ended());
  EXPECT_EQ((*response)->body.trailers().get("x-end"), "1");
  EXPECT_EQ(client->active(), 0U);
}

TEST_F(Fixture, AnEarlyAnswerEndsTheUpload) {
  auto [writer, reader] = http::make_body(loop);
  http::Request request = request_for("/early");
  request.method = "POST";
  request.body = std::move(reader);
  std::optional<Result<http::Response>> response;
  start(std::move(request), response);
  ASSERT_TRUE(response && *response);
  EXPECT_EQ((*response)->status, 413);
  loop.drain();
  EXPECT_EQ(client->active(), 0U);
}

TEST_F(Fixture, CancellingASendResetsItsStream) {
  handler.delay = 1h;
  std::optional<Result<http::Response>> response;
  start(request_for("/"), response);
  EXPECT_EQ(client->active(), 1U);
  scope.cancel();
  loop.drain();
  EXPECT_EQ(client->active(), 0U);
  EXPECT_TRUE(client->accepting());
}

TEST_F(Fixture, DroppingABodyResetsItsStream) {
  handler.answer = std::string(1'000'000, 'x');
  std::optional<Result<http::Response>> response;
  start(request_for("/"), response);
  ASSERT_TRUE(response && *response);
  (*response)->body.reset();
  loop.drain();
  EXPECT_EQ(client->active(), 0U);
}

TEST_F(Fixture, DrainFinishesWhatWasBegun) {
  handler.delay = 1s;
  std::optional<Result<http::Response>> response;
  start(request_for("/"), response);
  drain.start();
  loop.drain();
  EXPECT_FALSE(client->accepting());
  loop.advance(2s);
  ASSERT_TRUE(response && *response);
  EXPECT_TRUE(server_scope.empty());
  std::optional<Result<http::Response>> late;
  start(request_for("/"), late);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->error().code, Errc::Refused);
}

TEST_F(Fixture, ABrokenConnectionFailsEverything) {
  handler.delay = 1h;
  std::optional<Result<http::Response>> response;
  start(request_for("/"), response);
  server_scope.cancel();
  loop.drain();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->error().code, Errc::Reset);
  EXPECT_TRUE(client->failed());
}

TEST_F(Fixture, SteadyTrafficReachesNoAllocator) {
  for (int i = 0; i < 20; ++i) {
    std::optional<Result<http::Response>> response;
    start(request_for("/steady"), response);
    ASSERT_TRUE(response && *response);
  }
  const std::uint64_t before = slab_allocations();
  for (int i = 0; i < 100; ++i) {
    std::optional<Result<http::Response>> response;
    start(request_for("/steady"), response);
    ASSERT_TRUE(response && *response);
  }
  EXPECT_LE(slab_allocations() - before, 2U);
}

TEST_F(RawFixture, AnswersARequestInAnySlices) {
  std::uint8_t head[9];
  write_header(head, kGet.size(), frame::kHeaders, flag::kEndHeaders | flag::kEndStream, 1);
  for (const std::uint8_t byte : head) send(std::string(1, static_cast<char>(byte)));
  for (const char c : kGet) send(std::string(1, c));
  EXPECT_EQ(handler.calls, 1);
  EXPECT_NE(read().find("hello"), std::string::npos);
}

// Handlers read from sockets of their own, into the same scratch buffer as the session's input.
TEST_F(RawFixture, HandlersMayUseTheScratchBuffer) {
  handler.scribble = true;
  std::string both;
  for (const std::uint32_t id : {1U, 3U, 5U}) {
    std::uint8_t head[9];
    write_header(head, kGet.size(), frame::kHeaders, flag::kEndHeaders | flag::kEndStream, id);
    both += std::string(reinterpret_cast<char*>(head), 9) + std::string(kGet);
  }
  send(both);
  EXPECT_EQ(handler.calls, 3);
  EXPECT_EQ(goaway(), -1);
}

struct KeepAliveFixture : RawFixture {
  explicit KeepAliveFixture(std::size_t capacity = 1U << 20)
      : RawFixture(ServerOptions{.ping_interval = 10s, .ping_timeout = 3s}, capacity) {}
  bool cut() const { return scope.empty(); }
};

TEST_F(KeepAliveFixture, APeerThatAnswersIsKept) {
  handler.delay = 1h;
  frame(frame::kHeaders, flag::kEndHeaders | flag::kEndStream, 1, kGet);
  for (int i = 0; i < 5; ++i) {
    loop.advance(10'001ms);
    const auto ping = received(read(), frame::kPing);
    ASSERT_TRUE(ping) << i;
    frame(frame::kPing, flag::kAck, 0, *ping);
  }
  EXPECT_FALSE(cut());
}

TEST_F(KeepAliveFixture, ASilentPeerIsCutAndItsRequestsCancelled) {
  handler.delay = 1h;
  frame(frame::kHeaders, flag::kEndHeaders | flag::kEndStream, 1, kGet);
  loop.advance(12'900ms);
  EXPECT_FALSE(cut());
  loop.advance(300ms);
  EXPECT_TRUE(cut());
}

// Its kernel answers keep-alives of TCP; a client that waits for its user need not read.
TEST_F(KeepAliveFixture, AnIdlePeerIsLeftInPeace) {
  frame(frame::kHeaders, flag::kEndHeaders | flag::kEndStream, 1, kGet);
  read();
  loop.advance(10min);
  EXPECT_FALSE(cut());
  EXPECT_FALSE(received(read(), frame::kPing));
}

struct SlowReaderFixture : KeepAliveFixture {
  SlowReaderFixture() : KeepAliveFixture(1U << 10) {}
};

// The PING waits behind the answer, so its silence says nothing.
TEST_F(SlowReaderFixture, AReaderThatIsSlowIsNotDead) {
  handler.answer = std::string(60'000, 'x');
  frame(frame::kHeaders, flag::kEndHeaders | flag::kEndStream, 1, kGet);
  std::size_t got = 0;
  for (int i = 0; i < 100 && got < 60'000; ++i) {
    loop.advance(9s);
    got += read().size();
    loop.drain();
  }
  EXPECT_GE(got, 60'000U);
  EXPECT_FALSE(cut());
}

// As TLS does: its last word must go out before its end.
class WordyEnd final : public net::Stream {
 public:
  explicit WordyEnd(std::unique_ptr<testing::PipeEnd> inner) : inner_(std::move(inner)) {}
  Result<std::size_t> try_read(MutableBytes into) override { return inner_->try_read(into); }
  Result<std::size_t> try_write(Bytes bytes) override { return inner_->try_write(bytes); }
  Result<void> try_shutdown() override {
    const Result<std::size_t> word = inner_->try_write(as_bytes("."));
    if (!word) return word.error();
    return inner_->try_shutdown();
  }
  void abort() noexcept override { inner_->abort(); }
  net::IoState& io() noexcept override { return inner_->io(); }
  void hold_little(bool on) noexcept override { inner_->hold_little(on); }

 private:
  std::unique_ptr<testing::PipeEnd> inner_;
};

// The connection has still something to write when its client ends; then only one waits for room.
TEST(Server, EndsTowardAClientThatReadsNothing) {
  for (const bool reads_at_last : {false, true}) {
    testing::SimLoop loop;
    EchoHandler handler(loop);
    net::Drain drain;
    net::TaskScope scope;
    auto [peer, ours] = loop.pipe(1024);
    ours->set_capacity(200);
    scope.spawn(serve(std::make_unique<WordyEnd>(std::move(ours)), handler, {}, drain));
    std::string said = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    said += RawFixture::framed(frame::kSettings, 0, 0, "");
    for (int i = 0; i < 40; ++i) said += RawFixture::framed(frame::kPing, 0, 0, "12345678");
    ASSERT_TRUE(peer->try_write(as_bytes(said)));
    loop.drain();
    ASSERT_TRUE(peer->try_shutdown());
    loop.drain();
    EXPECT_FALSE(scope.empty());
    std::vector<std::uint8_t> room(4096);
    for (bool more = reads_at_last; more;) {
      const Result<std::size_t> n = peer->try_read(room);
      more = n && *n != 0;
      loop.drain();
    }
    loop.advance(2s);
    EXPECT_TRUE(scope.empty());
  }
}

}  // namespace
}  // namespace tulle::h2
