// SPDX-License-Identifier: Apache-2.0
// The command line of tulle-control. Names follow Linkerd's flags where there is one.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "control/config.h"
#include "lib/base/time.h"

namespace tulle::control {

struct Options {
  bool identity = true;
  bool destination = true;
  bool policy = true;
  bool injector = true;  // all three webhooks; on Kubernetes only
  // What feeds the index: a folder of manifests, or Kubernetes.
  enum class Source : std::uint8_t { None, Folder, Kubernetes };
  Source source = Source::None;
  std::string manifests;   // the folder
  std::string kubeconfig;  // how the API server is reached; "": as a pod of its cluster
  MeshConfig mesh;

  // The folder of the issuer. Without it there is no TLS; on Kubernetes, the Secret is followed.
  std::string issuer;
  std::string trust_anchors;  // a file; "": beside the issuer
  bool generate_issuer = false;
  Duration issuance_lifetime = 24h;
  Duration clock_skew = 20s;
  std::string token_key;  // public key (PEM) of signed tokens; "": the API server reviews tokens
  bool token_projection = true;  // false: tokens for the API server are taken, too

  net::IpAddr listen = net::IpAddr::v6({});  // "::" takes IPv4, too
  std::uint16_t identity_port = 8080;        // ports may be 0: any free one, told in the log
  std::uint16_t destination_port = 8086;
  std::uint16_t policy_port = 8090;
  std::uint16_t injector_port = 8443;
  std::uint16_t profile_port = 8444;
  std::uint16_t policy_webhook_port = 9443;
  std::uint16_t admin_port = 9990;
  std::uint16_t dest_admin_port = 9996;
  Duration shutdown_grace = 10s;

  std::string values;  // file with the Helm values; "": nothing is injected
  std::string pod;     // our own name, for leases and events; "": the host name

  std::string log_level = "info";
  bool log_json = false;
};

// Everything that is wrong, not only the first thing.
struct OptionProblems {
  std::vector<std::string> problems;
};
struct ShowHelp {};
struct ShowVersion {};

// `in_cluster`: we run in a pod (KUBERNETES_SERVICE_HOST is set), which makes Kubernetes the source
// where nothing else is said.
std::variant<Options, OptionProblems, ShowHelp, ShowVersion> parse_options(
    const std::vector<std::string>& arguments, bool in_cluster = false);
std::string help_text();

}  // namespace tulle::control
