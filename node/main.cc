// SPDX-License-Identifier: Apache-2.0
// tulle-node: what a pod needs besides its proxy. It answers to the names under which Linkerd's
// image has its parts (linkerd2-proxy-init, linkerd-await, linkerd2-network-validator, sleep).
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/text.h"
#include "node/program.h"

namespace tulle::node {

void say(std::string_view text) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
}

bool wait_for(int fd, short events, TimePoint until) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - monotonic_now()).count();
    if (left <= 0) return false;
    pollfd wait{fd, events, 0};
    const int n = ::poll(&wait, 1, static_cast<int>(left));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept {
  if (text == "0") return std::chrono::milliseconds(0);
  const std::size_t end = text.find_first_not_of("0123456789");
  if (end == 0 || end == std::string_view::npos) return std::nullopt;
  const auto number = parse_number<std::uint32_t>(text.substr(0, end));
  if (!number) return std::nullopt;
  const std::string_view unit = text.substr(end);
  const std::int64_t scale = unit == "ms"  ? 1
                             : unit == "s" ? 1000
                             : unit == "m" ? 60'000
                             : unit == "h" ? 3'600'000
                             : unit == "d" ? 86'400'000
                                           : 0;
  if (scale == 0) return std::nullopt;
  return std::chrono::milliseconds(*number * scale);
}

namespace {

constexpr std::string_view kHelp =
    "usage: tulle-node init [flags]     redirects the pod's TCP connections to its proxy\n"
    "       tulle-node await [flags] [--] [COMMAND]    waits for the proxy, then runs the command\n"
    "       tulle-node validate [flags]     proves that connections are redirected\n"
    "       tulle-node sleep SECONDS\n"
    "       tulle-node --version\n\n"
    "  -p, --incoming-proxy-port PORT   required\n"
    "  -o, --outgoing-proxy-port PORT   required\n"
    "  -u, --proxy-uid UID              whose connections are not redirected\n"
    "  -g, --proxy-gid GID              the same by group\n"
    "  -r, --ports-to-redirect LIST     only these inbound ports; all by default\n"
    "      --inbound-ports-to-ignore LIST, --outbound-ports-to-ignore LIST    ports and ranges\n"
    "      --subnets-to-ignore CIDRS    sources that are not redirected\n"
    "      --netns PATH                 in that network namespace\n"
    "      --ipv6=BOOL                  IPv6, too (true)\n"
    "      --simulate                   prints the rules, changes nothing\n"
    "      --timeout-close-wait-secs N  sets nf_conntrack_tcp_timeout_close_wait\n"
    "      --iptables-mode MODE         legacy: the nat tables of iptables; nft, plain: nf_tables. "
    "The other one\n"
    "                                   where the kernel does not have that one. No program is run "
    "for either\n"
    "      --firewall-bin-path NAME     the same by iptables-legacy, iptables-nft, iptables\n"
    "      --log-format, --log-level, -w, --firewall-save-bin-path    accepted\n";

int sleep_seconds(const Arguments& arguments) {
  const auto seconds = arguments.size() == 1 ? parse_number<unsigned>(arguments[0]) : std::nullopt;
  if (!seconds) {
    say("usage: sleep SECONDS");
    return kUsage;
  }
  for (unsigned left = *seconds; left > 0;) left = ::sleep(left);
  return 0;
}

int run(int argc, char** argv) {
  const std::string_view path = argv[0];
  const std::string_view program =
      path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
  Arguments arguments(argv + 1, argv + argc);
  std::string_view verb;
  if (program == "linkerd2-proxy-init" || program == "proxy-init") {
    verb = "init";
  } else if (program.starts_with("linkerd-await")) {
    verb = "await";  // also linkerd-await-0.1.0-amd64, as it is published
  } else if (program == "linkerd2-network-validator") {
    verb = "validate";
  } else if (program == "sleep") {
    verb = "sleep";
  } else if (!arguments.empty()) {
    verb = arguments.front();
    arguments.erase(arguments.begin());
  }
  // What comes after -- is somebody else's.
  for (const std::string_view argument : arguments) {
    if (argument == "--" || (verb == "await" && !argument.starts_with("-"))) break;
    if (argument == "--help" || argument == "-h") verb = "--help";
    if (argument == "--version" || argument == "-V") verb = "--version";
  }
  if (verb == "init") return init(arguments);
  if (verb == "await") return await(arguments);
  if (verb == "validate") return validate(arguments);
  if (verb == "sleep") return sleep_seconds(arguments);
  if (verb == "--version" || verb == "-V") {
    std::puts("tulle-node " TULLE_VERSION);
    return 0;
  }
  if (verb == "cni" || verb == "identity") {
    say(concat("tulle-node ", verb, " is not in this version"));
    return kUnavailable;
  }
  std::fputs(std::string(kHelp).c_str(), verb == "--help" || verb == "help" ? stdout : stderr);
  return verb == "--help" || verb == "help" ? 0 : kUsage;
}

}  // namespace
}  // namespace tulle::node

int main(int argc, char** argv) { return tulle::node::run(argc, argv); }
