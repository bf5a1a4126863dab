// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/access.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "lib/base/text.h"
#include "lib/k8s/resource.h"

namespace tulle::k8s {
namespace {

std::string config(std::string_view cluster, std::string_view user) {
  return concat(
      "apiVersion: v1\nkind: Config\npreferences: {}\ncurrent-context: c\n"
      "contexts: [{name: other, context: {cluster: k, user: nobody}},"
      " {name: c, context: {cluster: k, user: u, namespace: shop}}]\n"
      "clusters: [{name: k, cluster: {",
      cluster, "}}]\nusers: [{name: u, user: {", user, "}}]\n");
}
std::string problem(std::string_view text, std::string_view context = {}) {
  const AccessResult result = parse_kubeconfig(text, "/home/x/.kube", context);
  const auto* const found = std::get_if<AccessProblem>(&result);
  return found != nullptr ? found->reason : "";
}
ClusterAccess access(std::string_view cluster, std::string_view user) {
  const AccessResult result = parse_kubeconfig(config(cluster, user), "/home/x/.kube");
  if (const auto* const found = std::get_if<AccessProblem>(&result)) {
    ADD_FAILURE() << found->reason;
    return {};
  }
  return std::get<ClusterAccess>(result);
}

TEST(Kubeconfig, ReadsFilesAndData) {
  const ClusterAccess files =
      access("server: 'https://10.0.0.1:6443', certificate-authority: pki/ca.crt",
             "client-certificate: /pki/a.crt, client-key: a.key");
  EXPECT_EQ(files.host, "10.0.0.1");
  EXPECT_EQ(files.port, 6443);
  EXPECT_TRUE(files.tls);
  EXPECT_EQ(files.ns, "shop");
  EXPECT_EQ(files.ca.file, "/home/x/.kube/pki/ca.crt");
  EXPECT_EQ(files.certificate.file, "/pki/a.crt");
  EXPECT_EQ(files.key.file, "/home/x/.kube/a.key");
  EXPECT_EQ(files.authority(), "10.0.0.1:6443");
  const ClusterAccess data = access(
      "server: 'https://[fd00::1]/k8s/clusters/c-1/', certificate-authority-data: aGVsbG8=, "
      "tls-server-name: kubernetes",
      "token: abc");
  EXPECT_EQ(data.host, "fd00::1");
  EXPECT_EQ(data.port, 443);
  EXPECT_EQ(data.prefix, "/k8s/clusters/c-1");
  EXPECT_EQ(data.ca.read(), "hello");
  EXPECT_EQ(data.server_name, "kubernetes");
  EXPECT_EQ(data.token.text, "abc");
  EXPECT_EQ(data.authority(), "[fd00::1]");
  const ClusterAccess local = access("server: 'http://127.0.0.1:8001'", "tokenFile: t");
  EXPECT_FALSE(local.tls);
  EXPECT_EQ(local.token.file, "/home/x/.kube/t");
}

TEST(Kubeconfig, RefusesByName) {
  const std::string_view good = "server: 'https://k:6443', certificate-authority: ca.crt";
  const struct {
    std::string_view cluster, user, reason;
  } cases[] = {
      {good, "exec: {command: aws, args: [eks], env: null}",
       "exec plugin aws: plugins are not run"},
      {good, "auth-provider: {name: gcp}", "auth-provider gcp: plugins are not run"},
      {good, "username: a, password: b", "username and password are not supported"},
      {good, "token: t, as: root", "as: impersonation"},
      {"server: 'https://k', insecure-skip-tls-verify: true", "token: t",
       "insecure-skip-tls-verify is refused"},
      {"server: 'https://k', certificate-authority: c, proxy-url: 'http://p'", "token: t",
       "proxy-url: proxies"},
      {"server: 'http://10.0.0.1:8080'", "token: t", "server must begin with https://"},
      {"server: 'https://fd00::1'", "token: t", "server has an IPv6 address without brackets"},
      {"server: 'http://::1:8001'", "token: t", "server has an IPv6 address without brackets"},
      {"server: 'ftp://k'", "token: t", "server must begin with https://"},
      {"server: 'https://k:0', certificate-authority: c", "token: t", "server has no valid port"},
      {"server: 'https://u@k', certificate-authority: c", "token: t", "server has no valid host"},
      {"server: 'https://a.]b:5624', certificate-authority: c", "token: t",
       "server has no valid host"},
      {"server: \"https://k/a\\tb\", certificate-authority: c", "token: t",
       "server has no valid path"},
      {"server: 'https://', certificate-authority: c", "token: t", "server has no valid host"},
      {good, "client-certificate: a.crt", "client-certificate and client-key belong together"},
      {good, "client-key-data: '%%%', client-certificate: a", "client-key-data is not base64"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(problem(config(c.cluster, c.user)).starts_with(c.reason))
        << c.reason << " | " << problem(config(c.cluster, c.user));
  }
  EXPECT_EQ(problem(config(good, "token: t"), "none"), "has no context none");
  EXPECT_EQ(problem(config(good, "token: t"), "other"), "has no user nobody");
  EXPECT_EQ(problem("kind: Config\n"), "has no current-context");
  EXPECT_EQ(problem(""), "is empty");
  EXPECT_TRUE(problem("a: [\n").starts_with("line "));
}

TEST(InCluster, ReadsTheMountedFiles) {
  std::string name = (std::filesystem::temp_directory_path() / "tulle-access-XXXXXX").string();
  const std::string folder = ::mkdtemp(name.data());
  const auto reason = [&](std::string_view host, std::string_view port) {
    const AccessResult result = in_cluster_access(host, port, folder);
    const auto* const found = std::get_if<AccessProblem>(&result);
    return found != nullptr ? found->reason : "";
  };
  EXPECT_TRUE(reason("", "443").starts_with("not in a cluster"));
  EXPECT_EQ(reason("10.96.0.1", "https"), "KUBERNETES_SERVICE_PORT is not a port");
  EXPECT_EQ(reason("10.96.0.1", "443"), folder + "/token: No such file or directory");
  std::ofstream(folder + "/token") << "abc";
  std::ofstream(folder + "/ca.crt") << "pem";
  std::ofstream(folder + "/namespace") << "linkerd\n";
  const AccessResult result = in_cluster_access("fd00::1", "443", folder);
  const auto& made = std::get<ClusterAccess>(result);
  EXPECT_EQ(made.url(), "https://[fd00::1]");
  EXPECT_EQ(made.ns, "linkerd");
  EXPECT_EQ(made.token.read(), "abc");
  std::ofstream(folder + "/token") << "def";
  EXPECT_EQ(made.token.read(), "def");
  std::filesystem::remove_all(folder);
}

TEST(Resource, MakesPaths) {
  EXPECT_EQ(path_of(kPods), "/api/v1/pods");
  EXPECT_EQ(path_of(kPods, "shop", "web-0", "status"), "/api/v1/namespaces/shop/pods/web-0/status");
  EXPECT_EQ(path_of(kNodes, "ignored", "n1"), "/api/v1/nodes/n1");
  EXPECT_EQ(path_of(kLeases, "linkerd"), "/apis/coordination.k8s.io/v1/namespaces/linkerd/leases");
  EXPECT_EQ(
      path_of({"policy.linkerd.io", "servers", "v1beta3,v1beta2"}, "a/b", "x?y", {}, "v1beta2"),
      "/apis/policy.linkerd.io/v1beta2/namespaces/a%2Fb/servers/x%3Fy");
  EXPECT_EQ(version_of({"g", "p", "v2,v1"}, 1), "v1");
  EXPECT_EQ(version_of({"g", "p", "v2,v1"}, 2), "");
}

}  // namespace
}  // namespace tulle::k8s
