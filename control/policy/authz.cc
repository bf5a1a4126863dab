// SPDX-License-Identifier: Apache-2.0
#include "control/policy/authz.h"

#include <optional>

#include "control/wire.h"
#include "lib/base/text.h"

namespace tulle::control {
namespace {

using pb::inbound::Authn;
using pb::inbound::Authz;
using pb::inbound::Network;
using Identities = pb::inbound::Authn_PermitMeshTLS_PermitClientIdentities;

std::vector<Network> networks_of(const std::vector<net::Cidr>& cidrs) {
  std::vector<Network> out;
  for (const net::Cidr& cidr : cidrs) out.emplace_back().net = to_wire(cidr);
  return out;
}

std::vector<Network> networks_of(const std::vector<k8s::NetworkMatch>& matches) {
  std::vector<Network> out;
  for (const k8s::NetworkMatch& match : matches) {
    if (!match.cidr) continue;  // refused when it was read
    Network& network = out.emplace_back();
    network.net = to_wire(*match.cidr);
    for (const net::Cidr& hole : match.except) network.except.push_back(to_wire(hole));
  }
  return out;
}

std::vector<Network> everywhere() {
  return networks_of({*net::Cidr::parse("0.0.0.0/0"), *net::Cidr::parse("::/0")});
}

// "*" is everyone, "*.x.y" everyone under x.y, anything else one identity.
void add_identity(std::string_view identity, Identities& out) {
  if (identity == "*") {
    out.suffixes.emplace_back();
  } else if (identity.starts_with("*.")) {
    auto& suffix = out.suffixes.emplace_back();
    for (const std::string_view part : split(identity.substr(2), '.'))
      suffix.parts.emplace_back(part);
  } else {
    out.identities.emplace_back().name = identity;
  }
}

// One ServiceAccount; a star in its name is a letter, and no account has one.
void add_account(const MeshConfig& config, std::string_view name, std::string_view ns,
                 Identities& out) {
  out.identities.emplace_back().name = config.identity_of(name, ns);
}

void add_namespace(const MeshConfig& config, std::string_view ns, Identities& out) {
  add_identity(concat("*.", ns, ".serviceaccount.identity.", config.controller_namespace, ".",
                      config.trust_domain),
               out);
}

void name_resource(Authz& authz, std::string_view kind, const k8s::ObjectMeta& meta) {
  authz.labels = {
      {"group", std::string(k8s::kPolicyGroup)}, {"kind", std::string(kind)}, {"name", meta.name}};
  auto metadata = resource_metadata(k8s::kPolicyGroup, kind, "", meta.name);
  authz.metadata = std::move(metadata);
}

void name_default(Authz& authz, std::string_view name) {
  authz.labels = {{"group", ""}, {"kind", "default"}, {"name", std::string(name)}};
  authz.metadata = default_metadata(name);
}

std::optional<Authz> from_server_authorization(const MeshConfig& config,
                                               const k8s::ServerAuthorization& object) {
  const k8s::ClientSpec& client = object.spec.client;
  Authz authz;
  if (client.unauthenticated) {
    authz.authentication.make().set_unauthenticated();
  } else if (client.mesh_tls) {
    auto& tls = authz.authentication.make().set_meshTLS();
    if (client.mesh_tls->unauthenticated_tls) {
      tls.set_unauthenticated();
    } else {
      Identities& identities = tls.set_identities();
      for (const std::string& identity : client.mesh_tls->identities) {
        add_identity(identity, identities);
      }
      for (const k8s::ServiceAccountRef& ref : client.mesh_tls->service_accounts)
        add_account(config, ref.name, ref.ns.empty() ? object.meta.ns : ref.ns, identities);
    }
  } else {
    return std::nullopt;
  }
  authz.networks = client.networks && !client.networks->empty()
                       ? networks_of(*client.networks)
                       : networks_of(config.cluster_networks);
  name_resource(authz, "serverauthorization", object.meta);
  return authz;
}

Identities identities_of(const MeshConfig& config, const k8s::MeshTlsAuthentication& authn) {
  Identities out;
  for (const std::string& identity : authn.spec.identities) add_identity(identity, out);
  for (const k8s::TargetRef& ref : authn.spec.identity_refs) {
    const std::string& ns = ref.ns.empty() ? authn.meta.ns : ref.ns;
    if (ref.kind == "Namespace") {
      add_namespace(config, ref.name.empty() ? authn.meta.ns : ref.name, out);
    } else {
      add_account(config, ref.name, ns, out);
    }
  }
  return out;
}

std::optional<Authz> from_policy(const View& view, const MeshConfig& config,
                                 const k8s::AuthorizationPolicy& policy) {
  if (!policy.spec.required) return std::nullopt;  // refused when it was read
  Authz authz;
  authz.networks = everywhere();
  authz.authentication.make().set_unauthenticated();
  int networks = 0;
  int clients = 0;
  for (const k8s::TargetRef& ref : *policy.spec.required) {
    // Two of one kind are a mistake that the validator refuses; which one was meant is not guessed.
    const bool network = ref.kind == "NetworkAuthentication";
    if (++(network ? networks : clients) > 1) return std::nullopt;
    const std::string& ns = ref.ns.empty() ? policy.meta.ns : ref.ns;
    if (ref.kind == "NetworkAuthentication") {
      const auto* const authn = view.network_authentication(ns, ref.name);
      if (authn == nullptr) return std::nullopt;
      authz.networks = networks_of(authn->spec.networks);
    } else if (ref.kind == "MeshTLSAuthentication") {
      const auto* const authn = view.mesh_authentication(ns, ref.name);
      if (authn == nullptr) return std::nullopt;
      authz.authentication->set_meshTLS().set_identities() = identities_of(config, *authn);
    } else if (ref.kind == "ServiceAccount") {
      add_account(config, ref.name, ns, authz.authentication->set_meshTLS().set_identities());
    } else {
      return std::nullopt;  // something that restricts and is not understood
    }
  }
  name_resource(authz, "authorizationpolicy", policy.meta);
  return authz;
}

bool targets(const k8s::AuthorizationPolicy& policy, const k8s::Server& server) {
  const k8s::TargetRef& target = policy.spec.target;
  if (policy.meta.ns != server.meta.ns) return false;
  if (target.kind == "Namespace") return target.name == server.meta.ns;
  return target.group == k8s::kPolicyGroup && target.kind == "Server" &&
         target.name == server.meta.name;
}

bool targets(const k8s::ServerAuthorization& authz, const k8s::Server& server) {
  const k8s::ServerSelector& selector = authz.spec.server;
  if (selector.selector) return selector.selector->matches(server.meta.labels);
  return selector.name == server.meta.name;
}

}  // namespace

std::vector<Authz> default_authorizations(const MeshConfig& config, DefaultPolicy policy) {
  Authz authz;
  switch (policy) {
    case DefaultPolicy::Deny: return {};
    case DefaultPolicy::AllUnauthenticated:
    case DefaultPolicy::AllAuthenticated:
    case DefaultPolicy::Audit: authz.networks = everywhere(); break;
    case DefaultPolicy::ClusterUnauthenticated:
    case DefaultPolicy::ClusterAuthenticated:
      authz.networks = networks_of(config.cluster_networks);
      break;
  }
  if (policy == DefaultPolicy::AllAuthenticated || policy == DefaultPolicy::ClusterAuthenticated) {
    add_identity("*", authz.authentication.make().set_meshTLS().set_identities());
  } else {
    authz.authentication.make().set_unauthenticated();
  }
  name_default(authz, to_string(policy));
  return {std::move(authz)};
}

Authz unauthenticated_from(const std::vector<net::Cidr>& networks, std::string_view name) {
  Authz authz;
  authz.networks = networks_of(networks);
  authz.authentication.make().set_unauthenticated();
  name_default(authz, name);
  return authz;
}

std::vector<Authz> route_authorizations(const View& view, const MeshConfig& config,
                                        const k8s::KindName& kind, const k8s::ObjectMeta& route) {
  std::vector<Authz> out;
  for (const auto* const policy : view.authorization_policies(route.ns)) {
    const k8s::TargetRef& target = policy->spec.target;
    if (target.group != kind.group || target.kind != kind.kind || target.name != route.name)
      continue;
    if (auto authz = from_policy(view, config, *policy)) out.push_back(*std::move(authz));
  }
  return out;
}

std::vector<Authz> server_authorizations(const View& view, const MeshConfig& config,
                                         const k8s::Server& server) {
  std::vector<Authz> out;
  for (const auto* const object : view.server_authorizations(server.meta.ns)) {
    if (!targets(*object, server)) continue;
    if (auto authz = from_server_authorization(config, *object)) out.push_back(*std::move(authz));
  }
  for (const auto* const policy : view.authorization_policies(server.meta.ns)) {
    if (!targets(*policy, server)) continue;
    if (auto authz = from_policy(view, config, *policy)) out.push_back(*std::move(authz));
  }
  const auto access = parse_default_policy(server.spec.access_policy);
  for (Authz& authz : default_authorizations(config, access.value_or(DefaultPolicy::Deny))) {
    out.push_back(std::move(authz));
  }
  return out;
}

}  // namespace tulle::control
