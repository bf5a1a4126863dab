// SPDX-License-Identifier: Apache-2.0
#include "local/probe.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "lib/base/text.h"
#include "local/child.h"

namespace tulle::local {
namespace {

std::uint16_t port_number(const k8s::IntOrString& port, const ProbeTarget& target) {
  if (!port.is_name()) return static_cast<std::uint16_t>(port.number);
  for (const k8s::ContainerPort& candidate : target.ports) {
    if (candidate.name == port.name) return static_cast<std::uint16_t>(candidate.container_port);
  }
  return 0;
}

net::Task<bool> attempt_http(net::Loop& loop, net::SocketFactory& sockets, net::SocketAddr to,
                             std::string path, Deadline by) {
  auto stream = co_await net::connect_tcp(loop, sockets, to, {}, by);
  if (!stream) co_return false;
  if (!path.starts_with('/')) path.insert(path.begin(), '/');
  const std::string request =
      concat("GET ", path, " HTTP/1.1\r\nHost: ", to.to_string(),
             "\r\nUser-Agent: kube-probe/tulle\r\nAccept: */*\r\nConnection: close\r\n\r\n");
  const auto written = co_await net::write_all(**stream, as_bytes(request), by);
  if (!written) co_return false;
  // "HTTP/1.1 200": the status is all that counts.
  std::uint8_t head[12];
  const auto read = co_await net::read_exactly(**stream, MutableBytes(head, sizeof head), by);
  if (!read) co_return false;
  const std::string_view text = as_text(Bytes(head, sizeof head));
  const auto status = parse_number<int>(text.substr(9));
  co_return text.starts_with("HTTP/1.") && status&&* status >= 200 && *status < 400;
}

net::Task<bool> attempt_command(net::Loop& loop, Entry entry, Deadline by) {
  entry.quiet = true;
  const pid_t pid = enter(entry);
  if (pid < 0) co_return false;
  const net::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const auto status = co_await wait_for_child(loop, pid, pidfd.get(), by);
  if (status) co_return *status == 0;
  ::kill(pid, SIGKILL);
  co_await wait_for_child(loop, pid, pidfd.get(), Deadline::never());
  co_return false;
}

}  // namespace

net::Task<bool> attempt(net::Loop& loop, net::SocketFactory& sockets, Probe probe,
                        ProbeTarget target) {
  const Deadline by = loop.after(std::chrono::seconds(probe.timeout));
  if (probe.exec) {
    Entry entry = std::move(target.entry);
    entry.argv = probe.exec->command;
    const bool ok = co_await attempt_command(loop, std::move(entry), by);
    co_return ok;
  }
  const k8s::IntOrString& port = probe.http ? probe.http->port : probe.tcp->port;
  const net::SocketAddr to{target.ip, port_number(port, target)};
  if (to.port == 0) co_return false;
  if (probe.http) {
    const bool ok = co_await attempt_http(loop, sockets, to, probe.http->path, by);
    co_return ok;
  }
  const auto stream = co_await net::connect_tcp(loop, sockets, to, {}, by);
  co_return stream.has_value();
}

}  // namespace tulle::local
