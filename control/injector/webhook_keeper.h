// SPDX-License-Identifier: Apache-2.0
// Keeps what webhooks need in the cluster as it should be: the Secret with the serving certificate,
// and in the WebhookConfiguration the caBundle and which namespaces are annotated. Charts leave
// these to us, so that they render the same text each time. Every replica serves from the Secret;
// the leader writes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/injector/serving_certificate.h"
#include "lib/inject/value.h"
#include "lib/log/log.h"
#include "lib/net/loop.h"
#include "lib/net/task.h"

namespace tulle::control {

// The few requests to the API server that this needs.
class WebhookStore {
 public:
  struct Secret {
    std::map<std::string, std::string> data;  // decoded
    std::string version;                      // resourceVersion
  };
  // NotFound if there is none. In the control plane's namespace.
  virtual net::Task<Result<Secret>> read_secret(std::string name) = 0;
  // Of type kubernetes.io/tls. With version "" it is created. Refused if somebody wrote meanwhile.
  virtual net::Task<Result<void>> write_secret(std::string name, Secret secret) = 0;
  // A MutatingWebhookConfiguration or ValidatingWebhookConfiguration, whole. NotFound if there is
  // none.
  virtual net::Task<Result<inject::Value>> read_configuration(std::string kind,
                                                              std::string name) = 0;
  // `patch` is a JSON Patch (RFC 6902) that begins with a test of the resourceVersion.
  virtual net::Task<Result<void>> patch_configuration(std::string kind, std::string name,
                                                      std::string patch) = 0;
  // Only one replica writes.
  virtual bool is_leader() const = 0;

 protected:
  ~WebhookStore() = default;
};

struct KeptWebhook {
  std::string secret;         // linkerd-proxy-injector-k8s-tls
  std::string host;           // linkerd-proxy-injector.linkerd.svc
  std::string kind;           // MutatingWebhookConfiguration
  std::string configuration;  // linkerd-proxy-injector-webhook-config
  // Others write the Secret and caBundle (`externalSecret`): it is only read.
  bool external = false;
  // The entry of this name selects these namespaces by name; "" if there is none.
  std::string namespaces_entry;
};

// The entry for annotated namespaces among those of the injector.
inline constexpr std::string_view kNamespacesEntry = "namespaces.linkerd-proxy-injector.linkerd.io";

// What makes the configuration right: caBundle in every entry (left alone if it is ""), the names
// in the one for namespaces. Null if it is right already.
inject::Value configuration_patch(const inject::Value& configuration,
                                  std::string_view ca_bundle_pem, std::string_view namespaces_entry,
                                  const std::set<std::string>& namespaces);

class WebhookKeeper {
 public:
  struct Options {
    ServingOptions serving;
    Duration period = 30s;  // between two looks at the cluster
    Duration retry = 2s;    // after something failed, doubled up to `period`
  };
  // `namespaces` gives the annotated ones, at the time of the call.
  WebhookKeeper(net::Loop& loop, const log::Logger& log, WebhookStore& store, KeptWebhook webhook,
                std::function<std::set<std::string>()> namespaces, Options options);

  // What to serve with; null while there is nothing.
  tls::CredentialsPtr credentials() const { return credentials_; }
  // Looks after it until it is destroyed.
  net::Task<void> run();
  // One look. False if something has failed and should be tried again soon.
  net::Task<bool> keep_once();
  // The set of namespaces has changed: looks again now.
  void wake() {
    woken_ = true;
    wake_.notify_all();
  }

 private:
  net::Task<bool> keep_secret();
  net::Task<bool> keep_configuration();
  bool use(const std::map<std::string, std::string>& secret);
  bool failed(std::string_view what, const Error& error);

  net::Loop& loop_;
  log::Logger log_;
  WebhookStore& store_;
  const KeptWebhook webhook_;
  std::function<std::set<std::string>()> namespaces_;
  const Options options_;
  tls::CredentialsPtr credentials_;
  std::string served_;  // the chain in use, PEM
  std::string ca_bundle_;
  std::string next_ca_;
  std::optional<TimePoint> published_;  // since when next_ca_ has been in caBundle
  bool woken_ = false;
  net::Signal wake_;
};

}  // namespace tulle::control
