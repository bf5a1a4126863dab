// SPDX-License-Identifier: Apache-2.0
#include "cli/cluster_commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <memory>

#include "cli/check/view.h"
#include "cli/check_commands.h"
#include "cli/exposition.h"
#include "cli/introspect_commands.h"
#include "cli/stats.h"
#include "cli/terminal.h"
#include "lib/base/text.h"

namespace tulle::cli {
namespace {

int complain(const std::string& what) {
  std::cerr << "tulle: " << what << "\n";
  return 1;
}

// --- version ---

struct VersionFlags {
  ClusterFlags cluster;
  std::string ns;
  std::string output = "text";
  std::string client;
  bool client_only = false;
  bool brief = false;
  bool proxy = false;
};

int show_version(const VersionFlags& flags) {
  Value json = Value::map({{"client", flags.client}});
  std::string server;
  std::map<std::string, std::size_t> proxies;
  if (!flags.client_only) {
    std::string problem;
    const std::unique_ptr<Cluster> cluster = Cluster::open(flags.cluster, problem);
    if (cluster != nullptr) {
      ClusterView view(*cluster);
      server = view.values()["linkerdVersion"].string();
      if (server.empty())
        problem = view.object(k8s::path_of(k8s::kConfigMaps, view.ns(), "linkerd-config")).problem;
      const auto take = [&](const Value& item) {
        const PodView pod = view_of(item);
        if (pod.has_proxy && !pod.ended()) ++proxies[pod.proxy_version];
      };
      // What keeps one from being read mostly keeps the other, too.
      if (flags.proxy && problem.empty())
        problem = cluster->list(k8s::path_of(k8s::kPods, flags.ns), take).problem;
      if (!problem.empty())
        problem = concat("the cluster's versions cannot be read: ", problem,
                         "; tulle check says more, --client asks no cluster");
    }
    if (!problem.empty()) std::cerr << "tulle: " << problem << "\n";
    if (server.empty()) server = "unavailable";
    json.set("server", server);
  }
  if (flags.proxy) {
    Value list = Value::map();
    for (const auto& [version, pods] : proxies) list.set(version, pods);
    json.set("proxies", std::move(list));
  }
  if (flags.output == "json") {
    std::cout << json.to_pretty_json() << "\n";
    return 0;
  }
  std::cout << (flags.brief ? "" : "Client version: ") << flags.client << "\n";
  if (!flags.client_only)
    std::cout << (flags.brief ? "" : "Server version: ") << printable(server, Lines::Escape)
              << "\n";
  if (!flags.proxy) return 0;
  if (!flags.brief) std::cout << "Proxy versions:\n";
  for (const auto& [version, pods] : proxies) {
    // An annotation of pods, which anybody may write: it stays in its line.
    const std::string shown = printable(version, Lines::Escape);
    if (flags.brief)
      std::cout << shown << "\n";
    else
      std::cout << "\t" << shown << " (" << pods << " pods)\n";
  }
  return 0;
}

// --- diagnostics ---

struct MetricsFlags {
  ClusterFlags cluster;
  std::string ns;
  std::string wait;  // accepted: each pod is given 15 s
  std::vector<std::string> resource;
  std::string output = "text";
  bool obfuscate = false;
};

// One endpoint that tells metrics.
struct Source {
  std::string_view ns, pod;
  std::string_view container;  // "" for a pod's proxy
  std::string place;           // " (1 of 3)": of the pods
  std::string path;            // for the API server
};

// Values of these labels tell names of the user's workloads.
std::string obfuscated(std::string_view text) {
  static constexpr std::string_view kLabels[] = {"authority",   "client_id",   "server_id",
                                                 "target_addr", "dst_service", "dst_namespace"};
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t open = text.find("=\"", at);
    const std::size_t close = open == std::string_view::npos ? open : text.find('"', open + 2);
    if (close == std::string_view::npos) {
      out += text.substr(at);
      break;
    }
    const std::size_t begin = text.find_last_of("{,", open);
    const std::string_view label = begin == std::string_view::npos || begin < at
                                       ? ""
                                       : text.substr(begin + 1, open - begin - 1);
    out += text.substr(at, open + 2 - at);
    const std::string_view value = text.substr(open + 2, close - open - 2);
    const bool hide = std::find(std::begin(kLabels), std::end(kLabels), label) != std::end(kLabels);
    out += hide ? tls::sha256_hex(value).substr(0, 8) : std::string(value);
    out += '"';
    at = close + 1;
  }
  return out;
}

Value json_of(const Sample& sample) {
  Value labels = Value::map();
  for (const auto& [key, value] : sample.labels) labels.set(key, value);
  char text[32];
  const auto [end, error] = std::to_chars(std::begin(text), std::end(text), sample.value);
  const std::string_view number(text, error == std::errc() ? end : text);
  return Value::map(
      {{"name", sample.name},
       {"labels", std::move(labels)},
       {"value", std::isfinite(sample.value) ? Value::number(number) : Value("+Inf")}});
}

// Asks them all at once. What does not answer is told in its place.
void print_metrics(Cluster& cluster, const std::vector<Source>& sources,
                   const MetricsFlags& flags) {
  std::vector<std::string> paths;
  for (const Source& source : sources) paths.push_back(source.path);
  const std::vector<Reply> replies = cluster.raw_all(paths);
  Value json = Value::list();
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const Source& source = sources[i];
    const std::string body = flags.obfuscate ? obfuscated(replies[i].body) : replies[i].body;
    if (flags.output == "json") {
      Value one = Value::map({{"namespace", source.ns}, {"pod", source.pod}});
      if (!source.container.empty()) one.set("container", source.container);
      if (!replies[i].ok()) one.set("problem", replies[i].problem);
      Value samples = Value::list();
      for (const Sample& sample : parse_exposition(replies[i].ok() ? body : ""))
        samples.push(json_of(sample));
      one.set("samples", std::move(samples));
      json.push(std::move(one));
      continue;
    }
    std::cout << "#\n# POD " << source.pod << source.place << "\n";
    if (!source.container.empty()) std::cout << "# CONTAINER " << source.container << " \n";
    std::cout << "#\n";
    if (replies[i].ok()) {
      std::cout << body << "\n";
    } else {
      std::cout << "# ERROR " << replies[i].problem << "\n";
    }
  }
  if (flags.output == "json") std::cout << json.to_pretty_json() << "\n";
}

std::string place(std::size_t i, std::size_t n) {
  return concat(" (", std::to_string(i + 1), " of ", std::to_string(n), ")");
}

bool belongs(const PodView& pod, Resource resource, const std::string& name) {
  if (resource == Resource::Pod) return name.empty() || pod.name == name;
  if (resource == Resource::Namespace) return name.empty() || pod.ns == name;
  if (resource == Resource::ServiceAccount) return name.empty() || pod.account == name;
  const std::string kind = resource_name(resource);
  const std::string_view labelled = pod.label(concat("linkerd.io/proxy-", kind));
  const std::string_view owner = pod.owner;
  const std::string prefix = concat(kind == "deployment" ? "deploy" : kind, "/");
  if (!labelled.empty()) return name.empty() || labelled == name;
  return owner.starts_with(prefix) && (name.empty() || owner.substr(prefix.size()) == name);
}

int proxy_metrics(const MetricsFlags& flags) {
  std::string word = flags.resource.front(),
              name = flags.resource.size() > 1 ? flags.resource[1] : "";
  if (const std::size_t slash = word.find('/'); slash != std::string::npos) {
    name = word.substr(slash + 1);
    word.resize(slash);
  }
  const auto resource = resource_of(word);
  if (!resource || *resource == Resource::Service)
    return complain(concat(word,
                           ": pod, deployment or another workload, serviceaccount or namespace is "
                           "wanted, such as deploy/web"));
  std::string problem;
  const std::unique_ptr<Cluster> cluster = Cluster::open(flags.cluster, problem);
  if (cluster == nullptr) return complain(problem);
  const std::string ns = *resource == Resource::Namespace ? name
                         : flags.ns.empty()               ? cluster->default_ns()
                                                          : flags.ns;
  std::vector<PodView> pods;
  const auto take = [&](const Value& item) {
    PodView pod = view_of(item);
    if (pod.has_proxy && pod.phase == "Running" && belongs(pod, *resource, name))
      pods.push_back(std::move(pod));
  };
  problem = cluster->list(k8s::path_of(k8s::kPods, ns), take).problem;
  if (!problem.empty()) return complain(problem);
  if (pods.empty())
    return complain(concat("no running pod of ", flags.resource.front(), " in the namespace ", ns,
                           " has a proxy"));
  std::vector<Source> sources;
  for (std::size_t i = 0; i < pods.size(); ++i) {
    const PodView& pod = pods[i];
    sources.push_back({.ns = pod.ns,
                       .pod = pod.name,
                       .place = place(i, pods.size()),
                       .path = pod_port_path(pod.ns, pod.name, pod.admin_port, "/metrics")});
  }
  print_metrics(*cluster, sources, flags);
  return 0;
}

int controller_metrics(const MetricsFlags& flags) {
  std::string problem;
  const std::unique_ptr<Cluster> cluster = Cluster::open(flags.cluster, problem);
  if (cluster == nullptr) return complain(problem);
  std::vector<Value> pods;
  problem = cluster
                ->list(k8s::path_of(k8s::kPods, flags.cluster.ns),
                       [&](const Value& pod) { pods.push_back(pod); })
                .problem;
  if (!problem.empty()) return complain(problem);
  std::vector<Source> sources;
  for (std::size_t i = 0; i < pods.size(); ++i) {
    const std::string_view name = pods[i]["metadata"]["name"].string();
    for (const std::string_view list : {"initContainers", "containers"}) {
      for (const Value& container : pods[i]["spec"][list].items()) {
        for (const Value& port : container["ports"].items()) {
          const std::string_view called = port["name"].string();
          if (!called.ends_with("-admin") && called != "admin-http") continue;
          sources.push_back({.ns = flags.cluster.ns,
                             .pod = name,
                             .container = container["name"].string(),
                             .place = place(i, pods.size()),
                             .path = pod_port_path(flags.cluster.ns, name,
                                                   port["containerPort"].text(), "/metrics")});
          break;  // several ports of a container tell the same
        }
      }
    }
  }
  if (sources.empty())
    return complain(concat("no pods of a control plane in the namespace ", flags.cluster.ns,
                           ": name it with -L"));
  print_metrics(*cluster, sources, flags);
  return 0;
}

// --- completion ---

// For each command its words: the commands below it and its long flags.
void collect(const CLI::App& app, const std::string& path,
             std::vector<std::pair<std::string, std::string>>& into) {
  std::string words;
  for (const CLI::App* const below : app.get_subcommands([](const CLI::App*) { return true; })) {
    words += concat(words.empty() ? "" : " ", below->get_name());
  }
  for (const CLI::Option* const option : app.get_options()) {
    if (option->get_group().empty()) continue;
    for (const std::string& name : option->get_lnames())
      words += concat(words.empty() ? "" : " ", "--", name);
  }
  into.emplace_back(path, words);
  for (const CLI::App* const below : app.get_subcommands([](const CLI::App*) { return true; }))
    collect(*below, concat(path, "/", below->get_name()), into);
}

std::string bash_completion(const std::string& program,
                            const std::vector<std::pair<std::string, std::string>>& commands) {
  std::string out =
      concat("_", program,
             "() {\n  local path= word\n  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    "
             "case \"$path/$word\" in\n");
  for (const auto& [path, words] : commands) {
    if (!path.empty()) out += concat("      ", path, ") path=", path, " ;;\n");
  }
  out += "    esac\n  done\n  case \"$path\" in\n";
  for (const auto& [path, words] : commands)
    out += concat("    \"", path, "\") COMPREPLY=($(compgen -W \"", words,
                  "\" -- \"${COMP_WORDS[COMP_CWORD]}\")) ;;\n");
  return out + concat("  esac\n}\ncomplete -o default -F _", program, " ", program, "\n");
}

std::string fish_completion(const std::string& program,
                            const std::vector<std::pair<std::string, std::string>>& commands) {
  std::string out;
  for (const auto& [path, words] : commands) {
    std::string condition = "__fish_use_subcommand";
    if (!path.empty())
      condition = "__fish_seen_subcommand_from " + path.substr(path.rfind('/') + 1);
    for (const std::string_view word : split(words, ' ')) {
      if (word.empty()) continue;
      out += concat("complete -c ", program, " -n '", condition, "' ",
                    word.starts_with("--") ? concat("-l ", word.substr(2)) : concat("-f -a ", word),
                    "\n");
    }
  }
  return out;
}

void add_output(CLI::App* command, std::string& output) {
  command->add_option("-o,--output", output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

}  // namespace

void add_cluster_commands(CLI::App& app, const char* version, int& status) {
  auto shown = std::make_shared<VersionFlags>();
  shown->client = version;
  CLI::App* const version_command =
      app.add_subcommand("version", "of this program, of the control plane, and of proxies");
  add_cluster_flags(version_command, shown->cluster);
  version_command->add_flag("--client", shown->client_only, "only this program's");
  version_command->add_flag("--short", shown->brief, "only the values");
  version_command->add_flag("--proxy", shown->proxy, "how many pods have which version, too");
  version_command->add_option("-n,--namespace", shown->ns,
                              "with --proxy: whose pods; by default all");
  add_output(version_command, shown->output);
  version_command->callback([shown, &status] { status = show_version(*shown); });

  CLI::App* const diagnostics =
      app.add_subcommand("diagnostics", "what proxies and the control plane tell of themselves")
          ->alias("dg");
  diagnostics->require_subcommand(1);
  auto proxy = std::make_shared<MetricsFlags>();
  CLI::App* const proxy_command = diagnostics->add_subcommand(
      "proxy-metrics", "metrics of the proxies of pods or a workload, such as deploy/web");
  add_cluster_flags(proxy_command, proxy->cluster);
  add_output(proxy_command, proxy->output);
  proxy_command->add_option("-n,--namespace", proxy->ns,
                            "of the resource; by default the kubeconfig's");
  proxy_command->add_flag("--obfuscate", proxy->obfuscate, "hides names of workloads and hosts");
  proxy_command->add_option("resource", proxy->resource, "TYPE, TYPE/NAME or TYPE NAME")
      ->required()
      ->expected(1, 2);
  proxy_command->callback([proxy, &status] { status = proxy_metrics(*proxy); });
  add_introspect_commands(*diagnostics, status);
  auto controller = std::make_shared<MetricsFlags>();
  CLI::App* const controller_command =
      diagnostics->add_subcommand("controller-metrics", "metrics of the control plane")
          ->alias("cp-metrics");
  add_cluster_flags(controller_command, controller->cluster);
  add_output(controller_command, controller->output);
  controller_command->add_option("-w,--wait", controller->wait,
                                 "accepted; each pod has 15 s to answer");
  controller_command->callback([controller, &status] { status = controller_metrics(*controller); });

  auto shell = std::make_shared<std::string>();
  CLI::App* const completion = app.add_subcommand(
      "completion",
      "what a shell needs to complete commands and flags: source <(tulle completion bash)");
  completion->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&app, shell] {
    std::vector<std::pair<std::string, std::string>> commands;
    collect(app, "", commands);
    const std::string program = app.get_name();
    if (*shell == "fish") {
      std::cout << fish_completion(program, commands);
      return;
    }
    if (*shell == "zsh") std::cout << "autoload -U +X bashcompinit && bashcompinit\n";
    std::cout << bash_completion(program, commands);
  });
}

}  // namespace tulle::cli
