// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/jwt.h"

#include <gtest/gtest.h>

#include "lib/base/text.h"
#include "lib/tls/test_keys.h"

namespace tulle::tls::test {
namespace {

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

// What a member means must not depend on who reads it.
TEST(Jwt, ReadsClaimsStrictly) {
  const PrivateKey key = PrivateKey::generate();
  const std::string pem = key.public_to_pem();
  const auto read = [&](std::string_view json) {
    return verify_token(sign_claims(json, key), pem, "a");
  };
  const Result<Token> good = read(
      R"( {"sub":"s", "aud":"a","exp":99999999999, "nbf" : 5,"t":true,"o":{"x":[1,{}]},"m":[1,"a"],"q":"\u0041\n\"","n":-1.5e3} )");
  ASSERT_TRUE(good) << good.error().where;
  EXPECT_EQ(good->audience, std::vector<std::string>{"a"});
  EXPECT_EQ(good->claims.at("q"), "A\n\"");
  EXPECT_EQ(good->claims.size(), 1U);
  for (const char* bad : {
           R"()",
           R"({)",
           R"([])",
           R"({"sub":"s","aud":["a"],"exp":99999999999}x)",
           R"({"aud":["a"],"exp":99999999999})",                           // nobody
           R"({"sub":"s","aud":["a"]})",                                   // for ever
           R"({"sub":"s","aud":["a"],"exp":"99999999999"})",               // not a number
           R"({"sub":"s","aud":["a"],"exp":99999999999999999999999})",     // not in range
           R"({"sub":"s","sub":"t","aud":["a"],"exp":99999999999})",       // twice
           R"({"sub":"s","aud":["b"],"aud":["a"],"exp":99999999999})",     // twice
           R"({"sub":"s","s\u0075b":"t","aud":["a"],"exp":99999999999})",  // in disguise
           R"({"sub":"\u00e4","aud":["a"],"exp":99999999999})",            // not ASCII
           R"({"sub":"\x","aud":["a"],"exp":99999999999})",                // no such escape
           "{\"sub\":\"s\n\",\"aud\":[\"a\"],\"exp\":99999999999}",        // a bare newline
           R"({"sub":"s","aud":["a"],"exp":99999999999,"x":nul})",
           R"({"sub":"s","aud":["a"],"exp":99999999999,"x":[[[[[[[[[[[[1]]]]]]]]]]]]})",  // too
                                                                                          // deep
           R"({"sub":"s","aud":["a"],"exp":99999999999,})",
       }) {
    const Result<Token> token = read(bad);
    ASSERT_FALSE(token) << bad;
    EXPECT_EQ(token.error().code, Errc::Invalid) << bad;
  }
  EXPECT_EQ(read(R"({"sub":"s","aud":["b",1],"exp":99999999999})").error().code,
            Errc::Unauthenticated);
  EXPECT_EQ(read(R"({"sub":"s","aud":"a","exp":99999999999,"nbf":99999999998})").error().where,
            "check a token: not valid yet");
}

TEST(Jwt, WhatIsSignedComesBack) {
  const PrivateKey key = PrivateKey::generate();
  Token token;
  token.subject = "a\"b\\c\n\x01";
  token.audience = {"x", "a"};
  token.expires = wall_now() + 1h;
  token.claims["\"k\t"] = "v/";
  const Result<Token> read =
      verify_token(concat(" ", sign_token(token, key), "\n"), key.public_to_pem(), "a");
  ASSERT_TRUE(read) << read.error().where;
  EXPECT_EQ(read->subject, token.subject);
  EXPECT_EQ(read->audience, token.audience);
  EXPECT_EQ(read->claims, token.claims);
}

TEST(Jwt, EveryDamageIsNoticed) {
  const PrivateKey key = PrivateKey::generate();
  const std::string pem = key.public_to_pem();
  const std::string text = sign_claims(R"({"sub":"s","aud":"a","exp":99999999999})", key);
  ASSERT_TRUE(verify_token(text, pem, "a"));
  // The last character carries bits that no byte takes.
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(verify_token(damaged, pem, "a")) << i;
    EXPECT_FALSE(verify_token(text.substr(0, i), pem, "a")) << i;
  }
  EXPECT_FALSE(verify_token(std::string(20'000, 'a'), pem, "a"));
  EXPECT_EQ(verify_token(text, "no key", "a").error().code, Errc::Internal);
  EXPECT_EQ(verify_token(text, PrivateKey::from_pem(kP384Key)->public_to_pem(), "a").error().code,
            Errc::Internal);
  const std::string critical =
      base64url_encode(as_bytes(std::string_view(R"({"alg":"ES256","crit":["x"]})")));
  EXPECT_EQ(verify_token(critical + text.substr(text.find('.')), pem, "a").error().code,
            Errc::Invalid);
}

}  // namespace
}  // namespace tulle::tls::test
