// SPDX-License-Identifier: Apache-2.0
#include "control/control.h"

#include <cstring>

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
      identity_server_(loop),
      destination_server_(loop),
      policy_server_(loop) {
  metrics_.collect(metrics::Format::Legacy, &Control::collect, this);
  if (!options_.manifests.empty()) {
    source_ = std::make_unique<FolderSource>(loop_, index_, log_, options_.manifests);
  }
  if (!options_.issuer.empty()) {
    const MeshConfig& mesh = options_.mesh;
    issuers_ = std::make_unique<IssuerStore>(
        loop_, log_,
        IssuerStore::Options{
            options_.issuer, options_.trust_anchors, options_.generate_issuer,
            concat("identity.", mesh.controller_namespace, ".", mesh.trust_domain)});
    own_ = std::make_unique<OwnCertificates>(
        loop_, log_, *issuers_, own_names(options_),
        Certifier::Options{options_.issuance_lifetime, options_.clock_skew});
  }
  if (options_.identity) {
    tokens_ = std::make_unique<SignedTokens>(options_.token_key, index_);
    certifier_ = std::make_unique<Certifier>(
        options_.mesh, *issuers_, *tokens_, log_,
        Certifier::Options{options_.issuance_lifetime, options_.clock_skew});
    grpc::add_unary<pb::identity::Identity::Certify>(identity_server_, *certifier_,
                                                     &Certifier::certify);
  }
  if (options_.destination) destination_.add_to(destination_server_);
  if (options_.policy) policy_.add_to(policy_server_);
}

Control::~Control() = default;

std::unique_ptr<GrpcPort> Control::make_port(grpc::Server& server, std::string_view name) {
  return std::make_unique<GrpcPort>(loop_, log_, server, own_.get(), drain_, port_metrics_, name);
}

std::string Control::listen_all(net::SocketFactory& sockets) {
  std::string problem;
  const auto listen = [&](auto& port, std::string_view name, std::uint16_t number) {
    const net::SocketAddr at{options_.listen, number};
    if (const auto listening = port->listen(sockets, at); !listening) {
      if (problem.empty()) {
        problem = concat("cannot listen on ", at.to_string(), " (", name,
                         "): ", std::strerror(listening.error().os_errno));
      }
      return;
    }
    log_.info("listening", {{"port", name}, {"addr", port->address().to_string()}});
  };
  if (options_.identity)
    listen(identity_port_ = make_port(identity_server_, "identity"), "identity",
           options_.identity_port);
  if (options_.destination) {
    listen(destination_port_ = make_port(destination_server_, "destination"), "destination",
           options_.destination_port);
  }
  if (options_.policy)
    listen(policy_port_ = make_port(policy_server_, "policy"), "policy", options_.policy_port);
  const auto ready = [this] { return missing(); };
  admin_port_ = std::make_unique<AdminPort>(loop_, metrics_, ready, drain_);
  listen(admin_port_, "admin", options_.admin_port);
  dest_admin_port_ = std::make_unique<AdminPort>(loop_, metrics_, ready, drain_);
  listen(dest_admin_port_, "dest-admin", options_.dest_admin_port);
  return problem;
}

std::string Control::start(net::SocketFactory& sockets) {
  if (source_ != nullptr) {
    if (const auto started = source_->start(); !started) {
      return concat(options_.manifests, ": ", std::strerror(started.error().os_errno));
    }
    loaded_ = true;
    log_.info("manifests are read", {{"folder", options_.manifests},
                                     {"files", source_->files()},
                                     {"objects", index_.size()},
                                     {"broken_files", source_->broken_files()}});
  }
  // An issuer that is not there yet is waited for: everything else can begin.
  if (issuers_ != nullptr) issuers_->load();
  if (std::string problem = listen_all(sockets); !problem.empty()) return problem;

  if (source_ != nullptr) tasks_.spawn(source_->run());
  if (issuers_ != nullptr) tasks_.spawn(issuers_->run());
  if (own_ != nullptr) tasks_.spawn(own_->run());
  for (GrpcPort* const port : {identity_port_.get(), destination_port_.get(), policy_port_.get()}) {
    if (port != nullptr) tasks_.spawn(port->run());
  }
  tasks_.spawn(admin_port_->run());
  tasks_.spawn(dest_admin_port_->run());
  return "";
}

net::Task<bool> Control::drain(Deadline by) {
  for (GrpcPort* const port : {identity_port_.get(), destination_port_.get(), policy_port_.get()}) {
    if (port != nullptr) port->stop();
  }
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
  if (issuers_ != nullptr && issuers_->current() == nullptr) return "issuer";
  if (drain_.started()) return "shutting down";
  return "";
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
  metrics::append_process_metrics(out, control.started_at_);
}

}  // namespace tulle::control
