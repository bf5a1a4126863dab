// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/access.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "lib/base/text.h"
#include "lib/k8s/decoder.h"
#include "lib/k8s/yaml_source.h"
#include "lib/net/address.h"
#include "lib/net/socket.h"

namespace tulle::k8s {
namespace {

constexpr std::size_t kMaxFile = std::size_t{1} << 20;
// Where distributions keep the authorities that everybody trusts.
constexpr std::string_view kSystemBundles[] = {
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

// nullopt with errno set.
std::optional<std::string> read_file(const std::string& path) {
  const net::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return std::nullopt;
  std::string text;
  std::array<char, 4096> block;
  while (text.size() <= kMaxFile) {
    const ssize_t n = ::read(fd.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::nullopt;
    if (n == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(n));
  }
  errno = EFBIG;
  return std::nullopt;
}

AccessProblem unreadable(std::string_view path) {
  return {concat(path, ": ", std::strerror(errno))};
}

// The members of a kubeconfig that we follow or refuse.
struct ExecPlugin {
  std::string command;
};
struct AuthProvider {
  std::string name;
};
struct Cluster {
  std::string server, ca_file, ca_data, server_name, proxy_url;
  bool insecure = false;
};
struct User {
  std::string token, token_file, certificate_file, certificate_data, key_file, key_data;
  std::string username, password, impersonate;
  std::optional<ExecPlugin> exec;
  std::optional<AuthProvider> auth_provider;
};
struct Context {
  std::string cluster, user, ns;
};
template <typename T>
struct Named {
  std::string name;
  T value;
};
struct Kubeconfig {
  std::string current_context;
  std::vector<Named<Cluster>> clusters;
  std::vector<Named<User>> users;
  std::vector<Named<Context>> contexts;
};

template <typename V>
void describe(V& v, ExecPlugin& x) {
  v.field("command", x.command);
}
template <typename V>
void describe(V& v, AuthProvider& x) {
  v.field("name", x.name);
}
template <typename V>
void describe(V& v, Cluster& x) {
  v.field("server", x.server);
  v.field("certificate-authority", x.ca_file);
  v.field("certificate-authority-data", x.ca_data);
  v.field("tls-server-name", x.server_name);
  v.field("proxy-url", x.proxy_url);
  v.field("insecure-skip-tls-verify", x.insecure);
}
template <typename V>
void describe(V& v, User& x) {
  v.field("token", x.token);
  v.field("tokenFile", x.token_file);
  v.field("client-certificate", x.certificate_file);
  v.field("client-certificate-data", x.certificate_data);
  v.field("client-key", x.key_file);
  v.field("client-key-data", x.key_data);
  v.field("username", x.username);
  v.field("password", x.password);
  v.field("as", x.impersonate);
  v.field("exec", x.exec);
  v.field("auth-provider", x.auth_provider);
}
template <typename V>
void describe(V& v, Context& x) {
  v.field("cluster", x.cluster);
  v.field("user", x.user);
  v.field("namespace", x.ns);
}
template <typename V>
void describe(V& v, Named<Cluster>& x) {
  v.field("name", x.name);
  v.field("cluster", x.value);
}
template <typename V>
void describe(V& v, Named<User>& x) {
  v.field("name", x.name);
  v.field("user", x.value);
}
template <typename V>
void describe(V& v, Named<Context>& x) {
  v.field("name", x.name);
  v.field("context", x.value);
}
template <typename V>
void describe(V& v, Kubeconfig& x) {
  v.field("current-context", x.current_context);
  v.field("clusters", x.clusters);
  v.field("users", x.users);
  v.field("contexts", x.contexts);
}

template <typename T>
const T* find(const std::vector<Named<T>>& list, std::string_view name) {
  for (const Named<T>& entry : list) {
    if (entry.name == name) return &entry.value;
  }
  return nullptr;
}

// Splits "https://host[:port][/prefix]"; "" or what is wrong.
std::string read_url(std::string_view url, ClusterAccess& out) {
  if (url.starts_with("https://")) {
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
    out.tls = false;
  } else {
    return "must begin with https://";
  }
  const std::size_t slash = url.find('/');
  std::string_view authority = url.substr(0, slash);
  if (slash != std::string_view::npos) {
    out.prefix = url.substr(slash);
    while (out.prefix.ends_with('/')) out.prefix.pop_back();
  }
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return "has a bracket that does not close";
    out.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    const std::size_t colon = authority.rfind(':');
    out.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon);
    if (out.host.find(':') != std::string::npos) return "has an IPv6 address without brackets";
  }
  out.port = out.tls ? 443 : 80;
  if (!port.empty()) {
    const auto number = parse_number<std::uint16_t>(port.substr(1));
    if (port.front() != ':' || !number || *number == 0) return "has no valid port";
    out.port = *number;
  }
  const auto plain = [](std::string_view text, std::string_view but) {
    return std::all_of(text.begin(), text.end(), [&](char c) {
      return c > 0x20 && c < 0x7F && but.find(c) == std::string_view::npos;
    });
  };
  if (out.host.empty() || !plain(out.host, "@?#[]\\,")) return "has no valid host";
  if (!plain(out.prefix, "?#")) return "has no valid path";
  if (!out.tls) {
    const auto ip = net::IpAddr::parse(out.host);
    if (!(ip && ip->is_loopback()) && out.host != "localhost") {
      return "must begin with https://: plain text does not leave this machine";
    }
  }
  return "";
}

// A file of that path, or base64 data; "" or what is wrong.
std::string read_pair(const std::string& file, const std::string& data, std::string_view field,
                      const std::string& folder, Credential& out) {
  if (!data.empty()) {
    auto text = base64_decode(data);
    if (!text) return concat(field, "-data is not base64");
    out.text = *std::move(text);
  } else if (!file.empty()) {
    out.file = file.starts_with('/') || folder.empty() ? file : concat(folder, "/", file);
  }
  return "";
}

std::string refused(const Cluster& cluster, const User& user) {
  if (user.exec) {
    return concat("exec plugin ", user.exec->command,
                  ": plugins are not run; use a token, a tokenFile or a client certificate");
  }
  if (user.auth_provider) {
    return concat("auth-provider ", user.auth_provider->name,
                  ": plugins are not run; use a token, a tokenFile or a client certificate");
  }
  if (!user.username.empty() || !user.password.empty()) {
    return "username and password are not supported; use a token or a client certificate";
  }
  if (!user.impersonate.empty()) return "as: impersonation is not supported";
  if (!cluster.proxy_url.empty()) return "proxy-url: proxies are not supported";
  if (cluster.insecure) {
    return "insecure-skip-tls-verify is refused; give certificate-authority or tls-server-name";
  }
  return "";
}

}  // namespace

std::string Credential::read() const {
  if (file.empty()) return text;
  return read_file(file).value_or(std::string());
}

std::string ClusterAccess::authority() const {
  std::string out = host.find(':') != std::string::npos ? concat("[", host, "]") : host;
  if (port != (tls ? 443 : 80)) {
    out += ':';
    append_number(out, port);
  }
  return out;
}

std::string ClusterAccess::url() const {
  return concat(tls ? "https://" : "http://", authority(), prefix);
}

AccessResult in_cluster_access(std::string_view host, std::string_view port,
                               const std::string& folder) {
  if (host.empty() || port.empty()) {
    return AccessProblem{
        "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"};
  }
  ClusterAccess access;
  const auto number = parse_number<std::uint16_t>(port);
  if (!number || *number == 0) return AccessProblem{"KUBERNETES_SERVICE_PORT is not a port"};
  access.host = host;
  access.port = *number;
  access.token.file = folder + "/token";
  access.ca.file = folder + "/ca.crt";
  for (const Credential* const file : {&access.token, &access.ca}) {
    if (!read_file(file->file)) return unreadable(file->file);
  }
  if (const auto ns = read_file(folder + "/namespace")) access.ns = trim(*ns);
  return access;
}

AccessResult parse_kubeconfig(std::string_view text, const std::string& folder,
                              std::string_view context_name) {
  YamlSource source(text);
  if (!source.next_document()) return AccessProblem{"is empty"};
  Kubeconfig config;
  Decoder decoder(source);
  decoder.read(config);
  if (decoder.failed()) {
    Problem problem = *decoder.problem();
    std::string where = problem.path.empty() ? std::string("not a kubeconfig") : problem.path;
    return AccessProblem{
        concat("line ", std::to_string(problem.line), ": ", where, ": ", problem.reason)};
  }
  if (context_name.empty()) context_name = config.current_context;
  if (context_name.empty()) return AccessProblem{"has no current-context"};
  const Context* const context = find(config.contexts, context_name);
  if (context == nullptr) return AccessProblem{concat("has no context ", context_name)};
  const Cluster* const cluster = find(config.clusters, context->cluster);
  if (cluster == nullptr) return AccessProblem{concat("has no cluster ", context->cluster)};
  static const User kNobody;
  const User* user = find(config.users, context->user);
  if (user == nullptr && !context->user.empty()) {
    return AccessProblem{concat("has no user ", context->user)};
  }
  if (user == nullptr) user = &kNobody;
  if (std::string why = refused(*cluster, *user); !why.empty()) {
    return AccessProblem{std::move(why)};
  }

  ClusterAccess access;
  access.ns = context->ns;
  access.server_name = cluster->server_name;
  if (std::string why = read_url(cluster->server, access); !why.empty()) {
    return AccessProblem{concat("server ", why)};
  }
  std::string why =
      read_pair(cluster->ca_file, cluster->ca_data, "certificate-authority", folder, access.ca);
  if (why.empty()) {
    why = read_pair(user->certificate_file, user->certificate_data, "client-certificate", folder,
                    access.certificate);
  }
  if (why.empty()) {
    why = read_pair(user->key_file, user->key_data, "client-key", folder, access.key);
  }
  if (!why.empty()) return AccessProblem{std::move(why)};
  if (access.certificate.empty() != access.key.empty()) {
    return AccessProblem{"client-certificate and client-key belong together"};
  }
  access.token.text = user->token;
  // As client-go has it, the file wins.
  if (!user->token_file.empty()) {
    (void)read_pair(user->token_file, "", "tokenFile", folder, access.token);
  }
  if (access.tls && access.ca.empty()) {
    for (const std::string_view bundle : kSystemBundles) {
      if (::access(std::string(bundle).c_str(), R_OK) != 0) continue;
      access.ca.file = bundle;
      break;
    }
    if (access.ca.empty()) {
      return AccessProblem{"has no certificate-authority, and this machine has no bundle of them"};
    }
  }
  return access;
}

AccessResult kubeconfig_access(const std::string& path, std::string_view context) {
  const auto text = read_file(path);
  if (!text) return unreadable(path);
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  AccessResult result = parse_kubeconfig(*text, folder, context);
  if (auto* const problem = std::get_if<AccessProblem>(&result)) {
    problem->reason.insert(0, concat(path, ": "));
  }
  return result;
}

}  // namespace tulle::k8s
