// SPDX-License-Identifier: Apache-2.0
// What a server's guard keeps its clients to: heads that end, requests that come, places that say
// what happens.
#include <gtest/gtest.h>

#include "lib/h2/testing.h"

namespace tulle::h2 {
namespace {

class Seen final : public net::Place {
 public:
  explicit Seen(net::Admission& admission) : Place(admission, net::IpAddr::v4(0x0A000001)) {}
  bool gone = false;

 private:
  void give_way() override { gone = true; }
};

struct World {
  net::HeldBytes heads{std::size_t{64} * 1024};
  net::Admission admission{{.total = 1, .per_source = 1}};
  Seen place{admission};
};

ServerOptions guarded(World& world) {
  ServerOptions options;
  options.guard.heads = &world.heads;
  options.guard.client = net::IpAddr::v4(0x0A000001);
  options.guard.place = &world.place;
  options.guard.head_time = 10s;
  options.guard.idle_time = 60s;
  return options;
}

struct GuardFixture : World, RawFixture {
  GuardFixture() : RawFixture(guarded(*this)) {}
  std::string head(std::uint32_t stream) {
    return framed(frame::kHeaders, flag::kEndHeaders | flag::kEndStream, stream, kGet);
  }
  bool idle() {  // the one place gives way only while idle
    return admission.admit(net::IpAddr::v4(0x0A000002)) && place.gone;
  }
};

TEST_F(GuardFixture, AHeadThatDoesNotEndIsNotWaitedFor) {
  send(head(1).substr(0, 12));
  EXPECT_EQ(heads.total(), 12U);
  loop.advance(9s);
  send(head(1).substr(12, 1));  // a byte now and then is no new beginning
  EXPECT_FALSE(peer->peer_closed());
  loop.advance(2s);
  EXPECT_TRUE(peer->peer_closed());
  EXPECT_EQ(heads.total(), 0U);
}

TEST_F(GuardFixture, BlocksOfManyFramesAreOneHead) {
  frame(frame::kHeaders, flag::kEndStream, 1, kGet);
  EXPECT_EQ(heads.total(), kGet.size());
  loop.advance(11s);
  EXPECT_TRUE(peer->peer_closed());
}

TEST_F(GuardFixture, HeadsThatFollowEachOtherHaveTheirTimeEach) {
  send(head(1).substr(0, 10));
  for (std::uint32_t stream = 1; stream < 20; stream += 2) {
    loop.advance(6s);
    send(head(stream).substr(10) + head(stream + 2).substr(0, 10));
    EXPECT_EQ(heads.total(), 10U);
  }
  EXPECT_FALSE(peer->peer_closed());
  EXPECT_EQ(handler.calls, 10);
}

TEST_F(GuardFixture, AnIdleConnectionIsToldToGo) {
  send(head(1));
  read();
  loop.advance(59s);
  EXPECT_FALSE(peer->peer_closed());
  send(head(3));
  read();
  loop.advance(59s);
  EXPECT_FALSE(peer->peer_closed());
  loop.advance(3s);
  EXPECT_EQ(goaway(), 0);
  EXPECT_TRUE(peer->peer_closed());
}

TEST_F(GuardFixture, RequestsUnderWayHaveAllTime) {
  handler.delay = 1h;
  send(head(1));
  loop.advance(59min);
  EXPECT_FALSE(peer->peer_closed());
  EXPECT_FALSE(idle());
  loop.advance(70s);
  EXPECT_FALSE(peer->peer_closed());
  EXPECT_TRUE(idle());
}

// A slow upload is not a head: its bytes are bounded by its window.
TEST_F(GuardFixture, HalfABodyIsNoHead) {
  frame(frame::kHeaders, flag::kEndHeaders, 1, kGet);
  send(framed(frame::kData, 0, 1, std::string(1000, 'x')).substr(0, 500));
  EXPECT_EQ(heads.total(), 0U);
  loop.advance(1h);
  EXPECT_FALSE(peer->peer_closed());
}

TEST_F(GuardFixture, TheOldestHeadOfAllGivesWay) {
  send(framed(frame::kHeaders, flag::kEndHeaders, 1, std::string(16'000, 'x')).substr(0, 15'000));
  ASSERT_EQ(heads.total(), 15'000U);
  struct Other final : net::HeldBytes::Holder {
    Other(net::HeldBytes& held, std::uint32_t client) : Holder(&held, net::IpAddr::v4(client)) {}
    void give_way() override { gone = true; }
    bool gone = false;
  } second(heads, 0x0A000002), third(heads, 0x0A000003);
  second.hold(30'000);
  third.hold(30'000);
  loop.drain();
  EXPECT_TRUE(peer->peer_closed());
}

struct SilentFixture : World, ::testing::Test {};

TEST_F(SilentFixture, WhoNeverSendsThePrefaceHasTheTimeOfAHead) {
  SimLoop loop;
  net::Drain drain;
  EchoHandler handler(loop);
  auto [a, b] = loop.pipe();
  net::TaskScope scope;
  scope.spawn(serve(std::move(b), handler, guarded(*this), drain));
  loop.advance(9s);
  EXPECT_FALSE(a->peer_closed());
  loop.advance(2s);
  EXPECT_TRUE(a->peer_closed());
}

}  // namespace
}  // namespace tulle::h2
