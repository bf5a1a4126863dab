// SPDX-License-Identifier: Apache-2.0
// The tulle side of the interop tests with grpcio.
//   grpc_echo serve             listens on a free port of 127.0.0.1, prints it, serves until killed
//   grpc_echo check HOST:PORT   calls an echo server in every way; prints what failed, exits with 1
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "lib/h2/connection.h"
#include "lib/net/drain.h"
#include "lib/net/loop.h"
#include "lib/net/socket.h"
#include "tests/interop/grpcio/checks.h"
#include "tests/interop/grpcio/service.h"

namespace tulle::interop {
namespace {

net::Task<void> serve_connection(net::StreamPtr stream, grpc::Server& server, net::Drain& drain) {
  co_await h2::serve(std::move(stream), server, h2::ServerOptions{}, drain);
}

net::Task<void> accept_all(net::TcpListener& listener, grpc::Server& server, net::Drain& drain) {
  net::TaskScope connections;
  while (true) {
    Result<net::Accepted> accepted = co_await listener.accept();
    if (!accepted) co_return;
    connections.spawn(serve_connection(std::move(accepted->stream), server, drain));
  }
}

int serve(net::Loop& loop) {
  net::HostSockets sockets;
  const auto any_port = net::SocketAddr{net::IpAddr::v4(0x7f000001), 0};
  Result<std::unique_ptr<net::TcpListener>> listener =
      net::listen_tcp(loop, sockets, any_port, net::TcpOptions{});
  if (!listener) return 1;
  EchoService service(loop);
  grpc::Server server(loop);
  service.register_at(server);
  net::Drain drain;
  net::TaskScope scope;
  scope.spawn(accept_all(**listener, server, drain));
  std::printf("%u\n", (*listener)->local_addr().port);
  std::fflush(stdout);
  loop.run();
  return 0;
}

struct Outcome {
  int failed = 1;
};

net::Task<void> check(net::Loop& loop, net::SocketAddr address, Outcome& outcome) {
  net::HostSockets sockets;
  Result<std::unique_ptr<net::TcpStream>> stream =
      co_await net::connect_tcp(loop, sockets, address, net::TcpOptions{}, loop.after(5s));
  if (!stream) {
    std::printf("cannot connect\n");
    loop.stop();
    co_return;
  }
  std::unique_ptr<h2::ClientConnection> connection =
      h2::ClientConnection::make(std::move(*stream), h2::ClientOptions{});
  grpc::Channel channel(loop, *connection, {.authority = address.to_string()});
  Checks checks(channel);
  outcome.failed = co_await checks.run_all();
  loop.stop();
}

}  // namespace
}  // namespace tulle::interop

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  auto loop = tulle::net::Loop::create();
  if (!loop) return 1;
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "serve") return tulle::interop::serve(**loop);
  const auto address = argc > 2 ? tulle::net::SocketAddr::parse(argv[2]) : std::nullopt;
  if (mode != "check" || !address) {
    std::fprintf(stderr, "usage: grpc_echo serve | check ADDRESS:PORT\n");
    return 64;
  }
  tulle::interop::Outcome outcome;
  {
    tulle::net::TaskScope scope;
    scope.spawn(tulle::interop::check(**loop, *address, outcome));
    (*loop)->run();
  }
  return outcome.failed == 0 ? 0 : 1;
}
