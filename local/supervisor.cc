// SPDX-License-Identifier: Apache-2.0
#include "local/supervisor.h"

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "lib/base/text.h"
#include "local/control_plane.h"
#include "local/process.h"

namespace tulle::local {
namespace {

constexpr Duration kSettle = 20ms;  // changes that come together are published together
constexpr off_t kMaxLog = 16 * 1024 * 1024;

// A random UUID (RFC 9562 §5.4).
std::string make_uid() {
  std::array<std::uint8_t, 16> bytes{};
  TULLE_CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3F) | 0x80);
  std::string text = hex(bytes);
  for (const std::size_t at : {20U, 16U, 12U, 8U}) text.insert(at, 1, '-');
  return text;
}

std::string list_of(const std::vector<Json>& objects) {
  Json list = {{"apiVersion", "v1"}, {"kind", "List"}, {"items", Json::array()}};
  for (const Json& object : objects) list["items"].push_back(object);
  return list.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string name_of(const PodInput& pod) {
  return concat(pod.object.meta.ns, "/", pod.object.meta.name);
}

}  // namespace

Supervisor::Supervisor(net::Loop& loop, const log::Logger& log, Model model,
                       SupervisorOptions options)
    : loop_(loop),
      log_(log),
      model_(std::move(model)),
      options_(std::move(options)),
      images_(options_.cache, [](const std::string&) {}),
      changed_(loop) {
  for (PodInput& pod : model_.pods) pod.object.meta.uid = make_uid();
}

Supervisor::~Supervisor() = default;

bool Supervisor::is_control(const PodInput& pod) const {
  return pod.object.meta.ns == options_.control_namespace &&
         pod.object.meta.labels.contains("linkerd.io/control-plane-component");
}

std::string Supervisor::prepare() {
  const StateDir& dir = options_.dir;
  for (const std::string& folder : {dir.manifests(), dir.issuer()}) {
    if (!make_folders(folder)) return concat("cannot make ", folder);
  }
  if (::chmod(dir.issuer().c_str(), 0700) != 0 ||
      ::chown(dir.issuer().c_str(), kControlUser, kControlUser) != 0)
    return concat("cannot give ", dir.issuer(), " to the control plane");
  if (!replace_file(dir.token_key(), token_key_.public_to_pem()))
    return concat("cannot write ", dir.token_key());
  const std::string scratch = dir.scratch("fabric");
  if (!make_folders(scratch, 0700)) return concat("cannot make ", scratch);
  if (std::string problem = fabric_.create(scratch); !problem.empty()) return problem;
  auto sockets = net::NamespaceSockets::open(fabric_.netns_path().c_str());
  if (!sockets) return "cannot open the fabric's network namespace";
  sockets_ = *std::move(sockets);
  dns_ = std::make_unique<DnsServer>(loop_, [this](const dns::Message& query) {
    return zone_.answer(query, model_.services, views());
  });
  if (std::string problem = dns_->start(
          *sockets_, {*net::IpAddr::parse(kDnsAddress), *net::IpAddr::parse(kDnsAddress6)});
      !problem.empty())
    return problem;
  host_.reset(new PodHost{loop_, *sockets_, fabric_, model_, dir, images_, token_key_,
                          options_.bin_dir, log_, changed_});
  std::uint32_t index = kFirstPodIndex;
  for (const PodInput& pod : model_.pods) {
    std::vector<Bind> extra;
    if (is_control(pod)) {
      extra = {{dir.manifests(), "", "/run/tulle/manifests", true},
               {dir.issuer(), "", "/run/tulle/issuer", false},
               {dir.token_key(), "", "/run/tulle/token.pub", true}};
    }
    pods_.push_back(std::make_unique<Pod>(*host_, pod, index++, std::move(extra)));
  }
  told_.resize(pods_.size());
  publish();
  // Nobody may run before addresses are translated.
  return rules_.empty() ? "cannot translate cluster addresses: see the log" : "";
}

std::vector<PodView> Supervisor::views() const {
  std::vector<PodView> out;
  for (const auto& pod : pods_) out.push_back(pod->view());
  return out;
}

void Supervisor::write_if_new(const std::string& path, const std::string& text) {
  std::string& last = written_[path];
  if (last == text) return;
  if (replace_file(path, text)) {
    last = text;
  } else {
    log_.error("a file cannot be written", {{"file", path}});
  }
}

void Supervisor::publish_manifests(const std::vector<PodView>& views) {
  std::vector<Json> pods;
  for (const auto& pod : pods_) {
    if (pod->phase() == Pod::Phase::Pending || pod->phase() == Pod::Phase::Running)
      pods.push_back(pod->object());
  }
  std::vector<Json> services;
  std::vector<Json> slices;
  for (const ServiceInput& service : model_.services) {
    services.push_back(service.raw);
    for (Json& slice : endpoint_slices(service, views)) slices.push_back(std::move(slice));
  }
  const std::string dir = options_.dir.manifests();
  write_if_new(dir + "/objects.json", list_of(model_.others));
  write_if_new(dir + "/services.json", list_of(services));
  write_if_new(dir + "/pods.json", list_of(pods));
  write_if_new(dir + "/endpointslices.json", list_of(slices));
}

void Supervisor::publish_status() {
  Json status;
  status["name"] = options_.name;
  status["supervisor"] = to_json({::getpid(), start_time(::getpid())});
  status["fabric"] = to_json({fabric_.sandbox().pid(), start_time(fabric_.sandbox().pid())});
  status["pods"] = Json::array();
  for (const auto& pod : pods_) status["pods"].push_back(pod->status());
  status["services"] = Json::array();
  for (const ServiceInput& service : model_.services) {
    Json& added = status["services"].emplace_back();
    added["namespace"] = service.object.meta.ns;
    added["name"] = service.object.meta.name;
    added["addresses"] = Json::array();
    for (const net::IpAddr& ip : service.addresses) added["addresses"].push_back(ip.to_string());
    added["ports"] = Json::array();
    for (const k8s::ServicePort& port : service.object.spec.ports) {
      added["ports"].push_back({{"name", port.name}, {"port", port.port}});
    }
  }
  write_if_new(options_.dir.status(),
               status.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void Supervisor::publish() {
  dirty_ = false;
  const std::vector<PodView> now = views();
  const std::string rules = translation_rules(model_.services, now);
  if (rules != rules_) {
    const std::string problem = fabric_.translate(rules);
    if (problem.empty()) {
      rules_ = rules;
    } else {
      log_.error("cluster addresses are not translated", {{"reason", problem}});
    }
  }
  publish_manifests(now);
  publish_status();
  report_pods();
}

void Supervisor::report(const std::string& line) {
  if (options_.report < 0) return;
  const std::string text = line + "\n";
  [[maybe_unused]] const ssize_t n = ::write(options_.report, text.data(), text.size());
}

void Supervisor::report_pods() {
  bool all = true;
  for (std::size_t i = 0; i < pods_.size(); ++i) {
    const Pod& pod = *pods_[i];
    const bool good = pod.ready() || pod.phase() == Pod::Phase::Succeeded;
    const bool failed = pod.phase() == Pod::Phase::Failed;
    all = all && good;
    const std::string name = name_of(pod.input());
    std::string line = good     ? "ready " + name
                       : failed ? concat("failed ", name, ": ", pod.waiting_for())
                                : concat("waiting ", name, ": ", pod.waiting_for());
    if (line == told_[i]) continue;
    told_[i] = line;
    report(line);
  }
  if (all && !told_up_) {
    told_up_ = true;
    report("up");
  }
}

net::Task<void> Supervisor::follow_changes() {
  TimePoint looked{};
  for (;;) {
    co_await changed_.wait(loop_.after(5s));
    co_await net::sleep_for(loop_, kSettle);
    publish();
    if (loop_.now() - looked < 5s) continue;
    looked = loop_.now();
    // Logs are bounded: one that has grown too large begins afresh.
    for (const auto& pod : pods_) {
      const auto& spec = pod->input().object.spec;
      const std::string key = pod->input().object.meta.ns + "_" + pod->input().object.meta.name;
      for (const auto* const list : {&spec.init_containers, &spec.containers}) {
        for (const ContainerSpec& container : *list) {
          const std::string path = options_.dir.log(key, container.name);
          struct stat info {};
          if (::stat(path.c_str(), &info) == 0 && info.st_size > kMaxLog) {
            [[maybe_unused]] const int done = ::truncate(path.c_str(), 0);
          }
        }
      }
    }
  }
}

std::string Supervisor::read_trust_roots() {
  std::string roots;
  if (!read_file(options_.dir.issuer() + "/ca.crt", roots)) return "there are no trust anchors";
  for (const PodInput& pod : model_.pods) {
    model_.config_maps[{pod.object.meta.ns, std::string(kTrustRootsName)}]
                      [std::string(kTrustRootsKey)] = roots;
  }
  return "";
}

net::Task<void> Supervisor::bring_up() {
  // Proxies need the trust anchors, which the control plane may make only now.
  for (const auto& pod : pods_) {
    if (!is_control(pod->input())) continue;
    tasks_.spawn(pod->run());
    while (!pod->ready()) co_await changed_.wait();
    const std::string problem = read_trust_roots();
    if (!problem.empty()) log_.error("pods may not start", {{"reason", problem}});
  }
  for (const auto& pod : pods_) {
    if (!is_control(pod->input())) tasks_.spawn(pod->run());
  }
}

net::Task<void> Supervisor::run(int signals) {
  net::IoState io;
  if (!loop_.watch(signals, io)) co_return;
  tasks_.spawn(follow_changes());
  tasks_.spawn(bring_up());
  for (;;) {
    signalfd_siginfo info;
    if (::read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) break;
    io.readable = false;
    co_await net::readable(io);
  }
  loop_.forget(signals, io);
  log_.info("ending");
  const Deadline by = loop_.after(options_.grace);
  net::TaskScope ends;
  for (const auto& pod : pods_) {
    if (!is_control(pod->input())) ends.spawn(pod->stop(by));
  }
  co_await ends.join();
  net::TaskScope last;
  for (const auto& pod : pods_) {
    if (is_control(pod->input())) last.spawn(pod->stop(by));
  }
  co_await last.join();
  tasks_.cancel();
}

int supervise(Model model, SupervisorOptions options) {
  ::prctl(PR_SET_NAME, "tulle-local");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);
  const net::Fd signals(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));

  log::Sink sink({.fd = 2}, log::Filter::parse_lenient("info"));
  const log::Logger log(sink, "tulle::local");
  const StateDir dir = options.dir;
  const int report = options.report;
  const auto complain = [&](const std::string& problem) {
    log.error("cannot start", {{"reason", problem}});
    const std::string line = concat("error: ", problem, "\n");
    [[maybe_unused]] const ssize_t n = ::write(report, line.data(), line.size());
    return 1;
  };
  auto loop = net::Loop::create();
  if (!loop || !signals) return complain("cannot make an event loop");
  replace_file(dir.supervisor(), to_json({::getpid(), start_time(::getpid())}).dump());
  {
    Supervisor supervisor(**loop, log, std::move(model), std::move(options));
    if (const std::string problem = supervisor.prepare(); !problem.empty()) {
      return complain(problem);
    }
    bool done = false;
    struct Run {
      static net::Task<void> all(Supervisor& what, net::Loop& on, int fd, bool& ended) {
        co_await what.run(fd);
        ended = true;
        on.stop();
      }
    };
    net::TaskScope scope;
    scope.spawn(Run::all(supervisor, **loop, signals.get(), done));
    while (!done) (*loop)->run();
  }
  log.info("ended");
  remove_tree(dir.path);
  return 0;
}

}  // namespace tulle::local
