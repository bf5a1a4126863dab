// SPDX-License-Identifier: Apache-2.0
// Workloads, some of which can be told of new anchors and some not, renew and are started again at
// every moment of a rotation; any two of them, and the control plane, must always verify each
// other.
#include "control/identity/rotation.h"

#include <gtest/gtest.h>

#include <random>

#include "lib/tls/anchors.h"

namespace tulle::control {
namespace {

using Stage = Rotation::Stage;

RotationPolicy policy() {
  RotationPolicy out;
  out.name = "identity.linkerd.cluster.local";
  return out;
}

struct Workload {
  std::string name;
  bool follows = true;                  // takes anchors from CertifyResponse
  std::vector<tls::Certificate> first;  // what its pod was made with
  std::vector<tls::Certificate> anchors;
  std::optional<tls::Certificate> leaf;
  std::vector<tls::Certificate> chain;
  WallTime renew_at{};

  bool usable() const { return leaf && wall_now() < leaf->not_after; }
  bool trusts(const tls::Certificate& peer, const std::vector<tls::Certificate>& via) const {
    return tls::verify_chain(peer, via, anchors, tls::Usage::Any).has_value();
  }
};

class Mesh {
 public:
  Mesh() : state_(begin_rotation(policy())) {}
  ~Mesh() { shift_wall_clock_for_testing(-shifted_); }
  Rotation& state() { return state_; }

  Workload make(std::string name, bool follows) {
    Workload out;
    out.name = std::move(name);
    out.follows = follows;
    out.first = state_.bundle();
    start(out);
    return out;
  }
  // Its containers begin: it knows what its pod was made with, and nothing else.
  void start(Workload& workload) {
    workload.anchors = workload.first;
    workload.leaf.reset();
    certify(workload);
  }
  void certify(Workload& workload) {
    const tls::Issuer signer = state_.signer();
    // The control plane's own certificate comes from the same issuer.
    const auto [own, own_chain] = issue(signer, "linkerd-identity");
    ASSERT_TRUE(workload.trusts(own, own_chain))
        << workload.name << " cannot verify the control plane";
    std::tie(workload.leaf, workload.chain) = issue(signer, workload.name);
    if (workload.follows) {
      workload.anchors = tls::vouched_anchors(state_.bundle(), workload.chain, workload.anchors);
    }
    workload.renew_at = wall_now() + (workload.leaf->not_after - wall_now()) * 7 / 10;
  }
  void pass(Duration by, std::vector<Workload>& workloads) {
    shift_wall_clock_for_testing(by);
    shifted_ += by;
    for (Workload& workload : workloads) {
      if (wall_now() >= workload.renew_at) certify(workload);
    }
    if (auto next = advance(state_, policy(), wall_now())) {
      // What is stored is what is read back, whatever happens in between.
      const Result<Rotation> read = Rotation::from_text(next->to_text());
      ASSERT_TRUE(read) << read.error().where;
      state_ = *read;
    }
  }
  void replace() {
    auto next = advance(state_, policy(), wall_now(), true);
    ASSERT_TRUE(next);
    state_ = *std::move(next);
  }

 private:
  static std::pair<tls::Certificate, std::vector<tls::Certificate>> issue(const tls::Issuer& signer,
                                                                          const std::string& name) {
    const tls::PrivateKey key = tls::PrivateKey::generate();
    const auto csr = tls::Csr::from_der(as_bytes(
        tls::make_csr(key, name + ".linkerd.serviceaccount.identity.linkerd.cluster.local")));
    auto leaf = tls::sign_leaf(signer, *csr, {23h + 59min, 20s, 1});
    std::vector<tls::Certificate> chain = {signer.certificate};
    chain.insert(chain.end(), signer.chain.begin(), signer.chain.end());
    return {*leaf, chain};
  }

  Rotation state_;
  Duration shifted_{0};
};

void all_verify_each_other(const std::vector<Workload>& workloads) {
  for (const Workload& one : workloads) {
    ASSERT_TRUE(one.usable()) << one.name;
    for (const Workload& other : workloads) {
      ASSERT_TRUE(one.trusts(*other.leaf, other.chain))
          << one.name << " does not trust " << other.name;
    }
  }
}

TEST(Rotation, NothingIsDueAtFirst) {
  const Rotation state = begin_rotation(policy());
  EXPECT_EQ(state.stage(), Stage::Steady);
  EXPECT_FALSE(advance(state, policy(), wall_now()));
  EXPECT_GT(next_step(state, policy()), wall_now() + 24h * 200);
}

TEST(Rotation, TheIssuerIsReplacedAt70Percent) {
  Mesh mesh;
  std::vector<Workload> workloads = {mesh.make("a", true), mesh.make("b", false)};
  const std::string before = mesh.state().issuer.der;
  for (int day = 0; day < 254; ++day) mesh.pass(24h, workloads);
  EXPECT_EQ(mesh.state().issuer.der, before);
  for (int hour = 0; hour < 72; ++hour) {
    mesh.pass(1h, workloads);
    all_verify_each_other(workloads);
  }
  EXPECT_NE(mesh.state().issuer.der, before);
  EXPECT_EQ(mesh.state().stage(), Stage::Steady);
}

// The whole life of an anchor, and every kind of workload at every moment of the change.
TEST(Rotation, AnAnchorIsReplacedUnderEverybody) {
  Mesh mesh;
  std::mt19937 random(7);
  std::vector<Workload> workloads = {mesh.make("follows", true), mesh.make("old", false),
                                     mesh.make("restarts", true), mesh.make("restarts-old", false)};
  mesh.replace();
  EXPECT_EQ(mesh.state().stage(), Stage::Announced);
  workloads.push_back(mesh.make("new-in-announced", false));
  bool switched = false;
  int steps = 0;
  while (mesh.state().stage() != Stage::Steady || steps == 0) {
    ASSERT_LT(++steps, 400);
    mesh.pass(15min, workloads);
    if (random() % 3 == 0) mesh.start(workloads[2]);
    if (random() % 3 == 0) mesh.start(workloads[3]);
    if (mesh.state().stage() == Stage::Switched && !switched) {
      switched = true;
      EXPECT_EQ(mesh.state().signer().chain.size(), 1U) << "the bridge";
      workloads.push_back(mesh.make("new-in-switched", false));
    }
    all_verify_each_other(workloads);
    if (HasFatalFailure()) return;
  }
  EXPECT_TRUE(switched);
  EXPECT_EQ(mesh.state().anchors.size(), 1U);
  // Also much later, with the old anchor out of the bundle.
  for (int day = 0; day < 30; ++day) {
    mesh.pass(12h, workloads);
    for (Workload& workload : workloads) mesh.start(workload);
    all_verify_each_other(workloads);
    if (HasFatalFailure()) return;
  }
}

TEST(Rotation, AnAnchorIsDueAt70PercentOfItsLife) {
  Mesh mesh;
  std::vector<Workload> none;
  for (int week = 0; week < 364; ++week) mesh.pass(24h * 7, none);
  EXPECT_EQ(mesh.state().stage(), Stage::Steady);
  for (int week = 0; week < 2; ++week) mesh.pass(24h * 7, none);
  EXPECT_NE(mesh.state().stage(), Stage::Steady);
  for (int week = 0; week < 4; ++week) mesh.pass(24h * 7, none);
  EXPECT_EQ(mesh.state().stage(), Stage::Steady);
}

TEST(Rotation, WhatHasEndedIsReplacedAtOnce) {
  Mesh mesh;
  std::vector<Workload> none;
  mesh.pass(24h * 400, none);  // off for longer than an issuer lives
  EXPECT_GT(mesh.state().issuer.not_after, wall_now());
  EXPECT_EQ(mesh.state().stage(), Stage::Steady);
  mesh.pass(24h * 3650, none);  // and longer than an anchor
  EXPECT_GT(mesh.state().anchors[0].certificate.not_after, wall_now());
  EXPECT_TRUE(tls::verify_chain(mesh.state().issuer, {}, mesh.state().bundle(), tls::Usage::Any));
}

TEST(Rotation, AClockThatWasAheadDoesNotStopIt) {
  Mesh mesh;
  mesh.replace();
  Rotation state = mesh.state();
  state.anchors[1].since = wall_now() + 24h * 30;
  state.issuer_since = wall_now() + 24h * 30;
  const auto mended = advance(state, policy(), wall_now());
  ASSERT_TRUE(mended);
  EXPECT_LE(mended->anchors[1].since, wall_now());
  EXPECT_LE(next_step(*mended, policy()), wall_now() + 25h);
}

TEST(Rotation, CertificatesOfTheFutureAreMadeAnew) {
  shift_wall_clock_for_testing(1h);  // made an hour ahead of the time,
  const Rotation state = begin_rotation(policy());
  shift_wall_clock_for_testing(-1h);  // then the clock is set right
  const auto mended = advance(state, policy(), wall_now());
  ASSERT_TRUE(mended);
  EXPECT_TRUE(tls::verify_chain(mended->issuer, {}, mended->bundle(), tls::Usage::Any));
}

TEST(Rotation, AskingTwiceAsksOnce) {
  Mesh mesh;
  mesh.replace();
  EXPECT_FALSE(advance(mesh.state(), policy(), wall_now(), true));
  EXPECT_EQ(mesh.state().anchors.size(), 2U);
}

TEST(Rotation, TextIsReadBackOrRefused) {
  Mesh mesh;
  mesh.replace();
  const std::string text = mesh.state().to_text();
  const Result<Rotation> read = Rotation::from_text(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->to_text(), text);
  EXPECT_FALSE(Rotation::from_text(""));
  EXPECT_FALSE(Rotation::from_text("tulle rotation 2\n"));
  for (std::size_t cut = 0; cut < text.size(); cut += 37) {
    const Result<Rotation> part = Rotation::from_text(std::string_view(text).substr(0, cut));
    // Without the second anchor it is a whole state again.
    if (part) {
      EXPECT_EQ(part->anchors.size(), 1U);
    }
  }
}

}  // namespace
}  // namespace tulle::control
