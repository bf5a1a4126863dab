// SPDX-License-Identifier: Apache-2.0
#include "cli/introspect.h"

#include <algorithm>

#include "cli/message_json.h"
#include "lib/base/text.h"
#include "lib/grpc/client.h"
#include "lib/h2/connection.h"
#include "lib/k8s/port_forward.h"
#include "lib/tls/stream.h"
#include "proto/destination.pb.h"
#include "proto/inbound.pb.h"
#include "proto/outbound.pb.h"

namespace tulle::cli {
namespace {

constexpr Duration kPatience = 15s;
constexpr std::size_t kAtOnce = 8;
constexpr std::uint16_t kDestinationPort =
    8086;  // docs/reference/control-plane.md §3: of the Services, and of our pods
constexpr std::uint16_t kPolicyPort = 8090;

std::string problem_of(const k8s::ApiStatus& status) {
  if (status.code == 403) {
    return concat(status.message.empty() ? status.to_string() : status.message,
                  "\nthe right to get pods/portforward is needed");
  }
  return status.message.empty() ? status.to_string() : status.message;
}
std::string problem_of(const grpc::Status& status, const std::string& asked) {
  std::string why =
      status.message.empty() ? std::string(grpc::to_string(status.code)) : status.message;
  if (status.code == grpc::Code::NotFound)
    why = concat("the control plane does not know it: ", why);
  if (status.code == grpc::Code::InvalidArgument)
    why += "\na name and a port are wanted, such as web.shop.svc.cluster.local:80";
  return concat(asked, ": ", why);
}

// A gRPC connection to a port of a pod.
class Line {
 public:
  net::Task<std::string> open(Cluster& cluster, std::string pod, std::uint16_t port, Deadline by) {
    pod_ = concat(cluster.flags().ns, "/", pod, ":", std::to_string(port));
    auto got =
        co_await k8s::forward_port(cluster.client(), cluster.flags().ns, std::move(pod), port, by);
    if (const auto* const refused = std::get_if<k8s::ApiStatus>(&got))
      co_return concat(pod_, ": ", problem_of(*refused));
    auto stream = std::move(std::get<std::unique_ptr<k8s::PodStream>>(got));
    port_problem_ = stream->problem();
    connection_ = h2::ClientConnection::make(std::move(stream), {});
    channel_.emplace(cluster.loop(), *connection_,
                     grpc::Channel::Options{.authority = "localhost"});
    co_return "";
  }
  grpc::Channel& channel() { return *channel_; }
  // A failed call is explained by the port's own words, if there are any.
  std::string explain(const grpc::Status& status, const std::string& asked) const {
    return port_problem_->empty() ? problem_of(status, asked) : concat(pod_, ": ", *port_problem_);
  }

 private:
  std::string pod_;
  std::shared_ptr<const std::string> port_problem_;
  std::unique_ptr<h2::ClientConnection> connection_;
  std::optional<grpc::Channel> channel_;
};

template <typename Method>
net::Task<void> ask_one(Cluster& cluster, const std::string& pod, std::uint16_t port,
                        typename Method::Request request, std::string asked, Told& told) {
  const Deadline by = cluster.loop().after(kPatience);
  Line line;
  told.problem = co_await line.open(cluster, pod, port, by);
  if (!told.problem.empty()) co_return;
  if constexpr (Method::kServerStreams) {
    auto stream = grpc::open_stream<Method>(line.channel(), request);
    auto message = co_await stream.read(by);
    if (!message) {
      told.problem = line.explain(message.status(), asked);
    } else if (*message) {
      told.message = json_of(**message);
    } else {
      told.problem = concat(asked, ": the control plane said nothing");
    }
  } else {
    grpc::CallOptions options;
    options.deadline = by;
    auto message = co_await grpc::call_unary<Method>(line.channel(), request, std::move(options));
    if (message) {
      told.message = json_of(*message);
    } else {
      told.problem = line.explain(message.status(), asked);
    }
  }
}

template <typename Method>
Told ask(Cluster& cluster, const std::string& pod, std::uint16_t port,
         typename Method::Request request, std::string asked) {
  Told told;
  net::TaskScope scope;
  scope.spawn(ask_one<Method>(cluster, pod, port, std::move(request), std::move(asked), told));
  cluster.run(scope);
  return told;
}

std::string label(const std::map<std::string, std::string>& labels, const std::string& name) {
  const auto at = labels.find(name);
  return at == labels.end() ? "" : at->second;
}

void add_rows(const pb::destination::WeightedAddrSet& set, Endpoints& out) {
  for (const pb::destination::WeightedAddr& one : set.addrs) {
    if (!one.addr) continue;
    EndpointRow row;
    row.ns = label(set.metric_labels, "namespace");
    row.service = concat(label(set.metric_labels, "service"), ".", row.ns);
    row.pod = label(one.metric_labels, "pod");
    row.ip = one.addr->ip ? text_of(*one.addr->ip) : "";
    row.port = one.addr->port;
    out.rows.push_back(std::move(row));
  }
}

net::Task<void> ask_endpoints(Cluster& cluster, const std::string& pod,
                              const std::vector<std::string>& authorities, const std::string& token,
                              Endpoints& out) {
  using Get = pb::destination::Destination::Get;
  const Deadline by = cluster.loop().after(kPatience);
  Line line;
  out.problem = co_await line.open(cluster, pod, kDestinationPort, by);
  for (const std::string& authority : authorities) {
    if (!out.problem.empty()) co_return;
    Get::Request request;
    request.scheme = "http:";
    request.path = authority;
    request.context_token = token;
    auto stream = grpc::open_stream<Get>(line.channel(), request);
    auto update = co_await stream.read(by);
    if (!update) {
      out.problem = line.explain(update.status(), authority);
    } else if (*update && (*update)->add) {
      add_rows(*(*update)->add, out);
    }
  }
}

// --- identity ---

Result<tls::CredentialsPtr> trusting(const std::string& pem) {
  tls::Credentials::Options options;
  auto anchors = tls::Certificate::from_pem(pem);
  if (!anchors) return anchors.error();
  options.anchors = *std::move(anchors);
  return tls::Credentials::make(std::move(options));
}

net::Task<void> prove_one(Cluster& cluster, const PodView& pod, const std::string& more_anchors,
                          Proof& proof) {
  const auto port = parse_number<std::uint16_t>(pod.admin_port);
  if (!pod.has_proxy || pod.phase != "Running" || !port || pod.identity.empty()) {
    proof.problem = !pod.has_proxy           ? "it has no proxy"
                    : pod.phase != "Running" ? concat("it is not running: ", pod.phase)
                    : pod.identity.empty()   ? "its proxy has no identity"
                                             : "its proxy has no admin port";
    co_return;
  }
  Result<tls::CredentialsPtr> credentials = trusting(concat(pod.anchors, "\n", more_anchors));
  if (!credentials) {
    proof.problem = "neither its proxy nor the control plane says which anchors are trusted";
    co_return;
  }
  const Deadline by = cluster.loop().after(kPatience);
  auto got = co_await k8s::forward_port(cluster.client(), pod.ns, pod.name, *port, by);
  if (const auto* const refused = std::get_if<k8s::ApiStatus>(&got)) {
    proof.problem = problem_of(*refused);
    co_return;
  }
  auto opened = std::move(std::get<std::unique_ptr<k8s::PodStream>>(got));
  const std::shared_ptr<const std::string> port_problem = opened->problem();
  tls::ClientOptions options;
  options.server_name = options.identity = pod.identity;
  tls::TlsResult session =
      co_await tls::connect_tls(std::move(opened), *std::move(credentials), std::move(options), by);
  if (!session) {
    proof.problem = port_problem->empty()
                        ? concat("it does not prove to be ", pod.identity, ": ",
                                 to_string(session.error().code), ": ", session.error().where)
                        : concat("its port ", pod.admin_port, " does not answer: ", *port_problem);
    co_return;
  }
  for (const std::string& der : (*session)->peer_chain()) {
    if (auto certificate = tls::Certificate::from_der(as_bytes(der)))
      proof.chain.push_back(*std::move(certificate));
  }
  if (proof.chain.empty()) proof.problem = "it presented no certificate";
}

net::Task<void> take(Cluster& cluster, const std::vector<PodView>& pods,
                     const std::string& more_anchors, std::size_t& next,
                     std::vector<Proof>& proofs) {
  while (next < pods.size()) {
    const std::size_t mine = next++;
    co_await prove_one(cluster, pods[mine], more_anchors, proofs[mine]);
  }
}

}  // namespace

ControlPod control_pod(Cluster& cluster, const std::string& name) {
  ControlPod out;
  const auto look = [&](const Value& item) {
    const PodView pod = view_of(item);
    const bool serves = pod.ports.contains("dest-grpc") ||
                        pod.label("linkerd.io/control-plane-component") == "destination";
    if (!serves || pod.phase != "Running" || pod.ending || !out.name.empty()) return;
    if (name.empty() || pod.name == name) out.name = pod.name;
  };
  out.problem = cluster.list(k8s::path_of(k8s::kPods, cluster.flags().ns), look).problem;
  if (out.problem.empty() && out.name.empty()) {
    out.problem =
        name.empty()
            ? concat("no pod of the control plane runs in the namespace ", cluster.flags().ns,
                     ": tulle check says more, -L names another namespace")
            : concat("no pod ", name, " of the control plane runs in the namespace ",
                     cluster.flags().ns);
  }
  return out;
}

Endpoints endpoints(Cluster& cluster, const std::string& pod,
                    const std::vector<std::string>& authorities, const std::string& token) {
  Endpoints out;
  net::TaskScope scope;
  scope.spawn(ask_endpoints(cluster, pod, authorities, token, out));
  cluster.run(scope);
  std::stable_sort(
      out.rows.begin(), out.rows.end(), [](const EndpointRow& a, const EndpointRow& b) {
        return std::tie(a.ns, a.service, a.port, a.pod) < std::tie(b.ns, b.service, b.port, b.pod);
      });
  return out;
}

Told profile(Cluster& cluster, const std::string& pod, const std::string& authority,
             const std::string& token) {
  pb::destination::GetDestination request;
  request.path = authority;
  request.context_token = token;
  return ask<pb::destination::Destination::GetProfile>(cluster, pod, kDestinationPort,
                                                       std::move(request), authority);
}

Told inbound_policy(Cluster& cluster, const std::string& pod, const std::string& ns,
                    const std::string& name, std::uint16_t port) {
  pb::inbound::PortSpec request;
  request.workload = concat(ns, ":", name);
  request.port = port;
  return ask<pb::inbound::InboundServerPolicies::GetPort>(cluster, pod, kPolicyPort,
                                                          std::move(request), concat("pod/", name));
}

Told outbound_policy(Cluster& cluster, const std::string& pod, const std::string& ns,
                     const std::string& authority) {
  pb::outbound::TrafficSpec request;
  request.source_workload =
      concat(ns, ":diagnostics");  // any pod of the namespace is told the same
  request.set_authority(authority);
  return ask<pb::outbound::OutboundPolicies::Get>(cluster, pod, kPolicyPort, std::move(request),
                                                  authority);
}

std::vector<Proof> prove(Cluster& cluster, const std::vector<PodView>& pods,
                         const std::string& more_anchors) {
  std::vector<Proof> proofs(pods.size());
  std::size_t next = 0;
  net::TaskScope scope;
  for (std::size_t i = 0; i < std::min(kAtOnce, pods.size()); ++i)
    scope.spawn(take(cluster, pods, more_anchors, next, proofs));
  cluster.run(scope);
  return proofs;
}

}  // namespace tulle::cli
