// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/engine.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "lib/base/text.h"
#include "lib/tls/names.h"
#include "lib/tls/test_keys.h"
#include "lib/tls/test_support.h"

namespace tulle::tls::test {
namespace {

constexpr std::string_view kWhere = "verify a certificate: ";

std::string why(const Result<void>& result) {
  if (result) return "accepted";
  const std::string_view where = result.error().where;
  return std::string(where.starts_with(kWhere) ? where.substr(kWhere.size()) : where);
}

Pair established() {
  Pair pair =
      handshake(ca().for_name("client.ns"), ca().for_name("server.ns"), {"server.ns", "server.ns"});
  EXPECT_TRUE(pair.ok());
  return pair;
}

TEST(Engine, BothSidesLearnWhoTheOtherIsHoweverTheBytesCome) {
  for (const std::size_t slice : {0U, 1U, 7U, 700U}) {
    Pair pair = handshake(ca().for_name("client.ns"), ca().for_name("server.ns"),
                          {"server.ns", "server.ns"}, {}, slice);
    ASSERT_TRUE(pair.ok()) << why(pair.client_result) << why(pair.server_result);
    EXPECT_EQ(pair.server->peer_identity(), "client.ns");
    EXPECT_EQ(pair.client->peer_identity(), "server.ns");
    EXPECT_EQ(pair.client->group(), "X25519MLKEM768");
    EXPECT_EQ(pair.server->group(), "X25519MLKEM768");
    EXPECT_EQ(pair.client->alpn(), "");
  }
}

// A share of X25519 is 36 bytes: group, length, key.
TEST(Engine, TheKeyShareOfOldServersIsSentOnceOneWasMet) {
  const CredentialsPtr client = ca().for_name("client.ns");
  ClientOptions options;
  options.identity = "server.ns";
  const auto hello_size = [&] {
    auto engine = Engine::connect(client, options);
    EXPECT_TRUE(engine);
    EXPECT_EQ((*engine)->handshake().error().code, Errc::WouldBlock);
    return (*engine)->outgoing().size();
  };
  const std::size_t first = hello_size();
  Pair pair = handshake(client, ca().for_name("server.ns"), options);
  ASSERT_TRUE(pair.ok());
  EXPECT_EQ(hello_size(), first);
  client->meet_classic_server();
  EXPECT_EQ(hello_size(), first + 36);
}

TEST(Engine, HostsOutsideOfTheMeshMayHaveWildcards) {
  const PrivateKey key = PrivateKey::generate();
  const auto check = [&](const std::string& san, std::string_view expected, NameRule rule) {
    const CredentialsPtr server =
        ca().for_leaf(odd_certificate(ca().issuer, key, {.san = san}), key);
    ClientOptions options;
    options.identity = expected;
    options.names = rule;
    return why(handshake(ca().anchors_only(), server, options).client_result);
  };
  const std::string san = "DNS:*.api.example.org,DNS:kubernetes,IP:10.96.0.1,IP:fd00::1";
  for (const std::string_view good : {"a.api.example.org", "A.API.example.ORG",
                                      "a.api.example.org.", "kubernetes", "10.96.0.1", "fd00::1"}) {
    EXPECT_EQ(check(san, good, NameRule::Host), "accepted") << good;
  }
  for (const std::string_view bad :
       {"api.example.org", "a.b.api.example.org", ".api.example.org", "*.api.example.org",
        "10.96.0.2", "fd00::2", "kubernetes.default"}) {
    EXPECT_NE(check(san, bad, NameRule::Host), "accepted") << bad;
  }
  EXPECT_EQ(check("DNS:*.org", "example.org", NameRule::Host), "of somebody else");
  EXPECT_EQ(check("DNS:a*.example.org", "ab.example.org", NameRule::Host), "of somebody else");
  EXPECT_EQ(check("DNS:10.96.0.1", "10.96.0.1", NameRule::Host), "of somebody else");
  EXPECT_EQ(check(san, "a.api.example.org", NameRule::Workload), "of somebody else");
}

TEST(Engine, AClientMayHaveNoCertificate) {
  Pair pair = handshake(ca().anchors_only(), ca().for_name("s"), {"s", "s"});
  ASSERT_TRUE(pair.ok());
  EXPECT_EQ(pair.server->peer_identity(), "");
  EXPECT_EQ(pair.client->peer_identity(), "s");
}

TEST(Engine, AServerWithoutACertificateRefuses) {
  EXPECT_EQ(Engine::accept(ca().anchors_only(), {}).error().code, Errc::Tls);
  EXPECT_EQ(Engine::accept(CredentialsPtr(), {}).error().code, Errc::Tls);
  Pair chosen = handshake(Engine::connect(ca().anchors_only(), {"s", "s"}),
                          Engine::accept([](std::string_view) { return ca().anchors_only(); }, {}));
  EXPECT_FALSE(chosen.server_result);
  EXPECT_FALSE(chosen.client_result);
}

TEST(Engine, AClientMustSayWhomItExpects) {
  EXPECT_EQ(Engine::connect(ca().anchors_only(), {"s", ""}).error().code, Errc::Invalid);
  EXPECT_EQ(Engine::connect(nullptr, {"s", "s"}).error().code, Errc::Tls);
}

// The table of docs/reference/proxy.md §4: whom a client refuses, and with which alert.
TEST(Engine, ClientsRefuseServersThatAreNotWhoTheyShouldBe) {
  const PrivateKey key = PrivateKey::generate();
  const Ca stranger;
  struct Case {
    const char* what;
    CredentialsPtr server;
    const char* expected;
    const char* reason;
    std::uint32_t alert;
  };
  const auto odd = [&](const Odd& extensions) {
    return ca().for_leaf(odd_certificate(ca().issuer, key, extensions), key);
  };
  const auto bare = [&](Certificate leaf) {
    Credentials::Options made;
    made.own = Credentials::Own{key, {std::move(leaf)}};
    return *Credentials::make(std::move(made));
  };
  // A leaf that pretends to be an issuer.
  Issuer pretender{ca().leaf("web", key), key, {}};
  const Certificate forged =
      *sign_leaf(pretender, *Csr::from_der(as_bytes(make_csr(key, "s"))), {});
  Credentials::Options forged_options;
  forged_options.own =
      Credentials::Own{key, {forged, pretender.certificate, ca().issuer.certificate}};
  Certificate broken = ca().leaf("s", key);
  broken.der.back() ^= 1;  // the signature

  const Case cases[] = {
      {"another name", ca().for_name("other"), "s", "of somebody else", 42},
      {"the name is a suffix", ca().for_name("a.s"), "s", "of somebody else", 42},
      {"a wildcard", odd({.san = "DNS:*.ns"}), "web.ns", "of somebody else", 42},
      {"no name at all", odd({}), "s", "of somebody else", 42},
      {"a URI for a DNS name", odd({.san = "URI:spiffe://td/s"}), "s", "of somebody else", 42},
      {"another URI", odd({.san = "URI:spiffe://td/other"}), "spiffe://td/s", "of somebody else",
       42},
      {"a DNS name for an address", odd({.san = "DNS:127.0.0.1"}), "127.0.0.1", "of somebody else",
       42},
      {"a stranger's chain", stranger.for_name("s"), "s", "not from a trusted anchor", 48},
      {"no intermediate", bare(ca().leaf("s", key)), "s", "not from a trusted anchor", 48},
      {"ended", ca().for_name("s", {.lifetime = -1h, .skew = 1s}), "s", "expired", 45},
      {"not begun", ca().for_name("s", {.skew = -1h}), "s", "not yet valid", 42},
      {"for clients only", odd({.san = "DNS:s", .extended_usage = "clientAuth"}), "s",
       "not for this use", 43},
      {"signed by a leaf", *Credentials::make(std::move(forged_options)), "s",
       "not from a trusted anchor", 48},
      {"a damaged signature", bare(broken), "s", "not from a trusted anchor", 48},
  };
  for (const Case& c : cases) {
    Pair pair = handshake(ca().for_name("c"), c.server, {"s", c.expected});
    EXPECT_EQ(why(pair.client_result), c.reason) << c.what;
    EXPECT_EQ(pair.client_result ? Errc::Internal : pair.client_result.error().code,
              Errc::Unauthenticated)
        << c.what;
    ASSERT_FALSE(pair.server_result) << c.what;
    EXPECT_EQ(pair.server_result.error().code, Errc::Tls) << c.what;
    EXPECT_EQ(pair.server_result.error().detail, c.alert) << c.what;
  }
  for (const auto& [san, expected] :
       {std::pair{"DNS:other,DNS:S.ns", "s.ns"},
        std::pair{"DNS:s,URI:spiffe://td/s", "spiffe://td/s"},
        std::pair{"IP:127.0.0.1", "127.0.0.1"}, std::pair{"IP:fd00:0:0:0:0:0:0:1", "fd00::1"}}) {
    Pair pair = handshake(ca().for_name("c"), odd({.san = san}), {expected, expected});
    EXPECT_TRUE(pair.ok()) << san << ": " << why(pair.client_result);
  }
}

TEST(Engine, ServersRefuseClientsWithABadCertificate) {
  const PrivateKey key = PrivateKey::generate();
  const Ca stranger;
  const struct {
    const char* what;
    CredentialsPtr client;
    const char* reason;
  } cases[] = {
      {"a stranger", stranger.for_name("c", {}, {}, &ca().anchor), "not from a trusted anchor"},
      {"ended", ca().for_name("c", {.lifetime = -1h, .skew = 1s}), "expired"},
      {"for servers only",
       ca().for_leaf(
           odd_certificate(ca().issuer, key, {.san = "DNS:c", .extended_usage = "serverAuth"}),
           key),
       "not for this use"},
  };
  for (const auto& c : cases) {
    Pair pair = handshake(c.client, ca().for_name("s"), {"s", "s"});
    EXPECT_EQ(why(pair.server_result), c.reason) << c.what;
    // In TLS 1.3 a client hears of it only when it reads.
    ASSERT_TRUE(pair.client_result);
    std::uint8_t byte[1];
    const Result<std::size_t> n = pair.client->read(byte);
    ASSERT_FALSE(n) << c.what;
    EXPECT_EQ(n.error().code, Errc::Tls);
    EXPECT_NE(n.error().detail, 0U);
  }
  Pair unasked = handshake(stranger.for_name("c", {}, {}, &ca().anchor), ca().for_name("s"),
                           {"s", "s"}, {.request_client = false});
  ASSERT_TRUE(unasked.ok());
  EXPECT_EQ(unasked.server->peer_identity(), "");
}

TEST(Engine, TheFirstUsableNameIsAClientsIdentity) {
  const PrivateKey key = PrivateKey::generate();
  for (const auto& [san, identity] :
       {std::pair{"URI:spiffe://td/ns/a/sa/b,DNS:c.ns", "spiffe://td/ns/a/sa/b"},
        std::pair{"DNS:c.ns.,DNS:*.ns,email:a@b,URI:https://td/x,DNS:Web.NS", "web.ns"},
        std::pair{"DNS:c.ns.", ""}, std::pair{"IP:10.0.0.1", ""}}) {
    const auto client = ca().for_leaf(odd_certificate(ca().issuer, key, {.san = san}), key);
    Pair pair = handshake(client, ca().for_name("s"), {"s", "s"});
    ASSERT_TRUE(pair.ok()) << san;
    EXPECT_EQ(pair.server->peer_identity(), identity) << san;
  }
}

TEST(Engine, AnchorsAndIssuersOfEveryKindWork) {
  for (const std::string_view pem : {kRsaKey, kEd25519Key, kP384Key, kP521Key}) {
    const Result<PrivateKey> key = PrivateKey::from_pem(pem);
    ASSERT_TRUE(key);
    Ca other;
    other.anchor = make_anchor("root", 1h, *key);
    other.issuer = make_issuer(other.anchor, "issuer", 1h, *key);
    Pair pair = handshake(other.for_name("c"), other.for_name("s"), {"s", "s"});
    EXPECT_TRUE(pair.ok()) << pem.substr(0, 80) << why(pair.client_result)
                           << why(pair.server_result);
  }
}

// The key identifiers of other people's CAs are computed in other ways than ours.
TEST(Engine, LeavesOfAForeignIssuerAreTrusted) {
  Ca foreign;
  foreign.anchor.certificate = Certificate::from_pem(kForeignRoot)->front();
  foreign.issuer.certificate = Certificate::from_pem(kForeignIssuer)->front();
  foreign.issuer.key = *PrivateKey::from_pem(kForeignIssuerKey);
  Pair pair = handshake(foreign.for_name("c"), foreign.for_name("s"), {"s", "s"});
  EXPECT_TRUE(pair.ok()) << why(pair.client_result) << why(pair.server_result);
}

TEST(Engine, AnAnchorNeedNotBeARoot) {
  Credentials::Options made;
  made.anchors = {ca().issuer.certificate};
  Pair pair = handshake(*Credentials::make(std::move(made)), ca().for_name("s"), {"s", "s"});
  EXPECT_TRUE(pair.ok()) << why(pair.client_result);
}

TEST(Engine, BothAnchorsOfABundleAreTrusted) {
  const Ca next;
  Credentials::Options made;
  made.anchors = {ca().anchor.certificate, next.anchor.certificate};
  const auto client = *Credentials::make(std::move(made));
  EXPECT_TRUE(handshake(client, ca().for_name("s"), {"s", "s"}).ok());
  EXPECT_TRUE(handshake(client, next.for_name("s"), {"s", "s"}).ok());
}

TEST(Engine, NegotiatesTheTransportProtocolOnlyWhereAsked) {
  const auto client = ca().for_name("c", {}, {"transport.l5d.io/v1"});
  const auto server = ca().for_name("s", {}, {"transport.l5d.io/v1"});
  Pair both = handshake(client, server, {"s", "s", true}, {.alpn = true});
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both.client->alpn(), "transport.l5d.io/v1");
  EXPECT_EQ(both.server->alpn(), "transport.l5d.io/v1");
  Pair unwanted = handshake(client, server, {"s", "s", true}, {});
  ASSERT_TRUE(unwanted.ok());
  EXPECT_EQ(unwanted.client->alpn(), "");
  Pair absent = handshake(client, server, {"s", "s", false}, {.alpn = true});
  ASSERT_TRUE(absent.ok());
  EXPECT_EQ(absent.server->alpn(), "");
  Pair mismatch = handshake(ca().for_name("c", {}, {"h2", "http/1.1"}), server, {"s", "s", true},
                            {.alpn = true});
  EXPECT_EQ(mismatch.client_result.error().detail, 120U);  // no_application_protocol
  EXPECT_EQ(mismatch.server_result.error().detail, 120U);
}

// Peers that know more than others say so in ALPN: whoever does not know the word must not notice.
TEST(Engine, ThePreferredProtocolIsChosenWhereBothKnowIt) {
  const auto client = ca().for_name("c", {}, {"transport.l5d.io/v1"});
  const auto server = ca().for_name("s", {}, {"transport.l5d.io/v1"});
  struct Case {
    bool client_alpn;
    std::string_view offered;
    bool server_alpn;
    std::string_view known;
    std::string_view chosen;
  };
  for (const Case& c :
       {Case{false, "ours/1", false, "ours/1", "ours/1"}, Case{false, "ours/1", false, "", ""},
        Case{false, "", false, "ours/1", ""}, Case{false, "others/1", false, "ours/1", ""},
        Case{true, "ours/1", true, "ours/1", "ours/1"},
        Case{true, "ours/1", true, "", "transport.l5d.io/v1"},
        Case{true, "", true, "ours/1", "transport.l5d.io/v1"}}) {
    ClientOptions asks{"s", "s", c.client_alpn};
    asks.prefer = c.offered;
    Pair pair = handshake(client, server, asks, {.alpn = c.server_alpn, .prefer = c.known});
    ASSERT_TRUE(pair.ok()) << c.offered << c.known;
    EXPECT_EQ(pair.client->alpn(), c.chosen);
    EXPECT_EQ(pair.server->alpn(), c.chosen);
  }
}

TEST(Engine, AServerOfSeveralNamesAnswersToEach) {
  const auto first = ca().for_name("first");
  const auto second = ca().for_name("second");
  std::string asked;
  const ChooseCredentials choose = [&](std::string_view sni) -> CredentialsPtr {
    asked = sni;
    return sni == "first" ? first : sni == "second" ? second : nullptr;
  };
  for (const char* name : {"first", "second"}) {
    Pair pair =
        handshake(Engine::connect(ca().for_name("c"), {name, name}), Engine::accept(choose, {}));
    ASSERT_TRUE(pair.ok()) << name;
    EXPECT_EQ(asked, name);
    EXPECT_EQ(pair.server->peer_identity(), "c");
  }
  for (const char* name : {"third", "", "127.0.0.1"}) {
    Pair pair =
        handshake(Engine::connect(ca().for_name("c"), {name, "first"}), Engine::accept(choose, {}));
    EXPECT_FALSE(pair.server_result) << name;
    EXPECT_FALSE(pair.client_result) << name;
    EXPECT_EQ(asked, name[0] == 't' ? "third" : "");
  }
}

// A chain that was verified once is known again, for its own use, until it ends or anchors change.
TEST(Engine, KnownPeersAreStillVerified) {
  const auto client = ca().for_name("c");
  const auto server = ca().for_name("s");
  for (int i = 0; i < 3; ++i) {
    Pair pair = handshake(client, server, {"s", "s"});
    ASSERT_TRUE(pair.ok());
    EXPECT_EQ(pair.server->peer_identity(), "c");
  }
  // Known, but not by the name that is expected now.
  EXPECT_EQ(why(handshake(client, server, {"s", "other"}).client_result), "of somebody else");
  // Known as a client, asked as a server.
  const PrivateKey key = PrivateKey::generate();
  const auto only_client = ca().for_leaf(
      odd_certificate(ca().issuer, key, {.san = "DNS:s", .extended_usage = "clientAuth"}), key);
  ASSERT_TRUE(handshake(only_client, server, {"s", "s"}).ok());
  EXPECT_EQ(why(handshake(server, only_client, {"s", "s"}).client_result), "not for this use");
  // More peers than are remembered.
  for (int i = 0; i < 70; ++i) {
    std::string name = "c";
    append_number(name, i);
    Pair pair = handshake(ca().for_name(name), server, {"s", "s"});
    ASSERT_TRUE(pair.ok());
    EXPECT_EQ(pair.server->peer_identity(), name);
  }
  EXPECT_TRUE(handshake(client, server, {"s", "s"}).ok());
}

// Rotation: new handshakes use the new certificate, what runs goes on.
TEST(Engine, ConnectionsOutliveTheirCredentials) {
  CredentialsPtr current = ca().for_name("s", {.serial = 1});
  const ChooseCredentials choose = [&](std::string_view) { return current; };
  Pair old = handshake(Engine::connect(ca().for_name("c"), {"s", "s"}), Engine::accept(choose, {}));
  ASSERT_TRUE(old.ok());
  std::weak_ptr<const Credentials> gone = current;
  current = ca().for_name("s", {.serial = 2});
  EXPECT_TRUE(gone.expired());  // a connection keeps no snapshot alive
  Pair fresh =
      handshake(Engine::connect(ca().for_name("c"), {"s", "s"}), Engine::accept(choose, {}));
  ASSERT_TRUE(fresh.ok());
  ASSERT_TRUE(old.client->write(as_bytes("still here")));
  deliver(*old.client, *old.server);
  EXPECT_EQ(read_all(*old.server), "still here");
}

// Workers share one snapshot.
TEST(Engine, CredentialsMayBeSharedByThreads) {
  const auto client = ca().for_name("c");
  const auto server = ca().for_name("s");
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10; ++j) good += handshake(client, server, {"s", "s"}).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 40);
}

TEST(Engine, ReadsIntoBuffersOfAnySize) {
  std::string sent;
  for (int i = 0; i < 60'000; ++i) append_number(sent, i);
  for (const std::size_t buffer : {1U, 100U, 8192U, 16'384U, 65'536U, 1'000'000U}) {
    Pair pair = established();
    Bytes left = as_bytes(sent);
    std::string got;
    while (!left.empty()) {
      const Result<std::size_t> n = pair.client->write(left);
      ASSERT_TRUE(n);
      ASSERT_LE(*n, Engine::kMaxWrite);
      left = left.subspan(*n);
      // The memory that was fed is used for something else after keep().
      std::string wire(as_text(pair.client->outgoing().data()));
      pair.client->outgoing().consume(wire.size());
      pair.server->feed(as_bytes(wire));
      std::vector<std::uint8_t> room(buffer);
      const Result<std::size_t> first = pair.server->read(room);
      ASSERT_TRUE(first);
      got += as_text(Bytes(room.data(), *first));
      pair.server->keep();
      wire.assign(wire.size(), '!');
      got += read_all(*pair.server, buffer);
    }
    EXPECT_EQ(got, sent) << buffer;
    EXPECT_FALSE(pair.server->has_input());
  }
}

TEST(Engine, EndsCleanlyOrSaysThatItDidNot) {
  Pair pair = established();
  pair.client->close();
  pair.client->close();
  deliver(*pair.client, *pair.server);
  std::uint8_t room[10];
  const Result<std::size_t> end = pair.server->read(room);
  ASSERT_TRUE(end);
  EXPECT_EQ(*end, 0U);
  EXPECT_EQ(*pair.server->read(room), 0U);  // and again
  ASSERT_TRUE(pair.server->write(as_bytes("half-closed")));
  deliver(*pair.server, *pair.client);
  EXPECT_EQ(read_all(*pair.client), "half-closed");
  pair.client->feed_end();
  const Result<std::size_t> cut = pair.client->read(room);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, Errc::Reset);
}

TEST(Engine, DamagedRecordsEndTheConnection) {
  for (const std::size_t at : {0U, 3U, 5U, 10U, 26U}) {
    Pair pair = established();
    ASSERT_TRUE(pair.client->write(as_bytes("hello")));
    pair.client->outgoing().mutable_data()[at] ^= 0x40;
    deliver(*pair.client, *pair.server);
    std::uint8_t room[10];
    const Result<std::size_t> n = pair.server->read(room);
    ASSERT_FALSE(n) << at;
    if (n.error().code == Errc::WouldBlock) continue;  // the length grew: it waits for more
    EXPECT_EQ(n.error().code, Errc::Tls) << at;
    EXPECT_NE(n.error().detail, 0U) << at;
    EXPECT_FALSE(pair.server->outgoing().empty()) << at;  // the alert
    EXPECT_FALSE(pair.server->read(room));
    deliver(*pair.server, *pair.client);
    EXPECT_EQ(pair.client->read(room).error().detail, n.error().detail);
  }
}

TEST(Engine, PlainTextIsNoHandshake) {
  auto server = Engine::accept(ca().for_name("s"), {});
  ASSERT_TRUE(server);
  (*server)->feed(as_bytes("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
  EXPECT_EQ((*server)->handshake().error().code, Errc::Tls);
  auto left = Engine::accept(ca().for_name("s"), {});
  (*left)->feed_end();
  EXPECT_EQ((*left)->handshake().error().code, Errc::Reset);
}

TEST(Engine, KeysAreUpdatedOnTheWay) {
  Pair pair = established();
  std::string got;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pair.client->update_key());
    ASSERT_TRUE(pair.client->write(as_bytes("x")));
    deliver(*pair.client, *pair.server);
    got += read_all(*pair.server);
    ASSERT_TRUE(pair.server->update_key());
    ASSERT_TRUE(pair.server->write(as_bytes("y")));
    deliver(*pair.server, *pair.client);
    got += read_all(*pair.client);
  }
  EXPECT_EQ(got.size(), 200U);
}

TEST(Engine, SteadyTrafficReachesNoAllocatorOfOurs) {
  Pair pair = established();
  const std::string message(300, 'm');
  std::uint8_t room[1000];
  const auto round = [&] {
    ASSERT_TRUE(pair.client->write(as_bytes(message)));
    const Bytes wire = pair.client->outgoing().data();
    pair.server->feed(wire);
    EXPECT_EQ(*pair.server->read(room), message.size());
    pair.server->keep();
    pair.client->outgoing().consume(wire.size());
  };
  round();
  const std::uint64_t before = slab_allocations();
  for (int i = 0; i < 100; ++i) round();
  EXPECT_EQ(slab_allocations(), before);
}

TEST(Engine, AnIdleConnectionIsSmall) {
  const auto client = ca().for_name(workload_name("client", "ns", "linkerd", "cluster.local"));
  const std::string name = workload_name("server", "ns", "linkerd", "cluster.local");
  const auto server = ca().for_name(name);
  (void)handshake(client, server, {name, name});
  const auto measure = [] { return ::mallinfo2().uordblks; };
  constexpr std::size_t kCount = 50;
  std::vector<std::unique_ptr<Engine>> kept;
  kept.reserve(2 * kCount);
  const auto before = measure();
  std::size_t clients = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    Pair pair = handshake(client, server, {name, name});
    kept.push_back(std::move(pair.client));
  }
  clients = measure() - before;
  for (std::size_t i = 0; i < kCount; ++i) {
    Pair pair = handshake(client, server, {name, name});
    kept.push_back(std::move(pair.server));
  }
  const std::size_t servers = measure() - before - clients;
  RecordProperty("bytes_per_client", static_cast<int>(clients / kCount));
  RecordProperty("bytes_per_server", static_cast<int>(servers / kCount));
  std::printf("bytes per idle session: client %zu, server %zu\n", clients / kCount,
              servers / kCount);
  if (clients == 0) return;  // sanitizers have an allocator of their own
  EXPECT_LT(clients / kCount, 4096U);
  EXPECT_LT(servers / kCount, 4096U);
}

// The clock of certificates is wall_now(), which the offset file moves; everything is made and
// checked ten years ahead, where the machine's own clock would call it not yet valid.
TEST(EngineDeathTest, DatesAreComparedWithTheWallClock) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // runs this program again
  char file[] = "/tmp/tulle-clock-XXXXXX";
  const int fd = ::mkstemp(file);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, "315360000", 9), 9);
  ::close(fd);
  ::setenv("TULLE_CLOCK_OFFSET_FILE", file, 1);
  const auto in_ten_years = [&file] {
    const Ca then;
    const bool ahead =
        then.anchor.certificate.not_before > std::chrono::system_clock::now() + 24h * 3000;
    const bool ok = handshake(then.for_name("c"), then.for_name("s"), {"s", "s"}).ok();
    const bool foreign = verify_chain(Certificate::from_pem(kForeignIssuer)->front(), {},
                                      {Certificate::from_pem(kForeignRoot)->front()}, Usage::Any)
                             .has_value();
    ::unlink(file);  // the program that runs again has made its own
    std::_Exit(ahead && ok && foreign ? 0 : 1);
  };
  EXPECT_EXIT(in_ten_years(), ::testing::ExitedWithCode(0), "");
  ::unsetenv("TULLE_CLOCK_OFFSET_FILE");
  ::unlink(file);
}

}  // namespace
}  // namespace tulle::tls::test
