// SPDX-License-Identifier: Apache-2.0
#include "cli/cluster_values.h"

#include <cstdlib>
#include <optional>

#include "lib/base/text.h"
#include "lib/inject/value.h"
#include "lib/k8s/client.h"
#include "lib/k8s/resource.h"

namespace tulle::cli {

using inject::Value;

namespace {

constexpr Duration kPatience = 15s;

std::string kubeconfig_path(const ClusterFlags& flags) {
  if (!flags.kubeconfig.empty()) return flags.kubeconfig;
  if (const char* const list = std::getenv("KUBECONFIG"); list != nullptr && *list != '\0') {
    const std::string_view text = list;
    return std::string(text.substr(0, text.find(':')));
  }
  const char* const home = std::getenv("HOME");
  return concat(home != nullptr ? home : "", "/.kube/config");
}

net::Task<void> get(k8s::ApiClient& client, std::string path, std::optional<k8s::ApiResponse>* into) {
  k8s::ApiRequest request;
  request.path = std::move(path);
  const Deadline by = client.loop().after(kPatience);
  k8s::ApiResponse response = co_await client.call(std::move(request), by);
  into->emplace(std::move(response));
}

// One answer after the other.
class Asker {
 public:
  Asker(net::Loop& loop, k8s::ApiClient& client) : loop_(loop), client_(client) {}

  // Null and a problem, or Null and none for an object that is not there.
  Value ask(const std::string& path, std::string& problem) {
    std::optional<k8s::ApiResponse> response;
    net::TaskScope scope;
    scope.spawn(get(client_, path, &response));
    while (!response) loop_.run_once(100ms);
    if (response->status.code == 404) return {};
    if (!response->ok()) {
      problem = concat("the API server: ", response->status.to_string());
      return {};
    }
    return inject::parse_json(response->body, problem).value_or(Value());
  }

 private:
  net::Loop& loop_;
  k8s::ApiClient& client_;
};

}  // namespace

std::string read_cluster_values(const ClusterFlags& flags, ClusterValues& into) {
  const std::string path = kubeconfig_path(flags);
  k8s::AccessResult access = k8s::kubeconfig_access(path, flags.context);
  if (const auto* const bad = std::get_if<k8s::AccessProblem>(&access)) return bad->reason;
  auto loop = net::Loop::create();
  if (!loop) return "cannot make an event loop";
  const k8s::ClusterAccess& cluster = std::get<k8s::ClusterAccess>(access);
  net::HostSockets sockets;
  log::Sink sink({.off = true}, log::Filter::parse_lenient("off"));
  k8s::ServerDialer dialer(**loop, sockets, cluster, static_cast<std::uint64_t>(wall_now().time_since_epoch().count()));
  k8s::ApiClient::Options options;
  options.check_continuity = false;  // one look needs none
  k8s::ApiClient client(**loop, dialer, cluster, log::Logger(sink, "tulle::cli"), options);
  Asker asker(**loop, client);

  std::string problem;
  const Value config = asker.ask(k8s::path_of(k8s::kConfigMaps, flags.ns, "linkerd-config"), problem);
  if (!problem.empty()) return problem;
  if (config.is_null()) {
    return concat("the cluster has no ConfigMap linkerd-config in the namespace ", flags.ns,
                  ": install the control plane first, or name its namespace with -L");
  }
  into.values = config["data"]["values"].string();
  const Value roots = asker.ask(k8s::path_of(k8s::kConfigMaps, flags.ns, "linkerd-identity-trust-roots"), problem);
  if (!problem.empty()) return problem;
  into.trust_anchors = roots["data"]["ca-bundle.crt"].string();
  const Value version = asker.ask("/version", problem);
  if (!problem.empty()) return problem;
  // "34", "34+"
  std::string_view minor = version["minor"].string();
  while (!minor.empty() && !ascii_digit(minor.back())) minor.remove_suffix(1);
  const auto number = parse_number<int>(minor);
  into.native_sidecars = !number || version["major"].string() != "1" || *number >= 29;
  return "";
}

}  // namespace tulle::cli
