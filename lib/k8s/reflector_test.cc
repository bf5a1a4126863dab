// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/reflector.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "lib/k8s/decoder.h"
#include "lib/k8s/fake_server.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/manifest.h"

namespace tulle::k8s {
namespace {

// One object as the server writes it: managedFields first, what we read behind them.
std::string object(std::string_view name, std::string_view version, std::string_view value = "") {
  return concat(R"({"metadata":{"managedFields":[{"fieldsV1":{"f:x":{"}":{}}}}],"name":")", name,
                R"(","resourceVersion":")", version, R"("},"spec":{"clusterIP":")", value,
                R"("}})");
}
std::string list(std::string_view version, std::string_view items, std::string_view next = "") {
  return concat(R"({"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":")",
                version, R"(","continue":")", next, R"("},"items":[)", items, "]}");
}
FakeServer::Answer ok(std::string body) { return {200, std::move(body), "", false}; }
FakeServer::Answer refuse(std::uint16_t code, std::string_view reason) {
  return {code, FakeServer::status_json(code, reason), "", false};
}

// Holds what a reflector tells: name → clusterIP.
struct Store final : Receiver {
  std::map<std::string, std::string> objects;
  std::set<std::string> listed;
  int lists = 0;
  int open = 0;

  void before() override { ++open; }
  void after() override { --open; }
  void list_begin() override { listed.clear(); }
  void list_end() override {
    ++lists;
    std::erase_if(objects, [&](const auto& entry) { return !listed.contains(entry.first); });
  }
  static Service read(std::string_view json) {
    JsonSource source(json, JsonSource::Skipping::Unparsed);
    Service service;
    EXPECT_TRUE(source.next_document());
    EXPECT_FALSE(decode(source, service)) << json;
    return service;
  }
  void put(std::string_view json) override {
    const Service service = read(json);
    listed.insert(service.meta.name);
    objects[service.meta.name] = service.spec.cluster_ip;
  }
  void erase(std::string_view json) override { objects.erase(read(json).meta.name); }
};

class ReflectorTest : public ::testing::Test {
 protected:
  ReflectorTest() { options.resource = kServices; }
  ~ReflectorTest() override { scope.cancel(); }
  void start() {
    ClusterAccess access;
    access.host = "10.96.0.1";
    access.token = token;
    client = std::make_unique<ApiClient>(loop, server, access, log::Logger(sink, "test"),
                                         ApiClient::Options{});
    reflector = std::make_unique<Reflector>(*client, store, log::Logger(sink, "test"), options, 7);
    scope.spawn(reflector->run());
    loop.drain();
  }
  void lists(std::string body) {
    server.answer = [body](const FakeServer::Seen&) { return ok(body); };
  }
  using Objects = std::map<std::string, std::string>;
  std::string query(std::string_view name) {
    const std::string& path = server.watches.back().request.path;
    const std::size_t at = path.find(concat(name, "="));
    if (at == std::string::npos) return "";
    const std::size_t from = at + name.size() + 1;
    return path.substr(from, path.find('&', from) - from);
  }

  testing::SimLoop loop;
  FakeServer server{loop};
  Store store;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  Credential token{.file = {}, .text = "secret"};
  Reflector::Options options;
  std::unique_ptr<ApiClient> client;
  std::unique_ptr<Reflector> reflector;
  net::TaskScope scope;
};

TEST_F(ReflectorTest, ListsInPagesThenWatches) {
  server.answer = [](const FakeServer::Seen& seen) {
    if (seen.path == "/api/v1/services?limit=500") {
      return ok(list("10", concat(object("a", "3", "1"), ",", object("b", "4", "2")), "more/+"));
    }
    EXPECT_EQ(seen.path, "/api/v1/services?limit=500&continue=more%2F%2B");
    return ok(list("10", object("c", "5", "3")));
  };
  start();
  EXPECT_TRUE(reflector->synced());
  EXPECT_EQ(store.objects, (Objects{{"a", "1"}, {"b", "2"}, {"c", "3"}}));
  EXPECT_EQ(store.lists, 1);
  EXPECT_EQ(store.open, 0);
  ASSERT_EQ(server.watches.size(), 1U);
  EXPECT_EQ(query("resourceVersion"), "10");
  EXPECT_EQ(query("allowWatchBookmarks"), "true");
  EXPECT_EQ(query("timeoutSeconds"), "75");
  EXPECT_EQ(server.watches.back().request.token, "Bearer secret");

  server.event("MODIFIED", object("a", "11", "9"));
  server.event("DELETED", object("b", "12"));
  server.event("ADDED", object("d", "13", "4"));
  loop.drain();
  EXPECT_EQ(store.objects, (Objects{{"a", "9"}, {"c", "3"}, {"d", "4"}}));
  EXPECT_EQ(reflector->resource_version(), "13");
  EXPECT_EQ(store.open, 0);
}

TEST_F(ReflectorTest, GoesOnFromTheLastVersionAfterACut) {
  lists(list("10", object("a", "3")));
  start();
  server.event("ADDED", object("b", "12"));
  loop.drain();
  server.event("BOOKMARK", R"({"kind":"Service","metadata":{"resourceVersion":"40"}})");
  loop.drain();
  server.cut();
  loop.advance(2s);
  EXPECT_EQ(server.watches.size(), 2U);
  EXPECT_EQ(query("resourceVersion"), "40");
  EXPECT_EQ(reflector->stats().lists, 1U);
  // Half an event does nothing, and comes whole with the next watch.
  server.write(R"({"type":"ADDED","object":{"metadata":{"name":"c")");
  loop.drain();
  server.cut();
  loop.advance(2s);
  EXPECT_EQ(query("resourceVersion"), "40");
  EXPECT_EQ(store.objects.size(), 2U);
  // A watch that the server ends in time is simply the next one.
  server.event("ADDED", object("c", "41"));
  server.end_watch();
  loop.drain();
  EXPECT_EQ(query("resourceVersion"), "41");
  EXPECT_EQ(store.objects.size(), 3U);
}

TEST_F(ReflectorTest, ListsAnewWhenTheServerHasForgotten) {
  for (const bool in_event : {false, true}) {
    lists(list("10", concat(object("a", "3"), ",", object("b", "4"))));
    if (reflector == nullptr) start();
    EXPECT_EQ(store.objects.size(), 2U);
    // Meanwhile b was deleted, which no event tells any more.
    lists(list("90", object("a", "3")));
    if (in_event) {
      server.event("ERROR", FakeServer::status_json(410, "Expired"));
      loop.advance(1s);
    } else {
      server.watch_answer = refuse(410, "Expired");
      server.cut();
      loop.advance(100ms);
      server.watch_answer.reset();
      loop.advance(5s);
    }
    EXPECT_EQ(store.objects, (Objects{{"a", ""}})) << in_event;
    EXPECT_EQ(query("resourceVersion"), "90");
    lists(list("95", concat(object("a", "3"), ",", object("b", "4"))));
    server.event("ERROR", FakeServer::status_json(410, "Expired"));
    loop.advance(1s);
  }
  EXPECT_GE(reflector->stats().expired, 3U);
}

TEST_F(ReflectorTest, ListsWholeWhenPagesExpire) {
  server.answer = [](const FakeServer::Seen& seen) {
    if (seen.path.find("continue=") != std::string::npos) return refuse(410, "Expired");
    const bool paged = seen.path.find("limit=") != std::string::npos;
    return ok(list("10", object("a", "3"), paged ? "next" : ""));
  };
  start();
  EXPECT_FALSE(reflector->synced());
  loop.advance(1s);
  EXPECT_TRUE(reflector->synced());
  EXPECT_EQ(server.count("limit="), 2U);
  EXPECT_EQ(server.count("/services?resourceVersion="), 1U);
}

TEST_F(ReflectorTest, NoticesAStalledWatch) {
  lists(list("10", object("a", "3")));
  start();
  // No bookmarks: the server should have ended it after 75 s.
  loop.advance(80s);
  EXPECT_EQ(server.watches.size(), 1U);
  loop.advance(10s);
  EXPECT_EQ(server.watches.size(), 2U);
  EXPECT_TRUE(server.watches.front().abandoned());
  EXPECT_EQ(reflector->stats().stalled, 1U);
  // It sends bookmarks: the next watch is long, and silence of 85 s is a stall.
  loop.advance(60s);
  server.event("BOOKMARK", R"({"metadata":{"resourceVersion":"20"}})");
  loop.advance(10s);
  server.end_watch();
  loop.drain();
  ASSERT_EQ(server.watches.size(), 3U);
  EXPECT_GE(*parse_number<int>(query("timeoutSeconds")), 480);
  for (int i = 0; i < 5; ++i) {
    loop.advance(60s);
    server.event("BOOKMARK",
                 concat(R"({"metadata":{"resourceVersion":")", std::to_string(30 + i), "\"}}"));
    loop.drain();
  }
  EXPECT_EQ(server.watches.size(), 3U);
  loop.advance(84s);
  EXPECT_EQ(server.watches.size(), 3U);
  loop.advance(5s);
  ASSERT_EQ(server.watches.size(), 4U);
  EXPECT_EQ(query("timeoutSeconds"), "75");
  EXPECT_EQ(query("resourceVersion"), "34");
}

TEST_F(ReflectorTest, BacksOffAndHeedsRetryAfter) {
  server.answer = [](const FakeServer::Seen&) { return refuse(500, "InternalError"); };
  start();
  loop.advance(60s);
  EXPECT_FALSE(reflector->synced());
  EXPECT_EQ(reflector->problem(), "500 InternalError: no InternalError");
  // At most every 2.5 s once it has got used to it, at least every 5 s.
  EXPECT_GE(server.requests.size(), 14U);
  EXPECT_LE(server.requests.size(), 35U);
  server.answer = [](const FakeServer::Seen&) {
    auto answer = refuse(429, "TooManyRequests");
    answer.retry_after = "30";
    return answer;
  };
  loop.advance(10s);
  const std::size_t before = server.requests.size();
  loop.advance(60s);
  EXPECT_GE(server.requests.size(), before + 1);
  EXPECT_LE(server.requests.size(), before + 3);
  lists(list("10", object("a", "3")));
  loop.advance(60s);
  EXPECT_TRUE(reflector->synced());
  EXPECT_EQ(reflector->problem(), "");
}

TEST_F(ReflectorTest, AServerThatEndsEveryWatchAtOnceIsNotHammered) {
  lists(list("10", object("a", "3")));
  server.watch_answer = ok("");
  start();
  loop.advance(60s);
  EXPECT_LE(reflector->stats().watches, 40U);
  // Nor one that has forgotten every version as soon as it gave it.
  server.watch_answer = refuse(410, "Expired");
  const auto before = reflector->stats().lists;
  loop.advance(60s);
  EXPECT_LE(reflector->stats().lists, before + 40);
}

TEST_F(ReflectorTest, WaitsForAServerThatIsAway) {
  server.reachable = false;
  start();
  loop.advance(40s);
  EXPECT_FALSE(reflector->synced());
  EXPECT_LE(server.dials, 40);
  lists(list("10", object("a", "3")));
  server.reachable = true;
  loop.advance(5s);
  EXPECT_TRUE(reflector->synced());
  const auto lists_before = reflector->stats().lists;
  // Away again: what is known stays.
  server.reachable = false;
  server.cut();
  loop.advance(10min);
  EXPECT_EQ(store.objects.size(), 1U);
  EXPECT_NE(reflector->problem(), "");
  server.reachable = true;
  loop.advance(5s);
  EXPECT_EQ(reflector->problem(), "");
  EXPECT_EQ(reflector->stats().lists, lists_before);
}

TEST_F(ReflectorTest, AResourceThatIsNotThereIsLookedForInAllVersions) {
  options.resource = {"policy.linkerd.io", "servers", "v1beta3,v1beta2"};
  options.optional = true;
  start();
  EXPECT_TRUE(reflector->synced());
  EXPECT_TRUE(reflector->missing());
  EXPECT_EQ(server.count("/v1beta3/servers"), 1U);
  EXPECT_EQ(server.count("/v1beta2/servers"), 1U);
  const auto there = [](const FakeServer::Seen& seen) {
    if (seen.path.find("v1beta2") == std::string::npos) return refuse(404, "NotFound");
    return ok(list("10", object("a", "3")));
  };
  server.answer = there;
  loop.advance(Reflector::kMissing + 1s);
  EXPECT_FALSE(reflector->missing());
  EXPECT_EQ(store.objects.size(), 1U);
  EXPECT_EQ(server.count("/v1beta2/servers?watch=1"), 1U);
  // Gone: believed after a minute only, a server that starts may deny for a moment what it has.
  server.answer = [](const FakeServer::Seen&) { return refuse(404, "NotFound"); };
  server.watch_answer = refuse(404, "NotFound");
  server.cut();
  loop.advance(50s);
  EXPECT_EQ(store.objects.size(), 1U);
  loop.advance(60s);
  EXPECT_EQ(store.objects.size(), 0U);
  server.watch_answer.reset();
  server.answer = there;
  loop.advance(31s);
  EXPECT_EQ(store.objects.size(), 1U);
}

TEST_F(ReflectorTest, AResourceThatMustBeThereIsNotSyncedWithoutIt) {
  server.answer = [](const FakeServer::Seen&) { return refuse(403, "Forbidden"); };
  start();
  loop.advance(5min);
  EXPECT_FALSE(reflector->synced());
  EXPECT_EQ(reflector->problem(), "403 Forbidden: no Forbidden");
  server.answer = [](const FakeServer::Seen&) { return refuse(404, "NotFound"); };
  loop.advance(5min);
  EXPECT_FALSE(reflector->synced());
}

TEST_F(ReflectorTest, GarbageChangesNothing) {
  lists(list("10", object("a", "3", "1")));
  start();
  const std::string_view garbage[] = {"\x01\x02\x03",
                                      "{\"type\":\"ADDED\"}\n",
                                      "{\"type\":\"ADDED\",\"object\":{\"metadata\":{}}}\n",
                                      "{\"type\":\"MODIFIED\",\"object\":[1]}\n",
                                      "[]\n",
                                      "{\"type\":5,\"object\":{}}\n",
                                      "}}}}"};
  for (const std::string_view bytes : garbage) {
    const std::size_t before = server.watches.size();
    server.write(bytes);
    loop.advance(15s);
    EXPECT_GT(server.watches.size(), before) << bytes;
    EXPECT_EQ(query("resourceVersion"), "10") << bytes;
    EXPECT_EQ(store.objects, (Objects{{"a", "1"}})) << bytes;
  }
  // A list that is cut off or no list is no list.
  server.event("ERROR", FakeServer::status_json(410, "Expired"));
  for (const std::string_view body : {R"({"metadata":{"resourceVersion":"20"},"items":[)", "[]", "",
                                      R"({"items":[]})", "<html>"}) {
    lists(std::string(body));
    loop.advance(10s);
    EXPECT_EQ(store.objects, (Objects{{"a", "1"}})) << body;
  }
  lists(list("30", object("b", "3", "2")));
  loop.advance(10s);
  EXPECT_EQ(store.objects, (Objects{{"b", "2"}}));
}

TEST_F(ReflectorTest, AListThatBreaksOffIsBegunAnew) {
  int attempts = 0;
  server.answer = [&](const FakeServer::Seen& seen) {
    if (seen.path.find("continue=") == std::string::npos)
      return ok(list("10", object("a", "3"), "n"));
    if (++attempts == 1) return refuse(503, "ServiceUnavailable");
    return ok(list("10", object("b", "3")));
  };
  start();
  loop.advance(5s);
  EXPECT_TRUE(reflector->synced());
  EXPECT_EQ(store.objects.size(), 2U);
  EXPECT_EQ(store.lists, 1);
}

TEST_F(ReflectorTest, AServerThatDoesNotAnswerIsGivenUp) {
  FakeServer::Answer silent;
  silent.silent = true;
  server.answer = [&](const FakeServer::Seen&) { return silent; };
  start();
  loop.advance(25s);
  EXPECT_GE(server.requests.size(), 2U);
  lists(list("10", object("a", "3")));
  loop.advance(30s);
  EXPECT_TRUE(reflector->synced());
}

TEST_F(ReflectorTest, AnotherClusterBehindTheAddressIsListedAnew) {
  server.continuity_forbidden = false;
  server.revision = "10";
  lists(list("10", concat(object("a", "3"), ",", object("b", "4"))));
  start();
  EXPECT_EQ(store.objects.size(), 2U);
  // The same cluster, later: no list.
  server.revision = "500";
  server.cut();
  loop.advance(2s);
  EXPECT_EQ(reflector->stats().lists, 1U);
  // Restored from a backup: its versions are below those we know.
  server.revision = "300";
  lists(list("300", object("a", "3")));
  server.cut();
  loop.advance(2s);
  EXPECT_EQ(store.objects.size(), 1U);
  EXPECT_EQ(query("resourceVersion"), "300");
  // Another one, with higher versions.
  server.cluster = "uid-2";
  server.revision = "9000";
  lists(list("9000", object("z", "3")));
  server.cut();
  loop.advance(2s);
  EXPECT_EQ(store.objects, (Objects{{"z", ""}}));
  EXPECT_EQ(reflector->stats().lists, 3U);
}

TEST_F(ReflectorTest, TokensAreReadAgain) {
  std::string name = (std::filesystem::temp_directory_path() / "tulle-token-XXXXXX").string();
  const std::string folder = ::mkdtemp(name.data());
  token = {.file = folder + "/token", .text = {}};
  std::ofstream(token.file) << "one\n";
  lists(list("10", object("a", "3")));
  start();
  EXPECT_EQ(server.watches.back().request.token, "Bearer one");
  std::ofstream(token.file + ".new") << "two-two";
  std::filesystem::rename(token.file + ".new", token.file);
  server.end_watch();
  loop.advance(1s);
  EXPECT_EQ(server.watches.back().request.token, "Bearer two-two");
  std::filesystem::remove_all(folder);
}

TEST_F(ReflectorTest, SpeaksHttp1WhereThereIsNothingElse) {
  server.http2 = false;
  lists(list("10", object("a", "3")));
  start();
  EXPECT_TRUE(reflector->synced());
  server.event("ADDED", object("b", "12"));
  loop.drain();
  EXPECT_EQ(store.objects.size(), 2U);
  server.cut();
  loop.advance(2s);
  EXPECT_EQ(query("resourceVersion"), "12");
}

TEST_F(ReflectorTest, AsksForMetadataOnly) {
  options.metadata_only = true;
  options.ns = "shop";
  options.label_selector = "app in (a,b)";
  lists(list("10", object("a", "3")));
  start();
  ASSERT_EQ(server.requests.size(), 2U);
  EXPECT_EQ(server.requests[0].accept,
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");
  EXPECT_EQ(server.requests[0].path,
            "/api/v1/namespaces/shop/services?limit=500&labelSelector=app%20in%20%28a%2Cb%29");
  EXPECT_EQ(server.requests[1].accept,
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
}

TEST_F(ReflectorTest, ManyObjectsAreHeldOneAtATime) {
  // 20,000 objects of a kilobyte that nobody keeps.
  struct Count final : Receiver {
    std::size_t objects = 0;
    void list_begin() override {}
    void list_end() override {}
    void put(std::string_view) override { ++objects; }
    void erase(std::string_view) override {}
  } count;
  std::string items;
  const std::string one = object("a", "3", std::string(900, 'x'));
  for (int i = 0; i < 500; ++i) items += (i == 0 ? "" : ",") + one;
  int page = 0;
  server.answer = [&](const FakeServer::Seen&) {
    return ok(list("10", items, ++page < 40 ? "next" : ""));
  };
  ClusterAccess access;
  access.host = "10.96.0.1";
  client = std::make_unique<ApiClient>(loop, server, access, log::Logger(sink, "test"),
                                       ApiClient::Options{});
  reflector = std::make_unique<Reflector>(*client, count, log::Logger(sink, "test"), options, 7);
  scope.spawn(reflector->run());
  loop.drain();
  EXPECT_EQ(count.objects, 20'000U);
  EXPECT_TRUE(reflector->synced());
}

}  // namespace
}  // namespace tulle::k8s
