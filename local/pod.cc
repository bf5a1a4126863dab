// SPDX-License-Identifier: Apache-2.0
#include "local/pod.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>

#include "lib/base/text.h"
#include "lib/tls/jwt.h"
#include "local/below.h"
#include "local/child.h"
#include "local/expand.h"
#include "local/probe.h"
#include "local/process.h"

namespace tulle::local {
namespace {

constexpr Duration kFirstBackoff = 1s;
constexpr Duration kMaxBackoff = 300s;
constexpr Duration kForgiveAfter = 600s;  // a container that ran so long starts afresh
constexpr Duration kProbeFast = 250ms;    // until the first success
constexpr std::string_view kProgramFolder = "/usr/lib/linkerd/";
// Our programs, and the names of Linkerd's that they stand in for.
constexpr std::pair<std::string_view, std::string_view> kPrograms[] = {
    {"tulle-proxy", "tulle-proxy"},
    {"linkerd2-proxy", "tulle-proxy"},
    {"linkerd2-proxy-identity", "tulle-proxy"},
    {"tulle-node", "tulle-node"},
    {"linkerd2-proxy-init", "tulle-node"},
    {"linkerd-await", "tulle-node"},
    {"tulle-control", "tulle-control"}};

std::string_view phase_name(Pod::Phase phase) {
  switch (phase) {
    case Pod::Phase::Pending: return "Pending";
    case Pod::Phase::Running: return "Running";
    case Pod::Phase::Succeeded: return "Succeeded";
    case Pod::Phase::Failed: return "Failed";
  }
  TULLE_UNREACHABLE();
}

std::string counted(std::string_view name, unsigned n) {
  std::string out = concat(name, "-");
  append_number(out, n);
  return out;
}

}  // namespace

Pod::Pod(PodHost& host, const PodInput& input, std::uint32_t index, std::vector<Bind> extra)
    : host_(host), input_(input), index_(index), extra_(std::move(extra)), changed_(host.loop) {
  for (const bool init : {true, false}) {
    const PodSpec& spec = input.object.spec;
    for (const ContainerSpec& container : init ? spec.init_containers : spec.containers) {
      auto& added = containers_.emplace_back(std::make_unique<Container>());
      added->spec = &container;
      added->init = init;
    }
  }
}

void Pod::tell() {
  changed_.notify_all();
  host_.changed.notify_all();
}

bool Pod::ready() const {
  if (phase_ != Phase::Running || stopping_) return false;
  return std::all_of(containers_.begin(), containers_.end(), [](const auto& container) {
    return (container->init && !is_sidecar(*container->spec)) || container->ready;
  });
}

std::string Pod::waiting_for() const {
  if (!problem_.empty()) return problem_;
  for (const auto& container : containers_) {
    if (container->init && !is_sidecar(*container->spec)) {
      if (container->state == Container::State::Ended && container->exit_code == 0) continue;
    } else if (container->ready) {
      continue;
    }
    std::string out = concat("container ", container->spec->name, " ");
    if (!container->reason.empty()) return concat(out, container->reason);
    switch (container->state) {
      case Container::State::Waiting: return out + "has not begun";
      case Container::State::Running:
        return out + (container->init && !is_sidecar(*container->spec) ? "is still running"
                                                                       : "is not ready");
      case Container::State::Ended: return out + "has ended";
    }
  }
  return "";
}

PodView Pod::view() const {
  PodView view;
  const k8s::ObjectMeta& meta = input_.object.meta;
  view.ns = meta.ns;
  view.name = meta.name;
  view.hostname = input_.object.spec.hostname;
  view.subdomain = input_.object.spec.subdomain;
  view.labels = meta.labels;
  for (const auto& container : containers_) {
    const auto& ports = container->spec->ports;
    view.ports.insert(view.ports.end(), ports.begin(), ports.end());
  }
  view.ip4 = input_.ip4;
  view.ip6 = input_.ip6;
  view.running = sandbox_ != nullptr && (phase_ == Phase::Pending || phase_ == Phase::Running);
  view.ready = ready();
  return view;
}

Json Pod::status() const {
  Json out;
  const k8s::ObjectMeta& meta = input_.object.meta;
  out["namespace"] = meta.ns;
  out["name"] = meta.name;
  out["uid"] = meta.uid;
  out["serviceAccount"] = input_.object.spec.service_account;
  out["phase"] = phase_name(phase_);
  out["ready"] = ready();
  out["ip"] = input_.ip4.to_string();
  out["ips"] = {input_.ip4.to_string(), input_.ip6.to_string()};
  out["waiting"] = ready() ? "" : waiting_for();
  if (sandbox_) out["sandbox"] = to_json({sandbox_->pid(), start_time(sandbox_->pid())});
  bool meshed = false;
  out["containers"] = Json::array();
  for (const auto& container : containers_) {
    Json& added = out["containers"].emplace_back();
    const ContainerSpec& spec = *container->spec;
    meshed = meshed || spec.name == "linkerd-proxy";
    added["name"] = spec.name;
    added["image"] = spec.image;
    added["kind"] = !container->init ? "container" : is_sidecar(spec) ? "sidecar" : "init";
    added["ready"] = container->ready;
    added["restarts"] = container->restarts;
    added["reason"] = container->reason;
    added["user"] = container->user;
    added["group"] = container->group;
    switch (container->state) {
      case Container::State::Waiting: added["state"] = "waiting"; break;
      case Container::State::Running:
        added["state"] = "running";
        added["pid"] = container->process.pid;
        added["start"] = container->process.start;
        break;
      case Container::State::Ended:
        added["state"] = "ended";
        added["exitCode"] = container->exit_code;
        break;
    }
  }
  out["meshed"] = meshed && meta.labels.contains("linkerd.io/control-plane-ns");
  return out;
}

Json Pod::object() const {
  Json out = input_.raw;
  out["metadata"]["uid"] = input_.object.meta.uid;
  out["spec"]["serviceAccountName"] = input_.object.spec.service_account;
  out["spec"]["nodeName"] = "local";
  Json& status = out["status"];
  status = Json::object();
  status["phase"] = phase_name(phase_);
  status["hostIP"] = kGateway;
  status["podIP"] = input_.ip4.to_string();
  status["podIPs"] = {{{"ip", input_.ip4.to_string()}}, {{"ip", input_.ip6.to_string()}}};
  status["conditions"] = {
      {{"type", "Initialized"}, {"status", phase_ == Phase::Running ? "True" : "False"}},
      {{"type", "Ready"}, {"status", ready() ? "True" : "False"}}};
  return out;
}

std::string Pod::set_up() {
  const std::string scratch = host_.dir.scratch(key());
  if (!make_folders(scratch, 0700)) return concat("cannot make ", scratch);
  const std::string logs = host_.dir.log(key(), "");
  if (!make_folders(logs.substr(0, logs.rfind('/')), 0700)) return concat("cannot make ", logs);
  Sandbox::Options options;
  options.hostname =
      input_.object.spec.hostname.empty() ? input_.object.meta.name : input_.object.spec.hostname;
  options.scratch = scratch;
  auto sandbox = Sandbox::create(options);
  if (!sandbox) {
    return concat("cannot make namespaces: ", sandbox.error().where, ": ",
                  std::strerror(sandbox.error().os_errno));
  }
  sandbox_ = *std::move(sandbox);
  std::string problem = host_.fabric.connect(*sandbox_, index_, input_.ip4, input_.ip6);
  return problem.empty() ? make_volumes() : problem;
}

std::string Pod::write_keyed(int folder, const KeyedFiles& files, bool secret) {
  const std::string& name = files.name.empty() ? files.secret_name : files.name;
  const auto& from = secret ? host_.model.secrets : host_.model.config_maps;
  const auto found = from.find({input_.object.meta.ns, name});
  if (found == from.end()) return files.optional ? "" : concat("there is no ", name);
  for (const auto& [key, text] : found->second) {
    std::string path = key;
    if (!files.items.empty()) {
      const auto item = std::find_if(files.items.begin(), files.items.end(),
                                     [&, name = key](const auto& i) { return i.key == name; });
      if (item == files.items.end()) continue;
      path = item->path;
    }
    if (!write_below(folder, path, text)) return concat("cannot write ", path);
  }
  return "";
}

std::string Pod::write_fields(int folder, const FieldFiles& files) {
  for (const FieldFile& item : files.items) {
    if (!write_below(folder, item.path, field_value(input_, item.field->path)))
      return concat("cannot write ", item.path);
  }
  return "";
}

std::string Pod::make_volumes() {
  const SecurityContext& security = input_.object.spec.security;
  for (const Volume& volume : input_.object.spec.volumes) {
    const std::string path = sandbox_->inside("volumes/" + volume.name);
    if (!make_folders(path)) return concat("cannot make volume ", volume.name);
    const net::Fd handle = open_folder(path);
    if (!handle) return concat("cannot open volume ", volume.name);
    const int folder = handle.get();
    std::string problem;
    if (volume.empty_dir) {
      const auto group = static_cast<gid_t>(security.fs_group.value_or(0));
      if (::chown(path.c_str(), 0, group) != 0 ||
          ::chmod(path.c_str(), security.fs_group ? 02777 : 0777) != 0)
        problem = "cannot set its owner";
    }
    if (volume.config_map) problem = write_keyed(folder, *volume.config_map, false);
    if (volume.secret) problem = write_keyed(folder, *volume.secret, true);
    if (volume.fields) problem = write_fields(folder, *volume.fields);
    if (volume.projected) {
      for (const ProjectedPart& part : volume.projected->sources) {
        if (problem.empty() && part.config_map)
          problem = write_keyed(folder, *part.config_map, false);
        if (problem.empty() && part.secret) problem = write_keyed(folder, *part.secret, true);
        if (problem.empty() && part.fields) problem = write_fields(folder, *part.fields);
      }
    }
    if (!problem.empty()) return concat("volume ", volume.name, ": ", problem);
  }
  return write_tokens();
}

// A token is readable for the one user who mounts it, or for all if there are several.
std::string Pod::write_tokens() {
  const k8s::ObjectMeta& meta = input_.object.meta;
  const std::string& account = input_.object.spec.service_account;
  for (const Volume& volume : input_.object.spec.volumes) {
    if (!volume.projected) continue;
    std::set<std::uint32_t> users;
    for (const auto& container : containers_) {
      const auto& mounts = container->spec->mounts;
      const bool has = std::any_of(mounts.begin(), mounts.end(),
                                   [&](const auto& m) { return m.name == volume.name; });
      if (has) users.insert(privileges_of(*container->spec).user);
    }
    for (const ProjectedPart& part : volume.projected->sources) {
      if (!part.token) continue;
      const auto lifetime = std::chrono::seconds(part.token->expiration);
      const WallTime now = wall_now();
      tls::Token token;
      token.subject = concat("system:serviceaccount:", meta.ns, ":", account);
      token.audience = {part.token->audience.empty() ? "tulle.local" : part.token->audience};
      token.not_before = now;
      token.expires = now + lifetime;
      token.claims = {{"namespace", meta.ns},
                      {"serviceaccount", account},
                      {"pod", meta.name},
                      {"pod_uid", meta.uid}};
      const net::Fd folder = open_folder(sandbox_->inside(concat("volumes/", volume.name)));
      const bool single = users.size() == 1;
      if (!folder ||
          !write_below(folder.get(), part.token->path, tls::sign_token(token, host_.token_key),
                       single ? 0400 : 0444, single ? std::int64_t{*users.begin()} : -1))
        return concat("cannot write the token of volume ", volume.name);
      token_period_ = std::min<Duration>(token_period_, lifetime * 4 / 5);
    }
  }
  return "";
}

net::Task<void> Pod::rotate_tokens() {
  while (token_period_ != Duration::max()) {
    co_await net::sleep_for(host_.loop, token_period_);
    const std::string problem = write_tokens();
    if (!problem.empty()) host_.log.warn("a token is not renewed", {{"reason", problem}});
  }
}

Privileges Pod::privileges_of(const ContainerSpec& spec) const {
  const SecurityContext& pod = input_.object.spec.security;
  const Image* const image = find_image(spec.image);
  Privileges out;
  out.user = static_cast<std::uint32_t>(
      spec.security.user.value_or(pod.user.value_or(image == nullptr ? 0 : image->user)));
  out.group = static_cast<std::uint32_t>(spec.security.group.value_or(
      pod.group.value_or(image != nullptr && out.user == image->user ? image->group : 0)));
  if (pod.fs_group) out.groups.push_back(static_cast<std::uint32_t>(*pod.fs_group));
  out.add = spec.security.capabilities.add;
  out.drop = spec.security.capabilities.drop;
  out.may_gain = spec.security.allow_escalation.value_or(false);
  return out;
}

Launch Pod::prepare(Container& container) {
  const ContainerSpec& spec = *container.spec;
  const Image& image = *find_image(spec.image);
  const k8s::ObjectMeta& meta = input_.object.meta;
  Launch out;
  out.name = counted(spec.name, container.generation++);
  out.layers = host_.images.layers(image);
  const Environment environment = environment_of(input_, spec, host_.model);
  out.argv = command_of(spec, image.command, environment).argv;
  out.environment = environment;
  out.working_dir = spec.working_dir.empty() ? image.working_dir : spec.working_dir;
  out.privileges = privileges_of(spec);
  out.read_only_root = spec.security.read_only_root;
  container.user = out.privileges.user;
  container.group = out.privileges.group;

  const PodSpec& pod = input_.object.spec;
  const std::string hostname = pod.hostname.empty() ? meta.name : pod.hostname;
  const std::string suffix = concat(meta.ns, ".svc.cluster.local");
  std::string names = hostname;
  if (!pod.subdomain.empty()) {
    names = concat(hostname, ".", pod.subdomain, ".", suffix, " ", hostname);
  }
  out.files = {{"/etc/hostname", hostname + "\n"},
               {"/etc/hosts",
                concat("127.0.0.1 localhost\n::1 localhost ip6-localhost\n", input_.ip4.to_string(),
                       " ", names, "\n", input_.ip6.to_string(), " ", names, "\n")},
               {"/etc/resolv.conf", concat("nameserver ", kDnsAddress, "\nsearch ", suffix,
                                           " svc.cluster.local cluster.local\noptions ndots:5\n")}};
  if (image.programs) {
    for (const auto& [name, program] : kPrograms) {
      const std::string source = concat(host_.bin_dir, "/", program);
      if (::access(source.c_str(), X_OK) != 0) continue;
      out.binds.push_back({source, "", concat(kProgramFolder, name), true});
    }
  }
  for (const VolumeMount& mount : spec.mounts) {
    // Seen from within the pod, where the scratch folder is a tmpfs.
    const std::string source = concat(sandbox_->scratch(), "/volumes/", mount.name);
    const std::string below =
        mount.sub_path.empty() ? "" : std::string(expand(mount.sub_path, environment));
    const auto volume = std::find_if(pod.volumes.begin(), pod.volumes.end(),
                                     [&](const Volume& v) { return v.name == mount.name; });
    const bool written_by_us = volume != pod.volumes.end() && !volume->empty_dir;
    out.binds.push_back({source, below, mount.path, mount.read_only || written_by_us});
  }
  out.binds.insert(out.binds.end(), extra_.begin(), extra_.end());
  return out;
}

net::Task<void> Pod::keep(Container& container) {
  const ContainerSpec& spec = *container.spec;
  const bool plain_init = container.init && !is_sidecar(spec);
  const std::string& policy = input_.object.spec.restart_policy;
  const std::string name =
      concat(input_.object.meta.ns, "/", input_.object.meta.name, "/", spec.name);
  Duration backoff{0};
  for (;;) {
    Launch what = prepare(container);
    const net::Fd log(::open(host_.dir.log(key(), spec.name).c_str(),
                             O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
    // Programs open /dev/stdout again under their own user; the folder above is closed to others.
    if (log) ::fchmod(log.get(), 0666);
    what.log = log.get();
    Started started = launch(*sandbox_, what);
    const TimePoint began = host_.loop.now();
    if (started.problem.empty()) {
      container.process = {started.pid, start_time(started.pid)};
      container.pidfd = std::move(started.pidfd);
      container.state = Container::State::Running;
      container.reason.clear();
      container.started = !spec.startup;
      container.ready = container.started && !spec.readiness;
      tell();
      net::TaskScope probes;
      if (spec.startup) probes.spawn(probe_startup(container));
      if (spec.readiness) probes.spawn(probe_readiness(container));
      if (spec.liveness) probes.spawn(probe_liveness(container));
      const auto status = co_await wait_for_child(host_.loop, container.process.pid,
                                                  container.pidfd.get(), Deadline::never());
      container.exit_code = status.value_or(255);
      container.reason.clear();
    } else {
      container.exit_code = 128;
      container.reason = concat("cannot start: ", started.problem);
      host_.log.error("a container cannot be started",
                      {{"container", name}, {"reason", started.problem}});
    }
    container.state = Container::State::Ended;
    container.process = {};
    container.ready = container.started = false;
    const bool failed = container.exit_code != 0;
    const bool again = is_sidecar(spec) || (plain_init && failed && policy != "Never") ||
                       (!container.init && (policy.empty() || policy == "Always" ||
                                            (policy == "OnFailure" && failed)));
    if (stopping_ || !again) {
      tell();
      co_return;
    }
    if (host_.loop.now() - began > kForgiveAfter) backoff = Duration{0};
    if (container.reason.empty()) {
      container.reason = "ended with status ";
      append_number(container.reason, container.exit_code);
      container.reason += " and will be started again";
    }
    host_.log.warn("a container has ended",
                   {{"container", name}, {"status", container.exit_code}, {"restart_in", backoff}});
    tell();
    co_await net::sleep_for(host_.loop, backoff);
    if (stopping_) co_return;
    backoff = backoff == Duration{0} ? kFirstBackoff : std::min(backoff * 2, kMaxBackoff);
    ++container.restarts;
  }
}

net::Task<bool> Pod::probe_once(Container& container, Probe probe) {
  ProbeTarget target;
  target.ip = input_.ip4;
  target.ports = container.spec->ports;
  if (probe.exec) {
    target.entry.target = container.process.pid;
    target.entry.environment = environment_of(input_, *container.spec, host_.model);
    target.entry.privileges = privileges_of(*container.spec);
  }
  const bool ok = co_await attempt(host_.loop, host_.sockets, std::move(probe), std::move(target));
  co_return ok;
}

net::Task<void> Pod::probe_startup(Container& container) {
  const Probe probe = *container.spec->startup;
  co_await net::sleep_for(host_.loop, std::chrono::seconds(probe.initial_delay));
  // As patient as the thresholds say, but quicker to notice.
  const TimePoint until =
      host_.loop.now() + std::chrono::seconds(probe.period) * probe.failure_threshold;
  const Duration pause = std::min<Duration>(kProbeFast, std::chrono::seconds(probe.period));
  for (;;) {
    const bool ok = co_await probe_once(container, probe);
    if (ok) break;
    if (host_.loop.now() >= until) {
      container.reason = "did not start in time";
      ::kill(container.process.pid, SIGKILL);
      co_return;
    }
    co_await net::sleep_for(host_.loop, pause);
  }
  container.started = true;
  container.ready = !container.spec->readiness;
  tell();
}

net::Task<void> Pod::probe_readiness(Container& container) {
  const Probe probe = *container.spec->readiness;
  while (!container.started) co_await changed_.wait();
  co_await net::sleep_for(host_.loop, std::chrono::seconds(probe.initial_delay));
  int good = 0;
  int bad = 0;
  for (;;) {
    const bool ok = co_await probe_once(container, probe);
    good = ok ? good + 1 : 0;
    bad = ok ? 0 : bad + 1;
    const bool was = container.ready;
    if (good >= probe.success_threshold) container.ready = true;
    if (bad >= probe.failure_threshold) container.ready = false;
    if (was != container.ready) tell();
    const Duration pause = std::chrono::seconds(probe.period);
    co_await net::sleep_for(host_.loop, container.ready ? pause : std::min(pause, kProbeFast));
  }
}

net::Task<void> Pod::probe_liveness(Container& container) {
  const Probe probe = *container.spec->liveness;
  while (!container.started) co_await changed_.wait();
  co_await net::sleep_for(host_.loop, std::chrono::seconds(probe.initial_delay));
  for (int bad = 0;;) {
    const bool ok = co_await probe_once(container, probe);
    bad = ok ? 0 : bad + 1;
    if (bad >= probe.failure_threshold) {
      host_.log.warn("a container does not answer its liveness probe",
                     {{"pod", input_.object.meta.name}, {"container", container.spec->name}});
      ::kill(container.process.pid, SIGTERM);
      co_await net::sleep_for(host_.loop, 5s);
      ::kill(container.process.pid, SIGKILL);
      co_return;
    }
    co_await net::sleep_for(host_.loop, std::chrono::seconds(probe.period));
  }
}

net::Task<void> Pod::run() {
  problem_ = set_up();
  if (!problem_.empty()) {
    host_.log.error("a pod cannot be set up",
                    {{"pod", input_.object.meta.name}, {"reason", problem_}});
    phase_ = Phase::Failed;
    tell();
    co_return;
  }
  chores_.spawn(rotate_tokens());
  for (const auto& container : containers_) {
    if (!container->init) continue;
    if (is_sidecar(*container->spec)) {
      sidecars_.spawn(keep(*container));
      // Those after it, init steps included, rely on it: a proxy must let them out.
      const bool by_readiness = !container->spec->startup && container->spec->readiness;
      while (!(by_readiness ? container->ready : container->started) && !stopping_) {
        co_await changed_.wait();
      }
    } else {
      co_await keep(*container);
      if (container->exit_code != 0) {
        problem_ = concat("init container ", container->spec->name, " failed with status ");
        append_number(problem_, container->exit_code);
        phase_ = Phase::Failed;
        tell();
        co_return;
      }
    }
    if (stopping_) co_return;
  }
  phase_ = Phase::Running;
  for (const auto& container : containers_) {
    if (!container->init) apps_.spawn(keep(*container));
  }
  tell();
  co_await apps_.join();
  if (stopping_) co_return;
  const bool failed = std::any_of(containers_.begin(), containers_.end(),
                                  [](const auto& c) { return !c->init && c->exit_code != 0; });
  // The sidecars have nobody left to serve.
  co_await stop(host_.loop.after(std::chrono::seconds(input_.object.spec.grace_period)));
  phase_ = failed ? Phase::Failed : Phase::Succeeded;
  tell();
}

net::Task<void> Pod::end_containers(bool sidecars, Deadline by) {
  const auto ours = [&](const Container& c) {
    return c.state == Container::State::Running && is_sidecar(*c.spec) == sidecars;
  };
  for (const auto& container : containers_) {
    if (ours(*container)) ::kill(container->process.pid, SIGTERM);
  }
  for (const auto& container : containers_) {
    while (ours(*container)) {
      const bool in_time = co_await changed_.wait(by);
      if (!in_time) co_return;
    }
  }
}

net::Task<void> Pod::stop(Deadline by) {
  stopping_ = true;
  tell();
  if (sandbox_) {
    // Proxies last, so that what containers still have to say gets out.
    co_await end_containers(false, by);
    co_await end_containers(true, by);
  }
  chores_.cancel();
  if (!sandbox_) co_return;
  // The pod's first process is not gone before all others are, and those are reaped by the tasks
  // that wait for them: so this must not block.
  const pid_t first = sandbox_->pid();
  ::kill(first, SIGKILL);
  for (const auto& container : containers_) {
    while (container->state == Container::State::Running) co_await changed_.wait();
  }
  if (!sandbox_) co_return;
  co_await wait_for_child(host_.loop, first, sandbox_->pidfd(), Deadline::never());
  sandbox_.reset();
}

}  // namespace tulle::local
