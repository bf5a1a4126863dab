// SPDX-License-Identifier: Apache-2.0
#include "control/source/concern.h"

#include <algorithm>
#include <set>

#include "control/injector/validation.h"
#include "control/source/sketch.h"
#include "lib/base/edit_distance.h"
#include "lib/base/text.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/yaml_source.h"

namespace tulle::control {
namespace {

constexpr std::string_view kDefaultPolicy = "config.linkerd.io/default-inbound-policy";
constexpr std::string_view kForbidding[] = {"Server", "HTTPRoute", "GRPCRoute",
                                            "HTTPLocalRateLimitPolicy"};
// Words that only policies have, for texts that do not say what they are.
constexpr std::string_view kMarks[] = {"policy.linkerd.io", "gateway.networking.k8s.io",
                                       "default-inbound-policy", "podSelector", "accessPolicy"};

// Attached to a Server they say what may pass there; to anything else, nothing about what comes in.
constexpr std::string_view kRoutes[] = {"HTTPRoute", "GRPCRoute"};
constexpr std::string_view kOtherParents[] = {"Gateway", "ListenerSet", "Service"};

bool is_one_of(std::string_view word, const auto& words) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

// The kinds that are read here.
template <std::size_t I = 0>
bool is_known(std::string_view kind) {
  if constexpr (I == std::variant_size_v<k8s::Object>) {
    return false;
  } else {
    return std::variant_alternative_t<I, k8s::Object>::kKind.kind == kind || is_known<I + 1>(kind);
  }
}

struct Key {
  std::size_t begin = 0;
  std::size_t value = 0;  // behind the colon
};

// Each "key:" anywhere in the text, in block or flow style or JSON.
std::vector<Key> keys_of(std::string_view text, std::string_view key) {
  std::vector<Key> out;
  for (std::size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    if (at > 0 && std::string_view(" \t\n{,\"'-").find(text[at - 1]) == std::string_view::npos) {
      continue;
    }
    std::size_t next = at + key.size();
    if (next < text.size() && (text[next] == '"' || text[next] == '\'')) ++next;
    while (next < text.size() && (text[next] == ' ' || text[next] == '\t')) ++next;
    if (next < text.size() && text[next] == ':') out.push_back({at, next + 1});
  }
  return out;
}

struct Word {
  std::string_view value;
  bool top = false;  // its key begins a line
};

// Whatever follows "key:".
std::vector<Word> values_of(std::string_view text, std::string_view key) {
  constexpr std::string_view kBlank = " \t\r\n\"'";
  constexpr std::string_view kWord =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*";
  std::vector<Word> out;
  for (const Key& found : keys_of(text, key)) {
    const std::size_t begin = text.find_first_not_of(kBlank, found.value);
    if (begin == std::string_view::npos) continue;
    const std::size_t end = text.find_first_not_of(kWord, begin);
    const std::string_view value = text.substr(begin, end - begin);
    if (!value.empty()) out.push_back({value, found.begin == 0 || text[found.begin - 1] == '\n'});
  }
  return out;
}

bool contains_ignoring_case(std::string_view text, std::string_view word) {
  const auto same = [](char a, char b) { return ascii_lower(a) == ascii_lower(b); };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

std::vector<std::string_view> kinds_of(std::string_view text) {
  std::vector<std::string_view> top;
  std::vector<std::string_view> all;
  for (const Word& word : values_of(text, "kind")) {
    all.push_back(word.value);
    if (word.top) top.push_back(word.value);
  }
  // Further in, kinds are those of what an object refers to; only lists have objects there.
  const bool list = std::any_of(top.begin(), top.end(),
                                [](std::string_view kind) { return kind.ends_with("List"); });
  return top.empty() || list ? all : top;
}

// What stands between the list of parents and what follows it is readable, and names no Server. A
// parent without a kind is a Gateway.
bool other_parents(std::string_view part) {
  // What an alias stands for, an escape spells or a comment hides cannot be seen here.
  if (part.find_first_of("*&<\\!#") != std::string_view::npos) return false;
  if (contains_ignoring_case(part, "server") || contains_ignoring_case(part, k8s::kPolicyGroup))
    return false;
  const auto kinds = values_of(part, "kind");
  return std::all_of(kinds.begin(), kinds.end(),
                     [](const Word& kind) { return is_one_of(kind.value, kOtherParents); });
}

// The parents of all these routes, none of which is a Server. That a list of parents is whole is
// known only where the rules follow it.
bool have_other_parents(std::string_view text, std::ptrdiff_t routes) {
  const auto parents = keys_of(text, "parentRefs");
  const auto rules = keys_of(text, "rules");
  if (std::ssize(parents) != routes || std::ssize(rules) != routes) return false;
  for (std::size_t i = 0; i < parents.size(); ++i) {
    const std::size_t begin = parents[i].value;
    const std::size_t end = rules[i].begin;
    if (end < begin || (i + 1 < parents.size() && parents[i + 1].begin < end)) return false;
    if (!other_parents(text.substr(begin, end - begin))) return false;
  }
  return true;
}

Closure in_namespace(std::string_view ns) {
  Closure out;
  out.ns = ns;
  return out;
}

std::vector<Closure> of(const k8s::Server& server, bool whole) {
  Closure closure = in_namespace(server.meta.ns);
  const k8s::ServerSpec& spec = server.spec;
  const bool one = spec.pod_selector.has_value() && !spec.external_workload_selector;
  if (one && (whole || spec.pod_selector->match_expressions.empty())) {
    closure.pods = spec.pod_selector;
  }
  if (spec.port.is_name() || (spec.port.number > 0 && spec.port.number <= 65535)) {
    closure.port = spec.port;
  }
  return {closure};
}

// What is attached to a Server says more about what may pass there.
template <typename Match, const k8s::KindName& kName>
std::vector<Closure> of(const k8s::Route<Match, kName>& route, bool) {
  std::vector<Closure> out;
  for (const k8s::ParentRef& parent : route.spec.parents) {
    if (parent.kind != "Server") continue;
    if (!parent.ns.empty() && parent.ns != route.meta.ns) continue;
    Closure closure = in_namespace(route.meta.ns);
    closure.server = parent.name;
    out.push_back(std::move(closure));
  }
  return out;
}

std::vector<Closure> of(const k8s::HttpLocalRateLimitPolicy& limit, bool) {
  Closure closure = in_namespace(limit.meta.ns);
  closure.server = limit.spec.target.name;
  return {closure};
}

std::vector<Closure> of(const k8s::EgressNetwork& network, bool) {
  Closure closure = in_namespace(network.meta.ns);
  closure.egress = true;
  return {closure};
}

std::vector<Closure> of(const k8s::Namespace& ns, bool) {
  if (!ns.meta.annotations.contains(kDefaultPolicy)) return {};
  return {in_namespace(ns.meta.name)};
}

std::vector<Closure> of(const k8s::Pod& pod, bool) {
  if (!pod.meta.annotations.contains(kDefaultPolicy)) return {};
  Closure closure = in_namespace(pod.meta.ns);
  closure.pods = k8s::LabelSelector{pod.meta.labels, {}};
  return {closure};
}

std::vector<Closure> of(const auto&, bool) { return {}; }

// What an object is if it does not say so itself, being in a list of such.
struct Type {
  std::string kind;
  std::string version;
};

std::optional<std::string> problem_of(const inject::Value& object, const Type& type, int depth) {
  const std::string_view own_version = object["apiVersion"].string();
  const std::string_view own_kind = object["kind"].string();
  const std::string_view version = own_version.empty() ? type.version : own_version;
  const std::string_view kind = own_kind.empty() ? type.kind : own_kind;
  if (kind.ends_with("List") && depth < 3) {
    const std::string_view of_items = kind.substr(0, kind.size() - 4);
    const Type items{std::string(of_items), std::string(of_items.empty() ? "" : version)};
    for (const inject::Value& item : object["items"].items()) {
      if (auto problem = problem_of(item, items, depth + 1)) return problem;
    }
    return std::nullopt;
  }
  const std::string_view group = version.substr(0, version.find('/'));
  const bool ours = group == k8s::kPolicyGroup || group == k8s::kGatewayGroup;
  if (kind == "ServiceProfile" && group == "linkerd.io") return profile_problem(object);
  // The typed reader has seen what is no route.
  if (!ours || !kind.ends_with("Route") || !is_known(kind)) return std::nullopt;
  Review review;
  review.group = group;
  review.kind = kind;
  review.operation = "CREATE";
  review.object = object;
  return policy_problem(review);
}

// More than comments and directives, which are no documents.
bool has_content(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view row = trim(text.substr(at, end - at));
    if (!row.empty() && row[0] != '#' && text[at] != '%') return true;
    at = end + 1;
  }
  return false;
}

constexpr std::string_view kPolicyKinds[] = {"Server",
                                             "ServerAuthorization",
                                             "AuthorizationPolicy",
                                             "MeshTLSAuthentication",
                                             "NetworkAuthentication",
                                             "HTTPLocalRateLimitPolicy",
                                             "EgressNetwork",
                                             "HTTPRoute"};
constexpr std::string_view kGatewayRoutes[] = {"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute",
                                               "UDPRoute"};

std::string_view group_of(std::string_view version) { return version.substr(0, version.find('/')); }

std::string to_lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), ascii_lower);
  return out;
}

// Nearly the word, in whatever case.
bool resembles(std::string_view text, std::string_view word) {
  if (text.size() > word.size() + 2) return false;
  return edit_distance(to_lower(text), to_lower(word)) <= 2;
}

bool resembles_a_policy(std::string_view kind) {
  return std::any_of(std::begin(kPolicyKinds), std::end(kPolicyKinds),
                     [&](std::string_view word) { return resembles(kind, word); });
}

// Where an unread object may forbid something.
struct Reach {
  bool inbound = false;
  bool egress = false;
};
constexpr Reach kAnything{true, true};

Reach reach_of_kind(std::string_view version, std::string_view kind, bool known_version) {
  const std::string_view group = group_of(version);
  if (!known_version || group == k8s::kPolicyGroup) {
    if (is_one_of(kind, kForbidding)) return {true, false};
    if (kind == k8s::EgressNetwork::kKind.kind) return {false, true};
    if (is_one_of(kind, kPolicyKinds)) return {};
    return known_version || resembles_a_policy(kind) ? kAnything : Reach{};
  }
  if (is_misspelt(version, kind)) return kAnything;
  return {group == k8s::kGatewayGroup && is_one_of(kind, kRoutes), false};
}

// `others`: no route in the document has a Server for a parent. `cut`: there may be more of it.
Reach reach_of(const Sketch& sketch, std::string_view document, bool others, bool cut) {
  if (!sketch.kind) {
    const bool marked = std::any_of(std::begin(kMarks), std::end(kMarks), [&](const auto& mark) {
      return document.find(mark) != std::string_view::npos;
    });
    return sketch.whole && !sketch.manifest && !marked ? Reach{} : kAnything;
  }
  std::string_view kind = *sketch.kind;
  // A list without items that can be seen.
  if (kind == "List") return kAnything;
  if (kind.ends_with("List")) kind.remove_suffix(4);
  const std::string version = sketch.api_version.value_or("");
  const bool core = !sketch.api_version || version == "v1";
  if (core && (kind == "Namespace" || kind == "Pod")) {
    return {cut || document.find("default-inbound-policy") != std::string_view::npos, false};
  }
  if (others && contains_ignoring_case(kind, "route")) return {};
  return reach_of_kind(version, kind, sketch.api_version.has_value());
}

}  // namespace

std::vector<Document> documents_of(std::string_view text, k8s::Format format) {
  if (format == k8s::Format::Json) return {{text, 1, 1}};
  std::vector<Document> out;
  std::uint32_t line = 1;
  Document now{text.substr(0, 0), 1, 1};
  std::size_t begin = 0;
  const auto finish = [&](std::size_t end) {
    now.text = text.substr(begin, end - begin);
    if (has_content(now.text)) {
      now.number = static_cast<std::uint32_t>(out.size() + 1);
      out.push_back(now);
    }
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view row = text.substr(at, end - at);
    const std::size_t next = std::min(end + 1, text.size());
    const bool marks = row.starts_with("---") &&
                       (row.size() == 3 || row[3] == ' ' || row[3] == '\t' || row[3] == '\r');
    const bool ends = row == "..." || row == "...\r";
    if (marks || ends) {
      finish(at);
      begin = at + 3;  // what follows on the line belongs to the document
      now.line = line;
    }
    ++line;
    at = next;
  }
  finish(text.size());
  return out;
}

std::vector<Closure> closures_of(const k8s::Object& object, bool whole) {
  return std::visit([whole](const auto& value) { return of(value, whole); }, object);
}

std::vector<Closure> closures_of_text(std::string_view document) {
  const auto has = [&](std::string_view word) {
    return document.find(word) != std::string_view::npos;
  };
  const auto kinds = kinds_of(document);
  bool inbound = has("default-inbound-policy");
  bool egress = false;
  const auto route = [](std::string_view kind) { return is_one_of(kind, kRoutes); };
  const bool others =
      have_other_parents(document, std::count_if(kinds.begin(), kinds.end(), route));
  for (const std::string_view kind : kinds) {
    egress |= kind == k8s::EgressNetwork::kKind.kind;
    inbound |= is_one_of(kind, kForbidding) && !(others && route(kind));
    // A kind that is misspelt may have been any.
    inbound |= !is_known(kind) && !kind.ends_with("List") && has(k8s::kPolicyGroup);
  }
  if (kinds.empty()) inbound |= std::any_of(std::begin(kMarks), std::end(kMarks), has);

  std::set<std::string_view> namespaces;
  for (const Word& word : values_of(document, "namespace")) namespaces.insert(word.value);
  if (is_one_of("Namespace", kinds)) {
    for (const Word& word : values_of(document, "name")) namespaces.insert(word.value);
  }
  // Cut off before it says where, it may be anywhere.
  if (namespaces.empty()) namespaces.insert("");
  std::vector<Closure> out;
  for (const std::string_view ns : namespaces) {
    Closure closure = in_namespace(ns);
    if (inbound) out.push_back(closure);
    closure.egress = true;
    if (egress) out.push_back(closure);
  }
  return out;
}

bool is_misspelt(std::string_view version, std::string_view kind) {
  const std::string_view group = group_of(version);
  if (resembles(group, k8s::kPolicyGroup)) return true;
  if (is_one_of(kind, kPolicyKinds)) {
    // No other group with such a name, and no version alone, has these.
    if (group == version || contains_ignoring_case(group, "linkerd")) return true;
  }
  if (!resembles(group, k8s::kGatewayGroup)) return false;
  if (group != k8s::kGatewayGroup) return is_one_of(kind, kRoutes);
  return !is_one_of(kind, kGatewayRoutes) &&
         (resembles(kind, kRoutes[0]) || resembles(kind, kRoutes[1]));
}

namespace {

// The words of a document say which objects are in it, even behind a break: each of them has a
// namespace, and nothing stands for something else.
bool speaks_plainly(std::string_view document) {
  return document.find_first_of("*&<\\!") == std::string_view::npos &&
         values_of(document, "namespace").size() + 1 >= kinds_of(document).size();
}

}  // namespace

std::vector<Concern> concerns_of(std::string_view document, k8s::Format format, bool last) {
  const std::vector<Sketch> sketches = sketches_of(document, format, last);
  const auto route = [](const Sketch& sketch) {
    return sketch.kind && contains_ignoring_case(*sketch.kind, "route");
  };
  const bool others =
      have_other_parents(document, std::count_if(sketches.begin(), sketches.end(), route));
  const bool cut = last && ends_too_early(without_half_words(document), format);
  std::vector<Concern> out;
  for (const Sketch& sketch : sketches) {
    Concern concern{sketch.kind, sketch.ns, sketch.name, {}};
    if (sketch.rest && !cut && speaks_plainly(document)) {
      concern.closures = closures_of_text(document);
      out.push_back(std::move(concern));
      continue;
    }
    if (sketch.kind == "Namespace") concern.ns = sketch.name;
    const Reach reach = reach_of(sketch, document, others, cut);
    Closure closure = in_namespace(concern.ns.value_or(""));
    if (reach.inbound) concern.closures.push_back(closure);
    closure.egress = true;
    if (reach.egress) concern.closures.push_back(closure);
    out.push_back(std::move(concern));
  }
  return out;
}

namespace {

// One object, whose items are read one by one: a list may be larger than any object.
std::optional<std::string> validator_problem_in(k8s::Decoder& in) {
  inject::Value object = inject::Value::map();
  std::vector<inject::Value> held;  // until it is known what they are
  std::optional<std::string> problem;
  const auto type_of_items = [&]() -> Type {
    std::string_view kind = object["kind"].string();
    if (!kind.ends_with("List") || kind == "List") return {};
    kind.remove_suffix(4);
    return {std::string(kind), std::string(object["apiVersion"].string())};
  };
  if (!in.at(k8s::Token::Kind::MapBegin)) return in.skip(), std::nullopt;
  in.advance();
  std::string key;
  while (in.next_key(key)) {
    if (key != "items" || !in.at(k8s::Token::Kind::ListBegin)) {
      if (object.find(key) != nullptr) in.fail(concat(key, " occurs twice"));
      object.set(key, inject::read_value(in));
      continue;
    }
    in.advance();
    while (in.next_item()) {
      inject::Value item = inject::read_value(in);
      if (in.failed() || problem) continue;
      if (item["kind"].string().empty() && object["kind"].is_null()) {
        held.push_back(std::move(item));
      } else {
        problem = problem_of(item, type_of_items(), 1);
      }
    }
  }
  for (const inject::Value& item : held) {
    if (!problem) problem = problem_of(item, type_of_items(), 1);
  }
  return problem ? problem : problem_of(object, {}, 0);
}

std::optional<std::string> validator_problem_of(k8s::TokenSource& source, bool named) {
  while (source.next_document()) {
    k8s::Decoder in(source);
    if (in.at(k8s::Token::Kind::End)) continue;
    auto problem = validator_problem_in(in);
    if (problem) return problem;
    // What the typed reader has not looked at must be whole, too, to be compared with the rules.
    if (in.failed() && named) return in.problem()->to_string();
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> validator_problem(std::string_view document, k8s::Format format) {
  const auto has = [&](std::string_view word) {
    return document.find(word) != std::string_view::npos;
  };
  // Most documents are none of these and need not be read a second time. An escape may hide it.
  const bool named = has("Route") || has("ServiceProfile");
  if (!named && !has("\\")) return std::nullopt;
  if (format == k8s::Format::Json) {
    k8s::JsonSource source(document);
    return validator_problem_of(source, named);
  }
  k8s::YamlSource source(document);
  return validator_problem_of(source, named);
}

}  // namespace tulle::control
