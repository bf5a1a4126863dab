// SPDX-License-Identifier: Apache-2.0
#include "proxy/workload/worker.h"

#include <gtest/gtest.h>

#include "proxy/endpoint/endpoint.h"
#include "proxy/testing/support.h"
#include "proxy/workload/plan.h"

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

ClientPolicyPtr balanced_policy(const std::string& path) {
  auto policy = std::make_shared<ClientPolicy>();
  Backend backend;
  backend.kind = Backend::Kind::Balance;
  backend.path = path;
  policy->opaque.emplace();
  policy->opaque->distribution = {Distribution::Kind::FirstAvailable, {backend}};
  return policy;
}

// Who connected to an IPv4 address is sent to what discovery says for IPv4, beside others.
TEST(WorkerTest, ABackendIsAskedForInTheFamilyOfTheConnection) {
  test::TestWorker world;
  const std::string path = "web.shop.svc.cluster.local:80";
  world.publish(EndpointKey{path, Family::V4}, test::endpoints({"10.0.0.1:80"}));
  world.publish(EndpointKey{path, Family::V6}, test::endpoints({"[fd00::1]:80", "[fd00::2]:80"}));
  const ClientPolicyPtr policy = balanced_policy(path);
  const auto v4 = world.worker().plan(policy, family_of(test::addr("10.96.0.1:80").ip));
  const auto v6 = world.worker().plan(policy, family_of(test::addr("[fd00:96::1]:80").ip));
  world.loop().advance(10ms);
  EXPECT_EQ(world.worker().plan(policy, Family::V4), v4);
  Balancer& by_v4 = v4->opaque.backends[0].balanced->balancer();
  Balancer& by_v6 = v6->opaque.backends[0].balanced->balancer();
  EXPECT_EQ(by_v4.endpoints().endpoints.size(), 1U);
  EXPECT_EQ(by_v6.endpoints().endpoints.size(), 2U);
  EXPECT_EQ(world.worker().endpoint_sets().size(), 2U);
}

}  // namespace
}  // namespace tulle::proxy
