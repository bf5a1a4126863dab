// SPDX-License-Identifier: Apache-2.0
#include "local/state.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "lib/base/text.h"
#include "local/process.h"

namespace tulle::local {
namespace {

// Waits for a process to be gone, whoever's child it is.
bool wait_gone(const ProcessName& process, Duration at_most) {
  const net::Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!fd) return true;
  if (!process.alive()) return true;
  pollfd wait{fd.get(), POLLIN, 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at_most).count();
  return ::poll(&wait, 1, static_cast<int>(ms)) > 0;
}

void collect(const Json& json, std::vector<ProcessName>& into) {
  if (json.is_object() && json.contains("pid") && json.contains("start")) {
    into.push_back(process_name(json));
  }
  if (!json.is_structured()) return;
  for (const Json& part : json) collect(part, into);
}

}  // namespace

StateDir state_dir(const std::string& root, const std::string& name) {
  return {concat(root, "/", name)};
}

bool is_mesh_name(std::string_view name) {
  if (name.empty() || name.size() > 63 || name.front() == '-') return false;
  for (const char c : name) {
    if (!ascii_digit(c) && !(c >= 'a' && c <= 'z') && c != '-') return false;
  }
  return true;
}

bool ProcessName::alive() const { return pid > 0 && start != 0 && start_time(pid) == start; }

ProcessName process_name(const Json& json) {
  ProcessName out;
  if (!json.is_object()) return out;
  const auto pid = json.find("pid");
  const auto start = json.find("start");
  if (pid != json.end() && pid->is_number_integer()) out.pid = pid->get<pid_t>();
  if (start != json.end() && start->is_number_integer()) out.start = start->get<std::uint64_t>();
  return out;
}

Json to_json(const ProcessName& process) {
  return {{"pid", process.pid}, {"start", process.start}};
}

std::optional<Json> read_status(const StateDir& dir) {
  std::string text;
  if (!read_file(dir.status(), text)) return std::nullopt;
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return std::nullopt;
  return json;
}

std::optional<ProcessName> live_supervisor(const StateDir& dir) {
  std::string text;
  if (!read_file(dir.supervisor(), text)) return std::nullopt;
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  const ProcessName process = process_name(json);
  return process.alive() ? std::optional(process) : std::nullopt;
}

std::string tear_down(const StateDir& dir, Duration grace) {
  struct stat info {};
  if (::lstat(dir.path.c_str(), &info) != 0) return "";
  const auto supervisor = live_supervisor(dir);
  if (supervisor) {
    ::kill(supervisor->pid, SIGTERM);
    if (!wait_gone(*supervisor, grace + 3s)) {
      ::kill(supervisor->pid, SIGKILL);
      wait_gone(*supervisor, 5s);
    }
  }
  // With the supervisor gone its pods end by themselves; whatever has not yet is helped along.
  std::vector<ProcessName> processes;
  if (const auto status = read_status(dir)) collect(*status, processes);
  for (const ProcessName& process : processes) {
    if (process.alive()) ::kill(process.pid, SIGKILL);
  }
  std::string left;
  for (const ProcessName& process : processes) {
    if (wait_gone(process, 5s)) continue;
    left += " process ";
    append_number(left, process.pid);
  }
  if (!remove_tree(dir.path)) left += concat(" folder ", dir.path);
  return left.empty() ? "" : concat("could not be removed:", left);
}

Found find_container(const Json& status, const std::string& ns, const std::string& pod,
                     const std::string& container) {
  Found found;
  const std::size_t slash = pod.find('/');
  const std::string space = slash == std::string::npos ? ns : pod.substr(0, slash);
  const std::string name = slash == std::string::npos ? pod : pod.substr(slash + 1);
  for (const Json& candidate : status.value("pods", Json::array())) {
    if (candidate.value("name", "") != name) continue;
    if (!space.empty() && candidate.value("namespace", "") != space) continue;
    if (!found.pod.is_null()) {
      found.problem = concat("several pods are named ", name, ": say NAMESPACE/", name);
      return found;
    }
    found.pod = candidate;
  }
  if (found.pod.is_null()) {
    found.problem = concat("there is no pod ", pod);
    return found;
  }
  for (const Json& candidate : found.pod.value("containers", Json::array())) {
    const std::string own = candidate.value("name", "");
    const bool plain = candidate.value("kind", "") == "container" && own != "linkerd-proxy";
    if (container.empty() ? plain : own == container) {
      found.container = candidate;
      return found;
    }
  }
  found.problem = concat("pod ", name, " has no container ", container);
  return found;
}

}  // namespace tulle::local
