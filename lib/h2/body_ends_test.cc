// SPDX-License-Identifier: Apache-2.0
// However a body ends, and whenever its end comes, whoever it is passed on to hears of it: every
// place that bodies come from beside every place that they go to.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lib/h2/connection.h"
#include "lib/h2/testing.h"
#include "lib/h2/wire.h"
#include "lib/http1/connection.h"
#include "lib/testing/sim.h"

namespace tulle::h2 {
namespace {

using testing::PipeEnd;
using testing::SimLoop;

enum class End : std::uint8_t { Complete, Failed, Reset };
constexpr End kEnds[] = {End::Complete, End::Failed, End::Reset};

std::string framed(std::uint8_t type, std::uint8_t flags, std::string_view payload) {
  return RawFixture::framed(type, flags, 1, payload);
}
std::string settings() { return RawFixture::framed(frame::kSettings, 0, 0, ""); }

// Takes the body of the request that it is given, and never answers.
class Keeper final : public http::Handler {
 public:
  explicit Keeper(net::Loop& loop) : never_(loop) {}
  net::Task<Result<http::Response>> handle(http::Request request) override {
    body = std::move(request.body);
    [[maybe_unused]] const bool told = co_await never_.wait();
    co_return Error{Errc::Internal, "test"};
  }
  http::BodyReader body;

 private:
  net::Signal never_;
};

// Answers with a body that it is given.
class Giver final : public http::Handler {
 public:
  Giver(http::BodyReader b, std::optional<std::uint64_t> l) : body_(std::move(b)), length_(l) {}
  net::Task<Result<http::Response>> handle(http::Request /*request*/) override {
    http::Response response;
    response.status = 200;
    response.body = std::move(body_);
    response.body_length = length_;
    co_return response;
  }

 private:
  http::BodyReader body_;
  std::optional<std::uint64_t> length_;
};

net::Task<void> send(http::Client* client, http::Request request, Deadline by,
                     std::optional<Result<http::Response>>* out) {
  out->emplace(co_await client->send(std::move(request), by));
}

http::Request request_with(http::BodyReader body, std::optional<std::uint64_t> length) {
  http::Request request;
  request.version = http::Version::Http2;
  request.method = "POST";
  request.scheme = "http";
  request.authority = "a";
  request.path = "/";
  request.headers.add("host", "a");
  request.body = std::move(body);
  request.body_length = length;
  return request;
}

// --- where bodies come from ----------------------------------------------------------------------
// Each gives a body of which "hello" is there; "world" and its end are still to come.

class Source {
 public:
  explicit Source(SimLoop& loop) : loop_(loop) {}
  virtual ~Source() = default;
  virtual http::BodyReader open() = 0;
  virtual void last() = 0;
  virtual void end(End how) = 0;
  // The end will not be a good one: where a length was told, one byte stays away.
  virtual void breaks_off() {}

 protected:
  void put(std::string_view bytes) { EXPECT_TRUE(peer_->try_write(as_bytes(bytes))); }
  void fail(End how) {
    if (how == End::Reset) {
      peer_->abort();
    } else {
      EXPECT_TRUE(peer_->try_shutdown());
    }
  }
  http::BodyReader body_of_response(http::Client& client, std::string_view answer) {
    http::Request request = request_with({}, std::nullopt);
    scope_.spawn(send(&client, std::move(request), loop_.get().after(60s), &response_));
    loop_.drain();
    put(answer);
    loop_.drain();
    EXPECT_TRUE(response_ && *response_);
    return response_ && *response_ ? std::move((*response_)->body) : http::BodyReader{};
  }
  SimLoop& loop_;
  std::unique_ptr<PipeEnd> peer_;
  std::optional<Result<http::Response>> response_;
  net::Drain drain_;
  net::TaskScope scope_;
};

class InMemory final : public Source {
 public:
  using Source::Source;
  http::BodyReader open() override {
    auto [writer, reader] = http::make_body(loop_);
    writer_ = std::move(writer);
    writer_.write(as_bytes("hello"));
    return std::move(reader);
  }
  void last() override { writer_.write(as_bytes("world")); }
  void end(End how) override {
    if (how == End::Complete) writer_.finish();
    if (how == End::Failed) writer_.fail({Errc::Io, "test"});
    if (how == End::Reset) writer_ = http::BodyWriter{};
  }

 private:
  http::BodyWriter writer_;
};

class Http1Response final : public Source {
 public:
  Http1Response(SimLoop& loop, http1::Framing framing) : Source(loop), framing_(framing) {}
  http::BodyReader open() override {
    auto [ours, theirs] = loop_.pipe();
    peer_ = std::move(theirs);
    client_ = http1::ClientConnection::make(std::move(ours));
    std::string head = "HTTP/1.1 200 OK\r\n";
    if (framing_ == http1::Framing::Length) head += "Content-Length: 10\r\n\r\nhello";
    if (framing_ == http1::Framing::Chunked)
      head += "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    if (framing_ == http1::Framing::UntilClose) head += "\r\nhello";
    return body_of_response(*client_, head);
  }
  void last() override {
    put(framing_ == http1::Framing::Chunked ? "5\r\nworld\r\n" : short_ ? "worl" : "world");
  }
  void end(End how) override {
    if (how == End::Complete && framing_ == http1::Framing::Chunked) put("0\r\n\r\n");
    if (how == End::Complete && framing_ == http1::Framing::UntilClose) fail(End::Failed);
    // The end of a connection is how this framing says that all was sent.
    if (how != End::Complete) fail(framing_ == http1::Framing::UntilClose ? End::Reset : how);
  }
  void breaks_off() override { short_ = framing_ == http1::Framing::Length; }

 private:
  const http1::Framing framing_;
  bool short_ = false;
  std::unique_ptr<http1::ClientConnection> client_;
};

class Http1Request final : public Source {
 public:
  explicit Http1Request(SimLoop& loop) : Source(loop), keeper_(loop) {}
  http::BodyReader open() override {
    auto [theirs, ours] = loop_.pipe();
    peer_ = std::move(theirs);
    scope_.spawn(http1::serve(std::move(ours), keeper_, {}, drain_));
    put("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    loop_.drain();
    return std::move(keeper_.body);
  }
  ~Http1Request() override { scope_.cancel(); }
  void last() override { put("5\r\nworld\r\n"); }
  void end(End how) override {
    if (how == End::Complete) put("0\r\n\r\n");
    if (how != End::Complete) fail(how);
  }

 private:
  Keeper keeper_;
};

// What both sides of HTTP/2 send.
class Http2Source : public Source {
 public:
  using Source::Source;
  void last() override { put(framed(frame::kData, 0, "world")); }
  void end(End how) override {
    if (how == End::Complete) put(framed(frame::kData, flag::kEndStream, ""));
    if (how == End::Reset) put(framed(frame::kRstStream, 0, std::string("\0\0\0\x8", 4)));
    if (how == End::Failed) fail(how);
  }
};

class Http2Response final : public Http2Source {
 public:
  using Http2Source::Http2Source;
  http::BodyReader open() override {
    auto [ours, theirs] = loop_.pipe();
    peer_ = std::move(theirs);
    client_ = ClientConnection::make(std::move(ours), {});
    return body_of_response(*client_, settings() + framed(frame::kHeaders, 4, "\x88") +
                                          framed(frame::kData, 0, "hello"));
  }

 private:
  std::unique_ptr<ClientConnection> client_;
};

class Http2Request final : public Http2Source {
 public:
  explicit Http2Request(SimLoop& loop) : Http2Source(loop), keeper_(loop) {}
  http::BodyReader open() override {
    auto [theirs, ours] = loop_.pipe();
    peer_ = std::move(theirs);
    scope_.spawn(serve(std::move(ours), keeper_, {}, drain_));
    put(std::string(kPreface) + settings() + framed(frame::kHeaders, 4, RawFixture::kGet) +
        framed(frame::kData, 0, "hello"));
    loop_.drain();
    return std::move(keeper_.body);
  }
  ~Http2Request() override { scope_.cancel(); }

 private:
  Keeper keeper_;
};

// --- where bodies go -----------------------------------------------------------------------------

enum class Heard : std::uint8_t { Nothing, Complete, Broken };

class Sink {
 public:
  explicit Sink(SimLoop& loop) : loop_(loop) {}
  virtual ~Sink() = default;
  virtual void take(http::BodyReader body, std::optional<std::uint64_t> length) = 0;
  virtual Heard heard() = 0;
  // What came of the body, with whatever frames it.
  std::string got;

 protected:
  // The connection's other end.
  std::unique_ptr<PipeEnd> pipe() {
    auto [ours, theirs] = loop_.pipe();
    peer_ = std::move(theirs);
    return std::move(ours);
  }
  void collect() {
    std::uint8_t room[4096];
    for (;;) {
      const Result<std::size_t> n = peer_->try_read(room);
      if (!n || *n == 0) return;
      got += as_text(Bytes(room, *n));
    }
  }
  SimLoop& loop_;
  std::unique_ptr<PipeEnd> peer_;
  std::optional<Result<http::Response>> response_;
  net::Drain drain_;
  net::TaskScope scope_;
};

class Http1Sink final : public Sink {
 public:
  Http1Sink(SimLoop& loop, bool server) : Sink(loop), server_(server) {}
  void take(http::BodyReader body, std::optional<std::uint64_t> length) override {
    length_ = length;
    std::unique_ptr<PipeEnd> stream = pipe();
    if (server_) {
      giver_.emplace(std::move(body), length);
      scope_.spawn(http1::serve(std::move(stream), *giver_, {}, drain_));
      EXPECT_TRUE(peer_->try_write(as_bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n")));
    } else {
      client_ = http1::ClientConnection::make(std::move(stream));
      scope_.spawn(send(client_.get(), request_with(std::move(body), length),
                        loop_.get().after(60s), &response_));
    }
    loop_.drain();
    collect();
  }
  Heard heard() override {
    collect();
    const std::size_t head = got.find("\r\n\r\n");
    if (length_ ? head != std::string::npos && got.size() == head + 4 + *length_
                : got.ends_with("\r\n0\r\n\r\n"))
      return Heard::Complete;
    return peer_->peer_closed() || peer_->peer_aborted() ? Heard::Broken : Heard::Nothing;
  }
  ~Http1Sink() override { scope_.cancel(); }

 private:
  const bool server_;
  std::optional<std::uint64_t> length_;
  std::optional<Giver> giver_;
  std::unique_ptr<http1::ClientConnection> client_;
};

class Http2Sink final : public Sink {
 public:
  Http2Sink(SimLoop& loop, bool server) : Sink(loop), server_(server) {}
  void take(http::BodyReader body, std::optional<std::uint64_t> length) override {
    std::unique_ptr<PipeEnd> stream = pipe();
    if (server_) {
      giver_.emplace(std::move(body), length);
      scope_.spawn(serve(std::move(stream), *giver_, {}, drain_));
      EXPECT_TRUE(peer_->try_write(as_bytes(std::string(kPreface) + settings() +
                                            framed(frame::kHeaders, 5, RawFixture::kGet))));
    } else {
      client_ = ClientConnection::make(std::move(stream), {});
      EXPECT_TRUE(peer_->try_write(as_bytes(settings())));
      scope_.spawn(send(client_.get(), request_with(std::move(body), length),
                        loop_.get().after(60s), &response_));
    }
    loop_.drain();
    collect();
  }
  Heard heard() override {
    collect();
    const std::size_t from = server_ ? 0 : kPreface.size();
    for (std::size_t at = from; at + 9 <= got.size();) {
      const auto* const p = reinterpret_cast<const std::uint8_t*>(got.data() + at);
      if (p[3] == frame::kRstStream) return Heard::Broken;
      if (p[3] <= frame::kHeaders && (p[4] & flag::kEndStream) != 0) return Heard::Complete;
      at += 9 + (static_cast<std::size_t>(p[0]) << 16 | static_cast<std::size_t>(p[1]) << 8 | p[2]);
    }
    return Heard::Nothing;
  }
  ~Http2Sink() override { scope_.cancel(); }

 private:
  const bool server_;
  std::optional<Giver> giver_;
  std::unique_ptr<ClientConnection> client_;
};

// Reads on and throws away.
class Discarding final : public Sink {
 public:
  using Sink::Sink;
  void take(http::BodyReader body, std::optional<std::uint64_t> /*length*/) override {
    scope_.spawn(read(std::move(body)));
    loop_.drain();
  }
  Heard heard() override { return heard_; }

 private:
  net::Task<void> read(http::BodyReader body) {
    for (;;) {
      got += as_text(body.data());
      body.consume(body.data().size());
      if (body.ended()) break;
      if (body.failure() != nullptr) {
        heard_ = Heard::Broken;
        co_return;
      }
      [[maybe_unused]] const bool told = co_await body.changed();
    }
    heard_ = Heard::Complete;
  }
  Heard heard_ = Heard::Nothing;
};

// --- the table -----------------------------------------------------------------------------------

struct From {
  const char* name;
  std::function<std::unique_ptr<Source>(SimLoop&)> make;
};
struct To {
  const char* name;
  bool with_length;
  std::function<std::unique_ptr<Sink>(SimLoop&)> make;
};

const From kSources[] = {
    {"in memory", [](SimLoop& loop) { return std::make_unique<InMemory>(loop); }},
    {"HTTP/1 answer with a length",
     [](SimLoop& loop) { return std::make_unique<Http1Response>(loop, http1::Framing::Length); }},
    {"HTTP/1 answer in chunks",
     [](SimLoop& loop) { return std::make_unique<Http1Response>(loop, http1::Framing::Chunked); }},
    {"HTTP/1 answer until the end",
     [](SimLoop& loop) {
       return std::make_unique<Http1Response>(loop, http1::Framing::UntilClose);
     }},
    {"HTTP/1 request", [](SimLoop& loop) { return std::make_unique<Http1Request>(loop); }},
    {"HTTP/2 answer", [](SimLoop& loop) { return std::make_unique<Http2Response>(loop); }},
    {"HTTP/2 request", [](SimLoop& loop) { return std::make_unique<Http2Request>(loop); }},
};

const To kSinks[] = {
    {"HTTP/1 answer in chunks", false,
     [](SimLoop& loop) { return std::make_unique<Http1Sink>(loop, true); }},
    {"HTTP/1 answer with a length", true,
     [](SimLoop& loop) { return std::make_unique<Http1Sink>(loop, true); }},
    {"HTTP/1 request in chunks", false,
     [](SimLoop& loop) { return std::make_unique<Http1Sink>(loop, false); }},
    {"HTTP/1 request with a length", true,
     [](SimLoop& loop) { return std::make_unique<Http1Sink>(loop, false); }},
    {"HTTP/2 answer", false, [](SimLoop& loop) { return std::make_unique<Http2Sink>(loop, true); }},
    {"HTTP/2 request", false,
     [](SimLoop& loop) { return std::make_unique<Http2Sink>(loop, false); }},
    {"discarding reader", false, [](SimLoop& loop) { return std::make_unique<Discarding>(loop); }},
};

// When the end comes: with the last data, after it was passed on, or without any data at all.
enum class When : std::uint8_t { WithLastData, Later, WithoutData };
constexpr When kWhens[] = {When::WithLastData, When::Later, When::WithoutData};

void check(const From& from, const To& to, End how, When when) {
  // With a length, all of the data is all of the body: then nothing can break off any more.
  if (how == End::Complete && when == When::WithoutData) return;
  SimLoop loop;
  std::unique_ptr<Sink> sink = to.make(loop);
  std::unique_ptr<Source> source = from.make(loop);
  if (how != End::Complete) source->breaks_off();
  const bool by_length = to.with_length && how != End::Complete && when != When::WithoutData;
  http::BodyReader body = source->open();
  sink->take(std::move(body),
             to.with_length ? std::optional<std::uint64_t>(by_length ? 11 : 10) : std::nullopt);
  ASSERT_EQ(sink->heard(), Heard::Nothing);
  if (when != When::WithoutData) source->last();
  if (when == When::Later) loop.drain();
  // What is in a pipe that is cut is lost, so it is taken out before.
  if (when == When::Later) (void)sink->heard();
  source->end(how);
  loop.drain();
  const Heard heard = sink->heard();
  EXPECT_EQ(heard, how == End::Complete ? Heard::Complete : Heard::Broken);
  EXPECT_NE(sink->got.find("hello"), std::string::npos);
  if (how == End::Complete || when == When::Later)
    EXPECT_NE(sink->got.find("worl"), std::string::npos);
}

TEST(BodyEnds, AreHeardEverywhere) {
  for (const From& from : kSources) {
    for (const To& to : kSinks) {
      for (const End how : kEnds) {
        for (const When when : kWhens) {
          SCOPED_TRACE(std::string(from.name) + " to " + to.name + ", end " +
                       std::to_string(static_cast<int>(how)) + ", when " +
                       std::to_string(static_cast<int>(when)));
          check(from, to, how, when);
        }
      }
    }
  }
}

// Who says in trailers how a stream ended says so of one that breaks off, after the last data.
TEST(BodyEnds, AreRescuedByTrailers) {
  for (const From& from : kSources) {
    for (const When when : kWhens) {
      for (const End how : {End::Failed, End::Reset}) {
        SCOPED_TRACE(std::string(from.name) + ", end " + std::to_string(static_cast<int>(how)) +
                     ", when " + std::to_string(static_cast<int>(when)));
        SimLoop loop;
        Http2Sink sink(loop, true);
        std::unique_ptr<Source> source = from.make(loop);
        source->breaks_off();
        http::BodyReader body = source->open();
        body.rescue_with([](const Error&) {
          http::HeaderMap trailers;
          trailers.add("grpc-status", "14");
          return trailers;
        });
        sink.take(std::move(body), std::nullopt);
        if (when != When::WithoutData) source->last();
        if (when == When::Later) loop.drain();
        source->end(how);
        loop.drain();
        EXPECT_EQ(sink.heard(), Heard::Complete);
        EXPECT_NE(sink.got.find("hello"), std::string::npos);
        const auto first = RawFixture::received(sink.got, frame::kRstStream);
        EXPECT_FALSE(first);
        // The last frame is HEADERS with the end of the stream: trailers.
        std::size_t last = 0;
        for (std::size_t at = 0; at + 9 <= sink.got.size();) {
          const auto* const p = reinterpret_cast<const std::uint8_t*>(sink.got.data() + at);
          last = at;
          at += 9 +
                (static_cast<std::size_t>(p[0]) << 16 | static_cast<std::size_t>(p[1]) << 8 | p[2]);
        }
        EXPECT_EQ(sink.got[last + 3], static_cast<char>(frame::kHeaders));
        EXPECT_EQ(sink.got[last + 4], 5);
      }
    }
  }
}

}  // namespace
}  // namespace tulle::h2
