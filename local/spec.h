// SPDX-License-Identifier: Apache-2.0
// Pods as somebody who runs them reads them: commands, environment, volumes, probes, users. Plain
// structs with one description each (lib/k8s/decoder.h), so every error names file, line and field.
// What a mesh reads of the same objects is lib/k8s/objects.h. Fields that cannot be honoured here
// and whose absence would be noticed are read in order to be refused (see check_pod).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/k8s/objects.h"

namespace tulle::local {

struct FieldRef {
  std::string path;
};
struct KeyRef {
  std::string name;
  std::string key;
  bool optional = false;
};
struct EnvSource {
  std::optional<FieldRef> field;
  std::optional<KeyRef> config_map;
  std::optional<KeyRef> secret;
};
struct EnvVar {
  std::string name;
  std::string value;
  std::optional<EnvSource> from;
};

struct VolumeMount {
  std::string name;
  std::string path;
  std::string sub_path;
  bool read_only = false;
};

struct ExecAction {
  std::vector<std::string> command;
};
struct TcpAction {
  k8s::IntOrString port;
};
struct HttpAction {
  std::string path;
  k8s::IntOrString port;
  std::string scheme;
};
struct Anything {};  // a field that is only seen, not understood

struct Probe {
  std::optional<ExecAction> exec;
  std::optional<TcpAction> tcp;
  std::optional<HttpAction> http;
  std::optional<Anything> grpc;
  std::int32_t initial_delay = 0;  // seconds
  std::int32_t period = 10;
  std::int32_t timeout = 1;
  std::int32_t success_threshold = 1;
  std::int32_t failure_threshold = 3;
};

struct Capabilities {
  std::vector<std::string> add;
  std::vector<std::string> drop;
};
struct SecurityContext {
  std::optional<std::int64_t> user;
  std::optional<std::int64_t> group;
  std::optional<std::int64_t> fs_group;  // of pods only
  std::optional<bool> non_root;
  bool read_only_root = false;
  bool privileged = false;
  std::optional<bool> allow_escalation;
  Capabilities capabilities;
};

struct ContainerSpec {
  std::string name;
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string working_dir;
  std::vector<k8s::ContainerPort> ports;
  std::vector<EnvVar> env;
  std::optional<std::vector<Anything>> env_from;
  std::vector<VolumeMount> mounts;
  std::optional<Probe> liveness;
  std::optional<Probe> readiness;
  std::optional<Probe> startup;
  std::optional<Anything> lifecycle;
  std::string restart_policy;  // of init containers: "" or "Always"
  SecurityContext security;
};

struct KeyToPath {
  std::string key;
  std::string path;
};
// A ConfigMap or a Secret as files.
struct KeyedFiles {
  std::string name;
  std::string secret_name;  // how secret volumes call it
  std::vector<KeyToPath> items;
  bool optional = false;
};
struct TokenFile {
  std::string audience;
  std::int64_t expiration = 3600;  // seconds
  std::string path;
};
struct FieldFile {
  std::string path;
  std::optional<FieldRef> field;
};
struct FieldFiles {
  std::vector<FieldFile> items;
};
struct ProjectedPart {
  std::optional<TokenFile> token;
  std::optional<KeyedFiles> config_map;
  std::optional<KeyedFiles> secret;
  std::optional<FieldFiles> fields;
};
struct Projected {
  std::vector<ProjectedPart> sources;
};
struct EmptyDir {
  std::string medium;
};
struct Volume {
  std::string name;
  std::optional<EmptyDir> empty_dir;
  std::optional<KeyedFiles> config_map;
  std::optional<KeyedFiles> secret;
  std::optional<Projected> projected;
  std::optional<FieldFiles> fields;
};

struct PodSpec {
  std::string service_account;
  std::string hostname;
  std::string subdomain;
  std::string node_name;
  std::string restart_policy;  // "" means Always
  bool host_network = false;
  bool host_pid = false;
  bool host_ipc = false;
  std::int64_t grace_period = 30;  // seconds
  SecurityContext security;
  std::vector<Volume> volumes;
  std::vector<ContainerSpec> init_containers;
  std::vector<ContainerSpec> containers;
};

struct PodObject {
  k8s::ObjectMeta meta;
  PodSpec spec;
};

struct KeyedObject {  // a ConfigMap or a Secret
  k8s::ObjectMeta meta;
  k8s::StringMap data;
  k8s::StringMap string_data;
};

// The first thing in a pod that cannot be run here: the path of the field and the reason.
struct Refusal {
  std::string path;
  std::string reason;
};
std::optional<Refusal> check_pod(const PodObject& pod);

// A container that runs beside the others although it is listed with those that run before them.
inline bool is_sidecar(const ContainerSpec& container) noexcept {
  return container.restart_policy == "Always";
}

template <typename V>
void describe(V&, Anything&) {}
template <typename V>
void describe(V& v, FieldRef& x) {
  v.field("fieldPath", x.path);
}
template <typename V>
void describe(V& v, KeyRef& x) {
  v.field("name", x.name);
  v.field("key", x.key);
  v.field("optional", x.optional);
}
template <typename V>
void describe(V& v, EnvSource& x) {
  v.field("fieldRef", x.field);
  v.field("configMapKeyRef", x.config_map);
  v.field("secretKeyRef", x.secret);
}
template <typename V>
void describe(V& v, EnvVar& x) {
  v.field("name", x.name);
  v.field("value", x.value);
  v.field("valueFrom", x.from);
}
template <typename V>
void describe(V& v, VolumeMount& x) {
  v.field("name", x.name);
  v.field("mountPath", x.path);
  v.field("subPath", x.sub_path);
  v.field("readOnly", x.read_only);
}
template <typename V>
void describe(V& v, ExecAction& x) {
  v.field("command", x.command);
}
template <typename V>
void describe(V& v, TcpAction& x) {
  v.field("port", x.port);
}
template <typename V>
void describe(V& v, HttpAction& x) {
  v.field("path", x.path);
  v.field("port", x.port);
  v.field("scheme", x.scheme);
}
template <typename V>
void describe(V& v, Probe& x) {
  v.field("exec", x.exec);
  v.field("tcpSocket", x.tcp);
  v.field("httpGet", x.http);
  v.field("grpc", x.grpc);
  v.field("initialDelaySeconds", x.initial_delay);
  v.field("periodSeconds", x.period);
  v.field("timeoutSeconds", x.timeout);
  v.field("successThreshold", x.success_threshold);
  v.field("failureThreshold", x.failure_threshold);
}
template <typename V>
void describe(V& v, Capabilities& x) {
  v.field("add", x.add);
  v.field("drop", x.drop);
}
template <typename V>
void describe(V& v, SecurityContext& x) {
  v.field("runAsUser", x.user);
  v.field("runAsGroup", x.group);
  v.field("fsGroup", x.fs_group);
  v.field("runAsNonRoot", x.non_root);
  v.field("readOnlyRootFilesystem", x.read_only_root);
  v.field("privileged", x.privileged);
  v.field("allowPrivilegeEscalation", x.allow_escalation);
  v.field("capabilities", x.capabilities);
}
template <typename V>
void describe(V& v, ContainerSpec& x) {
  v.field("name", x.name);
  v.field("image", x.image);
  v.field("command", x.command);
  v.field("args", x.args);
  v.field("workingDir", x.working_dir);
  v.field("ports", x.ports);
  v.field("env", x.env);
  v.field("envFrom", x.env_from);
  v.field("volumeMounts", x.mounts);
  v.field("livenessProbe", x.liveness);
  v.field("readinessProbe", x.readiness);
  v.field("startupProbe", x.startup);
  v.field("lifecycle", x.lifecycle);
  v.field("restartPolicy", x.restart_policy);
  v.field("securityContext", x.security);
}
template <typename V>
void describe(V& v, KeyToPath& x) {
  v.field("key", x.key);
  v.field("path", x.path);
}
template <typename V>
void describe(V& v, KeyedFiles& x) {
  v.field("name", x.name);
  v.field("secretName", x.secret_name);
  v.field("items", x.items);
  v.field("optional", x.optional);
}
template <typename V>
void describe(V& v, TokenFile& x) {
  v.field("audience", x.audience);
  v.field("expirationSeconds", x.expiration);
  v.field("path", x.path);
}
template <typename V>
void describe(V& v, FieldFile& x) {
  v.field("path", x.path);
  v.field("fieldRef", x.field);
}
template <typename V>
void describe(V& v, FieldFiles& x) {
  v.field("items", x.items);
}
template <typename V>
void describe(V& v, ProjectedPart& x) {
  v.field("serviceAccountToken", x.token);
  v.field("configMap", x.config_map);
  v.field("secret", x.secret);
  v.field("downwardAPI", x.fields);
}
template <typename V>
void describe(V& v, Projected& x) {
  v.field("sources", x.sources);
}
template <typename V>
void describe(V& v, EmptyDir& x) {
  v.field("medium", x.medium);
}
template <typename V>
void describe(V& v, Volume& x) {
  v.field("name", x.name);
  v.field("emptyDir", x.empty_dir);
  v.field("configMap", x.config_map);
  v.field("secret", x.secret);
  v.field("projected", x.projected);
  v.field("downwardAPI", x.fields);
}
template <typename V>
void describe(V& v, PodSpec& x) {
  v.field("serviceAccountName", x.service_account);
  v.field("hostname", x.hostname);
  v.field("subdomain", x.subdomain);
  v.field("nodeName", x.node_name);
  v.field("restartPolicy", x.restart_policy);
  v.field("hostNetwork", x.host_network);
  v.field("hostPID", x.host_pid);
  v.field("hostIPC", x.host_ipc);
  v.field("terminationGracePeriodSeconds", x.grace_period);
  v.field("securityContext", x.security);
  v.field("volumes", x.volumes);
  v.field("initContainers", x.init_containers);
  v.field("containers", x.containers);
}
template <typename V>
void describe(V& v, PodObject& x) {
  v.field("metadata", x.meta);
  v.field("spec", x.spec);
}
template <typename V>
void describe(V& v, KeyedObject& x) {
  v.field("metadata", x.meta);
  v.field("data", x.data);
  v.field("stringData", x.string_data);
}

}  // namespace tulle::local
