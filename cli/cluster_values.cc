// SPDX-License-Identifier: Apache-2.0
#include "cli/cluster_values.h"

#include "lib/base/text.h"

namespace tulle::cli {

namespace {

bool has_native_sidecars(const Value& version) {
  // "34", "34+"
  std::string_view minor = version["minor"].string();
  while (!minor.empty() && !ascii_digit(minor.back())) minor.remove_suffix(1);
  const auto number = parse_number<int>(minor);
  return !number || version["major"].string() != "1" || *number >= 29;
}

}  // namespace

std::string read_cluster_values(const ClusterFlags& flags, ClusterValues& into) {
  std::string problem;
  const std::unique_ptr<Cluster> cluster = Cluster::open(flags, problem);
  if (cluster == nullptr) return problem;
  const std::vector<Answer> answers = cluster->get_all(
      {k8s::path_of(k8s::kConfigMaps, flags.ns, "linkerd-config"),
       k8s::path_of(k8s::kConfigMaps, flags.ns, "linkerd-identity-trust-roots"), "/version"});
  if (answers[0].missing()) {
    return concat("the cluster has no ConfigMap linkerd-config in the namespace ", flags.ns,
                  ": install the control plane first, or name its namespace with -L");
  }
  for (const Answer& answer : answers) {
    if (!answer.ok() && !answer.missing()) return concat("the API server: ", answer.problem);
  }
  into.values = answers[0].value["data"]["values"].string();
  into.trust_anchors = answers[1].value["data"]["ca-bundle.crt"].string();
  into.native_sidecars = has_native_sidecars(answers[2].value);
  return "";
}

}  // namespace tulle::cli
