// SPDX-License-Identifier: Apache-2.0
#include "proxy/testing/support.h"

#include <cerrno>
#include <cstdlib>

#include "lib/base/text.h"
#include "proxy/endpoint/local_target.h"

namespace tulle::proxy::test {
namespace {

// A watch that ends when nobody is subscribed any more: what is published then reaches nobody.
template <typename Watches, typename Key>
net::Task<void> go_on(net::Loop& loop, Watches& watches, Key key) {
  struct Ended {
    Watches& watches;
    const Key& key;
    ~Ended() { watches.erase(key); }
  };
  const Ended ended{watches, key};
  co_await net::sleep_for(loop, 100'000h);
}

}  // namespace

std::map<std::string, std::string> small_environment(
    const std::map<std::string, std::string>& more) {
  std::map<std::string, std::string> environment = {
      {"IDENTITY_TRUST_ANCHORS", "pem"},
      {"IDENTITY_TOKEN_FILE", "/token"},
      {"IDENTITY_DIR", "/identity"},
      {"IDENTITY_LOCAL_NAME", "web.shop.serviceaccount.identity.linkerd.cluster.local"},
      {"IDENTITY_SVC_ADDR", "127.0.0.1:8080"},
      {"DESTINATION_SVC_ADDR", "127.0.0.1:8086"},
      {"POLICY_SVC_ADDR", "127.0.0.1:8090"},
      {"POLICY_WORKLOAD", R"({"ns":"shop","pod":"web-1"})"},
      {"POLICY_CLUSTER_NETWORKS", "10.0.0.0/8"},
      {"INBOUND_DEFAULT_POLICY", "all-unauthenticated"},
  };
  for (const auto& [name, value] : more) environment[name] = value;
  std::erase_if(environment, [](const auto& entry) { return entry.second.empty(); });
  return environment;
}

Config config_from(const std::map<std::string, std::string>& environment, ConfigNotes& notes,
                   unsigned cpus) {
  const EnvLookup lookup = [&](const char* name) -> const char* {
    const std::string_view text(name);
    constexpr std::string_view kPrefix = "LINKERD2_PROXY_";
    if (!text.starts_with(kPrefix)) return nullptr;
    const auto at = environment.find(std::string(text.substr(kPrefix.size())));
    return at == environment.end() ? nullptr : at->second.c_str();
  };
  return read_config(lookup, cpus, notes);
}

Config small_config(const std::map<std::string, std::string>& more) {
  ConfigNotes notes;
  Config config = config_from(small_environment(more), notes);
  for (const std::string& error : notes.errors) std::fprintf(stderr, "%s\n", error.c_str());
  if (!notes.errors.empty()) std::abort();
  return config;
}

Result<net::Fd> NoSockets::make(int /*family*/, int /*type*/) {
  ++asked;
  return Error{error, "socket"};
}

class TestWorker::PipeDialer final : public Dialer {
 public:
  explicit PipeDialer(testing::SimLoop& loop) : loop_(loop) {}
  net::Task<Result<Dialled>> dial(Session session) override {
    ++dials;
    if (!serve) co_return Error{Errc::Refused, "connect", ECONNREFUSED};
    auto [ours, theirs] = loop_.pipe();
    serve(session, std::move(theirs));
    Dialled dialled;
    dialled.stream = std::move(ours);
    dialled.tulle = tulle;
    co_return dialled;
  }
  Serve serve;
  bool tulle = false;
  int dials = 0;

 private:
  testing::SimLoop& loop_;
};

void TestWorker::on_dial(Serve serve) { dialer_->serve = std::move(serve); }
void TestWorker::meet_tulle(bool on) { dialer_->tulle = on; }
int TestWorker::dials() const noexcept { return dialer_->dials; }
TestWorker::~TestWorker() = default;

TestWorker::TestWorker(const std::map<std::string, std::string>& more, testing::SimLoop* loop)
    : own_loop_(loop == nullptr ? std::make_unique<testing::SimLoop>() : nullptr),
      loop_(loop == nullptr ? *own_loop_ : *loop),
      dialer_(std::make_unique<PipeDialer>(loop_)),
      config_(small_config(more)),
      metrics_(config_.metrics_retain_idle),
      sink_({.fd = 1, .off = true}, log::Filter::parse_lenient("off")),
      server_hub_(loop_.get(),
                  [this](std::uint16_t port, ServerPolicyHub::Publish publish) -> net::Task<void> {
                    servers_.watches[port] = publish;
                    if (servers_.state.contains(port)) publish(servers_.state[port]);
                    return go_on(loop_.get(), servers_.watches, port);
                  }),
      client_hub_(
          loop_.get(),
          [this](net::SocketAddr target, ClientPolicyHub::Publish publish) -> net::Task<void> {
            clients_.watches[target] = publish;
            if (clients_.state.contains(target)) publish(clients_.state[target]);
            return go_on(loop_.get(), clients_.watches, target);
          }),
      endpoint_hub_(loop_.get(),
                    [this](EndpointKey key, EndpointHub::Publish publish) -> net::Task<void> {
                      sets_.watches[key] = publish;
                      if (sets_.state.contains(key)) publish(sets_.state[key]);
                      return go_on(loop_.get(), sets_.watches, key);
                    }) {
  parts_ = std::make_unique<WorkloadParts>(
      WorkloadParts{config_, sockets_, metrics_, log::Logger(sink_, "linkerd"), sink_, server_hub_,
                    client_hub_, endpoint_hub_, wide_, dialer_.get()});
  worker_ = std::make_unique<Worker>(*parts_, loop_.get(), 1);
}

std::string TestWorker::scrape() {
  worker_->fold_accounts();
  return metrics_.registry().scrape();
}

double TestWorker::value(const std::string& series) {
  const std::string text = scrape();
  const auto at = text.find("\n" + series + " ");
  return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + series.size() + 2, nullptr);
}

void TestWorker::publish(std::uint16_t port, ServerPolicyPtr policy) {
  servers_.state[port] = policy;
  if (servers_.watches.contains(port)) servers_.watches[port](policy);
  loop_.drain();
}
void TestWorker::publish(const EndpointKey& key, EndpointSet set) {
  set.known = true;
  auto shared = std::make_shared<const EndpointSet>(std::move(set));
  sets_.state[key] = shared;
  if (sets_.watches.contains(key)) sets_.watches[key](shared);
  loop_.drain();
}
void TestWorker::publish(const std::string& path, const EndpointSet& set) {
  for (const Family family : {Family::V4, Family::V6}) publish(EndpointKey{path, family}, set);
}
void TestWorker::publish(const net::SocketAddr& target, ClientPolicyPtr policy) {
  clients_.state[target] = policy;
  if (clients_.watches.contains(target)) clients_.watches[target](policy);
  loop_.drain();
}

net::SocketAddr addr(const std::string& text) { return *net::SocketAddr::parse(text); }

EndpointPtr endpoint(const std::string& at) {
  auto info = std::make_shared<EndpointInfo>();
  info->addr = addr(at);
  return info;
}

EndpointSet endpoints(const std::vector<std::string>& at) {
  EndpointSet set;
  set.known = true;
  for (const std::string& text : at) set.endpoints.push_back(endpoint(text));
  return set;
}

Peer peer(const std::string& ip, const std::string& identity) {
  Peer made;
  made.addr = {*net::IpAddr::parse(ip), 40'000};
  if (!identity.empty()) {
    made.tls = Peer::Tls::Terminated;
    made.identity = identity;
    made.tulle = true;
  }
  return made;
}

http::Request request(std::string_view method, std::string_view path, std::string_view authority,
                      std::vector<std::pair<std::string, std::string>> headers) {
  http::Request made;
  made.method = method;
  made.path = path;
  made.authority = authority;
  for (const auto& [name, value] : headers) made.headers.add(name, value);
  return made;
}

}  // namespace tulle::proxy::test
