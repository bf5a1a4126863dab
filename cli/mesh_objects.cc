// SPDX-License-Identifier: Apache-2.0
#include "cli/mesh_objects.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::cli {

namespace {

constexpr std::string_view kOfMesh = "linkerd.io/control-plane-ns";

struct Kind {
  k8s::Resource resource;
  std::string_view name;
};

// In the order in which they may be deleted: what intercepts requests first, namespaces and
// definitions last.
constexpr Kind kKinds[] = {
    {{"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "v1", false},
     "MutatingWebhookConfiguration"},
    {{"admissionregistration.k8s.io", "validatingwebhookconfigurations", "v1", false},
     "ValidatingWebhookConfiguration"},
    {{"apiregistration.k8s.io", "apiservices", "v1", false}, "APIService"},
    {{"batch", "cronjobs"}, "CronJob"},
    {{"batch", "jobs"}, "Job"},
    {{"apps", "daemonsets"}, "DaemonSet"},
    {{"apps", "statefulsets"}, "StatefulSet"},
    {{"apps", "deployments"}, "Deployment"},
    {{"", "replicationcontrollers"}, "ReplicationController"},
    {{"policy", "poddisruptionbudgets"}, "PodDisruptionBudget"},
    {{"monitoring.coreos.com", "podmonitors"}, "PodMonitor"},
    {{"", "services"}, "Service"},
    {{"", "configmaps"}, "ConfigMap"},
    {{"", "secrets"}, "Secret"},
    {{"policy.linkerd.io", "servers", "v1beta3,v1beta2,v1beta1"}, "Server"},
    {{"policy.linkerd.io", "serverauthorizations", "v1beta1"}, "ServerAuthorization"},
    {{"policy.linkerd.io", "authorizationpolicies", "v1alpha1"}, "AuthorizationPolicy"},
    {{"policy.linkerd.io", "meshtlsauthentications", "v1alpha1"}, "MeshTLSAuthentication"},
    {{"policy.linkerd.io", "networkauthentications", "v1alpha1"}, "NetworkAuthentication"},
    {k8s::kPolicyHttpRoutes, "HTTPRoute"},
    {{"linkerd.io", "serviceprofiles", "v1alpha2"}, "ServiceProfile"},
    {{"multicluster.linkerd.io", "links", "v1alpha3,v1alpha2,v1alpha1"}, "Link"},
    {{"rbac.authorization.k8s.io", "rolebindings"}, "RoleBinding"},
    {{"rbac.authorization.k8s.io", "roles"}, "Role"},
    {{"rbac.authorization.k8s.io", "clusterrolebindings", "v1", false}, "ClusterRoleBinding"},
    {{"rbac.authorization.k8s.io", "clusterroles", "v1", false}, "ClusterRole"},
    {{"", "serviceaccounts"}, "ServiceAccount"},
    {{"", "namespaces", "v1", false}, "Namespace"},
    {{"apiextensions.k8s.io", "customresourcedefinitions", "v1", false},
     "CustomResourceDefinition"},
};

std::string selector(const std::string& ns) {
  return concat("labelSelector=", k8s::percent_encode(concat(kOfMesh, "=", ns)));
}

std::string group_of(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? "" : std::string(api_version.substr(0, slash));
}

MeshObject object_of(const Kind& kind, std::string_view version, const Value& item) {
  const Value& metadata = item["metadata"];
  MeshObject out;
  out.api_version = kind.resource.group.empty() ? std::string(version)
                                                : concat(kind.resource.group, "/", version);
  out.kind = kind.name;
  out.ns = metadata["namespace"].string();
  out.name = metadata["name"].string();
  out.owned = !metadata["ownerReferences"].empty();
  out.kept = metadata["annotations"]["helm.sh/resource-policy"].string() == "keep";
  return out;
}

std::string find_kind(Cluster& cluster, const Kind& kind, std::vector<MeshObject>& into) {
  for (std::size_t i = 0;; ++i) {
    const std::string_view version = k8s::version_of(kind.resource, i);
    if (version.empty()) return "";
    const Reply reply = cluster.list(
        k8s::path_of(kind.resource, {}, {}, {}, version),
        [&](const Value& item) { into.push_back(object_of(kind, version, item)); },
        selector(cluster.flags().ns));
    if (reply.ok()) return "";
    if (!reply.missing()) return concat(kind.resource.plural, ": ", reply.problem);
  }
}

}  // namespace

std::string find_mesh_objects(Cluster& cluster, std::vector<MeshObject>& into) {
  for (const Kind& kind : kKinds) {
    if (std::string problem = find_kind(cluster, kind, into); !problem.empty()) return problem;
  }
  return "";
}

chart::Manifest stub_of(const MeshObject& object) {
  chart::Manifest out{{}, {}, object.api_version, object.kind, object.name, object.ns};
  out.text = concat("apiVersion: ", object.api_version, "\nkind: ", object.kind,
                    "\nmetadata:\n  name: ", inject::yaml_scalar(object.name));
  if (!object.ns.empty()) out.text += concat("\n  namespace: ", inject::yaml_scalar(object.ns));
  return out;
}

std::vector<MeshObject> to_uninstall(const std::vector<MeshObject>& objects,
                                     const std::string& ns) {
  const bool with_namespace =
      std::any_of(objects.begin(), objects.end(),
                  [&](const MeshObject& one) { return one.kind == "Namespace" && one.name == ns; });
  std::vector<MeshObject> out;
  for (const MeshObject& one : objects) {
    const bool goes_along = with_namespace && one.ns == ns;
    if (!one.kept && !one.owned && !goes_along) out.push_back(one);
  }
  return out;
}

std::vector<MeshObject> to_prune(const std::vector<MeshObject>& objects,
                                 const std::vector<chart::Manifest>& manifests) {
  std::vector<MeshObject> out;
  for (const MeshObject& one : objects) {
    const bool wanted =
        std::any_of(manifests.begin(), manifests.end(), [&](const chart::Manifest& manifest) {
          return manifest.kind == one.kind && manifest.name == one.name && manifest.ns == one.ns &&
                 group_of(manifest.api_version) == group_of(one.api_version);
        });
    if (!wanted && !one.owned && !one.kept && one.kind != "Namespace") out.push_back(one);
  }
  return out;
}

std::string find_users(Cluster& cluster, std::vector<std::string>& pods,
                       std::vector<std::string>& extensions) {
  const std::string& ns = cluster.flags().ns;
  Reply reply = cluster.list(
      k8s::path_of(k8s::kNamespaces),
      [&](const Value& item) { extensions.emplace_back(item["metadata"]["name"].string()); },
      concat("labelSelector=", k8s::percent_encode("linkerd.io/extension")));
  if (!reply.ok()) return concat("namespaces: ", reply.problem);
  reply = cluster.list(
      k8s::path_of(k8s::kPods),
      [&](const Value& item) {
        const Value& metadata = item["metadata"];
        const std::string of(metadata["namespace"].string());
        const bool apart =
            of == ns || std::find(extensions.begin(), extensions.end(), of) != extensions.end();
        const std::string_view phase = item["status"]["phase"].string();
        if (!apart && phase != "Succeeded" && phase != "Failed")
          pods.push_back(concat(of, "/", metadata["name"].string()));
      },
      selector(ns));
  return reply.ok() ? "" : concat("pods: ", reply.problem);
}

}  // namespace tulle::cli
