// SPDX-License-Identifier: Apache-2.0
// Kubernetes itself, and whether an installation may begin.
#include "cli/check/checks.h"
#include "lib/base/text.h"

namespace tulle::cli {
namespace {

constexpr int kMinimumMinor = 31;
// A Lease of a node is renewed every 10 s; a node whose Lease is older may be away.
constexpr auto kLeaseAge = std::chrono::seconds(40);
constexpr auto kSkew = std::chrono::seconds(10);

Outcome minimum_version(ClusterView& view) {
  const Answer& version = view.object("/version");
  if (!version.ok())
    return fail(concat("the API server does not tell its version: ", version.problem));
  std::string_view minor = version.value["minor"].string();
  while (!minor.empty() && !ascii_digit(minor.back())) minor.remove_suffix(1);
  const auto major = parse_number<int>(version.value["major"].string());
  const auto number = parse_number<int>(minor);
  if (!major || !number) return fail("the API server's version cannot be read");
  if (*major > 1 || *number >= kMinimumMinor) return pass();
  return fail(concat("Kubernetes is on version [", version.value["gitVersion"].string(),
                     "], but version [1.", std::to_string(kMinimumMinor),
                     ".0] or more recent is required: upgrade the cluster"));
}

struct Right {
  const char* verb;
  const char* group;
  const char* resource;
  const char* name = "";
  const char* ns = "";  // "": that of the control plane
  bool namespaced = true;
};

// "" or which rights are missing.
std::string missing_rights(ClusterView& view, const std::vector<Right>& rights) {
  std::vector<Value> reviews;
  for (const Right& right : rights) {
    Value attributes =
        Value::map({{"verb", right.verb}, {"group", right.group}, {"resource", right.resource}});
    if (right.namespaced)
      attributes.set("namespace", *right.ns != '\0' ? std::string(right.ns) : view.ns());
    if (*right.name != '\0') attributes.set("name", right.name);
    reviews.push_back(
        Value::map({{"apiVersion", "authorization.k8s.io/v1"},
                    {"kind", "SelfSubjectAccessReview"},
                    {"spec", Value::map({{"resourceAttributes", std::move(attributes)}})}}));
  }
  const std::vector<Answer> answers =
      view.cluster().post_all(k8s::path_of(k8s::kSelfSubjectAccessReviews), reviews);
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < rights.size(); ++i) {
    if (!answers[i].ok())
      return concat("the API server does not say what you may do: ", answers[i].problem);
    if (!answers[i].value["status"]["allowed"].is_true())
      missing.push_back(concat(rights[i].verb, " ", rights[i].resource));
  }
  if (missing.empty()) return "";
  return concat(
      "not authorized to ", some_of(missing),
      ": use a context of the kubeconfig that may, such as that of a cluster administrator");
}

Check may(ClusterView& view, std::string description, std::string anchor,
          std::vector<Right> rights) {
  return {std::move(description), std::move(anchor), kNone,
          [&view, rights = std::move(rights)] { return unless(missing_rights(view, rights)); }};
}

Outcome namespace_absent(ClusterView& view) {
  const Answer& ns = view.object(k8s::path_of(k8s::kNamespaces, "", view.ns()));
  if (ns.missing()) return pass();
  if (!ns.ok()) return fail(concat("namespace ", view.ns(), ": ", ns.problem));
  // One that was made for an installation by Helm is in order.
  const Answer& config = view.object(k8s::path_of(k8s::kConfigMaps, view.ns(), "linkerd-config"));
  if (config.missing()) return pass();
  return fail(concat(
      "The \"", view.ns(),
      "\" namespace already exists and holds a control plane: upgrade it, or uninstall it first"));
}

Category pre_checks(ClusterView& view) {
  constexpr const char* kRbac = "rbac.authorization.k8s.io";
  constexpr const char* kAdmission = "admissionregistration.k8s.io";
  const auto cluster = [](const char* group, const char* resource) {
    return Right{"create", group, resource, "", "", false};
  };
  const auto create = [&](const char* description, const char* group, const char* resource) {
    return may(view, description, "pre-k8s", {{"create", group, resource}});
  };
  Category out{"pre-kubernetes-setup", {}};
  out.checks = {
      {"control plane namespace does not already exist", "pre-ns", kNone,
       [&view] { return namespace_absent(view); }},
      may(view, "can create non-namespaced resources", "pre-k8s-cluster-k8s",
          {cluster("", "namespaces"), cluster(kRbac, "clusterroles"),
           cluster(kRbac, "clusterrolebindings"),
           cluster("apiextensions.k8s.io", "customresourcedefinitions"),
           cluster(kAdmission, "mutatingwebhookconfigurations"),
           cluster(kAdmission, "validatingwebhookconfigurations")}),
      create("can create ServiceAccounts", "", "serviceaccounts"),
      create("can create Services", "", "services"),
      create("can create Deployments", "apps", "deployments"),
      create("can create CronJobs", "batch", "cronjobs"),
      create("can create ConfigMaps", "", "configmaps"),
      create("can create Secrets", "", "secrets"),
      may(view, "can read Secrets", "pre-k8s", {{"get", "", "secrets"}}),
      may(view, "can read extension-apiserver-authentication configmap", "pre-k8s",
          {{"get", "", "configmaps", "extension-apiserver-authentication", "kube-system"}}),
      {"no clock skew detected", "pre-k8s-clock-skew", kWarning,
       [&view] { return clocks_agree(view); }},
  };
  return out;
}

std::string crd_path(std::string_view name) {
  return concat("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/", name);
}

bool serves(const Value& crd, std::string_view version) {
  for (const Value& each : crd["spec"]["versions"].items()) {
    if (each["name"].string() == version) return each["served"].is_true();
  }
  return false;
}

// Nobody needs the Gateway API here; but a version of it that is not read would look as if routes
// were in effect. Linkerd's own control plane does not start without the first two.
Outcome gateway_kinds_are_read(ClusterView& view) {
  static constexpr k8s::Resource kKinds[] = {k8s::kHttpRoutes, k8s::kGrpcRoutes, k8s::kTlsRoutes,
                                             k8s::kTcpRoutes};
  const auto name = [](const k8s::Resource& kind) { return concat(kind.plural, ".", kind.group); };
  std::vector<std::string> paths;
  for (const k8s::Resource& kind : kKinds) paths.push_back(crd_path(name(kind)));
  view.expect(paths);
  const bool linkerds = is_linkerds(view);
  std::vector<std::string> wrong;
  bool any = false;
  for (std::size_t i = 0; i < std::size(kKinds); ++i) {
    const Answer& crd = view.object(paths[i]);
    if (crd.missing()) {
      if (linkerds && i < 2) wrong.push_back(concat("missing ", name(kKinds[i])));
      continue;
    }
    if (!crd.ok()) return fail(concat(name(kKinds[i]), ": ", crd.problem));
    any = true;
    bool read = false;
    for (std::size_t at = 0; !read && !k8s::version_of(kKinds[i], at).empty(); ++at)
      read = serves(crd.value, k8s::version_of(kKinds[i], at));
    if (!read)
      wrong.push_back(concat(name(kKinds[i]), " serves none of ", kKinds[i].versions,
                             ", so such routes have no effect"));
  }
  if (!any && wrong.empty()) return skip();
  return unless(
      lines_of("kinds of the Gateway API are missing or of a version that is not read: install "
               "version 1.1 or newer of it "
               "(linkerd-crds with installGatewayAPI=true has them)",
               wrong));
}

}  // namespace

Outcome clocks_agree(ClusterView& view) {
  const Listed<Value>& leases = view.all(k8s::path_of(k8s::kLeases, "kube-node-lease"));
  if (!leases.problem.empty())
    return fail(concat("the Leases of nodes cannot be read: ", leases.problem));
  std::vector<std::string> wrong;
  for (const Value& lease : leases.items) {
    const auto renewed = parse_rfc3339(lease["spec"]["renewTime"].string());
    if (!renewed) continue;
    const std::string_view node = lease["metadata"]["name"].string();
    const auto ahead = std::chrono::duration_cast<std::chrono::seconds>(*renewed - wall_now());
    if (ahead > kSkew) {
      wrong.push_back(concat(node, " is ", std::to_string(ahead.count()), " s ahead"));
      continue;
    }
    if (ahead > -kLeaseAge) continue;
    // A node that is away does not renew; one that is Ready and late has another clock.
    const Answer& found = view.object(k8s::path_of(k8s::kNodes, "", node));
    for (const Value& condition : found.value["status"]["conditions"].items()) {
      if (condition["type"].string() == "Ready" && condition["status"].string() == "True") {
        wrong.push_back(concat(node, " is about ", std::to_string(-ahead.count()), " s behind"));
      }
    }
  }
  return unless(
      lines_of("clocks of nodes differ from that of this machine; certificates need clocks that "
               "agree: set up NTP (timedatectl status)",
               wrong));
}

Outcome crds_exist(ClusterView& view) {
  struct Wanted {
    const char* name;
    const char* version;
  };
  static constexpr Wanted kWanted[] = {
      {"authorizationpolicies.policy.linkerd.io", "v1alpha1"},
      {"egressnetworks.policy.linkerd.io", "v1alpha1"},
      {"httplocalratelimitpolicies.policy.linkerd.io", "v1alpha1"},
      {"httproutes.policy.linkerd.io", "v1beta3"},
      {"meshtlsauthentications.policy.linkerd.io", "v1alpha1"},
      {"networkauthentications.policy.linkerd.io", "v1alpha1"},
      {"serverauthorizations.policy.linkerd.io", "v1beta1"},
      {"servers.policy.linkerd.io", "v1beta3"},
      {"serviceprofiles.linkerd.io", "v1alpha2"},
      {"externalworkloads.workload.linkerd.io", "v1beta1"},
  };
  const auto path = [](const Wanted& wanted) { return crd_path(wanted.name); };
  std::vector<std::string> paths;
  for (const Wanted& wanted : kWanted) paths.push_back(path(wanted));
  view.expect(paths);
  std::vector<std::string> wrong;
  for (const Wanted& wanted : kWanted) {
    const Answer& crd = view.object(path(wanted));
    if (crd.missing()) {
      wrong.push_back(concat("missing ", wanted.name));
      continue;
    }
    if (!crd.ok()) return fail(concat(wanted.name, ": ", crd.problem));
    if (!serves(crd.value, wanted.version))
      wrong.push_back(concat(wanted.name, " does not serve version ", wanted.version));
  }
  return unless(lines_of(
      "CustomResourceDefinitions are missing or too old: install or upgrade the chart linkerd-crds",
      wrong));
}

std::vector<Category> cluster_checks(ClusterView& view, const CheckFlags& flags) {
  std::vector<Category> out;
  const auto answers = [&view] {
    const Answer& version = view.object("/version");
    if (version.ok()) return pass();
    return fail(concat(view.cluster().server(), ": ", version.problem,
                       "\nsee whether the cluster runs and the kubeconfig's credentials are still "
                       "good: kubectl get --raw /version"));
  };
  // That the client builds is known by now.
  out.push_back({"kubernetes-api",
                 {{"can initialize the client", "k8s-api", kFatal, [] { return pass(); }},
                  {"can query the Kubernetes API", "k8s-api", kFatal, answers}}});
  out.push_back({"kubernetes-version",
                 {{"is running the minimum Kubernetes API version", "k8s-version", kNone,
                   [&view] { return minimum_version(view); }}}});
  out.push_back({"gateway-api-crd",
                 {{"Gateway API kinds are of a version that is read", "gateway-api-crd", kNone,
                   [&view] { return gateway_kinds_are_read(view); }}}});
  if (flags.pre) out.push_back(pre_checks(view));
  if (flags.crds) {
    out.push_back({"linkerd-crd",
                   {{"control plane CustomResourceDefinitions exist", "l5d-existence-crd",
                     kFatal | kRetry, [&view] { return crds_exist(view); }}}});
  }
  return out;
}

}  // namespace tulle::cli
