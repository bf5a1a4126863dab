// SPDX-License-Identifier: Apache-2.0
#include "control/index/index.h"

#include <algorithm>
#include <limits>
#include <set>
#include <type_traits>

#include "lib/base/check.h"
#include "lib/k8s/node_addresses.h"

namespace tulle::control {
namespace {

// FNV-1a, with a number in front that keeps the families of topics apart.
Topic hash(std::uint64_t family, std::string_view a, std::string_view b = {}) noexcept {
  std::uint64_t h = 14695981039346656037ULL ^ (family * 0x9E3779B97F4A7C15ULL);
  const auto mix = [&](std::string_view text) {
    for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    h = (h ^ 0xFF) * 1099511628211ULL;
  };
  mix(a);
  mix(b);
  return h;
}

// Keeps of an object only what some reader uses: memory counts here, a cluster has many pods.
void keep_annotations(k8s::ObjectMeta& meta, std::string_view domain) {
  meta.annotations.erase_if(
      [&](std::string_view key) { return key.find(domain) == std::string_view::npos; });
}
void reduce(auto& object) { keep_annotations(object.meta, "linkerd.io/"); }
void reduce(k8s::Node& node) {
  node.meta.annotations.erase_if([](std::string_view key) {
    return std::find(k8s::kNodeAddressAnnotations.begin(), k8s::kNodeAddressAnnotations.end(),
                     key) == k8s::kNodeAddressAnnotations.end();
  });
  std::erase_if(node.status.addresses, [](const k8s::NodeAddress& address) {
    return address.type != "InternalIP" && address.type != "ExternalIP";
  });
}
// Most of them are old revisions, and finished: of those there are more than pods.
template <typename T>
concept Owner = std::is_same_v<T, k8s::ReplicaSet> || std::is_same_v<T, k8s::Job>;
template <Owner T>
void reduce(T& owner) {
  owner.meta.uid.clear();
  owner.meta.labels = {};
  owner.meta.annotations = {};
  owner.meta.created.reset();
  owner.meta.deleted.reset();
}
void reduce(k8s::Pod& pod) {
  const bool injected = pod.meta.labels.contains("linkerd.io/control-plane-ns");
  pod.meta.annotations.erase_if([injected](std::string_view key) {
    return key.find("config.linkerd.io/") == std::string_view::npos &&
           key != "linkerd.io/trust-root-sha256" && (injected || key != "linkerd.io/inject");
  });
  for (auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    if (list->empty()) continue;
    for (k8s::Container& container : list->edit()) {
      std::erase_if(container.env, [](const k8s::EnvVar& env) {
        return !env.name.starts_with("LINKERD2_PROXY_") || !env.name.ends_with("_LISTEN_ADDR");
      });
      container.env.shrink_to_fit();
    }
  }
  std::erase_if(pod.status.conditions.edit(),
                [](const k8s::Condition& condition) { return condition.type != "Ready"; });
  if (!injected) pod.status.containers = {};
}

template <typename Map, typename Key>
void unlink_one(Map& map, const Key& key, const typename Map::mapped_type& value) {
  const auto [first, last] = map.equal_range(key);
  for (auto at = first; at != last; ++at) {
    if (at->second == value) {
      map.erase(at);
      return;
    }
  }
}

bool has_host_port(const k8s::Pod& pod) {
  for (const auto* const list : {&pod.spec.containers, &pod.spec.init_containers}) {
    for (const k8s::Container& container : *list) {
      for (const k8s::ContainerPort& port : container.ports) {
        if (port.host_port != 0) return true;
      }
    }
  }
  return false;
}

}  // namespace

namespace topics {
Topic pod(std::string_view ns, std::string_view name) noexcept { return hash(1, ns, name); }
Topic pods_in(std::string_view ns) noexcept { return hash(2, ns); }
Topic service(std::string_view ns, std::string_view name) noexcept { return hash(3, ns, name); }
Topic endpoints(std::string_view ns, std::string_view name) noexcept { return hash(4, ns, name); }
Topic address(const net::IpAddr& ip) noexcept { return hash(5, as_text(ip.octets())); }
Topic policies_in(std::string_view ns) noexcept { return hash(6, ns); }
Topic node(std::string_view name) noexcept { return hash(7, name); }
Topic namespaces() noexcept { return hash(10, ""); }
Topic egress() noexcept { return hash(8, ""); }
Topic ns(std::string_view name) noexcept { return hash(9, name); }
Topic routes_of(std::string_view ns) noexcept { return hash(11, ns); }
Topic external(std::string_view ns, std::string_view name) noexcept { return hash(15, ns, name); }
Topic externals_in(std::string_view ns) noexcept { return hash(16, ns); }
Topic statuses() noexcept { return hash(12, ""); }
Topic owner(std::string_view kind, std::string_view ns, std::string_view name) noexcept {
  return hash(kind == k8s::Job::kKind.kind ? 14 : 13, ns, name);
}
}  // namespace topics

ObjectKey key_of(const k8s::Object& object) {
  const k8s::ObjectMeta& meta = k8s::meta_of(object);
  const k8s::KindName& kind = k8s::kind_of(object);
  return {kind.group, kind.kind, meta.ns, meta.name};
}

Subscription::Subscription(Index& index) : index_(index) { ++index_.subscriptions_; }

Subscription::~Subscription() {
  leave();
  --index_.subscriptions_;
}

void Subscription::leave() noexcept {
  for (const Topic topic : topics_) {
    unlink_one(index_.subscribers_, topic, this);
  }
  topics_.clear();
  std::erase(index_.changed_, this);
}

void Subscription::depend_on(const TopicSet& topics) {
  if (std::equal(topics_.begin(), topics_.end(), topics.begin(), topics.end())) {
    told_ = false;  // the usual case: other values under the same topics
    return;
  }
  leave();
  topics_.assign(topics.begin(), topics.end());
  for (const Topic topic : topics_) index_.subscribers_.emplace(topic, this);
  told_ = false;
}

Index::Index() = default;
Index::~Index() { TULLE_ASSERT(subscriptions_ == 0); }

void Index::publish(Topic topic) {
  const auto [first, last] = subscribers_.equal_range(topic);
  for (auto at = first; at != last; ++at) {
    if (at->second->told_) continue;
    at->second->told_ = true;
    changed_.push_back(at->second);
  }
}

void Index::end_batch() {
  TULLE_ASSERT(batch_ > 0);
  if (--batch_ > 0) return;
  const std::vector<Subscription*> changed = std::move(changed_);
  changed_.clear();
  for (Subscription* const subscription : changed) subscription->on_change();
}

void Index::put(k8s::Object object) {
  begin_batch();
  std::visit(
      [this](auto& value) {
        using T = std::remove_reference_t<decltype(value)>;
        reduce(value);
        share(value);
        Table<T>& all = table<T>();
        Name name{value.meta.ns, value.meta.name};
        if constexpr (Owner<T>) {
          // Nobody's, or of several: it is itself the workload, as one that is not known.
          if (value.meta.owners.size() != 1) return erase_from<T>(name);
        }
        const auto at = all.find(name);
        if (at != all.end()) {
          if (at->second == value) return;
          touch(at->second);  // by its old addresses, owners and the like …
          link(at->second, false);
          at->second = std::move(value);
          link(at->second, true);
          touch(at->second);  // … and by its new ones
        } else {
          const auto made = all.emplace(std::move(name), std::move(value)).first;
          ++size_;
          link(made->second, true);
          touch(made->second);
        }
      },
      object);
  end_batch();
}

void Index::share(auto& object) {
  shared_maps_.unify(object.meta.labels.entries());
  shared_maps_.unify(object.meta.annotations.entries());
  shared_owners_.unify(object.meta.owners);
  if constexpr (std::is_same_v<std::remove_reference_t<decltype(object)>, k8s::Pod>) {
    shared_containers_.unify(object.spec.containers);
    shared_containers_.unify(object.spec.init_containers);
    shared_conditions_.unify(object.status.conditions);
    shared_statuses_.unify(object.status.containers);
  }
}

template <typename T>
void Index::erase_from(const Name& name) {
  Table<T>& all = table<T>();
  const auto at = all.find(name);
  if (at == all.end()) return;
  touch(at->second);
  link(at->second, false);
  all.erase(at);
  --size_;
}

void Index::erase(const ObjectKey& key) {
  begin_batch();
  const Name name{key.ns, key.name};
  std::apply(
      [&]<typename... T>(Table<T>&...) {
        ((T::kKind.kind == key.kind && T::kKind.group == key.group ? erase_from<T>(name) : void()),
         ...);
      },
      tables_);
  end_batch();
}

void Index::close(const std::string& by, std::vector<Closure> what) {
  begin_batch();
  const auto tell = [this](const std::vector<Closure>& closures) {
    for (const Closure& closure : closures) {
      if (closure.egress) {
        publish(topics::egress());
        continue;
      }
      if (!closure.ns.empty()) {
        publish(topics::policies_in(closure.ns));
        continue;
      }
      std::set<std::string_view> namespaces;
      for (const auto& [name, pod] : table<k8s::Pod>()) namespaces.insert(name.first);
      for (const std::string_view ns : namespaces) publish(topics::policies_in(ns));
    }
  };
  const auto at = closures_.find(by);
  if (at != closures_.end()) {
    tell(at->second);
    closures_.erase(at);
  }
  tell(what);
  if (!what.empty()) closures_.emplace(by, std::move(what));
  end_batch();
}

std::vector<std::string> Index::closed_by() const {
  std::vector<std::string> out;
  for (const auto& [by, closures] : closures_) out.push_back(by);
  return out;
}

std::map<std::string_view, std::size_t> Index::counts() const {
  std::map<std::string_view, std::size_t> out;
  std::apply(
      [&]<typename... T>(const Table<T>&... all) { ((out[T::kKind.kind] += all.size()), ...); },
      tables_);
  return out;
}

void Index::link(const k8s::Pod& pod, bool on) {
  const Name name{pod.meta.ns, pod.meta.name};
  const auto set = [&](auto& map, const net::IpAddr& ip) {
    if (on) {
      map.emplace(ip, name);
    } else {
      unlink_one(map, ip, name);
    }
  };
  for (const k8s::PodIp& ip : pod.status.pod_ips) set(pods_by_ip_, ip.ip);
  if (pod.status.host_ip && has_host_port(pod)) set(pods_by_host_ip_, *pod.status.host_ip);
}

void Index::link(const k8s::Service& service, bool on) {
  const Name name{service.meta.ns, service.meta.name};
  for (const net::IpAddr& ip : service.addresses()) {
    if (on) {
      services_by_ip_.emplace(ip, name);
    } else {
      unlink_one(services_by_ip_, ip, name);
    }
  }
}

void Index::link(const k8s::ExternalWorkload& workload, bool on) {
  const Name name{workload.meta.ns, workload.meta.name};
  for (const k8s::PodIp& ip : workload.spec.ips) {
    if (on) {
      externals_by_ip_.emplace(ip.ip, name);
    } else {
      unlink_one(externals_by_ip_, ip.ip, name);
    }
  }
}

void Index::link(const k8s::EndpointSlice& slice, bool on) {
  const std::string_view owner = slice.meta.labels.get(k8s::EndpointSlice::kServiceLabel);
  if (owner.empty()) return;
  const Name service{slice.meta.ns, std::string(owner)};
  const Name own{slice.meta.ns, slice.meta.name};
  if (on) {
    slices_by_service_.emplace(service, own);
  } else {
    unlink_one(slices_by_service_, service, own);
  }
  for (const k8s::Endpoint& endpoint : slice.endpoints) {
    if (!endpoint.target) continue;
    const bool external = endpoint.target->kind == k8s::ExternalWorkload::kKind.kind;
    if (!external && endpoint.target->kind != "Pod") continue;
    const Name member{endpoint.target->ns.empty() ? slice.meta.ns : endpoint.target->ns,
                      endpoint.target->name};
    auto& services = external ? services_by_external_ : services_by_pod_;
    if (on) {
      services.emplace(member, service);
    } else {
      unlink_one(services, member, service);
    }
  }
}

void Index::touch(const k8s::Pod& pod) {
  publish(topics::pod(pod.meta.ns, pod.meta.name));
  publish(topics::pods_in(pod.meta.ns));
  for (const k8s::PodIp& ip : pod.status.pod_ips) publish(topics::address(ip.ip));
  if (pod.status.host_ip) publish(topics::address(*pod.status.host_ip));
  const auto [first, last] = services_by_pod_.equal_range(Name{pod.meta.ns, pod.meta.name});
  for (auto at = first; at != last; ++at) {
    publish(topics::endpoints(at->second.first, at->second.second));
  }
}

void Index::touch(const k8s::Service& service) {
  publish(topics::service(service.meta.ns, service.meta.name));
  publish(topics::statuses());
  for (const net::IpAddr& ip : service.addresses()) publish(topics::address(ip));
}

void Index::touch(const k8s::EndpointSlice& slice) {
  const std::string_view owner = slice.meta.labels.get(k8s::EndpointSlice::kServiceLabel);
  if (!owner.empty()) publish(topics::endpoints(slice.meta.ns, owner));
}

void Index::touch(const k8s::ExternalWorkload& workload) {
  publish(topics::external(workload.meta.ns, workload.meta.name));
  publish(topics::externals_in(workload.meta.ns));
  for (const k8s::PodIp& ip : workload.spec.ips) publish(topics::address(ip.ip));
  const auto [first, last] =
      services_by_external_.equal_range(Name{workload.meta.ns, workload.meta.name});
  for (auto at = first; at != last; ++at) {
    publish(topics::endpoints(at->second.first, at->second.second));
  }
}

void Index::touch(const k8s::ReplicaSet& set) {
  publish(topics::owner(set.kKind.kind, set.meta.ns, set.meta.name));
}
void Index::touch(const k8s::Job& job) {
  publish(topics::owner(job.kKind.kind, job.meta.ns, job.meta.name));
}
void Index::touch(const k8s::Node& node) { publish(topics::node(node.meta.name)); }
void Index::touch(const k8s::EgressNetwork&) {
  publish(topics::egress());
  publish(topics::statuses());
}

template <typename T>
const T* View::find(std::string_view ns, std::string_view name) const {
  const auto& all = index_.table<T>();
  const auto at = all.find(Index::Name{std::string(ns), std::string(name)});
  return at != all.end() ? &at->second : nullptr;
}

namespace {
// Oldest first, undated ones last; what is of one age stays in its order.
template <typename T>
void sort_by_age(std::vector<const T*>& objects) {
  const auto age = [](const T* object) {
    return object->meta.created ? object->meta.created->unix_seconds
                                : std::numeric_limits<std::int64_t>::max();
  };
  std::stable_sort(objects.begin(), objects.end(),
                   [&](const T* a, const T* b) { return age(a) < age(b); });
}
}  // namespace

template <typename T>
std::vector<const T*> View::in_order(std::string_view ns) const {
  note(topics::policies_in(ns));
  const auto& all = index_.table<T>();
  std::vector<const T*> out;
  for (auto at = all.lower_bound(Index::Name{std::string(ns), ""});
       at != all.end() && at->first.first == ns; ++at) {
    out.push_back(&at->second);
  }
  sort_by_age(out);
  return out;
}

template <typename T>
std::vector<const T*> View::routes_of(std::string_view parent_ns) const {
  note(topics::routes_of(parent_ns));
  std::vector<const T*> out;
  for (const auto& [name, route] : index_.table<T>()) {
    for (const k8s::ParentRef& parent : route.spec.parents) {
      if ((parent.ns.empty() ? route.meta.ns : parent.ns) != parent_ns) continue;
      out.push_back(&route);
      break;
    }
  }
  sort_by_age(out);
  return out;
}
template std::vector<const k8s::PolicyHttpRoute*> View::routes_of(std::string_view) const;
template std::vector<const k8s::HttpRoute*> View::routes_of(std::string_view) const;
template std::vector<const k8s::GrpcRoute*> View::routes_of(std::string_view) const;
template std::vector<const k8s::TlsRoute*> View::routes_of(std::string_view) const;
template std::vector<const k8s::TcpRoute*> View::routes_of(std::string_view) const;

template <typename T>
std::vector<const T*> View::all() const {
  note(topics::statuses());
  std::vector<const T*> out;
  for (const auto& [name, object] : index_.table<T>()) out.push_back(&object);
  sort_by_age(out);
  return out;
}
template std::vector<const k8s::PolicyHttpRoute*> View::all() const;
template std::vector<const k8s::HttpRoute*> View::all() const;
template std::vector<const k8s::GrpcRoute*> View::all() const;
template std::vector<const k8s::TlsRoute*> View::all() const;
template std::vector<const k8s::TcpRoute*> View::all() const;
template std::vector<const k8s::HttpLocalRateLimitPolicy*> View::all() const;
template std::vector<const k8s::EgressNetwork*> View::all() const;
template std::vector<const k8s::Server*> View::in_order(std::string_view) const;
template std::vector<const k8s::ServerAuthorization*> View::in_order(std::string_view) const;
template std::vector<const k8s::AuthorizationPolicy*> View::in_order(std::string_view) const;
template std::vector<const k8s::HttpLocalRateLimitPolicy*> View::in_order(std::string_view) const;

std::vector<const Closure*> View::closures(std::string_view ns) const {
  note(topics::policies_in(ns));
  std::vector<const Closure*> out;
  for (const auto& [by, closures] : index_.closures_) {
    for (const Closure& closure : closures) {
      if (!closure.egress && (closure.ns.empty() || closure.ns == ns)) out.push_back(&closure);
    }
  }
  return out;
}

bool View::egress_closed(std::string_view ns) const {
  note(topics::egress());
  for (const auto& [by, closures] : index_.closures_) {
    for (const Closure& closure : closures) {
      if (closure.egress && (closure.ns.empty() || closure.ns == ns)) return true;
    }
  }
  return false;
}

const k8s::Pod* View::pod(std::string_view ns, std::string_view name) const {
  note(topics::pod(ns, name));
  return find<k8s::Pod>(ns, name);
}

const k8s::Pod* View::pod_of(std::string_view ns, std::string_view name) const {
  return find<k8s::Pod>(ns, name);
}

const k8s::Service* View::service(std::string_view ns, std::string_view name) const {
  note(topics::service(ns, name));
  return find<k8s::Service>(ns, name);
}

std::vector<const k8s::EndpointSlice*> View::slices(std::string_view ns,
                                                    std::string_view service) const {
  note(topics::endpoints(ns, service));
  std::vector<const k8s::EndpointSlice*> out;
  const auto [first, last] =
      index_.slices_by_service_.equal_range(Index::Name{std::string(ns), std::string(service)});
  for (auto at = first; at != last; ++at) {
    const auto* const slice = find<k8s::EndpointSlice>(at->second.first, at->second.second);
    if (slice != nullptr) out.push_back(slice);
  }
  return out;
}

std::vector<const k8s::Pod*> View::pods_in(std::string_view ns) const {
  note(topics::pods_in(ns));
  const auto& all = index_.table<k8s::Pod>();
  std::vector<const k8s::Pod*> out;
  for (auto at = all.lower_bound(Index::Name{std::string(ns), ""});
       at != all.end() && at->first.first == ns; ++at) {
    out.push_back(&at->second);
  }
  return out;
}

namespace {
// The objects of a look-up by address, in the order of their names.
template <typename T, typename Map, typename Find>
std::vector<const T*> at_address(const Map& map, const net::IpAddr& ip, const Find& find) {
  std::set<typename Map::mapped_type> names;
  const auto [first, last] = map.equal_range(ip);
  for (auto at = first; at != last; ++at) names.insert(at->second);
  std::vector<const T*> out;
  for (const auto& name : names) {
    if (const T* const object = find(name.first, name.second)) out.push_back(object);
  }
  return out;
}
}  // namespace

std::vector<const k8s::Service*> View::services_at(const net::IpAddr& ip) const {
  note(topics::address(ip));
  return at_address<k8s::Service>(
      index_.services_by_ip_, ip,
      [this](const auto& ns, const auto& name) { return find<k8s::Service>(ns, name); });
}

std::vector<const k8s::Pod*> View::pods_at(const net::IpAddr& ip) const {
  note(topics::address(ip));
  return at_address<k8s::Pod>(index_.pods_by_ip_, ip, [this](const auto& ns, const auto& name) {
    return find<k8s::Pod>(ns, name);
  });
}

std::vector<const k8s::Pod*> View::pods_on_host(const net::IpAddr& ip) const {
  note(topics::address(ip));
  return at_address<k8s::Pod>(
      index_.pods_by_host_ip_, ip,
      [this](const auto& ns, const auto& name) { return find<k8s::Pod>(ns, name); });
}

const k8s::ExternalWorkload* View::external(std::string_view ns, std::string_view name) const {
  note(topics::external(ns, name));
  return find<k8s::ExternalWorkload>(ns, name);
}

const k8s::ExternalWorkload* View::external_of(std::string_view ns, std::string_view name) const {
  return find<k8s::ExternalWorkload>(ns, name);
}

std::vector<const k8s::ExternalWorkload*> View::externals_in(std::string_view ns) const {
  note(topics::externals_in(ns));
  const auto& all = index_.table<k8s::ExternalWorkload>();
  std::vector<const k8s::ExternalWorkload*> out;
  for (auto at = all.lower_bound(Index::Name{std::string(ns), ""});
       at != all.end() && at->first.first == ns; ++at) {
    out.push_back(&at->second);
  }
  return out;
}

std::vector<const k8s::ExternalWorkload*> View::externals_at(const net::IpAddr& ip) const {
  note(topics::address(ip));
  return at_address<k8s::ExternalWorkload>(
      index_.externals_by_ip_, ip,
      [this](const auto& ns, const auto& name) { return find<k8s::ExternalWorkload>(ns, name); });
}

const k8s::OwnerReference* View::owner_of(std::string_view kind, std::string_view ns,
                                          std::string_view name) const {
  const auto owner = [](const auto* object) {
    return object != nullptr ? &object->meta.owners.front() : nullptr;
  };
  if (kind != k8s::ReplicaSet::kKind.kind && kind != k8s::Job::kKind.kind) return nullptr;
  note(topics::owner(kind, ns, name));
  return kind == k8s::Job::kKind.kind ? owner(find<k8s::Job>(ns, name))
                                      : owner(find<k8s::ReplicaSet>(ns, name));
}

const std::string* View::inherited_annotation(const k8s::ObjectMeta& meta,
                                              std::string_view key) const {
  if (const std::string* const own = meta.annotations.find(key)) return own;
  note(topics::ns(meta.ns));
  const k8s::Namespace* const ns = find<k8s::Namespace>("", meta.ns);
  return ns != nullptr ? ns->meta.annotations.find(key) : nullptr;
}

const k8s::Namespace* View::name_space(std::string_view name) const {
  note(topics::ns(name));
  return find<k8s::Namespace>("", name);
}

std::vector<const k8s::Namespace*> View::namespaces() const {
  note(topics::namespaces());
  std::vector<const k8s::Namespace*> out;
  for (const auto& [name, ns] : index_.table<k8s::Namespace>()) out.push_back(&ns);
  return out;
}

const k8s::Node* View::node(std::string_view name) const {
  note(topics::node(name));
  return find<k8s::Node>("", name);
}

std::string_view View::zone(std::string_view node) const {
  const k8s::Node* const found = this->node(node);
  return found != nullptr ? found->meta.labels.get("topology.kubernetes.io/zone")
                          : std::string_view();
}

const k8s::MeshTlsAuthentication* View::mesh_authentication(std::string_view ns,
                                                            std::string_view name) const {
  note(topics::policies_in(ns));
  return find<k8s::MeshTlsAuthentication>(ns, name);
}

const k8s::NetworkAuthentication* View::network_authentication(std::string_view ns,
                                                               std::string_view name) const {
  note(topics::policies_in(ns));
  return find<k8s::NetworkAuthentication>(ns, name);
}

std::vector<const k8s::EgressNetwork*> View::egress_networks() const {
  note(topics::egress());
  std::vector<const k8s::EgressNetwork*> out;
  for (const auto& [name, network] : index_.table<k8s::EgressNetwork>()) out.push_back(&network);
  return out;
}

}  // namespace tulle::control
