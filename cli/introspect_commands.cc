// SPDX-License-Identifier: Apache-2.0
#include "cli/introspect_commands.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "cli/check_commands.h"
#include "cli/introspect.h"
#include "cli/table.h"
#include "lib/base/text.h"
#include "lib/tls/inspect.h"

namespace tulle::cli {
namespace {

struct Flags {
  ClusterFlags cluster;
  std::string ns;
  std::string selector;
  std::string control_pod;
  std::string token;
  std::string output;
  std::vector<std::string> what;
};
using FlagsPtr = std::shared_ptr<Flags>;

int complain(const std::string& what) {
  std::cerr << "tulle: " << what << "\n";
  return 1;
}

// --- identity ---

Value json_of(const tls::Certificate& certificate) {
  Value names = Value::list();
  for (const std::string& name : certificate.dns_names) names.push(name);
  for (const std::string& uri : certificate.uris) names.push(uri);
  const tls::CertificateKind kind = tls::kind_of(certificate);
  return Value::map({{"names", std::move(names)},
                     {"key", kind.key},
                     {"signature", kind.signature},
                     {"notBefore", format_rfc3339(certificate.not_before)},
                     {"notAfter", format_rfc3339(certificate.not_after)},
                     {"sha256", certificate.fingerprint()},
                     {"pem", certificate.to_pem()}});
}

// The pods that are meant, or why there are none.
std::string find_pods(Cluster& cluster, const Flags& flags, const std::string& ns,
                      std::vector<PodView>& pods) {
  if (flags.what.empty()) {
    const std::string query =
        flags.selector.empty() ? "" : concat("labelSelector=", k8s::percent_encode(flags.selector));
    const auto take = [&](const Value& item) {
      PodView pod = view_of(item);
      if (pod.has_proxy && !pod.ended()) pods.push_back(std::move(pod));
    };
    const std::string problem = cluster.list(k8s::path_of(k8s::kPods, ns), take, query).problem;
    if (!problem.empty() || !pods.empty()) return problem;
    return concat("no pod in the namespace ", ns,
                  flags.selector.empty() ? "" : " with these labels", " has a proxy");
  }
  std::vector<std::string> paths;
  for (std::string_view name : flags.what) {
    for (const std::string_view word : {"pod/", "pods/", "po/"}) {
      if (name.starts_with(word)) name.remove_prefix(word.size());
    }
    paths.push_back(k8s::path_of(k8s::kPods, ns, name));
  }
  for (const Answer& answer : cluster.get_all(paths)) {
    if (!answer.ok()) return answer.problem;
    pods.push_back(view_of(answer.value));
  }
  return "";
}

int identity(const Flags& flags) {
  std::string problem;
  const std::unique_ptr<Cluster> cluster = Cluster::open(flags.cluster, problem);
  if (cluster == nullptr) return complain(problem);
  std::vector<PodView> pods;
  problem = find_pods(*cluster, flags, flags.ns.empty() ? cluster->default_ns() : flags.ns, pods);
  if (!problem.empty()) return complain(problem);
  const Answer roots = cluster->get(
      k8s::path_of(k8s::kConfigMaps, flags.cluster.ns, "linkerd-identity-trust-roots"));
  const std::vector<Proof> proofs =
      prove(*cluster, pods, std::string(roots.value["data"]["ca-bundle.crt"].string()));
  int status = 0;
  Value json = Value::list();
  for (std::size_t i = 0; i < pods.size(); ++i) {
    const Proof& proof = proofs[i];
    if (!proof.problem.empty()) status = 1;
    if (flags.output == "json") {
      Value one = Value::map(
          {{"namespace", pods[i].ns}, {"pod", pods[i].name}, {"identity", pods[i].identity}});
      if (!proof.problem.empty()) one.set("problem", proof.problem);
      Value chain = Value::list();
      for (const tls::Certificate& certificate : proof.chain) chain.push(json_of(certificate));
      one.set("certificates", std::move(chain));
      json.push(std::move(one));
      continue;
    }
    std::cout << "\nPOD " << pods[i].name << " (" << i + 1 << " of " << pods.size() << ")\n\n";
    if (!proof.problem.empty()) {
      std::cout << proof.problem << "\n";
    } else {
      std::cout << tls::print(proof.chain.front()) << "\n" << proof.chain.front().to_pem();
    }
  }
  if (flags.output == "json") std::cout << json.to_pretty_json() << "\n";
  return status;
}

// --- diagnostics ---

// Opens the cluster and finds a pod of the control plane; null and a complaint if that fails.
std::unique_ptr<Cluster> open(const Flags& flags, std::string& pod) {
  std::string problem;
  std::unique_ptr<Cluster> cluster = Cluster::open(flags.cluster, problem);
  if (cluster != nullptr) {
    ControlPod found = control_pod(*cluster, flags.control_pod);
    pod = std::move(found.name);
    problem = std::move(found.problem);
  }
  if (problem.empty()) return cluster;
  complain(problem);
  return nullptr;
}

int show_endpoints(const Flags& flags) {
  std::string pod;
  const auto cluster = open(flags, pod);
  if (cluster == nullptr) return 1;
  const Endpoints found = endpoints(*cluster, pod, flags.what, flags.token);
  if (!found.problem.empty()) return complain(found.problem);
  if (flags.output == "json") {
    Value rows = Value::list();
    for (const EndpointRow& row : found.rows) {
      rows.push(Value::map({{"namespace", row.ns},
                            {"ip", row.ip},
                            {"port", row.port},
                            {"pod", row.pod},
                            {"service", row.service}}));
    }
    std::cout << rows.to_pretty_json() << "\n";
    return 0;
  }
  if (found.rows.empty()) {
    std::cerr << "No endpoints found.\n";
    return 0;
  }
  Table table({"NAMESPACE", "IP", "PORT", "POD", "SERVICE"});
  table.right_from(100);
  for (const EndpointRow& row : found.rows)
    table.add({row.ns, row.ip, std::to_string(row.port), row.pod, row.service});
  std::cout << table.text();
  return 0;
}

int show(const Told& told, const std::string& output) {
  if (!told.problem.empty()) return complain(told.problem);
  if (output == "yaml") {
    std::cout << told.message.to_yaml();
  } else {
    std::cout << told.message.to_pretty_json() << "\n";
  }
  return 0;
}

int show_policy(const Flags& flags) {
  const std::string& resource = flags.what.front();
  const std::size_t slash = resource.find('/');
  const std::string kind = slash == std::string::npos ? "pod" : resource.substr(0, slash);
  const std::string name = slash == std::string::npos ? resource : resource.substr(slash + 1);
  const auto port = parse_number<std::uint16_t>(flags.what.back());
  const bool service = kind == "svc" || kind == "service" || kind == "services";
  if (name.empty() || (!service && kind != "po" && kind != "pod" && kind != "pods")) {
    return complain(
        concat(resource, ": a pod or a Service is wanted, such as po/web-0 or svc/web"));
  }
  if (!port || *port == 0)
    return complain(concat(flags.what.back(), ": a port from 1 to 65535 is wanted"));
  std::string pod;
  const auto cluster = open(flags, pod);
  if (cluster == nullptr) return 1;
  const std::string ns = flags.ns.empty() ? cluster->default_ns() : flags.ns;
  if (!service) return show(inbound_policy(*cluster, pod, ns, name, *port), flags.output);
  const std::string domain(ClusterView(*cluster).values()["clusterDomain"].string());
  const std::string authority =
      concat(name, ".", ns, ".svc.", domain.empty() ? "cluster.local" : domain, ":",
             std::to_string(*port));
  return show(outbound_policy(*cluster, pod, ns, authority), flags.output);
}

int show_profile(const Flags& flags) {
  std::string pod;
  const auto cluster = open(flags, pod);
  if (cluster == nullptr) return 1;
  return show(profile(*cluster, pod, flags.what.front(), flags.token), flags.output);
}

void add_output(CLI::App* command, const FlagsPtr& flags, std::vector<std::string> forms) {
  flags->output = forms.front();
  std::string help;
  for (const std::string& form : forms) help += concat(help.empty() ? "" : " or ", form);
  command->add_option("-o,--output", flags->output, help)
      ->check(CLI::IsMember(std::move(forms)))
      ->capture_default_str();
}

FlagsPtr add(CLI::App* command, std::vector<std::string> forms) {
  auto flags = std::make_shared<Flags>();
  add_cluster_flags(command, flags->cluster);
  add_output(command, flags, std::move(forms));
  command->add_option("--destination-pod", flags->control_pod,
                      "which pod of the control plane is asked");
  return flags;
}

}  // namespace

void add_identity_command(CLI::App& app, int& status) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const command =
      app.add_subcommand("identity", "the certificates that pods present, verified");
  command->footer(
      "Shakes hands with each pod's proxy through the API server: exit 1 if one does not prove who "
      "it is.");
  add_cluster_flags(command, flags->cluster);
  add_output(command, flags, {"text", "json"});
  command->add_option("-n,--namespace", flags->ns, "of the pods; by default the kubeconfig's");
  command->add_option("-l,--selector", flags->selector, "pods with these labels");
  command->add_option("pod", flags->what, "pods by name; by default all that have a proxy");
  command->callback([flags, &status] { status = identity(*flags); });
}

void add_introspect_commands(CLI::App& diagnostics, int& status) {
  CLI::App* const ends =
      diagnostics.add_subcommand("endpoints", "where the control plane says that names lead")
          ->alias("ep");
  const FlagsPtr of_ends = add(ends, {"table", "json"});
  ends->add_option("--token", of_ends->token, "the context token that a proxy would send");
  ends->add_option("authority", of_ends->what, "NAME:PORT, such as web.shop.svc.cluster.local:80")
      ->required();
  ends->callback([of_ends, &status] { status = show_endpoints(*of_ends); });

  CLI::App* const policy =
      diagnostics.add_subcommand("policy",
                                 "what the control plane tells proxies of a pod's port (inbound) "
                                 "or of a Service's (outbound)");
  const FlagsPtr of_policy = add(policy, {"yaml", "json"});
  policy->add_option("-n,--namespace", of_policy->ns,
                     "of the resource; by default the kubeconfig's");
  policy->add_option("resource", of_policy->what, "po/NAME or svc/NAME, then a port")
      ->required()
      ->expected(2);
  policy->callback([of_policy, &status] { status = show_policy(*of_policy); });

  CLI::App* const profiles = diagnostics.add_subcommand(
      "profile", "the service profile that the control plane gives for a name or an address");
  const FlagsPtr of_profile = add(profiles, {"json", "yaml"});
  profiles->add_option("--token", of_profile->token, "the context token that a proxy would send");
  profiles->add_option("authority", of_profile->what, "NAME:PORT or ADDRESS:PORT")
      ->required()
      ->expected(1);
  profiles->callback([of_profile, &status] { status = show_profile(*of_profile); });
}

}  // namespace tulle::cli
