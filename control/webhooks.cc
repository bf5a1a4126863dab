// SPDX-License-Identifier: Apache-2.0
#include "control/webhooks.h"

#include <array>
#include <cstring>

#include "lib/base/text.h"
#include "lib/inject/names.h"
#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/json_writer.h"
#include "lib/k8s/manifest.h"
#include "lib/k8s/metadata.h"
#include "lib/k8s/write.h"

namespace tulle::control {
namespace {

constexpr Duration kPatience = 5s;
constexpr Duration kLook = 1s;  // at the values and the anchors
constexpr std::size_t kMaxTelling = 64;
constexpr std::string_view kManager = "tulle-control";

struct Versioned {
  std::string version;
};
template <typename V>
void describe(V& v, Versioned& x) {
  v.field("resourceVersion", x.version);
}
struct SecretObject {
  Versioned metadata;
  k8s::StringMap data;
};
template <typename V>
void describe(V& v, SecretObject& x) {
  v.field("metadata", x.metadata);
  v.field("data", x.data);
}
struct ServerVersion {
  std::string major, minor;
};
template <typename V>
void describe(V& v, ServerVersion& x) {
  v.field("major", x.major);
  v.field("minor", x.minor);
}

template <typename T>
std::optional<T> read_json(std::string_view json) {
  k8s::JsonSource source(json, k8s::JsonSource::Skipping::Unparsed);
  T out;
  if (!source.next_document() || k8s::decode(source, out)) return std::nullopt;
  return out;
}

// Kinds that own pods, as events and look-ups know them.
struct OwnerKind {
  std::string_view lower, kind, api_version;
  k8s::Resource resource;
};
constexpr std::array kOwners{
    OwnerKind{"pod", "Pod", "v1", {"", "pods"}},
    OwnerKind{"deployment", "Deployment", "apps/v1", {"apps", "deployments"}},
    OwnerKind{"replicaset", "ReplicaSet", "apps/v1", {"apps", "replicasets"}},
    OwnerKind{"statefulset", "StatefulSet", "apps/v1", {"apps", "statefulsets"}},
    OwnerKind{"daemonset", "DaemonSet", "apps/v1", {"apps", "daemonsets"}},
    OwnerKind{"job", "Job", "batch/v1", {"batch", "jobs"}},
    OwnerKind{"cronjob", "CronJob", "batch/v1", {"batch", "cronjobs"}},
    OwnerKind{
        "replicationcontroller", "ReplicationController", "v1", {"", "replicationcontrollers"}},
};
const OwnerKind* owner_kind(std::string_view name) {
  for (const OwnerKind& kind : kOwners) {
    if (iequals(kind.lower, name)) return &kind;
  }
  return nullptr;
}

k8s::Resource configuration_resource(std::string_view kind) {
  return {"admissionregistration.k8s.io",
          kind == "MutatingWebhookConfiguration" ? "mutatingwebhookconfigurations"
                                                 : "validatingwebhookconfigurations",
          "v1", false};
}

}  // namespace

// --- the cluster ---------------------------------------------------------------------------------

KubernetesCluster::KubernetesCluster(k8s::ApiClient& client, const Index& index,
                                     const IssuerStore& issuers, const log::Logger& log,
                                     const std::string& values, std::string ns,
                                     k8s::EventRecorder& events)
    : client_(client),
      index_(index),
      issuers_(issuers),
      log_(log),
      values_(values),
      values_file_(values),
      ns_(std::move(ns)),
      events_(events) {}

net::Task<Result<k8s::ObjectMeta>> KubernetesCluster::find_namespace(std::string name) {
  if (const k8s::Namespace* const known = View(index_).name_space(name)) co_return known->meta;
  const k8s::ObjectPath path{k8s::kNamespaces, {}, name, {}, {}};
  co_return co_await k8s::read_metadata(client_, path, "find the namespace",
                                        client_.loop().after(kPatience));
}

net::Task<Result<std::vector<k8s::OwnerReference>>> KubernetesCluster::find_owners(
    std::string kind, std::string ns, std::string name) {
  const OwnerKind* const known = owner_kind(kind);
  if (known == nullptr) co_return Error{Errc::Unsupported, "find the owners of this kind"};
  const k8s::ObjectPath path{known->resource, ns, name, {}, {}};
  const auto read =
      co_await k8s::read_metadata(client_, path, "find the owner", client_.loop().after(kPatience));
  if (!read) co_return read.error();
  co_return read->owners.get();
}

// An Event needs its object's uid to be shown with it.
net::Task<void> KubernetesCluster::record(std::string ns, inject::Owner owner, std::string reason,
                                          std::string message, k8s::EventRecorder::Type type) {
  const OwnerKind* const kind = owner_kind(owner.kind);
  if (kind == nullptr || owner.name.empty()) co_return;
  const k8s::ObjectPath path{kind->resource, ns, owner.name, {}, {}};
  const auto read =
      co_await k8s::read_metadata(client_, path, "find the owner", client_.loop().after(kPatience));
  if (!read) co_return;
  const k8s::EventTarget target{std::string(kind->api_version), std::string(kind->kind), ns,
                                owner.name, read->uid};
  events_.record(target, type, reason, message);
}

void KubernetesCluster::tell(std::string_view ns, const inject::Owner& owner,
                             std::string_view reason, std::string_view message) {
  tell(ns, owner, reason, message, k8s::EventRecorder::Type::Normal);
}

void KubernetesCluster::tell(std::string_view ns, const inject::Owner& owner,
                             std::string_view reason, std::string_view message,
                             k8s::EventRecorder::Type type) {
  if (telling_.size() >= kMaxTelling) return;
  telling_.spawn(record(std::string(ns), owner, std::string(reason), std::string(message), type));
}

void KubernetesCluster::read_values() {
  const auto issuer = issuers_.current();
  const bool changed = values_.refresh();
  const std::string anchors = issuer != nullptr ? issuer->anchors_pem : std::string();
  if (!changed && anchors == anchors_) return;
  anchors_ = anchors;
  // Pods without anchors could never trust anybody: they wait.
  if (values_.text().empty() || anchors.empty()) {
    config_ = nullptr;
    return;
  }
  std::vector<inject::ConfigProblem> problems;
  auto config =
      std::make_shared<inject::Config>(inject::read_config_yaml(values_.text(), problems));
  for (const inject::ConfigProblem& problem : problems) {
    log_.warn("a value of the chart has no effect",
              {{"file", values_file_}, {"value", problem.path}, {"reason", problem.reason}});
  }
  config->control_namespace = ns_;
  config->trust_anchors = anchors;
  config_ = std::move(config);
  log_.info("pods are injected with the values of now", {{"file", values_file_}});
}

net::Task<void> KubernetesCluster::ask_version() {
  k8s::ApiRequest request;
  request.path = "/version";
  const Deadline by = client_.loop().after(kPatience);
  const k8s::ApiResponse response = co_await client_.call(std::move(request), by);
  const auto version = response.ok() ? read_json<ServerVersion>(response.body) : std::nullopt;
  if (!version) co_return;
  // "29+" on some clouds.
  const std::string_view minor =
      std::string_view(version->minor).substr(0, version->minor.find_first_not_of("0123456789"));
  const auto number = parse_number<unsigned>(minor);
  if (!number) co_return;
  native_sidecars_ = version->major != "1" || *number >= 29;
  version_known_ = true;
  log_.info("the API server's version is known",
            {{"version", concat(version->major, ".", version->minor)},
             {"native_sidecars", native_sidecars_}});
}

net::Task<void> KubernetesCluster::run() {
  for (;;) {
    read_values();
    if (!version_known_) co_await ask_version();
    co_await net::sleep_for(client_.loop(), kLook);
  }
}

// --- what keepers write --------------------------------------------------------------------------

net::Task<Result<WebhookStore::Secret>> KubernetesWebhookStore::read_secret(std::string name) {
  const k8s::ObjectPath path{k8s::kSecrets, ns_, name, {}, {}};
  k8s::ApiRequest request = k8s::get(path);
  const Deadline by = client_.loop().after(kPatience);
  const k8s::ApiResponse response = co_await client_.call(std::move(request), by);
  if (!response.ok()) co_return k8s::error_of(response.status, "read the Secret of a webhook");
  const auto read = read_json<SecretObject>(response.body);
  if (!read) co_return Error{Errc::Invalid, "read the Secret of a webhook"};
  Secret out;
  out.version = read->metadata.version;
  for (const auto& [key, value] : read->data) {
    if (auto text = base64_decode(value)) out.data.emplace(key, *std::move(text));
  }
  co_return out;
}

net::Task<Result<void>> KubernetesWebhookStore::write_secret(std::string name, Secret secret) {
  const Result<std::string> owned_by = co_await owner_.references();
  if (!owned_by) co_return owned_by.error();
  const bool exists = !secret.version.empty();
  k8s::JsonWriter json;
  json.object([&] {
    json.member("apiVersion", "v1");
    json.member("kind", "Secret");
    json.member("type", "kubernetes.io/tls");
    json.key("metadata");
    json.object([&] {
      json.member("name", name);
      json.member("namespace", ns_);
      json.member_unless_empty("resourceVersion", secret.version);
      json.key("labels");
      json.object([&] {
        json.member("linkerd.io/control-plane-component", "control-plane");
        json.member("linkerd.io/control-plane-ns", ns_);
      });
      if (!owned_by->empty()) {
        json.key("ownerReferences");
        json.raw(*owned_by);
      }
    });
    json.key("data");
    json.object([&] {
      for (const auto& [key, value] : secret.data) json.member(key, base64_encode(as_bytes(value)));
    });
  });
  const k8s::ObjectPath path{k8s::kSecrets, ns_, exists ? std::string_view(name) : "", {}, {}};
  k8s::ApiRequest request =
      exists ? k8s::replace(path, json.take()) : k8s::create(path, json.take());
  const Deadline by = client_.loop().after(kPatience);
  const k8s::ApiResponse response = co_await client_.call(std::move(request), by);
  if (!response.ok()) co_return k8s::error_of(response.status, "write the Secret of a webhook");
  co_return Result<void>();
}

net::Task<Result<inject::Value>> KubernetesWebhookStore::read_configuration(std::string kind,
                                                                            std::string name) {
  const k8s::Resource resource = configuration_resource(kind);
  const k8s::ObjectPath path{resource, {}, name, {}, {}};
  k8s::ApiRequest request = k8s::get(path);
  const Deadline by = client_.loop().after(kPatience);
  const k8s::ApiResponse response = co_await client_.call(std::move(request), by);
  if (!response.ok())
    co_return k8s::error_of(response.status, "read the configuration of a webhook");
  std::string problem;
  auto value = inject::parse_json(response.body, problem);
  if (!value) co_return Error{Errc::Invalid, "read the configuration of a webhook"};
  co_return *std::move(value);
}

net::Task<Result<void>> KubernetesWebhookStore::patch_configuration(std::string kind,
                                                                    std::string name,
                                                                    std::string patch) {
  const k8s::Resource resource = configuration_resource(kind);
  const k8s::ObjectPath path{resource, {}, name, {}, {}};
  k8s::ApiRequest request = k8s::json_patch(path, std::move(patch), kManager);
  const Deadline by = client_.loop().after(kPatience);
  const k8s::ApiResponse response = co_await client_.call(std::move(request), by);
  if (!response.ok())
    co_return k8s::error_of(response.status, "patch the configuration of a webhook");
  co_return Result<void>();
}

// --- together ------------------------------------------------------------------------------------

// Wakes the keeper of the injector when the set of annotated namespaces may have changed.
class Webhooks::NamespaceWatch final : public Subscription {
 public:
  NamespaceWatch(Webhooks& owner, net::Loop& loop)
      : Subscription(owner.index_), owner_(owner), changed_(loop) {}

  net::Task<void> run() {
    std::set<std::string> last;
    for (;;) {
      TopicSet topics;
      topics.add(topics::namespaces());
      told_ = false;
      depend_on(topics);
      std::set<std::string> now = owner_.annotated();
      if (now != last) {
        last = std::move(now);
        owner_.hooks_.front().keeper->wake();
      }
      while (!told_) {
        [[maybe_unused]] const bool told = co_await changed_.wait();
      }
    }
  }

 private:
  void on_change() override {
    told_ = true;
    changed_.notify_all();
  }
  Webhooks& owner_;
  net::Signal changed_;
  bool told_ = false;
};

Webhooks::Webhooks(net::Loop& loop, const log::Logger& log, k8s::ApiClient& client, Index& index,
                   const IssuerStore& issuers, k8s::LeaderElection& election,
                   DeploymentOwner& owner, net::Drain& drain, metrics::Registry& metrics,
                   PortBounds& bounds, Options options, std::uint64_t seed)
    : loop_(loop),
      log_(log),
      index_(index),
      drain_(drain),
      options_(std::move(options)),
      election_(election),
      events_(client, log,
              k8s::EventRecorder::Options{.component = "linkerd-proxy-injector",
                                          .instance = options_.pod},
              seed),
      cluster_(client, index, issuers, log, options_.values, options_.ns, events_),
      store_(client, options_.ns, election_, owner),
      injection_(cluster_, log, metrics),
      unmeshed_(index, wall_now(), [this](const UnmeshedPods::News& news) {
        using Type = k8s::EventRecorder::Type;
        if (!election_.leader()) return;
        cluster_.tell(news.ns, news.workload, news.skipped ? "InjectionSkipped" : "NotInjected",
                      news.message, news.skipped ? Type::Normal : Type::Warning);
      }) {
  const auto kept = [&](std::string_view part, std::string_view kind) {
    KeptWebhook out;
    out.secret = concat("linkerd-", part, "-k8s-tls");
    out.host = concat("linkerd-", part, ".", options_.ns, ".svc");
    out.kind = kind;
    out.configuration = concat("linkerd-", part, "-webhook-config");
    return out;
  };
  KeptWebhook injector = kept("proxy-injector", "MutatingWebhookConfiguration");
  injector.namespaces_entry = kNamespacesEntry;
  add("proxy-injector", options_.injector_port, injection_, std::move(injector), metrics, bounds);
  add("sp-validator", options_.profile_port, profile_,
      kept("sp-validator", "ValidatingWebhookConfiguration"), metrics, bounds);
  add("policy-validator", options_.policy_port, policy_,
      kept("policy-validator", "ValidatingWebhookConfiguration"), metrics, bounds);
  namespaces_ = std::make_unique<NamespaceWatch>(*this, loop_);
}

Webhooks::~Webhooks() = default;

void Webhooks::add(std::string_view name, std::uint16_t port, Webhook& webhook, KeptWebhook kept,
                   metrics::Registry& metrics, PortBounds& bounds) {
  auto keeper = std::make_unique<WebhookKeeper>(
      loop_, log_, store_, std::move(kept), [this] { return annotated(); },
      WebhookKeeper::Options{});
  WebhookKeeper* const certificates = keeper.get();
  auto server = std::make_unique<WebhookPort>(
      loop_, log_, webhook, [certificates] { return certificates->credentials(); }, drain_, metrics,
      bounds, name, WebhookPort::Options{});
  hooks_.push_back({name, port, std::move(keeper), std::move(server)});
}

std::set<std::string> Webhooks::annotated() const {
  std::set<std::string> out;
  for (const k8s::Namespace* const ns : View(index_).namespaces()) {
    if (inject::enables(ns->meta.annotations.get(inject::kInject))) out.insert(ns->meta.name);
  }
  return out;
}

std::string Webhooks::listen(net::SocketFactory& sockets) {
  for (const Hook& hook : hooks_) {
    const net::SocketAddr at{options_.listen, hook.port};
    if (const auto listening = hook.server->listen(sockets, at); !listening) {
      return concat("cannot listen on ", at.to_string(), " (", hook.name,
                    "): ", std::strerror(listening.error().os_errno));
    }
    log_.info("listening", {{"port", hook.name}, {"addr", hook.server->address().to_string()}});
  }
  return "";
}

net::Task<void> Webhooks::run() {
  tasks_.spawn(events_.run());
  tasks_.spawn(cluster_.run());
  tasks_.spawn(namespaces_->run());
  tasks_.spawn(watch_unmeshed());
  for (const Hook& hook : hooks_) {
    tasks_.spawn(hook.keeper->run());
    tasks_.spawn(hook.server->run());
  }
  // Becoming the leader is a reason to look again.
  election_.on_change([this](bool leader) {
    if (!leader) return;
    for (const Hook& hook : hooks_) hook.keeper->wake();
  });
  co_await tasks_.join();
}

// Every replica looks, so that a new leader knows what was told.
net::Task<void> Webhooks::watch_unmeshed() {
  for (;;) {
    co_await net::sleep_for(loop_, UnmeshedPods::kEvery);
    unmeshed_.look(loop_.now());
  }
}

void Webhooks::collect(std::string& out) const {
  if (unmeshed_.missing().empty()) return;
  out +=
      "# HELP tulle_unmeshed_pods Pods that should have a proxy and have none: restart them\n"
      "# TYPE tulle_unmeshed_pods gauge\n";
  for (const auto& [ns, pods] : unmeshed_.missing())
    out += concat("tulle_unmeshed_pods{namespace=\"", ns, "\"} ", std::to_string(pods), "\n");
}

void Webhooks::stop() {
  for (const Hook& hook : hooks_) hook.server->stop();
}

std::size_t Webhooks::connections() const {
  std::size_t out = 0;
  for (const Hook& hook : hooks_) out += hook.server->connections();
  return out;
}

std::string Webhooks::missing() const {
  for (const Hook& hook : hooks_) {
    if (hook.keeper->credentials() == nullptr) return concat("the certificate of ", hook.name);
  }
  return cluster_.config() == nullptr ? "values or trust anchors" : "";
}

}  // namespace tulle::control
