// SPDX-License-Identifier: Apache-2.0
// For tests only: an API server in memory, at the level of HTTP. What it answers is said by the
// test; watches stay open until the test ends them.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/text.h"
#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "lib/k8s/client.h"
#include "lib/testing/sim.h"

namespace tulle::k8s {

class FakeServer final : public Dialer, public http::Handler {
 public:
  struct Seen {
    std::string method, path, body, token, accept, content_type;
  };
  struct Answer {
    std::uint16_t status = 200;
    std::string body;
    std::string retry_after;
    bool silent = false;  // no answer at all
  };
  // What a path (with query) gets that is no watch.
  using Answerer = std::function<Answer(const Seen& request)>;

  explicit FakeServer(net::Loop& loop) : loop_(loop), never_(loop) {}

  Answerer answer = [](const Seen&) {
    return Answer{404, status_json(404, "NotFound"), "", false};
  };
  // Watches are given out as they come; an answer here refuses them instead.
  std::optional<Answer> watch_answer;
  // Takes a request that asks to leave HTTP; a null stream: it is answered as any other.
  std::function<http::Response(const http::Request& request)> upgrade;
  bool reachable = true;
  bool http2 = true;
  std::vector<Seen> requests;  // in order, without those of the continuity check
  std::string cluster = "uid-1";
  std::string revision = "1";
  bool continuity_forbidden = true;  // the check of new connections gets 403
  int dials = 0;

  struct Watch {
    Seen request;
    http::BodyWriter writer;
    bool abandoned() const { return writer.abandoned(); }
  };
  std::list<Watch> watches;  // every one that was begun, newest last

  static std::string status_json(int code, std::string_view reason) {
    return concat(
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no )",
        reason, R"(","reason":")", reason, R"(","code":)", std::to_string(code), "}");
  }
  void event(std::string_view type, std::string_view object) {
    write(concat(R"({"type":")", type, R"(","object":)", object, "}\n"));
  }
  void write(std::string_view text) { watches.back().writer.write(as_bytes(text)); }
  void end_watch() { watches.back().writer.finish(); }
  // Every connection breaks.
  void cut() { connections_.cancel(); }
  // Requests with this text in their path.
  std::size_t count(std::string_view part) const {
    std::size_t out = 0;
    for (const Seen& seen : requests) out += seen.path.find(part) != std::string::npos ? 1U : 0U;
    return out;
  }

  net::Task<Result<Dialed>> dial(Speak speak, Deadline) override {
    ++dials;
    if (!reachable) co_return Error{Errc::Refused, "connect", ECONNREFUSED};
    auto [near_end, far_end] = testing::make_pipe(loop_);
    const bool h2 = http2 && speak == Speak::Http;
    if (h2) {
      connections_.spawn(serve_http2(std::move(far_end)));
    } else {
      connections_.spawn(serve_http1(std::move(far_end)));
    }
    net::StreamPtr stream = std::move(near_end);
    co_return Dialed{std::move(stream), h2};
  }

 private:
  net::Task<void> serve_http2(net::StreamPtr stream) {
    const h2::ServerOptions options;
    co_await h2::serve(std::move(stream), *this, options, drain_);
  }
  net::Task<void> serve_http1(net::StreamPtr stream) {
    const http1::ServerOptions options;
    co_await http1::serve(std::move(stream), *this, options, drain_);
  }

  net::Task<Result<http::Response>> handle(http::Request request) override {
    Seen seen;
    seen.method = request.method.view();
    seen.path = request.path.view();
    seen.token = request.headers.get("authorization").value_or("");
    seen.accept = request.headers.get("accept").value_or("");
    seen.content_type = request.headers.get("content-type").value_or("");
    while (request.body.has_value() && !request.body.ended()) {
      seen.body += as_text(request.body.data());
      request.body.consume(request.body.data().size());
      if (request.body.ended()) break;
      const bool told = co_await request.body.changed();
      (void)told;
    }
    if (seen.path.find("metadata.name%3Dkube-system") != std::string::npos) {
      Answer answered = continuity();
      co_return respond(answered);
    }
    requests.push_back(seen);
    if (request.wants_upgrade && upgrade) {
      http::Response response = upgrade(request);
      if (response.upgraded != nullptr) co_return std::move(response);
    }
    if (seen.path.find("watch=1") != std::string::npos && !watch_answer) {
      auto [writer, reader] = http::make_body(loop_);
      watches.push_back({std::move(seen), std::move(writer)});
      http::Response response;
      response.status = 200;
      response.body = std::move(reader);
      co_return std::move(response);
    }
    Answer answered = seen.path.find("watch=1") != std::string::npos ? *watch_answer : answer(seen);
    if (answered.silent) {
      const bool told = co_await never_.wait();
      (void)told;
    }
    co_return respond(answered);
  }
  Answer continuity() const {
    if (continuity_forbidden) return {403, status_json(403, "Forbidden"), "", false};
    return {200,
            concat(R"({"metadata":{"resourceVersion":")", revision,
                   R"("},"items":[{"metadata":{"uid":")", cluster, R"("}}]})"),
            "", false};
  }
  http::Response respond(const Answer& answered) {
    http::Response response;
    response.status = answered.status;
    response.headers.add("content-type", "application/json");
    if (!answered.retry_after.empty()) response.headers.add("retry-after", answered.retry_after);
    response.headers.add("content-length", std::to_string(answered.body.size()));
    response.body = http::make_full_body(loop_, as_bytes(answered.body));
    response.body_length = answered.body.size();
    return response;
  }

  net::Loop& loop_;
  net::Drain drain_;
  net::Signal never_;
  net::TaskScope connections_;  // destroyed first
};

}  // namespace tulle::k8s
