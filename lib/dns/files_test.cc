// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace tulle::dns {
namespace {

TEST(ResolvConf, AsKubernetesWritesIt) {
  const ResolvConf conf = parse_resolv_conf(
      "search ns.svc.cluster.local svc.cluster.local cluster.local\n"
      "nameserver 10.43.0.10\n"
      "options ndots:5\n");
  EXPECT_EQ(conf.nameservers, std::vector{*net::IpAddr::parse("10.43.0.10")});
  EXPECT_EQ(conf.search, (std::vector<std::string>{"ns.svc.cluster.local", "svc.cluster.local",
                                                   "cluster.local"}));
  EXPECT_EQ(conf.ndots, 5U);
  EXPECT_FALSE(conf.rotate);
}

TEST(ResolvConf, AnEmptyFileAsksThisMachine) {
  const ResolvConf conf = parse_resolv_conf("");
  EXPECT_EQ(conf.nameservers, std::vector{*net::IpAddr::parse("127.0.0.1")});
  EXPECT_TRUE(conf.search.empty());
  EXPECT_EQ(conf.ndots, 1U);
}

TEST(ResolvConf, TakesTheLastSearchAndThreeServersAndClampsNumbers) {
  const ResolvConf conf = parse_resolv_conf(
      "# a comment\n; another\r\n"
      "domain a.example\nsearch . B.Example. bad..name\n"
      "nameserver fe80::1%eth0\nnameserver nonsense\nnameserver\n"
      "nameserver\tfd00::1\r\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"
      "options rotate use-vc timeout:99 attempts:0 ndots:99 ndots:x edns0\n"
      "sortlist 1.2.3.4");
  EXPECT_EQ(conf.search, std::vector<std::string>{"b.example"});
  ASSERT_EQ(conf.nameservers.size(), 3U);
  EXPECT_EQ(conf.nameservers[0].to_string(), "fd00::1");
  EXPECT_EQ(conf.nameservers[2].to_string(), "10.0.0.2");
  EXPECT_TRUE(conf.rotate);
  EXPECT_TRUE(conf.use_tcp);
  EXPECT_EQ(conf.timeout, 30s);
  EXPECT_EQ(conf.attempts, 1U);
  EXPECT_EQ(conf.ndots, 15U);
}

TEST(Hosts, FindsNamesInBothFamilies) {
  const Hosts hosts = Hosts::parse(
      "127.0.0.1 localhost localhost.localdomain # the machine\n"
      "::1\tlocalhost\n"
      "# 10.0.0.9 hidden\n"
      "10.0.0.1 Web web.ns.\n10.0.0.1 web\nnonsense web\n10.0.0.2\n");
  ASSERT_NE(hosts.find("localhost"), nullptr);
  EXPECT_EQ(hosts.find("localhost")->size(), 2U);
  ASSERT_NE(hosts.find("web"), nullptr);
  EXPECT_EQ(hosts.find("web")->size(), 1U);
  EXPECT_NE(hosts.find("web.ns"), nullptr);
  EXPECT_EQ(hosts.find("hidden"), nullptr);
  EXPECT_EQ(hosts.size(), 4U);
}

TEST(WatchedFile, NoticesChangesReplacementAndRemoval) {
  char path[] = "/tmp/tulle_dns_XXXXXX";
  const int fd = ::mkstemp(path);
  ASSERT_GE(fd, 0);
  ::close(fd);
  WatchedFile file(path);
  EXPECT_TRUE(file.refresh());
  EXPECT_FALSE(file.refresh());
  std::ofstream(path) << "one";
  EXPECT_TRUE(file.refresh());
  EXPECT_EQ(file.text(), "one");
  const std::string other = std::string(path) + ".new";  // as editors and kubelets replace files
  std::ofstream(other) << "two";
  ASSERT_EQ(std::rename(other.c_str(), path), 0);
  EXPECT_TRUE(file.refresh());
  EXPECT_EQ(file.text(), "two");
  ASSERT_EQ(::unlink(path), 0);
  EXPECT_TRUE(file.refresh());
  EXPECT_EQ(file.text(), "");
  EXPECT_FALSE(file.refresh());
}

}  // namespace
}  // namespace tulle::dns
