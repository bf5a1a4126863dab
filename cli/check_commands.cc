// SPDX-License-Identifier: Apache-2.0
#include "cli/check_commands.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <thread>

#include "cli/check/checks.h"
#include "cli/check/extensions.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "lib/base/text.h"

namespace tulle::cli {
namespace {

struct Flags {
  ClusterFlags cluster;
  CheckFlags check;
  std::string output = "table";
  std::string wait = "5m0s";
};

// One line on a terminal that says what is waited for, and leaves no trace.
class Progress {
 public:
  explicit Progress(bool shown) : shown_(shown) {}
  void operator()(std::string_view what, std::string_view error) {
    if (!shown_) return;
    std::string line =
        what.empty() ? "" : concat("… ", what, ": ", error.substr(0, error.find('\n')));
    if (line.size() > 110) line = line.substr(0, 110) + "…";
    write_sequence(std::cerr, "\r\033[K");
    std::cerr << printable(line, Lines::Escape) << std::flush;
  }

 private:
  const bool shown_;
};

// What every extension's own `check` is told (docs/reference/viz.md §7).
std::vector<std::string> flags_for_extensions(const Flags& flags) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view flag, const std::string& value) {
    if (!value.empty()) out.push_back(concat("--", flag, "=", value));
  };
  add("kubeconfig", flags.cluster.kubeconfig);
  add("context", flags.cluster.context);
  add("as", flags.cluster.as);
  for (const std::string& group : flags.cluster.as_groups) add("as-group", group);
  if (flags.cluster.ns != ClusterFlags().ns) add("linkerd-namespace", flags.cluster.ns);
  if (flags.cluster.verbose) out.emplace_back("--verbose");
  add("namespace", flags.check.ns);
  if (flags.check.proxy) out.emplace_back("--proxy");
  add("wait", flags.wait);
  return out;
}

int run(Flags& flags) {
  const auto wait = parse_window(flags.wait);
  if (wait < std::chrono::nanoseconds{0}) {
    std::cerr << "tulle: --wait " << flags.wait << ": a duration such as 30s or 5m is wanted\n";
    return 64;
  }
  const ReportFormat format = flags.output == "json"    ? ReportFormat::Json
                              : flags.output == "short" ? ReportFormat::Short
                              : flags.output == "basic" ? ReportFormat::Basic
                                                        : ReportFormat::Table;
  Reporter reporter(std::cout, format, format == ReportFormat::Table && ::isatty(1) != 0);
  CheckRun checks;
  checks.wait = wait;
  checks.sleep = [](std::chrono::nanoseconds pause) { std::this_thread::sleep_for(pause); };
  checks.progress = Progress(::isatty(2) != 0);
  std::string problem;
  const std::unique_ptr<Cluster> cluster = Cluster::open(flags.cluster, problem);
  if (cluster == nullptr) {
    checks.forget = [] {};
    run_checks(
        {{"kubernetes-api",
          {{"can initialize the client", "k8s-api", kFatal, [&] { return fail(problem); }}}}},
        checks, reporter);
    return reporter.finish() ? 0 : 1;
  }
  ClusterView view(*cluster);
  checks.forget = [&view] { view.forget(); };
  run_checks(checks_for(view, flags.check), checks, reporter);
  if (!flags.check.pre && !flags.check.crds) {
    ExtensionRun extensions{
        extension_names(view), flags_for_extensions(flags), [&](std::string_view name) {
          checks.progress(name, name.empty() ? "" : "is asked for its own checks");
        }};
    check_extensions(extensions, reporter);
  }
  return reporter.finish() ? 0 : 1;
}

}  // namespace

void add_cluster_flags(CLI::App* command, ClusterFlags& flags) {
  command->add_option("--kubeconfig", flags.kubeconfig,
                      "how to reach the cluster; by default $KUBECONFIG, then ~/.kube/config");
  command->add_option("--context", flags.context, "of the kubeconfig");
  command->add_option("--as", flags.as, "the user to be taken for");
  command->add_option("--as-group", flags.as_groups, "groups to be taken for a member of")
      ->allow_extra_args(false);
  command->add_option("--cni-namespace", flags.cni_ns, "where the CNI plugin is")
      ->capture_default_str();
  command->add_option("-L,--linkerd-namespace", flags.ns, "where the control plane is")
      ->envname("LINKERD_NAMESPACE")
      ->capture_default_str();
  // Nothing here needs a port-forward around the API server.
  command->add_option("--api-addr", "accepted; everything goes through the API server")->group("");
  command->add_flag("--verbose", flags.verbose, "accepted")->group("");
}

void add_check_command(CLI::App& app, const char* version, int& status) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const check = app.add_subcommand(
      "check", "is the mesh of a cluster well, and if not, what is to be done; exit 1 if not");
  add_cluster_flags(check, flags->cluster);
  CLI::Option* const pre =
      check->add_flag("--pre", flags->check.pre, "before an installation: can it work");
  check->add_flag("--crds", flags->check.crds, "after the installation of the CRDs")->excludes(pre);
  check->add_flag("--proxy", flags->check.proxy, "the data plane, too")->excludes(pre);
  check->add_option("-n,--namespace", flags->check.ns, "with --proxy: whose pods; by default all");
  check
      ->add_flag("--linkerd-cni-enabled", flags->check.cni_enabled,
                 "with --pre: the CNI plugin must be there")
      ->needs(pre);
  check->add_option("--expected-version", flags->check.expected_version,
                    "which version everything should have");
  flags->check.version = version;
  check->add_option("--cli-version-override", flags->check.version)->group("");
  check->add_option("--wait", flags->wait, "how long to try again what may still become well")
      ->capture_default_str();
  check
      ->add_option("-o,--output", flags->output,
                   "table, basic (no colors), json, or short (only what is not well)")
      ->check(CLI::IsMember({"table", "basic", "json", "short"}))
      ->capture_default_str();
  check->callback([flags, &status] { status = run(*flags); });
}

}  // namespace tulle::cli
