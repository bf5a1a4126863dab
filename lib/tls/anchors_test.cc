// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/anchors.h"

#include <gtest/gtest.h>

namespace tulle::tls {
namespace {

using Certificates = std::vector<Certificate>;

std::vector<std::string> ders(const Certificates& list) {
  std::vector<std::string> out;
  for (const Certificate& one : list) out.push_back(one.der);
  return out;
}

struct Anchors : ::testing::Test {
  // Cross-signs `of` by `by`.
  static Certificate bridge(const Issuer& by, const Issuer& of, std::string_view name) {
    return make_issuer(by, name, 24h, of.key).certificate;
  }
  void expect(const Certificates& offered, const Certificates& bridges, const Certificates& trusted,
              const Certificates& result) {
    EXPECT_EQ(ders(vouched_anchors(offered, bridges, trusted)), ders(result));
  }
  const Issuer first = make_anchor("first", 24h);
  const Issuer second = make_anchor("second", 24h);
  const Issuer third = make_anchor("third", 24h);
  const Certificate& a = first.certificate;
  const Certificate& b = second.certificate;
  const Certificate& c = third.certificate;
};

TEST_F(Anchors, WhatIsTrustedStaysAndWhatIsNotIsNotBelieved) {
  expect({a}, {}, {a}, {a});
  expect({a, b}, {}, {a}, {a});
  expect({b}, {}, {a}, {a});
  expect({}, {}, {a}, {a});
  expect({b}, {}, {a, b}, {b});
}

TEST_F(Anchors, ABridgeLeadsToTheNext) {
  const Certificate over = bridge(first, second, "second");
  expect({a, b}, {over}, {a}, {a, b});
  expect({b}, {over}, {a}, {b});
  expect({b, over}, {}, {a}, {b});
  expect({b}, {over}, {c}, {c});
  // Over two, in whatever order they come.
  const Certificate further = bridge(second, third, "third");
  expect({c}, {further, over, b}, {a}, {a});
  expect({c, b}, {further, over}, {a}, {c, b});
}

// Who holds an issuer signs what it likes, but is no anchor.
TEST_F(Anchors, AnIssuerVouchesForNobody) {
  const Issuer issuer = make_issuer(first, "issuer", 24h);
  const Certificate over = bridge(issuer, second, "second");
  expect({b}, {over, issuer.certificate}, {a}, {a});
  expect({a, b, issuer.certificate}, {over}, {a}, {a});
}

TEST_F(Anchors, ABridgeIsForOneNameAndOneKey) {
  expect({b}, {bridge(first, third, "second")}, {a}, {a});
  expect({b}, {bridge(first, second, "other")}, {a}, {a});
  expect({b}, {bridge(third, second, "second"), c}, {a}, {a});
}

TEST_F(Anchors, ABridgeThatHasEndedVouchesForNobody) {
  const Certificate over = make_issuer(first, "second", 1h, second.key).certificate;
  const Issuer longer = make_anchor("second", 240h, second.key);
  expect({longer.certificate}, {over}, {a}, {longer.certificate});
  shift_wall_clock_for_testing(2h);
  expect({longer.certificate}, {over}, {a}, {a});
  shift_wall_clock_for_testing(-2h);
}

}  // namespace
}  // namespace tulle::tls
