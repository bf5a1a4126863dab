// SPDX-License-Identifier: Apache-2.0
#include "cli/inject.h"

#include <algorithm>

#include "cli/yaml_text.h"
#include "lib/base/text.h"
#include "lib/inject/names.h"
#include "lib/inject/shape.h"

namespace tulle::cli {

using inject::Outcome;
using inject::Reason;
using inject::Value;

namespace {

std::string lower(std::string_view text) {
  std::string out;
  for (const char c : text) out += ascii_lower(c);
  return out;
}

bool has(const std::vector<Reason>& reasons, Reason reason) {
  return std::find(reasons.begin(), reasons.end(), reason) != reasons.end();
}

// What is told at the end, in the order of the input.
class Report {
 public:
  // Lists of "kind/name" by what they have.
  std::vector<std::string> host_network, sidecar, disabled, udp, automount;
  std::vector<std::string> warnings;
  std::vector<std::string> errors;
  std::vector<std::string> lines;
  bool any = false;  // something was injected or annotated

  std::string text(const InjectOptions& options) const {
    if (!errors.empty()) {
      std::string out = "\nError transforming resources:\n";
      for (const std::string& error : errors) out += error + "\n";
      return out + "\n";
    }
    std::string out = "\n";
    if (!options.uninject) {
      check(out, options, host_network,
            "hostNetwork: true is set, so there is nothing to inject into",
            "pods do not use host networking");
      check(out, options, sidecar, "has a sidecar already",
            "pods do not have a proxy or one of another mesh");
      check(out, options, disabled, "is annotated with linkerd.io/inject: disabled",
            "pods are not annotated to be left alone");
      if (!any)
        out += "‼ nothing that can be injected was found\n";
      else if (options.verbose)
        out += "√ at least one resource can be injected\n";
      check(out, options, udp, "has UDP ports, which are not meshed", "pods do not use UDP");
      check(out, options, automount, "has automountServiceAccountToken: false", "pods have tokens");
      for (const std::string& warning : warnings) out += "‼ " + warning + "\n";
      out += "\n";
    }
    for (const std::string& line : lines) out += line + "\n";
    return out + "\n";
  }

 private:
  static void check(std::string& out, const InjectOptions& options,
                    const std::vector<std::string>& names, std::string_view bad,
                    std::string_view good) {
    if (names.empty()) {
      if (options.verbose) out += concat("√ ", good, "\n");
      return;
    }
    out += "‼ ";
    for (const std::string& name : names) out += concat(&name == &names.front() ? "" : ", ", name);
    out += concat(": ", bad, "\n");
  }
};

class Transform {
 public:
  explicit Transform(const InjectOptions& options) : options_(options) {}

  // What the object becomes; a List becomes a List.
  Value object(const Value& value) {
    if (value.is_null()) return value;  // an empty document
    const std::string_view kind = value["kind"].string();
    if (kind.empty()) {
      report_.lines.emplace_back("a document has no kind, and is skipped");
      return value;
    }
    if (kind.ends_with("List") && value["items"].is_list()) {
      Value out = value;
      for (Value& item : out.find("items")->items()) {
        // The items of a PodList do not say what they are.
        const bool bare = item["kind"].string().empty();
        if (bare && kind != "List") item.set("kind", kind.substr(0, kind.size() - 4));
        item = object(item);
        if (bare && kind != "List") item.erase("kind");
      }
      return out;
    }
    if (options_.uninject) return uninjected(value);
    if (inject::is_kind(value, "", "Namespace")) return annotated(value, true);
    if (inject::is_kind(value, "", "Service")) return annotated(value, false);
    if (!inject::template_prefix(value)) {
      tell(value, "skipped");
      return value;
    }
    return workload(value);
  }
  Report& report() { return report_; }

 private:
  static std::string name_of(const Value& value) {
    const Value& metadata = value["metadata"];
    const std::string_view name = metadata["name"].string();
    return std::string(!name.empty() ? name : metadata["generateName"].string());
  }
  static std::string short_name(const Value& value) {
    return concat(lower(value["kind"].string()), "/", name_of(value));
  }
  void tell(const Value& value, std::string_view what) {
    report_.lines.push_back(
        concat(lower(value["kind"].string()), " \"", name_of(value), "\" ", what));
  }

  Value uninjected(const Value& value) {
    Value out = inject::uninject(value);
    tell(value, out == value ? "skipped" : "uninjected");
    return out;
  }

  // Nothing is put into an object that Kubernetes would not take.
  bool is_well_formed(const Value& value, const std::string& problem) {
    if (problem.empty()) return true;
    report_.errors.push_back(concat("failed to inject ", short_name(value), ": ", problem));
    return false;
  }

  static void set_annotation(Value& metadata_of, std::string_view key, std::string_view value) {
    Value* metadata = metadata_of.find("metadata");
    if (metadata == nullptr || !metadata->is_map())
      metadata = &metadata_of.set("metadata", Value::map());
    Value* annotations = metadata->find("annotations");
    if (annotations == nullptr || !annotations->is_map())
      annotations = &metadata->set("annotations", Value::map());
    annotations->set(key, value);
  }

  Value annotated(const Value& value, bool is_namespace) {
    if (!is_well_formed(value, inject::metadata_problem(value))) return value;
    Value out = value;
    if (is_namespace)
      set_annotation(out, inject::kInject, options_.ingress ? "ingress" : "enabled");
    bool changed = is_namespace;
    for (const auto& [key, text] : options_.annotations) {
      if (!is_namespace && key != inject::kOpaquePorts) continue;
      set_annotation(out, key, text);
      changed = true;
    }
    report_.any |= changed;
    tell(value, changed ? "annotated" : "skipped");
    return out;
  }

  Value workload(const Value& value) {
    const std::string name = short_name(value);
    const auto prefix = *inject::template_prefix(value);
    const Value* const given = inject::at_pointer(value, prefix);
    if (given != nullptr && !options_.manual &&
        (*given)["metadata"]["labels"].find(inject::kComponent) != nullptr) {
      report_.errors.push_back(
          concat("failed to inject ", name, ": it is a part of the control plane"));
      return value;
    }
    if (given != nullptr && !is_well_formed(value, inject::pod_problem(*given, prefix)))
      return value;
    // What an earlier injection has put in is made anew.
    Value base = inject::uninject(value);
    auto* pod = const_cast<Value*>(inject::at_pointer(std::as_const(base), prefix));
    if (pod == nullptr || !pod->is_map()) {
      report_.errors.push_back(concat("failed to inject ", name, ": it has no pod template"));
      return value;
    }
    for (const auto& [key, text] : options_.annotations) set_annotation(*pod, key, text);

    inject::Context context;
    context.by_hand = true;
    context.is_webhook = false;
    context.native_sidecars = options_.native_sidecars;
    context.created_by = concat("linkerd/cli ", options_.version);
    context.ns = value["metadata"]["namespace"].string();
    context.owner = {lower(value["kind"].string()), name_of(value)};
    if (context.owner.kind == "pod") context.owner = {};
    context.ingress = options_.ingress;
    const Outcome outcome = inject::inject(base, context, options_.config);
    note(outcome, name);
    if (std::any_of(outcome.reasons.begin(), outcome.reasons.end(), inject::blocks)) {
      if (has(outcome.reasons, Reason::DisableAnnotationPresent)) {
        tell(value, "skipped");
      } else {
        report_.errors.push_back(concat("failed to inject ", name, ": ", outcome.reasons_text()));
      }
      return value;
    }
    // Otherwise the cluster's own configuration decides, and it is not known here.
    if (outcome.kind == Outcome::Kind::Refused && (options_.manual || outcome.malformed)) {
      report_.errors.push_back(concat("failed to inject ", name, ": ", outcome.error));
      return value;
    }
    tell(value, "injected");
    report_.any = true;
    if (options_.manual) return recorded(outcome.object, inject::uninject(value), prefix);
    set_annotation(*pod, inject::kInject, options_.ingress ? "ingress" : "enabled");
    return base;
  }

  // The template as it was injected by hand, with what the cluster's injector and uninject have to
  // know of that: the mode, and which annotations were not there before.
  Value recorded(Value injected, const Value& before, std::string_view prefix) const {
    auto* const pod = const_cast<Value*>(inject::at_pointer(std::as_const(injected), prefix));
    const Value& old = (*inject::at_pointer(before, prefix))["metadata"]["annotations"];
    std::string added;
    for (const std::string& key : (*pod)["metadata"]["annotations"].keys()) {
      if (!key.starts_with("config.") || old.find(key) != nullptr) continue;
      added += concat(added.empty() ? "" : ",", key);
    }
    if (!added.empty()) set_annotation(*pod, inject::kInjectedConfig, added);
    if (options_.ingress) set_annotation(*pod, inject::kInject, "ingress");
    return injected;
  }

  void note(const Outcome& outcome, const std::string& name) {
    const auto add = [&](Reason reason, std::vector<std::string>& to) {
      if (has(outcome.reasons, reason)) to.push_back(name);
    };
    add(Reason::HostNetwork, report_.host_network);
    add(Reason::SidecarExists, report_.sidecar);
    add(Reason::DisableAnnotationPresent, report_.disabled);
    add(Reason::UdpPorts, report_.udp);
    add(Reason::AutomountDisabled, report_.automount);
    for (const inject::Warning& warning : outcome.warnings) {
      report_.warnings.push_back(concat(name, ": ", warning.to_string()));
    }
  }

  const InjectOptions& options_;
  Report report_;
};

void append_json(std::string& out, const Value& value) {
  if (!value.is_null()) out += value.to_pretty_json() + "\n";
}

// Texts of several files become documents of one stream.
void append_yaml(std::string& out, std::string_view text) {
  if (!out.empty()) {
    if (!out.ends_with('\n')) out += '\n';
    if (!text.starts_with("---")) out += "---\n";
  }
  out += text;
}

}  // namespace

std::string annotations_problem(const InjectOptions& options) {
  k8s::StringMap annotations;
  for (const auto& [key, value] : options.annotations) annotations.insert(key, value);
  // Names of ports are known to pods only.
  annotations.erase_if([](std::string_view key) { return key == inject::kOpaquePorts; });
  const inject::Settings settings =
      inject::apply_annotations(options.config, annotations, {}, {}, Value());
  if (!settings.warnings.empty()) {
    std::string text = settings.warnings.front().to_string();
    constexpr std::string_view kIgnored = "; it is ignored";  // true of annotations, not of flags
    if (text.ends_with(kIgnored)) text.resize(text.size() - kIgnored.size());
    return text;
  }
  // Without a cluster's values, its values cannot be judged.
  return options.manual ? settings.error : "";
}

InjectResult transform(const std::vector<InputText>& inputs, const InjectOptions& options) {
  InjectResult result;
  Transform transform(options);
  Report& report = transform.report();
  for (const InputText& input : inputs) {
    std::string problem;
    const auto text = YamlText::parse(input.text, problem);
    if (!text) {
      report.errors.push_back(concat(input.name, ": ", problem));
      continue;
    }
    std::vector<Value> wanted;
    for (std::size_t i = 0; i < text->size(); ++i)
      wanted.push_back(transform.object(text->value(i)));
    if (options.json) {
      for (const Value& value : wanted) append_json(result.out, value);
      continue;
    }
    const auto changed = text->with(wanted, problem);
    if (changed) {
      append_yaml(result.out, *changed);
    } else {
      report.errors.push_back(concat(input.name, ": ", problem));
    }
  }
  if (!report.errors.empty()) {
    result.out.clear();
    result.status = 1;
  }
  result.report = report.text(options);
  return result;
}

}  // namespace tulle::cli
