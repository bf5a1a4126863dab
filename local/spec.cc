// SPDX-License-Identifier: Apache-2.0
#include "local/spec.h"

#include <algorithm>
#include <set>

#include "lib/base/text.h"
#include "local/images.h"
#include "local/sandbox.h"

namespace tulle::local {
namespace {

std::string at(std::string_view list, std::size_t index, std::string_view rest = "") {
  std::string out(list);
  out += '[';
  append_number(out, index);
  out += ']';
  if (!rest.empty()) {
    out += '.';
    out += rest;
  }
  return out;
}

// RFC 1123 label.
bool is_label(std::string_view name) {
  if (name.empty() || name.size() > 63 || name.front() == '-' || name.back() == '-') return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return ascii_digit(c) || (c >= 'a' && c <= 'z') || c == '-'; });
}

std::optional<Refusal> check_probe(const Probe& probe, std::string_view path) {
  if (probe.grpc) return Refusal{concat(path, ".grpc"), "gRPC probes are not run here"};
  const int kinds = (probe.exec ? 1 : 0) + (probe.tcp ? 1 : 0) + (probe.http ? 1 : 0);
  if (kinds != 1) return Refusal{std::string(path), "must have one of httpGet, tcpSocket and exec"};
  if (probe.exec && probe.exec->command.empty())
    return Refusal{concat(path, ".exec.command"), "is required"};
  if (probe.http && !probe.http->scheme.empty() && probe.http->scheme != "HTTP")
    return Refusal{concat(path, ".httpGet.scheme"), "only HTTP probes are run here"};
  if (probe.period < 1 || probe.timeout < 1 || probe.failure_threshold < 1 ||
      probe.success_threshold < 1 || probe.initial_delay < 0)
    return Refusal{std::string(path), "times and thresholds must be positive"};
  return std::nullopt;
}

std::optional<Refusal> check_env(const ContainerSpec& c, std::string_view path) {
  static const std::set<std::string_view> kFields = {
      "metadata.name", "metadata.namespace", "metadata.uid",  "spec.nodeName",
      "status.podIP",  "status.podIPs",      "status.hostIP", "spec.serviceAccountName"};
  if (c.env_from) return Refusal{concat(path, ".envFrom"), "is not supported here"};
  for (std::size_t i = 0; i < c.env.size(); ++i) {
    const EnvVar& var = c.env[i];
    const std::string here = concat(path, ".", at("env", i));
    if (var.name.empty()) return Refusal{concat(here, ".name"), "is required"};
    if (var.name.find('=') != std::string::npos)
      return Refusal{concat(here, ".name"), "must not contain '='"};
    if (!var.from) continue;
    const EnvSource& from = *var.from;
    const int kinds = (from.field ? 1 : 0) + (from.config_map ? 1 : 0) + (from.secret ? 1 : 0);
    if (kinds != 1) {
      return Refusal{concat(here, ".valueFrom"),
                     "must be one of fieldRef, configMapKeyRef and secretKeyRef"};
    }
    if (from.field) {
      const std::string_view field = from.field->path;
      const bool keyed =
          field.starts_with("metadata.labels['") || field.starts_with("metadata.annotations['");
      if (!keyed && !kFields.contains(field))
        return Refusal{concat(here, ".valueFrom.fieldRef.fieldPath"),
                       concat("the field ", field, " is not known here")};
    }
  }
  return std::nullopt;
}

// In /proc or /sys, however it is written; links of images are looked at when the path is used.
bool is_the_kernels(std::string_view path) {
  for (const std::string_view name : split(path, '/')) {
    if (name.empty() || name == ".") continue;
    return name == "proc" || name == "sys";
  }
  return true;  // the root itself
}

// Kubernetes knows users and groups up to here; what is beyond would be cut to another number.
constexpr std::int64_t kMaxId = 2147483647;

std::optional<Refusal> check_ids(const SecurityContext& security, std::string_view path) {
  for (const auto& [id, name] : {std::pair{security.user, ".securityContext.runAsUser"},
                                 {security.group, ".securityContext.runAsGroup"},
                                 {security.fs_group, ".securityContext.fsGroup"}}) {
    if (id && (*id < 0 || *id > kMaxId))
      return Refusal{concat(path, name), "must be from 0 to 2147483647"};
  }
  return std::nullopt;
}

std::optional<Refusal> check_capabilities(const Capabilities& capabilities, std::string_view path) {
  for (std::size_t i = 0; i < capabilities.add.size(); ++i) {
    const std::string& name = capabilities.add[i];
    const std::string here = concat(path, ".", at("add", i));
    const int number = capability_number(name);
    if (means_all_capabilities(name) || (number >= 0 && !is_grantable(number)))
      return Refusal{here, concat(name, " opens the machine, which containers are not given here")};
    if (number < 0) return Refusal{here, concat("there is no capability ", name)};
  }
  for (std::size_t i = 0; i < capabilities.drop.size(); ++i) {
    const std::string& name = capabilities.drop[i];
    if (!means_all_capabilities(name) && capability_number(name) < 0)
      return Refusal{concat(path, ".", at("drop", i)), concat("there is no capability ", name)};
  }
  return std::nullopt;
}

std::optional<Refusal> check_security(const PodObject& pod, const ContainerSpec& c,
                                      std::string_view path) {
  if (c.security.privileged) {
    return Refusal{concat(path, ".securityContext.privileged"),
                   "containers are not given the machine here"};
  }
  if (auto refusal = check_ids(c.security, path)) return refusal;
  if (auto refusal = check_capabilities(c.security.capabilities,
                                        concat(path, ".securityContext.capabilities")))
    return refusal;
  const SecurityContext& whole = pod.spec.security;
  const Image* const image = find_image(c.image);
  if (image == nullptr || !c.security.non_root.value_or(whole.non_root.value_or(false)))
    return std::nullopt;
  if (c.security.user.value_or(whole.user.value_or(image->user)) == 0)
    return Refusal{concat(path, ".securityContext.runAsNonRoot"),
                   "it would run as root: runAsUser must name another user"};
  return std::nullopt;
}

std::optional<Refusal> check_container(const PodObject& pod, const ContainerSpec& c,
                                       std::string_view path, bool init) {
  // It is part of the names of folders and logs.
  if (!is_label(c.name)) {
    return Refusal{concat(path, ".name"), "must be lower-case letters, digits and '-'"};
  }
  if (c.image.empty()) return Refusal{concat(path, ".image"), "is required"};
  if (c.lifecycle) return Refusal{concat(path, ".lifecycle"), "hooks are not run here"};
  if (auto refusal = check_security(pod, c, path)) return refusal;
  if (!c.restart_policy.empty() && (!init || c.restart_policy != "Always"))
    return Refusal{concat(path, ".restartPolicy"), "only init containers may say Always here"};
  for (const auto& [probe, name] : {std::pair{&c.liveness, ".livenessProbe"},
                                    {&c.readiness, ".readinessProbe"},
                                    {&c.startup, ".startupProbe"}}) {
    if (!*probe) continue;
    if (auto refusal = check_probe(**probe, concat(path, name))) return refusal;
  }
  if (auto refusal = check_env(c, path)) return refusal;
  for (std::size_t i = 0; i < c.mounts.size(); ++i) {
    const VolumeMount& mount = c.mounts[i];
    const std::string here = concat(path, ".", at("volumeMounts", i));
    if (!mount.path.starts_with('/') || mount.path.find("..") != std::string::npos)
      return Refusal{concat(here, ".mountPath"), "must be an absolute path without .."};
    if (is_the_kernels(mount.path))
      return Refusal{concat(here, ".mountPath"), "must not be in /proc or /sys"};
    if (mount.sub_path.find("..") != std::string::npos || mount.sub_path.starts_with('/'))
      return Refusal{concat(here, ".subPath"), "must be a relative path without .."};
    const auto& volumes = pod.spec.volumes;
    const bool known = std::any_of(volumes.begin(), volumes.end(),
                                   [&](const Volume& v) { return v.name == mount.name; });
    if (!known) return Refusal{concat(here, ".name"), concat("no volume is named ", mount.name)};
  }
  return std::nullopt;
}

bool safe_path(std::string_view path) {
  return !path.empty() && path.find("..") == std::string_view::npos && path.front() != '/';
}

std::optional<Refusal> check_volume(const Volume& v, std::string_view path) {
  if (!is_label(v.name)) {
    return Refusal{concat(path, ".name"), "must be lower-case letters, digits and '-'"};
  }
  const int kinds = (v.empty_dir ? 1 : 0) + (v.config_map ? 1 : 0) + (v.secret ? 1 : 0) +
                    (v.projected ? 1 : 0) + (v.fields ? 1 : 0);
  if (kinds != 1) {
    return Refusal{std::string(path),
                   "must be one of emptyDir, configMap, secret, projected and downwardAPI"};
  }
  const auto bad = [](const KeyedFiles& files) {
    return std::any_of(files.items.begin(), files.items.end(),
                       [](const KeyToPath& item) { return !safe_path(item.path); });
  };
  const auto bad_fields = [](const FieldFiles& files) {
    return std::any_of(files.items.begin(), files.items.end(),
                       [](const FieldFile& item) { return !safe_path(item.path) || !item.field; });
  };
  bool wrong = (v.config_map && bad(*v.config_map)) || (v.secret && bad(*v.secret)) ||
               (v.fields && bad_fields(*v.fields));
  if (v.projected) {
    for (const ProjectedPart& part : v.projected->sources) {
      wrong = wrong || (part.config_map && bad(*part.config_map)) ||
              (part.secret && bad(*part.secret)) || (part.fields && bad_fields(*part.fields)) ||
              (part.token && (!safe_path(part.token->path) || part.token->expiration < 600));
    }
  }
  if (wrong) {
    return Refusal{std::string(path),
                   "paths must be relative without .., tokens must live for 600 s or more"};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> check_pod(const PodObject& pod) {
  const PodSpec& spec = pod.spec;
  for (const auto& [wanted, name] : {std::pair{spec.host_network, "spec.hostNetwork"},
                                     {spec.host_pid, "spec.hostPID"},
                                     {spec.host_ipc, "spec.hostIPC"}}) {
    if (wanted) return Refusal{name, "pods do not share the machine's namespaces here"};
  }
  if (!spec.restart_policy.empty() && spec.restart_policy != "Always" &&
      spec.restart_policy != "OnFailure" && spec.restart_policy != "Never")
    return Refusal{"spec.restartPolicy", "must be Always, OnFailure or Never"};
  // They become lines of files that the pods read.
  for (const auto& [label, name] :
       {std::pair{&spec.hostname, "spec.hostname"}, {&spec.subdomain, "spec.subdomain"}}) {
    if (!label->empty() && !is_label(*label))
      return Refusal{name, "must be lower-case letters, digits and '-', at most 63"};
  }
  if (auto refusal = check_ids(spec.security, "spec")) return refusal;
  if (spec.containers.empty()) return Refusal{"spec.containers", "is required"};
  for (std::size_t i = 0; i < spec.volumes.size(); ++i) {
    if (auto refusal = check_volume(spec.volumes[i], at("spec.volumes", i))) return refusal;
  }
  std::set<std::string_view> names;
  for (const bool init : {true, false}) {
    const auto& list = init ? spec.init_containers : spec.containers;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string path = at(init ? "spec.initContainers" : "spec.containers", i);
      if (auto refusal = check_container(pod, list[i], path, init)) return refusal;
      if (!names.insert(list[i].name).second)
        return Refusal{concat(path, ".name"), concat("two containers are named ", list[i].name)};
    }
  }
  return std::nullopt;
}

}  // namespace tulle::local
