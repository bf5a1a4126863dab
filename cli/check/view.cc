// SPDX-License-Identifier: Apache-2.0
#include "cli/check/view.h"

#include "lib/base/text.h"
#include "lib/inject/names.h"

namespace tulle::cli {
namespace {

std::string_view value_of(const Labels& labels, std::string_view key) {
  const auto at = labels.find(key);
  return at == labels.end() ? std::string_view() : std::string_view(at->second);
}

// The kubelet puts these into the proxy's name: lib/inject and Linkerd's injector write no others.
std::string identity_of(std::string_view pattern, const Value& env, const PodView& pod) {
  std::string out;
  while (!pattern.empty()) {
    const std::size_t open = pattern.find("$(");
    const std::size_t close = open == std::string_view::npos ? open : pattern.find(')', open);
    if (close == std::string_view::npos) return concat(out, pattern);
    out += pattern.substr(0, open);
    const std::string_view name = pattern.substr(open + 2, close - open - 2);
    if (name == "_pod_sa") out += pod.account;
    if (name == "_pod_ns") out += pod.ns;
    for (const Value& one : env.items()) {
      if (one["name"].string() == name) out += one["value"].string();
    }
    pattern.remove_prefix(close + 1);
  }
  return out;
}

void read_proxy(const Value& container, PodView& pod) {
  pod.has_proxy = true;
  pod.proxy_version = tag_of(container["image"].string());
  for (const Value& env : container["env"].items()) {
    if (env["name"].string() == "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS")
      pod.anchors = env["value"].string();
    if (env["name"].string() == "LINKERD2_PROXY_IDENTITY_LOCAL_NAME")
      pod.identity = identity_of(env["value"].string(), container["env"], pod);
  }
  for (const Value& port : container["ports"].items()) {
    if (port["name"].string() == "linkerd-admin") pod.admin_port = port["containerPort"].text();
  }
}

void read_statuses(const Value& statuses, bool init, PodView& pod) {
  for (const Value& status : statuses.items()) {
    const std::string_view name = status["name"].string();
    if (name == inject::kProxyContainer) pod.proxy_ready = status["ready"].is_true();
    const std::string_view reason = status["state"]["waiting"]["reason"].string();
    if (reason.empty() || reason == "PodInitializing" || (init && reason == "ContainerCreating"))
      continue;
    if (!pod.waiting.empty()) pod.waiting += ", ";
    pod.waiting += concat(name, ": ", reason);
  }
}

// ReplicaSets stand for their Deployment: the name less the hash of the template.
std::string owner_of(const Value& pod) {
  const Value& owners = pod["metadata"]["ownerReferences"];
  if (owners.empty()) return "";
  const Value& owner = owners.items().front();
  const std::string_view kind = owner["kind"].string();
  std::string_view name = owner["name"].string();
  if (kind == "ReplicaSet") {
    const std::string_view hash = pod["metadata"]["labels"]["pod-template-hash"].string();
    if (!hash.empty() && name.ends_with(concat("-", hash))) {
      name.remove_suffix(hash.size() + 1);
      return concat("deploy/", name);
    }
  }
  std::string out;
  for (const char c : kind) out += ascii_lower(c);
  return concat(out, "/", name);
}

}  // namespace

Labels labels_of(const Value& map) {
  Labels out;
  for (std::size_t i = 0; i < map.keys().size(); ++i)
    out.emplace(map.keys()[i], map.items()[i].string());
  return out;
}

std::string tag_of(std::string_view image) {
  image = image.substr(0, image.find('@'));
  const std::size_t colon = image.rfind(':');
  if (colon == std::string_view::npos || image.find('/', colon) != std::string_view::npos)
    return "";
  return std::string(image.substr(colon + 1));
}

std::string_view PodView::label(std::string_view key) const { return value_of(labels, key); }
std::string_view PodView::annotation(std::string_view key) const {
  return value_of(annotations, key);
}

bool NamespaceView::asks_for_proxies() const {
  const std::string_view word = value_of(annotations, inject::kInject);
  return inject::enables(word);
}

PodView view_of(const Value& pod) {
  PodView out;
  const Value& meta = pod["metadata"];
  const Value& spec = pod["spec"];
  const Value& status = pod["status"];
  out.ns = meta["namespace"].string();
  out.name = meta["name"].string();
  out.labels = labels_of(meta["labels"]);
  out.annotations = labels_of(meta["annotations"]);
  out.owner = owner_of(pod);
  out.ending = !meta["deletionTimestamp"].is_null();
  out.account = spec["serviceAccountName"].string();
  out.node = spec["nodeName"].string();
  out.host_network = spec["hostNetwork"].is_true();
  out.phase = status["phase"].string();
  for (const std::string_view list : {"containers", "initContainers"}) {
    for (const Value& container : spec[list].items()) {
      if (container["name"].string() == inject::kProxyContainer) read_proxy(container, out);
      if (list == "initContainers") continue;
      for (const std::string_view probe : {"livenessProbe", "readinessProbe", "startupProbe"}) {
        const bool own = container["name"].string() != inject::kProxyContainer;
        out.http_probes |= own && !container[probe]["httpGet"].is_null();
      }
      for (const Value& port : container["ports"].items()) {
        const auto number = port["containerPort"].integer();
        if (number && port["name"].is_string())
          out.ports.emplace(port["name"].string(), static_cast<std::uint16_t>(*number));
      }
    }
  }
  if (const std::string_view version = out.annotation(inject::kProxyVersion); !version.empty())
    out.proxy_version = version;
  read_statuses(status["initContainerStatuses"], true, out);
  read_statuses(status["containerStatuses"], false, out);
  for (const Value& address : status["podIPs"].items())
    out.addresses.emplace_back(address["ip"].string());
  for (const Value& condition : status["conditions"].items()) {
    const bool yes = condition["status"].string() == "True";
    if (condition["type"].string() == "Ready") out.ready = yes;
    if (condition["type"].string() == "PodScheduled" && !yes &&
        condition["reason"].string() == "Unschedulable") {
      out.unschedulable = condition["message"].string();
      if (out.unschedulable.empty()) out.unschedulable = "no node can take it";
    }
  }
  return out;
}

void ClusterView::expect(const std::vector<std::string>& paths) {
  std::vector<std::string> wanted;
  for (const std::string& path : paths) {
    if (!objects_.contains(path)) wanted.push_back(path);
  }
  if (wanted.empty()) return;
  std::vector<Answer> answers = cluster_.get_all(wanted);
  for (std::size_t i = 0; i < wanted.size(); ++i) objects_[wanted[i]] = std::move(answers[i]);
}

const Answer& ClusterView::object(const std::string& path) {
  expect({path});
  return objects_[path];
}

const Listed<Value>& ClusterView::all(const std::string& path, const std::string& query) {
  const auto [at, fresh] = lists_.try_emplace(concat(path, "?", query));
  if (!fresh) return at->second;
  Listed<Value>& out = at->second;
  out.problem = cluster_
                    .list(
                        path, [&](const Value& item) { out.items.push_back(item); }, query)
                    .problem;
  return out;
}

const Listed<Value>& ClusterView::services() { return all(k8s::path_of(k8s::kServices)); }

const Listed<PodView>& ClusterView::pods() {
  if (pods_) return *pods_;
  pods_.emplace();
  pods_->problem = cluster_
                       .list(k8s::path_of(k8s::kPods),
                             [&](const Value& item) { pods_->items.push_back(view_of(item)); })
                       .problem;
  return *pods_;
}

const Listed<NamespaceView>& ClusterView::namespaces() {
  if (namespaces_) return *namespaces_;
  namespaces_.emplace();
  const auto take = [&](const Value& item) {
    const Value& meta = item["metadata"];
    namespaces_->items.push_back({std::string(meta["name"].string()), labels_of(meta["labels"]),
                                  labels_of(meta["annotations"])});
  };
  namespaces_->problem = cluster_.list(k8s::path_of(k8s::kNamespaces), take).problem;
  return *namespaces_;
}

const NamespaceView* ClusterView::namespace_of(std::string_view name) {
  for (const NamespaceView& each : namespaces().items) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

const Value& ClusterView::values() {
  if (values_) return *values_;
  std::string problem;
  const Answer& config = object(k8s::path_of(k8s::kConfigMaps, ns(), "linkerd-config"));
  values_ = inject::parse_yaml(config.value["data"]["values"].string(), problem).value_or(Value());
  return *values_;
}

std::vector<const PodView*> ClusterView::control_plane() {
  std::vector<const PodView*> out;
  for (const PodView& pod : pods().items) {
    if (pod.ns == ns() && pod.labels.contains(inject::kComponent) && !pod.ended())
      out.push_back(&pod);
  }
  return out;
}

void ClusterView::forget() {
  objects_.clear();
  lists_.clear();
  pods_.reset();
  namespaces_.reset();
  values_.reset();
}

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < most; ++i)
    out += concat(i == 0 ? "" : ", ", names[i]);
  if (names.size() > most) out += concat(" and ", std::to_string(names.size() - most), " more");
  return out;
}

std::string lines_of(std::string_view head, const std::vector<std::string>& lines,
                     std::size_t most) {
  if (lines.empty()) return "";
  std::string out(head);
  for (std::size_t i = 0; i < lines.size() && i < most; ++i) out += concat("\n* ", lines[i]);
  if (lines.size() > most) out += concat("\nand ", std::to_string(lines.size() - most), " more");
  return out;
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text.back() != 'Z')
    return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t length) {
    return parse_number<int>(text.substr(at, length));
  };
  const auto year = number(0, 4), month = number(5, 2), day = number(8, 2);
  const auto hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + std::chrono::seconds(*second);
}

void Restarts::add(const PodView& pod) { by_owner_[{pod.ns, pod.owner}].push_back(pod.name); }

std::vector<std::string> Restarts::commands() const {
  std::vector<std::string> out;
  for (const auto& [key, pods] : by_owner_) {
    const auto& [ns, owner] = key;
    const std::string_view kind = std::string_view(owner).substr(0, owner.find('/'));
    if (kind == "deploy" || kind == "statefulset" || kind == "daemonset") {
      out.push_back(
          concat("kubectl rollout restart -n ", ns, " ", owner, "   # ", some_of(pods, 3)));
      continue;
    }
    for (const std::string& name : pods) {
      out.push_back(concat("kubectl delete -n ", ns, " pod/", name, "   # ",
                           owner.empty() ? "and create it again" : owner + " makes it again"));
    }
  }
  return out;
}

}  // namespace tulle::cli
