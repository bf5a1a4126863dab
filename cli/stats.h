// SPDX-License-Identifier: Apache-2.0
// Golden metrics and edges from what proxies count themselves, with no Prometheus between: plain
// functions over two looks at every proxy (docs/reference/viz.md §2.2, §2.3, §3.1).
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/exposition.h"

namespace tulle::cli {

// One pod of the mesh, and what its proxy said.
struct PodSamples {
  std::string ns;
  std::string name;
  std::string account;
  std::string status;
  bool meshed = false;
  bool reached = false;                       // the proxy answered both times
  std::string identity;                       // of a meshed pod
  std::map<std::string, std::string> owners;  // "deployment" → "web"
  std::vector<Sample> before;
  std::vector<Sample> after;
};

enum class Resource {
  Pod,
  ServiceAccount,
  Namespace,
  Service,
  Deployment,
  StatefulSet,
  DaemonSet,
  ReplicaSet,
  ReplicationController,
  Job,
  CronJob
};
// "pod", "pods", "po", …; nullopt if the word is unknown.
std::optional<Resource> resource_of(std::string_view word);
// "deployment", …
const char* resource_name(Resource resource);

struct StatRow {
  std::string ns;
  std::string name;
  std::string status;  // of pods
  unsigned meshed = 0;
  unsigned pods = 0;
  std::optional<double> success;  // 0–1; none without requests
  double rps = 0;
  std::optional<double> p50, p95, p99;  // milliseconds
  std::uint64_t open_connections = 0;
  double read_rate = 0;  // bytes a second
  double write_rate = 0;
};

// Pods, accounts and namespaces from their inbound side; Services from their clients' outbound
// side. Sorted by namespace and name.
std::vector<StatRow> stat_rows(const std::vector<PodSamples>& pods, Resource resource,
                               std::chrono::duration<double> window);

struct Edge {
  std::string src, src_ns, dst, dst_ns, client_id, server_id;
  std::string no_tls_reason;  // "" if the connection was secured
};
// Who has opened connections to whom, each pair and reason once.
std::vector<Edge> edges(const std::vector<PodSamples>& pods, Resource resource);

// The value below which `share` (0–1) of a histogram's counts lie, by linear interpolation within
// the bucket; none if it is empty. Buckets are (upper bound, count up to it), ascending.
std::optional<double> quantile(const std::vector<std::pair<double, double>>& buckets, double share);

}  // namespace tulle::cli
