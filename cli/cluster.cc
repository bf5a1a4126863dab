// SPDX-License-Identifier: Apache-2.0
#include "cli/cluster.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "lib/base/text.h"

namespace tulle::cli {
namespace {

constexpr Duration kPatience = 15s;
constexpr std::size_t kAtOnce = 16;
constexpr std::size_t kMaxBody = std::size_t{64} * 1024 * 1024;
constexpr std::string_view kPage = "limit=200";

k8s::ApiClient::Options client_options(const ClusterFlags& flags) {
  k8s::ApiClient::Options options;
  options.check_continuity = false;  // one look needs none
  options.max_body = kMaxBody;
  if (!flags.as.empty()) options.headers.emplace_back("impersonate-user", flags.as);
  for (const std::string& group : flags.as_groups)
    options.headers.emplace_back("impersonate-group", group);
  return options;
}

// Takes requests until none is left; several of these run at once.
net::Task<void> take(k8s::ApiClient& client, const std::vector<k8s::ApiRequest>& requests,
                     std::size_t& next, std::vector<Reply>& replies) {
  while (next < requests.size()) {
    const std::size_t mine = next++;
    const Deadline by = client.loop().after(kPatience);
    k8s::ApiResponse response = co_await client.call(requests[mine], by);
    // A server that is busy, or has just got a new kind, says so and when to come again.
    while ((response.status.code == 429 || response.status.code == 503) &&
           !by.passed(client.loop().now())) {
      co_await net::sleep_for(
          client.loop(), std::clamp<Duration>(response.status.retry_after.value_or(1s), 100ms, 2s));
      response = co_await client.call(requests[mine], by);
    }
    Reply& reply = replies[mine];
    reply.code = response.status.code;
    if (response.ok()) {
      reply.body = std::move(response.body);
    } else {
      // The server's own sentence names the object.
      reply.problem =
          response.status.message.empty() ? response.status.to_string() : response.status.message;
    }
  }
}

net::Task<void> tell(net::TaskScope& scope, bool& done) {
  co_await scope.join();
  done = true;
}

Answer read(Reply reply) {
  Answer answer;
  static_cast<Reply&>(answer) = std::move(reply);
  if (!answer.ok()) return answer;
  answer.value = inject::parse_json(answer.body, answer.problem).value_or(Value());
  if (!answer.problem.empty())
    answer.problem = concat("the API server's answer cannot be read: ", answer.problem);
  answer.body.clear();
  return answer;
}

std::vector<Answer> read_all(std::vector<Reply> replies) {
  std::vector<Answer> answers;
  for (Reply& reply : replies) answers.push_back(read(std::move(reply)));
  return answers;
}

k8s::ApiRequest get_of(const std::string& path) {
  k8s::ApiRequest request;
  request.path = path;
  return request;
}

}  // namespace

struct Cluster::Owned {
  std::unique_ptr<net::Loop> loop;
  net::HostSockets sockets;
  std::optional<k8s::ServerDialer> dialer;
};

std::string kubeconfig_path(const ClusterFlags& flags) {
  if (!flags.kubeconfig.empty()) return flags.kubeconfig;
  if (const char* const list = std::getenv("KUBECONFIG"); list != nullptr && *list != '\0') {
    const std::string_view text = list;
    return std::string(text.substr(0, text.find(':')));
  }
  const char* const home = std::getenv("HOME");
  return concat(home != nullptr ? home : "", "/.kube/config");
}

std::unique_ptr<Cluster> Cluster::open(const ClusterFlags& flags, std::string& problem) {
  const std::string path = kubeconfig_path(flags);
  k8s::AccessResult access = k8s::kubeconfig_access(path, flags.context);
  if (const auto* const bad = std::get_if<k8s::AccessProblem>(&access)) {
    problem = concat(bad->reason,
                     "\nname a kubeconfig with --kubeconfig or $KUBECONFIG, and one of its "
                     "contexts with --context");
    return nullptr;
  }
  auto loop = net::Loop::create();
  if (!loop) {
    problem = "cannot make an event loop";
    return nullptr;
  }
  const k8s::ClusterAccess& cluster = std::get<k8s::ClusterAccess>(access);
  auto owned = std::make_unique<Owned>();
  owned->loop = *std::move(loop);
  owned->dialer.emplace(*owned->loop, owned->sockets, cluster,
                        static_cast<std::uint64_t>(wall_now().time_since_epoch().count()));
  auto out = std::make_unique<Cluster>(*owned->loop, *owned->dialer, cluster, flags);
  out->owned_ = std::move(owned);
  return out;
}

Cluster::Cluster(net::Loop& loop, k8s::Dialer& dialer, const k8s::ClusterAccess& access,
                 const ClusterFlags& flags)
    : loop_(loop),
      flags_(flags),
      default_ns_(access.ns.empty() ? "default" : access.ns),
      sink_({.off = true}, log::Filter::parse_lenient("off")),
      client_(loop, dialer, access, log::Logger(sink_, "tulle::cli"), client_options(flags)) {}

Cluster::~Cluster() = default;

std::string Cluster::server() const { return client_.access().url(); }

void Cluster::run(net::TaskScope& scope) {
  bool done = false;
  net::TaskScope outer;
  outer.spawn(tell(scope, done));
  while (!done) loop_.run_once(100ms);
}

std::vector<Reply> Cluster::ask(const std::vector<k8s::ApiRequest>& requests) {
  std::vector<Reply> replies(requests.size());
  std::size_t next = 0;
  net::TaskScope scope;
  for (std::size_t i = 0; i < std::min(kAtOnce, requests.size()); ++i)
    scope.spawn(take(client_, requests, next, replies));
  run(scope);
  return replies;
}

Answer Cluster::get(const std::string& path) { return read(ask({get_of(path)}).front()); }

std::vector<Reply> Cluster::raw_all(const std::vector<std::string>& paths) {
  std::vector<k8s::ApiRequest> requests;
  for (const std::string& path : paths) {
    requests.push_back(get_of(path));
    requests.back().accept = "*/*";
  }
  return ask(requests);
}

std::vector<Answer> Cluster::get_all(const std::vector<std::string>& paths) {
  std::vector<k8s::ApiRequest> requests;
  for (const std::string& path : paths) requests.push_back(get_of(path));
  return read_all(ask(requests));
}

std::vector<Answer> Cluster::post_all(const std::string& path, const std::vector<Value>& bodies) {
  std::vector<k8s::ApiRequest> requests;
  for (const Value& body : bodies) {
    requests.push_back(get_of(path));
    requests.back().method = "POST";
    requests.back().body = body.to_json();
    requests.back().content_type = "application/json";
  }
  return read_all(ask(requests));
}

Reply Cluster::list(const std::string& path, const std::function<void(const Value&)>& visit,
                    std::string_view query) {
  std::string from;
  for (;;) {
    std::string at = concat(path, "?", kPage);
    if (!query.empty()) at += concat("&", query);
    if (!from.empty()) at += concat("&continue=", k8s::percent_encode(from));
    Answer page = get(at);
    if (!page.ok()) return page;
    for (const Value& item : page.value["items"].items()) visit(item);
    from = page.value["metadata"]["continue"].string();
    if (from.empty()) return page;
  }
}

std::string pod_port_path(std::string_view ns, std::string_view pod, std::string_view port,
                          std::string_view path) {
  // The colon must stand as it is: it parts the name from the port.
  return concat(k8s::path_of(k8s::kPods, ns, pod), ":", port, "/proxy", path);
}

}  // namespace tulle::cli
