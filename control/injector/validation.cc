// SPDX-License-Identifier: Apache-2.0
#include "control/injector/validation.h"

#include <algorithm>
#include <initializer_list>

#include "lib/base/text.h"
#include "lib/config/values.h"
#include "lib/http/message.h"
#include "lib/inject/formats.h"
#include "lib/k8s/manifest.h"
#include "lib/regex/regex.h"

namespace tulle::control {

using inject::Value;

namespace {

constexpr std::string_view kPolicyKinds[] = {
    "AuthorizationPolicy",   "HTTPLocalRateLimitPolicy", "HTTPRoute",
    "MeshTLSAuthentication", "NetworkAuthentication",    "Server",
    "EgressNetwork",         "ServerAuthorization"};
constexpr std::string_view kRouteKinds[] = {"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"};

template <typename Words>
bool one_of(std::string_view text, const Words& words) {
  return std::any_of(std::begin(words), std::end(words),
                     [&](std::string_view word) { return iequals(text, word); });
}

std::string at(std::string_view list, std::size_t index, std::string_view field) {
  return concat(list, "[", std::to_string(index), "].", field);
}

// Keeps the first thing that is wrong.
class Rules {
 public:
  void require(bool holds, std::string_view path, std::string_view reason) {
    if (!holds && !problem_) problem_ = concat(path, ": ", reason);
  }
  std::optional<std::string> take() { return std::move(problem_); }
  // Specs of the Gateway API that mean nothing here are admitted: others may understand them.
  bool gateway = false;

 private:
  std::optional<std::string> problem_;
};

bool is_service(const Value& ref) {
  const std::string_view group = ref["group"].string();
  const std::string_view kind = ref["kind"].string();
  return (group.empty() || group == "core") && (kind.empty() || kind == "Service");
}
bool is_egress(const Value& ref) {
  return ref["group"].string() == "policy.linkerd.io" && ref["kind"].string() == "EgressNetwork";
}

// A type that is none of these; nothing stands for the usual one.
void check_type(Rules& rules, const Value& match, std::string_view path,
                std::initializer_list<std::string_view> types) {
  const std::string_view type = match["type"].string();
  if (rules.gateway) return;
  rules.require(type.empty() || std::find(types.begin(), types.end(), type) != types.end(), path,
                "is not a type of match that is known here");
}

void check_regex(Rules& rules, const Value& match, std::string_view path) {
  if (match["type"].string() != "RegularExpression") return;
  rules.require(Regex::compile(match["value"].string()).has_value(), path,
                "is not a regular expression");
}

// Headers and query parameters that a match names.
void check_values(Rules& rules, const Value& match, std::string_view list,
                  const std::string& path) {
  const std::string where = concat(path, ".", list);
  for (std::size_t i = 0; i < match[list].size(); ++i) {
    const Value& item = match[list].items()[i];
    check_regex(rules, item, at(where, i, "value"));
    check_type(rules, item, at(where, i, "type"), {"Exact", "RegularExpression"});
    if (list != "headers") {
      rules.require(!item["name"].string().empty(), at(where, i, "name"), "is required");
      continue;
    }
    rules.require(http::is_token(item["name"].string()), at(where, i, "name"),
                  "is not the name of a header");
    if (item["type"].string() != "RegularExpression") {
      rules.require(http::is_field_value(item["value"].string()), at(where, i, "value"),
                    "is not the value of a header");
    }
  }
}

// The wire has only whole names of services and methods.
void check_grpc_match(Rules& rules, const Value& match, const std::string& path) {
  const Value& method = match["method"];
  rules.require(method["type"].string() != "RegularExpression", path + ".method.type",
                "regular expressions are not supported for methods of gRPC");
  check_type(rules, method, path + ".method.type", {"Exact"});
  for (const std::string_view field : {"service", "method"}) {
    const std::string_view name = method[field].string();
    rules.require(std::all_of(name.begin(), name.end(),
                              [](char c) { return c > ' ' && c != '/' && c != '\x7f'; }),
                  concat(path, ".method.", field), "is not a name of gRPC");
  }
  check_values(rules, match, "headers", path);
}

void check_match(Rules& rules, const Value& match, const std::string& path) {
  const Value& by_path = match["path"];
  if (by_path.is_map()) {
    check_regex(rules, by_path, path + ".path.value");
    check_type(rules, by_path, path + ".path.type", {"Exact", "PathPrefix", "RegularExpression"});
    const bool literal = by_path["type"].string() != "RegularExpression";
    if (literal && by_path["value"].is_string()) {
      rules.require(by_path["value"].string().starts_with('/'), path + ".path.value",
                    "must begin with /");
    }
  }
  check_values(rules, match, "headers", path);
  check_values(rules, match, "queryParams", path);
  if (match["method"].is_string()) {
    rules.require(http::is_token(match["method"].string()), path + ".method", "is not a method");
  }
}

void check_filter(Rules& rules, const Value& filter, const std::string& path) {
  const Value& redirect = filter["requestRedirect"];
  for (const std::string_view field : {"replaceFullPath", "replacePrefixMatch"}) {
    const Value& value = redirect["path"][field];
    if (value.is_string()) {
      rules.require(value.string().starts_with('/'), concat(path, ".requestRedirect.path.", field),
                    "must begin with /");
    }
  }
  if (const auto status = redirect["statusCode"].integer()) {
    rules.require(*status >= 100 && *status <= 599, path + ".requestRedirect.statusCode",
                  "is not a status");
  }
  if (const auto port = redirect["port"].integer()) {
    rules.require(*port >= 1 && *port <= 65535, path + ".requestRedirect.port",
                  "must be a port from 1 to 65535");
  }
  for (const std::string_view kind : {"requestHeaderModifier", "responseHeaderModifier"}) {
    for (const Value& name : filter[kind]["remove"].items()) {
      rules.require(http::is_token(name.string()), concat(path, ".", kind, ".remove"),
                    "has what is not the name of a header");
    }
    for (const std::string_view list : {"add", "set"}) {
      for (const Value& header : filter[kind][list].items()) {
        rules.require(http::is_token(header["name"].string()) &&
                          http::is_field_value(header["value"].string()),
                      concat(path, ".", kind, ".", list), "has no usable header");
      }
    }
  }
}

void check_timeouts(Rules& rules, const Value& timeouts, const std::string& path) {
  const auto read = [&](std::string_view field) -> std::optional<std::chrono::nanoseconds> {
    if (!timeouts[field].is_string()) return std::nullopt;
    const auto value = inject::parse_go_duration(timeouts[field].string());
    rules.require(value.has_value() && value->count() >= 0, concat(path, ".", field),
                  "is not a duration such as 10s, 0 or more");
    return value;
  };
  const auto request = read("request");
  const auto backend = read("backendRequest");
  if (request && backend) {
    rules.require(*backend <= *request, path + ".backendRequest",
                  "must not be longer than request");
  }
}

// Durations of annotations: an integer and ms, s, m, h or d; or 0.
void check_route_annotations(Rules& rules, const Value& metadata, bool grpc) {
  const Value& annotations = metadata["annotations"];
  const auto value = [&](std::string_view key) { return annotations[key].string(); };
  for (const std::string_view key : {"timeout.linkerd.io/request", "timeout.linkerd.io/response",
                                     "timeout.linkerd.io/idle", "retry.linkerd.io/timeout"}) {
    if (!annotations[key].is_string()) continue;
    const std::string_view text = value(key);
    const bool good = text == "0" || (!text.starts_with(' ') && config::parse_duration(text));
    rules.require(good, key, "is not a duration such as 500ms or 10s");
  }
  if (annotations["retry.linkerd.io/limit"].is_string()) {
    rules.require(parse_number<std::uint16_t>(value("retry.linkerd.io/limit")).has_value(),
                  "retry.linkerd.io/limit", "is not a number from 0 to 65535");
  }
  const auto status = [](std::string_view text) {
    const auto code = parse_number<int>(text);
    return text.size() == 3 && code && *code >= 100 && *code <= 599;
  };
  if (!grpc && annotations["retry.linkerd.io/http"].is_string()) {
    for (const std::string_view item : split(value("retry.linkerd.io/http"), ',')) {
      const std::size_t dash = item.find('-');
      const bool range = dash == 3 && status(item.substr(0, 3)) && status(item.substr(4)) &&
                         item.substr(0, 3) <= item.substr(4);
      rules.require(iequals(item, "5xx") || iequals(item, "gateway-error") || status(item) || range,
                    "retry.linkerd.io/http",
                    "is not a list of 5xx, gateway-error, codes and ranges of codes");
    }
  }
  if (grpc && annotations["retry.linkerd.io/grpc"].is_string()) {
    constexpr std::string_view kCodes[] = {"cancelled", "deadline-exceeded", "internal",
                                           "resource-exhausted", "unavailable"};
    for (const std::string_view item : split(value("retry.linkerd.io/grpc"), ',')) {
      rules.require(one_of(item, kCodes), "retry.linkerd.io/grpc",
                    "is not a list of cancelled, deadline-exceeded, internal, resource-exhausted, "
                    "unavailable");
    }
  }
}

std::optional<std::string> route_problem(const Review& review) {
  Rules rules;
  const bool gateway = iequals(review.group, "gateway.networking.k8s.io");
  rules.gateway = gateway;
  const bool bytes = iequals(review.kind, "TLSRoute") || iequals(review.kind, "TCPRoute");
  const bool grpc = iequals(review.kind, "GRPCRoute");
  const Value& spec = review.object["spec"];
  bool outbound = false;
  const Value& parents = spec["parentRefs"];
  for (std::size_t i = 0; i < parents.size(); ++i) {
    const Value& parent = parents.items()[i];
    outbound |= is_egress(parent) || (parent["kind"].string() == "Service" && is_service(parent));
    if (is_egress(parent)) {
      rules.require(parent["port"].integer().has_value(), at("spec.parentRefs", i, "port"),
                    "is required for an EgressNetwork");
    }
  }
  const Value& list = spec["rules"];
  if (bytes) {
    rules.require(list.size() == 1, "spec.rules", "must have exactly one rule");
    return rules.take();
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Value& rule = list.items()[i];
    const std::string path = concat("spec.rules[", std::to_string(i), "]");
    for (std::size_t k = 0; k < rule["matches"].size(); ++k) {
      const Value& match = rule["matches"].items()[k];
      const std::string where = concat(path, ".matches[", std::to_string(k), "]");
      if (grpc) {
        check_grpc_match(rules, match, where);
      } else {
        check_match(rules, match, where);
      }
    }
    for (std::size_t k = 0; k < rule["filters"].size(); ++k) {
      check_filter(rules, rule["filters"].items()[k],
                   concat(path, ".filters[", std::to_string(k), "]"));
    }
    for (std::size_t k = 0; k < rule["backendRefs"].size(); ++k) {
      const Value& filters = rule["backendRefs"].items()[k]["filters"];
      for (std::size_t f = 0; f < filters.size(); ++f) {
        check_filter(rules, filters.items()[f],
                     concat(at(path + ".backendRefs", k, "filters["), std::to_string(f), "]"));
      }
    }
    if (!gateway) check_timeouts(rules, rule["timeouts"], path + ".timeouts");
    for (std::size_t k = 0; k < rule["backendRefs"].size() && gateway; ++k) {
      const Value& backend = rule["backendRefs"].items()[k];
      if (is_service(backend)) {
        rules.require(backend["port"].integer().has_value(), at(path + ".backendRefs", k, "port"),
                      "is required for a Service");
      }
    }
  }
  if (outbound) check_route_annotations(rules, review.object["metadata"], grpc);
  return rules.take();
}

// The object as the typed reader sees it: types, required fields, rules.
std::optional<std::string> typed_problem(const Review& review) {
  const std::string text = review.object.to_json();
  const k8s::Manifest manifest = k8s::parse_manifest(text, k8s::Format::Json, "");
  if (manifest.problems.empty()) return std::nullopt;
  const k8s::Problem& problem = manifest.problems.front();
  return problem.path.empty() ? problem.reason : concat(problem.path, ": ", problem.reason);
}

// An override for nobody would be one that somebody has misspelt.
std::optional<std::string> override_problem(const Review& review) {
  if (!iequals(review.kind, "HTTPLocalRateLimitPolicy")) return std::nullopt;
  Rules rules;
  const Value& overrides = review.object["spec"]["overrides"];
  for (std::size_t i = 0; i < overrides.size() && overrides.is_list(); ++i) {
    rules.require(overrides.items()[i]["clientRefs"].is_list(),
                  at("spec.overrides", i, "clientRefs"), "is required");
  }
  return rules.take();
}

// The object must be what the review says that it is, or the wrong rules would be asked.
std::optional<std::string> review_problem(const Review& review) {
  const Value& object = review.object;
  if (!object.is_map()) return "the review has no object";
  const std::string_view kind = object["kind"].string();
  const std::string_view version = object["apiVersion"].string();
  const std::size_t slash = version.find('/');
  const std::string_view group =
      slash == std::string_view::npos ? std::string_view() : version.substr(0, slash);
  const bool same = (kind.empty() || iequals(kind, review.kind)) &&
                    (version.empty() || iequals(group, review.group));
  if (same) return std::nullopt;
  return concat("the review is of ", review.kind, " of ", review.group, ", its object is ", kind,
                " of ", version);
}

net::Task<Answer> answered(std::optional<std::string> problem, std::string kind, int code) {
  Answer answer;
  if (problem) {
    answer.allowed = false;
    answer.code = code;
    answer.message = concat("invalid ", kind, ": ", *problem);
  }
  co_return answer;
}

// ServiceProfiles, read strictly.
class ProfileRules {
 public:
  std::optional<std::string> check(const Value& profile) {
    known(profile, "", {"apiVersion", "kind", "metadata", "spec", "status"});
    rules_.require(config::is_dns_name(profile["metadata"]["name"].string(), false),
                   "metadata.name", "must be the DNS name of a Service");
    const Value& spec = profile["spec"];
    known(spec, "spec", {"routes", "retryBudget", "dstOverrides", "opaquePorts"});
    for (std::size_t i = 0; i < spec["routes"].size(); ++i)
      route(spec["routes"].items()[i], concat("spec.routes[", std::to_string(i), "]"));
    if (!spec["retryBudget"].is_null()) budget(spec["retryBudget"]);
    for (std::size_t i = 0; i < spec["dstOverrides"].size(); ++i) {
      const Value& item = spec["dstOverrides"].items()[i];
      const std::string path = concat("spec.dstOverrides[", std::to_string(i), "]");
      known(item, path, {"authority", "weight"});
      rules_.require(!item["authority"].string().empty(), path + ".authority", "is required");
      rules_.require(inject::parse_quantity(item["weight"].text()).has_value(), path + ".weight",
                     "must be a quantity such as 500m");
    }
    return rules_.take();
  }

 private:
  void known(const Value& value, std::string_view path,
             std::initializer_list<std::string_view> fields) {
    if (!value.is_map()) return rules_.require(value.is_null(), path, "must be an object");
    for (const std::string& key : value.keys()) {
      const bool found = std::find(fields.begin(), fields.end(), key) != fields.end();
      rules_.require(found, path.empty() ? key : concat(path, ".", key), "there is no such field");
    }
  }
  void route(const Value& route, const std::string& path) {
    known(route, path, {"name", "condition", "responseClasses", "isRetryable", "timeout"});
    rules_.require(!route["name"].string().empty(), path + ".name", "is required");
    rules_.require(route["condition"].is_map(), path + ".condition", "is required");
    request(route["condition"], path + ".condition", 0);
    if (!route["timeout"].is_null() && !route["timeout"].text().empty()) {
      rules_.require(inject::parse_go_duration(route["timeout"].string()).has_value(),
                     path + ".timeout", "is not a duration such as 10s");
    }
    const Value& classes = route["responseClasses"];
    for (std::size_t i = 0; i < classes.size(); ++i) {
      const std::string where = concat(path, ".responseClasses[", std::to_string(i), "]");
      known(classes.items()[i], where, {"condition", "isFailure"});
      rules_.require(classes.items()[i]["condition"].is_map(), where + ".condition", "is required");
      response(classes.items()[i]["condition"], where + ".condition", 0);
    }
  }
  template <typename Each>
  void nested(const Value& match, const std::string& path, Each&& each) {
    for (const std::string_view list : {"all", "any"}) {
      for (std::size_t i = 0; i < match[list].size(); ++i) {
        each(match[list].items()[i], concat(path, ".", list, "[", std::to_string(i), "]"));
      }
    }
    // One of the two forms that are in use.
    const Value& negated = match["not"];
    if (negated.is_map()) each(negated, path + ".not");
    for (std::size_t i = 0; negated.is_list() && i < negated.size(); ++i) {
      each(negated.items()[i], concat(path, ".not[", std::to_string(i), "]"));
    }
  }
  void request(const Value& match, const std::string& path, int depth) {
    known(match, path, {"pathRegex", "method", "all", "any", "not"});
    rules_.require(!match.empty(), path, "must say something: pathRegex, method, all, any or not");
    if (match["pathRegex"].is_string()) {
      rules_.require(Regex::compile(match["pathRegex"].string()).has_value(), path + ".pathRegex",
                     "is not a regular expression");
    }
    if (depth > 32) return rules_.require(false, path, "is nested too deeply");
    nested(match, path,
           [&](const Value& inner, const std::string& where) { request(inner, where, depth + 1); });
  }
  void response(const Value& match, const std::string& path, int depth) {
    known(match, path, {"status", "all", "any", "not"});
    rules_.require(!match.empty(), path, "must say something: status, all, any or not");
    const Value& status = match["status"];
    if (!status.is_null()) {
      known(status, path + ".status", {"min", "max"});
      const auto code = [&](std::string_view field) {
        const auto value = status[field].integer();
        if (!status[field].is_null()) {
          rules_.require(value && *value >= 100 && *value <= 599, concat(path, ".status.", field),
                         "must be from 100 to 599");
        }
        return value;
      };
      const auto least = code("min");
      const auto most = code("max");
      rules_.require(!status.empty(), path + ".status", "must have min or max");
      rules_.require(!least || !most || *least <= *most, path + ".status",
                     "min must not be above max");
    }
    if (depth > 32) return rules_.require(false, path, "is nested too deeply");
    nested(match, path, [&](const Value& inner, const std::string& where) {
      response(inner, where, depth + 1);
    });
  }
  void budget(const Value& budget) {
    const std::string path = "spec.retryBudget";
    known(budget, path, {"retryRatio", "minRetriesPerSecond", "ttl"});
    rules_.require(
        budget["retryRatio"].is_number() && !budget["retryRatio"].text().starts_with('-'),
        path + ".retryRatio", "must be a number of 0 or more");
    rules_.require(budget["minRetriesPerSecond"].integer().value_or(-1) >= 0,
                   path + ".minRetriesPerSecond", "must be a whole number of 0 or more");
    const auto ttl = inject::parse_go_duration(budget["ttl"].string());
    rules_.require(ttl.has_value(), path + ".ttl", "must be a duration such as 10s");
  }

  Rules rules_;
};

}  // namespace

std::optional<std::string> policy_problem(const Review& review) {
  const bool policy =
      iequals(review.group, "policy.linkerd.io") && one_of(review.kind, kPolicyKinds);
  const bool route =
      (policy && iequals(review.kind, "HTTPRoute")) ||
      (iequals(review.group, "gateway.networking.k8s.io") && one_of(review.kind, kRouteKinds));
  if (route) {
    std::optional<std::string> problem = route_problem(review);
    // Gateway routes may be meant for others, in a form that only they understand.
    if (!problem && policy) problem = typed_problem(review);
    return problem;
  }
  if (!policy)
    return concat("this webhook does not know the kind ", review.kind, " of ", review.group);
  if (std::optional<std::string> problem = override_problem(review)) return problem;
  return typed_problem(review);
}

std::optional<std::string> profile_problem(const Value& profile) {
  return ProfileRules().check(profile);
}

net::Task<Answer> PolicyWebhook::answer(Review review) {
  std::optional<std::string> problem;
  if (review.operation != "DELETE") problem = review_problem(review);
  if (!problem && review.operation != "DELETE") problem = policy_problem(review);
  return answered(std::move(problem), std::move(review.kind), 0);
}

net::Task<Answer> ProfileWebhook::answer(Review review) {
  const bool ours = iequals(review.group, "linkerd.io") && iequals(review.kind, "ServiceProfile");
  std::optional<std::string> problem;
  if (!ours) {
    problem = concat("this webhook does not know the kind ", review.kind, " of ", review.group);
  } else if (review.operation != "DELETE") {
    problem = review_problem(review);
    if (!problem) problem = profile_problem(review.object);
  }
  return answered(std::move(problem), std::move(review.kind), 400);
}

}  // namespace tulle::control
