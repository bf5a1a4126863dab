// SPDX-License-Identifier: Apache-2.0
// tulle-proxy: the data plane of one workload, configured by its environment
// (docs/reference/proxy.md §1).
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lib/base/text.h"
#include "lib/sandbox/sandbox.h"
#include "proxy/process/cgroup.h"
#include "proxy/proxy.h"

// Nothing here throws. The library's own version names the exception, which takes a demangler,
// stdio and 60 KB of memory.
namespace __gnu_cxx {
void __verbose_terminate_handler() {  // NOLINT
  constexpr std::string_view kWhy = "tulle-proxy: an exception, most likely no memory is left\n";
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, kWhy.data(), kWhy.size());
  std::abort();
}
}  // namespace __gnu_cxx

namespace tulle::proxy {
namespace {

constexpr int kExitConfig = 64;

unsigned available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const auto count = static_cast<unsigned>(std::max(CPU_COUNT(&set), 1));
  return std::min(count, Cgroup().cpus().value_or(count));
}

net::Task<void> drain_on_signal(net::Loop& loop, int fd, Proxy& proxy) {
  net::IoState io;
  const Result<void> watched = loop.watch(fd, io);
  if (!watched) co_return;
  for (;;) {
    signalfd_siginfo info{};
    if (::read(fd, &info, sizeof info) == sizeof info) {
      proxy.terminate();  // later signals add nothing
      continue;
    }
    io.readable = false;
    co_await net::readable(io);
  }
}

constexpr std::string_view kHelp =
    "usage: tulle-proxy\n"
    "       tulle-proxy --version | --help\n\n"
    "The data plane of one workload. It takes no arguments: all settings are environment "
    "variables,\n"
    "LINKERD2_PROXY_*, as Linkerd's proxy has them. Wrong ones are told all at once, with exit "
    "code 64.\n";

// Whoever asks for something gets no running proxy.
int answer(std::string_view argument) {
  if (argument == "--version" || argument == "-V") {
    std::puts("tulle-proxy " TULLE_VERSION);
    return 0;
  }
  const bool help = argument == "--help" || argument == "-h";
  std::fputs(kHelp.data(), help ? stdout : stderr);
  return help ? 0 : kExitConfig;
}

int run() {
  ConfigNotes notes;
  const Config config =
      read_config([](const char* name) { return std::getenv(name); }, available_cpus(), notes);
  log::Sink sink({.fd = 1, .json = config.log_json, .off = config.log_off},
                 log::Filter::parse_lenient(config.log_filter));
  log::Sink access({.fd = 2, .off = config.access_log == Config::AccessLog::Off},
                   log::Filter::parse_lenient("info"));
  const log::Logger log(sink, "linkerd");
  log.info("release " TULLE_VERSION " by tulle");
  for (const std::string& warning : notes.warnings) log.warn(warning);
  if (!notes.errors.empty()) {
    for (const std::string& error : notes.errors) {
      log.error("Invalid configuration", {{"problem", error}});
      if (config.log_off) std::fprintf(stderr, "tulle-proxy: %s\n", error.c_str());
    }
    return kExitConfig;
  }
  if (!notes.without_effect.empty()) {
    std::string names;
    for (const std::string& name : notes.without_effect)
      names += concat(names.empty() ? "" : ", ", name);
    log.warn("variables without effect in this version", {{"names", names}});
  }

  // Signals are read as events; threads made from here on inherit the mask.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_DUMPABLE, 0);  // a key in memory stays there

  Result<std::unique_ptr<net::Loop>> loop = net::Loop::create();
  if (!loop) {
    log.error("cannot start", {{"step", loop.error().where}, {"errno", loop.error().os_errno}});
    return 1;
  }
  (*loop)->never_forks();
  net::HostSockets sockets;
  Proxy proxy(**loop, config, sink, access, sockets);
  const Result<void> started = proxy.start();
  if (!started) {
    log.error(
        "cannot start",
        {{"step", started.error().where},
         {"error", to_string(started.error().code)},
         {"errno", started.error().os_errno},
         {"reason", started.error().os_errno != 0 ? std::strerror(started.error().os_errno) : ""}});
    return 1;
  }
  const net::Fd signal_fd{::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC)};
  net::TaskScope scope;
  scope.spawn(drain_on_signal(**loop, signal_fd.get(), proxy));
  sandbox::limit_system_calls({.fd = 1, .json = config.log_json, .off = config.log_off}, log);
  (*loop)->run();
  log.info("shut down");
  // Threads and sockets end with the process; nothing of value is left in memory.
  ::_exit(0);
}

}  // namespace
}  // namespace tulle::proxy

int main(int argc, char** argv) {
  return argc > 1 ? tulle::proxy::answer(argv[1]) : tulle::proxy::run();
}
