// SPDX-License-Identifier: Apache-2.0
// For tests only: a worker in virtual time with the settings of a small sidecar, and short ways to
// make policies, peers and requests.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/testing/sim.h"
#include "proxy/snapshot/convert.h"
#include "proxy/workload/worker.h"

namespace tulle::proxy::test {

// The least that a proxy needs; `more` is laid over it ("" removes). Without the prefix
// LINKERD2_PROXY_.
std::map<std::string, std::string> small_environment(
    const std::map<std::string, std::string>& more = {});
Config config_from(const std::map<std::string, std::string>& environment, ConfigNotes& notes,
                   unsigned cpus = 4);
Config small_config(const std::map<std::string, std::string>& more = {});

// Sockets that cannot be made: dials end in Refused, or in what is set.
class NoSockets final : public net::SocketFactory {
 public:
  Result<net::Fd> make(int family, int type) override;
  std::size_t asked = 0;
  Errc error = Errc::Refused;
};

// A worker whose control-plane state is what the test publishes.
class TestWorker {
 public:
  // `loop`: shared with another worker; one of its own if null.
  explicit TestWorker(const std::map<std::string, std::string>& more = {},
                      testing::SimLoop* loop = nullptr);
  ~TestWorker();
  Worker& worker() noexcept { return *worker_; }
  testing::SimLoop& loop() noexcept { return loop_; }
  // Where connections of this worker arrive from now on: calls `serve` with the other end of each.
  using Serve = std::function<void(Session session, std::unique_ptr<testing::PipeEnd> stream)>;
  void on_dial(Serve serve);
  // What is dialled from now on are proxies of our kind.
  void meet_tulle(bool on);
  int dials() const noexcept;
  Metrics& metrics() noexcept { return metrics_; }
  NoSockets& sockets() noexcept { return sockets_; }
  // The exposition text; what it says of one series, -1 if it is not there.
  std::string scrape();
  double value(const std::string& series);
  // What a watch for that key says from now on.
  void publish(std::uint16_t port, ServerPolicyPtr policy);
  void publish(const EndpointKey& key, EndpointSet set);
  void publish(const std::string& path, const EndpointSet& set);  // of both families
  void publish(const net::SocketAddr& target, ClientPolicyPtr policy);

 private:
  template <typename Key, typename Value>
  struct Published {
    std::map<Key, Value> state;
    std::map<Key, std::function<void(Value)>> watches;
  };
  class PipeDialer;
  std::unique_ptr<testing::SimLoop> own_loop_;
  testing::SimLoop& loop_;
  std::unique_ptr<PipeDialer> dialer_;
  Config config_;
  NoSockets sockets_;
  Metrics metrics_;
  log::Sink sink_;
  ProxyWide wide_;
  Published<std::uint16_t, ServerPolicyPtr> servers_;
  Published<net::SocketAddr, ClientPolicyPtr> clients_;
  Published<EndpointKey, std::shared_ptr<const EndpointSet>> sets_;
  ServerPolicyHub server_hub_;
  ClientPolicyHub client_hub_;
  EndpointHub endpoint_hub_;
  std::unique_ptr<WorkloadParts> parts_;
  std::unique_ptr<Worker> worker_;
};

net::SocketAddr addr(const std::string& text);
EndpointPtr endpoint(const std::string& at);
EndpointSet endpoints(const std::vector<std::string>& at);
// By mesh TLS from a proxy of our kind if `identity` is not empty.
Peer peer(const std::string& ip, const std::string& identity = "");
http::Request request(std::string_view method, std::string_view path,
                      std::string_view authority = "web",
                      std::vector<std::pair<std::string, std::string>> headers = {});

}  // namespace tulle::proxy::test
