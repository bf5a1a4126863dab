// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker.h"

#include <gtest/gtest.h>

#include "proxy/outbound/endpoint.h"
#include "proxy/testing/support.h"

namespace tulle::proxy {
namespace {

// The end of a response gives back the lease of an endpoint that was removed meanwhile, and does so
// from within the endpoint's own connection: which must still be there when that call returns.
TEST(WorkerTest, AnEndpointThatNobodyHoldsGoesOnceTheLoopComesRound) {
  test::TestWorker world;
  const EndpointPtr info = test::endpoint("10.0.0.1:80");
  std::shared_ptr<Endpoint> endpoint = world.worker().make_endpoint(info);
  const long held = info.use_count();
  endpoint.reset();
  EXPECT_EQ(info.use_count(), held);
  world.loop().advance(10ms);
  EXPECT_LT(info.use_count(), held);
}

TEST(WorkerTest, EndpointsMayBeLeftWhenAWorkerGoes) {
  const EndpointPtr info = test::endpoint("10.0.0.1:80");
  {
    test::TestWorker world;
    const std::shared_ptr<Endpoint> first = world.worker().make_endpoint(info);
    world.worker().make_endpoint(info).reset();
    EXPECT_GT(info.use_count(), 2);
  }
  EXPECT_EQ(info.use_count(), 1);
}

}  // namespace
}  // namespace tulle::proxy
