// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/lease.h"

#include <gtest/gtest.h>

#include "lib/k8s/decoder.h"
#include "lib/k8s/fake_server.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/manifest.h"

namespace tulle::k8s {
namespace {

struct LeaseDocument {
  struct Meta {
    std::string version, name;
    std::vector<OwnerReference> owners;
  } meta;
  struct Spec {
    std::string holder, renewed, acquired;
    std::int64_t seconds = 0, transitions = 0;
  } spec;
};
template <typename V>
void describe(V& v, LeaseDocument::Meta& x) {
  v.field("resourceVersion", x.version);
  v.field("name", x.name);
  v.field("ownerReferences", x.owners);
}
template <typename V>
void describe(V& v, LeaseDocument::Spec& x) {
  v.field("holderIdentity", x.holder);
  v.field("renewTime", x.renewed);
  v.field("acquireTime", x.acquired);
  v.field("leaseDurationSeconds", x.seconds);
  v.field("leaseTransitions", x.transitions);
}
template <typename V>
void describe(V& v, LeaseDocument& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}

// One Lease as the API server keeps it, with conflicts.
struct LeaseStore {
  bool exists = false;
  int version = 1;
  LeaseDocument lease;
  int writes = 0;

  FakeServer::Answer answer(const FakeServer::Seen& seen) {
    if (seen.method == "GET") {
      if (!exists) return {404, FakeServer::status_json(404, "NotFound"), "", false};
      return {200, text(), "", false};
    }
    JsonSource source(seen.body);
    LeaseDocument wanted;
    EXPECT_TRUE(source.next_document());
    const auto problem = decode(source, wanted);
    EXPECT_FALSE(problem) << problem->to_string();
    const bool conflict =
        seen.method == "POST" ? exists : wanted.meta.version != lease.meta.version;
    if (conflict) return {409, FakeServer::status_json(409, "Conflict"), "", false};
    EXPECT_EQ(wanted.meta.name, "write");
    if (wanted.spec.acquired.empty()) wanted.spec.acquired = lease.spec.acquired;
    if (wanted.meta.owners.empty()) wanted.meta.owners = lease.meta.owners;
    lease = wanted;
    lease.meta.version = std::to_string(++version);
    exists = true;
    ++writes;
    return {200, text(), "", false};
  }
  std::string text() const {
    return concat(R"({"metadata":{"name":"write","resourceVersion":")", lease.meta.version,
                  R"("},"spec":{"holderIdentity":")", lease.spec.holder, R"(","renewTime":")",
                  lease.spec.renewed, R"(","leaseDurationSeconds":)",
                  std::to_string(lease.spec.seconds), R"(,"leaseTransitions":)",
                  std::to_string(lease.spec.transitions), "}}");
  }
};

// A replica with a connection of its own.
struct Replica {
  using Owner = std::function<net::Task<Result<std::string>>()>;
  Replica(net::Loop& loop, LeaseStore& store, log::Sink& sink, std::string identity,
          std::uint64_t seed, Owner owner = {})
      : server(loop),
        client(loop, server, access(), log::Logger(sink, "test"), ApiClient::Options{}),
        election(client, log::Logger(sink, "test"), options(std::move(identity), std::move(owner)),
                 seed) {
    server.answer = [&store](const FakeServer::Seen& seen) { return store.answer(seen); };
    election.on_change([this](bool now) {
      changes.push_back(now);
      EXPECT_EQ(election.leader(), now);
    });
    scope.spawn(election.run());
  }
  static ClusterAccess access() {
    ClusterAccess out;
    out.host = "k";
    return out;
  }
  static LeaderElection::Options options(std::string identity, Owner owner) {
    LeaderElection::Options out;
    out.ns = "linkerd";
    out.name = "write";
    out.identity = std::move(identity);
    out.owner = std::move(owner);
    return out;
  }
  void go_away() {
    server.reachable = false;
    server.cut();
  }
  void come_back() { server.reachable = true; }

  FakeServer server;
  ApiClient client;
  LeaderElection election;
  std::vector<bool> changes;
  net::TaskScope scope;
};

class LeaseTest : public ::testing::Test {
 protected:
  testing::SimLoop loop;
  LeaseStore store;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
};

TEST_F(LeaseTest, OneLeadsAndRenews) {
  Replica a(loop, store, sink, "a", 1);
  loop.advance(10ms);
  EXPECT_TRUE(a.election.leader());
  Replica b(loop, store, sink, "b", 2);
  for (int i = 0; i < 100; ++i) {
    loop.advance(3s);
    ASSERT_TRUE(a.election.leader());
    ASSERT_FALSE(b.election.leader());
  }
  EXPECT_EQ(b.election.holder(), "a");
  EXPECT_GE(store.writes, 29);
  EXPECT_LE(store.writes, 32);
  EXPECT_EQ(store.lease.spec.transitions, 0);
  EXPECT_EQ(store.lease.spec.seconds, 30);
  EXPECT_EQ(a.changes, std::vector<bool>{true});
}

TEST_F(LeaseTest, GoesWithItsOwner) {
  bool readable = false;
  const auto owner = [&readable]() -> net::Task<Result<std::string>> {
    if (!readable) co_return Error{Errc::Unavailable, "read the owner"};
    co_return R"([{"apiVersion":"apps/v1","kind":"Deployment","name":"d","uid":"1"}])";
  };
  {
    Replica a(loop, store, sink, "a", 1, owner);
    loop.advance(30s);
    EXPECT_FALSE(store.exists);
    EXPECT_FALSE(a.election.leader());
    readable = true;
    loop.advance(3s);
    EXPECT_TRUE(a.election.leader());
    loop.advance(60s);
    ASSERT_EQ(store.lease.meta.owners.size(), 1U);
    EXPECT_EQ(store.lease.meta.owners[0].name, "d");
  }
  // One that exists is taken also while its owner cannot be read, and one of an older release gets
  // an owner.
  readable = false;
  store.lease.meta.owners.clear();
  Replica b(loop, store, sink, "b", 2, owner);
  loop.advance(40s);
  EXPECT_TRUE(b.election.leader());
  EXPECT_TRUE(store.lease.meta.owners.empty());
  readable = true;
  Replica c(loop, store, sink, "c", 3, owner);
  b.go_away();
  loop.advance(60s);
  EXPECT_TRUE(c.election.leader());
  EXPECT_EQ(store.lease.meta.owners.size(), 1U);
}

TEST_F(LeaseTest, AnotherTakesOverAndNeverBothLead) {
  Replica a(loop, store, sink, "a", 1);
  loop.advance(10ms);
  Replica b(loop, store, sink, "b", 2);
  loop.advance(31s);
  a.go_away();
  Duration without{0};
  for (int i = 0; i < 60 && !b.election.leader(); ++i) {
    loop.advance(1s);
    ASSERT_FALSE(a.election.leader() && b.election.leader());
    if (!a.election.leader()) without += 1s;
  }
  EXPECT_TRUE(b.election.leader());
  EXPECT_EQ(a.changes, (std::vector<bool>{true, false}));
  EXPECT_LE(without, 20s);
  EXPECT_EQ(store.lease.spec.transitions, 1);
  a.come_back();
  for (int i = 0; i < 60; ++i) {
    loop.advance(1s);
    ASSERT_TRUE(b.election.leader());
    ASSERT_FALSE(a.election.leader());
  }
  EXPECT_EQ(a.election.holder(), "b");
}

TEST_F(LeaseTest, GivenBackItIsTakenAtOnce) {
  Replica a(loop, store, sink, "a", 1);
  loop.advance(10ms);
  Replica b(loop, store, sink, "b", 2);
  loop.advance(5s);
  a.scope.cancel();
  struct Release {
    static net::Task<bool> run(LeaderElection& election) {
      co_await election.release(Deadline::never());
      co_return true;
    }
  };
  EXPECT_TRUE(loop.run(Release::run(a.election), 1s));
  EXPECT_FALSE(a.election.leader());
  loop.advance(3s);
  EXPECT_TRUE(b.election.leader());
}

TEST_F(LeaseTest, ARestartedReplicaGoesOn) {
  {
    Replica a(loop, store, sink, "a", 1);
    loop.advance(10ms);
    EXPECT_TRUE(a.election.leader());
  }
  Replica again(loop, store, sink, "a", 3);
  loop.advance(10ms);
  EXPECT_TRUE(again.election.leader());
  EXPECT_EQ(store.lease.spec.transitions, 0);
}

TEST_F(LeaseTest, ALeaderThatCannotWriteLeavesInTime) {
  Replica a(loop, store, sink, "a", 1);
  loop.advance(10ms);
  a.server.answer = [](const FakeServer::Seen&) {
    return FakeServer::Answer{500, FakeServer::status_json(500, "InternalError"), "", false};
  };
  loop.advance(24s);
  EXPECT_TRUE(a.election.leader());
  loop.advance(2s);
  EXPECT_FALSE(a.election.leader());
  EXPECT_EQ(a.changes, (std::vector<bool>{true, false}));
}

}  // namespace
}  // namespace tulle::k8s
