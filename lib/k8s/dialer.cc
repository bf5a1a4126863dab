// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/dialer.h"

#include "lib/base/text.h"
#include "lib/tls/stream.h"

namespace tulle::k8s {
namespace {

// One address of several must not use up all the time.
constexpr Duration kOneAddress = 5s;

}  // namespace

ServerDialer::ServerDialer(net::Loop& loop, net::SocketFactory& sockets, ClusterAccess access,
                           std::uint64_t seed)
    : loop_(loop), sockets_(sockets), access_(std::move(access)) {
  if (!net::IpAddr::parse(access_.host)) names_ = std::make_unique<Names>(loop, sockets, seed);
}

Result<tls::CredentialsPtr> ServerDialer::credentials(Speak speak) {
  const std::string ca = access_.ca.read();
  const std::string certificate = access_.certificate.read();
  const std::string key = access_.key.read();
  std::string digest = concat(speak == Speak::Http ? "h2 " : "http/1.1 ",
                              tls::sha256_hex(ca + "\n" + certificate + "\n" + key));
  if (credentials_ != nullptr && digest == credentials_of_) return credentials_;
  tls::Credentials::Options options;
  auto anchors = tls::Certificate::from_pem(ca);
  if (!anchors) return Error{Errc::Invalid, "read the certificate authority of the API server"};
  options.anchors = *std::move(anchors);
  options.alpn = {"http/1.1"};
  if (speak == Speak::Http) options.alpn.insert(options.alpn.begin(), "h2");
  if (!certificate.empty() || !key.empty()) {
    auto chain = tls::Certificate::from_pem(certificate);
    const auto private_key = tls::PrivateKey::from_pem(key);
    if (!chain || !private_key) return Error{Errc::Invalid, "read the client certificate and key"};
    options.own = tls::Credentials::Own{*private_key, *std::move(chain)};
  }
  auto made = tls::Credentials::make(std::move(options));
  if (!made) return made.error();
  credentials_ = *std::move(made);
  credentials_of_ = std::move(digest);
  return credentials_;
}

net::Task<Result<Dialed>> ServerDialer::dial(Speak speak, Deadline by) {
  std::vector<net::IpAddr> addresses;
  if (const auto ip = net::IpAddr::parse(access_.host)) {
    addresses.push_back(*ip);
  } else {
    const Result<dns::Answer> answer =
        co_await names_->resolver.resolve_addresses(access_.host, by);
    if (!answer) co_return answer.error();
    addresses = answer->addresses;
  }
  Error last{Errc::NotFound, "find the address of the API server"};
  for (const net::IpAddr& ip : addresses) {
    const net::SocketAddr to{ip, access_.port};
    const Deadline one = loop_.after(kOneAddress).earlier(by);
    Result<Dialed> dialed = co_await dial_one(to, speak, one);
    if (dialed) co_return dialed;
    last = dialed.error();
    if (by.passed(loop_.now())) break;
  }
  co_return last;
}

net::Task<Result<Dialed>> ServerDialer::dial_one(net::SocketAddr to, Speak speak, Deadline by) {
  net::TcpOptions tcp;
  tcp.keepalive = 15s;
  tcp.user_timeout = 20s;
  auto connected = co_await net::connect_tcp(loop_, sockets_, to, tcp, by);
  if (!connected) co_return connected.error();
  net::StreamPtr plain = *std::move(connected);
  // A local `kubectl proxy` speaks HTTP/1.1.
  if (!access_.tls) co_return Dialed{std::move(plain), false};
  Result<tls::CredentialsPtr> own = credentials(speak);
  if (!own) co_return own.error();
  tls::ClientOptions options;
  options.identity = access_.server_name.empty() ? access_.host : access_.server_name;
  options.server_name = options.identity;
  options.alpn = true;
  options.names = tls::NameRule::Host;
  Result<std::unique_ptr<tls::TlsStream>> secured =
      co_await tls::connect_tls(std::move(plain), *std::move(own), std::move(options), by);
  if (!secured) co_return secured.error();
  const bool http2 = (*secured)->alpn() == "h2";
  net::StreamPtr stream = *std::move(secured);
  co_return Dialed{std::move(stream), http2};
}

}  // namespace tulle::k8s
