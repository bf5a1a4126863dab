// SPDX-License-Identifier: Apache-2.0
// The manifests of `tulle install` and `tulle upgrade`, from the charts in the program: what `helm
// template` prints for the same values, plus the Namespace, the Secret linkerd-config-overrides
// (what `upgrade` starts from), and another linkerd.io/created-by. No cluster is asked here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/certificates.h"
#include "cli/chart/chart.h"
#include "cli/chart/value.h"

namespace tulle::cli {

inline constexpr std::string_view kOverrides = "linkerd-config-overrides";

struct InstallOptions {
  bool crds = false;  // the custom resources alone
  bool upgrade = false;
  std::string ns = "linkerd";
  std::string kube_version = "v1.34.0";  // that the charts see
  std::string version;                   // of the program, for created-by
};

// A chart of this program; its files are part of it, so that it always reads.
chart::Chart embedded(bool crds);
// What --ha stands for.
chart::Value ha_values();

struct InstallResult {
  std::string problem;                     // "" if it worked; may have several lines
  std::vector<std::string> warnings;       // a line each
  std::vector<chart::Manifest> manifests;  // in the order of installation
};

// `given`: what the user set over the chart's values, a map.
InstallResult install(const InstallOptions& options, const chart::Value& given);

// "yaml": as Helm prints it. "json": one object a line.
std::string print_manifests(const std::vector<chart::Manifest>& manifests, std::string_view format);

// The member of a tree of maps by its path, such as proxy.ports.inbound; None if there is none.
chart::Value value_at(const chart::Value& in, std::string_view path);

// Certificate, key, anchors.
inline constexpr std::string_view kIssuerValues[] = {
    "identity.issuer.tls.crtPEM", "identity.issuer.tls.keyPEM", "identityTrustAnchorsPEM"};

// What the values `given` say of the issuer; its parts are named by their values.
struct IssuerValues {
  GivenIssuer given;     // without what others bring
  bool brought = false;  // Secret linkerd-identity-issuer: identity.issuer.scheme=kubernetes.io/tls
  bool external_ca = false;  // ConfigMap linkerd-identity-trust-roots: identity.externalCA=true
  bool unused = false;       // there are values for an issuer that others bring
};
IssuerValues issuer_values(const InstallOptions& options, const chart::Value& given);

// --- parts, for tests and for the commands that start from a cluster ---

// Keys of `given` that the chart's values do not have, each with what may be meant: "proxy.imge is
// not known and has no effect; did you mean proxy.image?"
std::vector<std::string> unknown_values(const chart::Value& defaults, const chart::Value& given);
// What makes `effective` of `defaults`: changed and added members, null for removed ones.
chart::Value overrides_of(const chart::Value& defaults, const chart::Value& effective);
// The values in a Secret linkerd-config-overrides, which may be one of many documents or in a List.
// Nil if it is not there.
chart::Value read_overrides(std::string_view manifests, std::string& problem);
// The values in such a Secret itself.
chart::Value overrides_in(const chart::Value& secret, std::string& problem);
// PEM blocks of `before` that `after` lacks: anchors which proxies that run still need.
bool drops_anchors(std::string_view before, std::string_view after);

}  // namespace tulle::cli
