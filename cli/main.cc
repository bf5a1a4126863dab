// SPDX-License-Identifier: Apache-2.0
// tulle: the user's command line. `tulle local` runs a mesh on this machine; `stat` and `edges`
// show it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/check/extensions.h"
#include "cli/check_commands.h"
#include "cli/cluster_commands.h"
#include "cli/commands.h"
#include "cli/inject_commands.h"
#include "cli/install_commands.h"
#include "cli/introspect_commands.h"
#include "cli/terminal.h"

namespace {

using namespace tulle::cli;

void add_mesh(CLI::App* command, MeshFlags& mesh) {
  command->add_option("--name", mesh.name, "which mesh on this machine")->capture_default_str();
  command->add_option("--state-dir", mesh.state, "where running meshes are kept")
      ->capture_default_str();
}

void add_container(CLI::App* command, ContainerFlags& flags) {
  add_mesh(command, flags.mesh);
  command->add_option("-n,--namespace", flags.ns, "the pod's namespace");
  command->add_option("-c,--container", flags.container,
                      "a container; by default the first of the application");
  command->add_option("pod", flags.pod, "POD or NAMESPACE/POD")->required();
}

void add_stat(CLI::App* command, StatFlags& flags, std::vector<std::string>& what) {
  command->footer(
      "Looks into the cluster of the kubeconfig if there is one and neither --name nor --state-dir "
      "is given, else into a mesh of this machine.");
  add_mesh(command, flags.mesh);
  add_cluster_flags(command, flags.cluster);
  command->add_option("-l,--selector", flags.selector, "in a cluster: only pods with these labels");
  command->add_option("-n,--namespace", flags.ns, "of the resources")->capture_default_str();
  command->add_flag("-A,--all-namespaces", flags.all_namespaces, "all namespaces");
  command->add_option("-o,--output", flags.output, "table, wide or json")
      ->check(CLI::IsMember({"table", "wide", "json"}))
      ->capture_default_str();
  command
      ->add_option("resource", what,
                   "pod, deployment and other workloads, serviceaccount, namespace or service; "
                   "TYPE, TYPE/NAME or TYPE NAME")
      ->expected(0, 2);
}

void set_resource(StatFlags& flags, const std::vector<std::string>& what) {
  if (what.empty()) return;
  const std::size_t slash = what[0].find('/');
  flags.resource = what[0].substr(0, slash);
  if (slash != std::string::npos) flags.name = what[0].substr(slash + 1);
  if (what.size() > 1) flags.name = what[1];
}

void add_stat_commands(CLI::App* parent, int& status) {
  struct Command {
    StatFlags flags;
    std::vector<std::string> words;
  };
  const auto add = [&](const char* name, const char* help, int (*run)(StatFlags)) {
    auto mine = std::make_shared<Command>();
    CLI::App* const command = parent->add_subcommand(name, help);
    add_stat(command, mine->flags, mine->words);
    command->callback([command, mine, run, &status] {
      set_resource(mine->flags, mine->words);
      mine->flags.local = command->count("--name") + command->count("--state-dir") > 0;
      mine->flags.ns_given = command->count("--namespace") > 0;
      status = run(mine->flags);
    });
    return std::pair(command, mine);
  };
  const auto [stat_command, mine] =
      add("stat", "success rate, requests a second and latency, from the proxies' own metrics",
          &tulle::cli::stat);
  stat_command->add_option("-t,--time-window", mine->flags.window, "how long to look, such as 10s")
      ->capture_default_str();
  stat_command->add_flag("--unmeshed", mine->flags.unmeshed, "also those without a proxy");
  add("edges", "who talks to whom, secured by which identity", &edges_of);
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  guard_output();
  const bool linkerd = std::filesystem::path(argv[0]).filename() ==
                       "linkerd";  // the same program under a known name
  CLI::App app("tulle: an ultra-light service mesh", linkerd ? "linkerd" : "tulle");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("tulle ") + TULLE_VERSION);
  int status = 0;

  CLI::App* const local = app.add_subcommand("local", "a mesh on this machine, with no Kubernetes");
  local->require_subcommand(1);

  UpFlags up;
  int seconds = 120;
  CLI::App* const up_command =
      local->add_subcommand("up", "runs the pods of manifests, meshed as they say");
  add_mesh(up_command, up.mesh);
  up_command
      ->add_option("-f,--filename", up.files,
                   "a manifest, a folder of them, or - for standard input")
      ->required();
  up_command->add_option(
      "--bin-dir", up.bin_dir,
      "where tulle-proxy, tulle-control and tulle-node are; by default beside this program");
  up_command->add_option("--cache", up.cache, "where images are kept; by default ~/.cache/tulle");
  up_command->add_option("--wait", seconds, "how many seconds to wait for all pods to be ready")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  up_command->add_option("--identity-issuance-lifetime", up.issuance_lifetime,
                         "how long certificates of workloads are valid, such as 24h");
  up_command->add_option("--identity-clock-skew-allowance", up.clock_skew,
                         "how much earlier and later than that, such as 20s");
  up_command->add_flag("-q,--quiet", up.quiet, "says nothing of pods that become ready");
  up_command->callback([&] {
    up.wait = std::chrono::seconds(seconds);
    status = local_up(up);
  });

  MeshFlags down;
  int grace = 10;
  CLI::App* const down_command =
      local->add_subcommand("down", "ends a mesh and leaves nothing behind");
  add_mesh(down_command, down);
  down_command->add_option("--grace-period", grace, "seconds for the pods to end by themselves")
      ->check(CLI::Range(0, 3600))
      ->capture_default_str();
  down_command->callback([&] { status = local_down(down, std::chrono::seconds(grace)); });

  StatusFlags status_flags;
  CLI::App* const status_command =
      local->add_subcommand("status", "the pods; exit 0 if all are ready");
  add_mesh(status_command, status_flags.mesh);
  status_command->add_option("-o,--output", status_flags.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  status_command->callback([&] { status = local_status(status_flags); });

  ContainerFlags exec;
  std::vector<std::string> words;
  CLI::App* const exec_command =
      local->add_subcommand("exec", "runs a command in a container: exec POD -- COMMAND…");
  add_container(exec_command, exec);
  exec_command->add_option("command", words, "the command and its arguments")->required();
  exec_command->callback([&] { status = local_exec(exec, words); });

  ContainerFlags logs;
  CLI::App* const logs_command = local->add_subcommand("logs", "what a container has said");
  add_container(logs_command, logs);
  logs_command->callback([&] { status = local_logs(logs); });

  std::vector<std::string> image_names;
  std::string image_cache;
  CLI::App* const images_command =
      local->add_subcommand("images", "makes images and tells as JSON where they are");
  images_command->add_option("names", image_names, "such as nginx")->required();
  images_command->add_option("--cache", image_cache,
                             "where images are kept; by default ~/.cache/tulle");
  images_command->callback([&] { status = local_images(image_names, image_cache); });

  add_stat_commands(&app, status);
  CLI::App* const viz =
      app.add_subcommand("viz", "stat and edges under the names that they have in Linkerd");
  viz->require_subcommand(1);
  add_stat_commands(viz, status);

  add_inject_commands(app, TULLE_VERSION, status);
  add_check_command(app, TULLE_VERSION, status);
  add_cluster_commands(app, TULLE_VERSION, status);
  add_identity_command(app, status);
  add_install_commands(app, TULLE_VERSION, status);

  // Another word is the name of an extension's program, if there is one.
  const auto is_word = [&](CLI::App* command) { return command->check_name(argv[1]); };
  if (argc > 1 && *argv[1] != '-' && app.get_subcommands(is_word).empty()) {
    if (const auto program = find_extension(argv[1])) {
      argv[1] = const_cast<char*>(program->c_str());
      ::execv(argv[1], argv + 1);
      std::cerr << "tulle: " << *program << ": " << std::strerror(errno) << "\n";
      return 126;
    }
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;
  }
  std::cout.flush();
  return status;
}
