// SPDX-License-Identifier: Apache-2.0
#include "cli/install.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "cli/chart/embedded.h"
#include "cli/chart/set.h"
#include "cli/chart/yaml.h"
#include "lib/base/check.h"
#include "lib/base/nearest.h"
#include "lib/base/text.h"
#include "lib/inject/config.h"
#include "lib/inject/known_values.h"
#include "lib/inject/value.h"

namespace tulle::cli {

using chart::Manifest;
using chart::Value;

namespace {

constexpr std::string_view kControlPlane = "linkerd-control-plane";
constexpr std::string_view kCrds = "linkerd-crds";

// Maps with keys of the user's own, though the chart has some in them.
constexpr std::string_view kFree[] = {"nodeSelector",
                                      "deploymentStrategy",
                                      "controllerResources",
                                      "proxy.tracing.labels",
                                      "profileValidator.namespaceSelector",
                                      "policyValidator.namespaceSelector"};

std::string_view chart_name(bool crds) { return crds ? kCrds : kControlPlane; }

// Its place comes before everything else; no pod of the control plane needs more than "restricted"
// gives.
Manifest namespace_of(const InstallOptions& options) {
  Manifest out{{}, {}, "v1", "Namespace", options.ns, {}};
  out.text = concat("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ", options.ns,
                    "\n  annotations:\n    linkerd.io/inject: disabled\n  labels:\n    "
                    "config.linkerd.io/admission-webhooks: disabled\n"
                    "    linkerd.io/control-plane-ns: ",
                    options.ns,
                    "\n    linkerd.io/is-control-plane: \"true\"\n    "
                    "pod-security.kubernetes.io/enforce: restricted");
  return out;
}

Manifest secret_of(const InstallOptions& options, const Value& overrides) {
  Manifest out{{}, {}, "v1", "Secret", std::string(kOverrides), options.ns};
  out.text = concat("apiVersion: v1\nkind: Secret\nmetadata:\n  name: ", kOverrides,
                    "\n  namespace: ", options.ns,
                    "\n  annotations:\n    linkerd.io/created-by: linkerd/cli ", options.version,
                    "\n  labels:\n    linkerd.io/control-plane-ns: ", options.ns, "\ndata:\n  ",
                    kOverrides, ": ", base64_encode(as_bytes(chart::to_yaml(overrides) + "\n")));
  return out;
}

// The charts say that Helm made what they make; here they say that we did.
void say_who_created(std::string& text, std::string_view chart_version, std::string_view version) {
  const std::string helm = concat("linkerd.io/created-by: linkerd/helm ", chart_version, "\n");
  const std::string ours = concat("linkerd.io/created-by: linkerd/cli ", version, "\n");
  for (std::size_t at = text.find(helm); at != std::string::npos;
       at = text.find(helm, at + ours.size()))
    text.replace(at, helm.size(), ours);
}

// What the notes of the chart warn of; unknown keys are told with the one that may be meant.
void add_notes(std::string_view notes, std::vector<std::string>& warnings) {
  static constexpr std::string_view kMark = "WARNING: ";
  for (const std::string_view line : split(notes, '\n')) {
    if (line.starts_with(kMark) && line.find(" is not known") == std::string_view::npos)
      warnings.emplace_back(line.substr(kMark.size()));
  }
}

// Every path of a tree of values.
void list_paths(const Value& values, const std::string& prefix, std::vector<std::string>& into) {
  for (const auto& [key, value] : values.members()) {
    into.push_back(prefix + key);
    list_paths(value, concat(prefix, key, "."), into);
  }
}

class Unknown {
 public:
  explicit Unknown(const Value& defaults) { list_paths(defaults, "", paths_); }

  void look(const Value& defaults, const Value& given, const std::string& prefix) {
    for (const auto& [key, value] : given.members()) {
      const std::string path = prefix + key;
      const Value* const known = defaults.find(key);
      if (known == nullptr) {
        const auto rendered = inject::known_values();
        const bool known_anyway =
            std::find(rendered.begin(), rendered.end(), path) != rendered.end();
        if (path != "global" && !known_anyway)
          found.push_back(concat("the value ", path, " is not known and has no effect",
                                 hint(defaults, prefix, key)));
      } else if (known->is_map() && !known->members().empty() &&
                 std::find(std::begin(kFree), std::end(kFree), path) == std::end(kFree)) {
        look(*known, value, path + ".");
      }
    }
  }

  std::vector<std::string> found;

 private:
  // A sibling that is written nearly so, or the same key elsewhere.
  std::string hint(const Value& siblings, const std::string& prefix, const std::string& key) const {
    std::size_t least = std::min<std::size_t>(4, key.size() / 2 + 1);
    std::string best;
    const auto consider = [&](const std::string& name, const std::string& path) {
      const std::size_t away =
          name.size() > 100 || key.size() > 100 ? 100 : edit_distance(name, key);
      if (away < least) {
        least = away;
        best = path;
      }
    };
    for (const auto& member : siblings.members()) consider(member.first, prefix + member.first);
    if (best.empty()) {
      for (const std::string& path : paths_) consider(path.substr(path.rfind('.') + 1), path);
    }
    return best.empty() ? "" : concat("; did you mean ", best, "?");
  }

  std::vector<std::string> paths_;
};

// Every document of a stream; false and a problem if one is broken.
bool each_document(std::string_view text, const std::function<void(const Value&)>& visit,
                   std::string& problem) {
  std::size_t start = 0;
  while (start <= text.size()) {
    std::size_t end = text.substr(start).starts_with("---") ? start : text.find("\n---", start);
    const std::string_view document =
        text.substr(start, end == std::string_view::npos ? end : end - start);
    const auto value = chart::parse_yaml(document, problem);
    if (!value) return false;
    visit(*value);
    if (end == std::string_view::npos) return true;
    start = text.find('\n', end + 1);
    if (start == std::string_view::npos) return true;
    ++start;
  }
  return true;
}

// Whole numbers as --set gives them: a user's id of ten digits was one when it was stored, and
// prints as one.
Value with_integers(const Value& value) {
  const double number = value.as_float();
  if (value.kind() == Value::Kind::Float && number == std::floor(number) &&
      std::abs(number) < 1e15) {
    return Value::integer64(static_cast<std::int64_t>(number));
  }
  if (value.is_list()) {
    Value::List items;
    for (const Value& item : value.items()) items.push_back(with_integers(item));
    return items;
  }
  if (!value.is_map()) return value;
  Value::Members members;
  for (const auto& [key, member] : value.members()) members.emplace(key, with_integers(member));
  return Value::map(std::move(members));
}

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----",
                           kEnd = "-----END CERTIFICATE-----";

std::vector<std::string> pem_blocks(std::string_view pem) {
  std::vector<std::string> out;
  for (std::size_t at = pem.find(kBegin); at != std::string_view::npos;
       at = pem.find(kBegin, at + 1)) {
    const std::size_t end = pem.find(kEnd, at);
    if (end == std::string_view::npos) break;
    std::string block(pem.substr(at + kBegin.size(), end - at - kBegin.size()));
    std::erase_if(block, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; });
    out.push_back(std::move(block));
  }
  return out;
}

}  // namespace

chart::Chart embedded(bool crds) {
  std::string problem;
  auto out = chart::read_chart(chart::embedded_chart(chart_name(crds)), problem);
  TULLE_CHECK(out.has_value());
  return std::move(*out);
}

Value ha_values() {
  std::string problem;
  for (const chart::Source& file : chart::embedded_chart(kControlPlane)) {
    if (file.path == "values-ha.yaml")
      return chart::parse_yaml(file.text, problem).value_or(Value::map());
  }
  return Value::map();
}

std::vector<std::string> unknown_values(const Value& defaults, const Value& given) {
  Unknown unknown(defaults);
  unknown.look(defaults, given, "");
  return std::move(unknown.found);
}

Value overrides_of(const Value& defaults, const Value& effective) {
  Value::Members out;
  for (const auto& [key, value] : effective.members()) {
    const Value* const before = defaults.find(key);
    if (before != nullptr && before->is_map() && value.is_map()) {
      Value inner = overrides_of(*before, value);
      if (!inner.members().empty()) out.emplace(key, std::move(inner));
    } else if (before == nullptr || !(*before == value)) {
      out.emplace(key, value);
    }
  }
  for (const auto& [key, value] : defaults.members()) {
    if (effective.find(key) == nullptr) out.emplace(key, Value::nil());
  }
  return Value::map(std::move(out));
}

Value overrides_in(const Value& secret, std::string& problem) {
  const Value* const data = secret.find("data");
  const Value* const encoded = data != nullptr ? data->find(kOverrides) : nullptr;
  const auto text = encoded != nullptr ? base64_decode(encoded->text()) : std::nullopt;
  if (!text) {
    problem = concat("the Secret ", kOverrides, " has no values");
    return Value::nil();
  }
  const auto values = chart::parse_yaml(*text, problem);
  if (!values) problem = concat("the Secret ", kOverrides, ": ", problem);
  return !values ? Value::nil() : values->is_map() ? with_integers(*values) : Value::map();
}

Value read_overrides(std::string_view manifests, std::string& problem) {
  Value out = Value::nil();
  const std::function<void(const Value&)> visit = [&](const Value& object) {
    if (const Value* const items = object.find("items")) {
      for (const Value& item : items->items()) visit(item);
    }
    const Value* const kind = object.find("kind");
    const Value* const metadata = object.find("metadata");
    const Value* const name = metadata != nullptr ? metadata->find("name") : nullptr;
    if (kind != nullptr && kind->text() == "Secret" && name != nullptr &&
        name->text() == kOverrides)
      out = overrides_in(object, problem);
  };
  if (!each_document(manifests, visit, problem) || !problem.empty()) return Value::nil();
  return out;
}

bool drops_anchors(std::string_view before, std::string_view after) {
  const std::vector<std::string> kept = pem_blocks(after);
  for (const std::string& block : pem_blocks(before)) {
    if (std::find(kept.begin(), kept.end(), block) != kept.end()) continue;
    // Nobody relies on one that has ended.
    const auto read = tls::Certificate::from_pem(concat(kBegin, "\n", block, "\n", kEnd, "\n"));
    if (!read || read->front().not_after > wall_now()) return true;
  }
  return false;
}

Value value_at(const Value& in, std::string_view path) {
  const std::size_t dot = path.find('.');
  const Value* const member = in.find(path.substr(0, dot));
  if (member == nullptr) return {};
  return dot == std::string_view::npos ? *member : value_at(*member, path.substr(dot + 1));
}

IssuerValues issuer_values(const InstallOptions& options, const Value& given) {
  const Value defaults = embedded(false).values;
  const auto at = [&](std::string_view path) {
    const Value own = value_at(given, path);
    return own.is_null() ? value_at(defaults, path) : own;
  };
  IssuerValues out;
  out.brought = at("identity.issuer.scheme").text() == "kubernetes.io/tls";
  out.external_ca = at("identity.externalCA").is_true();
  GivenIssuer::Part* const parts[] = {&out.given.certificate, &out.given.key, &out.given.anchors};
  for (std::size_t i = 0; i < std::size(parts); ++i)
    *parts[i] = {at(kIssuerValues[i]).text(), std::string(kIssuerValues[i])};
  if (out.brought) {
    out.unused = !out.given.certificate.pem.empty() || !out.given.key.pem.empty();
    out.given.certificate.pem.clear();
    out.given.key.pem.clear();
  }
  if (out.external_ca) out.given.anchors.pem.clear();
  const std::string domain = at("identityTrustDomain").text();
  out.given.identity =
      concat("identity.", options.ns, ".", domain.empty() ? at("clusterDomain").text() : domain);
  return out;
}

namespace {
// What would keep every pod from being injected, or its proxy from starting. "" if nothing does.
std::string format_problem(const Value& values) {
  std::string problem;
  const auto read = inject::parse_json(chart::to_json(values), problem);
  if (!read) return problem;
  std::vector<inject::ConfigProblem> of_types;  // the chart's templates tell these
  const auto problems = inject::format_problems(inject::read_config(*read, of_types));
  if (problems.empty()) return "";
  return concat(problems.front().path, " ", problems.front().reason);
}
}  // namespace

InstallResult install(const InstallOptions& options, const Value& given) {
  InstallResult out;
  const chart::Chart chart = embedded(options.crds);
  for (std::string& one : unknown_values(chart.values, given))
    out.warnings.push_back(std::move(one));
  const Value values = chart::coalesce(chart, given, out.warnings);
  if (!options.crds) out.problem = format_problem(values);
  if (!out.problem.empty()) return out;
  chart::Rendered rendered;
  const chart::Release release{chart.name, options.ns, options.upgrade, options.kube_version};
  // Templates may change what they are given; what is stored is what the user meant.
  const Value overrides = overrides_of(chart.values, values.deep_copy());
  if (!chart::render(chart, values, release, rendered, out.problem)) return out;
  add_notes(rendered.notes, out.warnings);
  if (!options.crds) out.manifests.push_back(namespace_of(options));
  for (auto* const group : {&rendered.manifests, &rendered.hooks}) {
    for (Manifest& manifest : *group) {
      say_who_created(manifest.text, chart.app_version, options.version);
      out.manifests.push_back(std::move(manifest));
    }
  }
  if (!options.crds) out.manifests.push_back(secret_of(options, overrides));
  return out;
}

std::string print_manifests(const std::vector<Manifest>& manifests, std::string_view format) {
  std::string out;
  for (const Manifest& manifest : manifests) {
    if (format == "json") {
      std::string problem;
      out += concat(
          chart::to_json(chart::parse_yaml(manifest.text, problem).value_or(Value()), 0, false),
          "\n");
    } else {
      out += concat("---\n", manifest.file.empty() ? "" : concat("# Source: ", manifest.file, "\n"),
                    manifest.text, "\n");
    }
  }
  return out;
}

}  // namespace tulle::cli
