// SPDX-License-Identifier: Apache-2.0
// Many proxies in one process, as far as a control plane sees them: each has a certificate, two
// mesh-TLS connections, and six streams that it opens again when they end. Says on its output, one
// line each, what control_scale.py wants to know:
//   open STREAMS                     every half second, when the number has changed
//   marker ADDRESS COUNT MONOTONIC   an endpoint in 172.31.0.0/16 has come to COUNT streams by then
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "lib/base/text.h"
#include "lib/grpc/client.h"
#include "lib/h2/connection.h"
#include "lib/net/loop.h"
#include "lib/net/socket.h"
#include "lib/tls/stream.h"
#include "proto/destination.pb.h"
#include "proto/inbound.pb.h"
#include "proto/outbound.pb.h"

namespace {

using namespace tulle;  // NOLINT: this is the program

constexpr std::string_view kServerName =
    "linkerd-destination.linkerd.serviceaccount.identity.linkerd.cluster.local";

struct Options {
  net::SocketAddr destination, policy;
  std::string issuer;
  int proxies = 0;
  int pods_of_namespace = 100;
  int services_of_namespace = 20;
  bool tls = true;
};

// What all of them share.
struct Fleet {
  net::Loop& loop;
  net::SocketFactory& sockets;
  const Options& options;
  tls::CredentialsPtr credentials;
  long open = 0;
  std::map<std::uint32_t, int> markers;
};

std::string file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

double monotonic() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

tls::CredentialsPtr make_credentials(const std::string& folder) {
  const auto chain = tls::Certificate::from_pem(file(folder + "/tls.crt"));
  const auto key = tls::PrivateKey::from_pem(file(folder + "/tls.key"));
  auto anchors = tls::Certificate::from_pem(file(folder + "/ca.crt"));
  if (!chain || !key || !anchors) return nullptr;
  const tls::Issuer issuer{chain->front(), *key, {}};
  const tls::PrivateKey own = tls::PrivateKey::generate();
  const auto csr = tls::Csr::from_der(
      as_bytes(tls::make_csr(own, "default.ns-0.serviceaccount.identity.linkerd.cluster.local")));
  const auto leaf = tls::sign_leaf(issuer, *csr, {});
  if (!leaf) return nullptr;
  auto made = tls::Credentials::make(
      {*anchors, tls::Credentials::Own{own, {*leaf, chain->front()}}, {}, true});
  return made ? *made : nullptr;
}

// One stream of an open connection; `open` while it lives.
template <typename Method>
net::Task<void> read_all(Fleet& fleet, grpc::Channel& channel, typename Method::Request request,
                         net::Signal& ended) {
  auto stream = grpc::open_stream<Method>(channel, request);
  bool first = true;
  for (;;) {
    auto message = co_await stream.read();
    if (!message || !message->has_value()) break;
    if (first) ++fleet.open;
    first = false;
    if constexpr (std::is_same_v<typename Method::Response, pb::destination::Update>) {
      const auto& update = **message;
      if (!update.add) continue;
      for (const auto& endpoint : update.add->addrs) {
        const std::uint32_t ip = endpoint.addr->ip->ipv4;
        if (ip >> 16 != (172U << 8 | 31U)) continue;
        std::printf("marker %u.%u.%u.%u %d %.6f\n", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
                    ip & 255, ++fleet.markers[ip], monotonic());
      }
    }
  }
  if (!first) --fleet.open;
  ended.notify_all();
}

net::Task<Result<std::unique_ptr<h2::ClientConnection>>> dial(Fleet& fleet, net::SocketAddr to) {
  const Deadline by = fleet.loop.after(30s);
  const net::TcpOptions tcp_options;
  auto tcp = co_await net::connect_tcp(fleet.loop, fleet.sockets, to, tcp_options, by);
  if (!tcp) co_return tcp.error();
  net::StreamPtr stream = std::move(*tcp);
  if (fleet.options.tls) {
    tls::ClientOptions options{std::string(kServerName), std::string(kServerName)};
    Result<std::unique_ptr<tls::TlsStream>> secured =
        co_await tls::connect_tls(std::move(stream), fleet.credentials, std::move(options), by);
    if (!secured) co_return secured.error();
    stream = std::move(*secured);
  }
  h2::ClientOptions options;
  options.ping_interval = 10s;
  options.ping_timeout = 3s;
  co_return h2::ClientConnection::make(std::move(stream), options);
}

std::string service_ip(int ns, int service) {
  return concat("10.96.", std::to_string(ns), ".", std::to_string(service + 1));
}

// A connection to one port, made again whenever a stream of it has ended.
net::Task<void> be_half_a_proxy(Fleet& fleet, int index, bool destination) {
  const int ns = index / fleet.options.pods_of_namespace;
  const int service = index % fleet.options.services_of_namespace;
  const int other = (service + 1) % fleet.options.services_of_namespace;
  const std::string ns_name = concat("ns-", std::to_string(ns));
  const std::string pod = concat("pod-", std::to_string(ns), "-",
                                 std::to_string(index % fleet.options.pods_of_namespace));
  const std::string context =
      concat(R"({"ns":")", ns_name, R"(","nodeName":"node-1","pod":")", pod, "\"}");
  const std::string workload = concat(R"({"ns":")", ns_name, R"(","pod":")", pod, "\"}\n");
  co_await net::sleep_for(fleet.loop, 2ms * index);  // not all at once
  for (;;) {
    {
      auto connection =
          co_await dial(fleet, destination ? fleet.options.destination : fleet.options.policy);
      if (connection) {
        net::Signal ended(fleet.loop);
        grpc::Channel channel(fleet.loop, **connection, {.authority = "control:80"});
        net::TaskScope scope;
        if (destination) {
          const auto ask = [&](std::string path) {
            return pb::destination::GetDestination{"", std::move(path), context};
          };
          using Api = pb::destination::Destination;
          scope.spawn(read_all<Api::Get>(
              fleet, channel,
              ask(concat("svc-", std::to_string(service), ".", ns_name, ".svc.cluster.local:80")),
              ended));
          scope.spawn(read_all<Api::GetProfile>(
              fleet, channel, ask(concat(service_ip(ns, service), ":80")), ended));
          scope.spawn(read_all<Api::GetProfile>(fleet, channel,
                                                ask(concat(service_ip(ns, other), ":80")), ended));
        } else {
          using Inbound = pb::inbound::InboundServerPolicies;
          scope.spawn(read_all<Inbound::WatchPort>(fleet, channel, {workload, 8080}, ended));
          scope.spawn(read_all<Inbound::WatchPort>(fleet, channel, {workload, 4191}, ended));
          pb::outbound::TrafficSpec spec;
          spec.source_workload = workload;
          auto& addr = spec.set_addr();
          addr.ip.make().set_ipv4(net::IpAddr::parse(service_ip(ns, service))->v4_value());
          addr.port = 80;
          scope.spawn(read_all<pb::outbound::OutboundPolicies::Watch>(fleet, channel,
                                                                      std::move(spec), ended));
        }
        co_await ended.wait();
      }
    }
    co_await net::sleep_for(fleet.loop, 200ms);
  }
}

net::Task<void> report(Fleet& fleet) {
  long last = -1;
  for (;;) {
    if (fleet.open != last) std::printf("open %ld\n", last = fleet.open);
    co_await net::sleep_for(fleet.loop, 500ms);
  }
}

bool parse(int argc, char** argv, Options& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals), value = argument.substr(equals + 1);
    if (name == "--issuer") {
      out.issuer = value;
    } else if (name == "--tls") {
      out.tls = value == "true";
    } else if (name == "--destination" || name == "--policy") {
      const auto address = net::SocketAddr::parse(value);
      if (!address) return false;
      (name == "--policy" ? out.policy : out.destination) = *address;
    } else {
      const auto number = parse_number<int>(value);
      if (!number) return false;
      if (name == "--proxies") out.proxies = *number;
      if (name == "--pods-of-namespace") out.pods_of_namespace = *number;
      if (name == "--services-of-namespace") out.services_of_namespace = *number;
    }
  }
  return out.proxies > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs("usage: control_fleet --destination=ADDR --policy=ADDR --issuer=DIR --proxies=N\n",
               stderr);
    return 64;
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  auto loop = net::Loop::create();
  if (!loop) return 71;
  net::HostSockets sockets;
  Fleet fleet{**loop, sockets, options, options.tls ? make_credentials(options.issuer) : nullptr,
              0,      {}};
  if (options.tls && fleet.credentials == nullptr) {
    std::fputs("control_fleet: the issuer cannot be read\n", stderr);
    return 71;
  }
  net::TaskScope scope;
  for (int i = 0; i < options.proxies; ++i) {
    scope.spawn(be_half_a_proxy(fleet, i, true));
    scope.spawn(be_half_a_proxy(fleet, i, false));
  }
  scope.spawn(report(fleet));
  for (;;) (*loop)->run();
}
