// SPDX-License-Identifier: Apache-2.0
// tulle-control: identity, destination and policy in one process over one index.
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "control/control.h"
#include "control/system_calls.h"
#include "lib/base/text.h"
#include "lib/sandbox/sandbox.h"

namespace {

using namespace tulle;  // NOLINT: this is the program
using control::Control;

constexpr int kBadUsage = 64;     // EX_USAGE
constexpr int kCannotStart = 71;  // EX_OSERR

// Waits for SIGTERM or SIGINT, then stops the loop.
net::Task<void> wait_for_signal(net::Loop& loop, int fd, net::IoState& io, bool& told) {
  for (;;) {
    co_await net::readable(io);
    signalfd_siginfo info;
    if (::read(fd, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) break;
    io.readable = false;
  }
  told = true;
  loop.stop();
}

net::Task<void> drain(net::Loop& loop, Control& control, Duration grace, const log::Logger& log,
                      bool& done) {
  const bool in_time = co_await control.drain(loop.after(grace));
  if (!in_time) log.warn("connections are cut: the grace period is over");
  done = true;
  loop.stop();
}

int run(const control::Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  log::Sink sink({.fd = 1, .json = options.log_json},
                 log::Filter::parse_lenient(options.log_level));
  const log::Logger log(sink, "tulle::control");
  auto loop = net::Loop::create();
  if (!loop) {
    std::fputs("tulle-control: cannot make an event loop\n", stderr);
    return kCannotStart;
  }
  net::HostSockets sockets;
  Control control(**loop, log, options);
  if (const std::string problem = control.start(sockets); !problem.empty()) {
    log.error("cannot start", {{"reason", problem}});
    return kCannotStart;
  }

  const net::Fd fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  net::IoState io;
  if (!fd || !(*loop)->watch(fd.get(), io)) return kCannotStart;
  const std::vector<AllowedCall> calls = control::system_calls(options);
  sandbox::limit_system_calls(
      {.fd = 1, .json = options.log_json, .target = "tulle::control", .also = calls}, log);
  {
    bool told = false;
    net::TaskScope scope;
    scope.spawn(wait_for_signal(**loop, fd.get(), io, told));
    while (!told) (*loop)->run();
  }
  log.info("shutting down",
           {{"grace_s", std::chrono::duration<double>(options.shutdown_grace).count()}});
  {
    bool done = false;  // drained, or told again and more urgently
    net::TaskScope scope;
    scope.spawn(wait_for_signal(**loop, fd.get(), io, done));
    scope.spawn(drain(**loop, control, options.shutdown_grace, log, done));
    while (!done) (*loop)->run();
  }
  (*loop)->forget(fd.get(), io);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* const api_server = std::getenv("KUBERNETES_SERVICE_HOST");
  const auto options =
      control::parse_options({argv + 1, argv + argc}, api_server != nullptr && *api_server != '\0');
  if (std::holds_alternative<control::ShowHelp>(options)) {
    std::fputs(control::help_text().c_str(), stdout);
    return 0;
  }
  if (std::holds_alternative<control::ShowVersion>(options)) {
    std::puts("tulle-control " TULLE_VERSION);
    return 0;
  }
  if (const auto* const bad = std::get_if<control::OptionProblems>(&options)) {
    for (const std::string& problem : bad->problems) {
      std::fputs(concat("tulle-control: ", problem, "\n").c_str(), stderr);
    }
    std::fputs("tulle-control: --help lists the flags\n", stderr);
    return kBadUsage;
  }
  return run(std::get<control::Options>(options));
}
