// SPDX-License-Identifier: Apache-2.0
#include "cli/scrape.h"

#include <thread>

#include "cli/check/view.h"
#include "lib/base/text.h"
#include "lib/http1/connection.h"
#include "lib/net/loop.h"
#include "lib/net/socket.h"
#include "lib/net/task.h"
#include "lib/tls/names.h"

namespace tulle::cli {
namespace {

constexpr std::uint16_t kAdminPort = 4191;
constexpr std::size_t kMaxBody = std::size_t{64} * 1024 * 1024;
constexpr std::string_view kIdentityVariable = "LINKERD2_PROXY_IDENTITY_LOCAL_NAME";

// The body of a GET on the pod's own loopback; "" if the proxy does not answer.
net::Task<std::string> get(net::Loop& loop, std::string netns, std::string path) {
  std::string text;
  const auto sockets = net::NamespaceSockets::open(netns.c_str());
  if (!sockets) co_return text;
  const net::SocketAddr to{*net::IpAddr::parse("127.0.0.1"), kAdminPort};
  const Deadline by = loop.after(5s);
  const net::TcpOptions options;
  auto stream = co_await net::connect_tcp(loop, **sockets, to, options, by);
  if (!stream) co_return text;
  const auto client = http1::ClientConnection::make(std::move(*stream));
  http::Request request;
  request.method = "GET";
  request.authority = "localhost:4191";
  request.path = path;
  request.headers.add("host", "localhost:4191");
  auto response = co_await client->send(std::move(request), by);
  if (!response || response->status != 200) co_return text;
  http::BodyReader& body = response->body;
  while (!body.ended()) {
    if (body.failure() != nullptr || text.size() > kMaxBody) co_return std::string();
    text += as_text(body.data());
    body.consume(body.data().size());
    if (body.ready()) continue;
    const bool in_time = co_await body.changed(by);
    if (!in_time) co_return std::string();
  }
  co_return text;
}

net::Task<void> look(net::Loop& loop, std::string netns, PodSamples& pod, bool first) {
  std::string text = co_await get(loop, netns, "/metrics");
  (first ? pod.before : pod.after) = parse_exposition(text);
  pod.reached = !text.empty();
  if (pod.identity.empty()) {
    text = co_await get(loop, netns, concat("/env.json?", kIdentityVariable));
    const local::Json json = local::Json::parse(text, nullptr, false);
    if (json.is_object() && json.contains(kIdentityVariable) && json[kIdentityVariable].is_string())
      pod.identity = json[kIdentityVariable].get<std::string>();
  }
}

struct Target {
  PodSamples* pod;
  std::string netns;
};

net::Task<void> look_at_all(net::Loop& loop, std::vector<Target> targets, Duration window,
                            bool& done) {
  if (window > Duration{0}) {
    const TimePoint began = loop.now();
    net::TaskScope scope;
    for (const Target& target : targets) scope.spawn(look(loop, target.netns, *target.pod, true));
    co_await scope.join();
    co_await net::sleep_for(loop, window - std::min(window, loop.now() - began));
  }
  net::TaskScope scope;
  for (const Target& target : targets) scope.spawn(look(loop, target.netns, *target.pod, false));
  co_await scope.join();
  done = true;
  loop.stop();
}

}  // namespace

std::vector<PodSamples> scrape(const local::Json& status, std::chrono::nanoseconds window) {
  std::vector<PodSamples> pods;
  std::vector<std::string> paths;
  for (const local::Json& entry : status.value("pods", local::Json::array())) {
    PodSamples& pod = pods.emplace_back();
    pod.ns = entry.value("namespace", "");
    pod.name = entry.value("name", "");
    pod.account = entry.value("serviceAccount", "");
    pod.status = entry.value("phase", "");
    pod.meshed = entry.value("meshed", false);
    std::string path;
    if (pod.meshed && entry.contains("sandbox")) {
      path = "/proc/";
      append_number(path, local::process_name(entry["sandbox"]).pid);
      path += "/ns/net";
    }
    paths.push_back(std::move(path));
  }
  std::vector<Target> targets;
  for (std::size_t i = 0; i < pods.size(); ++i) {
    if (!paths[i].empty()) targets.push_back({&pods[i], paths[i]});
  }
  auto loop = net::Loop::create();
  if (!loop) return pods;
  bool done = false;
  net::TaskScope scope;
  scope.spawn(look_at_all(**loop, std::move(targets), window, done));
  while (!done) (*loop)->run();
  return pods;
}

std::vector<PodSamples> scrape(Cluster& cluster, const std::string& ns, const std::string& selector,
                               std::chrono::nanoseconds window, std::string& problem) {
  ClusterView view(cluster);
  const Value& values = view.values();
  std::string trust(values["identityTrustDomain"].string());
  if (trust.empty()) trust = "cluster.local";
  std::vector<PodSamples> pods;
  std::vector<std::string> paths;
  std::vector<std::size_t> whose;
  const auto take = [&](const Value& item) {
    const PodView pod = view_of(item);
    PodSamples& out = pods.emplace_back();
    out.ns = pod.ns;
    out.name = pod.name;
    out.account = pod.account;
    out.status = pod.phase;
    out.meshed = pod.has_proxy && pod.labels.contains("linkerd.io/control-plane-ns");
    for (const auto& [key, value] : pod.labels) {
      constexpr std::string_view kOwner = "linkerd.io/proxy-";
      if (key.starts_with(kOwner)) out.owners[key.substr(kOwner.size())] = value;
    }
    if (const std::size_t slash = pod.owner.find('/'); slash != std::string::npos) {
      const std::string kind = pod.owner.substr(0, slash);
      out.owners.emplace(kind == "deploy" ? "deployment" : kind, pod.owner.substr(slash + 1));
    }
    if (!out.meshed || pod.phase != "Running") return;
    out.identity =
        tls::workload_name(pod.account, pod.ns, pod.label("linkerd.io/control-plane-ns"), trust);
    paths.push_back(pod_port_path(pod.ns, pod.name, pod.admin_port, "/metrics"));
    whose.push_back(pods.size() - 1);
  };
  const std::string query =
      selector.empty() ? "" : concat("labelSelector=", k8s::percent_encode(selector));
  problem = cluster.list(k8s::path_of(k8s::kPods, ns), take, query).problem;
  if (!problem.empty()) return {};
  const auto look_once = [&](bool first) {
    const std::vector<Reply> replies = cluster.raw_all(paths);
    for (std::size_t i = 0; i < paths.size(); ++i) {
      PodSamples& pod = pods[whose[i]];
      pod.reached = replies[i].ok();
      (first ? pod.before : pod.after) = parse_exposition(replies[i].body);
    }
  };
  if (window > Duration{0}) {
    const TimePoint began = monotonic_now();
    look_once(true);
    std::this_thread::sleep_for(window - std::min<Duration>(window, monotonic_now() - began));
  }
  look_once(false);
  return pods;
}

}  // namespace tulle::cli
