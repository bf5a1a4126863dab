// SPDX-License-Identifier: Apache-2.0
#include "control/destination/endpoints.h"

#include <algorithm>
#include <set>

#include "control/destination/profile.h"
#include "control/destination/workload_endpoint.h"
#include "control/wire.h"
#include "lib/base/text.h"
#include "proto/message.h"

namespace tulle::control {
namespace {

constexpr std::string_view kRemoteName = "mirror.linkerd.io/remote-svc-fq-name";
constexpr std::string_view kZone = "topology.kubernetes.io/zone";
constexpr std::string_view kRemoteIdentity = "mirror.linkerd.io/remote-gateway-identity";

// One address that may serve, before it is filtered and described.
struct Candidate {
  net::SocketAddr address;
  const k8s::Pod* pod = nullptr;                    // null: an address that is no pod
  const k8s::ExternalWorkload* external = nullptr;  // null: nor a machine of the mesh
  const k8s::EndpointSlice* slice = nullptr;        // null: found through the Service's selector
  std::string hostname;
  std::string node;
  std::string zone;
  std::vector<std::string> hints;
};

bool is_tcp(std::string_view protocol) { return protocol.empty() || protocol == "TCP"; }

// The port on the endpoints of this slice: the one that has the Service port's name. A port that
// the Service does not define is meant literally.
std::optional<std::uint16_t> slice_port(const k8s::EndpointSlice& slice,
                                        const k8s::ServicePort* service_port, std::uint16_t asked) {
  if (service_port == nullptr) return asked;
  for (const k8s::EndpointPort& port : slice.ports) {
    if (port.name != service_port->name || !is_tcp(port.protocol)) continue;
    return port.port ? static_cast<std::uint16_t>(*port.port) : asked;
  }
  return std::nullopt;
}

void from_slices(const View& view, const k8s::Service& service, const EndpointQuery& query,
                 const std::vector<const k8s::EndpointSlice*>& slices,
                 std::vector<Candidate>& out) {
  const k8s::ServicePort* const service_port = find_service_port(service, query.port);
  for (const k8s::EndpointSlice* const slice : slices) {
    if (slice->address_type == "FQDN") continue;
    const auto port = slice_port(*slice, service_port, query.port);
    if (!port) continue;
    for (const k8s::Endpoint& endpoint : slice->endpoints) {
      const bool ready = endpoint.conditions.ready.value_or(true);
      if (!ready && !service.spec.publish_not_ready_addresses) continue;
      Candidate candidate;
      candidate.slice = slice;
      candidate.hostname = endpoint.hostname;
      candidate.node = endpoint.node_name;
      candidate.zone = endpoint.zone;
      for (const k8s::ZoneHint& hint : endpoint.hints.for_zones)
        candidate.hints.push_back(hint.name);
      if (endpoint.target && endpoint.target->kind == "Pod") {
        const std::string& ns = endpoint.target->ns.empty() ? slice->meta.ns : endpoint.target->ns;
        candidate.pod = view.pod_of(ns, endpoint.target->name);
        // A pod that is not known yet cannot be told meshed or not: never plain text on a guess.
        if (candidate.pod == nullptr) continue;
        if (candidate.node.empty()) candidate.node = candidate.pod->spec.node_name;
      }
      if (endpoint.target && endpoint.target->kind == k8s::ExternalWorkload::kKind.kind) {
        const std::string& ns = endpoint.target->ns.empty() ? slice->meta.ns : endpoint.target->ns;
        candidate.external = view.external_of(ns, endpoint.target->name);
        if (candidate.external == nullptr) continue;
        if (candidate.zone.empty()) candidate.zone = candidate.external->meta.labels.get(kZone);
      }
      for (const std::string& text : endpoint.addresses) {
        candidate.address = {*net::IpAddr::parse(text), *port};
        out.push_back(candidate);
      }
    }
  }
}

bool is_ready(const k8s::Pod& pod) {
  for (const k8s::Condition& condition : pod.status.conditions) {
    if (condition.type == "Ready") return condition.status == "True";
  }
  return false;
}

// The ports of a pod or machine behind a port of the Service: all that have the name, if it is one.
template <typename Member>
std::vector<std::uint16_t> target_ports(const k8s::ServicePort* service_port, const Member& member,
                                        std::uint16_t asked) {
  if (service_port == nullptr || !service_port->target_port) return {asked};
  const k8s::IntOrString& target = *service_port->target_port;
  if (!target.is_name()) {
    return {target.number != 0 ? static_cast<std::uint16_t>(target.number) : asked};
  }
  std::vector<std::uint16_t> out;
  for (const auto& [low, high] : named_ports(member, target.name).ranges()) out.push_back(low);
  return out;
}

bool is_ready(const k8s::ExternalWorkload& workload) {
  for (const k8s::Condition& condition : workload.status.conditions) {
    if (condition.type == "Ready") return condition.status == "True";
  }
  return false;
}

// Somebody writes EndpointSlices for machines (Linkerd's controller does, Kubernetes' does not).
bool name_externals(const std::vector<const k8s::EndpointSlice*>& slices) {
  return std::any_of(slices.begin(), slices.end(), [](const k8s::EndpointSlice* slice) {
    return std::any_of(slice->endpoints.begin(), slice->endpoints.end(), [](const auto& endpoint) {
      return endpoint.target && endpoint.target->kind == k8s::ExternalWorkload::kKind.kind;
    });
  });
}

// Machines outside of the cluster that the Service selects.
void add_external(const View& view, const k8s::Service& service, const EndpointQuery& query,
                  std::vector<Candidate>& out) {
  const k8s::LabelSelector selector{service.spec.selector, {}};
  const k8s::ServicePort* const service_port = find_service_port(service, query.port);
  for (const k8s::ExternalWorkload* const workload : view.externals_in(service.meta.ns)) {
    if (!selector.matches(workload->meta.labels)) continue;
    if (!is_ready(*workload) && !service.spec.publish_not_ready_addresses) continue;
    Candidate candidate;
    candidate.external = workload;
    candidate.hostname = workload->meta.name;
    candidate.zone = workload->meta.labels.get(kZone);
    for (const std::uint16_t port : target_ports(service_port, *workload, query.port)) {
      for (const k8s::PodIp& ip : workload->spec.ips) {
        candidate.address = {ip.ip, port};
        out.push_back(candidate);
      }
    }
  }
}

// Slices are made for the families of the Service, where it says which.
bool is_of_service(const k8s::Service& service, const net::IpAddr& ip) {
  const std::vector<std::string>& families = service.spec.ip_families;
  const std::string_view own = ip.is_v6() ? "IPv6" : "IPv4";
  return families.empty() || std::find(families.begin(), families.end(), own) != families.end();
}

// Endpoints of a Service for which nobody writes EndpointSlices (a folder of hand-written
// manifests): what Kubernetes' endpoint slice controller would have found.
void from_selector(const View& view, const k8s::Service& service, const EndpointQuery& query,
                   std::vector<Candidate>& out) {
  const k8s::ServicePort* const service_port = find_service_port(service, query.port);
  const k8s::LabelSelector selector{service.spec.selector, {}};
  for (const k8s::Pod* const pod : view.pods_in(service.meta.ns)) {
    if (!selector.matches(pod->meta.labels)) continue;
    if (pod->status.phase == "Succeeded" || pod->status.phase == "Failed") continue;
    const bool serves = is_ready(*pod) && !pod->meta.deleted;
    if (!serves && !service.spec.publish_not_ready_addresses) continue;
    Candidate candidate;
    candidate.pod = pod;
    if (pod->spec.subdomain == service.meta.name) candidate.hostname = pod->spec.hostname;
    candidate.node = pod->spec.node_name;
    for (const std::uint16_t port : target_ports(service_port, *pod, query.port)) {
      for (const k8s::PodIp& ip : pod->status.pod_ips) {
        candidate.address = {ip.ip, port};
        out.push_back(candidate);
      }
    }
  }
  std::erase_if(out, [&](const Candidate& c) { return !is_of_service(service, c.address.ip); });
}

bool is_v6(const Candidate& candidate) { return candidate.address.ip.is_v6(); }

// What the client asked for while it has endpoints, otherwise the other: who came to an IPv4
// address of a Service expects what listens there, and an application may listen on one family
// only.
void keep_family(EndpointQuery::Family family, std::vector<Candidate>& candidates) {
  const bool v6 = family == EndpointQuery::Family::V6;
  const auto asked = [v6](const Candidate& c) { return is_v6(c) == v6; };
  if (std::none_of(candidates.begin(), candidates.end(), asked)) return;
  std::erase_if(candidates, [&](const Candidate& c) { return !asked(c); });
}

// One address a pod, whatever is asked for: IPv6 if it has one.
void keep_one_address(std::vector<Candidate>& candidates) {
  std::set<const void*> with_v6;
  const auto member = [](const Candidate& c) -> const void* {
    return c.pod != nullptr ? static_cast<const void*>(c.pod) : c.external;
  };
  for (const Candidate& c : candidates) {
    if (member(c) != nullptr && is_v6(c)) with_v6.insert(member(c));
  }
  std::erase_if(candidates,
                [&](const Candidate& c) { return !is_v6(c) && with_v6.contains(member(c)); });
}

void filter(const k8s::Service& service, const EndpointQuery& query, std::string_view client_zone,
            const MeshConfig& config, std::vector<Candidate>& candidates) {
  using Family = EndpointQuery::Family;
  const auto keep_if = [&](const auto& keep) {
    std::erase_if(candidates, [&](const Candidate& c) { return !keep(c); });
  };
  if (!query.service.instance.empty()) {
    keep_if([&](const Candidate& c) { return c.hostname == query.service.instance; });
  }
  if (!config.ipv6) keep_if([](const Candidate& c) { return !is_v6(c); });
  const bool local = service.spec.internal_traffic_policy == "Local";
  if (local) {
    keep_if([&](const Candidate& c) { return c.pod != nullptr && c.node == query.client.node; });
  }
  // Before the hints, which are made for each family: far endpoints of the one that was asked for
  // come before near ones of the other.
  if (query.family != Family::Unset) keep_family(query.family, candidates);
  if (!local) {
    const bool all_hinted = std::none_of(candidates.begin(), candidates.end(),
                                         [](const Candidate& c) { return c.hints.empty(); });
    const auto near = [&](const Candidate& c) {
      return std::find(c.hints.begin(), c.hints.end(), client_zone) != c.hints.end();
    };
    // Hints apply only if they leave somebody.
    if (all_hinted && !client_zone.empty() &&
        std::any_of(candidates.begin(), candidates.end(), near)) {
      keep_if(near);
    }
  }
  if (query.family == Family::Unset) keep_one_address(candidates);
}

// An address that is no pod: outside of the mesh, or a gateway of another cluster.
pb::destination::WeightedAddr bare_endpoint(const MeshConfig& config, const Candidate& candidate,
                                            std::uint16_t service_port) {
  pb::destination::WeightedAddr out;
  out.addr = to_wire(candidate.address);
  out.weight = 10'000;
  out.metric_labels["zone_locality"] = "unknown";
  if (candidate.slice == nullptr) return out;
  const k8s::StringMap& annotations = candidate.slice->meta.annotations;
  const std::string_view remote = annotations.get(kRemoteName);
  const std::string_view identity = annotations.get(kRemoteIdentity);
  if (!remote.empty()) {
    std::string authority = concat(remote, ":");
    append_number(authority, service_port);
    out.authority_override.make().authority_override = std::move(authority);
  }
  if (!identity.empty()) {
    out.tls_identity.make().set_dns_like_identity().name = identity;
    if (config.h2_upgrade) out.protocol_hint.make().set_h2();
    out.http2 = meshed_http2_params(config);
  }
  return out;
}

pb::destination::WeightedAddr described(const View& view, const MeshConfig& config,
                                        const Candidate& c, std::uint16_t service_port,
                                        std::string_view client_zone) {
  if (c.pod != nullptr) return pod_endpoint(view, config, *c.pod, c.address, c.zone, client_zone);
  if (c.external != nullptr) {
    return external_endpoint(view, config, *c.external, c.address, c.zone, client_zone);
  }
  return bare_endpoint(config, c, service_port);
}

EndpointQuery::Family family_from(std::int32_t wire) {
  using Wire = pb::destination::IpFamily;
  if (wire == Wire::IPV4) return EndpointQuery::Family::V4;
  return wire == Wire::IPV6 ? EndpointQuery::Family::V6 : EndpointQuery::Family::Unset;
}

}  // namespace

grpc::StatusOr<EndpointQuery> parse_endpoint_query(const pb::destination::GetDestination& request,
                                                   const MeshConfig& config) {
  const auto authority = parse_authority(request.path);
  if (!authority) {
    return grpc::Status{grpc::Code::InvalidArgument, concat("not an authority: ", request.path)};
  }
  if (authority->ip() != nullptr) {
    return grpc::Status{grpc::Code::InvalidArgument,
                        "an address has no endpoints; ask for its profile"};
  }
  auto service = parse_service_name(authority->name(), config.cluster_domain);
  if (!service) {
    return grpc::Status{grpc::Code::InvalidArgument,
                        concat("not the name of a service: ", authority->name())};
  }
  return EndpointQuery{*std::move(service), authority->port, parse_context(request.context_token),
                       family_from(request.ip_family)};
}

grpc::StatusOr<EndpointSet> endpoints_of(const View& view, const MeshConfig& config,
                                         const EndpointQuery& query) {
  EndpointSet out;
  const k8s::Service* const service = view.service(query.service.ns, query.service.service);
  if (service == nullptr) return out;
  if (service->spec.type == "ExternalName") {
    return grpc::Status{grpc::Code::InvalidArgument, "the service is of type ExternalName"};
  }
  out.exists = true;
  out.labels = {{"namespace", query.service.ns}, {"service", query.service.service}};

  std::vector<Candidate> candidates;
  const auto slices = view.slices(query.service.ns, query.service.service);
  const bool selects = !service->spec.selector.empty();
  if (slices.empty() && selects) {
    from_selector(view, *service, query, candidates);
  } else {
    from_slices(view, *service, query, slices, candidates);
  }
  if (selects && !name_externals(slices)) add_external(view, *service, query, candidates);
  const std::string client_zone(query.client.node.empty() ? "" : view.zone(query.client.node));
  for (Candidate& c : candidates) {
    if (c.zone.empty() && !c.node.empty()) c.zone = view.zone(c.node);
  }
  filter(*service, query, client_zone, config, candidates);
  for (const Candidate& c : candidates) {
    out.endpoints.insert_or_assign(c.address, described(view, config, c, query.port, client_zone));
  }
  return out;
}

std::vector<pb::destination::Update> EndpointStream::next(const EndpointSet& now) {
  std::vector<pb::destination::Update> out;
  if (now.endpoints.empty()) {
    const Sent state = now.exists ? Sent::Empty : Sent::Unknown;
    if (state == sent_) return out;
    sent_ = state;
    known_ = {};
    out.emplace_back().set_no_endpoints().exists = now.exists;
    return out;
  }
  sent_ = Sent::Endpoints;
  pb::destination::Update add, remove;
  auto& added = add.set_add();
  auto& removed = remove.set_remove();
  std::vector<Known> known;
  known.reserve(now.endpoints.size());
  auto before = known_.begin();  // both are in the order of addresses
  for (const auto& [address, endpoint] : now.endpoints) {
    for (; before != known_.end() && before->address < address; ++before) {
      removed.addrs.push_back(to_wire(before->address));
    }
    const Digest digest = digest_of(pb::encode_message(endpoint));
    const bool same =
        before != known_.end() && before->address == address && before->digest == digest;
    if (before != known_.end() && before->address == address) ++before;
    if (!same) added.addrs.push_back(endpoint);
    known.push_back({address, digest});
  }
  for (; before != known_.end(); ++before) removed.addrs.push_back(to_wire(before->address));
  known_ = std::move(known);
  // What comes is announced before what goes, so that a client is never left with nothing.
  if (!added.addrs.empty()) {
    added.metric_labels = now.labels;
    out.push_back(std::move(add));
  }
  if (!removed.addrs.empty()) out.push_back(std::move(remove));
  return out;
}

}  // namespace tulle::control
