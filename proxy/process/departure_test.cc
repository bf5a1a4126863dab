// SPDX-License-Identifier: Apache-2.0
#include "proxy/process/departure.h"

#include <gtest/gtest.h>

namespace tulle::proxy {
namespace {

using State = Departure::State;
constexpr PodLife kClassic{PodLife::Sidecar::Classic, false};
constexpr PodLife kClassicEnded{PodLife::Sidecar::Classic, true};
constexpr PodLife kNative{PodLife::Sidecar::Native, false};
constexpr PodLife kNativeEnded{PodLife::Sidecar::Native, true};
const TimePoint kStart = TimePoint{} + 1h;

TEST(Departure, AClassicSidecarLeavesWithItsApplication) {
  Departure departure;
  EXPECT_EQ(departure.told(kClassic), State::Serving);
  EXPECT_EQ(departure.told(kClassicEnded), State::Drained);
  EXPECT_EQ(departure.told(kClassic), State::Drained);  // never back
}

TEST(Departure, ANativeSidecarWaitsForTheKubelet) {
  Departure departure;
  EXPECT_EQ(departure.told(kNative), State::Serving);
  EXPECT_EQ(departure.told(kNativeEnded), State::Serving);
  EXPECT_EQ(departure.terminate(kStart), State::Drained);
}

// Linkerd's control plane tells nothing; nor does ours before it has answered.
TEST(Departure, WhoWasToldNothingDrainsEverythingAtOnce) {
  Departure departure;
  EXPECT_EQ(departure.terminate(kStart), State::Drained);
}

TEST(Departure, OutboundOfAClassicSidecarStaysOpenUntilTheApplicationHasEnded) {
  Departure departure;
  departure.told(kClassic);
  EXPECT_EQ(departure.terminate(kStart), State::InboundDrained);
  EXPECT_EQ(departure.saw_sockets(true, kStart + 20s), State::InboundDrained);
  EXPECT_EQ(departure.told(kClassic), State::InboundDrained);
  EXPECT_EQ(departure.terminate(kStart + 20s), State::InboundDrained);
  EXPECT_EQ(departure.told(kClassicEnded), State::Drained);
}

TEST(Departure, AnApplicationWithoutSocketsHasEnded) {
  Departure departure;
  departure.told(kClassic);
  departure.terminate(kStart);
  departure.saw_sockets(true, kStart + 1s);
  EXPECT_EQ(departure.saw_sockets(false, kStart + 2900ms), State::InboundDrained);
  departure.saw_sockets(true, kStart + 2950ms);  // it dials again
  EXPECT_EQ(departure.saw_sockets(false, kStart + 4900ms), State::InboundDrained);
  EXPECT_EQ(departure.saw_sockets(false, kStart + 4950ms), State::Drained);
}

TEST(Departure, AnApplicationThatHadNoSocketsIsGivenLonger) {
  Departure departure;
  departure.told(kClassic);
  departure.terminate(kStart);
  EXPECT_EQ(departure.saw_sockets(false, kStart + 4900ms), State::InboundDrained);
  EXPECT_EQ(departure.saw_sockets(false, kStart + 5s), State::Drained);
}

TEST(Departure, SocketsSayNothingBeforeTerm) {
  Departure departure;
  departure.told(kClassic);
  EXPECT_EQ(departure.saw_sockets(false, kStart + 1h), State::Serving);
  EXPECT_EQ(departure.leave(), State::Drained);
}

TEST(Departure, WhoeverAsksToShutDownHasEnded) {
  Departure departure;
  departure.told(kClassic);
  departure.terminate(kStart);
  EXPECT_EQ(departure.leave(), State::Drained);
}

}  // namespace
}  // namespace tulle::proxy
