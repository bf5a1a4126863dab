// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <iostream>

#include "cli/commands.h"
#include "cli/scrape.h"
#include "cli/stats.h"
#include "cli/table.h"
#include "lib/base/text.h"

namespace tulle::cli {
namespace {

using local::Json;

int fail(const std::string& what) {
  std::cerr << "tulle: " << what << "\n";
  return 1;
}

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

std::string milliseconds(const std::optional<double>& value) {
  return value ? fixed(std::round(*value), 0) + "ms" : "-";
}

std::string rate(double bytes) { return fixed(bytes, 1) + "B/s"; }

// A cluster, if there is a kubeconfig and no mesh of this machine is named.
bool asks_cluster(const StatFlags& flags) {
  if (!flags.cluster.kubeconfig.empty() || !flags.cluster.context.empty()) return true;
  return !flags.local && ::access(kubeconfig_path(flags.cluster).c_str(), R_OK) == 0;
}

std::string look_into_cluster(StatFlags& flags, Resource resource, std::chrono::nanoseconds window,
                              std::vector<PodSamples>& pods) {
  std::string problem;
  const std::unique_ptr<Cluster> cluster = Cluster::open(flags.cluster, problem);
  if (cluster == nullptr) return problem;
  if (!flags.ns_given) flags.ns = cluster->default_ns();
  // Clients of a Service may be anywhere, and the ends of an edge, too.
  const bool everywhere = flags.all_namespaces || resource == Resource::Service ||
                          resource == Resource::Namespace || window == std::chrono::nanoseconds{0};
  pods = scrape(*cluster, everywhere ? "" : flags.ns, flags.selector, window, problem);
  return problem.empty() ? "" : concat("the API server: ", problem);
}

// Fills `resource` and the pods; a text says what is wrong.
std::string look(StatFlags& flags, std::chrono::nanoseconds window, Resource& resource,
                 std::vector<PodSamples>& pods) {
  const auto known = resource_of(flags.resource);
  if (!known) {
    return concat("resource ", flags.resource,
                  " is not known here; there are pod, deployment, statefulset, daemonset, "
                  "replicaset, replicationcontroller, job, "
                  "cronjob, serviceaccount, namespace and service");
  }
  resource = *known;
  if (asks_cluster(flags)) {
    std::string problem = look_into_cluster(flags, resource, window, pods);
    for (const PodSamples& pod : pods) {
      if (pod.meshed && !pod.reached && pod.status == "Running")
        std::cerr << "tulle: the proxy of " << pod.ns << "/" << pod.name
                  << " does not answer through the API server\n";
    }
    return problem;
  }
  if (::geteuid() != 0) return "pods are looked into from within, which needs root: try sudo";
  const local::StateDir dir = local::state_dir(flags.mesh.state, flags.mesh.name);
  const auto status = local::read_status(dir);
  if (!status || !local::live_supervisor(dir)) {
    return concat("mesh ", flags.mesh.name,
                  " is not up: see tulle local up; for a cluster, name a --kubeconfig");
  }
  pods = scrape(*status, window);
  for (const PodSamples& pod : pods) {
    if (pod.meshed && !pod.reached)
      std::cerr << "tulle: the proxy of " << pod.ns << "/" << pod.name << " does not answer\n";
  }
  return "";
}

bool wanted(const StatFlags& flags, const std::string& ns, const std::string& name,
            Resource resource) {
  if (!flags.name.empty() && flags.name != name) return false;
  return flags.all_namespaces || resource == Resource::Namespace || ns == flags.ns;
}

}  // namespace

std::chrono::nanoseconds parse_window(const std::string& text) {
  std::chrono::nanoseconds sum{0};
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t used = at;
    while (used < text.size() && (ascii_digit(text[used]) || text[used] == '.')) ++used;
    const std::string digits = text.substr(at, used - at);
    char* rest = nullptr;
    const double number = std::strtod(digits.c_str(), &rest);
    std::size_t end = used;
    while (end < text.size() && text[end] >= 'a' && text[end] <= 'z') ++end;
    const std::string unit = text.substr(used, end - used);
    const double scale = unit == "ms"  ? 1e6
                         : unit == "s" ? 1e9
                         : unit == "m" ? 60e9
                         : unit == "h" ? 3600e9
                                       : 0;
    if (digits.empty() || *rest != '\0' || scale == 0) return std::chrono::nanoseconds{-1};
    sum += std::chrono::nanoseconds(static_cast<std::int64_t>(number * scale));
    at = end;
  }
  return text.empty() ? std::chrono::nanoseconds{-1} : sum;
}

int stat(StatFlags flags) {
  const auto window = parse_window(flags.window);
  if (window <= std::chrono::nanoseconds{0}) {
    return fail(concat("--time-window ", flags.window, ": a duration such as 10s or 1m is wanted"));
  }
  Resource resource{};
  std::vector<PodSamples> pods;
  if (::isatty(2) != 0) std::cerr << "looking for " << flags.window << "\n";
  if (std::string problem = look(flags, window, resource, pods); !problem.empty())
    return fail(problem);
  const std::vector<StatRow> rows = stat_rows(pods, resource, window);
  const bool wide = flags.output == "wide";
  std::vector<std::string> head;
  if (flags.all_namespaces && resource != Resource::Namespace) head.emplace_back("NAMESPACE");
  head.emplace_back("NAME");
  if (resource == Resource::Pod) head.emplace_back("STATUS");
  if (resource != Resource::Service) head.emplace_back("MESHED");
  for (const char* const name :
       {"SUCCESS", "RPS", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99", "TCP_CONN"})
    head.emplace_back(name);
  if (wide) {
    head.emplace_back("READ_BYTES/SEC");
    head.emplace_back("WRITE_BYTES/SEC");
  }
  Table table(head);
  Json json = Json::array();
  bool any = false;
  for (const StatRow& row : rows) {
    if (!wanted(flags, row.ns, row.name, resource)) continue;
    if (resource != Resource::Service && row.meshed == 0 && !flags.unmeshed) continue;
    any = true;
    const std::string meshed = std::to_string(row.meshed) + "/" + std::to_string(row.pods);
    json.push_back({{"namespace", resource == Resource::Namespace ? row.name : row.ns},
                    {"kind", resource_name(resource)},
                    {"name", row.name},
                    {"meshed", resource == Resource::Service ? Json("-") : Json(meshed)},
                    {"success", or_null(row.success)},
                    {"rps", row.success ? Json(row.rps) : Json(nullptr)},
                    {"latency_ms_p50", or_null(row.p50)},
                    {"latency_ms_p95", or_null(row.p95)},
                    {"latency_ms_p99", or_null(row.p99)},
                    {"tcp_open_connections", row.open_connections},
                    {"tcp_read_bytes_rate", row.read_rate},
                    {"tcp_write_bytes_rate", row.write_rate}});
    std::vector<std::string> cells;
    if (flags.all_namespaces && resource != Resource::Namespace) cells.push_back(row.ns);
    cells.push_back(row.name);
    if (resource == Resource::Pod) cells.push_back(row.status);
    if (resource != Resource::Service) cells.push_back(meshed);
    cells.push_back(row.success ? fixed(*row.success * 100, 2) + "%" : "-");
    cells.push_back(row.success ? fixed(row.rps, 1) + "rps" : "-");
    cells.push_back(milliseconds(row.p50));
    cells.push_back(milliseconds(row.p95));
    cells.push_back(milliseconds(row.p99));
    cells.push_back(std::to_string(row.open_connections));
    if (wide) {
      cells.push_back(rate(row.read_rate));
      cells.push_back(rate(row.write_rate));
    }
    table.add(std::move(cells));
  }
  if (flags.output == "json") {
    std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  } else if (any) {
    std::cout << table.text();
  } else {
    std::cerr << "No traffic found.\n";
  }
  return 0;
}

int edges_of(StatFlags flags) {
  Resource resource{};
  std::vector<PodSamples> pods;
  if (std::string problem = look(flags, std::chrono::nanoseconds{0}, resource, pods);
      !problem.empty())
    return fail(problem);
  const bool wide = flags.output == "wide";
  std::vector<std::string> head = {"SRC", "DST", "SRC_NS", "DST_NS"};
  if (wide) head.insert(head.end(), {"CLIENT_ID", "SERVER_ID"});
  head.emplace_back("SECURED");
  Table table(head);
  table.right_from(99);
  Json json = Json::array();
  for (const Edge& edge : edges(pods, resource)) {
    if (!flags.all_namespaces && edge.src_ns != flags.ns && edge.dst_ns != flags.ns) continue;
    json.push_back({{"src", edge.src},
                    {"src_namespace", edge.src_ns},
                    {"dst", edge.dst},
                    {"dst_namespace", edge.dst_ns},
                    {"client_id", edge.client_id},
                    {"server_id", edge.server_id},
                    {"no_tls_reason", edge.no_tls_reason}});
    std::vector<std::string> cells = {edge.src, edge.dst, edge.src_ns, edge.dst_ns};
    if (wide) cells.insert(cells.end(), {edge.client_id, edge.server_id});
    cells.push_back(edge.no_tls_reason.empty() ? "√" : edge.no_tls_reason);
    table.add(std::move(cells));
  }
  if (flags.output == "json") {
    std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  } else if (!json.empty()) {
    std::cout << table.text();
  } else {
    std::cerr << "No edges found.\n";
  }
  return 0;
}

}  // namespace tulle::cli
