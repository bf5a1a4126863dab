// SPDX-License-Identifier: Apache-2.0
// A Kubernetes cluster as the user's commands see it: one question after the other (or many at
// once), with the user's kubeconfig, through the API server alone. Pods are reached through its
// proxy subresource. Everything a cluster says may be odd: answers are trees in which what is not
// there is Null.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/inject/value.h"
#include "lib/k8s/client.h"
#include "lib/k8s/resource.h"
#include "lib/net/loop.h"
#include "lib/net/socket.h"

namespace tulle::cli {

using inject::Value;

struct ClusterFlags {
  std::string kubeconfig;              // "": $KUBECONFIG, else ~/.kube/config
  std::string context;                 // "": the current one
  std::string as;                      // impersonated user
  std::vector<std::string> as_groups;  // impersonated groups
  std::string ns = "linkerd";          // of the control plane
  std::string cni_ns = "linkerd-cni";
  bool verbose = false;  // accepted
};

// $KUBECONFIG (its first file), else ~/.kube/config, unless the flag says so.
std::string kubeconfig_path(const ClusterFlags& flags);

struct Reply {
  int code = 0;         // the HTTP status; 0 if nobody answered
  std::string problem;  // "" if ok
  std::string body;
  bool ok() const noexcept { return problem.empty(); }
  bool missing() const noexcept { return code == 404; }
  bool forbidden() const noexcept { return code == 403; }
};
struct Answer : Reply {
  Value value;  // the body, read; Null if not ok
};

class Cluster {
 public:
  // Null and what is wrong: no kubeconfig, or one that cannot be used.
  static std::unique_ptr<Cluster> open(const ClusterFlags& flags, std::string& problem);
  // Over a dialer and a loop that outlive it.
  Cluster(net::Loop& loop, k8s::Dialer& dialer, const k8s::ClusterAccess& access,
          const ClusterFlags& flags);
  ~Cluster();

  const ClusterFlags& flags() const noexcept { return flags_; }
  // The namespace of the kubeconfig's context, "default" if it has none.
  const std::string& default_ns() const noexcept { return default_ns_; }
  std::string server() const;

  Answer get(const std::string& path);
  // Several at once; answers in the order of paths.
  std::vector<Answer> get_all(const std::vector<std::string>& paths);
  // Bodies as they are, such as metrics.
  std::vector<Reply> raw_all(const std::vector<std::string>& paths);
  std::vector<Answer> post_all(const std::string& path, const std::vector<Value>& bodies);
  // Every item of a collection, page by page, so that memory holds one page. `query` such as
  // "labelSelector=…", encoded; may be "". The reply says how it ended.
  Reply list(const std::string& path, const std::function<void(const Value&)>& visit,
             std::string_view query = {});

  net::Loop& loop() noexcept { return loop_; }
  k8s::ApiClient& client() noexcept { return client_; }
  // Runs the loop until all tasks of the scope have ended.
  void run(net::TaskScope& scope);

 private:
  struct Owned;
  std::vector<Reply> ask(const std::vector<k8s::ApiRequest>& requests);

  std::unique_ptr<Owned> owned_;  // null over a borrowed dialer
  net::Loop& loop_;
  ClusterFlags flags_;
  std::string default_ns_;
  log::Sink sink_;
  k8s::ApiClient client_;
};

// The path of a pod's port behind the API server:
// "/api/v1/namespaces/shop/pods/web-0:4191/proxy/metrics".
std::string pod_port_path(std::string_view ns, std::string_view pod, std::string_view port,
                          std::string_view path);

}  // namespace tulle::cli
