// SPDX-License-Identifier: Apache-2.0
// The commands behind `tulle …`, each as a function of its flags. They print, and return the exit
// status: 0 done, 1 not done (the reason is on standard error).
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cli/cluster.h"

namespace tulle::cli {

// Which mesh on this machine.
struct MeshFlags {
  std::string name = "default";
  std::string state = "/run/tulle/local";
};

struct UpFlags {
  MeshFlags mesh;
  std::vector<std::string> files;  // files, folders, "-"
  std::string bin_dir;             // "": where this program is
  std::string cache;               // "": the user's
  std::chrono::seconds wait{120};  // for everything to be ready
  std::string issuance_lifetime;   // of leaf certificates; "": the control plane's default
  std::string clock_skew;          // that leaf certificates allow for; "": the same
  bool quiet = false;
};
int local_up(const UpFlags& flags);
int local_down(const MeshFlags& mesh, std::chrono::seconds grace);

struct StatusFlags {
  MeshFlags mesh;
  std::string output = "table";  // or json
};
int local_status(const StatusFlags& flags);

struct ContainerFlags {
  MeshFlags mesh;
  std::string ns;
  std::string pod;
  std::string container;
};
int local_exec(const ContainerFlags& flags, const std::vector<std::string>& argv);
int local_logs(const ContainerFlags& flags);

// Makes the images named (`nginx` or `local/nginx`) and prints a JSON line for each: name, layers
// (folders, topmost first), command, user, group, workingDir.
int local_images(const std::vector<std::string>& names, const std::string& cache);

struct StatFlags {
  MeshFlags mesh;
  bool local = false;  // --name or --state-dir was given: never a cluster
  bool ns_given = false;
  ClusterFlags cluster;
  std::string selector;  // labels of pods, in a cluster
  std::string resource = "pod";
  std::string name;  // of one resource
  std::string ns = "default";
  bool all_namespaces = false;
  bool unmeshed = false;
  std::string window = "10s";
  std::string output = "table";  // wide, json
};
int stat(StatFlags flags);
int edges_of(StatFlags flags);

// "1m30s", "15s", "500ms"; below zero if it is not a duration.
std::chrono::nanoseconds parse_window(const std::string& text);

}  // namespace tulle::cli
