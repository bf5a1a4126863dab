// SPDX-License-Identifier: Apache-2.0
// The one model of the cluster that all roles read: typed objects, reduced to what is used, with
// the look-ups that the roles need. A source (control/source) puts and erases objects; readers look
// through a View, which notes what they depended on; a Subscription is told when any of that
// changed and then reads the latest state, so that a slow one never makes a queue grow.
//
// One per process, on one loop; nothing here blocks or does I/O.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "control/index/topic.h"
#include "lib/base/intrusive_list.h"
#include "lib/k8s/manifest.h"

namespace tulle::control {

// An object's identity in the index.
struct ObjectKey {
  std::string_view group;  // KindName::group and kind, literals: two kinds may differ by the group
  std::string_view kind;
  std::string ns;
  std::string name;
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};
ObjectKey key_of(const k8s::Object& object);
template <typename T>
ObjectKey key_of(std::string_view ns, std::string_view name) {
  return {T::kKind.group, T::kKind.kind, std::string(ns), std::string(name)};
}

// What stays closed because a policy is written for it that cannot be read, so that nobody knows
// what it forbids. Each part that is given narrows it.
struct Closure {
  std::string ns;                          // "" means every namespace
  std::optional<k8s::LabelSelector> pods;  // those that the policy selects, absent: all
  std::optional<k8s::IntOrString> port;    // absent: every port
  std::string server;                      // only ports that this Server governs
  bool egress = false;  // what leaves the namespace for EgressNetworks, instead of what comes in
  friend bool operator==(const Closure&, const Closure&) = default;
};

class Index;

// Is told, once, when something changes that it depends on. Lives with its reader (a stream).
class Subscription {
 public:
  explicit Subscription(Index& index);
  virtual ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;
  // Replaces what it depends on; it can be told again from here on.
  void depend_on(const TopicSet& topics);

 protected:
  // Something changed. Must not touch the index; called at most once per depend_on().
  virtual void on_change() = 0;
  // It was told since the last depend_on(), or depends on nothing yet.
  bool told() const noexcept { return told_; }

 private:
  friend class Index;
  void leave() noexcept;
  Index& index_;
  std::vector<Topic> topics_;
  bool told_ = true;
};

class Index {
 public:
  Index();
  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  // Adds or replaces. An object equal to the one that is there changes nothing.
  void put(k8s::Object object);
  void erase(const ObjectKey& key);
  // Between begin and end changes are collected; whoever is concerned is told once at the end.
  void begin_batch() noexcept { ++batch_; }
  void end_batch();

  // For sources that list all objects of a kind: those that are not among these go.
  template <typename T>
  void keep_only(const std::set<std::pair<std::string, std::string>>& names);

  // Replaces what `by` (a file, an object) keeps closed; empty: nothing any more.
  void close(const std::string& by, std::vector<Closure> what);
  // Whoever keeps something closed, in order.
  std::vector<std::string> closed_by() const;

  std::size_t size() const noexcept { return size_; }
  template <typename T>
  std::size_t count() const noexcept {
    return table<T>().size();
  }
  template <typename T>
  bool has(std::string_view ns, std::string_view name) const {
    return table<T>().contains(Name{std::string(ns), std::string(name)});
  }
  // Subscriptions that live now: one for each open stream.
  std::size_t subscriptions() const noexcept { return subscriptions_; }
  // Objects by kind, for metrics.
  std::map<std::string_view, std::size_t> counts() const;

 private:
  friend class View;
  friend class Subscription;

  using Name = std::pair<std::string, std::string>;  // namespace, name
  template <typename T>
  using Table = std::map<Name, T, std::less<>>;
  using Tables =
      std::tuple<Table<k8s::Namespace>, Table<k8s::ServiceAccount>, Table<k8s::Node>,
                 Table<k8s::ReplicaSet>, Table<k8s::Job>, Table<k8s::Pod>, Table<k8s::Service>,
                 Table<k8s::EndpointSlice>, Table<k8s::Server>, Table<k8s::ServerAuthorization>,
                 Table<k8s::AuthorizationPolicy>, Table<k8s::MeshTlsAuthentication>,
                 Table<k8s::NetworkAuthentication>, Table<k8s::HttpLocalRateLimitPolicy>,
                 Table<k8s::EgressNetwork>, Table<k8s::PolicyHttpRoute>, Table<k8s::HttpRoute>,
                 Table<k8s::GrpcRoute>, Table<k8s::TlsRoute>, Table<k8s::TcpRoute>,
                 Table<k8s::ServiceProfile>, Table<k8s::ExternalWorkload>>;

  template <typename T>
  Table<T>& table() {
    return std::get<Table<T>>(tables_);
  }
  template <typename T>
  const Table<T>& table() const {
    return std::get<Table<T>>(tables_);
  }
  template <typename T>
  void erase_from(const Name& name);

  // What stands beside the tables for look-ups by other keys; `on` adds, otherwise removes.
  void link(const k8s::Pod& pod, bool on);
  void link(const k8s::Service& service, bool on);
  void link(const k8s::EndpointSlice& slice, bool on);
  void link(const k8s::ExternalWorkload& workload, bool on);
  void link(const auto&, bool) {}

  void touch(const k8s::Pod& pod);
  void touch(const k8s::Service& service);
  void touch(const k8s::EndpointSlice& slice);
  void touch(const k8s::Node& node);
  void touch(const k8s::ReplicaSet& set);
  void touch(const k8s::Job& job);
  void touch(const k8s::EgressNetwork&);
  void touch(const k8s::Namespace& ns) {
    publish(topics::ns(ns.meta.name));
    publish(topics::namespaces());
  }
  void touch(const k8s::ServiceAccount&) {}
  void touch(const k8s::ServiceProfile&) {}  // kept for later: nobody reads it yet
  void touch(const k8s::ExternalWorkload& workload);
  void touch(const auto& policy) {
    publish(topics::policies_in(policy.meta.ns));
    publish(topics::statuses());
  }
  template <typename M, const k8s::KindName& kName>
  void touch(const k8s::Route<M, kName>& route) {
    for (const k8s::ParentRef& parent : route.spec.parents) {
      publish(topics::routes_of(parent.ns.empty() ? route.meta.ns : parent.ns));
    }
    publish(topics::statuses());
  }
  void publish(Topic topic);

  // What many objects have in common is kept once.
  void share(auto& object);
  k8s::SharedPool<k8s::StringMap::Entry> shared_maps_;
  k8s::SharedPool<k8s::OwnerReference> shared_owners_;
  k8s::SharedPool<k8s::Container> shared_containers_;
  k8s::SharedPool<k8s::Condition> shared_conditions_;
  k8s::SharedPool<k8s::ContainerStatus> shared_statuses_;

  Tables tables_;
  std::size_t size_ = 0;
  std::unordered_multimap<net::IpAddr, Name> services_by_ip_;
  std::unordered_multimap<net::IpAddr, Name> pods_by_ip_;
  std::unordered_multimap<net::IpAddr, Name> pods_by_host_ip_;  // those with host ports
  std::multimap<Name, Name> slices_by_service_;
  std::unordered_multimap<net::IpAddr, Name> externals_by_ip_;
  std::multimap<Name, Name> services_by_pod_;  // through the targetRefs of slices
  std::multimap<Name, Name> services_by_external_;
  std::map<std::string, std::vector<Closure>> closures_;  // by who keeps them

  std::unordered_multimap<Topic, Subscription*> subscribers_;
  std::vector<Subscription*> changed_;  // to be told at the end of the batch
  std::size_t subscriptions_ = 0;
  int batch_ = 0;
};

template <typename T>
void Index::keep_only(const std::set<std::pair<std::string, std::string>>& names) {
  begin_batch();
  for (auto at = table<T>().begin(); at != table<T>().end();) {
    const Name name = at->first;
    ++at;
    if (!names.contains(name)) erase(key_of<T>(name.first, name.second));
  }
  end_batch();
}

// Looks things up and notes each look-up in `seen` (which may be null). Pointers are valid until
// the index changes next.
class View {
 public:
  explicit View(const Index& index, TopicSet* seen = nullptr) : index_(index), seen_(seen) {}

  const k8s::Pod* pod(std::string_view ns, std::string_view name) const;
  const k8s::Service* service(std::string_view ns, std::string_view name) const;
  // All slices of a Service. Notes the pods that they name too: use pod_of() for those.
  std::vector<const k8s::EndpointSlice*> slices(std::string_view ns,
                                                std::string_view service) const;
  const k8s::Pod* pod_of(std::string_view ns, std::string_view name) const;
  std::vector<const k8s::Pod*> pods_in(std::string_view ns) const;
  const k8s::ExternalWorkload* external(std::string_view ns, std::string_view name) const;
  // As pod_of().
  const k8s::ExternalWorkload* external_of(std::string_view ns, std::string_view name) const;
  std::vector<const k8s::ExternalWorkload*> externals_in(std::string_view ns) const;
  std::vector<const k8s::ExternalWorkload*> externals_at(const net::IpAddr& ip) const;
  // What is kept closed in this namespace: on the way in, and whether on the way out.
  std::vector<const Closure*> closures(std::string_view ns) const;
  bool egress_closed(std::string_view ns) const;
  // Every pod there is. Notes nothing: for those who look now and then.
  template <typename Call>
  void for_each_pod(const Call& call) const {
    for (const auto& [name, pod] : index_.table<k8s::Pod>()) call(pod);
  }
  std::vector<const k8s::Service*> services_at(const net::IpAddr& ip) const;
  std::vector<const k8s::Pod*> pods_at(const net::IpAddr& ip) const;
  // Pods with a host port on the node of this address.
  std::vector<const k8s::Pod*> pods_on_host(const net::IpAddr& ip) const;
  // Whose a ReplicaSet or Job is: its one owner; null if it has none or several, or is not known.
  const k8s::OwnerReference* owner_of(std::string_view kind, std::string_view ns,
                                      std::string_view name) const;
  // An annotation of the object, or else of its namespace; null if neither has it. What the
  // injector copies from the namespace onto pods counts for pods that were written by hand, too.
  const std::string* inherited_annotation(const k8s::ObjectMeta& meta, std::string_view key) const;
  const k8s::Namespace* name_space(std::string_view name) const;
  std::vector<const k8s::Namespace*> namespaces() const;
  const k8s::Node* node(std::string_view name) const;
  // The zone of a node, "" if it has none or is not known.
  std::string_view zone(std::string_view node) const;

  // Oldest first, then by name: the order in which Linkerd lets policies win.
  std::vector<const k8s::Server*> servers(std::string_view ns) const {
    return in_order<k8s::Server>(ns);
  }
  std::vector<const k8s::ServerAuthorization*> server_authorizations(std::string_view ns) const {
    return in_order<k8s::ServerAuthorization>(ns);
  }
  std::vector<const k8s::AuthorizationPolicy*> authorization_policies(std::string_view ns) const {
    return in_order<k8s::AuthorizationPolicy>(ns);
  }
  std::vector<const k8s::HttpLocalRateLimitPolicy*> rate_limits(std::string_view ns) const {
    return in_order<k8s::HttpLocalRateLimitPolicy>(ns);
  }
  const k8s::MeshTlsAuthentication* mesh_authentication(std::string_view ns,
                                                        std::string_view name) const;
  const k8s::NetworkAuthentication* network_authentication(std::string_view ns,
                                                           std::string_view name) const;
  std::vector<const k8s::EgressNetwork*> egress_networks() const;
  // Routes of one kind, in the order above, wherever they are, that have a parent in this
  // namespace (the parents of others among them, too).
  template <typename T>
  std::vector<const T*> routes_of(std::string_view parent_ns) const;
  // All of a kind. Notes topics::statuses(), under which all changes of policies, routes and
  // Services are told.
  template <typename T>
  std::vector<const T*> all() const;

 private:
  void note(Topic topic) const {
    if (seen_ != nullptr) seen_->add(topic);
  }
  template <typename T>
  const T* find(std::string_view ns, std::string_view name) const;
  template <typename T>
  std::vector<const T*> in_order(std::string_view ns) const;

  const Index& index_;
  TopicSet* seen_;
};

}  // namespace tulle::control
