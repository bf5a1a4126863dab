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
  std::string manifests;  // the folder that feeds the index; needed by destination and policy
  MeshConfig mesh;

  std::string issuer;         // the folder of the issuer; without it there is no TLS
  std::string trust_anchors;  // a file; "": beside the issuer
  bool generate_issuer = false;
  Duration issuance_lifetime = 24h;
  Duration clock_skew = 20s;
  std::string token_key;  // public key (PEM) of the signed tokens; needed by identity

  net::IpAddr listen = net::IpAddr::v6({});  // "::" takes IPv4, too
  std::uint16_t identity_port = 8080;        // ports may be 0: any free one, told in the log
  std::uint16_t destination_port = 8086;
  std::uint16_t policy_port = 8090;
  std::uint16_t admin_port = 9990;
  std::uint16_t dest_admin_port = 9996;
  Duration shutdown_grace = 10s;

  std::string log_level = "info";
  bool log_json = false;
};

// Everything that is wrong, not only the first thing.
struct OptionProblems {
  std::vector<std::string> problems;
};
struct ShowHelp {};

std::variant<Options, OptionProblems, ShowHelp> parse_options(
    const std::vector<std::string>& arguments);
std::string help_text();

}  // namespace tulle::control
