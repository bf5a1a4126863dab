// SPDX-License-Identifier: Apache-2.0
#include "control/source/folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <tuple>

#include "control/policy/inbound.h"
#include "lib/base/text.h"

namespace tulle::control {
namespace {

std::string service(std::string_view name, std::string_view ip) {
  return concat("apiVersion: v1\nkind: Service\nmetadata: {name: ", name,
                "}\nspec: {clusterIP: ", ip, ", ports: [{port: 80}]}\n");
}

class ManifestFilesTest : public ::testing::Test {
 protected:
  std::string ip(std::string_view name) {
    const k8s::Service* const found = View(index).service("default", name);
    return found != nullptr ? found->spec.cluster_ip : "";
  }
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  Index index;
  ManifestFiles files{index, log::Logger(sink, "test")};
};

TEST_F(ManifestFilesTest, AddsChangesAndTakesAway) {
  files.update("a.yaml", service("one", "10.0.0.1") + "---\n" + service("two", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.1");
  EXPECT_EQ(ip("two"), "10.0.0.2");
  files.update("a.yaml", service("one", "10.0.0.9"));
  EXPECT_EQ(ip("one"), "10.0.0.9");
  EXPECT_EQ(ip("two"), "");
  files.remove("a.yaml");
  EXPECT_EQ(index.size(), 0U);
}

TEST_F(ManifestFilesTest, BrokenTextKeepsTheLastGoodState) {
  files.update("a.yaml", service("one", "10.0.0.1"));
  for (const std::string_view broken : {"apiVersion: v1\nkind: Serv", "{", "", "  \n",
                                        "apiVersion: v1\nkind: Service\nmetadata: {name: 5}\n"}) {
    files.update("a.yaml", broken);
    EXPECT_EQ(ip("one"), "10.0.0.1") << broken;
    EXPECT_EQ(files.broken(), 1U) << broken;
  }
  // Also if only one of its documents is broken.
  files.update("a.yaml", service("one", "10.0.0.7") + "---\n{\n");
  EXPECT_EQ(ip("one"), "10.0.0.1");
  files.update("a.yaml", service("one", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.2");
  EXPECT_EQ(files.broken(), 0U);
  // A comment says that there are to be no objects.
  files.update("a.yaml", "# nothing\n");
  EXPECT_EQ(ip("one"), "");
}

TEST_F(ManifestFilesTest, TheFirstFileOwnsAnObject) {
  files.update("a.yaml", service("one", "10.0.0.1"));
  files.update("b.yaml", service("one", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.1");
  EXPECT_EQ(files.remove("a.yaml"), (std::set<std::string>{"b.yaml"}));
  EXPECT_EQ(ip("one"), "");
  files.update("b.yaml", service("one", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.2");
}

TEST_F(ManifestFilesTest, OneFileMayNotDefineAnObjectTwice) {
  files.update("a.yaml", service("one", "10.0.0.1") + "---\n" + service("one", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "");
  EXPECT_EQ(files.broken(), 1U);
}

// What a policy that cannot be read may be about stays closed.
class BrokenPolicies : public ManifestFilesTest {
 protected:
  BrokenPolicies() {
    config.cluster_networks = {*net::Cidr::parse("10.0.0.0/8")};
    files.update("pods.yaml",
                 pod("web", "shop") + "---\n" + pod("db", "shop") + "---\n" + pod("web", "other"));
  }
  static std::string pod(std::string_view name, std::string_view ns) {
    return concat("apiVersion: v1\nkind: Pod\nmetadata: {name: ", name, ", namespace: ", ns,
                  ", labels: {app: ", name,
                  ", linkerd.io/control-plane-ns: linkerd}}\nspec: {containers: [{name: app, "
                  "ports: [{name: http, containerPort: 80}]}, {name: linkerd-proxy}]}\n");
  }
  static std::string policy(std::string_view kind, std::string_view name, std::string_view spec,
                            std::string_view ns = "shop") {
    return concat("apiVersion: policy.linkerd.io/v1beta3\nkind: ", kind,
                  "\nmetadata: {name: ", name, ", namespace: ", ns, "}\nspec: ", spec, "\n");
  }
  // Those that anybody may reach, of web.shop:80, web.shop:90, db.shop:80 and web.other:80.
  std::string open() {
    std::string out;
    const std::tuple<std::string_view, std::string_view, std::uint32_t> all[] = {
        {"shop", "web", 80}, {"shop", "web", 90}, {"shop", "db", 80}, {"other", "web", 80}};
    for (const auto& [ns, name, port] : all) {
      const auto query = parse_port_query({.workload = concat(ns, ":", name), .port = port});
      const auto server = server_of(View(index), config, *query);
      if (server && server->authorizations.empty()) continue;
      out += concat(out.empty() ? "" : " ", name, ".", ns, ":", std::to_string(port));
    }
    return out;
  }
  static constexpr std::string_view kAll = "web.shop:80 web.shop:90 db.shop:80 web.other:80";
  MeshConfig config;
};

TEST_F(BrokenPolicies, InANewFileCloseWhatTheyMayConcern) {
  const std::string kBad = "---\napiVersion: v1\nkind: Service\nmetadata: {name: 5}\n";
  const struct {
    std::string text;
    std::string_view open;
  } cases[] = {
      // Read, but against a rule: its selector and port count.
      {policy("Server", "s",
              "{podSelector: {matchLabels: {app: web}}, port: 80, accessPolicy: nobody}"),
       "web.shop:90 db.shop:80 web.other:80"},
      {policy("Server", "s", "{podSelector: {}, port: http, proxyProtocol: HTTP/9}"),
       "web.shop:90 web.other:80"},
      {policy("Server", "s", "{podSelector: {}, port: 0}"), "web.other:80"},
      {policy("Server", "s",
              "{podSelector: {matchExpressions: [{key: app, operator: Is, values: [web]}]}, port: "
              "80}"),
       "web.shop:90 web.other:80"},
      {policy("Server", "s", "{port: 80}"), "web.shop:90 web.other:80"},
      // Of the wrong type, cut off, or no YAML.
      {policy("Server", "s", "{podSelector: [], port: 80}"), "web.other:80"},
      {"apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata:\n  namespace: shop\n  na",
       "web.other:80"},
      {"kind: Server\nmetadata: {name: x", ""},
      {"kind: Server\nspec: {a: [}\n", ""},
      // Several documents: of those that are good and of those that are not.
      {policy("Server", "s", "{podSelector: {matchLabels: {app: db}}, port: 80}") + kBad,
       "web.shop:80 web.shop:90 web.other:80"},
      {service("one", "10.0.0.1") + "---\n" + policy("Server", "s", "{podSelector: [}"),
       "web.other:80"},
      {policy("Server", "s", "{podSelector: {}, port: 80}") + "---\n" +
           policy("Server", "s", "{podSelector: {}, port: 80}"),
       "web.shop:90 web.other:80"},
      // A kind that there is not.
      {policy("server", "s", "{podSelector: {}, port: 80}"), "web.other:80"},
      {policy("Servr", "s", "{podSelector: {}, port: 80}"), "web.other:80"},
      {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: policy.linkerd.io/v1beta3\n  kind: "
       "Server\n  metadata: {name: s, namespace: shop}\n  spec: {port: [}\n",
       "web.other:80"},
      {std::string("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: ") +
           "{config.linkerd.io/default-inbound-policy: deny}}\n" + kBad,
       "web.other:80"},
      // Grants that are not there grant nothing; what is no policy forbids nothing.
      {policy("AuthorizationPolicy", "p", "{targetRef: {kind: Server, name: [}}"), kAll},
      {policy("NetworkAuthentication", "p", "{networks: 5}"), kAll},
      {"apiVersion: v1\nkind: Service\nmetadata: {name: 5}\n", kAll},
      {"resources:\n- a.yaml\n", kAll},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(open(), kAll);
    files.update("new.yaml", c.text);
    EXPECT_EQ(files.broken(), 1U) << c.text;
    EXPECT_EQ(open(), c.open) << c.text;
    EXPECT_EQ(index.closed_by().size(), c.open == kAll ? 0U : 1U) << c.text;
    files.update("new.yaml", "# nothing\n");
    EXPECT_TRUE(index.closed_by().empty());
    files.update("new.yaml", c.text);
    files.remove("new.yaml");
  }
  EXPECT_EQ(open(), kAll);
  EXPECT_TRUE(index.closed_by().empty());
}

// Of a text that was cut off, at whatever byte, nothing stays open that the whole would have
// closed.
TEST_F(BrokenPolicies, WhatWasCutOffMayBeAnything) {
  const std::string head = "apiVersion: policy.linkerd.io/v1beta3\n";
  const std::string spec =
      "spec:\n  podSelector:\n    matchLabels:\n      app: web\n  port: http\n  accessPolicy: "
      "deny\n";
  const std::string texts[] = {
      head +
          "kind: Server\nmetadata:\n  name: web-http\n  namespace: shop\n  labels:\n    app: "
          "web\n" +
          spec,
      "kind: Server\n" + head + "metadata:\n  namespace: shop\n  name: web-http\n" + spec,
      "apiVersion: v1\nkind: List\nitems:\n- kind: Server\n  apiVersion: "
      "policy.linkerd.io/v1beta3\n  metadata: {name: s, namespace: shop}\n  spec: {podSelector: "
      "{}, port: 80}\n",
      R"({"apiVersion":"policy.linkerd.io/v1beta3","kind":"Server","metadata":{"name":"s",)"
      R"("namespace":"shop"},"spec":{"podSelector":{"matchLabels":{"app":"web"}},"port":80}})"};
  for (const std::string& text : texts) {
    const std::string file = text[0] == '{' ? "new.json" : "new.yaml";
    std::size_t broken = 0;
    for (std::size_t size = 1; size < text.size(); ++size) {
      files.update(file, text.substr(0, size));
      if (files.broken() != 0) {
        ++broken;
        EXPECT_FALSE(open().starts_with("web.shop:80")) << text.substr(0, size);
        EXPECT_FALSE(index.closed_by().empty()) << text.substr(0, size);
      }
      files.remove(file);
    }
    EXPECT_GT(broken, text.size() / 2) << text;
  }
}

TEST_F(BrokenPolicies, WhatIsUncertainIsClosedEverywhere) {
  const std::string server = policy("Server", "s", "{podSelector: {}, port: 80}");
  const auto utf16 = [](std::string_view text) {
    std::string out = "\xFF\xFE";
    for (const char c : text) out += std::string{c, '\0'};
    return out;
  };
  const std::string bad = policy("Server", "s", "{podSelector: [}");
  const auto with = [](std::string_view from, std::string_view to, std::string text) {
    const std::size_t at = text.find(from);
    return text.replace(at, from.size(), to);
  };
  std::string returns = service("one", "10.0.0.1") + "---\n" + bad;
  std::replace(returns.begin(), returns.end(), '\n', '\r');
  const struct {
    std::string text;
    std::string_view open;
  } cases[] = {
      {std::string(4096, '\0'), ""},
      {utf16(bad), "web.other:80"},
      {returns, "web.other:80"},
      {std::string(k8s::kMaxDocumentBytes + 1, '#'), ""},
      // Lists whose items do not say what they are.
      {with("metadata: {name: s, namespace: shop}\nspec: {podSelector: [}",
            "items:\n- metadata: {name: s, namespace: shop}\n  spec: {podSelector: []}",
            with("Server", "ServerList", bad)),
       "web.other:80"},
      {"apiVersion: v1\nkind: List\nitems:\n- metadata: {name: s, namespace: shop}\n  spec: "
       "{podSelector: {}, port: 80}\n",
       "web.other:80"},
      {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: policy.linkerd.io/v1beta3\n  kind: "
       "Server\n  metadata: {name: s, namespace: shop}\n  spec: {podSelector: {}, port: 0}\n- "
       "apiVersion: policy.linkerd.io/v1beta3\n  kind: Server\n  metadata: {name: s, namespace: "
       "other}\n  spec: {podSelector: {}, port: 80}\n",
       ""},
      {policy("Service", "s", "{ports: []}"), "web.other:80"},
      {policy("Pod", "s", "{containers: []}"), "web.other:80"},
      // Where it is cannot be told.
      {with("metadata: {name: s, namespace: shop}", "metadata:", server), "web.shop:90"},
      {with("namespace: shop", "namespace: 5", server), ""},
      {with("namespace: shop", "namespace: \"sh\\x6fp\"", bad), "web.other:80"},
      {with("namespace: shop", "labels: {namespace: shop}", bad), std::string_view(kAll)},
      {with("namespace: shop", "labels: {namespace: nowhere}, namespace: shop", bad),
       "web.other:80"},
      // Groups that there are not.
      {with("policy.linkerd.io/v1beta3", "policy.linkerd.io", server), "web.other:80"},
      {with("policy.linkerd.io/v1beta3", "Policy.linkerd.io/v1beta3", server), "web.other:80"},
      {with("policy.linkerd.io/v1beta3", "policy.linkerd/v1beta3", server), "web.other:80"},
      {with("policy.linkerd.io/v1beta3", "v1", server), "web.other:80"},
      {with("policy.linkerd.io/v1beta3", "gateway.networking.k8s.io/v1",
            policy("HttpRoute", "r", "{parentRefs: [{kind: Server, name: s}], rules: []}")),
       "web.other:80"},
  };
  for (const auto& c : cases) {
    const std::string shown = c.text.substr(0, 400);
    files.update("new.yaml", c.text);
    EXPECT_EQ(files.broken(), 1U) << shown;
    EXPECT_EQ(open(), c.open) << shown;
    EXPECT_FALSE(index.closed_by().empty()) << shown;
    files.remove("new.yaml");
    EXPECT_EQ(open(), kAll);
  }
  // What is well known elsewhere concerns nobody here.
  for (const std::string& text :
       {with("policy.linkerd.io/v1beta3", "security.istio.io/v1",
             policy("AuthorizationPolicy", "p", "{action: DENY}")),
        with("policy.linkerd.io/v1beta3", "servers.example/v1", server),
        with("policy.linkerd.io/v1beta3", "policy/v1",
             policy("PodDisruptionBudget", "p", "{minAvailable: 1}")),
        with("policy.linkerd.io/v1beta3", "gateway.networking.k8s.io/v1alpha2",
             policy("UDPRoute", "r", "{parentRefs: [{name: gw}]}"))}) {
    files.update("new.yaml", text);
    EXPECT_EQ(files.broken(), 0U) << text;
    EXPECT_EQ(open(), kAll) << text;
  }
}

// The last good state is that of the same object.
TEST_F(BrokenPolicies, AnotherObjectIsNoLastGoodState) {
  const std::string good[] = {
      policy("NetworkAuthentication", "n", "{networks: [{cidr: 10.0.0.0/8}]}"),
      policy("Server", "old", "{podSelector: {}, port: 81}")};
  for (const std::string& text : good) {
    files.update("a.yaml", text);
    EXPECT_EQ(open(), kAll);
    files.update("a.yaml", policy("Server", "s", "{podSelector: {}, port: [}"));
    EXPECT_EQ(open(), "web.other:80");
    EXPECT_FALSE(index.closed_by().empty());
    files.update("a.yaml", text);
    EXPECT_EQ(open(), kAll);
  }
  files.update("a.yaml", policy("Server", "old", "{podSelector: {}, port: [}"));
  EXPECT_EQ(open(), kAll);
  files.remove("a.yaml");
}

// Each object of every file meets the validators, whatever else is in the file.
TEST_F(BrokenPolicies, EveryObjectIsValidated) {
  const std::string route =
      R"({"apiVersion":"policy.linkerd.io/v1beta3","kind":"HTTPRoute","metadata":{"name":"r",)"
      R"("namespace":"shop"},"spec":{"parentRefs":[{"kind":"Server","name":"s"}],"rules":[{)"
      R"("matches":[{"path":{"type":"exact","value":"/"}}]}]}})";
  const std::string yaml = policy(
      "HTTPRoute", "r",
      "{parentRefs: [{kind: Server, name: s}], rules: [{matches: [{path: {type: exact, value: "
      "/}}]}]}");
  const std::string other =
      R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"a"}})";
  std::string returns = yaml;
  std::replace(returns.begin(), returns.end(), '\n', '\r');
  std::string many = "status: [0";
  for (int i = 0; i < 300'001; ++i) many += ",0";
  const std::pair<std::string_view, std::string> texts[] = {
      {"new.json", route},
      {"new.json", other + "\n" + route},
      {"new.json", R"({"apiVersion":"policy.linkerd.io/v1beta3","kind":"HTTPRouteList","items":[)" +
                       route + "]}"},
      {"new.yaml", yaml},
      {"new.yaml", yaml + "status: {x: 1, x: 2}\n"},
      {"new.yaml", yaml + many + "]\n"},
      {"new.yaml", returns},
      {"new.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n...\n" + yaml}};
  for (const auto& [file, text] : texts) {
    files.update(std::string(file), text);
    EXPECT_EQ(files.broken(), 1U) << text.substr(0, 400);
    files.remove(std::string(file));
  }
}

// A route says nothing about what comes in unless one of its parents is, or may be, a Server.
TEST_F(BrokenPolicies, ARouteOfAGatewayClosesNothing) {
  const auto route = [](std::string_view parents, std::string_view rest = "rules: [{matches: 5}]") {
    return concat(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, "
        "namespace: shop}\nspec:\n  parentRefs:",
        parents, "\n  hostnames: [shop.example]\n  ", rest, "\n");
  };
  const std::string in_list =
      "- apiVersion: gateway.networking.k8s.io/v1\n  kind: HTTPRoute\n  metadata: {name: a, "
      "namespace: shop}\n  spec: {parentRefs: [{name: gw}], rules: [{matches: 5}]}\n";
  const std::string list = "apiVersion: v1\nkind: List\nitems:\n";
  for (const std::string& text :
       {route(" [{name: gw}]"), route("\n  - name: gw\n    namespace: edge\n    sectionName: web"),
        route("\n  - group: gateway.networking.k8s.io\n    kind: Gateway\n    name: gw"),
        route(" [{kind: Service, name: web, group: core, port: 80}]"),
        route(" [{name: gw}]", "rules: [{backendRefs: [{kind: Service, name: [}]}]"),
        list + in_list, list + in_list + in_list}) {
    files.update("new.yaml", text);
    EXPECT_EQ(files.broken(), 1U) << text;
    EXPECT_EQ(open(), kAll) << text;
    files.remove("new.yaml");
  }
  for (const std::string& text :
       {route(" [{kind: Server, name: [}]"),
        route("\n  - kind: Gateway\n    name: gw\n  - kind: "
              "Server\n    group: policy.linkerd.io\n    name: [}"),
        route(" [{kind: Sever, name: s}]"), route(" [{group: policy.linkerd.io, name: s}]"),
        route(" [{\"kind\": \"\\x53erver\", name: s}]"), route(" *parents"), route(" [{<<: *s}]"),
        // Cut off: a Server may have been to follow.
        route("\n  - name: gw", "rul"),
        list + in_list + "- kind: HTTPRoute\n  metadata: {namespace: shop"}) {
    files.update("new.yaml", text);
    EXPECT_EQ(files.broken(), 1U) << text;
    EXPECT_NE(open(), kAll) << text;
    files.remove("new.yaml");
  }
}

// An operator shares what policies have in common, as Kubernetes' own tools let him.
TEST_F(BrokenPolicies, MergeKeysAreWrittenOut) {
  files.update("new.yaml",
               "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata: &m {name: s, "
               "namespace: shop}\nspec: {podSelector: {matchLabels: {app: web}}, port: 80}\n");
  EXPECT_EQ(open(), "web.shop:90 db.shop:80 web.other:80");
  files.update("new.yaml",
               "apiVersion: policy.linkerd.io/v1beta3\nkind: Server\nmetadata:\n  <<: &m {name: x, "
               "namespace: shop}\n  name: s\nspec: {podSelector: {matchLabels: {app: db}}, port: "
               "80}\n");
  EXPECT_EQ(files.broken(), 0U);
  EXPECT_EQ(open(), "web.shop:80 web.shop:90 web.other:80");
}

TEST_F(BrokenPolicies, WhatIsAttachedToAServerClosesThatServer) {
  files.update("servers.yaml",
               policy("Server", "s", "{podSelector: {}, port: 80, accessPolicy: audit}"));
  EXPECT_EQ(open(), kAll);
  files.update("new.yaml",
               policy("HTTPLocalRateLimitPolicy", "l",
                      "{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, total: "
                      "{requestsPerSecond: 0}}"));
  EXPECT_EQ(open(), "web.shop:90 web.other:80");
  files.update("new.yaml",
               policy("HTTPRoute", "r",
                      "{parentRefs: [{kind: Server, name: s}], rules: [{matches: [{path: {value: "
                      "admin}}]}]}"));
  EXPECT_EQ(open(), "web.shop:90 web.other:80");
  files.remove("new.yaml");
  EXPECT_EQ(open(), kAll);
}

TEST_F(BrokenPolicies, WhatWasReadOnceStaysAsItWas) {
  files.update("a.yaml", policy("Server", "s", "{podSelector: {}, port: 80, accessPolicy: audit}"));
  // Broken while somebody writes: the last good state.
  for (const std::string_view text : {"kind: Server\nmetadata: {na", "apiVersion: policy.link"}) {
    files.update("a.yaml", text);
    EXPECT_EQ(open(), kAll) << text;
  }
  files.update("a.yaml", policy("Server", "s", "{podSelector: {}, port: 80, accessPolicy: x}"));
  EXPECT_EQ(open(), kAll);
  // A policy more than there was is new.
  files.update("a.yaml", policy("Server", "s", "{podSelector: {}, port: 80}") + "---\n" +
                             policy("Server", "t", "{podSelector: {}, port: [}"));
  EXPECT_EQ(open(), "web.other:80");
}

// What no cluster would take is not taken from a folder either.
TEST_F(BrokenPolicies, TheFolderRefusesWhatTheValidatorsRefuse) {
  const std::string_view kinds[] = {
      "{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, requiredAuthenticationRefs: "
      "[{group: policy.linkerd.io, kind: NetworkAuthentication, name: a}, {group: "
      "policy.linkerd.io, kind: NetworkAuthentication, name: b}]}"};
  for (const std::string_view spec : kinds) {
    files.update("new.yaml", policy("AuthorizationPolicy", "p", spec));
    EXPECT_EQ(files.broken(), 1U) << spec;
    EXPECT_TRUE(View(index).authorization_policies("shop").empty());
  }
  files.update("route.yaml",
               policy("HTTPRoute", "r",
                      "{parentRefs: [{kind: Server, name: s}], rules: [{matches: [{headers: "
                      "[{name: 'a b', value: c}]}]}]}"));
  EXPECT_EQ(files.broken(), 2U);
  EXPECT_TRUE(View(index).routes_of<k8s::PolicyHttpRoute>("shop").empty());
  files.update("profile.yaml",
               "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: "
               "a.b.svc.cluster.local}\nspec: {routes: [{name: x}]}\n");
  EXPECT_EQ(files.broken(), 3U);
}

class FolderTest : public ::testing::Test {
 protected:
  FolderTest() {
    std::string name = (std::filesystem::temp_directory_path() / "tulle-folder-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    loop = *net::Loop::create();
  }
  ~FolderTest() override {
    scope.cancel();  // it uses the source
    source.reset();
    std::filesystem::remove_all(folder);
  }
  void start() {
    source = std::make_unique<FolderSource>(*loop, index, log::Logger(sink, "test"), folder);
    const auto started = source->start();
    ASSERT_TRUE(started);
    scope.spawn(source->run());
  }
  static void write_to(const std::string& path, std::string_view text) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
  }
  void write(std::string_view name, std::string_view text) {
    write_to(concat(folder, "/", name), text);
  }
  std::string ip(std::string_view name) {
    const k8s::Service* const found = View(index).service("default", name);
    return found != nullptr ? found->spec.cluster_ip : "";
  }
  // Turns the loop until the Service has this address.
  bool comes(std::string_view name, std::string_view address) {
    const TimePoint end = monotonic_now() + 10s;
    while (ip(name) != address && monotonic_now() < end) loop->run_once(100ms);
    return ip(name) == address;
  }
  // Turns the loop until nothing is closed any more.
  bool opens() {
    const TimePoint end = monotonic_now() + 10s;
    while (!index.closed_by().empty() && monotonic_now() < end) loop->run_once(100ms);
    return index.closed_by().empty();
  }
  std::string folder;
  std::unique_ptr<net::Loop> loop;
  log::Sink sink{{.off = true}, log::Filter::parse_lenient("off")};
  Index index;
  std::unique_ptr<FolderSource> source;
  net::TaskScope scope;
};

TEST_F(FolderTest, ReadsWhatIsThereAndFollowsChanges) {
  write("a.yaml", service("one", "10.0.0.1"));
  write("ignored.txt", "not a manifest");
  write(".hidden.yaml", service("hidden", "10.0.0.3"));
  start();
  EXPECT_EQ(ip("one"), "10.0.0.1");
  EXPECT_EQ(ip("hidden"), "");
  write(
      "b.json",
      R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"two"},"spec":{"clusterIP":"10.0.0.2"}})");
  EXPECT_TRUE(comes("two", "10.0.0.2"));
  write("a.yaml", service("one", "10.0.0.9"));
  EXPECT_TRUE(comes("one", "10.0.0.9"));
  std::filesystem::remove(folder + "/a.yaml");
  EXPECT_TRUE(comes("one", ""));
  EXPECT_EQ(ip("two"), "10.0.0.2");
}

TEST_F(FolderTest, TakesFilesThatAreMovedIntoPlace) {
  write("a.yaml", service("one", "10.0.0.1"));
  start();
  write(".a.new", service("one", "10.0.0.2"));
  std::filesystem::rename(folder + "/.a.new", folder + "/a.yaml");
  EXPECT_TRUE(comes("one", "10.0.0.2"));
  std::filesystem::rename(folder + "/a.yaml", folder + "/elsewhere");
  EXPECT_TRUE(comes("one", ""));
}

// What a file that was never read keeps closed ends with the file.
TEST_F(FolderTest, WhatABrokenFileClosesEndsWithIt) {
  constexpr std::string_view kBroken = "kind: Server\nmetadata: {name: x";
  write("old.yaml", kBroken);
  start();
  EXPECT_EQ(index.closed_by().size(), 1U);
  std::filesystem::remove(folder + "/old.yaml");
  EXPECT_TRUE(opens());
  write("a.yaml", kBroken);
  write("b.yaml", service("two", "10.0.0.2"));
  EXPECT_TRUE(comes("two", "10.0.0.2"));
  EXPECT_EQ(index.closed_by().size(), 1U);
  EXPECT_EQ(source->broken_files(), 1U);
  std::filesystem::rename(folder + "/a.yaml", folder + "/a.bak");
  EXPECT_TRUE(opens());
  EXPECT_EQ(source->broken_files(), 0U);
  // A link, too.
  std::filesystem::create_directory(folder + "/..v1");
  write_to(folder + "/..v1/c.yaml", kBroken);
  std::filesystem::create_symlink("..v1/c.yaml", folder + "/c.yaml");
  write("b.yaml", service("two", "10.0.0.3"));
  EXPECT_TRUE(comes("two", "10.0.0.3"));
  EXPECT_EQ(index.closed_by().size(), 1U);
  std::filesystem::remove(folder + "/c.yaml");
  EXPECT_TRUE(opens());
}

// What is named as a manifest but cannot be read may say anything.
TEST_F(FolderTest, WhatIsNoReadableFileIsClosed) {
  write("b.yaml", service("two", "10.0.0.2"));
  start();
  const auto closes = [&](const std::string& path) {
    const TimePoint end = monotonic_now() + 10s;
    while (index.closed_by().empty() && monotonic_now() < end) loop->run_once(100ms);
    EXPECT_EQ(index.closed_by(), std::vector<std::string>{"a.yaml"});
    EXPECT_EQ(source->broken_files(), 1U);
    std::filesystem::remove(path);
    EXPECT_TRUE(opens());
  };
  const std::string path = folder + "/a.yaml";
  std::filesystem::create_symlink("a.yaml", path);  // to itself
  closes(path);
  std::filesystem::create_symlink("nowhere", path);
  closes(path);
  std::filesystem::create_directory(path);
  closes(path);
  EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
  closes(path);
  EXPECT_EQ(ip("two"), "10.0.0.2");
}

TEST_F(FolderTest, WaitsForTheWriter) {
  write("a.yaml", service("one", "10.0.0.1"));
  start();
  const std::string path = folder + "/a.yaml";
  std::FILE* const file = std::fopen(path.c_str(), "w");  // cuts the file off
  std::fputs("apiVersion: v1\nkind: Service\n", file);
  std::fflush(file);
  write("b.yaml", service("two", "10.0.0.2"));
  EXPECT_TRUE(comes("two", "10.0.0.2"));
  EXPECT_EQ(ip("one"), "10.0.0.1");
  std::fputs("metadata: {name: one}\nspec: {clusterIP: 10.0.0.3}\n", file);
  std::fclose(file);
  EXPECT_TRUE(comes("one", "10.0.0.3"));
}

TEST_F(FolderTest, FollowsAMountedVolume) {
  std::filesystem::create_directory(folder + "/..v1");
  write_to(folder + "/..v1/a.yaml", service("one", "10.0.0.1"));
  std::filesystem::create_symlink("..v1", folder + "/..data");
  std::filesystem::create_symlink("..data/a.yaml", folder + "/a.yaml");
  start();
  EXPECT_EQ(ip("one"), "10.0.0.1");
  std::filesystem::create_directory(folder + "/..v2");
  write_to(folder + "/..v2/a.yaml", service("one", "10.0.0.2"));
  std::filesystem::create_symlink("..v2", folder + "/..data_tmp");
  std::filesystem::rename(folder + "/..data_tmp", folder + "/..data");
  EXPECT_TRUE(comes("one", "10.0.0.2"));
}

TEST_F(FolderTest, AFolderThatGoesAndComesBackKeepsItsState) {
  write("a.yaml", service("one", "10.0.0.1"));
  start();
  std::filesystem::rename(folder, folder + "-away");
  loop->run_once(100ms);
  loop->run_once(0ms);
  EXPECT_EQ(ip("one"), "10.0.0.1");
  std::filesystem::create_directory(folder);
  write("a.yaml", service("one", "10.0.0.5"));
  EXPECT_TRUE(comes("one", "10.0.0.5"));
  std::filesystem::remove_all(folder + "-away");
}

TEST_F(FolderTest, RefusesAFolderThatIsNotThere) {
  FolderSource none(*loop, index, log::Logger(sink, "test"), folder + "/none");
  const auto started = none.start();
  EXPECT_FALSE(started);
}

}  // namespace
}  // namespace tulle::control
