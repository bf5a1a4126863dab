// SPDX-License-Identifier: Apache-2.0
// One pod's life: its sandbox, its volumes, its init steps in order, its sidecars, its containers
// with probes and restarts. Lives on the supervisor's loop; everything is told through PodHost.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/log/log.h"
#include "lib/net/loop.h"
#include "lib/net/task.h"
#include "lib/tls/key.h"
#include "local/fabric.h"
#include "local/images.h"
#include "local/model.h"
#include "local/services.h"
#include "local/state.h"

namespace tulle::local {

// What pods share and whom they tell.
struct PodHost {
  net::Loop& loop;
  net::SocketFactory& sockets;  // of the fabric: probes
  Fabric& fabric;
  const Model& model;
  const StateDir& dir;
  const ImageStore& images;
  const tls::PrivateKey& token_key;
  std::string bin_dir;
  log::Logger log;
  net::Signal& changed;  // notified when anything in a pod's status changed
};

class Pod {
 public:
  enum class Phase { Pending, Running, Succeeded, Failed };

  Pod(PodHost& host, const PodInput& input, std::uint32_t index, std::vector<Bind> extra);

  // From nothing to the end of the pod; once. Destroying the task leaves the processes to stop().
  net::Task<void> run();
  // Asks everything to end, waits at most until `by`, then makes it.
  net::Task<void> stop(Deadline by);

  const PodInput& input() const noexcept { return input_; }
  Phase phase() const noexcept { return phase_; }
  bool ready() const;
  // Why it is not ready, for people.
  std::string waiting_for() const;
  PodView view() const;
  Json status() const;  // for status.json
  // The object as the control plane reads it, with addresses and conditions.
  Json object() const;

 private:
  struct Container {
    const ContainerSpec* spec = nullptr;
    bool init = false;
    enum class State { Waiting, Running, Ended } state = State::Waiting;
    std::string reason;
    ProcessName process;
    net::Fd pidfd;
    std::uint32_t user = 0;
    std::uint32_t group = 0;
    int exit_code = 0;
    unsigned restarts = 0;
    unsigned generation = 0;
    bool started = false;  // the startup probe, if any, has succeeded
    bool ready = false;
  };

  std::string set_up();
  std::string make_volumes();
  std::string write_tokens();
  std::string write_keyed(int folder, const KeyedFiles& files, bool secret);
  std::string write_fields(int folder, const FieldFiles& files);
  Launch prepare(Container& container);
  Privileges privileges_of(const ContainerSpec& spec) const;
  std::string key() const { return input_.object.meta.ns + "_" + input_.object.meta.name; }
  // Starts the container again and again, as its restart policy says; ends when it is over.
  net::Task<void> keep(Container& container);
  net::Task<void> probe_startup(Container& container);
  net::Task<void> probe_readiness(Container& container);
  net::Task<void> probe_liveness(Container& container);
  net::Task<bool> probe_once(Container& container, Probe probe);
  net::Task<void> rotate_tokens();
  net::Task<void> end_containers(bool sidecars, Deadline by);
  void tell();

  PodHost& host_;
  const PodInput& input_;
  const std::uint32_t index_;
  std::vector<Bind> extra_;
  std::unique_ptr<Sandbox> sandbox_;
  std::vector<std::unique_ptr<Container>> containers_;
  Phase phase_ = Phase::Pending;
  std::string problem_;
  bool stopping_ = false;
  Duration token_period_ = Duration::max();
  net::Signal changed_;
  net::TaskScope sidecars_;
  net::TaskScope apps_;
  net::TaskScope chores_;
};

}  // namespace tulle::local
