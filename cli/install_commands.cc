// SPDX-License-Identifier: Apache-2.0
#include "cli/install_commands.h"

#include <CLI/CLI.hpp>
#include <array>
#include <iostream>

#include "cli/chart/set.h"
#include "cli/chart/yaml.h"
#include "cli/check/view.h"
#include "cli/cluster.h"
#include "cli/given.h"
#include "cli/install.h"
#include "cli/mesh_objects.h"
#include "cli/terminal.h"
#include "lib/base/text.h"
#include "lib/inject/value.h"

namespace tulle::cli {

namespace {

using Setting = chart::Value;

constexpr std::string_view kIgnore = "--ignore-cluster";

// Linkerd's flags that stand for one value of the chart.
struct ValueFlag {
  enum class Takes : std::uint8_t {
    Text,
    Number,
    File,
    Yes,
    No
  };  // Yes, No: nothing; the value becomes true, false
  const char* flag;
  const char* path;
  Takes takes;
  bool install_only;
  const char* help;
};
using Takes = ValueFlag::Takes;
constexpr ValueFlag kFlags[] = {
    {"--cluster-domain", "clusterDomain", Takes::Text, true,
     "of the cluster, such as cluster.local"},
    {"--identity-trust-domain", "identityTrustDomain", Takes::Text, true,
     "that identities end with; by default the cluster's domain"},
    {"--identity-external-ca", "identity.externalCA", Takes::Yes, true,
     "the ConfigMap linkerd-identity-trust-roots comes from elsewhere"},
    {"--linkerd-cni-enabled", "cniEnabled", Takes::Yes, false,
     "pods are redirected by the CNI plugin"},
    {"--controller-log-level", "controllerLogLevel", Takes::Text, false, "of the control plane"},
    {"--controller-replicas", "controllerReplicas", Takes::Number, false, "of the control plane"},
    {"--controller-uid", "controllerUID", Takes::Number, false, "that the control plane runs as"},
    {"--controller-gid", "controllerGID", Takes::Number, false, "that the control plane runs as"},
    {"--disable-h2-upgrade", "enableH2Upgrade", Takes::No, false, "see the value enableH2Upgrade"},
    {"--disable-heartbeat", "disableHeartBeat", Takes::Yes, false, "there is no heartbeat"},
    {"--enable-endpoint-slices", "enableEndpointSlices", Takes::Yes, false, "they are always used"},
    {"--identity-issuance-lifetime", "identity.issuer.issuanceLifetime", Takes::Text, false,
     "how long certificates of workloads are valid, such as 24h"},
    {"--identity-clock-skew-allowance", "identity.issuer.clockSkewAllowance", Takes::Text, false,
     "how much earlier and later than that, such as 20s"},
    {"--identity-issuer-certificate-file", "identity.issuer.tls.crtPEM", Takes::File, false,
     "the issuer's certificate, PEM"},
    {"--identity-issuer-key-file", "identity.issuer.tls.keyPEM", Takes::File, false,
     "the issuer's key, PEM"},
    {"--identity-trust-anchors-file", "identityTrustAnchorsPEM", Takes::File, false,
     "the trust anchors, PEM"},
    {"--proxy-image", "proxy.image.name", Takes::Text, false, "of the proxy, without its version"},
    {"-v,--proxy-version", "proxy.image.version", Takes::Text, false, "of the proxy's image"},
    {"--image-pull-policy", "imagePullPolicy", Takes::Text, false, "of all images"},
    {"--inbound-port", "proxy.ports.inbound", Takes::Number, false, "of the proxy"},
    {"--outbound-port", "proxy.ports.outbound", Takes::Number, false, "of the proxy"},
    {"--control-port", "proxy.ports.control", Takes::Number, false, "of the proxy"},
    {"--admin-port", "proxy.ports.admin", Takes::Number, false, "of the proxy"},
    {"--skip-inbound-ports", "proxyInit.ignoreInboundPorts", Takes::Text, false,
     "that do not go through the proxy"},
    {"--skip-outbound-ports", "proxyInit.ignoreOutboundPorts", Takes::Text, false,
     "that do not go through the proxy"},
    {"--proxy-uid", "proxy.uid", Takes::Number, false, "that the proxy runs as"},
    {"--proxy-gid", "proxy.gid", Takes::Number, false, "that the proxy runs as"},
    {"--proxy-log-level", "proxy.logLevel", Takes::Text, false, "of the proxy"},
    {"--proxy-cpu-request", "proxy.resources.cpu.request", Takes::Text, false, "of the proxy"},
    {"--proxy-cpu-limit", "proxy.resources.cpu.limit", Takes::Text, false, "of the proxy"},
    {"--proxy-memory-request", "proxy.resources.memory.request", Takes::Text, false,
     "of the proxy"},
    {"--proxy-memory-limit", "proxy.resources.memory.limit", Takes::Text, false, "of the proxy"},
    {"--enable-external-profiles", "proxy.enableExternalProfiles", Takes::Yes, false,
     "see the value proxy.enableExternalProfiles"},
    {"--default-inbound-policy", "proxy.defaultInboundPolicy", Takes::Text, false,
     "where no Server says otherwise"},
};

struct Flags {
  bool crds = false, ha = false, ignore_cluster = false, force = false, external_issuer = false;
  std::string output = "yaml";
  std::string from_manifests;
  std::string registry;
  std::vector<std::string> files, set, set_string, set_file;
  std::vector<std::string> texts = std::vector<std::string>(std::size(kFlags));
  std::vector<char> switches = std::vector<char>(std::size(kFlags));
  ClusterFlags cluster;
};

int complain(std::string_view problem) {
  std::cerr << "tulle: " << problem << "\n";
  return 1;
}

std::optional<std::string> read_file(const std::string& path, std::string& problem) {
  std::string text;
  if (std::string wrong = read_given(path, text); !wrong.empty()) {
    problem = std::move(wrong);
    return std::nullopt;
  }
  return text;
}

// `path` such as proxy.ports.inbound, in maps that are made where they are missing.
void set_at(const Setting& into, std::string_view path, Setting value) {
  const std::size_t dot = path.find('.');
  if (dot == std::string_view::npos) return into.set(path, std::move(value));
  const std::string_view key = path.substr(0, dot);
  if (into.find(key) == nullptr || !into.find(key)->is_map()) into.set(key, Setting::map());
  set_at(*into.find(key), path.substr(dot + 1), std::move(value));
}

// Which flag gave the issuer's values last, so that what is said of them names it. The keys
// themselves are never repeated.
class Origins {
 public:
  explicit Origins(const Setting& stored) : first_(texts(stored)), now_(first_) {}
  void note(const Setting& values, std::string_view source) {
    const Texts next = texts(values);
    for (std::size_t i = 0; i < next.size(); ++i) {
      if (next[i] != now_[i]) sources_[i] = source;
    }
    now_ = next;
  }
  // Is any of them another one than before?
  bool changed() const { return now_ != first_; }
  void name(GivenIssuer& issuer) const {
    GivenIssuer::Part* const parts[] = {&issuer.certificate, &issuer.key, &issuer.anchors};
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      if (!sources_[i].empty()) parts[i]->name += concat(" (", sources_[i], ")");
    }
  }

 private:
  using Texts = std::array<std::string, std::size(kIssuerValues)>;
  static Texts texts(const Setting& values) {
    Texts out;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = value_at(values, kIssuerValues[i]).text();
    return out;
  }
  Texts first_, now_, sources_;
};

bool is_given(const CLI::App& command, const ValueFlag& flag) {
  const std::string name(flag.flag);
  const CLI::Option* const option = command.get_option_no_throw(name.substr(name.rfind(',') + 1));
  return option != nullptr && option->count() > 0;
}

std::string apply_flags(const CLI::App& command, const Flags& flags, const Setting& into,
                        Origins& origins) {
  for (std::size_t i = 0; i < std::size(kFlags); ++i) {
    const ValueFlag& flag = kFlags[i];
    if (!is_given(command, flag)) continue;
    Setting value(flags.texts[i]);
    if (flag.takes == Takes::Yes || flag.takes == Takes::No)
      value = Setting((flags.switches[i] != 0) == (flag.takes == Takes::Yes));
    if (flag.takes == Takes::Number) {
      const auto number = parse_number<std::int64_t>(flags.texts[i]);
      if (!number) return concat(flag.flag, ": ", flags.texts[i], " is no number");
      value = Setting::integer64(*number);
    }
    if (flag.takes == Takes::File) {
      std::string problem;
      const auto text = read_file(flags.texts[i], problem);
      if (!text) return concat(flag.flag, ": ", problem);
      value = Setting(*text);
    }
    set_at(into, flag.path, std::move(value));
    if (flag.takes == Takes::File) origins.note(into, concat(flag.flag, " ", flags.texts[i]));
  }
  if (flags.external_issuer) set_at(into, "identity.issuer.scheme", Setting("kubernetes.io/tls"));
  if (!flags.registry.empty()) {
    set_at(into, "controllerImage", Setting(flags.registry + "/controller"));
    set_at(into, "proxy.image.name", Setting(flags.registry + "/proxy"));
    set_at(into, "debugContainer.image.name", Setting(flags.registry + "/debug"));
  }
  return "";
}

// What the user set, over `into`: --ha, then flags, then files, then --set and its kin. "" or what
// is wrong.
std::string read_values(const CLI::App& command, const Flags& flags, Setting& into,
                        Origins& origins) {
  if (flags.ha) into = chart::merge_values(into, ha_values());
  into = into.deep_copy();
  if (std::string problem = apply_flags(command, flags, into, origins); !problem.empty())
    return problem;
  std::string problem;
  for (const std::string& path : flags.files) {
    const auto text = read_file(path, problem);
    if (!text) return problem;
    const auto values = chart::parse_yaml(*text, problem);
    if (!values) return concat(path, ": ", problem);
    if (!values->is_map() && !values->is_null()) return concat(path, ": values are a map");
    // Which of two was meant is not guessed.
    std::string twice;
    if (!inject::parse_yaml(*text, twice) && twice.find("occurs twice") != std::string::npos) {
      return concat(path, ": ", twice);
    }
    into = chart::merge_values(into, *values);
    origins.note(into, concat("--values ", path));
  }
  into = into.deep_copy();
  const std::pair<chart::SetKind, const std::vector<std::string>*> kinds[] = {
      {chart::SetKind::Typed, &flags.set},
      {chart::SetKind::String, &flags.set_string},
      {chart::SetKind::File, &flags.set_file}};
  for (const auto& [kind, lines] : kinds) {
    for (const std::string& line : *lines) {
      problem = chart::set_values(line, kind, into, read_file);
      const std::string_view flag = kind == chart::SetKind::String ? "--set-string"
                                    : kind == chart::SetKind::File ? "--set-file"
                                                                   : "--set";
      if (!problem.empty()) return concat(flag, " ", line, ": ", problem);
      // A line with files holds their names, others the text itself.
      origins.note(into,
                   kind == chart::SetKind::File ? concat(flag, " ", line) : std::string(flag));
    }
  }
  return "";
}

std::unique_ptr<Cluster> open_cluster(const Flags& flags, std::string& problem) {
  auto cluster = Cluster::open(flags.cluster, problem);
  if (!cluster) problem += concat("\n", kIgnore, " renders without looking at a cluster");
  return cluster;
}

std::string read_version(Cluster& cluster, InstallOptions& options) {
  const Answer version = cluster.get("/version");
  if (!version.ok())
    return concat("the cluster ", cluster.server(), " does not answer: ", version.problem, "\n",
                  kIgnore, " renders without looking at a cluster");
  if (const std::string_view text = version.value["gitVersion"].string(); !text.empty())
    options.kube_version = text;
  return "";
}

// Is the cluster ready for an installation? "" or what stands against it, and what to do.
std::string check_cluster(Cluster& cluster, const Flags& flags) {
  if (flags.crds) return "";
  std::string missing;
  InstallOptions definitions;
  definitions.crds = true;
  for (const chart::Manifest& manifest : install(definitions, Setting::map()).manifests) {
    const Answer answer = cluster.get(k8s::path_of(
        {"apiextensions.k8s.io", "customresourcedefinitions", "v1", false}, {}, manifest.name));
    if (answer.missing()) missing += concat(missing.empty() ? "" : ", ", manifest.name);
    if (!answer.ok() && !answer.missing()) return answer.problem;
  }
  if (!missing.empty()) {
    return concat("the cluster lacks custom resources of the mesh: ", missing,
                  "\ninstall them first: tulle install --crds | kubectl apply -f -");
  }
  const Answer config =
      cluster.get(k8s::path_of(k8s::kConfigMaps, flags.cluster.ns, "linkerd-config"));
  if (config.ok()) {
    const bool helm =
        config.value["metadata"]["labels"]["app.kubernetes.io/managed-by"].string() == "Helm";
    return concat(
        "the mesh is already installed in the namespace ", flags.cluster.ns, ": ",
        helm ? "Helm installed it, so upgrade it with helm upgrade"
             : "tulle upgrade | kubectl apply -f - changes it, tulle uninstall removes it");
  }
  if (!config.missing()) return config.problem;
  return "";
}

int print(const std::vector<chart::Manifest>& manifests, const Flags& flags) {
  write_exact(std::cout, print_manifests(manifests, flags.output));
  std::cout << std::flush;
  return std::cout ? 0 : complain("cannot write to standard output");
}

int finish(const InstallOptions& options, const Flags& flags, const Setting& given,
           const IssuerVerdict& verdict = {}) {
  const InstallResult result = install(options, given);
  for (const auto* const warnings : {&result.warnings, &verdict.warnings}) {
    for (const std::string& warning : *warnings) std::cerr << "tulle: warning: " << warning << "\n";
  }
  if (!result.problem.empty()) return complain(result.problem);
  if (!verdict.problems.empty())
    return complain(lines_of("the issuer cannot be used", verdict.problems));
  return print(result.manifests, flags);
}

// What others bring is verified, too, if it is there by now.
void read_brought(Cluster& cluster, IssuerValues& issuer, std::vector<std::string>& warnings) {
  const auto read = [&](const k8s::Resource& resource, const char* kind, const char* name) {
    Answer answer = cluster.get(k8s::path_of(resource, cluster.flags().ns, name));
    if (!answer.ok()) {
      warnings.push_back(concat(
          kind, " ", cluster.flags().ns, "/", name,
          answer.missing() ? std::string(" is not there yet: the mesh waits for whoever brings it")
                           : concat(" cannot be read, so it is not verified: ", answer.problem)));
    }
    return answer;
  };
  if (issuer.brought) {
    const Answer secret = read(k8s::kSecrets, "Secret", "linkerd-identity-issuer");
    const auto take = [&](GivenIssuer::Part& part, const char* key) {
      part = {base64_decode(secret.value["data"][key].string()).value_or(""),
              concat("Secret ", cluster.flags().ns, "/linkerd-identity-issuer, ", key)};
    };
    take(issuer.given.certificate, "tls.crt");
    take(issuer.given.key, "tls.key");
    if (issuer.given.anchors.pem.empty() && !issuer.external_ca)
      take(issuer.given.anchors, "ca.crt");
  }
  if (issuer.external_ca) {
    const Answer roots = read(k8s::kConfigMaps, "ConfigMap", "linkerd-identity-trust-roots");
    issuer.given.anchors = {
        std::string(roots.value["data"]["ca-bundle.crt"].string()),
        concat("ConfigMap ", cluster.flags().ns, "/linkerd-identity-trust-roots, ca-bundle.crt")};
  }
}

// Without a cluster what others bring is not looked at.
IssuerVerdict judge_values(const InstallOptions& options, const Setting& given,
                           const Origins& origins, Cluster* cluster) {
  if (options.crds) return {};
  IssuerValues issuer = issuer_values(options, given);
  origins.name(issuer.given);
  std::vector<std::string> warnings;
  std::string unused;
  if (issuer.unused)
    unused = concat(issuer.given.certificate.name,
                    " is given, but identity.issuer.scheme=kubernetes.io/tls "
                    "(--identity-external-issuer) takes the issuer "
                    "from the Secret linkerd-identity-issuer: leave one of the two away");
  if (cluster != nullptr) read_brought(*cluster, issuer, warnings);
  IssuerVerdict verdict = judge(issuer.given);
  if (!unused.empty()) verdict.problems.push_back(std::move(unused));
  verdict.warnings.insert(verdict.warnings.begin(), warnings.begin(), warnings.end());
  return verdict;
}

InstallOptions options_of(const Flags& flags, const char* version) {
  InstallOptions out;
  out.crds = flags.crds;
  out.ns = flags.cluster.ns;
  out.version = version;
  return out;
}

int run_install(const CLI::App& command, const Flags& flags, const char* version) {
  InstallOptions options = options_of(flags, version);
  Setting given = Setting::map();
  Origins origins(given);
  std::string problem = read_values(command, flags, given, origins);
  std::unique_ptr<Cluster> cluster;
  if (problem.empty() && !flags.ignore_cluster) {
    cluster = open_cluster(flags, problem);
    if (problem.empty()) problem = read_version(*cluster, options);
    if (problem.empty()) problem = check_cluster(*cluster, flags);
  }
  if (!problem.empty()) return complain(problem);
  return finish(options, flags, given, judge_values(options, given, origins, cluster.get()));
}

// The values that the installation has now.
std::string stored_values(Cluster& cluster, const Flags& flags, Setting& into) {
  const Answer secret = cluster.get(k8s::path_of(k8s::kSecrets, flags.cluster.ns, kOverrides));
  if (secret.missing()) {
    return concat("the namespace ", flags.cluster.ns, " has no Secret ", kOverrides,
                  ": the mesh was not installed with tulle install (if Helm installed it, use helm "
                  "upgrade), or it is in another namespace: name it with -L");
  }
  if (!secret.ok()) return secret.problem;
  std::string problem;
  const auto object = chart::parse_json(secret.value.to_json(), problem);
  if (object) into = overrides_in(*object, problem);
  return problem;
}

std::string values_to_upgrade(const Flags& flags, InstallOptions& options, Setting& into) {
  std::string problem;
  if (flags.crds) into = Setting::map();
  if (!flags.from_manifests.empty()) {
    const auto text = read_file(flags.from_manifests, problem);
    if (text && !flags.crds) into = read_overrides(*text, problem);
    if (problem.empty() && into.is_null())
      problem = concat(flags.from_manifests, " has no Secret ", kOverrides);
    return problem;
  }
  const auto cluster = open_cluster(flags, problem);
  if (problem.empty()) problem = read_version(*cluster, options);
  if (problem.empty() && !flags.crds) problem = stored_values(*cluster, flags, into);
  return problem;
}

int run_upgrade(const CLI::App& command, const Flags& flags, const char* version) {
  InstallOptions options = options_of(flags, version);
  options.upgrade = true;
  Setting given;
  if (std::string problem = values_to_upgrade(flags, options, given); !problem.empty())
    return complain(problem);
  const std::string anchors = value_at(given, "identityTrustAnchorsPEM").text();
  Origins origins(given);
  if (std::string problem = read_values(command, flags, given, origins); !problem.empty())
    return complain(problem);
  if (!flags.force && drops_anchors(anchors, value_at(given, "identityTrustAnchorsPEM").text())) {
    return complain(
        "the new trust anchors lack some of those that running proxies trust: those would refuse "
        "each other.\n"
        "Give a bundle of the old and the new ones first, restart the workloads, then drop the old "
        "ones; --force does it at once");
  }
  IssuerVerdict verdict = judge_values(options, given, origins, nullptr);
  // What runs already is no reason to refuse; `check` says it, too.
  if (!origins.changed()) {
    verdict.warnings.insert(verdict.warnings.end(), verdict.problems.begin(),
                            verdict.problems.end());
    verdict.problems.clear();
  }
  return finish(options, flags, given, verdict);
}

int run_uninstall(const Flags& flags) {
  std::string problem;
  const auto cluster = Cluster::open(flags.cluster, problem);
  if (!cluster) return complain(problem);
  std::vector<std::string> pods, extensions;
  if (!flags.force) problem = find_users(*cluster, pods, extensions);
  std::vector<MeshObject> objects;
  if (problem.empty()) problem = find_mesh_objects(*cluster, objects);
  if (!problem.empty()) return complain(problem);
  if (!extensions.empty()) {
    std::cerr << "tulle: these extensions are still installed:\n";
    for (const std::string& ns : extensions) std::cerr << "  * " << ns << "\n";
  }
  if (!pods.empty()) {
    std::cerr << "tulle: these pods still have a proxy:\n";
    for (const std::string& pod : pods) std::cerr << "  * " << pod << "\n";
  }
  if (!pods.empty() || !extensions.empty())
    return complain("remove the extensions and uninject the pods first (or use --force)");
  std::vector<chart::Manifest> manifests;
  for (const MeshObject& object : to_uninstall(objects, flags.cluster.ns))
    manifests.push_back(stub_of(object));
  if (manifests.empty())
    std::cerr << "tulle: the cluster has nothing of a mesh in the namespace " << flags.cluster.ns
              << "\n";
  return print(manifests, flags);
}

int run_prune(const Flags& flags, const char* version) {
  std::string problem;
  const auto cluster = Cluster::open(flags.cluster, problem);
  if (!cluster) return complain(problem);
  InstallOptions options = options_of(flags, version);
  options.upgrade = true;
  Setting given;
  problem = read_version(*cluster, options);
  if (problem.empty()) problem = stored_values(*cluster, flags, given);
  std::vector<MeshObject> objects;
  if (problem.empty()) problem = find_mesh_objects(*cluster, objects);
  if (!problem.empty()) return complain(problem);
  InstallResult wanted = install(options, given);
  if (!wanted.problem.empty()) return complain(wanted.problem);
  // The custom resources are installed by themselves, and belong to the mesh all the same.
  options.crds = true;
  const InstallResult definitions = install(options, Setting::map());
  if (!definitions.problem.empty()) return complain(definitions.problem);
  wanted.manifests.insert(wanted.manifests.end(), definitions.manifests.begin(),
                          definitions.manifests.end());
  std::vector<chart::Manifest> manifests;
  for (const MeshObject& object : to_prune(objects, wanted.manifests))
    manifests.push_back(stub_of(object));
  return print(manifests, flags);
}

void add_common(CLI::App* command, Flags& flags) {
  command->add_option("-o,--output", flags.output, "yaml or json")
      ->check(CLI::IsMember({"yaml", "json"}))
      ->capture_default_str();
  command->add_option("--kubeconfig", flags.cluster.kubeconfig,
                      "how to reach the cluster; by default $KUBECONFIG, then ~/.kube/config");
  command->add_option("--context", flags.cluster.context, "of the kubeconfig");
  command->add_option("--as", flags.cluster.as, "a user to act as");
  command->add_option("--as-group", flags.cluster.as_groups, "a group to act as")
      ->allow_extra_args(false);
  command
      ->add_option("-L,-n,--linkerd-namespace,--namespace", flags.cluster.ns,
                   "where the control plane is")
      ->envname("LINKERD_NAMESPACE")
      ->capture_default_str();
}

void add_values(CLI::App* command, Flags& flags, bool install) {
  command->add_flag("--crds", flags.crds, "the custom resources, which come first");
  command->add_flag("--ha", flags.ha,
                    "for clusters of several nodes: see values-ha.yaml of the chart");
  command->add_option("-f,--values", flags.files, "files of values; later ones count more")
      ->allow_extra_args(false);
  command
      ->add_option("--set", flags.set, "values such as proxy.logLevel=debug,controllerReplicas=3")
      ->allow_extra_args(false);
  command->add_option("--set-string", flags.set_string, "the same, always text")
      ->allow_extra_args(false);
  command->add_option("--set-file", flags.set_file, "the same, the text of a file")
      ->allow_extra_args(false);
  command
      ->add_option("--registry", flags.registry, "where all images are, such as example.org/mesh")
      ->envname("LINKERD_DOCKER_REGISTRY");
  if (install)
    command->add_flag(
        "--identity-external-issuer", flags.external_issuer,
        "the Secret linkerd-identity-issuer comes from elsewhere, such as cert-manager");
  for (std::size_t i = 0; i < std::size(kFlags); ++i) {
    const ValueFlag& flag = kFlags[i];
    if (flag.install_only && !install) continue;
    const std::string help = concat(flag.help, " (", flag.path, ")");
    if (flag.takes == Takes::Yes || flag.takes == Takes::No) {
      // --flag=false is an answer, too.
      command->add_flag_function(
          flag.flag, [&flags, i](std::int64_t count) { flags.switches[i] = count > 0 ? 1 : 0; },
          help);
    } else {
      command->add_option(flag.flag, flags.texts[i], help);
    }
  }
}

}  // namespace

void add_install_commands(CLI::App& app, const char* version, int& status) {
  auto in = std::make_shared<Flags>();
  CLI::App* const install =
      app.add_subcommand("install",
                         "the manifests of the mesh: tulle install --crds | kubectl apply -f -, "
                         "then tulle install | kubectl apply -f -");
  add_common(install, *in);
  add_values(install, *in, true);
  install->add_flag(std::string(kIgnore), in->ignore_cluster, "does not look at a cluster");
  install->callback(
      [install, in, version, &status] { status = run_install(*install, *in, version); });

  auto up = std::make_shared<Flags>();
  CLI::App* const upgrade =
      app.add_subcommand("upgrade",
                         "the manifests of this version, with the values of the installation: "
                         "tulle upgrade | kubectl apply -f -");
  add_common(upgrade, *up);
  add_values(upgrade, *up, false);
  upgrade->add_option(
      "--from-manifests", up->from_manifests,
      "takes the installation's values from this file (or -) instead of the cluster");
  upgrade->add_flag("--force", up->force, "even if running proxies will not trust the new anchors");
  upgrade->callback(
      [upgrade, up, version, &status] { status = run_upgrade(*upgrade, *up, version); });

  auto out = std::make_shared<Flags>();
  CLI::App* const uninstall = app.add_subcommand(
      "uninstall", "what is to be deleted: tulle uninstall | kubectl delete -f -");
  add_common(uninstall, *out);
  uninstall->add_flag("-f,--force", out->force, "even if pods still have a proxy");
  uninstall->callback([out, &status] { status = run_uninstall(*out); });

  auto old = std::make_shared<Flags>();
  CLI::App* const prune = app.add_subcommand(
      "prune", "what earlier versions left behind: tulle prune | kubectl delete -f -");
  add_common(prune, *old);
  prune->callback([old, version, &status] { status = run_prune(*old, version); });
}

}  // namespace tulle::cli
