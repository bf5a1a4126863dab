// SPDX-License-Identifier: Apache-2.0
#include "control/ports.h"

#include <gtest/gtest.h>

#include "control/testing.h"

namespace tulle::control {
namespace {

using Ranges = std::vector<std::pair<std::uint16_t, std::uint16_t>>;

k8s::Pod pod_of(std::string_view spec) {
  const std::string yaml =
      concat("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: ", spec, "\n");
  k8s::Manifest manifest = k8s::parse_manifest(yaml, k8s::Format::Yaml, "");
  EXPECT_TRUE(manifest.problems.empty());
  return std::get<k8s::Pod>(manifest.objects.at(0));
}

// Two containers, a sidecar and an init container may all use one name, each for its own port.
TEST(NamedPorts, AreAllThatHaveTheName) {
  const k8s::Pod pod = pod_of(
      "{containers: [{name: a, ports: [{name: grpc, containerPort: 1}, {name: x, containerPort: "
      "2}]}, {name: b, ports: [{name: grpc, containerPort: 3}, {name: grpc, containerPort: 4, "
      "protocol: UDP}, {containerPort: 7}]}], initContainers: [{name: s, restartPolicy: Always, "
      "ports: [{name: grpc, containerPort: 5, protocol: TCP}]}]}");
  EXPECT_EQ(named_ports(pod, "grpc").ranges(), (Ranges{{1, 1}, {3, 3}, {5, 5}}));
  EXPECT_TRUE(named_ports(pod, "none").empty());
  EXPECT_TRUE(named_ports(pod, "").empty());
  EXPECT_EQ(PortSet::from_annotation("9, grpc,none,20-21", pod).ranges(),
            (Ranges{{9, 9}, {1, 1}, {3, 3}, {5, 5}, {20, 21}}));
  EXPECT_EQ(PortSet::from_whole_annotation("9,grpc,", pod)->ranges().size(), 4U);
  EXPECT_FALSE(PortSet::from_whole_annotation("9,none", pod));
  EXPECT_TRUE(PortSet::from_whole_annotation("", pod)->empty());
}

TEST(NamedPorts, OfAServiceAreItsOwnAndThoseBehindIt) {
  k8s::Service service;
  service.spec.ports = {k8s::ServicePort{}, k8s::ServicePort{}, k8s::ServicePort{}};
  service.spec.ports[0].name = "db";
  service.spec.ports[0].port = 80;
  service.spec.ports[1].name = "other";
  service.spec.ports[1].port = 81;
  service.spec.ports[1].target_port = k8s::IntOrString{};
  service.spec.ports[1].target_port->name = "db";
  service.spec.ports[2].name = "third";
  service.spec.ports[2].port = 82;
  EXPECT_EQ(PortSet::from_annotation("db", service).ranges(), (Ranges{{80, 80}, {81, 81}}));
}

// A walk over the pod for each item would take minutes.
TEST(NamedPorts, AreFoundAtOnceInLongLists) {
  std::string containers;
  for (int i = 0; i < 3000; ++i) {
    containers += concat("{name: c", std::to_string(i), ", ports: [");
    for (int k = 0; k < 10; ++k) {
      const std::string name = k % 2 == 0 ? "http" : concat("p", std::to_string(k));
      containers += concat("{name: ", name, ", containerPort: ", std::to_string(8000 + k), "},");
    }
    containers += "]},";
  }
  const k8s::Pod pod = pod_of(concat("{containers: [", containers, "]}"));
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += concat("http,p", std::to_string(i), ",80,");
  const PortSet ports = PortSet::from_annotation(text, pod);
  EXPECT_EQ(ports.ranges().size(), 11U);  // each port once
  for (const std::uint16_t port : {80, 8000, 8001, 8009}) EXPECT_TRUE(ports.contains(port));
}

}  // namespace
}  // namespace tulle::control
