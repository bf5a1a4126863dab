// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/manifest.h"

#include <gtest/gtest.h>

namespace tulle::k8s {
namespace {

Manifest yaml(std::string_view text) { return parse_manifest(text, Format::Yaml, "x.yaml"); }
std::string problem_of(std::string_view text) {
  const Manifest manifest = yaml(text);
  return manifest.problems.empty() ? "" : manifest.problems[0].to_string();
}

constexpr std::string_view kPod = R"(
apiVersion: v1
kind: Pod
metadata:
  name: web-0
  namespace: shop
  labels: {app: web, linkerd.io/control-plane-ns: linkerd}
  annotations: {config.linkerd.io/opaque-ports: "3306,4444"}
  creationTimestamp: "2026-11-24T12:00:00Z"
  managedFields: [{manager: x, fieldsV1: {f:a: {}}}]
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-abc, controller: true}]
spec:
  serviceAccountName: web
  nodeName: n1
  containers:
  - name: web
    image: local/nginx
    ports: [{name: http, containerPort: 80}, {containerPort: 53, protocol: UDP}]
    livenessProbe: {httpGet: {path: /live, port: http}}
    readinessProbe: {tcpSocket: {port: 80}}
  - name: linkerd-proxy
    env: [{name: LINKERD2_PROXY_INBOUND_LISTEN_ADDR, value: "0.0.0.0:4143"}]
status:
  phase: Running
  podIP: 10.0.0.5
  podIPs: [{ip: 10.0.0.5}, {ip: "fd00::5"}]
  hostIP: 192.168.0.1
  conditions: [{type: Ready, status: "True"}]
)";

TEST(Manifest, ReadsAPod) {
  const Manifest manifest = yaml(kPod);
  ASSERT_TRUE(manifest.problems.empty()) << manifest.problems[0].to_string();
  ASSERT_EQ(manifest.objects.size(), 1U);
  const Pod& pod = std::get<Pod>(manifest.objects[0]);
  EXPECT_EQ(pod.meta.ns, "shop");
  EXPECT_EQ(pod.meta.labels.get("app"), "web");
  EXPECT_EQ(pod.meta.created->unix_seconds, 1795521600);
  ASSERT_EQ(pod.meta.owners.size(), 1U);
  EXPECT_EQ(pod.meta.owners[0].kind, "ReplicaSet");
  EXPECT_EQ(pod.spec.service_account, "web");
  ASSERT_EQ(pod.spec.containers.size(), 2U);
  EXPECT_EQ(pod.spec.containers[0].ports[0].name, "http");
  EXPECT_EQ(pod.spec.containers[0].liveness->http_get->port.name, "http");
  EXPECT_FALSE(pod.spec.containers[0].readiness->http_get);
  EXPECT_EQ(pod.spec.containers[1].env[0].value, "0.0.0.0:4143");
  ASSERT_EQ(pod.status.pod_ips.size(), 2U);
  EXPECT_EQ(pod.status.pod_ips[1].ip.to_string(), "fd00::5");
  EXPECT_EQ(pod.status.conditions[0].status, "True");
}

TEST(Manifest, CompletesObjects) {
  const Manifest manifest =
      yaml("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {podIP: 10.0.0.1}\n");
  ASSERT_EQ(manifest.objects.size(), 1U);
  const Pod& pod = std::get<Pod>(manifest.objects[0]);
  EXPECT_EQ(pod.meta.ns, "default");
  ASSERT_EQ(pod.status.pod_ips.size(), 1U);
}

TEST(Manifest, KindMayComeLast) {
  const Manifest manifest =
      yaml("metadata: {name: a}\nspec: {ports: [{port: 80}]}\nkind: Service\napiVersion: v1\n");
  ASSERT_EQ(manifest.objects.size(), 1U);
  EXPECT_EQ(std::get<Service>(manifest.objects[0]).spec.ports[0].port, 80);
  // Problems in fields that came first still have their line.
  EXPECT_EQ(problem_of("metadata: {name: a}\nspec:\n  ports: x\nkind: Service\napiVersion: v1\n"),
            "x.yaml:3: document 1: spec.ports: must be a list, not text");
  EXPECT_EQ(problem_of("metadata: {name: a}\nkind: Service\nmetadata: {name: b}\napiVersion: v1\n"),
            "x.yaml:3: document 1: metadata: occurs twice");
}

TEST(Manifest, ReadsSeveralDocumentsAndLists) {
  const Manifest manifest = yaml(R"(
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: a}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: c}, addressType: IPv4}
---
apiVersion: v1
kind: PodList
items:
- metadata: {name: p}
---
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: s}
spec: {port: http, podSelector: {}}
)");
  ASSERT_TRUE(manifest.problems.empty()) << manifest.problems[0].to_string();
  ASSERT_EQ(manifest.objects.size(), 4U);
  EXPECT_TRUE(std::holds_alternative<EndpointSlice>(manifest.objects[1]));
  EXPECT_TRUE(std::holds_alternative<Pod>(manifest.objects[2]));
  EXPECT_TRUE(std::holds_alternative<Server>(manifest.objects[3]));
  ASSERT_EQ(manifest.ignored.size(), 1U);
  EXPECT_EQ(manifest.ignored[0].path, "v1 ConfigMap");
}

TEST(Manifest, ReadsJson) {
  const Manifest manifest = parse_manifest(
      R"({"apiVersion":"v1","kind":"ServiceList","items":[{"metadata":{"name":"a","namespace":"n"},
          "spec":{"clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1","fd00::1"],"ports":[{"port":80,"targetPort":"http"}]}}]})",
      Format::Json, "x.json");
  ASSERT_TRUE(manifest.problems.empty()) << manifest.problems[0].to_string();
  ASSERT_EQ(manifest.objects.size(), 1U);
  const Service& service = std::get<Service>(manifest.objects[0]);
  EXPECT_EQ(service.addresses().size(), 2U);
  EXPECT_EQ(service.spec.ports[0].target_port->name, "http");
}

TEST(Manifest, ADocumentWithAProblemGivesNothingTheOthersDo) {
  const Manifest manifest = yaml(
      "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: v1\nkind: "
      "List\nitems:\n"
      "- {apiVersion: v1, kind: Service, metadata: {name: b}}\n"
      "- {apiVersion: v1, kind: Service, metadata: {name: 7}}\n---\n"
      "apiVersion: v1\nkind: Service\nmetadata: {name: c}\n");
  ASSERT_EQ(manifest.problems.size(), 1U);
  EXPECT_EQ(manifest.problems[0].to_string(),
            "x.yaml:9: document 2: items[1].metadata.name: must be text, not a number (write it in "
            "quotes)");
  ASSERT_EQ(manifest.objects.size(), 2U);
  EXPECT_EQ(meta_of(manifest.objects[1]).name, "c");
}

TEST(Manifest, RefusesWhatKubernetesWouldRefuse) {
  const auto service = [](std::string_view spec) {
    return concat("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: ", spec, "\n");
  };
  const auto policy = [](std::string_view kind, std::string_view spec) {
    return concat("apiVersion: policy.linkerd.io/v1alpha1\nkind: ", kind,
                  "\nmetadata: {name: a, namespace: shop}\nspec: ", spec, "\n");
  };
  const struct {
    std::string text;
    std::string_view problem;
  } cases[] = {
      {"kind: Pod\nmetadata: {name: a}\n", "has no apiVersion"},
      {"apiVersion: v1\n", "has no kind"},
      {"apiVersion: v1\nkind: Pod\n", "metadata: is required"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {}\n", "metadata.name: is required"},
      {"apiVersion: v1\nkind: ConfigM\n", "metadata: is required"},
      {"apiVersion: v1\nkind: List\n", "items: is required"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\n", "metadata.name: must be lower-case"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nstatus: {podIP: x}\n",
       "status.podIP: must be an IP"},
      {service("{ports: [{port: 0}]}"), "spec.ports[0].port: must be a port from 1 to 65535"},
      {service("{ports: [{port: 1}, {port: 2, name: b}]}"),
       "spec.ports[0].name: is required where"},
      {service("{ports: [{port: 1, name: b}, {port: 2, name: b}]}"),
       "spec.ports[1].name: occurs twice"},
      {service("{clusterIP: 10.0.0}"), "spec.clusterIP: must be an IP address or None"},
      {service("{type: Magic}"), "spec.type: \"Magic\" is not one of ClusterIP, NodePort"},
      {"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: "
       "IPv4\n"
       "endpoints: [{addresses: ['fd00::1']}]\n",
       "endpoints[0].addresses[0]: must be an address of type IPv4"},
      {policy("Server", "{port: 80}"), "spec: must have exactly one of podSelector"},
      {policy("Server", "{podSelector: {}}"), "spec.port: is required"},
      {policy("Server", "{port: 80, podSelector: {}, proxyProtocol: HTTP/3}"),
       "spec.proxyProtocol: \"HTTP/3\" is not one of unknown, HTTP/1"},
      {policy("Server", "{port: 80, podSelector: {}, accessPolicy: allow}"),
       "spec.accessPolicy: \"allow\" is not"},
      {policy("Server", "{port: 80, podSelector: {matchExpressions: [{key: a, operator: Like}]}}"),
       "spec.podSelector.matchExpressions[0].operator: \"Like\" is not one of"},
      {policy("AuthorizationPolicy", "{targetRef: {kind: Service, name: a}}"),
       "spec.targetRef: must be a Server"},
      {policy("AuthorizationPolicy", "{targetRef: {kind: Namespace, name: other}}"),
       "spec.targetRef.name: must be the policy's own namespace"},
      {policy("AuthorizationPolicy",
              "{targetRef: {group: policy.linkerd.io, kind: Server, name: a}, "
              "requiredAuthenticationRefs: "
              "[{kind: ServiceAccount, name: a}, {kind: ServiceAccount, name: b}]}"),
       "spec.requiredAuthenticationRefs: must have at most one MeshTLS"},
      {policy("AuthorizationPolicy",
              "{targetRef: {group: policy.linkerd.io, kind: Server, name: a}, "
              "requiredAuthenticationRefs: "
              "[{group: policy.linkerd.io, kind: Oidc, name: a}]}"),
       "spec.requiredAuthenticationRefs[0]: must be a MeshTLSAuthentication"},
      {policy("MeshTLSAuthentication", "{}"), "spec: must have exactly one of identities"},
      {policy("MeshTLSAuthentication", "{identities: ['UPPER.case']}"),
       "spec.identities[0]: is not an identity"},
      {policy("MeshTLSAuthentication", "{identities: ['spiffe://td/a//b']}"),
       "spec.identities[0]: is not"},
      {policy("MeshTLSAuthentication",
              "{identityRefs: [{kind: Namespace, name: a, namespace: b}]}"),
       "spec.identityRefs[0].namespace: must be absent"},
      {policy("AuthorizationPolicy",
              "{targetRef: {group: policy.linkerd.io, kind: Server, name: a}}"),
       "spec.requiredAuthenticationRefs: is required"},
      {policy("AuthorizationPolicy",
              "{targetRef: {group: policy.linkerd.io, kind: Server, name: a}, "
              "requiredAuthenticationRefs: }"),
       "spec.requiredAuthenticationRefs: is required"},
      {policy("NetworkAuthentication", "{networks: []}"), "spec.networks: must not be empty"},
      {policy("NetworkAuthentication", "{networks: [{}]}"), "spec.networks[0].cidr: is required"},
      {policy("NetworkAuthentication", "{networks: [{cidr: 10.0.0.0/8}, {cdir: 10.0.0.0/8}]}"),
       "spec.networks[1].cidr: is required"},
      {policy("NetworkAuthentication", "{networks: [{cidr: null}]}"),
       "spec.networks[0].cidr: is required"},
      {policy("ServerAuthorization",
              "{server: {name: a}, client: {unauthenticated: true, networks: [{except: "
              "[10.0.0.0/8]}]}}"),
       "spec.client.networks[0].cidr: is required"},
      {policy("EgressNetwork", "{trafficPolicy: Allow, networks: [{}]}"),
       "spec.networks[0].cidr: is required"},
      {policy("NetworkAuthentication", "{networks: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}"),
       "spec.networks[0].except[0]: is outside"},
      {policy("NetworkAuthentication", "{networks: [{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}]}"),
       "spec.networks[0].except[0]: takes away"},
      {policy("ServerAuthorization", "{server: {name: a, selector: {}}}"),
       "spec.server: must have exactly"},
      {policy("ServerAuthorization",
              "{server: {name: a}, client: {unauthenticated: true, meshTLS: {}}}"),
       "spec.client: must not have both"},
      {policy("HTTPLocalRateLimitPolicy",
              "{targetRef: {group: policy.linkerd.io, kind: Server, name: a}, total: "
              "{requestsPerSecond: 5}, "
              "identity: {requestsPerSecond: 6}}"),
       "spec.identity.requestsPerSecond: must be from 1 to the total"},
      {policy("EgressNetwork", "{trafficPolicy: Maybe}"),
       "spec.trafficPolicy: \"Maybe\" is not one of Allow, Deny"},
  };
  for (const auto& c : cases) {
    const std::string problem = problem_of(c.text);
    EXPECT_NE(problem.find(c.problem), std::string::npos) << c.text << "gave: " << problem;
  }
}

TEST(Manifest, AcceptsEveryFormOfIdentity) {
  for (const auto identity :
       {"*", "*.n.serviceaccount.identity.linkerd.cluster.local", "web.n.example",
        "spiffe://root.linkerd.cluster.local/External-1/a_b"}) {
    EXPECT_EQ(
        problem_of(concat("apiVersion: policy.linkerd.io/v1alpha1\nkind: MeshTLSAuthentication\n"
                          "metadata: {name: a}\nspec: {identities: ['",
                          std::string_view(identity), "']}\n")),
        "");
  }
}

// A file that is cut anywhere gives an error or fewer fields, never a crash.
TEST(Manifest, SurvivesEveryTruncation) {
  for (std::size_t size = 0; size < kPod.size(); ++size) {
    const Manifest manifest = yaml(kPod.substr(0, size));
    EXPECT_LE(manifest.objects.size() + manifest.problems.size(), 1U);
  }
}

TEST(Manifest, RefusesHugeFiles) {
  const std::string huge(kMaxDocumentBytes + 1, ' ');
  EXPECT_EQ(problem_of(huge), "x.yaml:1: document 1: larger than 16 MiB");
}

// The port that `inject` and kubectl write into the cluster.
TEST(Manifest, PortsInOctalAreThoseOfKubectl) {
  const Manifest manifest = parse_manifest(
      "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: s}\nspec: "
      "{podSelector: {}, port: 0120}\n",
      Format::Yaml, "a.yaml");
  ASSERT_EQ(manifest.objects.size(), 1U);
  EXPECT_EQ(std::get<Server>(manifest.objects[0]).spec.port.number, 80);
}

}  // namespace
}  // namespace tulle::k8s
