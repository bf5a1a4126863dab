// SPDX-License-Identifier: Apache-2.0
// What a running mesh leaves for other commands to find: one folder for each mesh, with its status
// as JSON, logs, and what the control plane reads. Also how to end a mesh whose supervisor may be
// alive, stuck or gone.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "lib/base/time.h"
#include "local/model.h"

namespace tulle::local {

struct StateDir {
  std::string path;  // /run/tulle/local/NAME
  std::string status() const { return path + "/status.json"; }
  std::string supervisor() const { return path + "/supervisor.json"; }
  std::string supervisor_log() const { return path + "/supervisor.log"; }
  std::string manifests() const { return path + "/manifests"; }
  std::string issuer() const { return path + "/issuer"; }
  std::string token_key() const { return path + "/token.pub"; }
  std::string scratch(const std::string& pod) const { return path + "/scratch/" + pod; }
  std::string log(const std::string& pod, const std::string& container) const {
    return path + "/logs/" + pod + "/" + container + ".log";
  }
};

StateDir state_dir(const std::string& root, const std::string& name);
inline constexpr const char* kDefaultStateRoot = "/run/tulle/local";
bool is_mesh_name(std::string_view name);

// A process by pid and start time, as the status has it.
struct ProcessName {
  pid_t pid = -1;
  std::uint64_t start = 0;
  bool alive() const;
};
ProcessName process_name(const Json& json);
Json to_json(const ProcessName& process);

// The last status written; nullopt if there is none.
std::optional<Json> read_status(const StateDir& dir);
// The supervisor, if it is alive.
std::optional<ProcessName> live_supervisor(const StateDir& dir);

// Ends everything of a mesh and removes its folder; a mesh that is not there is a success. The
// supervisor gets `grace` to end its pods in order. Returns what is left over, or "".
std::string tear_down(const StateDir& dir, Duration grace);

// A container as commands name it: POD or NS/POD, and its name or, if "", the first one that is
// neither a proxy nor an init container. Fails with a sentence for the user.
struct Found {
  Json pod;
  Json container;
  std::string problem;
};
Found find_container(const Json& status, const std::string& ns, const std::string& pod,
                     const std::string& container);

}  // namespace tulle::local
