// SPDX-License-Identifier: Apache-2.0
// Pods as namespaces and containers as processes in them. A sandbox is held together by one
// process, the first of its pid namespace: when it ends, the kernel ends every process of the pod
// and takes away its network, its mounts and their contents. It ends by itself when its maker is
// gone, so even a kill -9 of the maker leaves nothing behind. Nothing here shows in the machine's
// own mount table or list of network namespaces.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/net/socket.h"

namespace tulle::local {

class Sandbox {
 public:
  struct Options {
    std::string hostname;
    std::string scratch;  // an empty folder: in the pod a tmpfs is mounted on it
  };
  // The namespaces and their first process. The caller must be single-threaded.
  static Result<std::unique_ptr<Sandbox>> create(const Options& options);
  ~Sandbox();  // ends the pod
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  int netns() const noexcept { return netns_.get(); }
  int pidns() const noexcept { return pidns_.get(); }
  // Where the machine's files and the pod's scratch folder are, to make containers from. No process
  // of the pod is in it, so that none has the machine's files at its root.
  int mounts() const noexcept { return mounts_.get(); }
  // A path into the pod's scratch folder, as this process reaches it.
  std::string inside(const std::string& path) const;
  const std::string& scratch() const noexcept { return scratch_; }

 private:
  Sandbox() = default;
  pid_t pid_ = -1;
  net::Fd pidfd_;
  net::Fd netns_;
  net::Fd pidns_;
  net::Fd mounts_;
  net::Fd inside_;
  net::Fd control_;
  std::string scratch_;
};

struct Bind {
  std::string source;  // a path of the machine or in the pod's scratch folder, of our own making
  std::string below;   // a path below the source that a manifest names; "" means the source itself
  std::string target;  // in the container
  bool read_only = false;
};

struct Privileges {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::vector<std::uint32_t> groups;
  std::vector<std::string> add;   // capabilities, with or without "CAP_", in any case
  std::vector<std::string> drop;  // likewise; "ALL"
  bool may_gain = false;          // allowPrivilegeEscalation: true
};

struct Launch {
  std::string name;  // unique in the pod, and for each start
  std::vector<std::string> layers;
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string working_dir = "/";
  std::vector<Bind> binds;
  std::vector<std::pair<std::string, std::string>> files;  // path → text, e.g. /etc/hosts
  Privileges privileges;
  bool read_only_root = false;
  int log = -1;  // standard output and error
};

struct Started {
  pid_t pid = -1;
  net::Fd pidfd;
  std::string problem;  // why it could not be started; "" if it was
};
// Starts a process in the pod: a child of the caller, which sees its end through the pidfd.
Started launch(const Sandbox& sandbox, const Launch& what);

struct Entry {
  pid_t target = -1;  // a process of the container
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;
  Privileges privileges;
  std::string working_dir = "/";
  bool quiet = false;  // no input, no output
};
// Runs a command in the container of a process that runs already, a child of the caller. Its exit
// status is the command's; 126 if the container could not be entered, 127 if it has no such
// command.
pid_t enter(const Entry& entry);

// Capability names are known to the kernel by number; -1 if unknown. With or without "CAP_", in
// any case.
int capability_number(std::string_view name);
bool means_all_capabilities(std::string_view name);
// Whether a pod may be given it. Not those with which a process leaves its pod, or changes the
// machine for others: a pod's user is the machine's own, only its namespaces are apart.
bool is_grantable(int capability);

}  // namespace tulle::local
