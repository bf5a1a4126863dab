// SPDX-License-Identifier: Apache-2.0
#include "local/model.h"

#include <algorithm>
#include <set>

#include "lib/base/text.h"
#include "lib/k8s/check.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::local {
namespace {

using k8s::Token;

// One value of a document as JSON, with the line of each field by its path.
class JsonBuilder {
 public:
  JsonBuilder(k8s::TokenSource& source, std::map<std::string, std::uint32_t>& lines)
      : source_(source), lines_(lines) {}

  // False if the document is broken; the decoder that reads it too reports how.
  bool read(Json& into) {
    const Token token = source_.next();
    return token.kind == Token::Kind::End || value(token, "", into);
  }

 private:
  bool value(const Token& token, const std::string& path, Json& into) {
    lines_.emplace(path, token.line);
    switch (token.kind) {
      case Token::Kind::Scalar: scalar(token, into); return true;
      case Token::Kind::MapBegin: return map(path, into);
      case Token::Kind::ListBegin: return list(path, into);
      default: return false;
    }
  }
  bool map(const std::string& path, Json& into) {
    into = Json::object();
    for (;;) {
      const Token key = source_.next();
      if (key.kind == Token::Kind::MapEnd) return true;
      if (key.kind != Token::Kind::Scalar) return false;
      const std::string name(key.text);
      const std::string here = path.empty() ? name : concat(path, ".", name);
      lines_.emplace(here, key.line);
      if (!value(source_.next(), here, into[name])) return false;
    }
  }
  bool list(const std::string& path, Json& into) {
    into = Json::array();
    for (std::size_t i = 0;; ++i) {
      const Token item = source_.next();
      if (item.kind == Token::Kind::ListEnd) return true;
      std::string here = path + "[";
      append_number(here, i);
      into.push_back(nullptr);
      if (!value(item, here + "]", into.back())) return false;
    }
  }
  static void scalar(const Token& token, Json& into) {
    const std::string_view text = token.text;
    switch (token.type) {
      case Token::Type::Null: into = nullptr; return;
      case Token::Type::Bool: {
        const char c = ascii_lower(text.empty() ? 'n' : text.front());
        into = c == 't' || c == 'y' || iequals(text, "on");
        return;
      }
      case Token::Type::Int:
        if (const auto number = parse_number<std::int64_t>(text)) {
          into = *number;
          return;
        }
        break;
      case Token::Type::Float:
      case Token::Type::String: break;
    }
    into = std::string(text);
  }

  k8s::TokenSource& source_;
  std::map<std::string, std::uint32_t>& lines_;
};

std::string text_at(const Json& object, const char* a, const char* b = nullptr) {
  const auto first = object.is_object() ? object.find(a) : object.end();
  if (first == object.end()) return {};
  if (b == nullptr) return first->is_string() ? first->get<std::string>() : std::string();
  return text_at(*first, b);
}

// The document of that number, decoded as a T; its problems are those that parse_manifest finds,
// but for fields that only we read.
template <typename T>
std::optional<k8s::Problem> decode_document(std::string_view text, std::uint32_t number, T& into) {
  k8s::YamlSource source(text);
  for (std::uint32_t i = 0; i < number; ++i) {
    if (!source.next_document()) break;
    if (i + 1 == number) return k8s::decode(source, into);
    for (Token token = source.next();
         token.kind != Token::Kind::End && token.kind != Token::Kind::Bad; token = source.next()) {
    }
  }
  return k8s::Problem{{}, number, 0, "", "the document is gone"};
}

bool is_policy(std::string_view api_version) {
  return api_version.starts_with(k8s::kPolicyGroup) &&
         api_version.substr(k8s::kPolicyGroup.size()).starts_with('/');
}

// Kinds that live in no namespace.
bool is_cluster_wide(std::string_view kind) { return kind == "Namespace"; }

net::IpAddr numbered(std::uint32_t base, std::uint32_t index) {
  return net::IpAddr::v4(base + index);
}
net::IpAddr numbered6(std::uint8_t third, std::uint8_t third_low, std::uint32_t index) {
  return net::IpAddr::v6({0xfd, 0, 0, 0x10, third, third_low, 0, 0, 0, 0, 0, 0, 0, 0,
                          static_cast<std::uint8_t>(index >> 8), static_cast<std::uint8_t>(index)});
}

}  // namespace

net::IpAddr pod_address(std::uint32_t index) { return numbered(0x0AF40000, index); }
net::IpAddr pod_address6(std::uint32_t index) { return numbered6(0x02, 0x44, index); }
net::IpAddr service_address(std::uint32_t index) { return numbered(0x0A600000, index); }
net::IpAddr service_address6(std::uint32_t index) { return numbered6(0x00, 0x96, index); }

void ModelReader::problem(const Source& source, std::uint32_t line, std::string path,
                          std::string reason) {
  problems_.push_back({source.file, source.document, line, std::move(path), std::move(reason)});
}

void ModelReader::problem(const Document& document, const std::string& path, std::string reason) {
  // The field itself, or what it would be part of.
  std::string_view at = path;
  for (;;) {
    const auto found = document.lines.find(std::string(at));
    if (found != document.lines.end()) {
      return problem(document.source, found->second, path, std::move(reason));
    }
    const std::size_t cut = at.find_last_of(".[");
    if (cut == std::string_view::npos) break;
    at = at.substr(0, cut);
  }
  const auto top = document.lines.find("");
  problem(document.source, top == document.lines.end() ? 0 : top->second, path, std::move(reason));
}

void ModelReader::add(std::string_view text, const std::string& file) {
  const std::size_t before = problems_.size();
  k8s::Manifest manifest = k8s::parse_manifest(text, k8s::Format::Yaml, file);
  for (k8s::Problem& found : manifest.problems) problems_.push_back(std::move(found));
  if (problems_.size() != before) return;
  k8s::YamlSource source(text);
  for (std::uint32_t number = 1; source.next_document(); ++number) {
    Document document;
    document.source = {file, number};
    JsonBuilder builder(source, document.lines);
    if (!builder.read(document.value)) {
      return problem(document.source, 0, "", "the document cannot be read");
    }
    if (!document.value.is_null()) take(std::move(document), text);
  }
}

void ModelReader::take(Document document, std::string_view text) {
  const std::string kind = text_at(document.value, "kind");
  const std::string version = text_at(document.value, "apiVersion");
  const bool core = version == "v1";
  Json& metadata = document.value["metadata"];
  const std::string name = text_at(metadata, "name");
  if (name.empty()) return problem(document, "metadata.name", "is required");
  // Names become parts of paths and of the fabric's rules.
  if (!k8s::is_subdomain(name)) {
    return problem(document, "metadata.name", "must be lower-case letters, digits, '-' and '.'");
  }
  if (!is_cluster_wide(kind) && text_at(metadata, "namespace").empty()) {
    metadata["namespace"] = "default";
  }
  const std::string ns = text_at(metadata, "namespace");
  if (!ns.empty() && !k8s::is_subdomain(ns)) {
    return problem(document, "metadata.namespace", "must be lower-case letters, digits and '-'");
  }
  const std::string where = concat(kind, " ", ns, ns.empty() ? "" : "/", name);
  const auto [seen, fresh] = seen_.emplace(where, document.source.file);
  if (!fresh)
    return problem(document, "metadata.name", concat(where, " is already in ", seen->second));

  if (core && kind == "Pod") return take_pod(std::move(document), text);
  if (core && (kind == "ConfigMap" || kind == "Secret")) {
    return take_keyed(document, text, kind == "Secret");
  }
  if (core && kind == "Service") {
    ServiceInput service;
    if (const auto bad = decode_document(text, document.source.document, service.object)) {
      return problem(document.source, bad->line, bad->path, bad->reason);
    }
    service.object.meta.ns = ns;
    service.raw = document.value;
    model_.services.push_back(std::move(service));
    service_documents_.push_back(std::move(document));
    return;
  }
  if ((core && (kind == "Namespace" || kind == "ServiceAccount")) || is_policy(version)) {
    model_.others.push_back(std::move(document.value));
    return;
  }
  problem(document, "kind",
          concat(version, " ", kind,
                 " is not run here; Pods, Services, ServiceAccounts, Namespaces, ConfigMaps, "
                 "Secrets and policies are"));
}

void ModelReader::take_pod(Document document, std::string_view text) {
  PodInput pod;
  pod.source = document.source;
  if (const auto bad = decode_document(text, document.source.document, pod.object)) {
    return problem(document.source, bad->line, bad->path, bad->reason);
  }
  pod.object.meta.ns = text_at(document.value, "metadata", "namespace");
  if (pod.object.spec.service_account.empty()) pod.object.spec.service_account = "default";
  if (const auto refusal = check_pod(pod.object)) {
    return problem(document, refusal->path, refusal->reason);
  }
  for (const bool init : {true, false}) {
    const auto& list = init ? pod.object.spec.init_containers : pod.object.spec.containers;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (options_.known_image == nullptr || options_.known_image(list[i].image)) continue;
      std::string path = init ? "spec.initContainers[" : "spec.containers[";
      append_number(path, i);
      problem(document, path + "].image", concat("there is no image ", list[i].image));
    }
  }
  pod.raw = document.value;
  model_.pods.push_back(std::move(pod));
  pod_documents_.push_back(std::move(document));
}

namespace {
// What Kubernetes takes as a key of a ConfigMap or Secret: it becomes a file.
bool is_file_name(std::string_view key) {
  return !key.empty() && key.size() <= 253 && !key.starts_with("..") && key != "." &&
         std::all_of(key.begin(), key.end(), [](char c) {
           return ascii_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                  c == '_' || c == '.';
         });
}
}  // namespace

void ModelReader::take_keyed(const Document& document, std::string_view text, bool secret) {
  KeyedObject object;
  if (const auto bad = decode_document(text, document.source.document, object)) {
    return problem(document.source, bad->line, bad->path, bad->reason);
  }
  auto& into = (secret ? model_.secrets : model_.config_maps)[{
      text_at(document.value, "metadata", "namespace"), object.meta.name}];
  for (const auto* const data : {&object.data, &object.string_data}) {
    for (const auto& [key, value] : *data) {
      if (!is_file_name(key)) {
        return problem(document, "data", concat("the key \"", key, "\" cannot be a file's name"));
      }
    }
  }
  for (const auto& [key, value] : object.data) {
    if (!secret) {
      into[key] = value;
      continue;
    }
    auto bytes = base64_decode(value);
    if (!bytes) return problem(document, concat("data.", key), "is not base64");
    into[key] = *std::move(bytes);
  }
  if (secret) {
    for (const auto& [key, value] : object.string_data) into[key] = value;
  }
}

void ModelReader::check_references() {
  std::set<ObjectName> accounts;
  std::set<std::string> spaces;
  for (const Json& object : model_.others) {
    const std::string kind = text_at(object, "kind");
    const std::string name = text_at(object, "metadata", "name");
    if (kind == "Namespace") spaces.insert(name);
    if (kind == "ServiceAccount") accounts.insert({text_at(object, "metadata", "namespace"), name});
  }
  std::set<std::string> used;
  for (std::size_t i = 0; i < model_.pods.size(); ++i) {
    const PodObject& pod = model_.pods[i].object;
    const Document& document = pod_documents_[i];
    used.insert(pod.meta.ns);
    const std::string& account = pod.spec.service_account;
    if (account != "default" && !accounts.contains({pod.meta.ns, account})) {
      problem(document, "spec.serviceAccountName",
              concat("there is no ServiceAccount ", account, " in ", pod.meta.ns));
    }
    const auto check_key = [&](const std::optional<KeyRef>& ref, bool secret, std::string path) {
      if (!ref || ref->optional || (!secret && ref->name == kTrustRootsName)) return;
      const auto& from = secret ? model_.secrets : model_.config_maps;
      const auto found = from.find({pod.meta.ns, ref->name});
      if (found != from.end() && found->second.contains(ref->key)) return;
      problem(document, path,
              concat("there is no key ", ref->key, " in the ", secret ? "Secret " : "ConfigMap ",
                     ref->name));
    };
    for (const bool init : {true, false}) {
      const auto& list = init ? pod.spec.init_containers : pod.spec.containers;
      for (std::size_t c = 0; c < list.size(); ++c) {
        for (std::size_t e = 0; e < list[c].env.size(); ++e) {
          const EnvVar& var = list[c].env[e];
          if (!var.from) continue;
          std::string path = init ? "spec.initContainers[" : "spec.containers[";
          append_number(path, c);
          path += "].env[";
          append_number(path, e);
          path += "].valueFrom";
          check_key(var.from->config_map, false, path);
          check_key(var.from->secret, true, path);
        }
      }
    }
    const auto check_files = [&](const std::optional<KeyedFiles>& files, bool secret,
                                 const std::string& path) {
      if (!files || files->optional) return;
      const std::string& name = files->name.empty() ? files->secret_name : files->name;
      if (!secret && name == kTrustRootsName) return;
      const auto& from = secret ? model_.secrets : model_.config_maps;
      if (from.contains({pod.meta.ns, name})) return;
      problem(document, path, concat("there is no ", secret ? "Secret " : "ConfigMap ", name));
    };
    for (std::size_t v = 0; v < pod.spec.volumes.size(); ++v) {
      const Volume& volume = pod.spec.volumes[v];
      std::string path = "spec.volumes[";
      append_number(path, v);
      path += ']';
      check_files(volume.config_map, false, path);
      check_files(volume.secret, true, path);
      if (!volume.projected) continue;
      for (const ProjectedPart& part : volume.projected->sources) {
        check_files(part.config_map, false, path);
        check_files(part.secret, true, path);
      }
    }
  }
  for (const ServiceInput& service : model_.services) used.insert(service.object.meta.ns);
  used.insert(options_.control_namespace);
  for (const std::string& ns : used) {
    if (!spaces.contains(ns)) {
      model_.others.push_back(
          {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", ns}}}});
    }
    if (!accounts.contains({ns, "default"})) {
      model_.others.push_back({{"apiVersion", "v1"},
                               {"kind", "ServiceAccount"},
                               {"metadata", {{"name", "default"}, {"namespace", ns}}}});
    }
  }
}

void ModelReader::assign_addresses() {
  std::uint32_t index = kFirstPodIndex;
  for (PodInput& pod : model_.pods) {
    pod.ip4 = pod_address(index);
    pod.ip6 = pod_address6(index++);
  }
  const auto network = net::Cidr::parse(kServiceNetwork);
  const auto network6 = net::Cidr::parse(kServiceNetwork6);
  std::set<net::IpAddr> taken{*net::IpAddr::parse(kDnsAddress), *net::IpAddr::parse(kDnsAddress6)};
  for (std::size_t i = 0; i < model_.services.size(); ++i) {
    ServiceInput& service = model_.services[i];
    if (service.object.headless() || service.object.spec.type == "ExternalName") continue;
    for (const net::IpAddr& ip : service.object.addresses()) {
      if (!network->contains(ip) && !network6->contains(ip)) {
        problem(service_documents_[i], "spec.clusterIP",
                concat("must be in ", kServiceNetwork, " or ", kServiceNetwork6));
      } else if (!taken.insert(ip).second) {
        problem(service_documents_[i], "spec.clusterIP", "is taken already");
      }
      service.addresses.push_back(ip);
    }
  }
  std::uint32_t next = 11;
  for (ServiceInput& service : model_.services) {
    if (service.object.headless() || service.object.spec.type == "ExternalName") continue;
    Json& spec = service.raw["spec"];
    const bool single = text_at(spec, "ipFamilyPolicy") == "SingleStack";
    Json families = spec.contains("ipFamilies") ? spec["ipFamilies"] : Json::array();
    const bool six_first = !families.empty() && families[0] == "IPv6";
    if (service.addresses.empty()) {
      while (taken.contains(service_address(next)) || taken.contains(service_address6(next)))
        ++next;
      if (!single || !six_first) service.addresses.push_back(service_address(next));
      if (!single || six_first) service.addresses.push_back(service_address6(next));
      if (six_first && !single) std::swap(service.addresses[0], service.addresses[1]);
      ++next;
    }
    spec["clusterIP"] = service.addresses.front().to_string();
    spec["clusterIPs"] = Json::array();
    service.object.spec.cluster_ips.clear();
    for (const net::IpAddr& ip : service.addresses) {
      spec["clusterIPs"].push_back(ip.to_string());
      service.object.spec.cluster_ips.push_back(ip.to_string());
    }
    service.object.spec.cluster_ip = service.addresses.front().to_string();
  }
}

Model ModelReader::finish() {
  check_references();
  if (model_.pods.size() > kMaxPods) {
    problem(model_.pods.back().source, 0, "", "too many pods for one machine");
  }
  assign_addresses();
  return std::move(model_);
}

}  // namespace tulle::local
