// SPDX-License-Identifier: Apache-2.0
#include "control/options.h"

#include <array>
#include <optional>

#include "lib/base/text.h"
#include "lib/config/values.h"
#include "lib/log/log.h"

namespace tulle::control {
namespace {

// Takes the value of one flag into the options; a text says what the value should have been.
using Take = std::string_view (*)(Options& options, std::string_view value);

struct Flag {
  std::string_view name;
  std::string_view value;  // what the help calls it; "" for a switch
  std::string_view help;
  Take take;
};

template <typename T>
std::string_view assign(T& into, std::optional<T> value, std::string_view wanted) {
  if (!value) return wanted;
  into = *std::move(value);
  return "";
}

std::string_view take_text(std::string& into, std::string_view value) {
  if (value.empty()) return "a text that is not empty";
  into = value;
  return "";
}

std::string_view take_domain(std::string& into, std::string_view value) {
  if (value.ends_with('.')) value.remove_suffix(1);
  if (!config::is_dns_name(value)) return "a DNS name";
  into = value;
  return "";
}

std::string_view take_bool(bool& into, std::string_view value) {
  return assign(into, value.empty() ? std::optional<bool>(true) : config::parse_bool(value),
                "true or false");
}

std::string_view take_port(std::uint16_t& into, std::string_view value) {
  return assign(into, parse_number<std::uint16_t>(value), "a port");
}

std::string_view take_networks(std::vector<net::Cidr>& into, std::string_view value) {
  return assign(into, config::parse_networks(value), "networks such as 10.0.0.0/8,fd00::/8");
}

// "24h0m0s", as Helm values have it, or "24h".
std::optional<Duration> parse_go_duration(std::string_view text) {
  Duration total{0};
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::size_t end = text.find_first_not_of("0123456789");
    if (end == 0) return std::nullopt;
    if (end != std::string_view::npos) end = text.find_first_of("0123456789", end);
    const auto part = config::parse_duration(text.substr(0, end));
    if (!part) return std::nullopt;
    total += *part;
    text = end == std::string_view::npos ? std::string_view() : text.substr(end);
  }
  return total;
}

std::string_view take_duration(Duration& into, std::string_view value, Duration least) {
  const auto duration = parse_go_duration(value);
  if (!duration || *duration < least) return "a duration such as 24h or 20s";
  into = *duration;
  return "";
}

std::string_view take_roles(Options& options, std::string_view value) {
  options.identity = options.destination = options.policy = options.injector = false;
  for (const std::string_view role : split(value, ',')) {
    if (role == "identity") {
      options.identity = true;
    } else if (role == "destination") {
      options.destination = true;
    } else if (role == "policy") {
      options.policy = true;
    } else if (role == "injector") {
      options.injector = true;
    } else {
      return "a list of identity, destination, policy, injector";
    }
  }
  return "";
}

constexpr std::array kFlags{
    Flag{"roles", "LIST", "identity, destination, policy, injector; all by default", take_roles},
    Flag{"manifests", "DIR", "folder of Kubernetes manifests, watched for changes",
         [](Options& o, std::string_view v) { return take_text(o.manifests, v); }},
    Flag{"source", "SOURCE",
         "folder or kubernetes (folder with --manifests; kubernetes with --kubeconfig or in a pod)",
         [](Options& o, std::string_view v) -> std::string_view {
           if (v != "folder" && v != "kubernetes") return "folder or kubernetes";
           o.source = v == "folder" ? Options::Source::Folder : Options::Source::Kubernetes;
           return "";
         }},
    Flag{"kubeconfig", "FILE", "how the API server is reached, outside of its cluster",
         [](Options& o, std::string_view v) {
           o.kubeconfig = v;  // Linkerd's programs take an empty one for none
           return std::string_view();
         }},
    Flag{
        "controller-namespace", "NAME", "namespace of the control plane (linkerd)",
        [](Options& o, std::string_view v) { return take_domain(o.mesh.controller_namespace, v); }},
    Flag{"cluster-domain", "DOMAIN", "domain of Services (cluster.local)",
         [](Options& o, std::string_view v) { return take_domain(o.mesh.cluster_domain, v); }},
    Flag{"identity-trust-domain", "DOMAIN", "domain of identities (cluster.local)",
         [](Options& o, std::string_view v) { return take_domain(o.mesh.trust_domain, v); }},
    Flag{"cluster-networks", "CIDRS", "addresses of pods, Services and nodes",
         [](Options& o, std::string_view v) { return take_networks(o.mesh.cluster_networks, v); }},
    Flag{"probe-networks", "CIDRS", "where probes come from (none)",
         [](Options& o, std::string_view v) { return take_networks(o.mesh.probe_networks, v); }},
    Flag{"default-inbound-policy", "MODE",
         "who may come in where no Server says (all-unauthenticated)",
         [](Options& o, std::string_view v) {
           return assign(o.mesh.default_inbound_policy, parse_default_policy(v),
                         "one of all-unauthenticated, all-authenticated, cluster-unauthenticated, "
                         "cluster-authenticated, deny, audit");
         }},
    Flag{"default-opaque-ports", "PORTS", "ports without protocol detection",
         [](Options& o, std::string_view v) {
           return assign(o.mesh.default_opaque_ports, PortSet::parse(v),
                         "ports such as 25,3306,9000-9010");
         }},
    Flag{"outbound-transport-mode", "MODE", "transport-header or transparent (transport-header)",
         [](Options& o, std::string_view v) -> std::string_view {
           if (v != "transport-header" && v != "transparent")
             return "transport-header or transparent";
           o.mesh.force_transport_header = v == "transport-header";
           return "";
         }},
    Flag{"enable-ipv6", "BOOL", "give out IPv6 endpoints (true)",
         [](Options& o, std::string_view v) { return take_bool(o.mesh.ipv6, v); }},
    Flag{"enable-h2-upgrade", "BOOL", "proxies carry HTTP/1 over HTTP/2 to each other (true)",
         [](Options& o, std::string_view v) { return take_bool(o.mesh.h2_upgrade, v); }},
    Flag{"meshed-keep-alive-interval", "DURATION", "between PINGs of proxies to each other (10s)",
         [](Options& o, std::string_view v) {
           return take_duration(o.mesh.meshed_keep_alive.interval, v, 1s);
         }},
    Flag{"meshed-keep-alive-timeout", "DURATION", "how long such a PING may take (3s)",
         [](Options& o, std::string_view v) {
           return take_duration(o.mesh.meshed_keep_alive.timeout, v, 1ms);
         }},
    Flag{"meshed-keep-alive-while-idle", "BOOL", "PINGs also on connections without streams (true)",
         [](Options& o, std::string_view v) {
           return take_bool(o.mesh.meshed_keep_alive.while_idle, v);
         }},
    Flag{"global-egress-network-namespace", "NAME",
         "whose EgressNetworks are for every namespace (linkerd-egress)",
         [](Options& o, std::string_view v) {
           return take_domain(o.mesh.global_egress_namespace, v);
         }},
    Flag{"issuer", "DIR",
         "issuer: tls.crt, tls.key, ca.crt, or crt.pem, key.pem; on Kubernetes it is found through "
         "the API server without",
         [](Options& o, std::string_view v) { return take_text(o.issuer, v); }},
    Flag{"identity-trust-anchors", "FILE", "trust anchors, if not beside the issuer",
         [](Options& o, std::string_view v) { return take_text(o.trust_anchors, v); }},
    Flag{"identity-generate", "",
         "make an anchor and an issuer where there is none, and renew them",
         [](Options& o, std::string_view v) { return take_bool(o.generate_issuer, v); }},
    Flag{"identity-issuance-lifetime", "DURATION", "life of certificates (24h)",
         [](Options& o, std::string_view v) { return take_duration(o.issuance_lifetime, v, 1s); }},
    Flag{"identity-clock-skew-allowance", "DURATION", "how far clocks may differ (20s)",
         [](Options& o, std::string_view v) { return take_duration(o.clock_skew, v, 0s); }},
    Flag{"identity-token-projection", "BOOL",
         "false: tokens for the API server's own audience are taken, too (true)",
         [](Options& o, std::string_view v) { return take_bool(o.token_projection, v); }},
    Flag{"token-key", "FILE",
         "public key of signed tokens (PEM, P-256), instead of reviews by the API server",
         [](Options& o, std::string_view v) { return take_text(o.token_key, v); }},
    Flag{"listen", "ADDRESS", "address of all ports (::, which is IPv4 as well)",
         [](Options& o, std::string_view v) {
           return assign(o.listen, net::IpAddr::parse(v), "an IP address");
         }},
    Flag{"identity-port", "PORT", "8080",
         [](Options& o, std::string_view v) { return take_port(o.identity_port, v); }},
    Flag{"destination-port", "PORT", "8086",
         [](Options& o, std::string_view v) { return take_port(o.destination_port, v); }},
    Flag{"policy-port", "PORT", "8090",
         [](Options& o, std::string_view v) { return take_port(o.policy_port, v); }},
    Flag{"injector-port", "PORT", "8443",
         [](Options& o, std::string_view v) { return take_port(o.injector_port, v); }},
    Flag{"profile-validator-port", "PORT", "8444",
         [](Options& o, std::string_view v) { return take_port(o.profile_port, v); }},
    Flag{"policy-validator-port", "PORT", "9443",
         [](Options& o, std::string_view v) { return take_port(o.policy_webhook_port, v); }},
    Flag{"values", "FILE", "Helm values, for the injector (linkerd-config)",
         [](Options& o, std::string_view v) { return take_text(o.values, v); }},
    Flag{"pod-name", "NAME", "our own name (POD_NAME, or the host name)",
         [](Options& o, std::string_view v) { return take_text(o.pod, v); }},
    Flag{"identity-scheme", "SCHEME",
         "linkerd.io/tls or kubernetes.io/tls: accepted, either layout of the Secret is read",
         [](Options&, std::string_view v) -> std::string_view {
           if (v != "linkerd.io/tls" && v != "kubernetes.io/tls")
             return "linkerd.io/tls or kubernetes.io/tls";
           return "";
         }},
    Flag{"admin-port", "PORT", "9990: /ready, /live, /metrics",
         [](Options& o, std::string_view v) { return take_port(o.admin_port, v); }},
    Flag{"dest-admin-port", "PORT", "9996: the same under its second number",
         [](Options& o, std::string_view v) { return take_port(o.dest_admin_port, v); }},
    Flag{"shutdown-grace-period", "DURATION", "how long connections may take to end (10s)",
         [](Options& o, std::string_view v) { return take_duration(o.shutdown_grace, v, 0s); }},
    Flag{"log-level", "FILTER", "e.g. info or warn,tulle::control=debug (info)",
         [](Options& o, std::string_view v) -> std::string_view {
           if (!log::Filter::parse(v)) return "a level or a list of target=level";
           o.log_level = v;
           return "";
         }},
    Flag{"log-format", "FORMAT", "plain or json (plain)",
         [](Options& o, std::string_view v) -> std::string_view {
           if (v != "plain" && v != "json") return "plain or json";
           o.log_json = v == "json";
           return "";
         }},
};

const Flag* find_flag(std::string_view name) {
  for (const Flag& flag : kFlags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

void choose_source(Options& options, bool in_cluster) {
  using Source = Options::Source;
  if (options.source != Source::None) return;
  if (!options.manifests.empty()) {
    options.source = Source::Folder;
  } else if (!options.kubeconfig.empty() || in_cluster) {
    options.source = Source::Kubernetes;
  }
}

void check_together(const Options& options, std::vector<std::string>& problems) {
  using Source = Options::Source;
  const bool reads_index = options.destination || options.policy;
  if (options.source == Source::Folder && options.manifests.empty()) {
    problems.emplace_back("--source=folder needs --manifests");
  }
  if (options.source == Source::Kubernetes && !options.manifests.empty()) {
    problems.emplace_back("--manifests is for --source=folder");
  }
  if (reads_index && options.source == Source::None) {
    problems.emplace_back(
        "--manifests (or --kubeconfig) is needed by the roles destination and policy");
  }
  if (options.identity && options.issuer.empty() && options.source != Source::Kubernetes) {
    problems.emplace_back("--issuer is needed by the role identity without Kubernetes");
  }
  if (options.identity && options.token_key.empty() && options.source != Source::Kubernetes) {
    problems.emplace_back("--token-key is needed by the role identity without Kubernetes");
  }
  if (options.generate_issuer && options.issuer.empty() && options.source != Source::Kubernetes) {
    problems.emplace_back("--identity-generate needs --issuer without Kubernetes");
  }
  if (options.generate_issuer && !options.trust_anchors.empty()) {
    problems.emplace_back(
        "--identity-generate makes its own anchors: omit --identity-trust-anchors");
  }
}

}  // namespace

std::variant<Options, OptionProblems, ShowHelp, ShowVersion> parse_options(
    const std::vector<std::string>& arguments, bool in_cluster) {
  Options options;
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") return ShowHelp{};
    if (argument == "--version" || argument == "-version") return ShowVersion{};
    if (!argument.starts_with('-') || argument == "-" || argument == "--") {
      problems.push_back(concat("unexpected argument: ", argument));
      continue;
    }
    // One dash or two, as Linkerd's programs take them.
    argument.remove_prefix(argument.starts_with("--") ? 2 : 1);
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    const Flag* const flag = find_flag(name);
    if (flag == nullptr) {
      problems.push_back(concat("unknown flag: --", name));
      continue;
    }
    std::string_view value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (!flag->value.empty()) {
      if (i + 1 == arguments.size()) {
        problems.push_back(concat("--", name, " needs a value"));
        continue;
      }
      value = arguments[++i];
    }
    const std::string_view wanted = flag->take(options, value);
    if (!wanted.empty()) {
      problems.push_back(concat("--", name, "=", value, ": must be ", wanted));
    }
  }
  choose_source(options, in_cluster);
  check_together(options, problems);
  if (!problems.empty()) return OptionProblems{std::move(problems)};
  return options;
}

std::string help_text() {
  std::string out =
      "usage: tulle-control [flags]\n\n"
      "The control plane: issues certificates, gives out endpoints and policies.\n\n";
  for (const Flag& flag : kFlags) {
    std::string line = concat("  --", flag.name, flag.value.empty() ? "" : "=", flag.value);
    line.resize(std::max<std::size_t>(line.size() + 2, 42), ' ');
    out += line;
    out += flag.help;
    out += '\n';
  }
  out += "  --version                               prints the version\n";
  return out;
}

}  // namespace tulle::control
