// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "lib/base/check.h"
#include "lib/base/text.h"
#include "lib/base/time.h"
#include "lib/net/address.h"
#include "lib/net/socket.h"
#include "node/program.h"

namespace tulle::node {
namespace {

// What the repair controller of the CNI looks for: the pod started before its rules were there.
constexpr int kNotRedirected = 95;
constexpr std::size_t kTokenSize = 63;

std::string make_token() {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string token(kTokenSize, '\0');
  TULLE_CHECK(::getrandom(token.data(), token.size(), 0) == static_cast<ssize_t>(token.size()));
  for (char& c : token) c = kLetters[static_cast<unsigned char>(c) % kLetters.size()];
  return token + '\n';
}

int failed(std::string_view what) {
  say(concat("network validation failed: ", what));
  return kNotRedirected;
}

// A connection to an address that nobody has must come back to our own port, with what we sent into
// it.
int check(const net::SocketAddr& listen, const net::SocketAddr& connect,
          std::chrono::milliseconds timeout) {
  const TimePoint until = monotonic_now() + timeout;
  sockaddr_storage at{};
  const net::Fd listener(::socket(listen.ip.is_v4() ? AF_INET : AF_INET6,
                                  SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t size = listen.to_native(at);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&at), size) != 0 ||
      ::listen(listener.get(), 8) != 0)
    return failed(concat("cannot listen on ", listen.to_string(), ": ", std::strerror(errno)));
  const net::Fd client(::socket(connect.ip.is_v4() ? AF_INET : AF_INET6,
                                SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  size = connect.to_native(at);
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&at), size) != 0 &&
      errno != EINPROGRESS)
    return failed(concat("cannot connect to ", connect.to_string(), ": ", std::strerror(errno)));
  if (!wait_for(listener.get(), POLLIN, until)) {
    return failed(concat("a connection to ", connect.to_string(),
                         " did not come back: the pod's connections are not redirected"));
  }
  const net::Fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!server) return failed("no connection came");
  const std::string token = make_token();
  if (::send(server.get(), token.data(), token.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(token.size()))
    return failed("the connection broke");
  std::string got;
  while (got.size() < token.size()) {
    if (!wait_for(client.get(), POLLIN, until)) return failed("nothing came in time");
    char block[128];
    const ssize_t n = ::recv(client.get(), block, sizeof block, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return failed("the connection broke");
    got.append(block, static_cast<std::size_t>(n));
  }
  if (got != token) return failed("what came is not what was sent: somebody else answers");
  say("connections are redirected");
  return 0;
}

void stop(int) { ::_exit(kNotRedirected); }

}  // namespace

int validate(const Arguments& arguments) {
  std::string_view listen = "0.0.0.0:4140";
  std::string_view connect = "192.0.2.2:1404";
  std::string_view timeout = "10s";
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view name = arguments[i];
    std::string_view value;
    if (const std::size_t equals = name.find('='); equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    }
    if (name == "--listen-addr") {
      listen = value;
    } else if (name == "--connect-addr") {
      connect = value;
    } else if (name == "--timeout") {
      timeout = value;
    } else if (name != "--log-level" && name != "--log-format") {
      say(concat("tulle-node validate: unknown flag ", name));
      return kUsage;
    }
  }
  const auto at = net::SocketAddr::parse(listen);
  const auto to = net::SocketAddr::parse(connect);
  const auto patience = parse_duration(timeout);
  if (!at || !to || !patience) {
    say(concat("tulle-node validate: --",
               !at   ? "listen-addr"
               : !to ? "connect-addr"
                     : "timeout",
               " is '",
               !at   ? listen
               : !to ? connect
                     : timeout,
               "', expected ", patience ? "an address and a port" : "a duration such as 10s"));
    return kUsage;
  }
  ::signal(SIGTERM, stop);
  ::signal(SIGINT, stop);
  return check(*at, *to, *patience);
}

}  // namespace tulle::node
