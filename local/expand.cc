// SPDX-License-Identifier: Apache-2.0
#include "local/expand.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::local {
namespace {

const std::string* find(const Environment& known, std::string_view name) {
  const auto found = std::find_if(known.rbegin(), known.rend(),
                                  [&](const auto& entry) { return entry.first == name; });
  return found == known.rend() ? nullptr : &found->second;
}

void set(Environment& known, const std::string& name, std::string value) {
  for (auto& [key, old] : known) {
    if (key != name) continue;
    old = std::move(value);
    return;
  }
  known.emplace_back(name, std::move(value));
}

// The text between ['…'] of metadata.labels['…'].
std::string_view subscript(std::string_view path) {
  const std::size_t begin = path.find("['");
  if (begin == std::string_view::npos || !path.ends_with("']")) return {};
  return path.substr(begin + 2, path.size() - begin - 4);
}

const std::string* keyed(const std::map<ObjectName, std::map<std::string, std::string>>& from,
                         const std::string& ns, const KeyRef& ref) {
  const auto object = from.find({ns, ref.name});
  if (object == from.end()) return nullptr;
  const auto value = object->second.find(ref.key);
  return value == object->second.end() ? nullptr : &value->second;
}

}  // namespace

std::string expand(std::string_view text, const Environment& known) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    if (text[i + 1] == '$') {
      out += '$';
      ++i;
      continue;
    }
    const std::size_t end = text[i + 1] == '(' ? text.find(')', i + 2) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += '$';
      continue;
    }
    if (const std::string* const value = find(known, text.substr(i + 2, end - i - 2))) {
      out += *value;
    } else {
      out += text.substr(i, end + 1 - i);
    }
    i = end;
  }
  return out;
}

std::string field_value(const PodInput& pod, std::string_view path) {
  const k8s::ObjectMeta& meta = pod.object.meta;
  if (path == "metadata.name") return meta.name;
  if (path == "metadata.namespace") return meta.ns;
  if (path == "metadata.uid") return meta.uid;
  if (path == "spec.nodeName") return "local";
  if (path == "spec.serviceAccountName") return pod.object.spec.service_account;
  if (path == "status.podIP") return pod.ip4.to_string();
  if (path == "status.podIPs") return concat(pod.ip4.to_string(), ",", pod.ip6.to_string());
  if (path == "status.hostIP") return std::string(kGateway);
  if (path.starts_with("metadata.labels[")) return std::string(meta.labels.get(subscript(path)));
  if (path.starts_with("metadata.annotations["))
    return std::string(meta.annotations.get(subscript(path)));
  if (path == "metadata.labels" || path == "metadata.annotations") {
    std::string out;
    for (const auto& [key, value] : path == "metadata.labels" ? meta.labels : meta.annotations) {
      out +=
          concat(key, "=", Json(value).dump(-1, ' ', false, Json::error_handler_t::replace), "\n");
    }
    return out;
  }
  return {};
}

Environment environment_of(const PodInput& pod, const ContainerSpec& container,
                           const Model& model) {
  Environment out;
  out.emplace_back("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  out.emplace_back("HOSTNAME", pod.object.spec.hostname.empty() ? pod.object.meta.name
                                                                : pod.object.spec.hostname);
  for (const EnvVar& var : container.env) {
    if (!var.from) {
      set(out, var.name, expand(var.value, out));
    } else if (var.from->field) {
      set(out, var.name, field_value(pod, var.from->field->path));
    } else {
      const bool secret = var.from->secret.has_value();
      const KeyRef& ref = secret ? *var.from->secret : *var.from->config_map;
      const auto* const value =
          keyed(secret ? model.secrets : model.config_maps, pod.object.meta.ns, ref);
      if (value != nullptr) set(out, var.name, *value);
    }
  }
  return out;
}

CommandLine command_of(const ContainerSpec& container,
                       const std::vector<std::string>& image_command,
                       const Environment& environment) {
  CommandLine out;
  // As Kubernetes has it: a command replaces the image's command and arguments.
  const bool own = !container.command.empty();
  for (const std::string& word : own ? container.command : image_command) {
    out.argv.push_back(own ? expand(word, environment) : word);
  }
  for (const std::string& word : container.args) out.argv.push_back(expand(word, environment));
  return out;
}

}  // namespace tulle::local
