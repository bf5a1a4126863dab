// SPDX-License-Identifier: Apache-2.0
// The whole control plane over real sockets on the loopback interface, as a proxy meets it.
#include "control/control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>

#include "lib/base/text.h"
#include "lib/grpc/client.h"
#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "lib/tls/jwt.h"
#include "lib/tls/stream.h"
#include "proto/identity.pb.h"

namespace tulle::control {
namespace {

using Get = pb::destination::Destination::Get;
using WatchPort = pb::inbound::InboundServerPolicies::WatchPort;
using Certify = pb::identity::Identity::Certify;

constexpr std::string_view kWeb = "web.shop.serviceaccount.identity.linkerd.cluster.local";
constexpr std::string_view kIdentity =
    "linkerd-identity.linkerd.serviceaccount.identity.linkerd.cluster.local";
constexpr std::string_view kDestination =
    "linkerd-destination.linkerd.serviceaccount.identity.linkerd.cluster.local";
constexpr std::string_view kManifest = R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}], selector: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web, linkerd.io/control-plane-ns: linkerd}}
spec: {serviceAccountName: web, containers: [{name: linkerd-proxy}]}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
)";

class ControlTest : public ::testing::Test {
 protected:
  ControlTest() {
    std::string name = (std::filesystem::temp_directory_path() / "tulle-control-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    std::filesystem::create_directory(folder + "/manifests");
    write("manifests/a.yaml", kManifest);
    write("token.pub", token_key.public_to_pem());
    loop = *net::Loop::create();
    options.source = Options::Source::Folder;
    options.manifests = folder + "/manifests";
    options.issuer = folder + "/issuer";
    options.generate_issuer = true;
    options.token_key = folder + "/token.pub";
    options.listen = *net::IpAddr::parse("127.0.0.1");
    options.identity_port = options.destination_port = options.policy_port = 0;
    options.admin_port = options.dest_admin_port = 0;
  }
  ~ControlTest() override {
    control.reset();
    std::filesystem::remove_all(folder);
  }
  void write(std::string_view file, std::string_view text) {
    const std::string path = concat(folder, "/", file);
    std::ofstream(path + ".new") << text;
    std::filesystem::rename(path + ".new", path);
  }
  void start() {
    control = std::make_unique<Control>(*loop, log::Logger(sink, "test"), options);
    EXPECT_EQ(control->start(sockets), "");
  }
  // Turns the loop until the task is done.
  template <typename T>
  T run(net::Task<T> task) {
    std::optional<T> out;
    net::TaskScope scope;
    scope.spawn(keep(std::move(task), &out));
    const TimePoint end = monotonic_now() + 10s;
    while (!out && monotonic_now() < end) loop->run_once(100ms);
    TULLE_CHECK(out.has_value());
    return *std::move(out);
  }
  template <typename T>
  static net::Task<void> keep(net::Task<T> task, std::optional<T>* out) {
    out->emplace(co_await std::move(task));
  }
  Deadline soon() { return loop->after(5s); }
  net::StreamPtr connect(net::SocketAddr to) {
    auto stream = run(net::connect_tcp(*loop, sockets, to, {}, soon()));
    EXPECT_TRUE(stream);
    return *std::move(stream);
  }
  tls::CredentialsPtr trust() {
    std::ifstream file(folder + "/issuer/ca.crt");
    const std::string pem{std::istreambuf_iterator<char>(file), {}};
    return *tls::Credentials::make(
        {.anchors = *tls::Certificate::from_pem(pem), .own = {}, .alpn = {}});
  }
  Result<std::unique_ptr<tls::TlsStream>> handshake(net::SocketAddr to, std::string_view name) {
    return run(tls::connect_tls(connect(to), trust(),
                                {.server_name = std::string(name), .identity = std::string(name)},
                                soon()));
  }
  std::string token() {
    return tls::sign_token({.subject = "system:serviceaccount:shop:web",
                            .audience = {"identity.l5d.io"},
                            .not_before = wall_now(),
                            .expires = wall_now() + 1h,
                            .claims = {}},
                           token_key);
  }
  http::Response get_http(net::SocketAddr at, std::string_view path) {
    const auto connection = http1::ClientConnection::make(connect(at));
    http::Request request;
    request.method = "GET";
    request.path = path;
    request.headers.add("host", "localhost");
    auto response = run(connection->send(std::move(request), soon()));
    EXPECT_TRUE(response);
    const TimePoint end = monotonic_now() + 5s;
    while (!response->body.complete() && monotonic_now() < end) loop->run_once(10ms);
    return *std::move(response);
  }

  std::string folder;
  tls::PrivateKey token_key = tls::PrivateKey::generate();
  net::HostSockets sockets;
  std::unique_ptr<net::Loop> loop;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  Options options;
  std::unique_ptr<Control> control;
};

TEST_F(ControlTest, ServesItsPortsUnderItsOwnCertificates) {
  start();
  const Control::Addresses at = control->addresses();
  const struct {
    net::SocketAddr port;
    std::string_view name;
    bool good;
  } cases[] = {{*at.identity, kIdentity, true},
               {*at.destination, kDestination, true},
               {*at.policy, kDestination, true},
               {*at.policy, kWeb, false},
               {*at.policy, "", false}};
  for (const auto& c : cases) {
    const auto session = handshake(c.port, c.name);
    EXPECT_EQ(session.has_value(), c.good) << c.name;
  }
}

TEST_F(ControlTest, CertifiesOverTlsWithoutAClientCertificate) {
  start();
  auto session = handshake(*control->addresses().identity, kIdentity);
  ASSERT_TRUE(session);
  const auto http2 = h2::ClientConnection::make(*std::move(session), {});
  grpc::Channel channel(*loop, *http2, {.authority = "identity"});
  const tls::PrivateKey key = tls::PrivateKey::generate();
  const pb::identity::CertifyRequest request{
      .identity = std::string(kWeb),
      .token = token(),
      .certificate_signing_request = tls::make_csr(key, kWeb)};
  auto response = run(grpc::call_unary<Certify>(channel, request));
  ASSERT_TRUE(response) << response.status().message;
  EXPECT_EQ(tls::Certificate::from_der(as_bytes(response->leaf_certificate))->identity(), kWeb);
  EXPECT_EQ(response->trust_anchors.size(), 1U);
  // A port serves its own role only.
  const pb::inbound::PortSpec spec{.workload = "shop:web-0", .port = 80};
  const auto other =
      run(grpc::call_unary<pb::inbound::InboundServerPolicies::GetPort>(channel, spec));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.status().code, grpc::Code::Unimplemented);
}

TEST_F(ControlTest, StreamsFollowTheFolder) {
  start();
  const auto http2 = h2::ClientConnection::make(connect(*control->addresses().destination), {});
  grpc::Channel channel(*loop, *http2, {.authority = "destination"});
  auto stream = grpc::open_stream<Get>(channel, {.path = "web.shop.svc.cluster.local:80"});
  auto update = run(stream.read(soon()));
  ASSERT_TRUE(update && *update);
  ASSERT_EQ((*update)->add->addrs.size(), 1U);
  EXPECT_EQ((*update)->add->addrs[0].tls_identity->dns_like_identity->name, kWeb);
  // Broken text changes nothing; the next good one does, at once.
  write("manifests/a.yaml", "{");
  std::string changed(kManifest);
  changed.replace(changed.find("10.0.0.1,"), 9, "10.0.0.2,");
  write("manifests/a.yaml", changed);
  update = run(stream.read(soon()));
  ASSERT_TRUE(update && *update);
  EXPECT_EQ((*update)->add->addrs[0].addr->ip->ipv4, 0x0A000002U);
  update = run(stream.read(soon()));
  ASSERT_TRUE(update && *update);
  EXPECT_EQ((*update)->remove->addrs[0].ip->ipv4, 0x0A000001U);
  std::filesystem::remove(folder + "/manifests/a.yaml");
  update = run(stream.read(soon()));
  ASSERT_TRUE(update && *update);
  EXPECT_FALSE((*update)->no_endpoints->exists);
}

TEST_F(ControlTest, AWatchEndsWithItsWorkload) {
  start();
  const auto http2 = h2::ClientConnection::make(connect(*control->addresses().policy), {});
  grpc::Channel channel(*loop, *http2, {.authority = "policy"});
  auto stream = grpc::open_stream<WatchPort>(channel, {.workload = "shop:web-0", .port = 80});
  const auto server = run(stream.read(soon()));
  ASSERT_TRUE(server && *server);
  EXPECT_EQ((*server)->labels.at("name"), "all-unauthenticated");
  write("manifests/b.yaml",
        "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: {name: srv, namespace: "
        "shop}\n"
        "spec: {port: 80, podSelector: {}}\n");
  const auto next = run(stream.read(soon()));
  ASSERT_TRUE(next && *next);
  EXPECT_EQ((*next)->labels.at("name"), "srv");
  std::filesystem::remove(folder + "/manifests/a.yaml");
  const auto end = run(stream.read(soon()));
  ASSERT_FALSE(end);
  EXPECT_EQ(end.status().code, grpc::Code::NotFound);
}

TEST_F(ControlTest, DrainsPolitely) {
  start();
  const auto http2 = h2::ClientConnection::make(connect(*control->addresses().destination), {});
  grpc::Channel channel(*loop, *http2, {.authority = "destination"});
  auto stream = grpc::open_stream<Get>(channel, {.path = "web.shop.svc.cluster.local:80"});
  auto update = run(stream.read(soon()));
  ASSERT_TRUE(update && *update);
  EXPECT_TRUE(run(control->drain(soon())));
  update = run(stream.read(soon()));
  ASSERT_TRUE(update);
  EXPECT_FALSE(update->has_value());  // ended with OK
}

TEST_F(ControlTest, SaysWhetherItIsReady) {
  options.generate_issuer = false;
  start();
  const net::SocketAddr admin = *control->addresses().admin;
  EXPECT_EQ(get_http(admin, "/live").status, 200);
  EXPECT_EQ(get_http(admin, "/ready").status, 503);
  EXPECT_EQ(get_http(admin, "/nothing").status, 404);
  const tls::Issuer root = tls::make_anchor("identity.linkerd.cluster.local", 24h);
  std::filesystem::create_directory(folder + "/issuer");
  write("issuer/tls.key", root.key.to_pem());
  write("issuer/ca.crt", root.certificate.to_pem());
  write("issuer/tls.crt", root.certificate.to_pem());
  const TimePoint end = monotonic_now() + 10s;
  std::uint16_t status = 0;
  while (status != 200 && monotonic_now() < end) status = get_http(admin, "/ready").status;
  EXPECT_EQ(status, 200);
  EXPECT_EQ(get_http(*control->addresses().dest_admin, "/metrics").status, 200);
}

// 100 of them once took the probes away, and with them the whole control plane.
TEST_F(ControlTest, ProbesGetThroughSilentConnections) {
  start();
  for (const net::SocketAddr at : {*control->addresses().admin, *control->addresses().dest_admin}) {
    std::vector<net::StreamPtr> silent;
    for (int i = 0; i < 600; ++i) {
      silent.push_back(connect(at));
      if (i % 2 == 0) EXPECT_TRUE(silent.back()->try_write(as_bytes("GET /live HTTP/1.1\r\nX: ")));
    }
    for (int i = 0; i < 10; ++i) EXPECT_EQ(get_http(at, "/live").status, 200);
  }
  const http::Response scrape = get_http(*control->addresses().admin, "/metrics");
  const std::string metrics(as_text(scrape.body.data()));
  EXPECT_NE(metrics.find("tulle_connections_refused_total{port=\"admin\",reason=\"gave_way\"}"),
            std::string::npos)
      << metrics;
}

// Nobody needs a certificate to begin a message; what all of them hold together is bounded, and a
// proxy's call and its watch go on beside them.
TEST_F(ControlTest, UnfinishedMessagesAreBounded) {
  start();
  const auto kept = h2::ClientConnection::make(connect(*control->addresses().destination), {});
  grpc::Channel watching(*loop, *kept, {.authority = "destination"});
  auto watch = grpc::open_stream<Get>(watching, {.path = "web.shop.svc.cluster.local:80"});
  EXPECT_TRUE(run(watch.read(soon())));
  struct Half {
    http::BodyWriter body;
    std::optional<Result<http::Response>> response;
    net::TaskScope scope;
  };
  std::vector<std::unique_ptr<h2::ClientConnection>> connections;
  std::deque<Half> halves;
  for (int c = 0; c < 10; ++c) {
    connections.push_back(h2::ClientConnection::make(connect(*control->addresses().identity), {}));
    for (int i = 0; i < 40; ++i) {
      Half& half = halves.emplace_back();
      http::Request request;
      request.method = "POST";
      request.scheme = "http";
      request.authority = "identity";
      request.path = Certify::kPath;
      request.headers.add("content-type", "application/grpc");
      auto [writer, reader] = http::make_body(*loop);
      half.body = std::move(writer);
      request.body = std::move(reader);
      half.scope.spawn(
          keep(connections.back()->send(std::move(request), loop->after(60s)), &half.response));
      half.body.write(as_bytes(std::string("\0\0\0\xEA\x60", 5) + std::string(50'000, 'x')));
      loop->run_once(1ms);
    }
  }
  const auto ended = [&] {
    return std::count_if(halves.begin(), halves.end(),
                         [](const Half& half) { return half.response.has_value(); });
  };
  // 8 MiB in all: about 150 of them; the oldest have ended.
  const TimePoint end = monotonic_now() + 20s;
  while (ended() < 200 && monotonic_now() < end) loop->run_once(10ms);
  EXPECT_GE(ended(), 200);
  EXPECT_TRUE(halves.front().response.has_value());
  const auto certifying = h2::ClientConnection::make(connect(*control->addresses().identity), {});
  grpc::Channel channel(*loop, *certifying, {.authority = "identity"});
  pb::identity::CertifyRequest asked;
  asked.identity = "nobody";
  const auto answer = run(grpc::call_unary<Certify>(channel, asked));
  EXPECT_FALSE(answer);
  EXPECT_NE(answer.status().code, grpc::Code::Unavailable);
  std::string changed(kManifest);
  changed.replace(changed.find("10.0.0.1,"), 9, "10.0.0.2,");
  write("manifests/a.yaml", changed);
  EXPECT_TRUE(run(watch.read(soon())));
}

TEST_F(ControlTest, AMessageOver64KiBIsRefused) {
  start();
  const auto http2 = h2::ClientConnection::make(connect(*control->addresses().identity), {});
  grpc::Channel channel(*loop, *http2, {.authority = "identity"});
  pb::identity::CertifyRequest request;
  request.token = std::string(70'000, 't');
  const auto answer = run(grpc::call_unary<Certify>(channel, request));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.status().code, grpc::Code::ResourceExhausted);
  EXPECT_LE(http2->available(), 250U);
}

TEST_F(ControlTest, NamesWhatKeepsItFromStarting) {
  options.manifests = folder + "/none";
  Control none(*loop, log::Logger(sink, "test"), options);
  EXPECT_EQ(none.start(sockets), options.manifests + ": No such file or directory");
  options.manifests = folder + "/manifests";
  start();
  options.policy_port = control->addresses().policy->port;
  Control second(*loop, log::Logger(sink, "test"), options);
  const std::string problem = second.start(sockets);
  EXPECT_NE(problem.find("(policy): Address already in use"), std::string::npos) << problem;
}

}  // namespace
}  // namespace tulle::control
