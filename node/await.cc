// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "lib/base/text.h"
#include "lib/base/time.h"
#include "lib/net/socket.h"
#include "node/program.h"

namespace tulle::node {
namespace {

struct Options {
  std::uint16_t port = 4191;
  std::chrono::milliseconds backoff{1000};
  std::chrono::milliseconds timeout{0};  // 0: none
  bool timeout_fatal = true;
  bool shutdown = false;
  bool verbose = false;
  std::vector<std::string> command;
  std::vector<std::string> problems;
};

std::string_view long_name(char flag) {
  switch (flag) {
    case 'p': return "port";
    case 'b': return "backoff";
    case 't': return "timeout";
    case 'S': return "shutdown";
    case 'v': return "verbose";
    default: return "";
  }
}

bool is_switch(std::string_view name) {
  return name == "shutdown" || name == "verbose" || name == "timeout-fatal";
}

void set_flag(Options& options, std::string_view name, std::string_view value) {
  const auto wrong = [&](std::string_view expected) {
    options.problems.push_back(concat("--", name, " is '", value, "', expected ", expected));
  };
  const auto on = [&](bool& into) {
    if (value.empty() || value == "true") {
      into = true;
    } else if (value == "false") {
      into = false;
    } else {
      wrong("true or false");
    }
  };
  const auto duration = [&](std::chrono::milliseconds& into) {
    if (const auto parsed = parse_duration(value)) {
      into = *parsed;
    } else {
      wrong("a duration such as 10s, 500ms or 0");
    }
  };
  if (name == "port") {
    const auto port = parse_number<std::uint16_t>(value);
    if (!port || *port == 0) return wrong("a port");
    options.port = *port;
  } else if (name == "backoff") {
    duration(options.backoff);
  } else if (name == "timeout") {
    duration(options.timeout);
  } else if (name == "timeout-fatal") {
    on(options.timeout_fatal);
  } else if (name == "shutdown") {
    on(options.shutdown);
  } else if (name == "verbose") {
    on(options.verbose);
  } else {
    options.problems.push_back(concat("unknown flag --", name));
  }
}

Options parse(const Arguments& arguments) {
  Options options;
  bool fatal_said = false;
  std::size_t i = 0;
  for (; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--") {
      ++i;
      break;
    }
    if (!argument.starts_with('-') || argument == "-") break;
    std::string_view name;
    std::string_view value;
    bool has_value = false;
    if (argument.starts_with("--")) {
      const std::size_t equals = argument.find('=');
      name = argument.substr(
          2, equals == std::string_view::npos ? std::string_view::npos : equals - 2);
      has_value = equals != std::string_view::npos;
      if (has_value) value = argument.substr(equals + 1);
    } else {
      name = long_name(argument[1]);
      if (name.empty()) {
        options.problems.push_back(concat("unknown flag ", argument));
        continue;
      }
      has_value = argument.size() > 2;
      if (has_value) value = argument.substr(argument[2] == '=' ? 3 : 2);
    }
    if (!has_value && !is_switch(name)) {
      if (i + 1 >= arguments.size()) {
        options.problems.push_back(concat("--", name, " needs a value"));
        continue;
      }
      value = arguments[++i];
    }
    fatal_said = fatal_said || name == "timeout-fatal";
    set_flag(options, name, value);
  }
  for (; i < arguments.size(); ++i) options.command.emplace_back(arguments[i]);
  if (options.command.empty() && options.shutdown)
    options.problems.emplace_back("--shutdown needs a command");
  if (options.command.empty() && fatal_said)
    options.problems.emplace_back("--timeout-fatal needs a command");
  if (const char* const set = std::getenv("LINKERD_AWAIT_VERBOSE"); set != nullptr && *set != '\0')
    options.verbose = true;
  return options;
}

// The status of one request to the proxy's admin port on this pod's loopback; 0 if there was no
// answer.
int request_once(const sockaddr* to, socklen_t size, std::string_view method, std::string_view path,
                 std::uint16_t port, TimePoint until) {
  const net::Fd fd(::socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return 0;
  if (::connect(fd.get(), to, size) != 0) {
    if (errno != EINPROGRESS || !wait_for(fd.get(), POLLOUT, until)) return 0;
    int problem = 0;
    socklen_t length = sizeof problem;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &problem, &length) != 0 || problem != 0)
      return 0;
  }
  std::string text = concat(method, " ", path, " HTTP/1.1\r\nhost: localhost:");
  append_number(text, port);
  text += "\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
  if (::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
    return 0;
  std::string answer;
  while (answer.size() < 12) {
    if (!wait_for(fd.get(), POLLIN, until)) return 0;
    char block[512];
    const ssize_t n = ::recv(fd.get(), block, sizeof block, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return 0;
    answer.append(block, static_cast<std::size_t>(n));
  }
  if (!answer.starts_with("HTTP/1.")) return 0;
  return parse_number<int>(std::string_view(answer).substr(9, 3)).value_or(0);
}

int request(std::string_view method, std::string_view path, std::uint16_t port,
            std::chrono::milliseconds patience) {
  const TimePoint until = monotonic_now() + patience;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int status =
      request_once(reinterpret_cast<const sockaddr*>(&v4), sizeof v4, method, path, port, until);
  if (status != 0) return status;
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  return request_once(reinterpret_cast<const sockaddr*>(&v6), sizeof v6, method, path, port, until);
}

bool wait_until_ready(const Options& options) {
  using namespace std::chrono;
  const TimePoint end = options.timeout.count() == 0 ? kNever : monotonic_now() + options.timeout;
  for (;;) {
    milliseconds patience{5000};
    if (end != kNever) {
      const auto left = duration_cast<milliseconds>(end - monotonic_now());
      if (left.count() <= 0) return false;
      patience = std::min(patience, left);
    }
    const int status = request("GET", "/ready", options.port, patience);
    if (status >= 200 && status < 300) return true;
    if (options.verbose)
      say(status == 0 ? "linkerd-await: the proxy does not answer yet"
                      : "linkerd-await: the proxy is not ready yet");
    milliseconds pause = options.backoff;
    if (end != kNever) pause = std::min(pause, duration_cast<milliseconds>(end - monotonic_now()));
    if (pause.count() > 0) {
      timespec left{pause.count() / 1000, (pause.count() % 1000) * 1'000'000};
      while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
      }
    }
  }
}

std::vector<char*> words_of(std::vector<std::string>& command) {
  std::vector<char*> words;
  for (std::string& word : command) words.push_back(word.data());
  words.push_back(nullptr);
  return words;
}

int become(std::vector<std::string>& command) {
  const std::vector<char*> words = words_of(command);
  ::execvp(words[0], words.data());
  say(concat("linkerd-await: cannot run ", command[0], ": ", std::strerror(errno)));
  return kOsError;
}

volatile std::sig_atomic_t child = 0;
void forward(int signal) {
  if (child > 0) ::kill(static_cast<pid_t>(child), signal);
}

// Runs the command, and tells the proxy to leave when it has ended, however it ended.
int run_and_shut_down(const Options& options, std::vector<std::string> command) {
  struct sigaction action {};
  action.sa_handler = forward;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  // A signal between fork and the handler's knowledge of the child must not be lost.
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  const pid_t pid = ::fork();
  if (pid < 0) {
    say("linkerd-await: cannot fork");
    return kOsError;
  }
  if (pid == 0) {
    std::signal(SIGTERM, SIG_DFL);
    std::signal(SIGINT, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    ::_exit(become(command));
  }
  child = pid;
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  request("POST", "/shutdown", options.port, std::chrono::milliseconds(5000));
  return WIFEXITED(status)     ? WEXITSTATUS(status)
         : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                               : kOsError;
}

}  // namespace

int await(const Arguments& arguments) {
  Options options = parse(arguments);
  if (!options.problems.empty()) {
    for (const std::string& problem : options.problems) say(concat("linkerd-await: ", problem));
    return kUsage;
  }
  for (const char* const name : {"LINKERD_AWAIT_DISABLED", "LINKERD_DISABLED"}) {
    const char* const reason = std::getenv(name);
    if (reason == nullptr || *reason == '\0') continue;
    if (options.verbose) say(concat("linkerd-await: not waiting: ", name, " is ", reason));
    return options.command.empty() ? 0 : become(options.command);
  }
  if (!wait_until_ready(options)) {
    say("linkerd-await: the proxy was not ready in time");
    if (options.command.empty() || options.timeout_fatal) return kUnavailable;
  }
  if (options.command.empty()) return 0;
  if (options.shutdown) return run_and_shut_down(options, std::move(options.command));
  return become(options.command);
}

}  // namespace tulle::node
