// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/chart.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/chart/embedded.h"
#include "cli/chart/template.h"
#include "cli/chart/values.h"
#include "lib/base/text.h"

namespace tulle::chart {
namespace {

// The order in which Helm installs kinds; others come after them, by kind and name.
constexpr std::string_view kOrder[] = {
    "PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodSecurityPolicy",
    "PodDisruptionBudget", "ServiceAccount", "Secret", "SecretList", "ConfigMap", "StorageClass", "PersistentVolume",
    "PersistentVolumeClaim", "CustomResourceDefinition", "ClusterRole", "ClusterRoleList", "ClusterRoleBinding",
    "ClusterRoleBindingList", "Role", "RoleList", "RoleBinding", "RoleBindingList", "Service", "DaemonSet", "Pod",
    "ReplicationController", "ReplicaSet", "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob",
    "IngressClass", "Ingress", "APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"};

std::size_t rank(std::string_view kind) {
  return static_cast<std::size_t>(std::find(std::begin(kOrder), std::end(kOrder), kind) - std::begin(kOrder));
}

Value yaml_of(const std::string& path, std::string_view text) {
  std::string problem;
  Value out = parse_yaml(text, problem);
  if (!problem.empty()) throw TemplateError(concat(path, ": ", problem));
  return out;
}

Chart from_files(std::map<std::string, std::string> files, const std::string& where) {
  Chart chart;
  chart.files = std::move(files);
  if (!chart.files.contains("Chart.yaml")) throw TemplateError(concat(where, ": there is no Chart.yaml"));
  chart.about = yaml_of(where + "/Chart.yaml", chart.files["Chart.yaml"]);
  chart.name = chart.about.get("name").text();
  chart.values = yaml_of(where + "/values.yaml", chart.files["values.yaml"]);
  if (chart.values.is_null()) chart.values = Map{};
  return chart;
}

Value root_of(const Chart& chart, const Release& release, const Value& values) {
  Map about;
  for (const auto& [key, value] : *chart.about.map()) {
    std::string name = key;
    name[0] = static_cast<char>(name[0] >= 'a' && name[0] <= 'z' ? name[0] - 32 : name[0]);
    about[name] = value;
  }
  Map files;
  for (const auto& [path, content] : chart.files) files[path] = content;
  const auto number = [&](std::size_t part) {
    const auto parts = split(std::string_view(release.kube_version).substr(1), '.');
    return part < parts.size() ? std::string(parts[part]) : std::string();
  };
  Map kube{{"Version", release.kube_version}, {"GitVersion", release.kube_version}, {"Major", number(0)}, {"Minor", number(1)}};
  Map root{{"Values", values},
           {"Chart", about},
           {"Files", files},
           {"Release", Map{{"Name", release.name},
                           {"Namespace", release.ns},
                           {"IsInstall", !release.upgrade},
                           {"IsUpgrade", release.upgrade},
                           {"Revision", 1},
                           {"Service", "Helm"}}},
           {"Capabilities", Map{{"KubeVersion", kube}, {"APIVersions", List{"v1"}}}}};
  return root;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// The documents of a text: cut at lines that begin with "---", with the space around that.
std::vector<std::string> documents(std::string_view text) {
  std::vector<std::string> out;
  text = trimmed(text);
  std::size_t from = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t next = at == 0 && text.starts_with("---") ? 0 : text.find("\n---", at);
    const std::size_t end = std::min(next, text.size());
    if (const std::string_view document = trimmed(text.substr(from, end - from)); !document.empty()) out.emplace_back(document);
    if (next == std::string_view::npos) break;
    from = at = end + (text[end] == '\n' ? 4 : 3);
  }
  return out;
}

}  // namespace

Chart built_in(std::string_view name) {
  std::map<std::string, std::string> files;
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path.starts_with(concat(name, "/"))) files[std::string(file.path.substr(name.size() + 1))] = file.content;
  }
  if (files.empty()) throw TemplateError(concat("there is no chart ", name, " in this program"));
  return from_files(std::move(files), std::string(name));
}

Chart read_chart(const std::string& folder) {
  std::map<std::string, std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path());
    std::stringstream content;
    content << file.rdbuf();
    files[std::filesystem::relative(entry.path(), folder).string()] = content.str();
  }
  if (error) throw TemplateError(concat(folder, ": ", error.message()));
  return from_files(std::move(files), folder);
}

std::vector<Manifest> render(const Chart& chart, const Release& release, const Value& values) {
  TemplateSet templates;
  std::vector<std::string> names;
  for (const auto& [path, content] : chart.files) {
    if (!path.starts_with("templates/")) continue;
    const std::string name = concat(chart.name, "/", path);
    templates.parse(name, content);
    const std::string_view file = std::string_view(path).substr(path.rfind('/') + 1);
    if (!file.starts_with('_') && file != "NOTES.txt") names.push_back(name);
  }
  Value root = root_of(chart, release, merge(chart.values, values));
  std::vector<Manifest> out;
  for (const std::string& name : names) {
    (*root.map())["Template"] = Map{{"Name", name}, {"BasePath", concat(chart.name, "/templates")}};
    for (std::string& text : documents(templates.render(name, root))) {
      const Value object = yaml_of(name, text);
      if (object.is_null()) continue;  // nothing but comments
      if (object.get("kind").empty()) throw TemplateError(concat(name, ": an object has no kind"));
      out.push_back({name, object.get("kind").text(), object.get("apiVersion").text(),
                     object.get("metadata").get("name").text(), std::move(text)});
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Manifest& a, const Manifest& b) {
    const std::size_t first = rank(a.kind);
    const std::size_t second = rank(b.kind);
    if (first == second && first == std::size(kOrder) && a.kind != b.kind) return a.kind < b.kind;
    return first < second;
  });
  return out;
}

std::string to_text(const std::vector<Manifest>& manifests) {
  std::string out;
  for (const Manifest& manifest : manifests) out += concat("---\n# Source: ", manifest.source, "\n", manifest.text, "\n");
  return out;
}

}  // namespace tulle::chart
