// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/chart.h"

#include <algorithm>
#include <map>

#include "cli/chart/files.h"
#include "cli/chart/schema.h"
#include "cli/chart/semver.h"
#include "cli/chart/template.h"
#include "cli/chart/yaml.h"
#include "lib/base/text.h"

namespace tulle::chart {

namespace {

constexpr std::string_view kNotes = "templates/NOTES.txt";

// Helm's order of installation; other kinds come after these, by name.
constexpr std::string_view kInstallOrder[] = {"PriorityClass",
                                              "Namespace",
                                              "NetworkPolicy",
                                              "ResourceQuota",
                                              "LimitRange",
                                              "PodSecurityPolicy",
                                              "PodDisruptionBudget",
                                              "ServiceAccount",
                                              "Secret",
                                              "SecretList",
                                              "ConfigMap",
                                              "StorageClass",
                                              "PersistentVolume",
                                              "PersistentVolumeClaim",
                                              "CustomResourceDefinition",
                                              "ClusterRole",
                                              "ClusterRoleList",
                                              "ClusterRoleBinding",
                                              "ClusterRoleBindingList",
                                              "Role",
                                              "RoleList",
                                              "RoleBinding",
                                              "RoleBindingList",
                                              "Service",
                                              "DaemonSet",
                                              "Pod",
                                              "ReplicationController",
                                              "ReplicaSet",
                                              "Deployment",
                                              "HorizontalPodAutoscaler",
                                              "StatefulSet",
                                              "Job",
                                              "CronJob",
                                              "IngressClass",
                                              "Ingress",
                                              "APIService"};

// The API versions that every supported cluster has.
constexpr std::string_view kApiVersions[] = {"v1",
                                             "admissionregistration.k8s.io/v1",
                                             "apiextensions.k8s.io/v1",
                                             "apiregistration.k8s.io/v1",
                                             "apps/v1",
                                             "authentication.k8s.io/v1",
                                             "authorization.k8s.io/v1",
                                             "autoscaling/v1",
                                             "autoscaling/v2",
                                             "batch/v1",
                                             "certificates.k8s.io/v1",
                                             "coordination.k8s.io/v1",
                                             "discovery.k8s.io/v1",
                                             "events.k8s.io/v1",
                                             "flowcontrol.apiserver.k8s.io/v1",
                                             "networking.k8s.io/v1",
                                             "node.k8s.io/v1",
                                             "policy/v1",
                                             "rbac.authorization.k8s.io/v1",
                                             "scheduling.k8s.io/v1",
                                             "storage.k8s.io/v1"};

std::string text_of(const Value& map, std::string_view key) {
  const Value* const member = map.find(key);
  return member == nullptr || member->is_null() ? "" : member->print();
}

// Chart.yaml under the names that Helm's struct has.
Value metadata_of(const Value& yaml) {
  static constexpr std::pair<std::string_view, std::string_view> kFields[] = {
      {"Name", "name"},
      {"Home", "home"},
      {"Version", "version"},
      {"Description", "description"},
      {"Icon", "icon"},
      {"APIVersion", "apiVersion"},
      {"Condition", "condition"},
      {"Tags", "tags"},
      {"AppVersion", "appVersion"},
      {"KubeVersion", "kubeVersion"},
      {"Type", "type"}};
  Value::Members out;
  for (const auto& [field, key] : kFields) out.emplace(field, Value(text_of(yaml, key)));
  for (const auto& [field, key] :
       {std::pair("Sources", "sources"), std::pair("Keywords", "keywords"),
        std::pair("Maintainers", "maintainers"), std::pair("Dependencies", "dependencies")}) {
    const Value* const list = yaml.find(key);
    out.emplace(field, list != nullptr && list->is_list() ? *list : Value(Value::List()));
  }
  const Value* const annotations = yaml.find("annotations");
  out.emplace("Annotations",
              annotations != nullptr && annotations->is_map() ? *annotations : Value::map());
  const Value* const deprecated = yaml.find("deprecated");
  out.emplace("Deprecated", Value(deprecated != nullptr && deprecated->is_true()));
  out.emplace("IsRoot", Value(true));
  return Value::map(std::move(out), "chart.Metadata");
}

Value capabilities(std::string_view version) {
  Value::Members apis;
  for (const std::string_view api : kApiVersions) apis.emplace(api, Value(true));
  const std::vector<std::string_view> parts =
      split(version.substr(version.starts_with('v') ? 1 : 0), '.');
  Value::Members kube = {{"Version", Value(version)},
                         {"GitVersion", Value(version)},
                         {"Major", Value(parts[0])},
                         {"Minor", Value(parts.size() > 1 ? parts[1] : "0")}};
  Value::Members helm = {{"Version", Value("v3.19.5")},
                         {"GitCommit", Value("")},
                         {"GitTreeState", Value("")},
                         {"GoVersion", Value("")}};
  return Value::map({{"KubeVersion", Value::map(std::move(kube), "chartutil.KubeVersion")},
                     {"APIVersions", Value::map(std::move(apis), std::string(kVersionsType))},
                     {"HelmVersion", Value::map(std::move(helm), "version.BuildInfo")}},
                    "chartutil.Capabilities");
}

class Coalescing {
 public:
  Coalescing(std::string_view chart, std::vector<std::string>& warnings)
      : chart_(chart), warnings_(warnings) {}

  void root(const Value& given, const Value& own) {
    for (const auto& [key, value] : own.members()) {
      const Value* const mine = given.find(key);
      if (mine == nullptr) {
        given.set(key, value);
      } else if (mine->is_null()) {
        given.erase(key);
      } else if (mine->is_map()) {
        if (value.is_map()) {
          tables(*mine, value, concat(chart_, ".", key));
        } else if (!value.is_null()) {
          warnings_.push_back(concat("skipped value for ", chart_, ".", key, ": Not a table."));
        }
      }
    }
  }

 private:
  void tables(const Value& into, const Value& from, const std::string& path) {
    // A null of the user's removes the key, also where the chart has none of this name; one of the
    // chart's own stays.
    std::vector<std::string> removed;
    for (const auto& [key, value] : into.members()) {
      if (value.is_null()) removed.push_back(key);
    }
    for (const auto& [key, value] : from.members()) {
      const std::string full = concat(path, ".", key);
      const Value* const mine = into.find(key);
      if (mine == nullptr) {
        into.set(key, value);
      } else if (mine->is_null()) {
        // Removed below.
      } else if (value.is_map() && mine->is_map()) {
        tables(*mine, value, full);
      } else if (value.is_map()) {
        warnings_.push_back(
            concat("cannot overwrite table with non table for ", full, " (", value.print(), ")"));
      } else if (mine->is_map() && !value.is_null()) {
        warnings_.push_back(concat("destination for ", full,
                                   " is a table. Ignoring non-table value (", value.print(), ")"));
      }
    }
    for (const std::string& key : removed) into.erase(key);
  }

  std::string_view chart_;
  std::vector<std::string>& warnings_;
};

std::size_t rank(std::string_view kind) {
  return static_cast<std::size_t>(
      std::find(std::begin(kInstallOrder), std::end(kInstallOrder), kind) -
      std::begin(kInstallOrder));
}

bool before(const Manifest& a, const Manifest& b) {
  const std::size_t left = rank(a.kind), right = rank(b.kind);
  return left != right ? left < right : left == std::size(kInstallOrder) && a.kind < b.kind;
}

constexpr std::string_view kSpaces = " \t\n\v\f\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t start = text.find_first_not_of(kSpaces);
  return start == std::string_view::npos
             ? ""
             : text.substr(start, text.find_last_not_of(kSpaces) + 1 - start);
}

// The documents of a file: what stands between lines that begin with ---.
std::vector<std::string> documents(std::string_view text) {
  std::vector<std::string> out;
  text = trimmed(text);
  std::size_t start = 0;
  const auto take = [&](std::size_t end) {
    const std::string_view document = text.substr(start, end - start);
    if (!document.empty()) out.emplace_back(trimmed(document));
  };
  for (std::size_t line = 0; line < text.size();) {
    if (text.substr(line, 3) == "---") {
      take(std::max(start, line == 0 ? 0 : text.find_last_not_of(kSpaces, line - 1) + 1));
      // The line that the next document begins on begins none, as Helm reads it.
      line = start = std::min(text.find_first_not_of(kSpaces, line + 3), text.size());
    }
    line = std::min(text.find('\n', line), text.size() - 1) + 1;
  }
  take(text.size());
  return out;
}

// False if the file is no YAML.
bool sort_file(const std::string& file, const std::string& text, Rendered& into,
               std::string& problem) {
  for (std::string& document : documents(text)) {
    std::string why;
    const auto head = parse_yaml(document, why);
    if (!head || (!head->is_map() && !head->is_null())) {
      problem = concat("YAML parse error on ", file, ": ", head ? "not an object" : why);
      return false;
    }
    Manifest manifest{
        file, std::move(document), text_of(*head, "apiVersion"), text_of(*head, "kind"), {}, {}};
    const Value* const metadata = head->find("metadata");
    const Value* const annotations = metadata != nullptr ? metadata->find("annotations") : nullptr;
    if (metadata != nullptr) {
      manifest.name = text_of(*metadata, "name");
      manifest.ns = text_of(*metadata, "namespace");
    }
    const bool hook = annotations != nullptr && annotations->find("helm.sh/hook") != nullptr;
    (hook ? into.hooks : into.manifests).push_back(std::move(manifest));
  }
  return true;
}

// Templates deeper in the folder come first, so that what lies above may define the same anew.
bool later(const Source* a, const Source* b) {
  const auto depth = [](std::string_view path) {
    return std::count(path.begin(), path.end(), '/');
  };
  return depth(a->path) != depth(b->path) ? depth(a->path) > depth(b->path) : a->path > b->path;
}

}  // namespace

std::optional<Chart> read_chart(std::span<const Source> files, std::string& problem) {
  Chart chart;
  Value::Members others;
  chart.values = Value::map();
  for (const Source& file : files) {
    std::string why;
    if (file.path == "Chart.yaml" || file.path == "values.yaml") {
      const auto yaml = parse_yaml(file.text, why);
      if (!yaml || (!yaml->is_map() && !yaml->is_null())) {
        problem = concat(file.path, ": ", why.empty() ? "not an object" : why);
        return std::nullopt;
      }
      (file.path == "Chart.yaml" ? chart.metadata : chart.values) =
          yaml->is_map() ? *yaml : Value::map();
    } else if (file.path == "values.schema.json") {
      chart.schema = file.text;
    } else if (file.path.starts_with("templates/")) {
      chart.templates.push_back(file);
    } else {
      others.emplace(file.path, Value(file.text));
    }
  }
  chart.name = text_of(chart.metadata, "name");
  chart.version = text_of(chart.metadata, "version");
  chart.app_version = text_of(chart.metadata, "appVersion");
  chart.kube_version = text_of(chart.metadata, "kubeVersion");
  if (chart.name.empty()) problem = "the chart has no name";
  if (chart.metadata.find("dependencies") != nullptr)
    problem = concat(chart.name, ": charts with dependencies are rendered by Helm only");
  if (!problem.empty()) return std::nullopt;
  chart.metadata = metadata_of(chart.metadata);
  chart.files = Value::map(std::move(others), std::string(kFilesType));
  return chart;
}

Value coalesce(const Chart& chart, const Value& given, std::vector<std::string>& warnings) {
  Value out = given.is_map() ? given.deep_copy() : Value::map();
  Coalescing(chart.name, warnings).root(out, chart.values.deep_copy());
  return out;
}

bool render(const Chart& chart, const Value& values, const Release& release, Rendered& into,
            std::string& problem) {
  if (!chart.schema.empty()) {
    const std::vector<std::string> wrong = check_schema(chart.schema, values);
    for (const std::string& one : wrong)
      problem += concat(problem.empty() ? "" : "\n", chart.name, ": values ", one);
    if (!wrong.empty()) return false;
  }
  if (!chart.kube_version.empty() &&
      !version_fits(chart.kube_version, release.kube_version).value_or(false)) {
    problem = concat("chart requires kubeVersion: ", chart.kube_version,
                     " which is incompatible with Kubernetes ", release.kube_version);
    return false;
  }
  TemplateSet templates;
  std::vector<const Source*> order;
  for (const Source& file : chart.templates) order.push_back(&file);
  std::sort(order.begin(), order.end(), later);
  for (const Source* const file : order) {
    const std::string name = concat(chart.name, "/", file->path);
    if (!templates.add(name, file->text, name, problem)) return false;
  }
  const Value dot = Value::map({
      {"Chart", chart.metadata},
      {"Files", chart.files},
      {"Release", Value::map({{"Name", Value(release.name)},
                              {"Namespace", Value(release.ns)},
                              {"IsUpgrade", Value(release.upgrade)},
                              {"IsInstall", Value(!release.upgrade)},
                              {"Revision", Value::integer(1)},
                              {"Service", Value("Helm")}})},
      {"Capabilities", capabilities(release.kube_version)},
      {"Values", values},
      {"Subcharts", Value::map()},
  });
  std::map<std::string, std::string> rendered;
  for (const Source* const file : order) {
    if (file->path.substr(file->path.rfind('/') + 1).starts_with('_')) continue;
    const std::string name = concat(chart.name, "/", file->path);
    dot.set("Template", Value::map({{"Name", Value(name)},
                                    {"BasePath", Value(concat(chart.name, "/templates"))}}));
    std::string text;
    if (!execute(templates, name, dot, text, problem)) return false;
    if (file->path == kNotes) {
      into.notes = std::move(text);
    } else if (!trimmed(text).empty()) {
      rendered.emplace(name, std::move(text));
    }
  }
  for (const auto& [file, text] : rendered) {
    if (!sort_file(file, text, into, problem)) return false;
  }
  std::stable_sort(into.manifests.begin(), into.manifests.end(), before);
  std::stable_sort(into.hooks.begin(), into.hooks.end(), before);
  return true;
}

std::string to_text(const Rendered& rendered) {
  std::string out;
  for (const auto* const group : {&rendered.manifests, &rendered.hooks}) {
    for (const Manifest& one : *group)
      out += concat("---\n# Source: ", one.file, "\n", one.text, "\n");
  }
  return out;
}

}  // namespace tulle::chart
