// SPDX-License-Identifier: Apache-2.0
#include "proxy/route/authorization.h"

#include <gtest/gtest.h>

#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

using test::peer;

Authorization authorization(Authorization::Kind kind, std::vector<NetworkMatch> networks = {
                                                          {*net::Cidr::parse("0.0.0.0/0"), {}},
                                                          {*net::Cidr::parse("::/0"), {}}}) {
  Authorization made;
  made.kind = kind;
  made.networks = std::move(networks);
  return made;
}

TEST(Authorization, NetworksWithExceptions) {
  const Authorization some =
      authorization(Authorization::Kind::Unauthenticated,
                    {{*net::Cidr::parse("10.0.0.0/8"), {*net::Cidr::parse("10.1.0.0/16")}},
                     {*net::Cidr::parse("fd00::/8"), {*net::Cidr::parse("fd00::1/128")}}});
  EXPECT_TRUE(some.permits(peer("10.2.0.1")));
  EXPECT_FALSE(some.permits(peer("10.1.0.1")));
  EXPECT_FALSE(some.permits(peer("11.0.0.1")));
  EXPECT_TRUE(some.permits(peer("fd00::2")));
  EXPECT_FALSE(some.permits(peer("fd00::1")));
  EXPECT_FALSE(authorization(Authorization::Kind::Unauthenticated, {}).permits(peer("10.0.0.1")));
}

TEST(Authorization, AuthenticationIsAskedOfTlsThatWeTerminated) {
  const Authorization any_tls = authorization(Authorization::Kind::TlsUnauthenticated);
  Peer nameless = peer("10.0.0.1");
  EXPECT_FALSE(any_tls.permits(nameless));
  nameless.tls = Peer::Tls::Terminated;
  EXPECT_TRUE(any_tls.permits(nameless));
  nameless.tls = Peer::Tls::Passthrough;  // TLS, but not with us
  EXPECT_FALSE(any_tls.permits(nameless));
  // An identity that somebody claims without TLS is none.
  Peer claims = peer("10.0.0.1", "web.shop");
  claims.tls = Peer::Tls::None;
  Authorization named = authorization(Authorization::Kind::TlsAuthenticated);
  named.identities = {"web.shop"};
  EXPECT_FALSE(named.permits(claims));
}

TEST(Authorization, IdentitiesAndSuffixes) {
  Authorization named = authorization(Authorization::Kind::TlsAuthenticated);
  named.identities = {"web.shop", "spiffe://td/web"};
  named.suffixes = {".ops.example"};
  EXPECT_TRUE(named.permits(peer("10.0.0.1", "web.shop")));
  EXPECT_TRUE(named.permits(peer("10.0.0.1", "spiffe://td/web")));
  EXPECT_TRUE(named.permits(peer("10.0.0.1", "a.ops.example")));
  EXPECT_FALSE(named.permits(peer("10.0.0.1", "ops.example")));
  EXPECT_FALSE(named.permits(peer("10.0.0.1", "xops.example")));
  EXPECT_FALSE(named.permits(peer("10.0.0.1", "spiffe://td/a.ops.example")));
  EXPECT_FALSE(named.permits(peer("10.0.0.1", "web.shop.evil")));
  Peer nameless = peer("10.0.0.1");
  nameless.tls = Peer::Tls::Terminated;
  EXPECT_FALSE(named.permits(nameless));
  named.suffixes = {""};  // any identity
  EXPECT_TRUE(named.permits(peer("10.0.0.1", "anybody")));
  EXPECT_FALSE(named.permits(nameless));
}

TEST(Authorization, WhatIsNotKnownAdmitsNobody) {
  EXPECT_FALSE(
      authorization(Authorization::Kind::Unsupported).permits(peer("127.0.0.1", "web.shop")));
}

TEST(Authorization, TheFirstThatPermitsCounts) {
  std::vector<Authorization> list = {authorization(Authorization::Kind::TlsUnauthenticated),
                                     authorization(Authorization::Kind::Unauthenticated)};
  EXPECT_EQ(find_permit(list, peer("10.0.0.1")), &list[1]);
  EXPECT_EQ(find_permit(list, peer("10.0.0.1", "a")), &list[0]);
  list.pop_back();
  EXPECT_EQ(find_permit(list, peer("10.0.0.1")), nullptr);
  list.push_back(localhost_authorization());
  EXPECT_EQ(find_permit(list, peer("127.0.0.1"))->meta, Meta::implicit("localhost"));
  EXPECT_EQ(find_permit(list, peer("::1"))->meta, Meta::implicit("localhost"));
  EXPECT_EQ(find_permit(list, peer("127.0.0.2")), nullptr);
}

}  // namespace
}  // namespace tulle::proxy
