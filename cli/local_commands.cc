// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <set>

#include "cli/commands.h"
#include "cli/given.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "lib/base/text.h"
#include "local/control_plane.h"
#include "local/images.h"
#include "local/process.h"
#include "local/sandbox.h"
#include "local/state.h"
#include "local/supervisor.h"

namespace tulle::cli {
namespace {

namespace fs = std::filesystem;
using local::Json;

int fail(const std::string& what) {
  std::cerr << "tulle: " << what << "\n";
  return 1;
}

bool is_manifest(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// Files as they are, folders as the manifests in them, in order.
std::string collect(const std::vector<std::string>& given, std::vector<std::string>& files) {
  for (const std::string& name : given) {
    std::error_code error;
    if (name == "-" || !fs::is_directory(name, error)) {
      files.push_back(name);
      continue;
    }
    std::vector<std::string> inside;
    for (const fs::directory_entry& entry : fs::directory_iterator(name, error)) {
      // Whatever else is in a folder, such as a pipe, is not what was meant.
      std::error_code unknown;
      if (is_manifest(entry.path()) && (entry.is_regular_file(unknown) || unknown))
        inside.push_back(entry.path());
    }
    if (error) return concat("cannot read ", name, ": ", error.message());
    if (inside.empty()) return concat("no .yaml, .yml or .json file in ", name);
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return "";
}

std::string own_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

volatile std::sig_atomic_t interrupted = 0;
void note_interrupt(int) { interrupted = 1; }

// What the supervisor says until everything runs. Lines of pods that wait are kept back, to be told
// if the time is over.
class Progress {
 public:
  Progress(int fd, bool quiet) : fd_(fd), quiet_(quiet) {}
  enum class End { Up, Failed, TimedOut, Interrupted };
  End follow(std::chrono::seconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    std::string rest;
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      if (interrupted != 0) return End::Interrupted;
      if (left.count() <= 0) return End::TimedOut;
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, static_cast<int>(left.count())) <= 0) continue;
      char block[4096];
      const ssize_t n = ::read(fd_, block, sizeof block);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        problem = "the supervisor has ended";
        return End::Failed;
      }
      rest.append(block, static_cast<std::size_t>(n));
      for (std::size_t end = 0; (end = rest.find('\n')) != std::string::npos;
           rest.erase(0, end + 1)) {
        const std::string line = rest.substr(0, end);
        if (line == "up") return End::Up;
        if (!take(line)) return End::Failed;
      }
    }
  }
  std::string problem;
  std::map<std::string, std::string> waiting;

 private:
  bool take(const std::string& line) {
    const std::size_t space = line.find(' ');
    const std::string word = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    const std::string pod = rest.substr(0, rest.find(':'));
    if (word == "ready") {
      waiting.erase(pod);
      if (!quiet_) std::cerr << "pod " << pod << " is ready\n";
    } else if (word == "waiting") {
      waiting[pod] = rest;
    } else if (word == "failed" || word == "error:") {
      problem = word == "failed" ? concat("pod ", rest) : rest;
      return false;
    }
    return true;
  }
  int fd_;
  bool quiet_;
};

[[noreturn]] void become_supervisor(local::Model model, local::SupervisorOptions options) {
  ::setsid();
  const int log = ::open(options.dir.supervisor_log().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, 0);
  ::dup2(log >= 0 ? log : null, 1);
  ::dup2(1, 2);
  local::close_descriptors(3, {options.report});
  ::_exit(local::supervise(std::move(model), std::move(options)));
}

std::string tail_of(const std::string& path) {
  std::string text;
  if (!local::read_file(path, text)) return "";
  if (text.size() > 2000) text = text.substr(text.find('\n', text.size() - 2000) + 1);
  return text;
}

}  // namespace

int local_up(const UpFlags& flags) {
  if (!local::is_mesh_name(flags.mesh.name))
    return fail(
        concat("--name ", flags.mesh.name, ": a name has lower-case letters, digits and '-'"));
  if (::geteuid() != 0) return fail("tulle local makes namespaces and needs root: try sudo");
  std::vector<std::string> files;
  if (std::string problem = collect(flags.files, files); !problem.empty()) return fail(problem);

  // Everything is checked before anything is made.
  local::ModelOptions model_options;
  model_options.known_image = local::is_known_image;
  local::ModelReader reader(model_options);
  for (const std::string& file : files) {
    std::string text;
    if (std::string problem = read_given(file, text); !problem.empty()) return fail(problem);
    reader.add(text, file == "-" ? "standard input" : file);
  }
  std::vector<std::string> control_flags;
  if (!flags.issuance_lifetime.empty())
    control_flags.push_back("--identity-issuance-lifetime=" + flags.issuance_lifetime);
  if (!flags.clock_skew.empty())
    control_flags.push_back("--identity-clock-skew-allowance=" + flags.clock_skew);
  reader.add(local::control_plane_manifests(model_options.control_namespace, control_flags),
             "the control plane's manifests");
  local::Model model = reader.finish();
  for (const k8s::Problem& problem : reader.problems()) std::cerr << problem.to_string() << "\n";
  if (!reader.problems().empty()) {
    const auto images = local::image_names();
    const bool image =
        std::any_of(reader.problems().begin(), reader.problems().end(),
                    [](const auto& p) { return p.reason.starts_with("there is no image"); });
    if (image) {
      std::cerr << "images on this machine:";
      for (const std::string& name : images) std::cerr << " " << name;
      std::cerr << "\n";
    }
    return fail("nothing was started");
  }
  const std::string bin_dir =
      flags.bin_dir.empty() ? own_folder() : fs::absolute(flags.bin_dir).string();
  for (const char* const program : {"tulle-proxy", "tulle-control", "tulle-node"}) {
    const std::string path = concat(bin_dir, "/", program);
    if (::access(path.c_str(), X_OK) != 0)
      return fail(concat("there is no ", path, ": see --bin-dir"));
  }

  const local::StateDir dir = local::state_dir(flags.mesh.state, flags.mesh.name);
  if (const auto running = local::live_supervisor(dir)) {
    return fail(concat("mesh ", flags.mesh.name,
                       " is up already; end it with: tulle local down --name ", flags.mesh.name));
  }
  // What a crash may have left.
  if (std::string problem = local::tear_down(dir, 0s); !problem.empty()) return fail(problem);

  struct sigaction note {};
  note.sa_handler = note_interrupt;
  sigaction(SIGINT, &note, nullptr);
  sigaction(SIGTERM, &note, nullptr);
  local::SupervisorOptions options;
  options.name = flags.mesh.name;
  options.dir = dir;
  options.bin_dir = bin_dir;
  options.cache =
      flags.cache.empty() ? local::ImageStore::default_cache() : fs::absolute(flags.cache).string();
  std::set<const local::Image*> used;
  for (const local::PodInput& pod : model.pods) {
    for (const auto* list : {&pod.object.spec.init_containers, &pod.object.spec.containers}) {
      for (const local::ContainerSpec& container : *list)
        used.insert(local::find_image(container.image));
    }
  }
  local::ImageStore images(options.cache,
                           [](const std::string& line) { std::cerr << line << "\n"; });
  if (std::string problem = images.ensure({used.begin(), used.end()}); !problem.empty())
    return fail(problem);
  if (interrupted != 0) return 130;

  if (!local::make_folders(dir.path, 0755)) return fail(concat("cannot make ", dir.path));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail("no more descriptors");
  const pid_t pid = ::fork();
  if (pid < 0) return fail("cannot fork");
  options.report = ends[1];
  if (pid == 0) become_supervisor(std::move(model), std::move(options));
  ::close(ends[1]);
  Progress progress(ends[0], flags.quiet);
  const Progress::End end = progress.follow(flags.wait);
  switch (end) {
    case Progress::End::Up: return 0;
    case Progress::End::Interrupted: {
      std::cerr << "interrupted: ending what was begun\n";
      const std::string left = local::tear_down(dir, 5s);
      if (!left.empty()) fail(left);
      return 130;
    }
    case Progress::End::TimedOut:
      for (const auto& [pod, why] : progress.waiting) std::cerr << "pod " << why << "\n";
      return fail(
          "not everything is ready yet; it goes on: see tulle local status, tulle local logs POD");
    case Progress::End::Failed: break;
  }
  if (!local::live_supervisor(dir)) {
    std::cerr << tail_of(dir.supervisor_log());
    local::tear_down(dir, 0s);
    return fail(progress.problem + "; nothing is left running");
  }
  return fail(progress.problem + "; see tulle local logs POD, end it all with tulle local down");
}

int local_down(const MeshFlags& mesh, std::chrono::seconds grace) {
  if (!local::is_mesh_name(mesh.name)) return fail(concat("--name ", mesh.name, " is not a name"));
  if (::geteuid() != 0) return fail("tulle local needs root: try sudo");
  const std::string left = local::tear_down(local::state_dir(mesh.state, mesh.name), grace);
  return left.empty() ? 0 : fail(left);
}

int local_status(const StatusFlags& flags) {
  const local::StateDir dir = local::state_dir(flags.mesh.state, flags.mesh.name);
  const auto status = local::read_status(dir);
  const bool up = local::live_supervisor(dir).has_value();
  if (!status || !up) {
    return fail(concat("mesh ", flags.mesh.name,
                       status ? " has crashed; clear it with tulle local down" : " is not up"));
  }
  if (flags.output == "json") {
    std::cout << status->dump(1, ' ', false, Json::error_handler_t::replace) << "\n";
    return 0;
  }
  Table table({"NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "MESHED", "IP"});
  table.right_from(99);
  bool ready = true;
  for (const Json& pod : status->value("pods", Json::array())) {
    unsigned good = 0;
    unsigned all = 0;
    unsigned restarts = 0;
    for (const Json& container : pod.value("containers", Json::array())) {
      restarts += container.value("restarts", 0U);
      if (container.value("kind", "") == "init") continue;
      ++all;
      good += container.value("ready", false) ? 1 : 0;
    }
    std::string phase = pod.value("phase", "");
    const std::string waiting = pod.value("waiting", "");
    if (!waiting.empty() && phase != "Succeeded") phase += concat(" (", waiting, ")");
    ready = ready && (pod.value("ready", false) || phase == "Succeeded");
    table.add({pod.value("namespace", ""), pod.value("name", ""),
               std::to_string(good) + "/" + std::to_string(all), phase, std::to_string(restarts),
               pod.value("meshed", false) ? "yes" : "no", pod.value("ip", "")});
  }
  std::cout << table.text();
  return ready ? 0 : 1;
}

namespace {

std::string find(const ContainerFlags& flags, local::Found& found) {
  const local::StateDir dir = local::state_dir(flags.mesh.state, flags.mesh.name);
  const auto status = local::read_status(dir);
  if (!status) return concat("mesh ", flags.mesh.name, " is not up");
  found = local::find_container(*status, flags.ns, flags.pod, flags.container);
  return found.problem;
}

}  // namespace

int local_exec(const ContainerFlags& flags, const std::vector<std::string>& argv) {
  if (::geteuid() != 0) return fail("tulle local needs root: try sudo");
  local::Found found;
  if (std::string problem = find(flags, found); !problem.empty()) return fail(problem);
  const local::ProcessName process = local::process_name(found.container);
  if (!process.alive())
    return fail(concat("container ", found.container.value("name", ""), " is not running"));
  local::Entry entry;
  entry.target = process.pid;
  entry.argv = argv;
  entry.privileges.user = found.container.value("user", 0U);
  entry.privileges.group = found.container.value("group", 0U);
  std::string environment;
  std::string proc = "/proc/";
  append_number(proc, process.pid);
  local::read_file(proc + "/environ", environment);
  for (const std::string_view setting : split(environment, '\0')) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string_view::npos) continue;
    entry.environment.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
  const pid_t pid = local::enter(entry);
  if (pid < 0) return fail("cannot fork");
  // The command has the terminal: Ctrl-C is for it.
  std::signal(SIGINT, SIG_IGN);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (code == 126) fail("the container cannot be entered, or the command cannot be run");
  return code;
}

int local_logs(const ContainerFlags& flags) {
  local::Found found;
  if (std::string problem = find(flags, found); !problem.empty()) return fail(problem);
  const local::StateDir dir = local::state_dir(flags.mesh.state, flags.mesh.name);
  const std::string key =
      concat(found.pod.value("namespace", ""), "_", found.pod.value("name", ""));
  std::string text;
  const std::string path = dir.log(key, found.container.value("name", ""));
  if (!local::read_file(path, text))
    return fail(concat("cannot read ", path, ": ", std::strerror(errno)));
  write_exact(std::cout, text);
  return 0;
}

int local_images(const std::vector<std::string>& names, const std::string& cache) {
  std::vector<const local::Image*> images;
  for (const std::string& name : names) {
    images.push_back(local::find_image(name.starts_with("local/") ? name : concat("local/", name)));
    if (images.back() == nullptr) return fail(concat("there is no image ", name));
  }
  local::ImageStore store(
      cache.empty() ? local::ImageStore::default_cache() : fs::absolute(cache).string(),
      [](const std::string& line) { std::cerr << line << "\n"; });
  if (std::string problem = store.ensure(images); !problem.empty()) return fail(problem);
  for (const local::Image* image : images) {
    std::cout << Json{{"name", image->name},       {"layers", store.layers(*image)},
                      {"command", image->command}, {"user", image->user},
                      {"group", image->group},     {"workingDir", image->working_dir}}
              << "\n";
  }
  return 0;
}

}  // namespace tulle::cli
