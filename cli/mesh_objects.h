// SPDX-License-Identifier: Apache-2.0
// What of a mesh is in a cluster, found by the label linkerd.io/control-plane-ns: for `tulle
// uninstall` and `tulle prune`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/chart/chart.h"
#include "cli/cluster.h"

namespace tulle::cli {

struct MeshObject {
  std::string api_version, kind;
  std::string ns;  // "" for what is of the cluster
  std::string name;
  bool owned = false;  // it has an owner and goes with it
  bool kept = false;   // helm.sh/resource-policy: keep
};

// Every object of the mesh but pods and what the cluster itself makes of the others. "" or what has
// failed. A kind that the cluster does not have, has no objects.
std::string find_mesh_objects(Cluster& cluster, std::vector<MeshObject>& into);

// Only apiVersion, kind, name and namespace: what `kubectl delete -f -` needs.
chart::Manifest stub_of(const MeshObject& object);

// What uninstall deletes: all but what is kept, owned, or goes with the namespace if that is of the
// mesh itself.
std::vector<MeshObject> to_uninstall(const std::vector<MeshObject>& objects, const std::string& ns);
// What prune deletes: objects that none of `manifests` is, and nobody owns.
std::vector<MeshObject> to_prune(const std::vector<MeshObject>& objects,
                                 const std::vector<chart::Manifest>& manifests);

// Pods with a proxy outside of the control plane, "NAMESPACE/NAME", and namespaces of extensions.
// "" or what has failed.
std::string find_users(Cluster& cluster, std::vector<std::string>& pods,
                       std::vector<std::string>& extensions);

}  // namespace tulle::cli
