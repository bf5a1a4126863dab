// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/resolver.h"

#include <gtest/gtest.h>

#include "lib/dns/testing.h"
#include "lib/testing/sim.h"

namespace tulle::dns {
namespace {

class ResolverTest : public ::testing::Test {
 protected:
  void make(ResolverOptions options = {}) {
    options.resolv_conf_path = resolv_conf.path();
    options.hosts_path = hosts.path();
    resolver = std::make_unique<Resolver>(loop.get(), exchange, std::move(options), 1);
  }
  // Addresses as one text, or the error's name and detail: "10.0.0.1 fd00::1", "NotFound/30".
  static std::string text(const std::optional<Result<Answer>>& answer) {
    if (!answer) return "nothing";
    std::string out;
    if (!*answer) {
      out = to_string(answer->error().code);
      if (answer->error().detail != 0) out += "/" + std::to_string(answer->error().detail);
      return out;
    }
    for (const net::IpAddr& ip : (*answer)->addresses)
      out += (out.empty() ? "" : " ") + ip.to_string();
    for (const Srv& srv : (*answer)->services) {
      out += (out.empty() ? "" : " ") + srv.target + ":" + std::to_string(srv.port);
    }
    return out;
  }
  // Servers that answer do so at once: `limit` passes in any case.
  std::string resolve(std::string name, Type type = Type::A, Duration limit = 20ms) {
    return text(loop.run(resolver->resolve(std::move(name), type), limit));
  }
  std::string resolve_addresses(std::string name) {
    return text(loop.run(resolver->resolve_addresses(std::move(name)), 20ms));
  }
  // The names asked for since the last call, in order.
  std::vector<std::string> asked() {
    std::vector<std::string> names;
    for (const FakeExchange::Call& call : exchange.calls) names.push_back(call.question.name);
    exchange.calls.clear();
    return names;
  }

  testing::SimLoop loop;
  FakeExchange exchange{loop.get()};
  TempFile resolv_conf{"nameserver 10.9.0.1\nsearch ns.svc.local svc.local\noptions ndots:2\n"};
  TempFile hosts{"10.8.0.1 inhosts\n"};
  std::unique_ptr<Resolver> resolver;
};

using Names = std::vector<std::string>;

TEST_F(ResolverTest, AbsoluteNamesAreAskedForAsTheyAre) {
  make();
  exchange.add("web", Type::A, 30, "10.0.0.1");
  exchange.add("web", Type::A, 30, "10.0.0.2");
  EXPECT_EQ(resolve("Web."), "10.0.0.1 10.0.0.2");
  EXPECT_EQ(asked(), Names{"web"});
  EXPECT_EQ(resolve("none."), "NotFound/30");
  EXPECT_EQ(asked(), Names{"none"});
}

TEST_F(ResolverTest, TheSearchListComesFirstForNamesWithFewDots) {
  make();
  exchange.add("web.svc.local", Type::A, 30, "10.0.0.1");
  EXPECT_EQ(resolve("web"), "10.0.0.1");
  EXPECT_EQ(asked(), (Names{"web.ns.svc.local", "web.svc.local"}));
  EXPECT_EQ(resolve("a.b.c"), "NotFound/30");
  EXPECT_EQ(asked(), (Names{"a.b.c", "a.b.c.ns.svc.local", "a.b.c.svc.local"}));
  EXPECT_EQ(resolve("a.b"), "NotFound/30");
  EXPECT_EQ(asked(), (Names{"a.b.ns.svc.local", "a.b.svc.local", "a.b"}));
}

TEST_F(ResolverTest, AnswersAreKeptForTheirTtl) {
  make();
  exchange.add("web", Type::A, 30, "10.0.0.1");
  EXPECT_EQ(resolve("web."), "10.0.0.1");
  const TimePoint asked_at = loop.get().now();
  exchange.clear();
  EXPECT_EQ(resolve("web."), "10.0.0.1");
  EXPECT_EQ(resolver->stats().asked, 1U);
  EXPECT_EQ(resolver->stats().cached, 1U);
  loop.advance(asked_at + 30s - loop.get().now());
  EXPECT_EQ(resolve("web."), "NotFound/30");
  EXPECT_EQ(resolver->stats().asked, 2U);
}

TEST_F(ResolverTest, TtlsAreClamped) {
  make({.min_ttl = 10s, .max_ttl = 60s});
  exchange.add("short", Type::A, 0, "10.0.0.1");
  exchange.add("long", Type::A, 3600, "10.0.0.2");
  const auto least = loop.run(resolver->resolve("short.", Type::A), 5ms);
  ASSERT_TRUE(least && *least);
  EXPECT_EQ((*least)->expires - loop.get().now(), 10s - 4ms);  // the rest of the 5 ms has passed
  const auto most = loop.run(resolver->resolve("long.", Type::A), 5ms);
  ASSERT_TRUE(most && *most);
  EXPECT_EQ((*most)->expires - loop.get().now(), 60s - 4ms);
}

TEST_F(ResolverTest, AbsencesAreKeptToo) {
  make();
  EXPECT_EQ(text(loop.run(resolver->resolve("none.", Type::A), 10s)), "NotFound/30");
  EXPECT_EQ(text(loop.run(resolver->resolve("none.", Type::A), 1ms)), "NotFound/21");  // rounded up
  EXPECT_EQ(exchange.calls.size(), 1U);
  exchange.handler = [this](const FakeExchange::Call& call) -> Result<Message> {
    Message message = exchange.answer(call.question);
    message.negative_ttl.reset();  // nobody says how long
    return message;
  };
  EXPECT_EQ(resolve("never."), "NotFound");
  EXPECT_EQ(resolve("never."), "NotFound");
  EXPECT_EQ(exchange.calls.size(), 3U);
}

TEST_F(ResolverTest, SameQuestionsShareOneQuery) {
  make();
  exchange.add("web", Type::A, 30, "10.0.0.1");
  exchange.delay = 100ms;
  std::vector<std::string> got;
  net::TaskScope scope;
  const auto ask = [](Resolver* of, net::Loop* on, Duration patience,
                      std::vector<std::string>* into) -> net::Task<void> {
    const Result<Answer> answer = co_await of->resolve("web.", Type::A, on->after(patience));
    into->push_back(std::string(answer ? "found" : to_string(answer.error().code)));
  };
  for (int i = 0; i < 3; ++i) scope.spawn(ask(resolver.get(), &loop.get(), 1s, &got));
  scope.spawn(ask(resolver.get(), &loop.get(), 10ms, &got));  // gives up; the others do not
  loop.advance(2s);
  EXPECT_EQ(got, (std::vector<std::string>{"Timeout", "found", "found", "found"}));
  EXPECT_EQ(resolver->stats().asked, 1U);
  EXPECT_EQ(resolver->stats().merged, 3U);
}

TEST_F(ResolverTest, AQuestionOutlivesWhoeverAskedFirst) {
  make();
  exchange.add("web", Type::A, 30, "10.0.0.1");
  exchange.delay = 100ms;
  {
    net::TaskScope scope;
    const auto ask = [](Resolver* of) -> net::Task<void> {
      const Result<Answer> answer = co_await of->resolve("web.", Type::A);
      ADD_FAILURE() << "resumed after it was cancelled";
    };
    scope.spawn(ask(resolver.get()));
  }
  loop.advance(1s);
  EXPECT_EQ(resolve("web."), "10.0.0.1");
  EXPECT_EQ(exchange.calls.size(), 1U);
}

TEST_F(ResolverTest, CanBeDestroyedWhileAQuestionRuns) {
  make();
  exchange.delay = 100ms;
  {
    net::TaskScope scope;
    const auto ask = [](Resolver* of) -> net::Task<void> {
      const Result<Answer> answer = co_await of->resolve("web.", Type::A);
    };
    scope.spawn(ask(resolver.get()));
  }
  resolver.reset();
  loop.advance(1s);
}

TEST_F(ResolverTest, QuestionsAtOnceAreBounded) {
  make({.max_queries = 2});
  exchange.delay = 1s;
  net::TaskScope scope;
  std::vector<std::string> got;
  const auto ask = [](Resolver* of, std::string name,
                      std::vector<std::string>* into) -> net::Task<void> {
    const Result<Answer> answer = co_await of->resolve(std::move(name), Type::A);
    into->push_back(std::string(to_string(answer.error().code)));
  };
  for (const char* name : {"a.", "b.", "c."}) scope.spawn(ask(resolver.get(), name, &got));
  EXPECT_EQ(got, Names{"ResourceExhausted"});
  loop.advance(5s);
  EXPECT_EQ(got.size(), 3U);
  EXPECT_EQ(resolver->stats().refused, 1U);
}

TEST_F(ResolverTest, FollowsAliases) {
  make();
  exchange.add("web", Type::Cname, 5, "real");
  exchange.add("real", Type::A, 30, "10.0.0.1");
  EXPECT_EQ(resolve("web."), "10.0.0.1");
  // A server that gives only the alias is asked again for what it points to.
  exchange.handler = [this](const FakeExchange::Call& call) -> Result<Message> {
    Message message = exchange.answer(call.question);
    if (call.question.name == "lazy") {
      message.rcode = Rcode::NoError;
      message.negative_ttl.reset();
      message.answers = {{.name = "lazy", .type = Type::Cname, .ttl = 5, .target = "real"}};
    }
    return message;
  };
  exchange.calls.clear();
  EXPECT_EQ(resolve("lazy."), "10.0.0.1");
  EXPECT_EQ(asked(), (Names{"lazy", "real"}));
}

TEST_F(ResolverTest, AliasLoopsEnd) {
  make();
  exchange.handler = [](const FakeExchange::Call& call) -> Result<Message> {
    Message message;
    message.response = true;
    message.question = call.question;
    message.answers = {{.name = "a", .type = Type::Cname, .ttl = 5, .target = "b"},
                       {.name = "b", .type = Type::Cname, .ttl = 5, .target = "a"}};
    return message;
  };
  EXPECT_EQ(resolve("a."), "Protocol");
  EXPECT_LE(exchange.calls.size(), 8U);
}

TEST_F(ResolverTest, BothFamiliesTogether) {
  make();
  exchange.add("both", Type::A, 30, "10.0.0.1");
  exchange.add("both", Type::Aaaa, 20, "fd00::1");
  exchange.add("six", Type::Aaaa, 30, "fd00::2");
  exchange.add("four", Type::A, 30, "10.0.0.2");
  EXPECT_EQ(resolve_addresses("both."), "10.0.0.1 fd00::1");
  EXPECT_EQ(resolve_addresses("six."), "fd00::2");
  EXPECT_EQ(resolve_addresses("four."), "10.0.0.2");
  EXPECT_EQ(resolve_addresses("none."), "NotFound/30");
}

TEST_F(ResolverTest, OneSilentFamilyDelaysTheOtherLittle) {
  make();
  exchange.add("four", Type::A, 30, "10.0.0.2");
  exchange.handler = [this](const FakeExchange::Call& call) -> Result<Message> {
    if (call.question.type == Type::Aaaa) return Error{Errc::Timeout, "test"};
    return exchange.answer(call.question);
  };
  EXPECT_EQ(text(loop.run(resolver->resolve_addresses("four."), 600ms)), "10.0.0.2");
}

TEST_F(ResolverTest, ASilentServerIsFollowedByTheNextAndThenAskedLast) {
  resolv_conf.write("nameserver 10.9.0.1\nnameserver 10.9.0.2\n");
  make();
  exchange.add("a", Type::A, 1, "10.0.0.1");
  exchange.add("b", Type::A, 1, "10.0.0.1");
  exchange.handler = [this](const FakeExchange::Call& call) -> Result<Message> {
    if (call.server.ip.to_string() == "10.9.0.1") return Error{Errc::Timeout, "test"};
    return exchange.answer(call.question);
  };
  EXPECT_EQ(text(loop.run(resolver->resolve("a.", Type::A), 3s)), "10.0.0.1");
  EXPECT_EQ(exchange.calls.size(), 2U);
  EXPECT_EQ(exchange.calls[0].server.to_string(), "10.9.0.1:53");
  exchange.calls.clear();
  EXPECT_EQ(text(loop.run(resolver->resolve("b.", Type::A), 10ms)), "10.0.0.1");
  EXPECT_EQ(exchange.calls.size(), 1U);
  loop.advance(31s);
  exchange.handler = nullptr;
  exchange.calls.clear();
  EXPECT_EQ(resolve("a."), "10.0.0.1");
  EXPECT_EQ(exchange.calls[0].server.to_string(), "10.9.0.1:53");
}

TEST_F(ResolverTest, SilenceIsRepeatedThenReported) {
  make();
  exchange.handler = [](const FakeExchange::Call&) -> Result<Message> {
    return Error{Errc::Timeout, "test"};
  };
  EXPECT_EQ(resolve("web", Type::A, 10s), "Timeout");  // and the search list is not walked on
  EXPECT_EQ(exchange.calls.size(), 3U);
  EXPECT_EQ(resolver->stats().timeouts, 3U);
}

TEST_F(ResolverTest, AServerThatFailsIsNotAskedTwice) {
  make();
  exchange.handler = [this](const FakeExchange::Call& call) -> Result<Message> {
    Message message = exchange.answer(call.question);
    if (call.question.name.ends_with("ns.svc.local")) message.rcode = Rcode::ServFail;
    return message;
  };
  EXPECT_EQ(resolve("gone"), "Unavailable/2");  // it might exist where the server failed
  EXPECT_EQ(asked(), (Names{"gone.ns.svc.local", "gone.svc.local", "gone"}));
  exchange.add("web.svc.local", Type::A, 30, "10.0.0.1");
  EXPECT_EQ(resolve("web"), "10.0.0.1");
}

TEST_F(ResolverTest, LargeAnswersComeOverTcp) {
  make();
  exchange.add("web", Type::A, 30, "10.0.0.1");
  exchange.handler = [this](const FakeExchange::Call& call) -> Result<Message> {
    Message message = exchange.answer(call.question);
    if (!call.tcp) {
      message.answers.clear();
      message.truncated = true;
    }
    return message;
  };
  EXPECT_EQ(resolve("web."), "10.0.0.1");
  ASSERT_EQ(exchange.calls.size(), 2U);
  EXPECT_TRUE(exchange.calls[1].tcp);
  EXPECT_EQ(resolver->stats().over_tcp, 1U);
}

TEST_F(ResolverTest, OldServersAreAskedWithoutEdns) {
  make();
  exchange.add("web", Type::A, 30, "10.0.0.1");
  exchange.handler = [this](const FakeExchange::Call& call) -> Result<Message> {
    Message message = exchange.answer(call.question);
    if (call.edns) {
      message = {};
      message.question = call.question;
      message.rcode = Rcode::FormErr;
    }
    return message;
  };
  EXPECT_EQ(resolve("web."), "10.0.0.1");
  EXPECT_EQ(exchange.calls.size(), 2U);
  EXPECT_EQ(resolve("none."), "NotFound/30");
  EXPECT_EQ(exchange.calls.size(), 3U);  // it is remembered
}

TEST_F(ResolverTest, LiteralsHostsAndLocalhostStayHere) {
  make();
  EXPECT_EQ(resolve("10.1.2.3"), "10.1.2.3");
  EXPECT_EQ(resolve("10.1.2.3", Type::Aaaa), "NotFound");
  EXPECT_EQ(resolve_addresses("fd00::1"), "fd00::1");
  EXPECT_EQ(resolve("InHosts"), "10.8.0.1");
  EXPECT_EQ(resolve("inhosts.", Type::Aaaa), "NotFound/5");
  EXPECT_EQ(resolve("inhosts.", Type::Srv), "NotFound/5");
  EXPECT_EQ(resolve_addresses("localhost."), "127.0.0.1 ::1");
  EXPECT_EQ(resolve("a.localhost", Type::Aaaa), "::1");
  for (const char* bad : {"", ".", "a..b", "a b"}) EXPECT_EQ(resolve(bad), "Invalid") << bad;
  EXPECT_EQ(resolve("a", Type::Cname), "Unsupported");
  EXPECT_TRUE(exchange.calls.empty());
}

TEST_F(ResolverTest, FilesAreReadAgainWhenTheyChange) {
  make();
  exchange.add("web.ns.svc.local", Type::A, 3000, "10.0.0.1");
  exchange.add("web.other", Type::A, 3000, "10.0.0.2");
  EXPECT_EQ(resolve("web"), "10.0.0.1");
  resolv_conf.write("nameserver 10.9.0.7\nsearch other\n");
  hosts.write("10.8.0.2 inhosts more\n");
  exchange.calls.clear();
  loop.advance(1s);
  EXPECT_EQ(resolve("web"), "10.0.0.2");
  EXPECT_EQ(exchange.calls.at(0).server.to_string(), "10.9.0.7:53");
  EXPECT_EQ(resolve("inhosts"), "10.8.0.2");
}

TEST_F(ResolverTest, TheCacheIsBounded) {
  make({.max_cached = 8});
  for (char c = 'a'; c < 'q'; ++c) {
    exchange.add(std::string(1, c), Type::A, 3000, "10.0.0.1");
    EXPECT_EQ(resolve(std::string(1, c) + "."), "10.0.0.1");
  }
  EXPECT_EQ(resolver->stats().evicted, 12U);
}

TEST_F(ResolverTest, RotateSpreadsQueries) {
  resolv_conf.write("nameserver 10.9.0.1\nnameserver 10.9.0.2\noptions rotate\n");
  make();
  std::map<std::string, int> seen;
  for (int i = 0; i < 50; ++i) resolve(std::to_string(i) + "x.");
  for (const FakeExchange::Call& call : exchange.calls) ++seen[call.server.to_string()];
  EXPECT_EQ(seen.size(), 2U);
}

}  // namespace
}  // namespace tulle::dns
