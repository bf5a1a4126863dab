// SPDX-License-Identifier: Apache-2.0
// The side of the interop tests that is ours.
//   tls_peer mint DIR                      a CA, and NAME.crt (with its issuer) and NAME.key for
//   each name tls_peer serve DIR [ALPN]              as server.ns: prints its port, then a line for
//   each connection;
//                                          sends back what it reads until the client ends
//   tls_peer connect DIR PORT NAME [ALPN]  as client.ns: sends, reads back, ends; prints one line
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "lib/base/text.h"
#include "lib/net/socket.h"
#include "lib/tls/stream.h"

namespace {

using namespace tulle;  // NOLINT: a program

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

void mint(const std::string& dir) {
  const tls::Issuer anchor = tls::make_anchor("root.example", 24h);
  const tls::Issuer issuer = tls::make_issuer(anchor, "issuer.example", 12h);
  const tls::Issuer stranger = tls::make_anchor("stranger.example", 24h);
  write_file(dir + "/anchors.pem", anchor.certificate.to_pem());
  for (const char* name : {"server.ns", "client.ns", "stranger.ns"}) {
    const bool strange = std::string_view(name) == "stranger.ns";
    const tls::PrivateKey key = tls::PrivateKey::generate();
    const auto csr = tls::Csr::from_der(as_bytes(tls::make_csr(key, name)));
    const auto leaf = tls::sign_leaf(strange ? stranger : issuer, *csr, {});
    write_file(concat(dir, "/", name, ".key"), key.to_pem());
    write_file(concat(dir, "/", name, ".crt"), leaf->to_pem() + issuer.certificate.to_pem());
  }
}

tls::CredentialsPtr load(const std::string& dir, const std::string& name, const char* alpn) {
  tls::Credentials::Options options;
  options.anchors = *tls::Certificate::from_pem(read_file(dir + "/anchors.pem"));
  options.own =
      tls::Credentials::Own{*tls::PrivateKey::from_pem(read_file(concat(dir, "/", name, ".key"))),
                            *tls::Certificate::from_pem(read_file(concat(dir, "/", name, ".crt")))};
  if (alpn != nullptr) options.alpn = {alpn};
  return *tls::Credentials::make(std::move(options));
}

void report(const tls::TlsResult& result) {
  if (result) {
    const tls::TlsStream& stream = **result;
    std::printf("ok %s %s %s\n",
                stream.peer_identity().empty() ? "-" : stream.peer_identity().c_str(),
                stream.group().c_str(), stream.alpn().empty() ? "-" : stream.alpn().c_str());
  } else {
    std::printf("refused %u %s\n", result.error().detail,
                std::string(result.error().where).c_str());
  }
  std::fflush(stdout);
}

net::Task<void> echo(net::StreamPtr tcp, tls::CredentialsPtr credentials, bool alpn, Deadline by) {
  const tls::ServerOptions options{.alpn = alpn};
  tls::TlsResult session =
      co_await tls::accept_tls(std::move(tcp), std::move(credentials), options, by);
  report(session);
  if (!session) co_return;
  net::Stream& stream = **session;
  std::vector<std::uint8_t> buffer(20'000);
  for (;;) {
    const Result<std::size_t> n = co_await net::read_some(stream, buffer, by);
    if (!n) co_return;
    if (*n == 0) break;
    const Bytes got(buffer.data(), *n);
    const Result<void> sent = co_await net::write_all(stream, got, by);
    if (!sent) co_return;
  }
  const Result<void> ended = co_await net::shutdown_write(stream, by);
  (void)ended;
}

net::Task<void> serve(net::Loop& loop, net::TcpListener& listener, tls::CredentialsPtr credentials,
                      bool alpn, net::TaskScope& scope) {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener.accept();
    if (!accepted) co_return;
    scope.spawn(echo(std::move(accepted->stream), credentials, alpn, loop.after(30s)));
  }
}

net::Task<void> connect(net::Loop& loop, tls::CredentialsPtr credentials, std::uint16_t port,
                        std::string name, bool alpn) {
  net::HostSockets sockets;
  const Deadline by = loop.after(30s);
  const net::SocketAddr to{net::IpAddr::v4(0x7f000001), port};
  const net::TcpOptions tcp_options;
  Result<std::unique_ptr<net::TcpStream>> tcp =
      co_await net::connect_tcp(loop, sockets, to, tcp_options, by);
  if (!tcp) {
    std::printf("no connection\n");
    loop.stop();
    co_return;
  }
  tls::ClientOptions options{name, name, alpn};
  net::StreamPtr inner = *std::move(tcp);
  tls::TlsResult session =
      co_await tls::connect_tls(std::move(inner), std::move(credentials), std::move(options), by);
  report(session);
  if (session) {
    net::Stream& stream = **session;
    std::string sent(50'000, 'x');
    std::vector<std::uint8_t> back(sent.size());
    const Result<void> written = co_await net::write_all(stream, as_bytes(sent), by);
    Result<void> read = written;
    if (written) read = co_await net::read_exactly(stream, back, by);
    const bool same = read && as_text(back) == sent;
    const Result<void> ended = co_await net::shutdown_write(stream, by);
    Result<std::size_t> end = Error{Errc::Internal, ""};
    if (ended) end = co_await net::read_some(stream, back, by);
    std::printf("%s %s\n", same ? "same" : "different", end && *end == 0 ? "ended" : "cut");
  }
  std::fflush(stdout);
  loop.stop();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 64;
  const std::string_view mode = argv[1];
  const std::string dir = argv[2];
  if (mode == "mint") {
    mint(dir);
    return 0;
  }
  auto loop = net::Loop::create();
  if (!loop) return 1;
  if (mode == "serve") {
    const char* const alpn = argc > 3 ? argv[3] : nullptr;
    net::HostSockets sockets;
    const net::SocketAddr at{net::IpAddr::v4(0x7f000001), 0};
    auto listener = net::listen_tcp(**loop, sockets, at, {});
    if (!listener) return 1;
    std::printf("%u\n", unsigned{(*listener)->local_addr().port});
    std::fflush(stdout);
    net::TaskScope connections;
    net::TaskScope accepting;
    accepting.spawn(
        serve(**loop, **listener, load(dir, "server.ns", alpn), alpn != nullptr, connections));
    (*loop)->run();
    return 0;
  }
  if (argc < 5) return 64;
  const char* const alpn = argc > 5 ? argv[5] : nullptr;
  const auto port = parse_number<std::uint16_t>(argv[3]);
  if (!port) return 64;
  net::TaskScope scope;
  scope.spawn(connect(**loop, load(dir, "client.ns", alpn), *port, argv[4], alpn != nullptr));
  (*loop)->run();
  return 0;
}
