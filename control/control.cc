// SPDX-License-Identifier: Apache-2.0
#include "control/control.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "control/identity/token_review.h"
#include "lib/base/slab.h"
#include "lib/base/text.h"
#include "lib/grpc/service.h"
#include "lib/tls/names.h"

namespace tulle::control {
namespace {

std::vector<std::string> own_names(const Options& options) {
  const MeshConfig& mesh = options.mesh;
  std::vector<std::string> out;
  const auto add = [&](std::string_view account) {
    out.push_back(tls::workload_name(account, mesh.controller_namespace, mesh.controller_namespace,
                                     mesh.trust_domain));
  };
  if (options.identity) add("linkerd-identity");
  // The policy role is known under the name of destination.
  if (options.destination || options.policy) add("linkerd-destination");
  return out;
}

std::string issuer_name(const MeshConfig& mesh) {
  return concat("identity.", mesh.controller_namespace, ".", mesh.trust_domain);
}

std::string own_pod(const Options& options) {
  if (!options.pod.empty()) return options.pod;
  if (const char* const name = std::getenv("POD_NAME"); name != nullptr && *name != '\0')
    return name;
  char host[256] = {};
  return ::gethostname(host, sizeof host - 1) == 0 ? host : "tulle-control";
}

// What callers ask for is small: names and ports, a certificate's request with a token.
grpc::Server::Options call_options(PortBounds& bounds) {
  grpc::Server::Options options;
  options.max_message = std::size_t{64} * 1024;
  options.request_time = 10s;
  options.unfinished = &bounds.unfinished;
  options.max_answering = std::size_t{16} * 1024 * 1024;
  options.max_streams_of_strangers = kStreamsOfStrangers;
  return options;
}

void append_metric(std::string& out, std::string_view name, std::string_view help,
                   std::string_view labels, std::int64_t value) {
  if (!help.empty()) out += concat("# HELP ", name, " ", help, "\n# TYPE ", name, " gauge\n");
  out += name;
  if (!labels.empty()) out += concat("{", labels, "}");
  out += ' ';
  append_number(out, value);
  out += '\n';
}

}  // namespace

Control::Control(net::Loop& loop, const log::Logger& log, const Options& options)
    : loop_(loop),
      log_(log),
      options_(options),
      synced_(loop),
      identity_server_(loop, call_options(bounds_)),
      destination_server_(loop, call_options(bounds_)),
      policy_server_(loop, call_options(bounds_)) {
  metrics_.collect(metrics::Format::Legacy, &Control::collect, this);
  if (options_.source == Options::Source::Folder) {
    source_ = std::make_unique<FolderSource>(loop_, index_, log_, options_.manifests);
  }
  if (!options_.issuer.empty() || options_.source == Options::Source::Kubernetes) {
    issuers_ = std::make_unique<IssuerStore>(log_);
    own_ = std::make_unique<OwnCertificates>(
        loop_, log_, *issuers_, own_names(options_),
        Certifier::Options{options_.issuance_lifetime, options_.clock_skew});
  }
  if (!options_.issuer.empty()) {
    folder_issuer_ = std::make_unique<FolderIssuer>(
        loop_, *issuers_,
        FolderIssuer::Options{options_.issuer, options_.trust_anchors, options_.generate_issuer,
                              issuer_name(options_.mesh)});
  }
  if (options_.destination) destination_.add_to(destination_server_);
  if (options_.policy) policy_.add_to(policy_server_);
}

Control::~Control() = default;

std::unique_ptr<GrpcPort> Control::make_port(grpc::Server& server, std::string_view name) {
  return std::make_unique<GrpcPort>(loop_, log_, server, own_.get(), drain_, port_metrics_, bounds_,
                                    name);
}

std::string Control::connect_to_kubernetes(net::SocketFactory& sockets) {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::string_view(value != nullptr ? value : "");
  };
  k8s::AccessResult access = options_.kubeconfig.empty()
                                 ? k8s::in_cluster_access(variable("KUBERNETES_SERVICE_HOST"),
                                                          variable("KUBERNETES_SERVICE_PORT"))
                                 : k8s::kubeconfig_access(options_.kubeconfig);
  if (const auto* const problem = std::get_if<k8s::AccessProblem>(&access)) return problem->reason;
  const auto& cluster = std::get<k8s::ClusterAccess>(access);
  log_.info("the index is fed by Kubernetes", {{"server", cluster.url()}});
  std::random_device device;
  const std::uint64_t seed = std::uint64_t{device()} << 32 | device();
  dialer_ = std::make_unique<k8s::ServerDialer>(loop_, sockets, cluster, seed);
  api_ = std::make_unique<k8s::ApiClient>(loop_, *dialer_, cluster, log_,
                                          k8s::ApiClient::Options{.user_agent = "tulle-control"});
  DeploymentOwner::Options owner;
  owner.ns = options_.mesh.controller_namespace;
  owner.required = options_.kubeconfig.empty();
  owner_ = std::make_unique<DeploymentOwner>(*api_, std::move(owner));
  kubernetes_ = std::make_unique<KubernetesSource>(*api_, index_, log_, seed + 1);
  if (options_.identity) {
    identity_events_ = std::make_unique<IdentityEvents>(
        *api_, *issuers_, log_, options_.mesh.controller_namespace, DeploymentOwner::Options{}.name,
        own_pod(options_), seed + 8);
  }
  if (folder_issuer_ == nullptr) {
    KubernetesIssuer::Options issuer;
    if (options_.identity && !options_.generate_issuer) {
      issuer.anchor_users = [this]() -> std::optional<AnchorUsers> {
        if (!kubernetes_->synced()) return std::nullopt;
        return anchor_users(View(index_));
      };
      issuer.on_stale_anchors = [this](const std::string& who) {
        identity_events_->anchors_in_use(who);
      };
    }
    issuer.ns = options_.mesh.controller_namespace;
    issuer.generate = options_.generate_issuer;
    issuer.policy.name = issuer_name(options_.mesh);
    issuer.policy.leaf_lifetime = options_.issuance_lifetime + options_.clock_skew;
    kubernetes_issuer_ = std::make_unique<KubernetesIssuer>(*api_, *owner_, *issuers_, log_,
                                                            std::move(issuer), seed + 2);
  }
  const bool injector = options_.injector && !options_.values.empty();
  if (injector || options_.policy) {
    k8s::LeaderElection::Options lease;
    lease.ns = options_.mesh.controller_namespace;
    lease.name = "linkerd-control-plane-write";
    lease.identity = own_pod(options_);
    lease.owner = [this] { return owner_->references(); };
    election_ = std::make_unique<k8s::LeaderElection>(*api_, log_, std::move(lease), seed + 5);
  }
  if (options_.policy) {
    statuses_ = std::make_unique<StatusWriter>(*api_, index_, options_.mesh, *election_, log_);
  }
  if (injector) {
    Webhooks::Options webhooks;
    webhooks.ns = options_.mesh.controller_namespace;
    webhooks.values = options_.values;
    webhooks.injector_port = options_.injector_port;
    webhooks.profile_port = options_.profile_port;
    webhooks.policy_port = options_.policy_webhook_port;
    webhooks.listen = options_.listen;
    webhooks.pod = own_pod(options_);
    webhooks_ =
        std::make_unique<Webhooks>(loop_, log_, *api_, index_, *issuers_, *election_, *owner_,
                                   drain_, metrics_, bounds_, std::move(webhooks), seed + 3);
  }
  return "";
}

std::string Control::listen_admin(net::SocketFactory& sockets) {
  const auto ready = [this] { return missing(); };
  admin_port_ = std::make_unique<AdminPort>(loop_, metrics_, ready, drain_, bounds_, "admin");
  dest_admin_port_ =
      std::make_unique<AdminPort>(loop_, metrics_, ready, drain_, bounds_, "dest-admin");
  std::string problem = listen(sockets, *admin_port_, "admin", options_.admin_port);
  if (problem.empty()) {
    problem = listen(sockets, *dest_admin_port_, "dest-admin", options_.dest_admin_port);
  }
  return problem;
}

std::string Control::listen_grpc(net::SocketFactory& sockets) {
  std::string problem;
  const auto open = [&](bool wanted, std::unique_ptr<GrpcPort>& port, grpc::Server& server,
                        std::string_view name, std::uint16_t number) {
    if (!wanted || !problem.empty()) return;
    port = make_port(server, name);
    problem = listen(sockets, *port, name, number);
  };
  open(options_.identity, identity_port_, identity_server_, "identity", options_.identity_port);
  open(options_.destination, destination_port_, destination_server_, "destination",
       options_.destination_port);
  open(options_.policy, policy_port_, policy_server_, "policy", options_.policy_port);
  return problem;
}

template <typename Port>
std::string Control::listen(net::SocketFactory& sockets, Port& port, std::string_view name,
                            std::uint16_t number) {
  const net::SocketAddr at{options_.listen, number};
  if (const auto listening = port.listen(sockets, at); !listening) {
    return concat("cannot listen on ", at.to_string(), " (", name,
                  "): ", std::strerror(listening.error().os_errno));
  }
  log_.info("listening", {{"port", name}, {"addr", port.address().to_string()}});
  return "";
}

void Control::serve_grpc() {
  for (GrpcPort* const port : {identity_port_.get(), destination_port_.get(), policy_port_.get()}) {
    if (port != nullptr) tasks_.spawn(port->run());
  }
}

net::Task<void> Control::serve_when_synced(net::SocketFactory& sockets) {
  while (!kubernetes_->synced()) {
    [[maybe_unused]] const bool told = co_await synced_.wait();
  }
  problem_ = listen_grpc(sockets);
  if (!problem_.empty()) {
    log_.error("cannot serve", {{"reason", problem_}});
    co_return;
  }
  serve_grpc();
  if (election_ != nullptr) tasks_.spawn(election_->run());
  if (statuses_ != nullptr) tasks_.spawn(statuses_->run());
  if (webhooks_ == nullptr) co_return;
  problem_ = webhooks_->listen(sockets);
  if (!problem_.empty()) {
    log_.error("cannot serve", {{"reason", problem_}});
    co_return;
  }
  co_await webhooks_->run();
}

std::string Control::start(net::SocketFactory& sockets) {
  if (options_.source == Options::Source::Kubernetes) {
    if (std::string problem = connect_to_kubernetes(sockets); !problem.empty()) return problem;
  }
  if (options_.identity) {
    if (options_.token_key.empty()) {
      tokens_ = std::make_unique<ReviewedTokens>(*api_, log_, options_.token_projection);
    } else {
      tokens_ = std::make_unique<SignedTokens>(options_.token_key, index_);
    }
    certifier_ = std::make_unique<Certifier>(
        options_.mesh, *issuers_, *tokens_, log_,
        Certifier::Options{options_.issuance_lifetime, options_.clock_skew,
                           [this](std::string_view reason) {
                             if (identity_events_) identity_events_->validation_failed(reason);
                           }});
    grpc::add_unary<pb::identity::Identity::Certify>(identity_server_, *certifier_,
                                                     &Certifier::certify);
  }
  if (source_ != nullptr) {
    if (const auto started = source_->start(); !started) {
      return concat(options_.manifests, ": ", std::strerror(started.error().os_errno));
    }
    loaded_ = true;
    log_.info("manifests are read", {{"folder", options_.manifests},
                                     {"files", source_->files()},
                                     {"broken", source_->broken_files()},
                                     {"objects", index_.size()}});
  }
  if (folder_issuer_ != nullptr) folder_issuer_->load();
  if (std::string problem = listen_admin(sockets); !problem.empty()) return problem;
  if (kubernetes_ == nullptr) {
    if (std::string problem = listen_grpc(sockets); !problem.empty()) return problem;
  }

  tasks_.spawn(give_memory_back());
  if (source_ != nullptr) tasks_.spawn(source_->run());
  if (folder_issuer_ != nullptr) tasks_.spawn(folder_issuer_->run());
  if (kubernetes_issuer_ != nullptr) tasks_.spawn(kubernetes_issuer_->run());
  if (identity_events_ != nullptr) tasks_.spawn(identity_events_->run());
  if (own_ != nullptr) tasks_.spawn(own_->run());
  serve_grpc();
  tasks_.spawn(admin_port_->run());
  tasks_.spawn(dest_admin_port_->run());
  if (kubernetes_ != nullptr) {
    tasks_.spawn(serve_when_synced(sockets));
    kubernetes_->start([this] { synced_.notify_all(); });
  }
  return "";
}

net::Task<void> Control::give_memory_back() {
  for (;;) {
    slab_trim();
    co_await net::sleep_for(loop_, 20s);
  }
}

net::Task<bool> Control::drain(Deadline by) {
  for (GrpcPort* const port : {identity_port_.get(), destination_port_.get(), policy_port_.get()}) {
    if (port != nullptr) port->stop();
  }
  if (webhooks_ != nullptr) webhooks_->stop();
  for (grpc::Server* const server : {&identity_server_, &destination_server_, &policy_server_}) {
    server->drain();
  }
  drain_.start();
  for (;;) {
    std::size_t left = 0;
    for (const GrpcPort* const port :
         {identity_port_.get(), destination_port_.get(), policy_port_.get()}) {
      if (port != nullptr) left += port->connections();
    }
    if (webhooks_ != nullptr) left += webhooks_->connections();
    if (left == 0) co_return true;
    if (by.passed(loop_.now())) co_return false;
    co_await net::sleep_for(loop_, 10ms);
  }
}

Control::Addresses Control::addresses() const {
  Addresses out;
  if (identity_port_ != nullptr) out.identity = identity_port_->address();
  if (destination_port_ != nullptr) out.destination = destination_port_->address();
  if (policy_port_ != nullptr) out.policy = policy_port_->address();
  if (admin_port_ != nullptr) out.admin = admin_port_->address();
  if (dest_admin_port_ != nullptr) out.dest_admin = dest_admin_port_->address();
  return out;
}

std::string Control::missing() const {
  if (source_ != nullptr && !loaded_) return "manifests";
  if (source_ != nullptr) {
    std::string files;
    for (const std::string& file : index_.closed_by()) {
      files += concat(files.empty() ? "" : ", ", file);
    }
    if (!files.empty()) {
      return concat("manifests: ", files, " cannot be read; what they may concern stays closed");
    }
  }
  if (kubernetes_ != nullptr && !kubernetes_->synced()) {
    return concat("kubernetes: ", kubernetes_->missing());
  }
  if (!problem_.empty()) return problem_;
  // Without the identity role nobody waits for certificates of ours, and loopback needs none.
  if (options_.identity && issuers_ != nullptr && issuers_->current() == nullptr) {
    return issuers_->broken() ? concat("issuer: ", issuers_->problem()) : "issuer";
  }
  if (webhooks_ != nullptr) {
    if (std::string missing = webhooks_->missing(); !missing.empty()) return missing;
  }
  if (drain_.started()) return "shutting down";
  return "";
}

void Control::collect_kubernetes(std::string& out) const {
  const auto resources = kubernetes_->resources();
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help,
                          const auto& value) {
    out += concat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
    for (const auto& state : resources) {
      out += concat(name, "{group=\"", state.group, "\",resource=\"", state.resource, "\"} ");
      append_number(out, static_cast<std::uint64_t>(value(state)));
      out += '\n';
    }
  };
  family("tulle_control_kubernetes_behind", "gauge", "The resource is not followed at the moment",
         [](const auto& state) { return state.behind || !state.synced ? 1 : 0; });
  family("tulle_control_kubernetes_lists_total", "counter", "Lists begun",
         [](const auto& state) { return state.stats.lists; });
  family("tulle_control_kubernetes_watches_total", "counter", "Watches begun",
         [](const auto& state) { return state.stats.watches; });
  family("tulle_control_kubernetes_events_total", "counter", "Changes of objects that were told",
         [](const auto& state) { return state.stats.events; });
  family("tulle_control_kubernetes_failures_total", "counter", "Lists and watches that failed",
         [](const auto& state) { return state.stats.failures; });
  family("tulle_control_kubernetes_stalled_total", "counter", "Watches cut because nothing came",
         [](const auto& state) { return state.stats.stalled; });
  if (statuses_ != nullptr) {
    const StatusWriter::Stats& stats = statuses_->stats();
    const auto counter = [&](std::string_view name, std::string_view help, std::uint64_t value) {
      out += concat("# HELP ", name, " ", help, "\n# TYPE ", name, " counter\n", name, " ",
                    std::to_string(value), "\n");
    };
    counter("resource_status_patches_total", "Statuses written", stats.patches);
    counter("resource_status_patch_api_errors_total", "Statuses that the server refused",
            stats.api_errors);
    counter("resource_status_patch_timeouts_total", "Statuses that were not answered",
            stats.timeouts);
  }
  append_metric(out, "tulle_control_kubernetes_broken_objects",
                "Objects that could not be read; their last good state stays", "",
                static_cast<std::int64_t>(kubernetes_->broken_objects()));
}

// The families that Linkerd's control plane has from its gRPC library, as far as they are counters.
void Control::collect_calls(std::string& out) const {
  const auto family = [&](std::string_view name, std::string_view help, const auto& each) {
    out += concat("# HELP ", name, " ", help, "\n# TYPE ", name, " counter\n");
    for (const grpc::Server* const server :
         {&identity_server_, &destination_server_, &policy_server_}) {
      server->for_each_method([&](std::string_view path, bool streams, const auto& counts) {
        const std::size_t slash = path.rfind('/');
        const std::string labels =
            concat("grpc_type=\"", streams ? "server_stream" : "unary", "\",grpc_service=\"",
                   path.substr(1, slash - 1), "\",grpc_method=\"", path.substr(slash + 1), "\"");
        each(counts, [&](std::string_view more, std::uint64_t value) {
          out += concat(name, "{", labels, more, "} ");
          append_number(out, value);
          out += '\n';
        });
      });
    }
  };
  family("grpc_server_started_total", "Calls that were begun",
         [](const auto& counts, const auto& put) { put("", counts.started); });
  family("grpc_server_msg_received_total", "Messages received",
         [](const auto& counts, const auto& put) { put("", counts.received); });
  family("grpc_server_msg_sent_total", "Messages sent",
         [](const auto& counts, const auto& put) { put("", counts.sent); });
  family("grpc_server_handled_total", "Calls that have ended, by code",
         [](const auto& counts, const auto& put) {
           // The names of the codes as that library writes them.
           static constexpr std::string_view kNames[] = {"OK",
                                                         "Canceled",
                                                         "Unknown",
                                                         "InvalidArgument",
                                                         "DeadlineExceeded",
                                                         "NotFound",
                                                         "AlreadyExists",
                                                         "PermissionDenied",
                                                         "ResourceExhausted",
                                                         "FailedPrecondition",
                                                         "Aborted",
                                                         "OutOfRange",
                                                         "Unimplemented",
                                                         "Internal",
                                                         "Unavailable",
                                                         "DataLoss",
                                                         "Unauthenticated"};
           for (std::size_t code = 0; code < counts.handled.size(); ++code) {
             if (counts.handled[code] == 0) continue;
             put(concat(",grpc_code=\"", kNames[code], "\""), counts.handled[code]);
           }
         });
}

void Control::collect(void* self, std::string& out) {
  const auto& control = *static_cast<Control*>(self);
  bool first = true;
  for (const auto& [kind, count] : control.index_.counts()) {
    append_metric(out, "tulle_control_index_objects", first ? "Objects in the index" : "",
                  concat("kind=\"", kind, "\""), static_cast<std::int64_t>(count));
    first = false;
  }
  append_metric(out, "tulle_control_streams", "Streams of endpoints, profiles and policies", "",
                static_cast<std::int64_t>(control.index_.subscriptions()));
  if (control.source_ != nullptr) {
    append_metric(out, "tulle_control_manifest_files", "Files of manifests that are known", "",
                  static_cast<std::int64_t>(control.source_->files()));
    append_metric(out, "tulle_control_broken_manifest_files",
                  "Files whose last good state stands in for what they say now", "",
                  static_cast<std::int64_t>(control.source_->broken_files()));
  }
  if (control.kubernetes_ != nullptr) control.collect_kubernetes(out);
  if (control.webhooks_ != nullptr) control.webhooks_->collect(out);
  if (control.issuers_ != nullptr) {
    append_metric(out, "tulle_control_issuer_broken",
                  "The issuer's files cannot be used as they are", "",
                  control.issuers_->broken() ? 1 : 0);
    if (const auto issuer = control.issuers_->current()) {
      const auto left = issuer->issuer.certificate.not_after - wall_now();
      append_metric(out, "issuer_cert_ttl_seconds", "Seconds until the issuer's certificate ends",
                    "", std::chrono::duration_cast<std::chrono::seconds>(left).count());
    }
  }
  control.collect_calls(out);
  metrics::append_process_metrics(out, control.started_at_);
}

}  // namespace tulle::control
