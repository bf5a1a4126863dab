// SPDX-License-Identifier: Apache-2.0
#include "control/names.h"

#include <gtest/gtest.h>

#include "control/ports.h"

namespace tulle::control {
namespace {

TEST(Authority, Parses) {
  const struct {
    std::string_view text, host;
    std::uint16_t port;
  } good[] = {{"web.shop.svc.cluster.local:8080", "web.shop.svc.cluster.local", 8080},
              {"web", "web", 80},
              {"WEB.Shop.", "web.shop", 80},
              {"web.shop.:80", "web.shop", 80},
              {"10.0.0.1", "10.0.0.1", 80},
              {"10.0.0.1:443", "10.0.0.1", 443},
              {"[fd00::1]:443", "fd00::1", 443},
              {"[fd00::1]", "fd00::1", 80}};
  for (const auto& c : good) {
    const auto authority = parse_authority(c.text);
    ASSERT_TRUE(authority) << c.text;
    EXPECT_EQ(authority->ip() != nullptr ? authority->ip()->to_string() : authority->name(),
              c.host);
    EXPECT_EQ(authority->port, c.port);
  }
  for (const auto text :
       {"", ":80", "web:", "web:0", "web:65536", "web:8x", "a b:80", "a/b", "[fd00::1",
        "[fd00::1]80", "fd00::1:80", "[web]:80", "a..b", "user@web:80", "web:80:81"}) {
    EXPECT_FALSE(parse_authority(text)) << text;
  }
}

TEST(ServiceName, NeedsTheWholeName) {
  EXPECT_EQ(parse_service_name("web.shop.svc.cluster.local", "cluster.local"),
            (ServiceName{"", "web", "shop"}));
  EXPECT_EQ(parse_service_name("web-0.web.shop.svc.cluster.local", "cluster.local"),
            (ServiceName{"web-0", "web", "shop"}));
  for (const auto name :
       {"web", "web.shop", "web.shop.svc", "shop.svc.cluster.local", "a.b.c.d.svc.cluster.local",
        "web.shop.svc.other.domain", "web.shop.pod.cluster.local"}) {
    EXPECT_FALSE(parse_service_name(name, "cluster.local")) << name;
  }
}

TEST(PolicyName, MayOmitTheDomain) {
  for (const auto name : {"web.shop.svc", "web.shop.svc.cluster.local"}) {
    EXPECT_EQ(parse_policy_name(name, "cluster.local"), (ServiceName{"", "web", "shop"})) << name;
  }
  for (const auto name :
       {"web", "web.shop", "x.web.shop.svc", "web.shop.svc.example.com", "example.com"}) {
    EXPECT_FALSE(parse_policy_name(name, "cluster.local")) << name;
  }
}

TEST(Context, IsNeverAnError) {
  const ClientContext context =
      parse_context("{\"ns\":\"shop\", \"nodeName\":\"n1\", \"pod\":\"web-0\"}\n");
  EXPECT_EQ(context.ns, "shop");
  EXPECT_EQ(context.node, "n1");
  EXPECT_EQ(context.pod, "web-0");
  EXPECT_EQ(parse_context("ns:shop").ns, "shop");
  for (const auto text : {"", "{", "[1]", "{\"ns\":1}", "shop"})
    EXPECT_EQ(parse_context(text).ns, "");
}

TEST(Workload, TakesThreeForms) {
  EXPECT_EQ(parse_workload("{\"ns\":\"shop\", \"pod\":\"web-0\"}\n")->pod, "web-0");
  EXPECT_EQ(parse_workload("{\"ns\":\"shop\",\"external_workload\":\"vm\"}")->external, "vm");
  EXPECT_EQ(parse_workload("shop:web-0")->ns, "shop");
  for (const auto text :
       {"", ":", "shop:", ":web", "a:b:c", "{}", "{\"ns\":\"a\"}", "{\"pod\":\"a\"}",
        "{\"ns\":\"a\",\"pod\":\"b\",\"external_workload\":\"c\"}",
        "{\"ns\":\"a\",\"pod\":\"b\"} x"}) {
    EXPECT_FALSE(parse_workload(text)) << text;
  }
}

TEST(PortSet, IsStrictForFlagsAndLenientForAnnotations) {
  const auto set = PortSet::parse("25, 8000-8010,");
  ASSERT_TRUE(set);
  EXPECT_TRUE(set->contains(25));
  EXPECT_TRUE(set->contains(8000));
  EXPECT_TRUE(set->contains(8010));
  EXPECT_FALSE(set->contains(8011));
  EXPECT_TRUE(PortSet::parse("")->empty());
  for (const auto text : {"x", "1,,2", "10-1", "70000", "1-", "-1", "1 2"}) {
    EXPECT_FALSE(PortSet::parse(text)) << text;
  }
  k8s::Pod pod;
  pod.spec.containers.edit().push_back(
      {.name = "db", .ports = {{.name = "mysql", .container_port = 3306}}});
  const PortSet lenient = PortSet::from_annotation("mysql, nope, 10-1, 53", pod);
  EXPECT_TRUE(lenient.contains(3306));
  EXPECT_TRUE(lenient.contains(53));
  EXPECT_FALSE(lenient.contains(10));
}

}  // namespace
}  // namespace tulle::control
