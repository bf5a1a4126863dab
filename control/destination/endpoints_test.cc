// SPDX-License-Identifier: Apache-2.0
#include "control/destination/endpoints.h"

#include <gtest/gtest.h>

#include "control/testing.h"
#include "proto/message.h"

namespace tulle::control {
namespace {

using Update = pb::destination::Update;
using UpdateCase = Update::UpdateCase;

std::string address_of(const pb::net::TcpAddress& address) {
  std::string text = net::IpAddr::v4(address.ip->ipv4).to_string();
  if (address.ip->ip_case == pb::net::IPAddress::IpCase::ipv6) text = "v6";
  return text + ":" + std::to_string(address.port);
}

// "+10.0.0.1:80 -10.0.0.2:80", "none" (known, empty), "unknown".
std::string text_of(const std::vector<Update>& updates) {
  std::string out;
  for (const Update& update : updates) {
    if (!out.empty()) out += " | ";
    if (update.update_case == UpdateCase::no_endpoints) {
      out += update.no_endpoints->exists ? "none" : "unknown";
    } else if (update.update_case == UpdateCase::add) {
      for (const auto& addr : update.add->addrs) out += "+" + address_of(*addr.addr);
    } else {
      for (const auto& addr : update.remove->addrs) out += "-" + address_of(addr);
    }
  }
  return out;
}

class Endpoints : public ::testing::Test {
 protected:
  void add(std::string_view yaml) { put_yaml(index, yaml); }
  EndpointQuery query(std::string_view path, std::string_view context = "") {
    const auto parsed = parse_endpoint_query(
        {.path = std::string(path), .context_token = std::string(context)}, config);
    EXPECT_TRUE(parsed) << path;
    return *parsed;
  }
  EndpointSet get(std::string_view path, std::string_view context = "") {
    const auto set = endpoints_of(View(index), config, query(path, context));
    EXPECT_TRUE(set);
    return *set;
  }
  std::string addresses(std::string_view path, std::string_view context = "") {
    std::string out;
    for (const auto& [address, endpoint] : get(path, context).endpoints) {
      if (!out.empty()) out += ' ';
      out += address.to_string();
    }
    return out;
  }
  void add_pod(std::string_view name, std::string_view ip, std::string_view more = "",
               std::string_view meta = "", bool meshed = true) {
    add(concat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name,
               ", namespace: shop, labels: {app: web",
               meshed ? ", linkerd.io/control-plane-ns: linkerd" : "", "}", meta, "}\n",
               "spec: {serviceAccountName: web, nodeName: n1, containers: [{name: app, ports: "
               "[{name: http, containerPort: 8080}]}",
               meshed ? ", {name: linkerd-proxy, env: [{name: LINKERD2_PROXY_INBOUND_LISTEN_ADDR, "
                        "value: '0.0.0.0:4143'}]}"
                      : "",
               "]", more, "}\nstatus: {phase: Running, podIP: '", ip,
               "', conditions: [{type: Ready, status: 'True'}]}\n"));
  }
  void add_service(std::string_view spec) {
    add(concat("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: ",
               spec, "\n"));
  }
  void add_slice(std::string_view endpoints, std::string_view ports = "[{name: '', port: 8080}]",
                 std::string_view name = "web-1", std::string_view type = "IPv4") {
    add(concat("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ", name,
               ", namespace: shop, labels: {kubernetes.io/service-name: web}}\naddressType: ", type,
               "\nendpoints: ", endpoints, "\nports: ", ports, "\n"));
  }
  static constexpr std::string_view kWeb = "web.shop.svc.cluster.local:80";
  Index index;
  MeshConfig config;
};

TEST_F(Endpoints, RefusesWhatNamesNoService) {
  for (const auto path :
       {"", "web", "web.shop:80", "10.0.0.1:80", "[::1]:80", "web.shop.svc.other:80",
        "web.shop.svc.cluster.local:0", "web.shop.svc.cluster.local:99999"}) {
    const auto parsed = parse_endpoint_query({.path = path}, config);
    ASSERT_FALSE(parsed) << path;
    EXPECT_EQ(parsed.status().code, grpc::Code::InvalidArgument) << path;
  }
  add_service("{type: ExternalName}");
  const auto external = endpoints_of(View(index), config, query(kWeb));
  ASSERT_FALSE(external);
  EXPECT_EQ(external.status().code, grpc::Code::InvalidArgument);
}

TEST_F(Endpoints, AnswersAtOnceInEveryState) {
  EndpointStream stream;
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "unknown");
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "");
  add_service("{ports: [{port: 80}]}");
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "none");
  add_pod("web-0", "10.0.0.1");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "+10.0.0.1:8080");
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "");
  add_pod("web-1", "10.0.0.2");
  add_slice("[{addresses: [10.0.0.2], targetRef: {kind: Pod, name: web-1}}]");
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "+10.0.0.2:8080 | -10.0.0.1:8080");
  add_slice("[]");
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "none");
  index.erase(key_of<k8s::Service>("shop", "web"));
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "unknown");
}

TEST_F(Endpoints, AChangeOfWhatIsSaidIsSentAgain) {
  add_service("{ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  EndpointStream stream;
  stream.next(get(kWeb));
  add_pod("web-0", "10.0.0.1", "", ", annotations: {config.linkerd.io/opaque-ports: '8080'}");
  EXPECT_EQ(text_of(stream.next(get(kWeb))), "+10.0.0.1:8080");
}

TEST_F(Endpoints, MapsPortsByName) {
  add_service(
      "{ports: [{name: http, port: 80, targetPort: http}, {name: admin, port: 90, targetPort: "
      "9090}]}");
  add_pod("web-0", "10.0.0.1");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]",
            "[{name: http, port: 8080}, {name: admin, port: 9090}, {name: udp, port: 53, protocol: "
            "UDP}]");
  EXPECT_EQ(addresses("web.shop.svc.cluster.local:80"), "10.0.0.1:8080");
  EXPECT_EQ(addresses("web.shop.svc.cluster.local:90"), "10.0.0.1:9090");
  // A port that the Service does not define is meant literally.
  EXPECT_EQ(addresses("web.shop.svc.cluster.local:7777"), "10.0.0.1:7777");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]",
            "[{name: other, port: 8080}]");
  EXPECT_EQ(addresses("web.shop.svc.cluster.local:80"), "");
}

TEST_F(Endpoints, KeepsToReadiness) {
  add_service("{ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  constexpr std::string_view kNotReady =
      "[{addresses: [10.0.0.1], conditions: {ready: false}, targetRef: {kind: Pod, name: web-0}}]";
  add_slice(kNotReady);
  EXPECT_EQ(addresses(kWeb), "");
  add_service("{ports: [{port: 80}], publishNotReadyAddresses: true}");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080");
}

TEST_F(Endpoints, SkipsPodsItDoesNotKnow) {
  add_service("{ports: [{port: 80}]}");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  EXPECT_EQ(addresses(kWeb), "");
  add_pod("web-0", "10.0.0.1");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080");
}

TEST_F(Endpoints, FindsPodsBySelectorWhereThereAreNoSlices) {
  add_service("{ports: [{port: 80, targetPort: http}], selector: {app: web}}");
  add_pod("web-0", "10.0.0.1", ", hostname: web-0, subdomain: web");
  add_pod("web-1", "10.0.0.2");
  add("apiVersion: v1\nkind: Pod\nmetadata: {name: db, namespace: shop}\nstatus: {podIP: "
      "10.0.0.3}\n");
  add("apiVersion: v1\nkind: Pod\nmetadata: {name: starting, namespace: shop, labels: {app: web}}\n"
      "spec: {containers: [{name: a, ports: [{name: http, containerPort: 8081}]}]}\n"
      "status: {podIP: 10.0.0.4, phase: Running, conditions: [{type: Ready, status: 'False'}]}\n");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080 10.0.0.2:8080");
  EXPECT_EQ(addresses("web-0.web.shop.svc.cluster.local:80"), "10.0.0.1:8080");
  add_service(
      "{ports: [{port: 80, targetPort: http}], selector: {app: web}, publishNotReadyAddresses: "
      "true}");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080 10.0.0.2:8080 10.0.0.4:8081");
  add_service("{ports: [{port: 80, targetPort: 9000}], selector: {app: web}}");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:9000 10.0.0.2:9000");
  add_service("{ports: [{port: 80}], selector: {app: web}}");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:80 10.0.0.2:80");
  add_service("{ports: [{port: 80, targetPort: nothing}], selector: {app: web}}");
  EXPECT_EQ(addresses(kWeb), "");
}

TEST_F(Endpoints, KeepsToTheInstance) {
  add_service("{clusterIP: None, ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  add_pod("web-1", "10.0.0.2");
  add_slice(
      "[{addresses: [10.0.0.1], hostname: web-0, targetRef: {kind: Pod, name: web-0}},"
      " {addresses: [10.0.0.2], hostname: web-1, targetRef: {kind: Pod, name: web-1}}]");
  EXPECT_EQ(addresses("web-1.web.shop.svc.cluster.local:80"), "10.0.0.2:8080");
  EXPECT_EQ(addresses("web-9.web.shop.svc.cluster.local:80"), "");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080 10.0.0.2:8080");
}

TEST_F(Endpoints, KeepsToTheNodeOrTheZone) {
  add("apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/zone: "
      "east}}\n---\n"
      "apiVersion: v1\nkind: Node\nmetadata: {name: n2, labels: {topology.kubernetes.io/zone: "
      "west}}\n");
  add_pod("web-0", "10.0.0.1");
  add_pod("web-1", "10.0.0.2");
  const std::string_view hinted =
      "[{addresses: [10.0.0.1], nodeName: n1, zone: east, hints: {forZones: [{name: east}]}, "
      "targetRef: {kind: Pod, name: web-0}},"
      " {addresses: [10.0.0.2], nodeName: n2, zone: west, hints: {forZones: [{name: west}]}, "
      "targetRef: {kind: Pod, name: web-1}}]";
  add_slice(hinted);
  add_service("{ports: [{port: 80}]}");
  EXPECT_EQ(addresses(kWeb, R"({"nodeName":"n1"})"), "10.0.0.1:8080");
  EXPECT_EQ(addresses(kWeb, R"({"nodeName":"n2"})"), "10.0.0.2:8080");
  EXPECT_EQ(addresses(kWeb, R"({"nodeName":"n9"})"), "10.0.0.1:8080 10.0.0.2:8080");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080 10.0.0.2:8080");
  add_service("{ports: [{port: 80}], internalTrafficPolicy: Local}");
  EXPECT_EQ(addresses(kWeb, R"({"nodeName":"n2"})"), "10.0.0.2:8080");
  EXPECT_EQ(addresses(kWeb, R"({"nodeName":"n9"})"), "");
}

TEST_F(Endpoints, SaysHowNearAnEndpointIs) {
  add("apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/zone: "
      "east}}\n---\n"
      "apiVersion: v1\nkind: Node\nmetadata: {name: n2, labels: {topology.kubernetes.io/zone: "
      "west}}\n");
  add_service("{ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");  // on n1
  const auto locality = [&](std::string_view context) {
    return get(kWeb, context).endpoints.begin()->second.metric_labels.at("zone_locality");
  };
  EXPECT_EQ(locality(R"({"nodeName":"n1"})"), "local");
  EXPECT_EQ(locality(R"({"nodeName":"n2"})"), "remote");
  EXPECT_EQ(locality("{}"), "unknown");
}

TEST_F(Endpoints, GivesOneFamilyAPod) {
  add_service("{ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  add_pod("web-1", "10.0.0.2");
  add_slice(
      "[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}, {addresses: [10.0.0.2], "
      "targetRef: {kind: Pod, name: web-1}}]");
  add_slice("[{addresses: ['fd00::1'], targetRef: {kind: Pod, name: web-0}}]",
            "[{name: '', port: 8080}]", "web-v6", "IPv6");
  EXPECT_EQ(addresses(kWeb), "10.0.0.2:8080 [fd00::1]:8080");
  config.ipv6 = false;
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080 10.0.0.2:8080");
}

// What a client gets that came by an address of this family.
class EndpointsOfAFamily : public Endpoints {
 protected:
  using Family = pb::destination::IpFamily;
  std::string by(std::int32_t family, std::string_view path = kWeb, std::string_view context = "") {
    const auto parsed = parse_endpoint_query(
        {.path = std::string(path), .context_token = std::string(context), .ip_family = family},
        config);
    EXPECT_TRUE(parsed) << path;
    const auto set = endpoints_of(View(index), config, *parsed);
    EXPECT_TRUE(set) << path;
    std::string out;
    for (const auto& [address, endpoint] : set->endpoints) {
      if (!out.empty()) out += ' ';
      out += address.to_string();
    }
    return out;
  }
  std::string by_v4(std::string_view path = kWeb, std::string_view context = "") {
    return by(Family::IPV4, path, context);
  }
  std::string by_v6(std::string_view path = kWeb, std::string_view context = "") {
    return by(Family::IPV6, path, context);
  }
  void add_v6_slice(std::string_view endpoints) {
    add_slice(endpoints, "[{name: '', port: 8080}]", "web-v6", "IPv6");
  }
};

TEST_F(EndpointsOfAFamily, KeepToItWhileItHasAny) {
  add_service("{ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  add_pod("web-1", "10.0.0.2");
  add_slice(
      "[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}, {addresses: [10.0.0.2], "
      "targetRef: {kind: Pod, name: web-1}}]");
  add_v6_slice("[{addresses: ['fd00::1'], targetRef: {kind: Pod, name: web-0}}]");
  EXPECT_EQ(by_v4(), "10.0.0.1:8080 10.0.0.2:8080");
  EXPECT_EQ(by_v6(), "[fd00::1]:8080");
  EXPECT_EQ(addresses(kWeb), "10.0.0.2:8080 [fd00::1]:8080");  // not told: as ever
  EXPECT_EQ(by(7), addresses(kWeb));
  config.ipv6 = false;
  EXPECT_EQ(by_v6(), "10.0.0.1:8080 10.0.0.2:8080");
}

TEST_F(EndpointsOfAFamily, GoToTheOtherWhenItHasNone) {
  add_service("{ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  EXPECT_EQ(by_v6(), "10.0.0.1:8080");
  EndpointStream stream;
  const EndpointQuery asked{{"", "web", "shop"}, 80, {}, EndpointQuery::Family::V6};
  const auto next = [&] { return text_of(stream.next(*endpoints_of(View(index), config, asked))); };
  EXPECT_EQ(asked.service.service, query(kWeb).service.service);
  EXPECT_EQ(next(), "+10.0.0.1:8080");
  add_v6_slice("[{addresses: ['fd00::1'], targetRef: {kind: Pod, name: web-0}}]");
  EXPECT_EQ(next(), "+v6:8080 | -10.0.0.1:8080");
  add_v6_slice(
      "[{addresses: ['fd00::1'], conditions: {ready: false}, targetRef: {kind: Pod, name: "
      "web-0}}]");
  EXPECT_EQ(next(), "+10.0.0.1:8080 | -v6:8080");
}

TEST_F(EndpointsOfAFamily, AreThoseOfTheInstanceThatWasNamed) {
  add_service("{clusterIP: None, ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  add_pod("web-1", "10.0.0.2");
  add_slice(
      "[{addresses: [10.0.0.1], hostname: web-0, targetRef: {kind: Pod, name: web-0}}, "
      "{addresses: [10.0.0.2], hostname: web-1, targetRef: {kind: Pod, name: web-1}}]");
  add_v6_slice("[{addresses: ['fd00::1'], hostname: web-0, targetRef: {kind: Pod, name: web-0}}]");
  EXPECT_EQ(by_v4("web-0.web.shop.svc.cluster.local:80"), "10.0.0.1:8080");
  EXPECT_EQ(by_v6("web-0.web.shop.svc.cluster.local:80"), "[fd00::1]:8080");
  EXPECT_EQ(by_v6("web-1.web.shop.svc.cluster.local:80"), "10.0.0.2:8080");
}

TEST_F(EndpointsOfAFamily, AreNearOnesIfTheyHaveSome) {
  add("apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/zone: "
      "a}}\n");
  add_service("{ports: [{port: 80}]}");
  add_pod("web-0", "10.0.0.1");
  add_pod("web-1", "10.0.0.2");
  add_slice(
      "[{addresses: [10.0.0.2], hints: {forZones: [{name: b}]}, targetRef: {kind: Pod, name: "
      "web-1}}]");
  add_v6_slice(
      "[{addresses: ['fd00::1'], hints: {forZones: [{name: a}]}, targetRef: {kind: Pod, name: "
      "web-0}}, {addresses: ['fd00::2'], hints: {forZones: [{name: b}]}, targetRef: {kind: Pod, "
      "name: web-1}}]");
  const std::string_view here = R"({"nodeName":"n1"})";
  EXPECT_EQ(by_v6(kWeb, here), "[fd00::1]:8080");
  EXPECT_EQ(by_v4(kWeb, here), "10.0.0.2:8080");
}

TEST_F(EndpointsOfAFamily, AreFoundWithoutSlicesToo) {
  add_service("{selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}");
  add_pod("web-0", "10.0.0.1");
  add("apiVersion: v1\nkind: Pod\nmetadata: {name: web-1, namespace: shop, labels: {app: web}}\n"
      "spec: {containers: [{name: app}]}\nstatus: {phase: Running, podIP: 10.0.0.2, podIPs: "
      "[{ip: 10.0.0.2}, {ip: 'fd00::2'}], conditions: [{type: Ready, status: 'True'}]}\n");
  EXPECT_EQ(by_v4(), "10.0.0.1:8080 10.0.0.2:8080");
  EXPECT_EQ(by_v6(), "[fd00::2]:8080");
  // No family that the Service does not have, whoever asks.
  add_service("{ipFamilies: [IPv4], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}");
  EXPECT_EQ(by_v6(), "10.0.0.1:8080 10.0.0.2:8080");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080 10.0.0.2:8080");
}

TEST_F(Endpoints, DescribesAMeshedPod) {
  add_service("{ports: [{port: 80}]}");
  add_pod("web-abc-x", "10.0.0.1", "",
          ", ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-abc}]");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-abc-x}}]");
  const EndpointSet set = get(kWeb);
  EXPECT_EQ(set.labels.at("service"), "web");
  EXPECT_EQ(set.labels.at("namespace"), "shop");
  const auto& endpoint = set.endpoints.begin()->second;
  EXPECT_EQ(endpoint.weight, 10'000U);
  EXPECT_EQ(endpoint.metric_labels.at("pod"), "web-abc-x");
  EXPECT_EQ(endpoint.metric_labels.at("replicaset"), "web-abc");
  EXPECT_EQ(endpoint.metric_labels.at("serviceaccount"), "web");
  EXPECT_EQ(endpoint.metric_labels.at("control_plane_ns"), "linkerd");
  EXPECT_EQ(endpoint.metric_labels.at("zone"), "");
  ASSERT_TRUE(endpoint.protocol_hint);
  EXPECT_EQ(endpoint.protocol_hint->protocol_case, pb::destination::ProtocolHint::ProtocolCase::h2);
  ASSERT_TRUE(endpoint.protocol_hint->opaque_transport);
  EXPECT_EQ(endpoint.protocol_hint->opaque_transport->inbound_port, 4143U);
  constexpr std::string_view kIdentity = "web.shop.serviceaccount.identity.linkerd.cluster.local";
  EXPECT_EQ(endpoint.tls_identity->dns_like_identity->name, kIdentity);
  EXPECT_EQ(endpoint.tls_identity->server_name->name, kIdentity);
  EXPECT_TRUE(endpoint.http2->keep_alive->while_idle);
  config.force_transport_header = false;
  EXPECT_FALSE(get(kWeb).endpoints.begin()->second.protocol_hint->opaque_transport);
}

TEST_F(Endpoints, FollowWhatTheOperatorSaysOfHttp2) {
  using Case = pb::destination::ProtocolHint::ProtocolCase;
  add_pod("web-0", "10.0.0.1");
  add_service("{ports: [{port: 80}]}");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  config.h2_upgrade = false;
  config.meshed_keep_alive = {.interval = 30s, .timeout = 5s, .while_idle = false};
  const auto endpoint = get(kWeb).endpoints.begin()->second;
  EXPECT_EQ(endpoint.protocol_hint->protocol_case, Case::none);
  EXPECT_TRUE(endpoint.protocol_hint->opaque_transport);
  EXPECT_EQ(endpoint.http2->keep_alive->interval->seconds, 30);
  EXPECT_EQ(endpoint.http2->keep_alive->timeout->seconds, 5);
  EXPECT_FALSE(endpoint.http2->keep_alive->while_idle);
}

TEST_F(Endpoints, NamesOwners) {
  add_service("{ports: [{port: 80}]}");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p}}]");
  const auto labels = [&](std::string_view meta) {
    add(concat("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop", meta, "}\n"));
    return get(kWeb).endpoints.begin()->second.metric_labels;
  };
  EXPECT_EQ(labels(", ownerReferences: [{kind: Job, name: once}]").at("k8s_job"), "once");
  EXPECT_EQ(labels(", ownerReferences: [{kind: StatefulSet, name: db}]").at("statefulset"), "db");
  EXPECT_EQ(labels(", labels: {linkerd.io/proxy-deployment: front}").at("deployment"), "front");
  EXPECT_EQ(labels("").at("pod"), "p");
  EXPECT_EQ(labels("").at("serviceaccount"), "default");
}

// Nothing is guessed from names: the ReplicaSet or Job says whose it is.
TEST_F(Endpoints, NamesTheWorkloadBehindReplicaSetsAndJobs) {
  add_service("{ports: [{port: 80}]}");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: p}}]");
  const auto pod_of = [&](std::string_view owner, std::string_view labels = "{}") {
    add(concat("apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop, labels: ", labels,
               ", ownerReferences: [{", owner, "}]}\n"));
  };
  const auto owned = [&](std::string_view kind, std::string_view name, std::string_view owners) {
    add(concat("apiVersion: apps/v1\nkind: ", kind, "\nmetadata: {name: ", name,
               ", namespace: shop, ownerReferences: [", owners, "]}\n"));
  };
  const auto labels = [&] { return get(kWeb).endpoints.begin()->second.metric_labels; };
  pod_of("kind: ReplicaSet, name: web-abc", "{pod-template-hash: abc}");
  EXPECT_EQ(labels().at("replicaset"), "web-abc");  // not known yet
  owned("ReplicaSet", "web-abc", "{kind: Deployment, name: shop-front}");
  EXPECT_EQ(labels().at("deployment"), "shop-front");
  EXPECT_FALSE(labels().contains("replicaset"));
  owned("ReplicaSet", "web-abc", "{kind: Rollout, name: shop-front}");
  EXPECT_EQ(labels().at("replicaset"), "web-abc");
  owned("ReplicaSet", "web-abc", "{kind: Deployment, name: a}, {kind: Deployment, name: b}");
  EXPECT_EQ(labels().at("replicaset"), "web-abc");

  pod_of("kind: Job, name: night-1");
  add("apiVersion: batch/v1\nkind: Job\nmetadata: {name: night-1, namespace: shop}\n");
  EXPECT_EQ(labels().at("k8s_job"), "night-1");
  add("apiVersion: batch/v1\nkind: Job\nmetadata: {name: night-1, namespace: shop, "
      "ownerReferences: [{kind: CronJob, name: night}]}\n");
  EXPECT_EQ(labels().at("cronjob"), "night");
}

TEST_F(Endpoints, TellsOpaquePorts) {
  using Case = pb::destination::ProtocolHint::ProtocolCase;
  add_service("{ports: [{port: 80}]}");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  const auto hint = [&](std::string_view path) {
    return get(path).endpoints.begin()->second.protocol_hint->protocol_case;
  };
  add_pod("web-0", "10.0.0.1");
  EXPECT_EQ(hint(kWeb), Case::h2);
  EXPECT_EQ(hint("web.shop.svc.cluster.local:3306"), Case::opaque);  // by default
  add_pod("web-0", "10.0.0.1", "",
          ", annotations: {config.linkerd.io/opaque-ports: 'http,9000-9010'}");
  EXPECT_EQ(hint(kWeb), Case::opaque);  // the name of container port 8080
  EXPECT_EQ(hint("web.shop.svc.cluster.local:9005"), Case::opaque);
  EXPECT_EQ(hint("web.shop.svc.cluster.local:3306"),
            Case::h2);  // the annotation replaces the defaults
  add_pod("web-0", "10.0.0.1", "", ", annotations: {config.linkerd.io/opaque-ports: ''}");
  EXPECT_EQ(hint("web.shop.svc.cluster.local:3306"), Case::h2);
  add("apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: s, namespace: shop}\n"
      "spec: {port: http, podSelector: {matchLabels: {app: web}}, proxyProtocol: opaque}\n");
  EXPECT_EQ(hint(kWeb), Case::opaque);
  add("apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: s, namespace: shop}\n"
      "spec: {port: http, podSelector: {matchLabels: {app: web}}, proxyProtocol: HTTP/1}\n");
  EXPECT_EQ(hint(kWeb), Case::h2);
}

TEST_F(Endpoints, SendsNothingToAProxyThatIsNotThere) {
  add_service("{ports: [{port: 80}]}");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  const auto plain = [&](std::string_view path = kWeb) {
    const auto set = get(path);
    const auto& endpoint = set.endpoints.begin()->second;
    return !endpoint.protocol_hint && !endpoint.tls_identity && !endpoint.http2;
  };
  add_pod("web-0", "10.0.0.1", "", "", false);
  EXPECT_TRUE(plain());
  // The label alone does not mesh a pod: the control plane's own pods have it and no proxy.
  add("apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop, labels: "
      "{linkerd.io/control-plane-ns: linkerd}}\n"
      "spec: {containers: [{name: identity}]}\n");
  EXPECT_TRUE(plain());
  // Ports that bypass the proxy.
  add_pod("web-0", "10.0.0.1", "", ", annotations: {config.linkerd.io/skip-inbound-ports: '8080'}");
  EXPECT_TRUE(plain());
  EXPECT_FALSE(plain("web.shop.svc.cluster.local:81"));
}

TEST_F(Endpoints, AnotherMeshsPodGetsAHintButNoIdentity) {
  add_service("{ports: [{port: 80}]}");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  add_pod("web-0", "10.0.0.1");
  config.controller_namespace = "other";
  const auto set = get(kWeb);
  EXPECT_TRUE(set.endpoints.begin()->second.protocol_hint);
  EXPECT_FALSE(set.endpoints.begin()->second.tls_identity);
}

TEST_F(Endpoints, TheProxysOwnPortsGetNoTransportHeader) {
  add_service("{ports: [{port: 80}]}");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-0}}]");
  add_pod("web-0", "10.0.0.1");
  for (const auto port : {"4190", "4191"}) {
    const auto set = get(concat("web.shop.svc.cluster.local:", std::string_view(port)));
    EXPECT_FALSE(set.endpoints.begin()->second.protocol_hint->opaque_transport) << port;
  }
}

TEST_F(Endpoints, PassesOnAddressesThatAreNoPods) {
  add_service("{ports: [{port: 80}]}");
  add("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: m, namespace: shop, "
      "labels: "
      "{kubernetes.io/service-name: web}, annotations: {mirror.linkerd.io/remote-svc-fq-name: "
      "web.shop.svc.east.local, "
      "mirror.linkerd.io/remote-gateway-identity: gw.id}}\naddressType: IPv4\nendpoints: "
      "[{addresses: [192.0.2.1]}]\n"
      "ports: [{name: '', port: 4143}]\n");
  const auto set = get(kWeb);
  const auto& endpoint = set.endpoints.begin()->second;
  EXPECT_EQ(endpoint.authority_override->authority_override, "web.shop.svc.east.local:80");
  EXPECT_EQ(endpoint.tls_identity->dns_like_identity->name, "gw.id");
  EXPECT_FALSE(endpoint.tls_identity->server_name);
  EXPECT_TRUE(endpoint.http2);
  EXPECT_EQ(endpoint.metric_labels.size(), 1U);
}

// A machine outside of the cluster is met with its own identity, by the transport header.
TEST_F(Endpoints, ExternalWorkloadsCarryIdentityAndTransport) {
  const auto add_workload = [&](std::string_view more, std::string_view ports) {
    add(concat(
        "apiVersion: workload.linkerd.io/v1beta1\nkind: ExternalWorkload\nmetadata: {name: vm, "
        "namespace: shop, labels: {app: web, topology.kubernetes.io/zone: a}, ownerReferences: "
        "[{apiVersion: x/v1, kind: Group, name: g}]",
        more, "}\nspec: {meshTLS: {identity: 'spiffe://root/vm', serverName: vm.example}, ports: [",
        ports,
        "], workloadIPs: [{ip: 192.0.2.9}]}\nstatus: {conditions: [{type: Ready, status: "
        "'True'}]}\n"));
  };
  add("apiVersion: v1\nkind: Service\nmetadata: {name: vms, namespace: shop}\nspec: {selector: "
      "{app: "
      "web}, ports: [{port: 80, targetPort: http}]}\n");
  add_workload("", "{name: http, port: 8080}, {name: http, port: 8081}");
  const auto check = [&](std::uint16_t port, std::uint32_t inbound, bool opaque) {
    const auto set = get("vms.shop.svc.cluster.local:80");
    const auto& endpoint = set.endpoints.at({net::IpAddr::v4(0xC0000209), port});
    EXPECT_EQ(endpoint.tls_identity->uri_like_identity->uri, "spiffe://root/vm");
    EXPECT_EQ(endpoint.tls_identity->server_name->name, "vm.example");
    using Hint = pb::destination::ProtocolHint::ProtocolCase;
    EXPECT_EQ(endpoint.protocol_hint->protocol_case, opaque ? Hint::opaque : Hint::h2);
    EXPECT_EQ(endpoint.protocol_hint->opaque_transport->inbound_port, inbound);
    EXPECT_TRUE(endpoint.http2.has_value());
    EXPECT_EQ(endpoint.metric_labels.at("external_workload"), "vm");
    EXPECT_EQ(endpoint.metric_labels.at("group"), "g");
    EXPECT_EQ(endpoint.metric_labels.at("zone"), "a");
    EXPECT_EQ(endpoint.metric_labels.at("zone_locality"), "unknown");
  };
  EXPECT_EQ(addresses("vms.shop.svc.cluster.local:80"), "192.0.2.9:8080 192.0.2.9:8081");
  config.h2_upgrade = false;  // says nothing of machines outside
  check(8080, 4143, false);
  check(8081, 4143, false);
  // From a slice of the endpoints controller, with a proxy that listens elsewhere.
  add("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: vms-1, namespace: "
      "shop, "
      "labels: {kubernetes.io/service-name: vms}}\naddressType: IPv4\nports: [{name: '', port: "
      "8080}]\nendpoints: [{addresses: [192.0.2.9], targetRef: {kind: ExternalWorkload, name: "
      "vm}}, "
      "{addresses: [192.0.2.10], targetRef: {kind: ExternalWorkload, name: none}}]\n");
  add_workload(", annotations: {config.linkerd.io/opaque-ports: http}",
               "{name: http, port: 8080}, {name: linkerd-proxy, port: 5143}");
  // One that is not known yet is never met in plain text.
  EXPECT_EQ(addresses("vms.shop.svc.cluster.local:80"), "192.0.2.9:8080");
  check(8080, 5143, true);
}

// On Kubernetes a Service has slices of its pods, and of no machine unless Linkerd's controller
// runs.
TEST_F(Endpoints, ExternalWorkloadsAreFoundBesideSlicesOfPods) {
  add_service("{selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}");
  add_pod("a", "10.0.0.1");
  add_slice("[{addresses: [10.0.0.1], targetRef: {kind: Pod, name: a}}]");
  const auto machine = [&](std::string_view ready) {
    add(
        concat("apiVersion: workload.linkerd.io/v1beta1\nkind: ExternalWorkload\nmetadata: {name: "
               "vm, namespace: shop, labels: {app: web}}\nspec: {meshTLS: {identity: "
               "'spiffe://root/vm', serverName: vm.example}, ports: [{port: 8080}], workloadIPs: "
               "[{ip: 192.0.2.9}]}\nstatus: {conditions: [{type: Ready, status: '",
               ready, "'}]}\n"));
  };
  machine("True");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080 192.0.2.9:8080");
  machine("False");
  EXPECT_EQ(addresses(kWeb), "10.0.0.1:8080");
  machine("True");
  // Without a pod Kubernetes writes a slice that is empty.
  add_slice("[]", "[]");
  EXPECT_EQ(addresses(kWeb), "192.0.2.9:8080");
  // What the Service does not select is not its own.
  add_service("{ports: [{port: 80, targetPort: 8080}]}");
  EXPECT_EQ(addresses(kWeb), "");
  // Slices that name machines say all there is to say.
  add_service("{selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}");
  add_slice("[{addresses: [192.0.2.8], targetRef: {kind: ExternalWorkload, name: vm}}]",
            "[{name: '', port: 8080}]", "web-machines");
  EXPECT_EQ(addresses(kWeb), "192.0.2.8:8080");
}

// Two states of one address are told apart however close they are, and told once.
TEST_F(Endpoints, EveryChangeIsToldOnce) {
  EndpointSet set;
  set.exists = true;
  auto& endpoint = set.endpoints[{net::IpAddr::v4(0x0A000001), 80}];
  EndpointStream stream;
  EXPECT_EQ(stream.next(set).size(), 1U);
  for (int i = 0; i < 200; ++i) {
    endpoint.metric_labels["pod"] = std::to_string(i);
    EXPECT_EQ(stream.next(set).size(), 1U) << i;
    EXPECT_TRUE(stream.next(set).empty()) << i;
  }
}

TEST(Digest, IsKeyedAndToldApart) {
  EXPECT_EQ(digest_of("a"), digest_of("a"));
  EXPECT_NE(digest_of("a"), digest_of("b"));
  EXPECT_NE(digest_of(""), digest_of(std::string_view("\0", 1)));
  EXPECT_EQ(sizeof(Digest), 16U);
}

}  // namespace
}  // namespace tulle::control
