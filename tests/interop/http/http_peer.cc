// SPDX-License-Identifier: Apache-2.0
// The side of the HTTP interop tests that is ours.
//   http_peer serve [OPTIONS]            answers requests by their path, see Script
//   http_peer forward PORT [OPTIONS]     passes requests on to 127.0.0.1:PORT with our clients
// Both listen on 127.0.0.1 and print their port. Options:
//   --tls DIR NAME    clients must speak TLS; our certificate is DIR/NAME.crt (made by tls_peer
//   mint)
//   --alpn P,Q        what we offer then (default h2,http/1.1)
//   --to-tls DIR NAME forward: TLS to the server NAME, as client.ns
//   --to-h2           forward: HTTP/2 to the server
//   --h2              plain text: HTTP/2 only, otherwise what the first bytes say
//   --streams N       HTTP/2: that many streams at once
//   --max-head N      HTTP/1: the largest head
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <list>
#include <string>

#include "lib/base/text.h"
#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "lib/http1/detect.h"
#include "lib/http1/hop.h"
#include "lib/net/socket.h"
#include "lib/testing/sim.h"
#include "lib/tls/stream.h"

namespace {

using namespace tulle;  // NOLINT: a program

struct Options {
  std::string tls_dir;
  std::string tls_name;
  std::vector<std::string> alpn{"h2", "http/1.1"};
  std::string to_tls_dir;
  std::string to_tls_name;
  bool only_h2 = false;
  bool to_h2 = false;
  std::uint16_t to_port = 0;
  std::uint32_t streams = 0;
  http1::Limits limits;
};

// Byte i of every generated body: no run of it looks like another at a power of two.
constexpr unsigned kPeriod = 251;
std::uint8_t pattern(std::uint64_t at) { return static_cast<std::uint8_t>(at % kPeriod); }

// A body of `size` bytes made as fast as its reader takes them, 64 KiB ahead.
class Source final : public http::BodyProducer {
 public:
  Source(http::BodyWriter writer, std::uint64_t size) : writer_(std::move(writer)), size_(size) {
    writer_.set_producer(this);
    refill();
  }
  void on_consumed(std::size_t /*n*/) override { refill(); }
  void on_abandoned() override { over_ = true; }
  bool over() const noexcept { return over_; }
  std::uint64_t made() const noexcept { return made_; }

 private:
  void refill() {
    std::uint8_t piece[4096];
    while (!over_ && made_ < size_ && writer_.buffered() < std::size_t{64} * 1024) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(sizeof piece, size_ - made_));
      for (std::size_t i = 0; i < n; ++i) piece[i] = pattern(made_ + i);
      made_ += n;
      writer_.write(Bytes(piece, n));
    }
    if (!over_ && made_ == size_) {
      over_ = true;
      writer_.finish();
    }
  }
  http::BodyWriter writer_;
  std::uint64_t size_;
  std::uint64_t made_ = 0;
  bool over_ = false;
};

net::Task<void> echo_bytes(net::StreamPtr stream) {
  std::vector<std::uint8_t> buffer(16'384);
  for (;;) {
    const Result<std::size_t> n = co_await net::read_some(*stream, buffer);
    if (!n) co_return;
    if (*n == 0) break;
    const Bytes got(buffer.data(), *n);
    const Result<void> sent = co_await net::write_all(*stream, got);
    if (!sent) co_return;
  }
  const Result<void> ended = co_await net::shutdown_write(*stream);
  (void)ended;
}

// Answers by path:
//   /echo       the request's body and trailers
//   /bytes/N    N bytes of the pattern, as fast as they are read; /sized/N with a content-length
//   /made       how many bytes of the last /bytes were made
//   /sum        reads the body: its size, whether it is the pattern, its trailers
//   /late-sum   the same, but reads nothing for a second; /held-sum until somebody asks for /let-go
//   /continue   100, then reads the body; /hints 103 twice, then the answer
//   /early      413 before the body is read
//   /status/N   that status without more; /hint-204 103, then 204
//   /trailers   a body with trailers
//   /head       the request as it came
//   /upgrade    101 where asked for, then sends back what comes; so do CONNECTs
//   /close      an answer that ends the connection; /reset no answer at all
//   /never      waits for ever
class Script final : public http::Handler {
 public:
  explicit Script(net::Loop& loop) : loop_(loop), let_go_(loop) {}

  net::Task<Result<http::Response>> handle(http::Request request) override {
    const std::string path(request.path.view().substr(0, request.path.view().find('?')));
    if (request.wants_upgrade &&
        (path == "/upgrade" || request.form == http::TargetForm::Authority)) {
      co_return upgrade(request);
    }
    if (path == "/echo") co_return echo(std::move(request));
    if (path.starts_with("/bytes/"))
      co_return generate(parse_number<std::uint64_t>(path.substr(7)), false);
    if (path.starts_with("/sized/"))
      co_return generate(parse_number<std::uint64_t>(path.substr(7)), true);
    if (path == "/made")
      co_return text(std::to_string(sources_.empty() ? 0 : sources_.back().made()));
    if (path == "/late-sum") co_await net::sleep_for(loop_, 1s);
    if (path == "/held-sum") {
      [[maybe_unused]] const bool told = co_await let_go_.wait();
    }
    if (path == "/let-go") let_go_.notify_all();
    if (path == "/continue") inform(request, 100, "");
    if (path == "/sum" || path.ends_with("-sum") || path == "/continue")
      co_return co_await sum(std::move(request));
    if (path == "/hints" || path == "/hint-204") {
      inform(request, 103, "</a>; rel=preload");
      if (path == "/hint-204") co_return http::make_response(204);
      inform(request, 103, "</b>; rel=preload");
    }
    if (path == "/early") co_return http::make_response(413);
    if (path.starts_with("/status/")) {
      http::Response response;
      response.status = parse_number<std::uint16_t>(path.substr(8)).value_or(500);
      co_return response;
    }
    if (path == "/trailers") {
      http::Response response = text("");
      response.headers.remove("content-length");
      response.body_length.reset();
      http::HeaderMap trailers;
      trailers.add("X-Sum", "42");
      trailers.add("X-Done", "yes");
      response.body = http::make_full_body(loop_, as_bytes("with trailers"), std::move(trailers));
      co_return response;
    }
    if (path == "/head") co_return head(request);
    if (path == "/close") {
      http::Response response = text("bye");
      response.close_connection = true;
      co_return response;
    }
    if (path == "/reset") co_return Error{Errc::Reset, "test", 0, 2};
    if (path == "/never") co_await net::sleep_for(loop_, 1h);
    co_return text("hello");
  }

 private:
  http::Response text(std::string_view body) { return http::make_text_response(loop_, 200, body); }

  static void inform(http::Request& request, std::uint16_t status, std::string_view link) {
    if (request.informational == nullptr) return;
    http::ResponseHead head;
    head.status = status;
    if (!link.empty()) head.headers.add("Link", link);
    request.informational->on_informational(std::move(head));
  }
  static http::Response echo(http::Request request) {
    http::Response response;
    response.status = 200;
    if (const auto type = request.headers.get("content-type"))
      response.headers.add("content-type", *type);
    response.body_length = request.body_length;
    response.body = std::move(request.body);
    if (!response.body.has_value()) response.body_length = 0;
    return response;
  }
  http::Response generate(std::optional<std::uint64_t> size, bool sized) {
    if (!size) return http::make_response(400);
    http::Response response;
    response.status = 200;
    auto [writer, reader] = http::make_body(loop_);
    response.body = std::move(reader);
    if (sized) {
      response.body_length = size;
      response.headers.add("Content-Length", std::to_string(*size));
    }
    while (sources_.size() > 1 && sources_.front().over()) sources_.pop_front();
    sources_.emplace_back(std::move(writer), *size);
    return response;
  }
  net::Task<Result<http::Response>> sum(http::Request request) {
    std::uint64_t size = 0;
    bool same = true;
    while (request.body.has_value() && !request.body.ended()) {
      if (request.body.failure() != nullptr) co_return *request.body.failure();
      for (const std::uint8_t byte : request.body.data()) same = same && byte == pattern(size++);
      request.body.consume(request.body.data().size());
      if (!request.body.ready()) {
        [[maybe_unused]] const bool told = co_await request.body.changed();
      }
    }
    std::string answer = concat(std::to_string(size), same ? " same" : " different");
    if (request.body.has_value()) {
      for (const auto field : request.body.trailers())
        answer += concat(" ", field.name, "=", field.value);
    }
    co_return text(answer);
  }
  http::Response head(const http::Request& request) {
    std::string out = concat(request.method.view(), " ", request.scheme.view(), " ",
                             request.authority.view(), " ", request.path.view(), "\n");
    for (const auto field : request.headers) out += concat(field.name, ": ", field.value, "\n");
    return text(out);
  }
  http::Response upgrade(const http::Request& request) {
    http::Response response;
    if (request.form == http::TargetForm::Authority) {
      response.status = 200;
    } else {
      response.status = 101;
      response.headers.add("Upgrade", request.headers.get("upgrade").value_or(""));
      response.headers.add("Connection", "Upgrade");
    }
    auto [ours, theirs] = testing::make_pipe(loop_);
    response.upgraded = std::move(theirs);
    tunnels_.spawn(echo_bytes(std::move(ours)));
    return response;
  }

  net::Loop& loop_;
  net::Signal let_go_;
  std::list<Source> sources_;
  net::TaskScope tunnels_;
};

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

tls::CredentialsPtr load(const std::string& dir, const std::string& name,
                         std::vector<std::string> alpn) {
  tls::Credentials::Options options;
  options.anchors = *tls::Certificate::from_pem(read_file(dir + "/anchors.pem"));
  options.own =
      tls::Credentials::Own{*tls::PrivateKey::from_pem(read_file(concat(dir, "/", name, ".key"))),
                            *tls::Certificate::from_pem(read_file(concat(dir, "/", name, ".crt")))};
  options.alpn = std::move(alpn);
  return *tls::Credentials::make(std::move(options));
}

// Passes requests on as a proxy does: hop-by-hop fields go, everything else comes through as it is.
class Forward final : public http::Handler {
 public:
  Forward(net::Loop& loop, const Options& options) : loop_(loop), options_(options) {
    if (!options.to_tls_name.empty()) {
      credentials_ = load(options.to_tls_dir, "client.ns", {options.to_h2 ? "h2" : "http/1.1"});
    }
  }

  net::Task<Result<http::Response>> handle(http::Request request) override {
    const http::Version asked = request.version;
    const bool upgrade = request.wants_upgrade && !options_.to_h2;
    request.wants_upgrade = upgrade;
    http1::strip_hop_headers(request.headers, upgrade);
    request.version = options_.to_h2 ? http::Version::Http2 : http::Version::Http11;
    if (options_.to_h2) {
      request.headers.remove("transfer-encoding");
      request.scheme = "http";
    } else if (!request.headers.contains("host")) {
      const std::string host(request.authority.view());
      request.headers.add("host", host);
    }
    Result<http::Response> response = Error{Errc::Refused, ""};
    // What was refused before anything was processed may be sent again: after GOAWAY, or beyond a
    // limit not known yet.
    for (int tries = 0; tries < kTries && !response && response.error().code == Errc::Refused;
         ++tries) {
      Result<http::Client*> client = co_await connection();
      if (!client) co_return unavailable(client.error());
      if (request.body.has_value()) tries = kTries;
      http::Request once = tries < kTries ? copy(request) : std::move(request);
      const Deadline by = loop_.after(30s);
      response = co_await (*client)->send(std::move(once), by);
    }
    if (!response) {
      if (response.error().code == Errc::Reset) co_return response;
      co_return unavailable(response.error());
    }
    http1::strip_hop_headers(response->headers, response->upgraded != nullptr);
    if (asked == http::Version::Http2) response->headers.remove("transfer-encoding");
    response->version = asked;
    co_return response;
  }

 private:
  static constexpr int kTries = 100;
  static http::Request copy(const http::Request& request) {
    http::Request out;
    static_cast<http::RequestHead&>(out) = request;
    out.informational = request.informational;
    out.wants_upgrade = request.wants_upgrade;
    return out;
  }
  http::Response unavailable(const Error& error) {
    return http::make_text_response(loop_, 502, concat(to_string(error.code), ": ", error.where));
  }
  net::Task<Result<net::StreamPtr>> dial() {
    const Deadline by = loop_.after(10s);
    const net::SocketAddr to{net::IpAddr::v4(0x7f000001), options_.to_port};
    const net::TcpOptions tcp_options;
    Result<std::unique_ptr<net::TcpStream>> tcp =
        co_await net::connect_tcp(loop_, sockets_, to, tcp_options, by);
    if (!tcp) co_return tcp.error();
    net::StreamPtr stream = *std::move(tcp);
    if (credentials_ == nullptr) co_return Result<net::StreamPtr>(std::move(stream));
    tls::ClientOptions tls_options{options_.to_tls_name, options_.to_tls_name, true};
    tls::TlsResult session =
        co_await tls::connect_tls(std::move(stream), credentials_, std::move(tls_options), by);
    if (!session) co_return session.error();
    stream = *std::move(session);
    co_return Result<net::StreamPtr>(std::move(stream));
  }
  // One HTTP/2 connection, or one HTTP/1 connection for each request under way.
  net::Task<Result<http::Client*>> connection() {
    if (options_.to_h2) {
      if (h2_ && h2_->accepting() && h2_->available() != 0)
        co_return static_cast<http::Client*>(h2_.get());
    } else {
      for (const auto& one : h1_) {
        if (one->reusable()) co_return static_cast<http::Client*>(one.get());
      }
      std::erase_if(h1_, [](const auto& one) { return one->idle(); });
    }
    Result<net::StreamPtr> stream = co_await dial();
    if (!stream) co_return stream.error();
    if (options_.to_h2) {
      if (h2_) old_.push_back(std::move(h2_));
      h2_ = h2::ClientConnection::make(*std::move(stream), {});
      co_return static_cast<http::Client*>(h2_.get());
    }
    h1_.push_back(http1::ClientConnection::make(*std::move(stream), options_.limits));
    co_return static_cast<http::Client*>(h1_.back().get());
  }

  net::Loop& loop_;
  const Options& options_;
  net::HostSockets sockets_;
  tls::CredentialsPtr credentials_;
  std::unique_ptr<h2::ClientConnection> h2_;
  std::vector<std::unique_ptr<h2::ClientConnection>> old_;
  std::vector<std::unique_ptr<http1::ClientConnection>> h1_;
};

// One accepted connection: TLS if asked for, then what ALPN or the first bytes say.
net::Task<void> serve(net::StreamPtr stream, http::Handler& handler, const Options& options,
                      tls::CredentialsPtr credentials, net::Drain& drain) {
  net::Loop& loop = stream->loop();
  const Deadline by = loop.after(10s);
  bool h2 = false;
  if (credentials) {
    const tls::ServerOptions tls_options{.alpn = true};
    tls::TlsResult session =
        co_await tls::accept_tls(std::move(stream), std::move(credentials), tls_options, by);
    if (!session) co_return;
    h2 = (*session)->alpn() == "h2";
    stream = *std::move(session);
  } else if (options.only_h2) {
    h2 = true;
  } else {
    ByteQueue first;
    http1::Detected detected = http1::Detected::NeedMore;
    while (detected == http1::Detected::NeedMore && first.size() < std::size_t{64} * 1024) {
      std::uint8_t piece[4096];
      const Result<std::size_t> n = co_await net::read_some(*stream, piece, by);
      if (!n || *n == 0) break;
      first.append(Bytes(piece, *n));
      detected = http1::detect(first.data());
    }
    h2 = detected == http1::Detected::Http2;
    stream = std::make_unique<net::ReplayStream>(std::move(stream), std::move(first));
  }
  if (h2) {
    h2::ServerOptions server_options;
    server_options.max_concurrent_streams = options.streams;
    co_await h2::serve(std::move(stream), handler, server_options, drain);
  } else {
    http1::ServerOptions server_options;
    server_options.limits = options.limits;
    co_await http1::serve(std::move(stream), handler, server_options, drain);
  }
}

net::Task<void> accept_all(net::TcpListener& listener, http::Handler& handler,
                           const Options& options, tls::CredentialsPtr credentials,
                           net::Drain& drain, net::TaskScope& scope) {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener.accept();
    if (!accepted) co_return;
    scope.spawn(serve(std::move(accepted->stream), handler, options, credentials, drain));
  }
}

bool parse(int argc, char** argv, Options& options) {
  int at = 2;
  if (std::string_view(argv[1]) == "forward") {
    if (argc < 3) return false;
    options.to_port = parse_number<std::uint16_t>(argv[at++]).value_or(0);
  }
  while (at < argc) {
    const std::string_view name = argv[at++];
    const auto next = [&]() -> std::string { return at < argc ? argv[at++] : ""; };
    if (name == "--tls") {
      options.tls_dir = next();
      options.tls_name = next();
    } else if (name == "--alpn") {
      const std::string list = next();
      options.alpn.clear();
      for (const std::string_view one : split(list, ',')) options.alpn.emplace_back(one);
    } else if (name == "--to-tls") {
      options.to_tls_dir = next();
      options.to_tls_name = next();
    } else if (name == "--h2") {
      options.only_h2 = true;
    } else if (name == "--to-h2") {
      options.to_h2 = true;
    } else if (name == "--streams") {
      options.streams = parse_number<std::uint32_t>(next()).value_or(0);
    } else if (name == "--max-head") {
      options.limits.max_head = parse_number<std::size_t>(next()).value_or(0);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  Options options;
  if (argc < 2 || !parse(argc, argv, options)) return 64;
  auto loop = net::Loop::create();
  if (!loop) return 1;
  net::HostSockets sockets;
  const net::SocketAddr at{net::IpAddr::v4(0x7f000001), 0};
  auto listener = net::listen_tcp(**loop, sockets, at, {});
  if (!listener) return 1;
  std::printf("%u\n", unsigned{(*listener)->local_addr().port});
  std::fflush(stdout);
  tls::CredentialsPtr credentials;
  if (!options.tls_name.empty())
    credentials = load(options.tls_dir, options.tls_name, options.alpn);
  std::unique_ptr<Script> script;
  std::unique_ptr<Forward> forward;
  http::Handler* handler = nullptr;
  if (std::string_view(argv[1]) == "forward") {
    handler = (forward = std::make_unique<Forward>(**loop, options)).get();
  } else {
    handler = (script = std::make_unique<Script>(**loop)).get();
  }
  net::Drain drain;
  net::TaskScope connections;
  net::TaskScope accepting;
  accepting.spawn(accept_all(**listener, *handler, options, credentials, drain, connections));
  (*loop)->run();
  return 0;
}
