// SPDX-License-Identifier: Apache-2.0
#include "control/injector/webhook_keeper.h"

#include <algorithm>

#include "lib/base/text.h"
#include "lib/inject/patch.h"

namespace tulle::control {

using inject::Value;

namespace {

constexpr std::string_view kNameLabel = "kubernetes.io/metadata.name";
// Stands for "no namespace": the API server refuses an empty list, and no namespace has a dot in
// its name.
constexpr std::string_view kNoNamespace = "none.invalid";

Value operation(std::string_view op, std::string path, Value value) {
  return Value::map({{"op", op}, {"path", path}, {"value", std::move(value)}});
}

// The path of the list of names in the entry's selector, and what it is now.
struct NameList {
  std::string path;
  const Value* values = nullptr;
};
std::optional<NameList> find_names(const Value& entry, const std::string& base) {
  const Value& terms = entry["namespaceSelector"]["matchExpressions"];
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const Value& term = terms.items()[i];
    if (term["key"].string() != kNameLabel || term["operator"].string() != "In") continue;
    return NameList{
        concat(base, "/namespaceSelector/matchExpressions/", std::to_string(i), "/values"),
        &term["values"]};
  }
  return std::nullopt;
}

void add_names(Value& patch, const Value& entry, const std::string& base,
               const std::set<std::string>& namespaces) {
  Value names = Value::list();
  for (const std::string& name : namespaces) names.push(name);
  if (names.empty()) names.push(kNoNamespace);
  if (const auto found = find_names(entry, base)) {
    if (found->values->to_json() != names.to_json())
      patch.push(operation("add", found->path, std::move(names)));
    return;
  }
  Value term = Value::map({{"key", kNameLabel}, {"operator", "In"}, {"values", std::move(names)}});
  if (entry["namespaceSelector"]["matchExpressions"].is_list()) {
    patch.push(
        operation("add", concat(base, "/namespaceSelector/matchExpressions/-"), std::move(term)));
  } else {
    Value selector =
        entry["namespaceSelector"].is_map() ? entry["namespaceSelector"] : Value::map();
    selector.set("matchExpressions", Value::list({std::move(term)}));
    patch.push(operation("add", concat(base, "/namespaceSelector"), std::move(selector)));
  }
}

}  // namespace

Value configuration_patch(const Value& configuration, std::string_view ca_bundle_pem,
                          std::string_view namespaces_entry,
                          const std::set<std::string>& namespaces) {
  const std::string bundle = base64_encode(as_bytes(ca_bundle_pem));
  Value patch = Value::list({operation("test", "/metadata/resourceVersion",
                                       configuration["metadata"]["resourceVersion"])});
  const Value& entries = configuration["webhooks"];
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Value& entry = entries.items()[i];
    const std::string base = concat("/webhooks/", std::to_string(i));
    if (!bundle.empty() && entry["clientConfig"].is_map() &&
        entry["clientConfig"]["caBundle"].string() != bundle) {
      patch.push(operation("add", concat(base, "/clientConfig/caBundle"), bundle));
    }
    if (!namespaces_entry.empty() && entry["name"].string() == namespaces_entry) {
      add_names(patch, entry, base, namespaces);
    }
  }
  return patch.size() > 1 ? patch : Value();
}

WebhookKeeper::WebhookKeeper(net::Loop& loop, const log::Logger& log, WebhookStore& store,
                             KeptWebhook webhook, std::function<std::set<std::string>()> namespaces,
                             Options options)
    : loop_(loop),
      log_(log),
      store_(store),
      webhook_(std::move(webhook)),
      namespaces_(std::move(namespaces)),
      options_(options),
      wake_(loop) {}

net::Task<void> WebhookKeeper::run() {
  Duration pause = options_.retry;
  for (;;) {
    woken_ = false;
    const bool well = co_await keep_once();
    pause = well ? options_.period : std::min(pause, options_.period);
    const Deadline by = loop_.after(pause);
    if (!woken_) {
      [[maybe_unused]] const bool woken = co_await wake_.wait(by);
    }
    pause = well ? options_.retry : pause * 2;
  }
}

bool WebhookKeeper::failed(std::string_view what, const Error& error) {
  // Refused: another replica was first; the next look sees what it wrote.
  if (error.code != Errc::Refused) {
    log_.warn(what, {{"webhook", webhook_.configuration}, {"reason", error.where}});
  }
  return false;
}

net::Task<bool> WebhookKeeper::keep_once() {
  const bool secret = co_await keep_secret();
  // An external caBundle is its owner's business; the namespaces are ours all the same.
  const bool configuration = co_await keep_configuration();
  co_return secret&& configuration;
}

bool WebhookKeeper::use(const std::map<std::string, std::string>& secret) {
  const auto chain = secret.find("tls.crt");
  if (chain != secret.end() && chain->second == served_ && credentials_ != nullptr) return true;
  auto credentials = credentials_of(secret);
  if (!credentials) return failed("the serving certificate cannot be used", credentials.error());
  credentials_ = *std::move(credentials);
  served_ = chain->second;
  log_.info("a serving certificate is in use",
            {{"webhook", webhook_.configuration},
             {"not_after", format_rfc3339(credentials_->leaf().not_after)}});
  return true;
}

net::Task<bool> WebhookKeeper::keep_secret() {
  std::string name = webhook_.secret;
  Result<WebhookStore::Secret> secret = co_await store_.read_secret(std::move(name));
  if (!secret && (secret.error().code != Errc::NotFound || webhook_.external)) {
    co_return failed("the Secret of a webhook cannot be read", secret.error());
  }
  if (webhook_.external) co_return use(secret->data);
  std::optional<ServingState> state;
  if (secret) state = from_secret(secret->data, webhook_.host);
  const Duration published_for = published_ ? loop_.now() - *published_ : Duration(0);
  ServingStep step =
      next_step(std::move(state), webhook_.host, published_for, wall_now(), options_.serving);
  if (step.changed && !store_.is_leader()) {
    // Serve what there is; the leader will see to the rest.
    ca_bundle_.clear();
    co_return secret ? use(secret->data) : false;
  }
  const std::map<std::string, std::string> data = to_secret(step.state);
  if (step.changed) {
    WebhookStore::Secret next{data, secret ? secret->version : ""};
    std::string target = webhook_.secret;
    const Result<void> written = co_await store_.write_secret(std::move(target), std::move(next));
    if (!written) co_return failed("the Secret of a webhook cannot be written", written.error());
  }
  const std::string next_ca = step.state.next ? step.state.next->ca : std::string();
  if (next_ca != next_ca_) published_.reset();
  next_ca_ = next_ca;
  ca_bundle_ = step.ca_bundle;
  co_return use(data);
}

net::Task<bool> WebhookKeeper::keep_configuration() {
  if (!store_.is_leader()) co_return true;
  const bool bundle = !webhook_.external && !ca_bundle_.empty();
  if (!bundle && webhook_.namespaces_entry.empty()) co_return true;
  std::string kind = webhook_.kind;
  std::string name = webhook_.configuration;
  const Result<Value> configuration =
      co_await store_.read_configuration(std::move(kind), std::move(name));
  if (!configuration)
    co_return failed("a webhook configuration cannot be read", configuration.error());
  const std::set<std::string> namespaces = namespaces_ ? namespaces_() : std::set<std::string>();
  const std::string_view ca_bundle = bundle ? std::string_view(ca_bundle_) : std::string_view();
  const Value patch =
      configuration_patch(*configuration, ca_bundle, webhook_.namespaces_entry, namespaces);
  if (!patch.is_null()) {
    std::string patched_kind = webhook_.kind;
    std::string patched_name = webhook_.configuration;
    std::string text = patch.to_json();
    const Result<void> written = co_await store_.patch_configuration(
        std::move(patched_kind), std::move(patched_name), std::move(text));
    if (!written) co_return failed("a webhook configuration cannot be written", written.error());
    log_.info("a webhook configuration was brought up to date",
              {{"webhook", webhook_.configuration}});
  }
  if (!next_ca_.empty() && !published_) published_ = loop_.now();
  co_return true;
}

}  // namespace tulle::control
