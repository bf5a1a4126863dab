// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/control_name.h"

#include <gtest/gtest.h>

#include "lib/dns/testing.h"
#include "lib/testing/sim.h"

namespace tulle::dns {
namespace {

class ControlNameTest : public ::testing::Test {
 protected:
  void watch(std::string host, std::uint16_t port = 8086) {
    ControlNameOptions options;
    options.host = std::move(host);
    options.port = port;
    options.on_look_up = [this](bool srv, bool found) {
      look_ups += srv ? 'S' : 'A';
      look_ups += found ? '+' : '-';
    };
    name = std::make_unique<ControlName>(loop.get(), resolver, std::move(options));
    scope.spawn(name->watch([this](const std::vector<net::SocketAddr>& addresses) {
      std::string text;
      for (const net::SocketAddr& addr : addresses)
        text += (text.empty() ? "" : " ") + addr.to_string();
      published.push_back(text);
    }));
  }

  testing::SimLoop loop;
  FakeExchange exchange{loop.get()};
  TempFile resolv_conf{"nameserver 10.9.0.1\n"};
  TempFile hosts{""};
  Resolver resolver{loop.get(),
                    exchange,
                    {.resolv_conf_path = resolv_conf.path(), .hosts_path = hosts.path()},
                    1};
  std::unique_ptr<ControlName> name;
  std::vector<std::string> published;
  std::string look_ups;
  net::TaskScope scope;
};

using Texts = std::vector<std::string>;

TEST(ControlName, ReadsAddressesOfPods) {
  EXPECT_EQ(ControlName::address_of_target("10-42-0-5.dst.ns.svc.cluster.local")->to_string(),
            "10.42.0.5");
  EXPECT_EQ(ControlName::address_of_target("fd00-0--12.dst")->to_string(), "fd00::12");
  EXPECT_EQ(ControlName::address_of_target("fd00--12")->to_string(), "fd00::12");
  for (const char* bad : {"", "web-0.dst.ns", "10-42-0.dst", "10-42-0-256", "."}) {
    EXPECT_FALSE(ControlName::address_of_target(bad)) << bad;
  }
}

TEST_F(ControlNameTest, SrvRecordsNamePods) {
  exchange.add("dst.ns", Type::Srv, 30, "8086 10-0-0-2.dst.ns");
  exchange.add("dst.ns", Type::Srv, 30, "8086 10-0-0-1.dst.ns");
  exchange.add("dst.ns", Type::Srv, 30, "9990 10-0-0-1.dst.ns");
  watch("dst.ns.");
  loop.advance(1s);
  EXPECT_EQ(published, Texts{"10.0.0.1:8086 10.0.0.2:8086"});
  EXPECT_EQ(look_ups, "S+");
}

TEST_F(ControlNameTest, SrvPortsAreTakenWhenNoneIsOurs) {
  exchange.add("dst.ns", Type::Srv, 30, "18086 10-0-0-2.dst.ns");
  watch("dst.ns.");
  loop.advance(1s);
  EXPECT_EQ(published, Texts{"10.0.0.2:18086"});
}

TEST_F(ControlNameTest, TargetsWithHostNamesFallBackToAddresses) {
  exchange.add("dst.ns", Type::Srv, 30, "8086 pod-0.dst.ns");
  exchange.add("dst.ns", Type::A, 30, "10.0.0.3");
  exchange.add("dst.ns", Type::Aaaa, 30, "fd00::3");
  watch("dst.ns.");
  loop.advance(1s);
  EXPECT_EQ(published, Texts{"10.0.0.3:8086 [fd00::3]:8086"});
  EXPECT_EQ(look_ups, "S+A+");
}

TEST_F(ControlNameTest, FollowsChangesAtTheirTtlButNotTooOften) {
  exchange.add("dst", Type::A, 1, "10.0.0.1");
  watch("dst.");
  loop.advance(4s);
  exchange.clear();
  exchange.add("dst", Type::A, 60, "10.0.0.2");
  EXPECT_EQ(published, Texts{"10.0.0.1:8086"});
  loop.advance(2s);
  EXPECT_EQ(published, (Texts{"10.0.0.1:8086", "10.0.0.2:8086"}));
  exchange.clear();
  exchange.add("dst", Type::A, 60, "10.0.0.3");
  loop.advance(50s);
  EXPECT_EQ(published.size(), 2U);
  loop.advance(15s);
  EXPECT_EQ(published.size(), 3U);
  loop.advance(300s);
  EXPECT_EQ(published.size(), 3U);  // the same again is not news
}

TEST_F(ControlNameTest, WhatWasFoundStaysThroughAnOutage) {
  exchange.add("dst", Type::A, 5, "10.0.0.1");
  watch("dst.");
  loop.advance(1s);
  exchange.handler = [](const FakeExchange::Call&) -> Result<Message> {
    return Error{Errc::Timeout, "test"};
  };
  loop.advance(1h);
  EXPECT_EQ(published, Texts{"10.0.0.1:8086"});
  const std::size_t calls = exchange.calls.size();
  loop.advance(1h);
  EXPECT_LT(exchange.calls.size() - calls, 3600U);  // and it does not hammer
  exchange.handler = nullptr;
  exchange.clear();
  exchange.add("dst", Type::A, 5, "10.0.0.9");
  loop.advance(60s);
  EXPECT_EQ(published, (Texts{"10.0.0.1:8086", "10.0.0.9:8086"}));
}

TEST_F(ControlNameTest, AnAbsenceIsBelievedForItsTtl) {
  watch("dst.");
  loop.advance(29s);
  EXPECT_EQ(look_ups, "S-A-");
  exchange.add("dst", Type::A, 60, "10.0.0.2");
  loop.advance(3s);
  EXPECT_EQ(published, Texts{"10.0.0.2:8086"});
}

TEST_F(ControlNameTest, AddressesNeedNoDns) {
  watch("fd00::5");
  EXPECT_EQ(published, Texts{"[fd00::5]:8086"});
  EXPECT_TRUE(scope.empty());
  EXPECT_TRUE(exchange.calls.empty());
}

TEST_F(ControlNameTest, LocalhostNeedsNoDns) {
  hosts.write("127.0.0.1 localhost\n");
  watch("localhost.");
  loop.advance(1min);
  EXPECT_EQ(published, Texts{"127.0.0.1:8086"});
  EXPECT_TRUE(exchange.calls.empty());
}

}  // namespace
}  // namespace tulle::dns
