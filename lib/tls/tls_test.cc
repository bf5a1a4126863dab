// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <malloc.h>

#include <string>

#include "lib/base/text.h"
#include "lib/testing/sim.h"
#include "lib/tls/cert.h"
#include "lib/tls/client_hello.h"
#include "lib/tls/credentials.h"
#include "lib/tls/jwt.h"
#include "lib/tls/names.h"
#include "lib/tls/stream.h"

namespace tulle::tls {
namespace {

using testing::SimLoop;

struct Ca {
  Issuer anchor = make_anchor("root.linkerd.cluster.local", 24h * 3650);
  Issuer issuer = make_issuer(anchor, "identity.linkerd.cluster.local", 24h * 365);

  CredentialsPtr for_name(std::string_view name, LeafOptions options = {},
                          std::vector<std::string> alpn = {},
                          const Issuer* trusted = nullptr) const {
    PrivateKey key = PrivateKey::generate();
    const Result<Csr> csr = Csr::from_der(as_bytes(make_csr(key, name)));
    EXPECT_TRUE(csr);
    Result<Certificate> leaf = sign_leaf(issuer, *csr, options);
    EXPECT_TRUE(leaf);
    Credentials::Options made;
    made.anchors = {trusted != nullptr ? trusted->certificate : anchor.certificate};
    made.own = Credentials::Own{key, {*leaf, issuer.certificate}};
    made.alpn = std::move(alpn);
    Result<CredentialsPtr> credentials = Credentials::make(std::move(made));
    EXPECT_TRUE(credentials);
    return *credentials;
  }
  CredentialsPtr anchors_only() const {
    return *Credentials::make({.anchors = {anchor.certificate}});
  }
};

const Ca& ca() {
  static const Ca made;
  return made;
}

struct Pair {
  Result<std::unique_ptr<TlsStream>> client = Error{Errc::Internal, "not run"};
  Result<std::unique_ptr<TlsStream>> server = Error{Errc::Internal, "not run"};
};

net::Task<void> run_client(net::StreamPtr inner, CredentialsPtr credentials, ClientOptions options,
                           Deadline by, Pair* out) {
  out->client = co_await connect_tls(std::move(inner), std::move(credentials), options, by);
}
net::Task<void> run_server(net::StreamPtr inner, CredentialsPtr credentials, ServerOptions options,
                           Deadline by, Pair* out) {
  out->server = co_await accept_tls(std::move(inner), std::move(credentials), options, by);
}

Pair handshake(SimLoop& loop, CredentialsPtr client, CredentialsPtr server, ClientOptions options,
               ServerOptions server_options = {}, std::size_t slice = 0) {
  Pair out;
  auto [a, b] = loop.pipe();
  a->set_max_read(slice);
  b->set_max_read(slice);
  net::TaskScope scope;
  const Deadline by = loop.get().after(10s);
  scope.spawn(run_server(std::move(b), std::move(server), server_options, by, &out));
  scope.spawn(run_client(std::move(a), std::move(client), options, by, &out));
  loop.drain();
  if (!scope.empty()) loop.advance(11s);
  return out;
}

TEST(Tls, BothSidesLearnWhoTheOtherIs) {
  SimLoop loop;
  for (const std::size_t slice : {0U, 1U, 700U}) {
    Pair pair = handshake(loop, ca().for_name("client.ns"), ca().for_name("server.ns"),
                          {"server.ns", "server.ns"}, {}, slice);
    ASSERT_TRUE(pair.client) << pair.client.error().where;
    ASSERT_TRUE(pair.server) << pair.server.error().where;
    EXPECT_EQ((*pair.server)->peer_identity(), "client.ns");
    EXPECT_EQ((*pair.client)->peer_identity(), "server.ns");
    EXPECT_EQ((*pair.client)->group(), "X25519MLKEM768");
  }
}

TEST(Tls, CarriesBytesBothWaysAndEnds) {
  SimLoop loop;
  Pair pair = handshake(loop, ca().for_name("c"), ca().for_name("s"), {"s", "s"});
  ASSERT_TRUE(pair.client && pair.server);
  net::Stream& client = **pair.client;
  net::Stream& server = **pair.server;
  const std::string sent(300'000, 'x');
  std::string got;
  Bytes left = as_bytes(sent);
  std::vector<std::uint8_t> buffer(100'000);
  for (int turn = 0; turn < 1000 && got.size() < sent.size(); ++turn) {
    if (!left.empty()) {
      const Result<std::size_t> n = client.try_write(left);
      if (n) left = left.subspan(*n);
    } else {
      (void)client.try_flush();
    }
    const Result<std::size_t> n = server.try_read(buffer);
    if (n) got += as_text(Bytes(buffer.data(), *n));
  }
  EXPECT_EQ(got, sent);
  EXPECT_TRUE(client.try_shutdown());
  const Result<std::size_t> end = server.try_read(buffer);
  ASSERT_TRUE(end);
  EXPECT_EQ(*end, 0U);
  EXPECT_TRUE(server.try_write(as_bytes("half-closed")));
  const Result<std::size_t> back = client.try_read(buffer);
  ASSERT_TRUE(back);
  EXPECT_EQ(as_text(Bytes(buffer.data(), *back)), "half-closed");
}

TEST(Tls, AClientMayHaveNoCertificate) {
  SimLoop loop;
  Pair pair = handshake(loop, ca().anchors_only(), ca().for_name("s"), {"s", "s"});
  ASSERT_TRUE(pair.client && pair.server);
  EXPECT_EQ((*pair.server)->peer_identity(), "");
}

TEST(Tls, RefusesWhoeverIsNotWhoTheyShouldBe) {
  SimLoop loop;
  const Ca stranger;
  Pair wrong_name = handshake(loop, ca().for_name("c"), ca().for_name("other"), {"s", "s"});
  EXPECT_EQ(wrong_name.client.error().code, Errc::Unauthenticated);
  EXPECT_FALSE(wrong_name.server);
  Pair wrong_anchor = handshake(loop, ca().for_name("c"), stranger.for_name("s"), {"s", "s"});
  EXPECT_EQ(wrong_anchor.client.error().code, Errc::Unauthenticated);
  Pair stranger_client =
      handshake(loop, stranger.for_name("c", {}, {}, &ca().anchor), ca().for_name("s"), {"s", "s"});
  EXPECT_FALSE(stranger_client.server);
  EXPECT_EQ(stranger_client.server.error().code, Errc::Unauthenticated);
  Pair expired = handshake(loop, ca().for_name("c"),
                           ca().for_name("s", {.lifetime = -1h, .skew = 1s}), {"s", "s"});
  EXPECT_EQ(expired.client.error().code, Errc::Unauthenticated);
  EXPECT_EQ(expired.client.error().where, "verify a certificate: expired");
  Pair early = handshake(loop, ca().for_name("c"), ca().for_name("s", {.skew = -1h}), {"s", "s"});
  EXPECT_EQ(early.client.error().where, "verify a certificate: not yet valid");
  Pair uncertified = handshake(loop, ca().for_name("c"), ca().anchors_only(), {"s", "s"});
  EXPECT_FALSE(uncertified.server);
}

TEST(Tls, NegotiatesTheTransportProtocolOnlyWhereAsked) {
  SimLoop loop;
  const auto client = ca().for_name("c", {}, {"transport.l5d.io/v1"});
  const auto server = ca().for_name("s", {}, {"transport.l5d.io/v1"});
  Pair both = handshake(loop, client, server, {"s", "s", true}, {.alpn = true});
  ASSERT_TRUE(both.client && both.server);
  EXPECT_EQ((*both.client)->alpn(), "transport.l5d.io/v1");
  EXPECT_EQ((*both.server)->alpn(), "transport.l5d.io/v1");
  Pair plain = handshake(loop, client, server, {"s", "s", true}, {});
  ASSERT_TRUE(plain.client);
  EXPECT_EQ((*plain.client)->alpn(), "");
  const auto other = ca().for_name("c", {}, {"h2"});
  Pair mismatch = handshake(loop, other, server, {"s", "s", true}, {.alpn = true});
  EXPECT_FALSE(mismatch.client);
  EXPECT_EQ(mismatch.client.error().detail, 120U);  // no_application_protocol
}

TEST(Tls, SilentPeersTimeOut) {
  SimLoop loop;
  auto [a, b] = loop.pipe();
  Pair out;
  net::TaskScope scope;
  scope.spawn(run_server(std::move(b), ca().for_name("s"), {}, loop.get().after(10s), &out));
  loop.advance(11s);
  ASSERT_FALSE(out.server);
  EXPECT_EQ(out.server.error().code, Errc::Timeout);
}

TEST(Tls, AnIdleConnectionIsSmall) {
  SimLoop loop;
  const auto client = ca().for_name("c");
  const auto server = ca().for_name("s");
  { Pair warm_up = handshake(loop, client, server, {"s", "s"}); }
  const auto before = ::mallinfo2().uordblks;
  std::vector<Pair> pairs;
  for (int i = 0; i < 50; ++i) pairs.push_back(handshake(loop, client, server, {"s", "s"}));
  const auto each = (::mallinfo2().uordblks - before) / 100;
  RecordProperty("bytes_per_session", static_cast<int>(each));
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) && \
    !__has_feature(thread_sanitizer)
  EXPECT_LT(each, 8192U);
#endif
}

TEST(ClientHello, IsFoundWhateverTheSplit) {
  SimLoop loop;
  auto [a, b] = loop.pipe();
  Pair out;
  net::TaskScope scope;
  scope.spawn(run_client(std::move(a), ca().anchors_only(), {"web.ns.example", "x"},
                         loop.get().after(1s), &out));
  const std::string hello(as_text(b->pending()));
  ASSERT_GT(hello.size(), 1200U);  // the hybrid key share
  for (std::size_t n = 0; n < hello.size(); ++n) {
    ASSERT_EQ(parse_client_hello(as_bytes(hello).first(n)).state, ClientHello::State::NeedMore)
        << n;
  }
  const ClientHello found = parse_client_hello(as_bytes(hello));
  ASSERT_EQ(found.state, ClientHello::State::Found);
  EXPECT_EQ(found.sni, "web.ns.example");
  // The same message over two records.
  std::string split = hello.substr(0, 3);
  const auto record = [&](std::string_view payload) {
    split += static_cast<char>(payload.size() >> 8);
    split += static_cast<char>(payload.size());
    split += payload;
  };
  record(std::string_view(hello).substr(5, 100));
  split += hello.substr(0, 3);
  record(std::string_view(hello).substr(105));
  EXPECT_EQ(parse_client_hello(as_bytes(split)).sni, "web.ns.example");
  for (const char* other : {"GET / HTTP/1.1\r\n", "\x16\x02\x01", "\x15\x03\x01", "SSH-2.0"}) {
    EXPECT_EQ(parse_client_hello(as_bytes(std::string_view(other))).state,
              ClientHello::State::NotTls)
        << other;
  }
}

TEST(Cert, RoundTripsPemAndChecksChains) {
  const Issuer& issuer = ca().issuer;
  const auto bundle =
      Certificate::from_pem(issuer.certificate.to_pem() + ca().anchor.certificate.to_pem());
  ASSERT_TRUE(bundle);
  EXPECT_EQ(bundle->size(), 2U);
  EXPECT_EQ((*bundle)[0].der, issuer.certificate.der);
  EXPECT_TRUE((*bundle)[0].is_ca);
  EXPECT_TRUE(verify_chain(issuer.certificate, {}, {ca().anchor.certificate}, Usage::Any));
  EXPECT_FALSE(
      verify_chain(issuer.certificate, {}, {make_anchor("x", 1h).certificate}, Usage::Any));
  const auto key = PrivateKey::from_pem(issuer.key.to_pem());
  ASSERT_TRUE(key);
  EXPECT_TRUE(issuer.certificate.matches_key(*key));
  EXPECT_FALSE(issuer.certificate.matches_key(PrivateKey::generate()));
  EXPECT_FALSE(Certificate::from_pem("no certificate"));
  EXPECT_FALSE(
      Certificate::from_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
}

TEST(Cert, LeavesFollowTheRequestAndTheIssuer) {
  const PrivateKey key = PrivateKey::generate();
  const std::string name = workload_name("web", "shop", "linkerd", "cluster.local");
  EXPECT_EQ(name, "web.shop.serviceaccount.identity.linkerd.cluster.local");
  const Result<Csr> csr = Csr::from_der(as_bytes(make_csr(key, name)));
  ASSERT_TRUE(csr);
  EXPECT_EQ(csr->dns_names, std::vector<std::string>{name});
  EXPECT_FALSE(csr->other_names);
  const Result<Certificate> leaf = sign_leaf(ca().issuer, *csr, {.lifetime = 24h * 10'000});
  ASSERT_TRUE(leaf);
  EXPECT_EQ(leaf->not_after, ca().issuer.certificate.not_after);  // never beyond the chain
  EXPECT_EQ(leaf->identity(), name);
  EXPECT_FALSE(leaf->is_ca);
  EXPECT_TRUE(
      verify_chain(*leaf, {ca().issuer.certificate}, {ca().anchor.certificate}, Usage::Server));
  std::string damaged = make_csr(key, name);
  damaged[damaged.size() / 2] ^= 1;
  EXPECT_FALSE(Csr::from_der(as_bytes(damaged)));
}

TEST(Jwt, AcceptsOnlyWhatWasSignedForThisAudienceNow) {
  const PrivateKey key = PrivateKey::generate();
  Token token;
  token.subject = "system:serviceaccount:shop:web";
  token.audience = {"identity.l5d.io"};
  token.not_before = wall_now();
  token.expires = wall_now() + 1h;
  token.claims["pod"] = "uid-1";
  const std::string text = sign_token(token, key);
  const Result<Token> read = verify_token(text, key.public_to_pem(), "identity.l5d.io");
  ASSERT_TRUE(read) << read.error().where;
  EXPECT_EQ(read->subject, token.subject);
  EXPECT_EQ(read->claims.at("pod"), "uid-1");
  EXPECT_EQ(verify_token(text, key.public_to_pem(), "other").error().code, Errc::Unauthenticated);
  EXPECT_EQ(
      verify_token(text, PrivateKey::generate().public_to_pem(), "identity.l5d.io").error().code,
      Errc::Unauthenticated);
  token.expires = wall_now() - 1s;
  EXPECT_EQ(
      verify_token(sign_token(token, key), key.public_to_pem(), "identity.l5d.io").error().where,
      "check a token: expired");
  for (const char* bad : {"", "a.b", "a.b.c", "e30.e30.e30"}) {
    EXPECT_EQ(verify_token(bad, key.public_to_pem(), "identity.l5d.io").error().code, Errc::Invalid)
        << bad;
  }
  const std::string none = base64url_encode(as_bytes(R"({"alg":"none"})"));
  EXPECT_FALSE(
      verify_token(none + text.substr(text.find('.')), key.public_to_pem(), "identity.l5d.io"));
}

}  // namespace
}  // namespace tulle::tls
