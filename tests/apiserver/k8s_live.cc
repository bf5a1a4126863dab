// SPDX-License-Identifier: Apache-2.0
// lib/k8s against a real API server, named by $KUBECONFIG: what the server in memory of the unit
// tests cannot know. Prints what fails; run by kubernetes_test.py.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "lib/base/text.h"
#include "lib/k8s/client.h"
#include "lib/k8s/events.h"
#include "lib/k8s/lease.h"
#include "lib/k8s/reflector.h"
#include "lib/k8s/reviews.h"
#include "lib/k8s/write.h"

namespace {

using namespace tulle;       // NOLINT: this is a program
using namespace tulle::k8s;  // NOLINT

int failures = 0;
#define EXPECT(condition, text)                                                                  \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      ++failures;                                                                                \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, std::string(text).c_str()); \
    }                                                                                            \
  } while (false)

struct Live {
  explicit Live(ClusterAccess access)
      : loop(*net::Loop::create()),
        dialer(*loop, sockets, access, 1),
        client(*loop, dialer, access, log, ApiClient::Options{}) {}

  template <typename T>
  static net::Task<void> keep(net::Task<T> task, std::optional<T>* out) {
    out->emplace(co_await std::move(task));
  }
  template <typename T>
  T run(net::Task<T> task) {
    std::optional<T> out;
    net::TaskScope scope;
    scope.spawn(keep(std::move(task), &out));
    while (!out) loop->run_once(100ms);
    return *std::move(out);
  }
  ApiResponse call(ApiRequest request) {
    return run(client.call(std::move(request), loop->after(10s)));
  }
  // Turns the loop until it holds, or 20 s are over.
  template <typename Check>
  bool comes(Check check) {
    const TimePoint end = monotonic_now() + 20s;
    while (!check() && monotonic_now() < end) loop->run_once(50ms);
    return check();
  }

  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  log::Logger log{sink, "live"};
  net::HostSockets sockets;
  std::unique_ptr<net::Loop> loop;
  ServerDialer dialer;
  ApiClient client;
};

bool has(const ApiResponse& response, std::string_view text) {
  return response.body.find(text) != std::string::npos;
}

void writes(Live& live) {
  const ObjectPath object{kConfigMaps, "default", "live", {}, {}};
  ApiResponse r = live.call(create(
      {kConfigMaps, "default", {}},
      R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"live"},"data":{"a":"1","b":"2"}})"));
  EXPECT(r.status.code == 201, r.status.to_string());
  r = live.call(create({kConfigMaps, "default", {}},
                       R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"live"}})"));
  EXPECT(r.status.code == 409 && r.status.reason == "AlreadyExists", r.status.to_string());
  r = live.call(merge_patch(object, R"({"data":{"a":"9","b":null}})", "tulle-live"));
  EXPECT(r.ok() && has(r, R"("data":{"a":"9"})"), r.status.to_string() + r.body);
  // Server-side apply: fields of ours come and go, those of others are not taken without force.
  const auto applied = [&](std::string_view data, bool force) {
    return live.call(
        apply(object,
              concat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"live"},"data":)",
                     data, "}"),
              "tulle-apply", force));
  };
  r = applied(R"({"c":"3"})", false);
  EXPECT(r.ok() && has(r, R"("c":"3")") && has(r, R"("a":"9")"), r.status.to_string() + r.body);
  r = applied(R"({"a":"0"})", false);
  EXPECT(r.status.code == 409, r.status.to_string());
  r = applied(R"({"a":"0"})", true);
  EXPECT(r.ok() && has(r, R"("data":{"a":"0"})"), r.status.to_string() + r.body);
  r = live.call(json_patch(object, R"([{"op":"add","path":"/data/d","value":"4"}])", "tulle-live"));
  EXPECT(r.ok() && has(r, R"("d":"4")"), r.status.to_string() + r.body);
  r = live.call(remove(object, "00000000-0000-0000-0000-000000000000"));
  EXPECT(r.status.code == 409, r.status.to_string());
  r = live.call(remove(object));
  EXPECT(r.ok(), r.status.to_string());
  r = live.call(get(object));
  EXPECT(r.status.code == 404 && r.status.reason == "NotFound", r.status.to_string());
  // The status of an object is a resource of its own.
  r = live.call(create({kServices, "default", {}},
                       R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"live"},)"
                       R"("spec":{"type":"LoadBalancer","ports":[{"port":80}]}})"));
  EXPECT(r.ok(), r.status.to_string());
  r = live.call(merge_patch({kServices, "default", "live", "status", {}},
                            R"({"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}})",
                            "tulle-live"));
  EXPECT(r.ok() && has(r, "192.0.2.1"), r.status.to_string() + r.body);
  r = live.call(remove({kServices, "default", "live", {}, {}}));
  EXPECT(r.ok(), r.status.to_string());
}

void leases(Live& live) {
  LeaderElection::Options options;
  options.ns = "default";
  options.name = "live";
  options.identity = "one";
  options.duration = 3s;
  options.renew = 1s;
  options.give_up = 2s;
  options.retry = 300ms;
  const ApiResponse ns = live.call(get({kNamespaces, "", "default", {}, {}}));
  EXPECT(ns.ok(), ns.status.to_string());
  constexpr std::string_view kUid = R"("uid":")";
  const std::size_t at = ns.body.find(kUid);
  EXPECT(at != std::string::npos, ns.body);
  const std::string uid = at == std::string::npos ? "" : ns.body.substr(at + kUid.size(), 36);
  options.owner = [uid]() -> net::Task<Result<std::string>> {
    co_return concat(R"([{"apiVersion":"v1","kind":"Namespace","name":"default","uid":")", uid,
                     R"("}])");
  };
  LeaderElection one(live.client, live.log, options, 1);
  options.identity = "two";
  LeaderElection two(live.client, live.log, options, 2);
  net::TaskScope first, second;
  first.spawn(one.run());
  EXPECT(live.comes([&] { return one.leader(); }), "one leads");
  second.spawn(two.run());
  const TimePoint end = monotonic_now() + 5s;
  while (monotonic_now() < end) {
    live.loop->run_once(50ms);
    EXPECT(one.leader() && !two.leader(), "only one leads");
  }
  // One dies: two takes over, and not before the lease is over.
  first.cancel();
  const TimePoint died = monotonic_now();
  EXPECT(live.comes([&] { return two.leader(); }), "two leads");
  EXPECT(!one.leader(), "one does not");
  EXPECT(monotonic_now() - died > 1500ms && monotonic_now() - died < 8s, "in time");
  const ApiResponse r = live.call(get({kLeases, "default", "live", {}, {}}));
  EXPECT(has(r, R"("holderIdentity":"two")") && has(r, R"("leaseTransitions":1)") && has(r, uid),
         r.body);
}

void events(Live& live) {
  EventRecorder::Options options;
  options.quiet = 500ms;
  EventRecorder recorder(live.client, live.log, options, 3);
  net::TaskScope scope;
  scope.spawn(recorder.run());
  EventTarget target;
  target.kind = "Namespace";
  target.name = "default";
  for (int i = 0; i < 5; ++i) {
    recorder.record(target, EventRecorder::Type::Warning, "LiveTest", "something happened");
  }
  EXPECT(live.comes([&] { return recorder.sent() == 1; }), "sent");
  recorder.record(target, EventRecorder::Type::Warning, "LiveTest", "something happened");
  EXPECT(live.comes([&] { return recorder.sent() == 2; }), "counted");
  ApiRequest list;
  list.path = path_of(kEvents, "default") + "?fieldSelector=reason%3DLiveTest";
  const ApiResponse r = live.call(std::move(list));
  EXPECT(has(r, R"("count":6)") && has(r, R"("type":"Warning")"), r.body);
}

void reviews(Live& live) {
  auto token = live.run(review_token(live.client, "no token", {"x"}, live.loop->after(10s)));
  EXPECT(std::holds_alternative<TokenAnswer>(token), "answered");
  EXPECT(!std::get<TokenAnswer>(token).authenticated && !std::get<TokenAnswer>(token).error.empty(),
         "not authenticated");
  AccessQuestion question;
  question.verb = "list";
  question.resource = "pods";
  auto own = live.run(review_access(live.client, question, live.loop->after(10s)));
  EXPECT(std::holds_alternative<AccessAnswer>(own) && std::get<AccessAnswer>(own).allowed, "admin");
  question.user = "nobody";
  auto other = live.run(review_access(live.client, question, live.loop->after(10s)));
  EXPECT(std::holds_alternative<AccessAnswer>(other) && !std::get<AccessAnswer>(other).allowed,
         "nobody may not");
}

// Lists in small pages of a real server, whose token can expire, and metadata alone.
void metadata(Live& live) {
  struct Count final : Receiver {
    std::size_t objects = 0;
    bool whole = false;
    void list_begin() override { objects = 0; }
    void list_end() override {}
    void put(std::string_view json) override {
      ++objects;
      whole |= json.find("\"spec\"") != std::string_view::npos;
    }
    void erase(std::string_view) override {}
  } count;
  Reflector::Options options;
  options.resource = kNamespaces;
  options.metadata_only = true;
  Reflector reflector(live.client, count, live.log, options, 4);
  net::TaskScope scope;
  scope.spawn(reflector.run());
  EXPECT(live.comes([&] { return reflector.synced(); }), reflector.problem());
  EXPECT(count.objects >= 4 && !count.whole, "namespaces without spec");
}

}  // namespace

int main() {
  const char* const path = std::getenv("KUBECONFIG");
  AccessResult access = kubeconfig_access(path != nullptr ? path : "");
  if (const auto* const problem = std::get_if<AccessProblem>(&access)) {
    std::printf("%s\n", problem->reason.c_str());
    return 1;
  }
  Live live(std::get<ClusterAccess>(access));
  writes(live);
  leases(live);
  events(live);
  reviews(live);
  metadata(live);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
