// SPDX-License-Identifier: Apache-2.0
#include "cli/stats.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <tuple>

#include "lib/base/text.h"

namespace tulle::cli {
namespace {

struct Words {
  Resource resource;
  const char* name;
  const char* brief;
};
constexpr Words kWords[] = {{Resource::Pod, "pod", "po"},
                            {Resource::ServiceAccount, "serviceaccount", "sa"},
                            {Resource::Namespace, "namespace", "ns"},
                            {Resource::Service, "service", "svc"},
                            {Resource::Deployment, "deployment", "deploy"},
                            {Resource::StatefulSet, "statefulset", "sts"},
                            {Resource::DaemonSet, "daemonset", "ds"},
                            {Resource::ReplicaSet, "replicaset", "rs"},
                            {Resource::ReplicationController, "replicationcontroller", "rc"},
                            {Resource::Job, "job", "job"},
                            {Resource::CronJob, "cronjob", "cj"}};

using Key = std::pair<std::string, std::string>;  // namespace, name

// How much each series has grown; a series that is smaller than before has begun afresh.
class Growth {
 public:
  explicit Growth(const std::vector<Sample>& before) {
    for (const Sample& sample : before) old_[{sample.name, sample.labels}] = sample.value;
  }
  double of(const Sample& now) const {
    const auto found = old_.find({now.name, now.labels});
    const double was = found == old_.end() ? 0 : found->second;
    return now.value >= was ? now.value - was : now.value;
  }

 private:
  std::map<std::pair<std::string, LabelMap>, double> old_;
};

struct Sums {
  StatRow row;
  double success = 0;
  double failure = 0;
  double read = 0;
  double written = 0;
  std::map<double, double> latency;  // upper bound → count up to it
};

double bound_of(const std::string& text) {
  return text == "+Inf" ? INFINITY : std::strtod(text.c_str(), nullptr);
}

void count(Sums& sums, const Sample& sample, double grown) {
  if (sample.name == "response_total") {
    (sample.label("classification") == "success" ? sums.success : sums.failure) += grown;
  } else if (sample.name == "response_latency_ms_bucket") {
    sums.latency[bound_of(sample.label("le"))] += grown;
  } else if (sample.name == "tcp_open_connections") {
    sums.row.open_connections += static_cast<std::uint64_t>(std::max(0.0, sample.value));
  } else if (sample.name == "tcp_read_bytes_total") {
    sums.read += grown;
  } else if (sample.name == "tcp_write_bytes_total") {
    sums.written += grown;
  }
}

StatRow finish(Sums& sums, double seconds) {
  StatRow& row = sums.row;
  const double total = sums.success + sums.failure;
  if (total > 0) row.success = sums.success / total;
  row.rps = total / seconds;
  row.read_rate = sums.read / seconds;
  row.write_rate = sums.written / seconds;
  const std::vector<std::pair<double, double>> buckets(sums.latency.begin(), sums.latency.end());
  row.p50 = quantile(buckets, 0.50);
  row.p95 = quantile(buckets, 0.95);
  row.p99 = quantile(buckets, 0.99);
  return std::move(row);
}

Key key_of(const PodSamples& pod, Resource resource) {
  switch (resource) {
    case Resource::ServiceAccount: return {pod.ns, pod.account};
    case Resource::Namespace: return {"", pod.ns};
    case Resource::Pod:
    case Resource::Service: return {pod.ns, pod.name};
    default: {
      const auto owner = pod.owners.find(resource_name(resource));
      return {pod.ns, owner == pod.owners.end() ? "" : owner->second};
    }
  }
}

}  // namespace

std::optional<Resource> resource_of(std::string_view word) {
  for (const Words& each : kWords) {
    const std::string_view name = each.name;
    if (word == name || word == each.brief ||
        (word.starts_with(name) && word.substr(name.size()) == "s"))
      return each.resource;
  }
  return std::nullopt;
}

const char* resource_name(Resource resource) {
  for (const Words& each : kWords) {
    if (each.resource == resource) return each.name;
  }
  return "";
}

std::optional<double> quantile(const std::vector<std::pair<double, double>>& buckets,
                               double share) {
  if (buckets.empty() || buckets.back().second <= 0) return std::nullopt;
  const double rank = buckets.back().second * share;
  double low = 0;
  double below = 0;
  for (const auto& [bound, up_to] : buckets) {
    if (up_to >= rank && up_to > below) {
      if (std::isinf(bound)) return low;
      return low + (bound - low) * (rank - below) / (up_to - below);
    }
    low = bound;
    below = up_to;
  }
  return low;
}

std::vector<StatRow> stat_rows(const std::vector<PodSamples>& pods, Resource resource,
                               std::chrono::duration<double> window) {
  std::map<Key, Sums> groups;
  for (const PodSamples& pod : pods) {
    const Growth growth(pod.before);
    if (resource == Resource::Service) {
      for (const Sample& sample : pod.after) {
        const std::string& service = sample.label("dst_service");
        if (service.empty() || sample.label("direction") != "outbound") continue;
        if (sample.name.starts_with("tcp_") && sample.label("peer") != "dst") continue;
        Sums& sums = groups[{sample.label("dst_namespace"), service}];
        count(sums, sample, growth.of(sample));
      }
      continue;
    }
    const Key key = key_of(pod, resource);
    if (key.second.empty()) continue;  // owned by something else
    Sums& sums = groups[key];
    if (pod.status != "Failed") {
      ++sums.row.pods;
      sums.row.meshed += pod.meshed ? 1 : 0;
    }
    if (resource == Resource::Pod) sums.row.status = pod.status;
    for (const Sample& sample : pod.after) {
      if (sample.label("direction") != "inbound") continue;
      if (sample.name.starts_with("tcp_") && sample.label("peer") != "src") continue;
      count(sums, sample, growth.of(sample));
    }
  }
  std::vector<StatRow> out;
  for (auto& [key, sums] : groups) {
    sums.row.ns = key.first;
    sums.row.name = key.second;
    out.push_back(finish(sums, window.count()));
  }
  return out;
}

std::vector<Edge> edges(const std::vector<PodSamples>& pods, Resource resource) {
  std::map<Key, const PodSamples*> by_name;
  for (const PodSamples& pod : pods) by_name[{pod.ns, pod.name}] = &pod;
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string>, Edge> found;
  for (const PodSamples& pod : pods) {
    for (const Sample& sample : pod.after) {
      if (sample.name != "tcp_open_total" || sample.label("direction") != "outbound" ||
          sample.label("peer") != "dst" || sample.value <= 0)
        continue;
      Edge edge;
      edge.dst_ns = sample.label("dst_namespace");
      const std::string& target = sample.label("dst_pod");
      const auto known = by_name.find({edge.dst_ns, target});
      switch (resource) {
        case Resource::Pod: edge.dst = target; break;
        case Resource::Namespace: edge.dst = edge.dst_ns; break;
        case Resource::Service: edge.dst = sample.label("dst_service"); break;
        default:
          edge.dst = sample.label(concat("dst_", resource_name(resource)));
          if (edge.dst.empty() && known != by_name.end())
            edge.dst = key_of(*known->second, resource).second;
      }
      if (edge.dst.empty()) continue;
      edge.src_ns = pod.ns;
      edge.src = resource == Resource::Service ? pod.name : key_of(pod, resource).second;
      if (edge.src.empty()) continue;
      edge.client_id = pod.identity;
      edge.server_id = sample.label("server_id");
      if (sample.label("tls") != "true") {
        const std::string& reason = sample.label("no_tls_reason");
        edge.no_tls_reason = !reason.empty() ? reason : sample.label("tls");
        if (edge.no_tls_reason.empty()) edge.no_tls_reason = "unknown";
      }
      found.emplace(std::tuple(edge.src_ns, edge.src, edge.dst_ns, edge.dst, edge.no_tls_reason),
                    edge);
    }
  }
  std::vector<Edge> out;
  for (auto& [key, edge] : found) out.push_back(std::move(edge));
  return out;
}

}  // namespace tulle::cli
