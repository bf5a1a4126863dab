// SPDX-License-Identifier: Apache-2.0
#include "control/identity/kubernetes_issuer.h"

#include <algorithm>

#include "lib/base/text.h"
#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/json_writer.h"
#include "lib/k8s/manifest.h"
#include "lib/k8s/reflector.h"
#include "lib/k8s/write.h"

namespace tulle::control {
namespace {

constexpr Duration kPatience = 10s;
constexpr Duration kRetry = 2s;
// Dates are of the wall clock, which may be set: look at it often enough.
constexpr Duration kLook = 10s;
constexpr std::string_view kManager = "tulle-control";
constexpr std::string_view kRotationKey = "rotation";

struct Metadata {
  std::string uid;
  std::string version;
  k8s::StringMap annotations;
};
struct KeyedObject {
  Metadata metadata;
  k8s::StringMap data;
};
template <typename V>
void describe(V& v, Metadata& x) {
  v.field("uid", x.uid);
  v.field("resourceVersion", x.version);
  v.field("annotations", x.annotations);
}
template <typename V>
void describe(V& v, KeyedObject& x) {
  v.field("metadata", x.metadata);
  v.field("data", x.data);
}

std::optional<KeyedObject> read_object(std::string_view json) {
  k8s::JsonSource source(json, k8s::JsonSource::Skipping::Unparsed);
  KeyedObject out;
  if (!source.next_document() || k8s::decode(source, out)) return std::nullopt;
  return out;
}

}  // namespace

// One Secret or ConfigMap, as it is now.
class KubernetesIssuer::Followed final : public k8s::Receiver {
 public:
  Followed(KubernetesIssuer& owner, k8s::Resource resource, std::string_view name,
           std::uint64_t seed)
      : owner_(owner),
        resource_(resource),
        name_(name),
        reflector_(owner.client_, *this, owner.log_, options_of(owner, resource, name), seed) {}

  bool synced() const noexcept { return listed_; }
  const std::optional<KeyedObject>& object() const noexcept { return object_; }
  const k8s::Resource& resource() const noexcept { return resource_; }
  bool is_secret() const noexcept { return resource_.plural == k8s::kSecrets.plural; }
  const std::string& name() const noexcept { return name_; }
  k8s::Reflector& reflector() noexcept { return reflector_; }
  // "Secret linkerd/linkerd-identity-issuer"
  std::string title() const {
    return concat(is_secret() ? "Secret " : "ConfigMap ", owner_.options_.ns, "/", name_);
  }
  // The value of a key, decoded; nullopt if it is not there (or no base64 in a Secret).
  std::optional<std::string> value(std::string_view key) const {
    const std::string* const found = object_ ? object_->data.find(key) : nullptr;
    if (found == nullptr) return std::nullopt;
    return is_secret() ? base64_decode(*found) : std::optional(*found);
  }

  // All values of a ConfigMap.
  AnchorBundles texts() const {
    AnchorBundles out;
    if (object_) out.insert(object_->data.begin(), object_->data.end());
    return out;
  }

  void after() override { owner_.notify(); }
  void list_begin() override { seen_ = false; }
  void list_end() override {
    if (!seen_) object_.reset();
    listed_ = true;
    owner_.notify();
  }
  void put(std::string_view json) override {
    seen_ = true;
    if (auto object = read_object(json)) {
      object_ = *std::move(object);
    } else {
      owner_.log_.error("an object cannot be read; its last state stays", {{"object", title()}});
    }
  }
  void erase(std::string_view) override { object_.reset(); }

 private:
  static k8s::Reflector::Options options_of(const KubernetesIssuer& owner,
                                            const k8s::Resource& resource, std::string_view name) {
    k8s::Reflector::Options options;
    options.resource = resource;
    options.ns = owner.options_.ns;
    options.field_selector = concat("metadata.name=", name);
    return options;
  }

  KubernetesIssuer& owner_;
  const k8s::Resource resource_;
  const std::string name_;
  bool listed_ = false;
  bool seen_ = false;
  std::optional<KeyedObject> object_;
  k8s::Reflector reflector_;
};

KubernetesIssuer::KubernetesIssuer(k8s::ApiClient& client, DeploymentOwner& owner,
                                   IssuerStore& store, const log::Logger& log, Options options,
                                   std::uint64_t seed)
    : client_(client),
      store_(store),
      log_(log),
      owner_(owner),
      options_(std::move(options)),
      changed_(client.loop()) {
  issuer_ = std::make_unique<Followed>(*this, k8s::kSecrets, kIssuerSecret, seed);
  roots_ = std::make_unique<Followed>(*this, k8s::kConfigMaps, kTrustRoots, seed + 1);
  if (options_.generate) {
    rotation_ = std::make_unique<Followed>(*this, k8s::kSecrets, kRotationSecret, seed + 2);
  } else if (options_.anchor_users) {
    known_ = std::make_unique<Followed>(*this, k8s::kConfigMaps, kKnownRoots, seed + 3);
  }
}

KubernetesIssuer::~KubernetesIssuer() = default;

std::optional<Rotation::Stage> KubernetesIssuer::stage() const {
  return state_ ? std::optional(state_->stage()) : std::nullopt;
}

// What somebody brought, in either layout.
void KubernetesIssuer::load() {
  // Before the known bundles are there, anchors that are in use would be forgotten for a moment.
  if (!issuer_->synced() || !roots_->synced() || (known_ != nullptr && !known_->synced())) return;
  const std::string title = issuer_->title();
  if (!issuer_->object()) return store_.refuse(concat("there is no ", title), title);
  IssuerParts parts;
  const bool theirs = issuer_->value("tls.crt").has_value();
  const std::string_view certificate = theirs ? "tls.crt" : "crt.pem";
  const std::string_view key = theirs ? "tls.key" : "key.pem";
  parts.certificate_name = concat(title, ", ", certificate);
  parts.key_name = concat(title, ", ", key);
  const auto certificate_pem = issuer_->value(certificate);
  const auto key_pem = issuer_->value(key);
  if (!certificate_pem)
    return store_.refuse(concat(title, " has neither tls.crt nor crt.pem"), title);
  if (!key_pem) return store_.refuse(concat(title, " has no ", key), title);
  auto anchors = roots_->value(kTrustRootsKey);
  parts.anchors_name = concat(roots_->title(), ", ", kTrustRootsKey);
  if (!anchors) {
    anchors = issuer_->value("ca.crt");
    if (!anchors) {
      return store_.refuse(concat("the trust anchors are missing: ", parts.anchors_name), title);
    }
    parts.anchors_name = concat(title, ", ca.crt");
  }
  parts.certificate_pem = *certificate_pem;
  parts.key_pem = *key_pem;
  parts.anchors_pem = *anchors;
  auto made = make_issuer_state(parts);
  if (auto* const refused = std::get_if<IssuerProblem>(&made)) {
    return store_.refuse(std::move(refused->reason), title);
  }
  IssuerState state = std::get<IssuerState>(std::move(made));
  if (known_ != nullptr) trust_known(state.anchors, known_->texts(), wall_now());
  store_.use(std::move(state), title);
}

// Stores the bundles that are to be known, and tells for whose sake.
net::Task<void> KubernetesIssuer::keep_known() {
  const std::shared_ptr<const IssuerState> state = store_.current();
  if (known_ == nullptr || !known_->synced() || state == nullptr || store_.broken()) co_return;
  const std::optional<AnchorUsers> users = options_.anchor_users();
  if (!users) co_return;
  const AnchorBundles known = known_->texts();
  std::string stale = who_must_restart(known, state->anchors_pem, *users);
  if (stale != told_) {
    told_ = std::move(stale);
    if (!told_.empty()) log_.warn("replaced trust anchors are in use", {{"reason", told_}});
    if (!told_.empty() && options_.on_stale_anchors) options_.on_stale_anchors(told_);
  }
  const AnchorBundles next = next_bundles(known, state->anchors_pem, *users);
  if (next == known) co_return;
  k8s::JsonWriter json;
  json.object([&] {
    for (const auto& [hash, pem] : next) json.member(hash, pem);
  });
  std::string data = json.take();
  [[maybe_unused]] const bool done = co_await write(*known_, "", std::move(data));
}

// Creates or replaces one of our objects. `data` is JSON. False if it must be tried again, after a
// look at what is there.
net::Task<bool> KubernetesIssuer::write(const Followed& object, std::string_view kind,
                                        std::string data) {
  const Result<std::string> owned_by = co_await owner_.references();
  if (!owned_by) {
    log_.warn("an object is not written",
              {{"object", object.title()}, {"reason", owned_by.error().where}});
    co_return false;
  }
  const bool exists = object.object().has_value();
  k8s::JsonWriter json;
  json.object([&] {
    json.member("apiVersion", "v1");
    json.member("kind", object.is_secret() ? "Secret" : "ConfigMap");
    json.key("metadata");
    json.object([&] {
      json.member("name", object.name());
      json.member("namespace", options_.ns);
      if (exists) json.member("resourceVersion", object.object()->metadata.version);
      json.key("labels");
      json.object([&] {
        json.member("linkerd.io/control-plane-component", "control-plane");
        json.member("linkerd.io/control-plane-ns", options_.ns);
      });
      if (!owned_by->empty()) {
        json.key("ownerReferences");
        json.raw(*owned_by);
      }
    });
    json.member_unless_empty("type", kind);
    json.key("data");
    json.raw(data);
  });
  const k8s::ObjectPath path{
      object.resource(), options_.ns, exists ? std::string_view(object.name()) : "", {}, {}};
  k8s::ApiRequest request =
      exists ? k8s::replace(path, json.take()) : k8s::create(path, json.take());
  request.path += concat("?fieldManager=", kManager);
  const Deadline by = client_.loop().after(kPatience);
  const k8s::ApiResponse response = co_await client_.call(std::move(request), by);
  if (response.ok()) {
    log_.info(exists ? "an object is replaced" : "an object is made", {{"object", object.title()}});
  } else if (response.status.code != 409) {
    log_.warn("an object cannot be written",
              {{"object", object.title()}, {"reason", response.status.to_string()}});
  }
  co_return response.ok();
}

// Secret and ConfigMap as Linkerd's parts know them. True if they are as they should be.
net::Task<bool> KubernetesIssuer::publish(const Rotation& state) {
  const std::string bundle = state.bundle_pem();
  if (roots_->value(kTrustRootsKey) != bundle) {
    k8s::JsonWriter json;
    json.object([&] { json.member(kTrustRootsKey, bundle); });
    std::string data = json.take();
    const bool done = co_await write(*roots_, "", std::move(data));
    (void)done;
    co_return false;  // the watch tells when it is there
  }
  std::string chain = state.issuer.to_pem();
  for (const tls::Certificate& above : state.signer().chain) chain += above.to_pem();
  const std::string key = state.issuer_key.to_pem();
  if (issuer_->value("crt.pem") != chain || issuer_->value("key.pem") != key) {
    k8s::JsonWriter json;
    json.object([&] {
      json.member("crt.pem", base64_encode(as_bytes(chain)));
      json.member("key.pem", base64_encode(as_bytes(key)));
    });
    std::string data = json.take();
    const bool done = co_await write(*issuer_, "", std::move(data));
    (void)done;
    co_return false;
  }
  co_return true;
}

// One step towards what should be; true if nothing is left to do now.
net::Task<bool> KubernetesIssuer::step() {
  const std::string title = rotation_->title();
  const auto data_of = [](const Rotation& state) {
    k8s::JsonWriter json;
    json.object([&] { json.member(kRotationKey, base64_encode(as_bytes(state.to_text()))); });
    return json.take();
  };
  if (!rotation_->object()) {
    const Rotation first = begin_rotation(options_.policy);
    std::string data = data_of(first);
    const bool done = co_await write(*rotation_, "tulle.io/rotation", std::move(data));
    (void)done;
    co_return false;
  }
  const auto text = rotation_->value(kRotationKey);
  Result<Rotation> state =
      text ? Rotation::from_text(*text)
           : Result<Rotation>(Error{Errc::Invalid, "read the state of the rotation"});
  if (!state) {
    store_.refuse(concat("cannot ", state.error().where, "; delete the Secret to begin anew"),
                  title);
    co_return true;
  }
  const bool asked = rotation_->object()->metadata.annotations.contains(kReplaceAnnotation);
  const bool under_way = state->stage() != Rotation::Stage::Steady;
  std::optional<Rotation> next = advance(*state, options_.policy, wall_now(), asked);
  if (asked && under_way)
    log_.warn("an anchor is being replaced already; the request is dropped", {{"object", title}});
  if (next || asked) {
    std::string data = data_of(next ? *next : *state);
    const bool done = co_await write(*rotation_, "tulle.io/rotation", std::move(data));
    if (done && next && next->stage() != state->stage()) {
      constexpr std::string_view kStages[] = {"steady", "announced", "switched"};
      log_.info("the rotation of the trust anchor goes on",
                {{"stage", kStages[static_cast<std::size_t>(next->stage())]}});
    }
    co_return false;
  }
  state_ = *state;
  store_.use(IssuerState{state->signer(), state->bundle(), state->bundle_pem()}, title);
  const Rotation published = *std::move(state);
  co_return co_await publish(published);
}

net::Task<void> KubernetesIssuer::generate() {
  for (;;) {
    Duration pause = kLook;
    const std::uint64_t before = changes_;
    if (rotation_->synced() && issuer_->synced() && roots_->synced()) {
      const bool done = co_await step();
      if (!done) pause = kRetry;
    }
    if (changes_ != before) continue;
    const Deadline by = client_.loop().after(pause);
    [[maybe_unused]] const bool told = co_await changed_.wait(by);
  }
}

net::Task<void> KubernetesIssuer::run() {
  for (Followed* const object : {issuer_.get(), roots_.get(), rotation_.get(), known_.get()}) {
    if (object != nullptr) tasks_.spawn(object->reflector().run());
  }
  if (options_.generate) {
    co_await generate();
    co_return;
  }
  for (;;) {
    const std::uint64_t before = changes_;
    load();
    co_await keep_known();
    if (changes_ != before) continue;
    // An issuer that is not valid yet may become so without an event.
    const Deadline by = client_.loop().after(store_.broken() ? kRetry : kLook);
    [[maybe_unused]] const bool told = co_await changed_.wait(by);
  }
}

}  // namespace tulle::control
