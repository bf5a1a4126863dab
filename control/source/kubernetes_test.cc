// SPDX-License-Identifier: Apache-2.0
#include "control/source/kubernetes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <map>

#include "lib/base/text.h"
#include "lib/k8s/fake_server.h"
#include "lib/testing/sim.h"

namespace tulle::control {
namespace {

using k8s::FakeServer;

// An API server with the objects of a map: resource → name → JSON. What is not in `resources` is a
// CRD that is not installed.
class KubernetesSourceTest : public ::testing::Test {
 protected:
  KubernetesSourceTest() {
    access.host = "api";
    server.answer = [this](const FakeServer::Seen& seen) { return answer(seen); };
    for (const std::string_view core :
         {"namespaces", "nodes", "services", "pods", "replicasets", "jobs", "endpointslices"}) {
      resources[std::string(core)];
    }
    int ends[2] = {};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_read = net::Fd(ends[0]);
    log_write = net::Fd(ends[1]);
    sink.emplace(log::Sink::Options{.fd = log_write.get()}, log::Filter::parse_lenient("info"));
    logger.emplace(*sink, "test");
    client.emplace(loop, server, access, *logger, k8s::ApiClient::Options{});
    source.emplace(*client, index, *logger, 3);
  }
  ~KubernetesSourceTest() override { source.reset(); }

  void start() {
    source->start([this] { ++synced; });
    loop.advance(1s);
  }
  void put(const std::string& resource, const std::string& name, std::string_view more = "",
           std::string_view ns = "shop") {
    const bool known = resources[resource].contains(name);
    const std::string version = std::to_string(++version_);
    resources[resource][name] = concat(R"({"metadata":{"name":")", name, R"(","namespace":")", ns,
                                       R"(","resourceVersion":")", version, R"("})", more, "}");
    tell(resource, known ? "MODIFIED" : "ADDED", resources[resource][name]);
  }
  void erase(const std::string& resource, const std::string& name) {
    const std::string last = resources[resource][name];
    resources[resource].erase(name);
    tell(resource, "DELETED", last);
  }
  FakeServer::Watch* watch(std::string_view resource) {
    FakeServer::Watch* found = nullptr;
    for (auto& watch : server.watches) {
      if (watch.abandoned() || resource_of(watch.request.path) != resource) continue;
      found = &watch;
    }
    return found;
  }
  // Everything that was logged since the last call.
  std::string logged() {
    std::string out;
    char block[65536];
    for (ssize_t n = 0; (n = ::read(log_read.get(), block, sizeof block)) > 0;)
      out.append(block, static_cast<std::size_t>(n));
    return out;
  }

  testing::SimLoop loop;
  FakeServer server{loop};
  net::Fd log_read, log_write;
  std::optional<log::Sink> sink;
  std::optional<log::Logger> logger;
  k8s::ClusterAccess access;
  std::optional<k8s::ApiClient> client;
  Index index;
  std::optional<KubernetesSource> source;
  std::map<std::string, std::map<std::string, std::string>> resources;
  bool silent = false;  // objects change, and no watch tells
  int synced = 0;

 private:
  static std::string resource_of(std::string_view path) {
    path = path.substr(0, path.find('?'));
    std::string out(path.substr(path.rfind('/') + 1));
    return path.find("policy.linkerd.io") != std::string_view::npos && out == "httproutes"
               ? "policyhttproutes"
               : out;
  }
  void tell(const std::string& resource, std::string_view type, std::string_view object) {
    FakeServer::Watch* const to = silent ? nullptr : watch(resource);
    if (to != nullptr)
      to->writer.write(as_bytes(concat(R"({"type":")", type, R"(","object":)", object, "}\n")));
    loop.advance(100ms);
  }
  FakeServer::Answer answer(const FakeServer::Seen& seen) {
    const auto at = resources.find(resource_of(seen.path));
    if (at == resources.end()) return {404, FakeServer::status_json(404, "NotFound"), "", false};
    std::string items;
    for (const auto& [name, object] : at->second) items += concat(items.empty() ? "" : ",", object);
    return {200,
            concat(R"({"kind":"List","metadata":{"resourceVersion":")", std::to_string(version_),
                   R"("},"items":[)", items, "]}"),
            "", false};
  }
  int version_ = 100;
};

TEST_F(KubernetesSourceTest, ListsAndFollowsEverything) {
  put("pods", "web-0", R"(,"status":{"podIP":"10.0.0.1","phase":"Running"})");
  put("replicasets", "web-1");
  resources["replicasets"]["web-1"] =
      R"({"metadata":{"name":"web-1","namespace":"shop","ownerReferences":[{"kind":"Deployment","name":"web"}]}})";
  start();
  EXPECT_EQ(synced, 1);
  EXPECT_TRUE(source->synced());
  EXPECT_EQ(source->missing(), "");
  const View view(index);
  ASSERT_NE(view.pod("shop", "web-0"), nullptr);
  ASSERT_NE(view.owner_of("ReplicaSet", "shop", "web-1"), nullptr);
  put("services", "web", R"(,"spec":{"clusterIP":"10.96.0.1"})");
  EXPECT_EQ(view.services_at(*net::IpAddr::parse("10.96.0.1")).size(), 1U);
  put("services", "web", R"(,"spec":{"clusterIP":"10.96.0.2"})");
  EXPECT_TRUE(view.services_at(*net::IpAddr::parse("10.96.0.1")).empty());
  erase("services", "web");
  EXPECT_EQ(view.service("shop", "web"), nullptr);
  EXPECT_EQ(synced, 1);
}

// Whoever has only metadata of interest is not asked for more.
TEST_F(KubernetesSourceTest, AsksForMetadataOfOwnersOnly) {
  start();
  for (const auto& seen : server.requests) {
    const bool partial = seen.accept.find("PartialObjectMetadata") != std::string::npos;
    const bool metadata_only = seen.path.find("replicasets") != std::string::npos ||
                               seen.path.find("jobs") != std::string::npos ||
                               seen.path.find("nodes") != std::string::npos ||
                               seen.path.find("/namespaces") != std::string::npos;
    EXPECT_EQ(partial, metadata_only) << seen.path;
  }
}

TEST_F(KubernetesSourceTest, AfterAGapWhatHasGoneGoes) {
  for (const char* const name : {"a", "b", "c"}) put("pods", name);
  start();
  EXPECT_EQ(index.count<k8s::Pod>(), 3U);
  silent = true;
  erase("pods", "b");
  put("pods", "d");
  silent = false;
  FakeServer::Watch* const pods = watch("pods");
  ASSERT_NE(pods, nullptr);
  pods->writer.write(
      as_bytes(R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}})"
               "\n"));
  loop.advance(5s);
  EXPECT_EQ(index.count<k8s::Pod>(), 3U);
  EXPECT_EQ(View(index).pod("shop", "b"), nullptr);
  EXPECT_NE(View(index).pod("shop", "d"), nullptr);
  for (const auto& state : source->resources()) {
    if (state.resource == "pods") {
      EXPECT_EQ(state.stats.expired, 1U);
    }
  }
  // And it is followed again.
  erase("pods", "a");
  EXPECT_EQ(View(index).pod("shop", "a"), nullptr);
}

TEST_F(KubernetesSourceTest, WhileTheServerIsAwayTheLastStateStays) {
  put("pods", "a");
  start();
  server.reachable = false;
  server.cut();
  loop.advance(10min);
  EXPECT_NE(View(index).pod("shop", "a"), nullptr);
  EXPECT_TRUE(source->synced());
  server.reachable = true;
  loop.advance(2min);
  erase("pods", "a");
  EXPECT_EQ(View(index).pod("shop", "a"), nullptr) << "it is followed again";
}

// CRDs may come after the control plane; those that are not there do not keep it from being ready.
TEST_F(KubernetesSourceTest, CustomResourcesMayAppearLate) {
  start();
  EXPECT_EQ(synced, 1);
  resources["servers"]["web"] =
      R"({"metadata":{"name":"web","namespace":"shop"},"spec":{"podSelector":{},"port":80}})";
  loop.advance(40s);
  EXPECT_EQ(View(index).servers("shop").size(), 1U);
  EXPECT_EQ(synced, 1);
}

TEST_F(KubernetesSourceTest, KeepsTheKindsWhoseUseComesLater) {
  resources["externalworkloads"]["vm"] =
      R"({"metadata":{"name":"vm","namespace":"shop"},"spec":{"meshTLS":{"identity":"spiffe://root/vm","serverName":"vm.local"},)"
      R"("ports":[{"name":"http","port":80}],"workloadIPs":[{"ip":"192.0.2.1"}]},"status":{"conditions":[{"type":"Ready","status":"True"}]}})";
  resources["serviceprofiles"]["web"] =
      R"({"metadata":{"name":"web.shop.svc.cluster.local","namespace":"shop"},"spec":{"routes":[{"name":"r","isRetryable":true,)"
      R"("condition":{"all":[{"method":"GET"}]}}],"dstOverrides":[{"authority":"a.b","weight":"500m"}]}})";
  for (const char* const kind :
       {"httproutes", "grpcroutes", "tlsroutes", "tcproutes", "policyhttproutes"}) {
    resources[kind]["r"] =
        R"({"metadata":{"name":"r","namespace":"shop"},"spec":{"parentRefs":[{"name":"web","kind":"Service","group":""}],"rules":[]}})";
  }
  start();
  EXPECT_EQ(index.count<k8s::ExternalWorkload>(), 1U);
  EXPECT_EQ(index.count<k8s::ServiceProfile>(), 1U);
  EXPECT_EQ(index.count<k8s::HttpRoute>(), 1U);
  EXPECT_EQ(index.count<k8s::PolicyHttpRoute>(), 1U);
  EXPECT_EQ(index.count<k8s::GrpcRoute>(), 1U);
  EXPECT_EQ(index.count<k8s::TlsRoute>() + index.count<k8s::TcpRoute>(), 2U) << logged();
  EXPECT_EQ(source->broken_objects(), 0U) << logged();
}

TEST_F(KubernetesSourceTest, AMalformedObjectIsNamedAndTheOthersAreNotAffected) {
  put("services", "good", R"(,"spec":{"clusterIP":"10.96.0.1"})");
  put("services", "bad", R"(,"spec":{"ports":"none"})");
  start();
  EXPECT_EQ(synced, 1);
  EXPECT_EQ(index.count<k8s::Service>(), 1U);
  EXPECT_EQ(source->broken_objects(), 1U);
  const std::string said = logged();
  EXPECT_NE(said.find("an object cannot be read"), std::string::npos) << said;
  EXPECT_NE(said.find("name=bad"), std::string::npos) << said;
  EXPECT_NE(said.find("spec.ports"), std::string::npos) << said;
  // Its last good state stays, and the next good one counts.
  put("services", "good", R"(,"spec":{"clusterIP":7})");
  EXPECT_EQ(View(index).services_at(*net::IpAddr::parse("10.96.0.1")).size(), 1U);
  EXPECT_EQ(source->broken_objects(), 2U);
  put("services", "good", R"(,"spec":{"clusterIP":"10.96.0.3"})");
  EXPECT_EQ(View(index).services_at(*net::IpAddr::parse("10.96.0.3")).size(), 1U);
  erase("services", "bad");
  EXPECT_EQ(source->broken_objects(), 0U);
}

// docs/design.md §4: 4 KiB a pod, its part of ReplicaSets with it. Pods as API servers write them,
// ten a ReplicaSet.
TEST_F(KubernetesSourceTest, PodsCostLittle) {
  start();
  constexpr int kPods = 2000;
  std::string managed = R"("managedFields":[{"manager":"kubelet","fieldsV1":{)";
  for (int i = 0; i < 60; ++i)
    managed += concat(i > 0 ? "," : "", R"("f:field)", std::to_string(i), R"(":{"f:inner":{}})");
  managed += "}}]";
  const auto pod = [&](int i) {
    const std::string n = std::to_string(i), set = std::to_string(i / 10);
    return concat(
        R"({"metadata":{"resourceVersion":"7","name":"shop-front-)", set, "-", n,
        R"(","namespace":"shop","uid":"00000000-0000-0000-0000-0000000)", n, R"(",)", managed,
        R"(,"labels":{"app":"front-)", set, R"(","pod-template-hash":"h)", set,
        R"(","linkerd.io/control-plane-ns":"linkerd"},)",
        R"("annotations":{"linkerd.io/trust-root-sha256":"7cc358aa45100f42d57b76e9b235253bfc6fc830b3e45858d2bc473657aae3f7","other":"dropped"},)",
        R"("ownerReferences":[{"kind":"ReplicaSet","name":"shop-front-)", set,
        R"(","controller":true}]},)",
        R"("spec":{"nodeName":"node-1","serviceAccountName":"front","restartPolicy":"Always","containers":[{"name":"linkerd-proxy"},)",
        R"({"name":"app","ports":[{"containerPort":8080}],"env":[{"name":"A","value":"dropped"}]}]},)",
        R"("status":{"phase":"Running","podIP":"10.1.)", std::to_string(i / 250), ".",
        std::to_string(i % 250),
        R"(","hostIP":"192.0.2.1","conditions":[{"type":"Ready","status":"True"},{"type":"Initialized","status":"True"}],)",
        R"("containerStatuses":[{"name":"linkerd-proxy","state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}},)",
        R"({"name":"app","containerID":"containerd://)", n, R"(","state":{"running":{}}}]}})");
  };
  FakeServer::Watch* const pods = watch("pods");
  FakeServer::Watch* const sets = watch("replicasets");
  ASSERT_TRUE(pods != nullptr && sets != nullptr);
  const auto used = [] { return ::mallinfo2().uordblks; };
  const std::size_t before = used();
  for (int i = 0; i < kPods; ++i) {
    if (i % 10 == 0) {
      const std::string set = std::to_string(i / 10);
      sets->writer.write(as_bytes(concat(
          R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"7","name":"shop-front-)", set,
          R"(","namespace":"shop","labels":{"a":"b"},"ownerReferences":[{"kind":"Deployment","name":"shop-front"}]}}})",
          "\n")));
    }
    pods->writer.write(as_bytes(concat(R"({"type":"ADDED","object":)", pod(i), "}\n")));
    loop.advance(1ms);
  }
  loop.advance(1s);
  ASSERT_EQ(index.count<k8s::Pod>(), static_cast<std::size_t>(kPods)) << logged().substr(0, 2000);
  ASSERT_EQ(index.count<k8s::ReplicaSet>(), static_cast<std::size_t>(kPods / 10));
  const std::size_t each = (used() - before) / kPods;
  RecordProperty("bytes_per_pod", static_cast<int>(each));
  // The sanitizers' allocator is not counted by mallinfo2 and gives 0.
  EXPECT_LT(each, 2048U);
}

}  // namespace
}  // namespace tulle::control
