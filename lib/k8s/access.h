// SPDX-License-Identifier: Apache-2.0
// How to reach an API server and who we are to it: from the files that Kubernetes mounts into every
// pod, or from a kubeconfig. Settings that would weaken TLS or run foreign programs are refused by
// name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace tulle::k8s {

// A credential: in a file that is read again when it changes, or as a text.
struct Credential {
  std::string file;
  std::string text;  // if there is no file
  bool empty() const noexcept { return file.empty() && text.empty(); }
  // The file's text now ("" if it cannot be read), or the text.
  std::string read() const;
};

struct ClusterAccess {
  std::string host;  // a name or an address, without brackets
  std::uint16_t port = 443;
  std::string prefix;       // path in front of every request, without a slash at its end
  bool tls = true;          // plain text only to this machine itself (a local `kubectl proxy`)
  std::string server_name;  // who the server must be, by its certificate; "" means `host`
  Credential ca;            // PEM bundle
  Credential token;         // bearer token
  Credential certificate;   // client certificate and key, PEM; both or none
  Credential key;
  std::string ns;  // the namespace to work in; "" if nobody says

  // "https://10.96.0.1:443"
  std::string url() const;
  // "10.96.0.1:443", "[fd00::1]:443", "example.org" (without a default port)
  std::string authority() const;
};

// Why there is none, for the log: names files and fields, never a credential.
struct AccessProblem {
  std::string reason;
};
using AccessResult = std::variant<ClusterAccess, AccessProblem>;

inline constexpr std::string_view kServiceAccountFolder =
    "/var/run/secrets/kubernetes.io/serviceaccount";

// The access of a pod: `host` and `port` are the variables KUBERNETES_SERVICE_HOST and
// KUBERNETES_SERVICE_PORT ("" if unset), the folder holds token, ca.crt and namespace.
AccessResult in_cluster_access(std::string_view host, std::string_view port,
                               const std::string& folder = std::string(kServiceAccountFolder));

// The current context of a kubeconfig, or the one named. Refused by name: exec and auth-provider
// plugins, user names and passwords, impersonation, proxies, insecure-skip-tls-verify.
AccessResult kubeconfig_access(const std::string& path, std::string_view context = {});
// The same for the text of one; relative paths in it start at `folder`.
AccessResult parse_kubeconfig(std::string_view text, const std::string& folder,
                              std::string_view context = {});

}  // namespace tulle::k8s
