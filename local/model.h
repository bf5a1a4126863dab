// SPDX-License-Identifier: Apache-2.0
// What is to run: the objects of the manifests a person gives, read, checked together and
// completed (namespaces, cluster addresses, pod addresses). Everything wrong is found here, with
// file, line and field, before anything is started. Plain values.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "lib/k8s/manifest.h"
#include "local/spec.h"

namespace tulle::local {

using Json = nlohmann::json;
using ObjectName = std::pair<std::string, std::string>;  // namespace, name

struct Source {
  std::string file;
  std::uint32_t document = 0;  // from 1
};

struct PodInput {
  Source source;
  Json raw;  // the document as it was written, namespace filled in
  PodObject object;
  net::IpAddr ip4;
  net::IpAddr ip6;
};

struct ServiceInput {
  Json raw;  // completed: clusterIP, clusterIPs
  k8s::Service object;
  // The addresses to translate; empty for headless Services.
  std::vector<net::IpAddr> addresses;
};

struct Model {
  std::vector<PodInput> pods;
  std::vector<ServiceInput> services;
  std::map<ObjectName, std::map<std::string, std::string>> config_maps;
  std::map<ObjectName, std::map<std::string, std::string>> secrets;
  std::vector<Json> others;  // Namespaces, ServiceAccounts, policies: for the control plane
};

// The addresses of a mesh on one machine. Nothing outside its own namespaces sees them.
inline constexpr std::string_view kPodNetwork = "10.244.0.0/16";
inline constexpr std::string_view kPodNetwork6 = "fd00:10:244::/64";
inline constexpr std::string_view kServiceNetwork = "10.96.0.0/16";
inline constexpr std::string_view kServiceNetwork6 = "fd00:10:96::/64";
inline constexpr std::string_view kGateway = "10.244.0.1";  // also where probes come from
inline constexpr std::string_view kGateway6 = "fd00:10:244::1";
inline constexpr std::string_view kDnsAddress = "10.96.0.10";
inline constexpr std::string_view kDnsAddress6 = "fd00:10:96::a";
inline constexpr std::uint32_t kControlIndex = 2;  // of the control plane's pod
inline constexpr std::uint32_t kFirstPodIndex = 10;
inline constexpr std::size_t kMaxPods = 500;
// The name under which every namespace has the trust anchors, as Linkerd's ConfigMap is called.
inline constexpr std::string_view kTrustRootsName = "linkerd-identity-trust-roots";
inline constexpr std::string_view kTrustRootsKey = "ca-bundle.crt";

net::IpAddr pod_address(std::uint32_t index);
net::IpAddr pod_address6(std::uint32_t index);
net::IpAddr service_address(std::uint32_t index);
net::IpAddr service_address6(std::uint32_t index);

struct ModelOptions {
  // True if a container's image can be had. Called once for each container.
  bool (*known_image)(std::string_view image) = nullptr;
  std::string control_namespace = "linkerd";
};

class ModelReader {
 public:
  explicit ModelReader(ModelOptions options) : options_(std::move(options)) {}
  // Reads a file's text; `file` is for messages. Problems are kept.
  void add(std::string_view text, const std::string& file);
  // Checks everything together and gives out addresses. Call once; the model is meaningful only
  // if there are no problems.
  Model finish();
  const std::vector<k8s::Problem>& problems() const noexcept { return problems_; }

 private:
  struct Document {
    Source source;
    Json value;
    std::map<std::string, std::uint32_t> lines;  // "spec.ports[1].port" → line
  };
  void take(Document document, std::string_view text);
  void take_pod(Document document, std::string_view text);
  void take_keyed(const Document& document, std::string_view text, bool secret);
  void check_references();
  void assign_addresses();
  void problem(const Document& document, const std::string& path, std::string reason);
  void problem(const Source& source, std::uint32_t line, std::string path, std::string reason);

  ModelOptions options_;
  std::vector<k8s::Problem> problems_;
  Model model_;
  std::map<std::string, std::string> seen_;  // "Pod ns/name" → where
  std::vector<Document> pod_documents_;      // in the order of model_.pods
  std::vector<Document> service_documents_;
};

}  // namespace tulle::local
