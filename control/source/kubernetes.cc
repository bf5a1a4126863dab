// SPDX-License-Identifier: Apache-2.0
#include "control/source/kubernetes.h"

#include <algorithm>
#include <set>

#include "control/source/concern.h"
#include "lib/base/text.h"
#include "lib/k8s/check.h"
#include "lib/k8s/json_source.h"

namespace tulle::control {
namespace {

k8s::Reflector::Options core(const k8s::Resource& resource, bool metadata_only = false) {
  k8s::Reflector::Options options;
  options.resource = resource;
  options.metadata_only = metadata_only;
  return options;
}

// A resource of a CRD. The plural names are those of the CRDs in docs/reference/control-plane.md
// §6.1.
k8s::Reflector::Options custom(const k8s::Resource& resource) {
  k8s::Reflector::Options options;
  options.resource = resource;
  options.optional = true;
  return options;
}

}  // namespace

// Puts what a reflector tells into the index.
class KubernetesSource::Feed : public k8s::Receiver {
 public:
  Feed(KubernetesSource& source, const k8s::Reflector::Options& options, std::uint64_t seed)
      : source_(source), reflector_(source.client_, *this, source.log_, options, seed) {}
  virtual ~Feed() = default;

  k8s::Reflector& reflector() noexcept { return reflector_; }
  std::size_t broken() const noexcept { return broken_.size(); }

  void before() override { source_.index_.begin_batch(); }
  void after() override { source_.index_.end_batch(); }

 protected:
  using Name = std::pair<std::string, std::string>;

  void is_broken(const Name& name, const std::string& why) {
    broken_.insert(name);
    source_.log_.error("an object cannot be read; its last good state stays",
                       {{"resource", reflector_.options().resource.plural},
                        {"namespace", name.first},
                        {"name", name.second},
                        {"reason", why}});
  }

  KubernetesSource& source_;
  k8s::Reflector reflector_;
  std::set<Name> broken_;
};

template <typename T>
class KubernetesSource::TypedFeed final : public Feed {
 public:
  using Feed::Feed;

  void list_begin() override {
    listed_.clear();
    stale_.merge(broken_);  // an earlier list may have been broken off
    broken_.clear();
    // The first list has nothing to take away.
    comparing_ = source_.index_.count<T>() != 0;
  }
  void list_end() override {
    if (comparing_) source_.index_.keep_only<T>(listed_);
    listed_.clear();
    for (const Name& name : std::exchange(stale_, {})) {
      if (!broken_.contains(name)) source_.index_.close(closed_by(name), {});
    }
    if (std::exchange(told_, true)) return;
    source_.feed_synced();
  }
  void put(std::string_view json) override {
    k8s::Object object(std::in_place_type<T>);
    T& value = std::get<T>(object);
    const auto problem = read(json, value);
    const Name name{T::kKind.namespaced ? value.meta.ns : std::string(), value.meta.name};
    if (comparing_ && !name.second.empty()) listed_.insert(name);
    if (problem) {
      std::vector<Closure> closures = closures_of_text(concat("kind: ", T::kKind.kind, "\n", json));
      // Where it is, the API server has said; whatever namespaces its text may name.
      if (T::kKind.namespaced && !name.first.empty()) {
        for (Closure& closure : closures) closure.ns = name.first;
      }
      close(name, std::move(closures));
      return is_broken(name, *problem);
    }
    if (const auto violation = k8s::complete_and_check(object)) {
      close(name, closures_of(object, false));
      return is_broken(name, concat(violation->path, ": ", violation->reason));
    }
    is_whole(name);
    source_.index_.put(std::move(object));
  }
  void erase(std::string_view json) override {
    T value;
    const auto problem = read(json, value);
    const Name name{T::kKind.namespaced ? value.meta.ns : std::string(), value.meta.name};
    // What identifies an object comes before what could be wrong with it.
    if (name.second.empty()) return is_broken(name, problem.value_or("has no name"));
    is_whole(name);
    source_.index_.erase(key_of<T>(name.first, name.second));
  }

 private:
  std::string closed_by(const Name& name) const {
    return concat(reflector_.options().resource.plural, " ", name.first, "/", name.second);
  }
  void is_whole(const Name& name) {
    if (broken_.erase(name) + stale_.erase(name) != 0) source_.index_.close(closed_by(name), {});
  }
  // A policy that cannot be read leaves closed what it may concern, unless the index has an earlier
  // state of it.
  void close(const Name& name, std::vector<Closure> closures) {
    if (source_.index_.has<T>(name.first, name.second)) return;
    source_.index_.close(closed_by(name), std::move(closures));
  }
  static std::optional<std::string> read(std::string_view json, T& into) {
    k8s::JsonSource source(json, k8s::JsonSource::Skipping::Unparsed);
    if (!source.next_document()) return "is empty";
    if (const auto problem = k8s::decode(source, into)) {
      return concat(problem->path, ": ", problem->reason);
    }
    return std::nullopt;
  }

  std::set<Name> listed_;
  std::set<Name> stale_;  // broken before this list, not seen in it yet
  bool comparing_ = false;
  bool told_ = false;  // the source knows that the first list is complete
};

template <typename T>
void KubernetesSource::add(const k8s::Reflector::Options& options) {
  feeds_.push_back(std::make_unique<TypedFeed<T>>(*this, options, random_.next()));
}

KubernetesSource::KubernetesSource(k8s::ApiClient& client, Index& index, const log::Logger& log,
                                   std::uint64_t seed)
    : client_(client), index_(index), log_(log), random_(seed) {
  constexpr std::string_view kPolicy = k8s::kPolicyGroup;
  add<k8s::Namespace>(core(k8s::kNamespaces, true));
  add<k8s::Node>(core(k8s::kNodes, true));
  add<k8s::ReplicaSet>(core(k8s::kReplicaSets, true));
  add<k8s::Job>(core(k8s::kJobs, true));
  add<k8s::Service>(core(k8s::kServices));
  add<k8s::EndpointSlice>(core(k8s::kEndpointSlices));
  add<k8s::Pod>(core(k8s::kPods));
  add<k8s::Server>(custom({kPolicy, "servers", "v1beta3,v1beta2,v1beta1"}));
  add<k8s::ServerAuthorization>(custom({kPolicy, "serverauthorizations", "v1beta1"}));
  add<k8s::AuthorizationPolicy>(custom({kPolicy, "authorizationpolicies", "v1alpha1"}));
  add<k8s::MeshTlsAuthentication>(custom({kPolicy, "meshtlsauthentications", "v1alpha1"}));
  add<k8s::NetworkAuthentication>(custom({kPolicy, "networkauthentications", "v1alpha1"}));
  add<k8s::HttpLocalRateLimitPolicy>(custom(k8s::kRateLimits));
  add<k8s::EgressNetwork>(custom(k8s::kEgressNetworks));
  add<k8s::PolicyHttpRoute>(custom(k8s::kPolicyHttpRoutes));
  add<k8s::HttpRoute>(custom(k8s::kHttpRoutes));
  add<k8s::GrpcRoute>(custom(k8s::kGrpcRoutes));
  add<k8s::TlsRoute>(custom(k8s::kTlsRoutes));
  add<k8s::TcpRoute>(custom(k8s::kTcpRoutes));
  add<k8s::ServiceProfile>(custom({"linkerd.io", "serviceprofiles", "v1alpha2,v1alpha1"}));
  add<k8s::ExternalWorkload>(
      custom({"workload.linkerd.io", "externalworkloads", "v1beta1,v1alpha1"}));
}

KubernetesSource::~KubernetesSource() = default;

void KubernetesSource::start(std::function<void()> on_synced) {
  on_synced_ = std::move(on_synced);
  for (const auto& feed : feeds_) tasks_.spawn(feed->reflector().run());
}

void KubernetesSource::feed_synced() {
  // The feed that calls is not marked yet in its reflector; each calls once.
  if (++complete_ < feeds_.size()) return;
  synced_ = true;
  log_.info("the index is complete", {{"objects", index_.size()}});
  if (on_synced_) on_synced_();
}

std::string KubernetesSource::missing() const {
  std::string out;
  if (synced_) return out;
  for (const auto& feed : feeds_) {
    const k8s::Reflector& reflector = feed->reflector();
    if (reflector.synced()) continue;
    if (!out.empty()) out += ", ";
    out += reflector.options().resource.plural;
    if (!reflector.problem().empty()) out += concat(" (", reflector.problem(), ")");
  }
  return out;
}

std::size_t KubernetesSource::broken_objects() const noexcept {
  std::size_t out = 0;
  for (const auto& feed : feeds_) out += feed->broken();
  return out;
}

std::vector<KubernetesSource::ResourceState> KubernetesSource::resources() const {
  std::vector<ResourceState> out;
  for (const auto& feed : feeds_) {
    const k8s::Reflector& reflector = feed->reflector();
    const k8s::Resource& resource = reflector.options().resource;
    out.push_back({resource.plural, resource.group, reflector.stats(), reflector.synced(),
                   !reflector.problem().empty()});
  }
  return out;
}

}  // namespace tulle::control
