// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "local/below.h"
#include "local/expand.h"
#include "local/images.h"
#include "local/model.h"
#include "local/process.h"
#include "local/sandbox.h"
#include "local/services.h"
#include "local/state.h"

namespace tulle::local {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr std::string_view kPod = R"(apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec:
  hostname: first
  subdomain: web
  containers:
  - name: web
    image: local/nginx
    ports: [{name: main, containerPort: 8080}]
)";
constexpr std::string_view kService = R"(apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: main, port: 80, targetPort: main}]
)";

struct Read {
  Model model;
  std::vector<std::string> problems;
};

Read read(std::initializer_list<std::string_view> files) {
  ModelOptions options;
  options.known_image = is_known_image;
  ModelReader reader(options);
  int number = 0;
  for (const std::string_view text : files) reader.add(text, "f" + std::to_string(number++));
  Read out;
  out.model = reader.finish();
  for (const k8s::Problem& problem : reader.problems()) out.problems.push_back(problem.to_string());
  return out;
}

std::string only_problem(std::initializer_list<std::string_view> files) {
  const Read got = read(files);
  EXPECT_EQ(got.problems.size(), 1U) << testing::PrintToString(got.problems);
  return got.problems.empty() ? "" : got.problems.front();
}

PodView view(std::string name, std::uint32_t index, bool ready = true) {
  PodView out;
  out.ns = "shop";
  out.name = std::move(name);
  out.labels.insert("app", "web");
  k8s::ContainerPort port;
  port.name = "main";
  port.container_port = 8080;
  out.ports.push_back(port);
  out.ip4 = pod_address(index);
  out.ip6 = pod_address6(index);
  out.running = true;
  out.ready = ready;
  return out;
}

dns::Message ask(const Read& mesh, const std::vector<PodView>& pods, std::string name,
                 dns::Type type) {
  dns::Message query;
  query.id = 7;
  query.question = {std::move(name), type};
  return Zone().answer(query, mesh.model.services, pods);
}

TEST(Model, CompletesWhatWasWritten) {
  const Read got = read({kPod, kService});
  ASSERT_THAT(got.problems, ElementsAre());
  ASSERT_EQ(got.model.pods.size(), 1U);
  EXPECT_EQ(got.model.pods[0].ip4, pod_address(kFirstPodIndex));
  EXPECT_EQ(got.model.pods[0].object.spec.service_account, "default");
  ASSERT_EQ(got.model.services.size(), 1U);
  EXPECT_EQ(got.model.services[0].addresses.size(), 2U) << "IPv4 and IPv6";
  EXPECT_EQ(got.model.services[0].raw["spec"]["clusterIP"],
            got.model.services[0].addresses[0].to_string());
}

TEST(Model, ErrorsNameFileLineFieldAndReason) {
  const std::string unknown =
      only_problem({"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - "
                    "name: a\n    image: nginx\n"});
  EXPECT_THAT(unknown, HasSubstr("f0:7"));
  EXPECT_THAT(unknown, HasSubstr("spec.containers[0].image"));
  EXPECT_THAT(unknown, HasSubstr("there is no image"));
  EXPECT_THAT(only_problem({kPod, kPod}), HasSubstr("web-0"));
  EXPECT_THAT(only_problem({"kind: Pod\n  a: [\n"}), HasSubstr("f0:"));
  EXPECT_THAT(
      only_problem({"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n"}),
      HasSubstr("Deployment"));
}

TEST(Model, FieldsThatCannotBeHonouredAreRefused) {
  const auto pod = [](std::string_view spec) {
    return only_problem(
        {concat("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {", spec, "}\n")});
  };
  EXPECT_THAT(pod("hostNetwork: true, containers: [{name: a, image: local/base}]"),
              HasSubstr("spec.hostNetwork"));
  EXPECT_THAT(
      pod("containers: [{name: a, image: local/base, securityContext: {privileged: true}}]"),
      HasSubstr("privileged"));
  EXPECT_THAT(pod("containers: []"), HasSubstr("spec.containers"));
  EXPECT_THAT(pod("containers: [{name: a, image: local/base}, {name: a, image: local/base}]"),
              HasSubstr("two containers are named a"));
  EXPECT_THAT(
      pod("volumes: [{name: v, hostPath: {path: /}}], containers: [{name: a, image: local/base}]"),
      HasSubstr("spec.volumes[0]"));
  EXPECT_THAT(
      pod("containers: [{name: a, image: local/base, volumeMounts: [{name: v, mountPath: /v}]}]"),
      HasSubstr("no volume is named v"));
  EXPECT_THAT(pod("containers: [{name: a, image: local/base, env: [{name: A, valueFrom: {fieldRef: "
                  "{fieldPath: spec.none}}}]}]"),
              HasSubstr("spec.none"));
}

std::string pod_problem(std::string_view spec, std::string_view security) {
  return only_problem(
      {concat("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {", spec,
              "containers: [{name: a, image: local/base, securityContext: {", security, "}}]}\n")});
}
std::vector<std::string> problems_of(std::string_view spec, std::string_view security) {
  return read({concat("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {", spec,
                      "containers: [{name: a, image: local/base, securityContext: {", security,
                      "}}]}\n")})
      .problems;
}

TEST(Model, CapabilitiesThatOpenTheMachineAreRefused) {
  for (const std::string_view name : {"SYS_PTRACE",
                                      "SYS_MODULE",
                                      "SYS_RAWIO",
                                      "SYS_ADMIN",
                                      "DAC_READ_SEARCH",
                                      "SYS_BOOT",
                                      "SYS_TIME",
                                      "MKNOD",
                                      "BPF",
                                      "PERFMON",
                                      "SYSLOG",
                                      "CHECKPOINT_RESTORE",
                                      "MAC_ADMIN",
                                      "MAC_OVERRIDE",
                                      "SYS_RESOURCE",
                                      "AUDIT_CONTROL",
                                      "sys_ptrace",
                                      "CAP_SYS_ADMIN",
                                      "cap_mknod",
                                      "ALL",
                                      "all"}) {
    const std::string problem = pod_problem("", concat("capabilities: {add: [CHOWN, ", name, "]}"));
    EXPECT_THAT(problem, HasSubstr("containers[0].securityContext.capabilities.add[1]")) << name;
    EXPECT_THAT(problem, HasSubstr("opens the machine")) << name;
  }
  EXPECT_THAT(problems_of("", "capabilities: {add: [net_admin, CAP_NET_RAW, IPC_LOCK]}"),
              ElementsAre());
}

TEST(Model, UnknownCapabilitiesAreRefused) {
  EXPECT_THAT(pod_problem("", "capabilities: {add: [FLY]}"), HasSubstr("no capability FLY"));
  EXPECT_THAT(pod_problem("", "capabilities: {drop: [NET_RAWW]}"),
              HasSubstr("no capability NET_RAWW"));
  EXPECT_THAT(problems_of("", "capabilities: {drop: [all, sys_admin, CAP_CHOWN]}"), ElementsAre());
}

TEST(Model, UsersThatAreNoneAreRefused) {
  for (const std::string_view id : {"-1", "4294967296", "2147483648", "4294967295"}) {
    for (const std::string_view field : {"runAsUser", "runAsGroup"}) {
      EXPECT_THAT(pod_problem("", concat(field, ": ", id)),
                  HasSubstr(concat("containers[0].securityContext.", field)));
    }
    for (const std::string_view field : {"runAsUser", "runAsGroup", "fsGroup"}) {
      EXPECT_THAT(pod_problem(concat("securityContext: {", field, ": ", id, "}, "), ""),
                  HasSubstr(concat("spec.securityContext.", field)));
    }
  }
  EXPECT_THAT(problems_of("", "runAsUser: 2147483647, runAsGroup: 0"), ElementsAre());
}

TEST(Model, RootAgainstTheWordOfTheManifestIsRefused) {
  EXPECT_THAT(pod_problem("", "runAsNonRoot: true"), HasSubstr("runAsNonRoot"));
  EXPECT_THAT(pod_problem("", "runAsNonRoot: true, runAsUser: 0"), HasSubstr("runAsNonRoot"));
  EXPECT_THAT(pod_problem("securityContext: {runAsNonRoot: true}, ", ""),
              HasSubstr("runAsNonRoot"));
  EXPECT_THAT(problems_of("securityContext: {runAsUser: 7}, ", "runAsNonRoot: true"),
              ElementsAre());
  EXPECT_THAT(problems_of("securityContext: {runAsNonRoot: true}, ", "runAsNonRoot: false"),
              ElementsAre());
}

TEST(Model, HostNamesAreLabels) {
  for (const std::string_view field : {"hostname", "subdomain"}) {
    for (const std::string_view name : {"\"a\\n6.6.6.6 db\"", "\"a b\"", "a.b", "A", "-a"}) {
      EXPECT_THAT(pod_problem(concat(field, ": ", name, ", "), ""),
                  HasSubstr(concat("spec.", field)))
          << name;
    }
  }
  EXPECT_THAT(problems_of("hostname: web-0, subdomain: web, ", ""), ElementsAre());
}

// Names become parts of paths that the supervisor, as root, makes.
TEST(Model, NamesAndPathsThatLeadElsewhereAreRefused) {
  const auto pod = [](std::string_view meta, std::string_view spec) {
    return only_problem(
        {concat("apiVersion: v1\nkind: Pod\nmetadata: {", meta, "}\nspec: {", spec, "}\n")});
  };
  constexpr std::string_view kApp = "containers: [{name: a, image: local/base}]";
  EXPECT_THAT(pod("name: ../../x", kApp), HasSubstr("metadata.name"));
  EXPECT_THAT(pod("name: a, namespace: ../x", kApp), HasSubstr("metadata.namespace"));
  EXPECT_THAT(pod("name: a", "containers: [{name: ../../x, image: local/base}]"),
              HasSubstr("spec.containers[0].name"));
  for (const std::string_view path : {"/proc/1/root/tmp/x", "//proc/self/root/x", "/./proc/x",
                                      "/sys/x", "/", "//", "../x", "/a/../../x", "x"}) {
    EXPECT_THAT(pod("name: a", concat("volumes: [{name: v, emptyDir: {}}], containers: [{name: a, "
                                      "image: local/base, volumeMounts: [{name: v, mountPath: '",
                                      path, "'}]}]")),
                HasSubstr("mountPath"))
        << path;
  }
  for (const std::string_view key : {"../x", "..", ".", "a/b", "/etc/passwd", "..data"}) {
    EXPECT_THAT(only_problem({concat("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: "
                                     "{'",
                                     key, "': x}\n")}),
                HasSubstr("cannot be a file's name"))
        << key;
  }
}

class Below : public ::testing::Test {
 protected:
  Below() {
    std::string name = (std::filesystem::temp_directory_path() / "tulle-below-XXXXXX").string();
    base = ::mkdtemp(name.data());
    std::filesystem::create_directories(base + "/root/etc");
    std::filesystem::create_directory(base + "/outside");
    root = open_folder(base + "/root");
  }
  ~Below() override { std::filesystem::remove_all(base); }
  void link(const std::string& to, const std::string& at) {
    std::filesystem::create_symlink(to, base + "/root/" + at);
  }
  bool there(const std::string& path) {
    return std::filesystem::exists(std::filesystem::symlink_status(base + path));
  }
  std::string base;
  net::Fd root;
};

TEST_F(Below, NothingIsMadeOutside) {
  link("../outside", "up");
  link(base + "/outside", "absolute");
  link("/", "top");
  link("/proc/self/root", "magic");
  link(base + "/missing", "dangling");
  for (const std::string_view path :
       {"up/x", "absolute/x", "top/x", "../outside/x", "/../../outside/x", "magic/tmp/x",
        "dangling/x", "a/../../outside/x"}) {
    folder_below(root.get(), path);
    file_below(root.get(), std::string(path) + "f");
    write_below(root.get(), std::string(path) + "w", "text");
    anything_below(root.get(), path);
    EXPECT_TRUE(std::filesystem::is_empty(base + "/outside")) << path;
    EXPECT_FALSE(there("/missing")) << path;
  }
  EXPECT_FALSE(std::filesystem::exists("/tmp/xw"));
  // A link within leads to where it says, seen from the root.
  EXPECT_TRUE(there("/root/xw"));
}

TEST_F(Below, LinksOfProcAreNoWay) {
  const net::Fd machine = open_folder("/");
  const std::string path = concat("/proc/self/root", base, "/outside/x");
  EXPECT_FALSE(folder_below(machine.get(), path));
  EXPECT_FALSE(write_below(machine.get(), path, "text"));
  EXPECT_FALSE(file_below(machine.get(), path));
  EXPECT_FALSE(anything_below(machine.get(), path));
  EXPECT_TRUE(std::filesystem::is_empty(base + "/outside"));
}

TEST_F(Below, MakesWhatIsMissing) {
  EXPECT_TRUE(folder_below(root.get(), "/a/b//c/./d/"));
  EXPECT_TRUE(std::filesystem::is_directory(base + "/root/a/b/c/d"));
  EXPECT_TRUE(write_below(root.get(), "a/n/file", "one"));
  EXPECT_TRUE(write_below(root.get(), "a/n/file", "two"));
  std::string text;
  EXPECT_TRUE(read_file(base + "/root/a/n/file", text));
  EXPECT_EQ(text, "two");
  EXPECT_TRUE(file_below(root.get(), "/new/file"));
  EXPECT_TRUE(std::filesystem::is_regular_file(base + "/root/new/file"));
  EXPECT_FALSE(folder_below(root.get(), "new/file/x"));
  EXPECT_FALSE(write_below(root.get(), "a/..", "text"));
  EXPECT_TRUE(plain_folder(root.get(), "dev"));
  link("etc", "proc");
  EXPECT_FALSE(plain_folder(root.get(), "proc"));
}

TEST(Expand, FollowsTheRulesOfKubernetes) {
  const Environment known = {{"A", "1"}, {"B", "2"}, {"A", "3"}};
  EXPECT_EQ(expand("x $(A) $(B) $(C) $$(A) $ $", known), "x 3 2 $(C) $(A) $ $");
  EXPECT_EQ(expand("$(A", known), "$(A");
  EXPECT_EQ(expand("", known), "");
}

TEST(Expand, VariablesMayUseThoseBefore) {
  const Read got = read({R"y(apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: shop}
data: {key: from-map}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: x}}
spec:
  containers:
  - name: a
    image: local/base
    args: ["$(_name)", "$(LATER)"]
    env:
    - {name: _name, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: FULL, value: "$(_name).$(LATER)"}
    - {name: LATER, valueFrom: {configMapKeyRef: {name: c, key: key}}}
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
)y"});
  ASSERT_THAT(got.problems, ElementsAre());
  const ContainerSpec& container = got.model.pods[0].object.spec.containers[0];
  const Environment environment = environment_of(got.model.pods[0], container, got.model);
  const auto value = [&](std::string_view name) {
    for (const auto& [key, text] : environment) {
      if (key == name) return text;
    }
    return std::string("absent");
  };
  EXPECT_EQ(value("FULL"), "a.$(LATER)");
  EXPECT_EQ(value("LATER"), "from-map");
  EXPECT_EQ(value("LABEL"), "x");
  EXPECT_THAT(command_of(container, {"run", "$(_name)"}, environment).argv,
              ElementsAre("run", "$(_name)", "a", "from-map"));
}

TEST(Services, TargetPortsByNumberAndName) {
  const PodView pod = view("web-0", 10);
  k8s::ServicePort port;
  port.port = 80;
  EXPECT_THAT(target_ports(port, pod), ElementsAre(80));
  port.target_port = k8s::IntOrString{};
  port.target_port->number = 8080;
  EXPECT_THAT(target_ports(port, pod), ElementsAre(8080));
  port.target_port->name = "main";
  EXPECT_THAT(target_ports(port, pod), ElementsAre(8080));
  port.target_port->name = "none";
  EXPECT_THAT(target_ports(port, pod), ElementsAre());
}

// Two containers may use one name for different ports: the name stands for both.
TEST(Services, ANameThatTwoContainersHaveStandsForBothPorts) {
  PodView pod = view("web-0", 10);
  k8s::ContainerPort other;
  other.name = "main";
  other.container_port = 8081;
  pod.ports.push_back(other);
  other.protocol = "UDP";
  other.container_port = 9;
  pod.ports.push_back(other);
  k8s::ServicePort port;
  port.port = 80;
  port.target_port = k8s::IntOrString{};
  port.target_port->name = "main";
  EXPECT_THAT(target_ports(port, pod), ElementsAre(8080, 8081));
  ServiceInput service;
  service.object.meta.name = "web";
  service.object.meta.ns = pod.ns;
  service.object.spec.selector = pod.labels;
  service.object.spec.ports = {port};
  service.addresses = {net::IpAddr::v4(0x0A000001)};
  const auto slices = endpoint_slices(service, {pod});
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(slices[0]["ports"][0]["port"], 8080);
  EXPECT_EQ(slices[1]["ports"][0]["port"], 8081);
  EXPECT_EQ(backends(service, port, {pod}, false).size(), 2U);
}

TEST(Services, OnlyReadyPodsAreTranslatedTo) {
  const Read mesh = read({kPod, kService});
  const std::vector<PodView> pods = {view("web-0", 10), view("web-1", 11, false)};
  const std::string rules = translation_rules(mesh.model.services, pods);
  EXPECT_THAT(rules, HasSubstr(mesh.model.services[0].addresses[0].to_string()));
  EXPECT_THAT(rules, HasSubstr("10.244.0.10 . 8080"));
  EXPECT_THAT(rules, testing::Not(HasSubstr("10.244.0.11 . 8080")));
  const std::vector<Json> slices = endpoint_slices(mesh.model.services[0], pods);
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(slices[0]["ports"][0]["port"], 8080);
  ASSERT_EQ(slices[0]["endpoints"].size(), 2U) << "whoever is not ready is listed as such";
  EXPECT_EQ(slices[0]["endpoints"][1]["conditions"]["ready"], false);
}

TEST(Zone, AnswersForServicesAndPods) {
  const Read mesh = read({kPod, kService});
  const std::vector<PodView> pods = {view("web-0", 10)};
  const dns::Message a = ask(mesh, pods, "web.shop.svc.cluster.local", dns::Type::A);
  ASSERT_EQ(a.answers.size(), 1U);
  EXPECT_EQ(a.id, 7);
  const dns::Message none = ask(mesh, pods, "nobody.shop.svc.cluster.local", dns::Type::A);
  EXPECT_TRUE(none.answers.empty());
  EXPECT_EQ(none.rcode, dns::Rcode::NxDomain);
  const dns::Message outside = ask(mesh, pods, "example.org", dns::Type::A);
  EXPECT_TRUE(outside.answers.empty());
}

TEST(Zone, HeadlessServicesNameTheirPods) {
  const Read mesh = read({kPod, R"(apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: main, port: 8080}]}
)"});
  ASSERT_THAT(mesh.problems, ElementsAre());
  std::vector<PodView> pods = {view("web-0", 10), view("web-1", 11)};
  pods[0].hostname = "first";
  pods[0].subdomain = "web";
  EXPECT_EQ(ask(mesh, pods, "web.shop.svc.cluster.local", dns::Type::A).answers.size(), 2U);
  EXPECT_EQ(ask(mesh, pods, "first.web.shop.svc.cluster.local", dns::Type::A).answers.size(), 1U);
  EXPECT_EQ(ask(mesh, pods, "10-244-0-11.web.shop.svc.cluster.local", dns::Type::A).answers.size(),
            1U);
  EXPECT_EQ(ask(mesh, pods, "second.web.shop.svc.cluster.local", dns::Type::A).answers.size(), 0U);
}

TEST(Images, AreKnownByTheirNames) {
  EXPECT_TRUE(is_known_image("local/nginx"));
  EXPECT_FALSE(is_known_image("nginx"));
  EXPECT_FALSE(is_known_image("local/"));
  EXPECT_FALSE(is_known_image("local/../etc"));
}

TEST(Sandbox, CapabilitiesHaveNumbers) {
  EXPECT_EQ(capability_number("NET_ADMIN"), 12);
  EXPECT_EQ(capability_number("CAP_NET_RAW"), 13);
  EXPECT_EQ(capability_number("cap_net_raw"), 13);
  EXPECT_EQ(capability_number("FLY"), -1);
}

// Others in the pod may be of the same user, and find its root in /proc.
TEST(Sandbox, ItsFirstProcessHasNeitherRootNorPrivileges) {
  // Namespaces need root; tests/local/local_test.py looks at the same in every run, and has it.
  if (::geteuid() != 0) return;
  namespace fs = std::filesystem;
  std::string folder = testing::TempDir() + "sandbox-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string image = folder + "/image";
  ASSERT_TRUE(make_folders(image + "/usr") && make_folders(folder + "/scratch"));
  for (const std::string name : {"bin", "lib", "lib64"}) {
    fs::create_symlink("usr/" + name, concat(image, "/", name));
  }
  {
    auto made = Sandbox::create({.hostname = "a", .scratch = folder + "/scratch"});
    ASSERT_TRUE(made.has_value()) << made.error().where;
    const Sandbox& sandbox = **made;
    const std::string proc = concat("/proc/", std::to_string(sandbox.pid()));
    EXPECT_TRUE(fs::is_empty(proc + "/root/"));
    std::string text;
    ASSERT_TRUE(read_file(proc + "/status", text));
    for (const std::string_view set : {"CapPrm", "CapEff", "CapBnd"}) {
      EXPECT_THAT(text, HasSubstr(concat(set, ":\t0000000000000000\n")));
    }
    // Containers are made from the machine's files and the pod's volumes all the same.
    ASSERT_TRUE(make_folders(sandbox.inside("volumes/v")));
    Launch what;
    what.name = "a";
    what.layers = {image};
    what.argv = {"/bin/sh", "-c",
                 "echo x > /v/written && test -z \"$(ls -A /proc/1/root/)\" && "
                 "! touch /proc/1/root/x"};
    what.binds = {{"/usr", "", "/usr", true}, {sandbox.scratch() + "/volumes/v", "", "/v", false}};
    const Started started = launch(sandbox, what);
    ASSERT_EQ(started.problem, "");
    int status = -1;
    ASSERT_EQ(::waitpid(started.pid, &status, 0), started.pid);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(read_file(sandbox.inside("volumes/v/written"), text));
  }
  EXPECT_TRUE(remove_tree(folder));
}

TEST(State, ContainersAreFoundByWords) {
  const Json status = Json::parse(R"({"pods": [
    {"namespace": "a", "name": "x", "containers": [{"name": "linkerd-proxy", "kind": "sidecar"}, {"name": "app", "kind": "container"}]},
    {"namespace": "b", "name": "x", "containers": [{"name": "other", "kind": "container"}]}]})");
  EXPECT_THAT(find_container(status, "", "x", "").problem, HasSubstr("several pods"));
  EXPECT_EQ(find_container(status, "", "a/x", "").container["name"], "app");
  EXPECT_EQ(find_container(status, "b", "x", "").container["name"], "other");
  EXPECT_EQ(find_container(status, "a", "x", "linkerd-proxy").container["name"], "linkerd-proxy");
  EXPECT_THAT(find_container(status, "a", "x", "none").problem, HasSubstr("no container none"));
  EXPECT_FALSE(is_mesh_name("../x"));
  EXPECT_FALSE(is_mesh_name(""));
  EXPECT_TRUE(is_mesh_name("first-2"));
}

TEST(RunProgram, KeepsSoMuchAndWaitsSoLong) {
  RunOptions options;
  options.most = 3;
  const Ran cut = run_program({"sh", "-c", "echo abcdef; echo uvw >&2; exit 4"}, options);
  EXPECT_EQ(cut.output, "abc");
  EXPECT_EQ(cut.errors, "uvw");
  EXPECT_EQ(cut.status, 4);
  options.limit = std::chrono::milliseconds(50);
  const auto began = monotonic_now();
  EXPECT_EQ(run_program({"sleep", "100"}, options).status, 137);
  EXPECT_LT(monotonic_now() - began, std::chrono::seconds(20));
  EXPECT_EQ(run_program({"/nowhere"}).status, 127);
}

}  // namespace
}  // namespace tulle::local
