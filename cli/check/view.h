// SPDX-License-Identifier: Apache-2.0
// What checks look at: the cluster's objects, read once and kept until forget(). Only what checks
// need of a pod is kept, so that a large cluster fits.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cli/cluster.h"
#include "lib/tls/cert.h"

namespace tulle::cli {

using Labels = std::map<std::string, std::string, std::less<>>;

struct PodView {
  std::string ns, name, node, phase;
  std::string owner;    // "deploy/web", as kubectl takes it; "" without one
  std::string account;  // service account
  Labels labels, annotations;
  std::vector<std::string> addresses;
  std::string anchors;        // PEM in the proxy's environment
  std::string identity;       // who the proxy is told to be; "" without identity
  std::string proxy_version;  // by annotation, else the image's tag
  std::string unschedulable;  // why; "" if it is placed
  std::string waiting;        // why a container does not run, such as "web: CrashLoopBackOff"
  std::map<std::string, std::uint16_t, std::less<>> ports;  // containers' ports by name
  std::string admin_port = "4191";
  bool host_network = false;
  bool has_proxy = false;
  bool proxy_ready = false;
  bool ready = false;
  bool ending = false;
  bool http_probes = false;  // a container of the application has one
  bool ended() const { return phase == "Succeeded" || phase == "Failed"; }
  std::string title() const { return ns + "/" + name; }
  std::string_view label(std::string_view key) const;
  std::string_view annotation(std::string_view key) const;
};
PodView view_of(const Value& pod);
Labels labels_of(const Value& map);

struct NamespaceView {
  std::string name;
  Labels labels, annotations;
  bool asks_for_proxies() const;  // linkerd.io/inject is enabled or ingress
};

// One page of objects; the problem says why there are none.
template <typename T>
struct Listed {
  std::vector<T> items;
  std::string problem;
};

class ClusterView {
 public:
  explicit ClusterView(Cluster& cluster) : cluster_(cluster) {}
  Cluster& cluster() noexcept { return cluster_; }
  const std::string& ns() const noexcept { return cluster_.flags().ns; }

  // An object by its path; asked for once.
  const Answer& object(const std::string& path);
  // Asks for all of them at once, so that object() has them.
  void expect(const std::vector<std::string>& paths);
  const Listed<PodView>& pods();
  const Listed<NamespaceView>& namespaces();
  const Listed<Value>& services();
  // Whole objects of a small collection.
  const Listed<Value>& all(const std::string& path, const std::string& query = "");
  const NamespaceView* namespace_of(std::string_view name);
  // Helm values of the control plane; Null if they are not there.
  const Value& values();
  // Pods of the control plane.
  std::vector<const PodView*> control_plane();
  void forget();

 private:
  Cluster& cluster_;
  std::map<std::string, Answer> objects_;
  std::map<std::string, Listed<Value>> lists_;
  std::optional<Listed<PodView>> pods_;
  std::optional<Listed<NamespaceView>> namespaces_;
  std::optional<Value> values_;
};

// "a, b, c and 7 more"
std::string some_of(const std::vector<std::string>& names, std::size_t most = 10);
// The same, a line each.
std::string lines_of(std::string_view head, const std::vector<std::string>& lines,
                     std::size_t most = 20);
// "2026-11-24T12:00:00Z"; nullopt if it is not such a time.
std::optional<WallTime> parse_rfc3339(std::string_view text);
// Pods that must start anew, and the commands that make them do so, one for each that owns some.
class Restarts {
 public:
  void add(const PodView& pod);
  std::vector<std::string> commands() const;

 private:
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> by_owner_;
};
// The tag of an image, "" without one.
std::string tag_of(std::string_view image);

}  // namespace tulle::cli
