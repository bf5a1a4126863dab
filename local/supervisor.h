// SPDX-License-Identifier: Apache-2.0
// The one process behind a mesh on one machine: makes the fabric and the pods, starts the control
// plane first, restarts what ends, answers DNS, and keeps the status, the control plane's manifests
// and the translation of cluster addresses as the pods are. Single-threaded. When it ends, however
// it ends, its pods end with it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/log/log.h"
#include "lib/net/loop.h"
#include "lib/net/task.h"
#include "local/dns_server.h"
#include "local/pod.h"

namespace tulle::local {

struct SupervisorOptions {
  std::string name = "default";
  StateDir dir;
  std::string bin_dir;
  std::string cache;
  std::string control_namespace = "linkerd";
  bool control_plane = true;
  Duration grace = 5s;  // for pods to end
  // What whoever started it hears: lines "ready NS/NAME", "failed NS/NAME: why", "up", "error:
  // why".
  int report = -1;
};

class Supervisor {
 public:
  Supervisor(net::Loop& loop, const log::Logger& log, Model model, SupervisorOptions options);
  ~Supervisor();
  // What must work before pods can run; a text says what does not.
  std::string prepare();
  // Until a SIGTERM comes through `signals` (a signalfd) and everything has ended.
  net::Task<void> run(int signals);

 private:
  net::Task<void> bring_up();
  net::Task<void> follow_changes();
  void publish();
  void publish_manifests(const std::vector<PodView>& views);
  void publish_status();
  void report_pods();
  void report(const std::string& line);
  std::vector<PodView> views() const;
  void write_if_new(const std::string& path, const std::string& text);
  bool is_control(const PodInput& pod) const;
  std::string read_trust_roots();

  net::Loop& loop_;
  log::Logger log_;
  Model model_;
  SupervisorOptions options_;
  tls::PrivateKey token_key_ = tls::PrivateKey::generate();
  ImageStore images_;
  Fabric fabric_;
  std::unique_ptr<net::NamespaceSockets> sockets_;
  Zone zone_;
  net::Signal changed_;
  bool dirty_ = false;
  std::unique_ptr<PodHost> host_;
  std::vector<std::unique_ptr<Pod>> pods_;
  std::vector<std::string> told_;  // of each pod, what was reported last
  bool told_up_ = false;
  std::map<std::string, std::string> written_;
  std::string rules_;
  std::unique_ptr<DnsServer> dns_;
  net::TaskScope tasks_;
};

// Runs it: sets signals up, loops, cleans up. The exit status of the process.
int supervise(Model model, SupervisorOptions options);

}  // namespace tulle::local
