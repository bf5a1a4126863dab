// SPDX-License-Identifier: Apache-2.0
#include "cli/inject_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/check_commands.h"
#include "cli/cluster_values.h"
#include "cli/given.h"
#include "cli/inject.h"
#include "cli/terminal.h"
#include "lib/base/text.h"

namespace tulle::cli {
namespace {

namespace fs = std::filesystem;

struct Flag {
  const char* flag;
  const char* annotation;
  const char* help;
};
constexpr Flag kFlags[] = {
    {"--proxy-image", "config.linkerd.io/proxy-image", "image of the proxy, without its tag"},
    {"--proxy-version,-v", "config.linkerd.io/proxy-version", "tag of the proxy's image"},
    {"--image-pull-policy", "config.linkerd.io/image-pull-policy", "Always, IfNotPresent or Never"},
    {"--inbound-port", "config.linkerd.io/inbound-port",
     "the proxy's port for connections that come in"},
    {"--outbound-port", "config.linkerd.io/outbound-port",
     "the proxy's port for connections that go out"},
    {"--control-port", "config.linkerd.io/control-port", "the proxy's port for tap"},
    {"--admin-port", "config.linkerd.io/admin-port", "the proxy's port for metrics and probes"},
    {"--skip-inbound-ports", "config.linkerd.io/skip-inbound-ports",
     "ports and ranges that go around the proxy"},
    {"--skip-outbound-ports", "config.linkerd.io/skip-outbound-ports",
     "the same for connections that go out"},
    {"--opaque-ports", "config.linkerd.io/opaque-ports",
     "ports, ranges and names of ports whose protocol is not looked at"},
    {"--require-identity-on-inbound-ports",
     "config.linkerd.io/proxy-require-identity-inbound-ports",
     "ports that take meshed clients only"},
    {"--default-inbound-policy", "config.linkerd.io/default-inbound-policy",
     "who may come in where no Server says otherwise"},
    {"--proxy-uid", "config.linkerd.io/proxy-uid", "the user that the proxy runs as"},
    {"--proxy-gid", "config.linkerd.io/proxy-gid", "the group that the proxy runs as"},
    {"--proxy-log-level", "config.linkerd.io/proxy-log-level", "such as warn,linkerd=info"},
    {"--proxy-cpu-request,--proxy-cpu", "config.linkerd.io/proxy-cpu-request", "such as 100m"},
    {"--proxy-cpu-limit", "config.linkerd.io/proxy-cpu-limit", "such as 1"},
    {"--proxy-memory-request,--proxy-memory", "config.linkerd.io/proxy-memory-request",
     "such as 20Mi"},
    {"--proxy-memory-limit", "config.linkerd.io/proxy-memory-limit", "such as 250Mi"},
    {"--close-wait-timeout", "config.linkerd.io/close-wait-timeout",
     "of connections that one side has closed, such as 1h"},
    {"--wait-before-exit-seconds", "config.alpha.linkerd.io/proxy-wait-before-exit-seconds",
     "seconds that a classic sidecar stays on"},
};
struct Switch {
  const char* flag;
  const char* annotation;
  const char* help;
};
constexpr Switch kSwitches[] = {
    {"--enable-debug-sidecar", "config.linkerd.io/enable-debug-sidecar",
     "adds a container with tools to look at traffic"},
    {"--enable-external-profiles", "config.linkerd.io/enable-external-profiles",
     "profiles of names outside of the cluster"},
    {"--native-sidecar", "config.linkerd.io/proxy-enable-native-sidecar",
     "the proxy is an init container that stays (the default)"},
};

struct Flags {
  std::vector<std::string> files;
  std::vector<std::string> values;
  ClusterFlags cluster;
  std::string output = "yaml";
  bool manual = false;
  bool ignore_cluster = false;
  bool ingress = false;
  std::string registry;
  bool uninject = false;
  bool disable_identity = false;
};

int complain(const std::string& what) {
  std::cerr << "tulle: " << what << "\n";
  return 1;
}

std::string read_file(const std::string& name, std::vector<InputText>& into) {
  InputText& added = into.emplace_back();
  added.name = name == "-" ? "standard input" : name;
  return read_given(name, added.text);
}

// "" or what has failed. Folders are read with all below them, in the order of names.
std::string read_inputs(const std::vector<std::string>& names, std::vector<InputText>& into) {
  for (const std::string& name : names) {
    if (name == "-") {
      if (std::string problem = read_file(name, into); !problem.empty()) return problem;
      continue;
    }
    if (name.starts_with("http://") || name.starts_with("https://")) {
      return concat(name, ": addresses are not read; fetch it first, such as with curl -fsSL ",
                    name, " | tulle inject -");
    }
    std::error_code error;
    std::vector<fs::path> paths;
    if (fs::is_directory(name, error)) {
      for (fs::recursive_directory_iterator it(name, error), end; !error && it != end;
           it.increment(error)) {
        const std::string extension = it->path().extension().string();
        const bool manifest = extension == ".yaml" || extension == ".yml" || extension == ".json";
        if (manifest && it->is_regular_file(error)) paths.push_back(it->path());
      }
      if (error) return concat(name, ": ", error.message());
      if (paths.empty()) return concat(name, ": holds no .yaml, .yml or .json file");
      std::sort(paths.begin(), paths.end());
    } else {
      paths.emplace_back(name);
    }
    for (const fs::path& path : paths) {
      if (std::string problem = read_file(path.string(), into); !problem.empty()) return problem;
    }
  }
  return "";
}

// Maps are merged member by member, as Helm does with several value files.
void merge(inject::Value& under, const inject::Value& over) {
  for (std::size_t i = 0; i < over.size(); ++i) {
    const std::string& key = over.keys()[i];
    inject::Value* const there = under.find(key);
    if (there != nullptr && there->is_map() && over.items()[i].is_map()) {
      merge(*there, over.items()[i]);
    } else {
      under.set(key, over.items()[i]);
    }
  }
}

// Value files, or ConfigMaps as the cluster has them. "" or what has failed.
std::string read_values(const std::vector<InputText>& texts, inject::Config& config) {
  inject::Value values = inject::Value::map();
  std::string anchors;
  for (const InputText& text : texts) {
    std::string problem;
    auto value = inject::parse_yaml(text.text, problem);
    if (value && (*value)["kind"].string() == "ConfigMap") {
      const inject::Value data = (*value)["data"];
      if (data["ca-bundle.crt"].is_string()) {
        anchors = data["ca-bundle.crt"].string();
        continue;
      }
      value = inject::parse_yaml(data["values"].string(), problem);
    }
    if (!value) return concat(text.name, ": ", problem);
    if (!value->is_map() && !value->is_null()) return concat(text.name, ": must be an object");
    merge(values, *value);
  }
  std::vector<inject::ConfigProblem> problems;
  config = inject::read_config(values, problems);
  if (!anchors.empty()) config.trust_anchors = anchors;
  return problems.empty()
             ? ""
             : concat("values: ", problems.front().path, ": ", problems.front().reason);
}

// By hand without value files: as the cluster says.
std::string read_configuration(const Flags& flags, InjectOptions& options) {
  std::vector<InputText> texts;
  ClusterValues cluster;
  if (flags.manual && flags.values.empty() && !flags.ignore_cluster) {
    if (std::string problem = read_cluster_values(flags.cluster, cluster); !problem.empty()) {
      return problem +
             "\n--manual asks the cluster for its values, unless --values names files that hold "
             "them";
    }
    texts.push_back({"linkerd-config", cluster.values});
    options.native_sidecars = cluster.native_sidecars;
  }
  for (const std::string& name : flags.values) {
    if (std::string problem = read_file(name, texts); !problem.empty()) return problem;
  }
  if (std::string problem = read_values(texts, options.config); !problem.empty()) return problem;
  if (!cluster.trust_anchors.empty()) options.config.trust_anchors = cluster.trust_anchors;
  options.config.control_namespace = flags.cluster.ns;
  if (flags.manual && options.config.trust_anchors.empty()) {
    return "--manual needs trust anchors: identityTrustAnchorsPEM in --values, or the ConfigMap "
           "linkerd-identity-trust-roots as one of them";
  }
  return "";
}

// Where the images are: the names that the values have, in this registry.
void add_registry(std::string registry, InjectOptions& options) {
  while (registry.ends_with('/')) registry.pop_back();
  if (registry.empty()) return;
  const std::pair<std::string_view, std::string_view> images[] = {
      {"config.linkerd.io/proxy-image", options.config.proxy.image.name},
      {"config.linkerd.io/debug-image", options.config.debug_image.name}};
  for (const auto& [key, image] : images) {
    const auto same = [&, name = key](const auto& entry) { return entry.first == name; };
    if (std::any_of(options.annotations.begin(), options.annotations.end(), same)) continue;
    const std::string_view name = image.substr(image.rfind('/') + 1);  // npos + 1 is 0
    options.annotations.emplace_back(key, concat(registry, "/", name));
  }
}

int run(const Flags& flags, InjectOptions options) {
  if (flags.disable_identity)
    return complain("--disable-identity: the mesh has no mode without identities");
  options.manual = flags.manual;
  options.ingress = flags.ingress;
  options.verbose = flags.cluster.verbose;
  options.json = flags.output == "json";
  if (std::string problem = read_configuration(flags, options); !problem.empty())
    return complain(problem);
  if (!flags.uninject) add_registry(flags.registry, options);
  if (std::string problem = annotations_problem(options); !problem.empty())
    return complain(problem);
  std::vector<InputText> inputs;
  if (std::string problem = read_inputs(flags.files, inputs); !problem.empty())
    return complain(problem);
  const InjectResult result = transform(inputs, options);
  write_exact(std::cout, result.out);
  std::cout << std::flush;
  std::cerr << result.report << std::flush;
  if (!std::cout) return complain("cannot write to standard output");
  return result.status;
}

void add_common(CLI::App* command, const std::shared_ptr<Flags>& flags) {
  command->add_option("file", flags->files, "a manifest, a folder of them, or - for standard input")
      ->required();
  command
      ->add_option("-o,--output", flags->output, "yaml (only what changes is written anew) or json")
      ->check(CLI::IsMember({"yaml", "json"}))
      ->capture_default_str();
}

}  // namespace

void add_inject_commands(CLI::App& app, const char* version, int& status) {
  auto flags = std::make_shared<Flags>();
  auto texts = std::make_shared<std::vector<std::string>>(std::size(kFlags));
  auto switches = std::make_shared<std::vector<std::string>>(std::size(kSwitches));
  CLI::App* const inject = app.add_subcommand("inject",
                                              "adds the proxy to manifests: kubectl get deploy -o "
                                              "yaml | tulle inject - | kubectl apply -f -");
  add_common(inject, flags);
  inject->add_flag("--manual", flags->manual,
                   "writes the proxy itself, instead of an annotation for the cluster's injector");
  inject
      ->add_option(
          "--values", flags->values,
          "files of Helm values, or the ConfigMaps linkerd-config and linkerd-identity-trust-roots")
      ->allow_extra_args(false);
  inject->add_flag("--ignore-cluster", flags->ignore_cluster,
                   "with --manual: does not ask the cluster for its values");
  add_cluster_flags(inject, flags->cluster);
  inject
      ->add_option("--registry", flags->registry,
                   "where the images of proxy and debug container are, such as example.org/mesh")
      ->envname("LINKERD_DOCKER_REGISTRY");
  inject->add_flag("--ingress", flags->ingress, "in ingress mode");
  inject->add_flag("--disable-identity", flags->disable_identity)->group("");
  for (std::size_t i = 0; i < std::size(kFlags); ++i)
    inject->add_option(kFlags[i].flag, (*texts)[i], kFlags[i].help);
  // --native-sidecar=false is an answer, too.
  for (std::size_t i = 0; i < std::size(kSwitches); ++i)
    inject->add_flag(kSwitches[i].flag, (*switches)[i], kSwitches[i].help);
  inject->callback([inject, flags, texts, switches, version, &status] {
    InjectOptions options;
    options.version = version;
    for (std::size_t i = 0; i < std::size(kFlags); ++i) {
      const std::string name(
          std::string_view(kFlags[i].flag).substr(0, std::string_view(kFlags[i].flag).find(',')));
      if (inject->count(name) > 0)
        options.annotations.emplace_back(kFlags[i].annotation, (*texts)[i]);
    }
    for (std::size_t i = 0; i < std::size(kSwitches); ++i) {
      if (inject->count(kSwitches[i].flag) == 0) continue;
      options.annotations.emplace_back(kSwitches[i].annotation,
                                       (*switches)[i] == "false" ? "false" : "true");
    }
    status = run(*flags, std::move(options));
  });

  auto undo = std::make_shared<Flags>();
  CLI::App* const uninject =
      app.add_subcommand("uninject", "takes out of manifests what inject has put in");
  add_common(uninject, undo);
  add_cluster_flags(uninject, undo->cluster);
  undo->uninject = true;
  uninject->callback([undo, version, &status] {
    InjectOptions options;
    options.uninject = true;
    options.version = version;
    status = run(*undo, std::move(options));
  });
}

}  // namespace tulle::cli
