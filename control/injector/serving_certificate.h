// SPDX-License-Identifier: Apache-2.0
// The serving certificate of one webhook, made at run time and replaced in good time: a value and
// the function that takes it one step further. No I/O; webhook_keeper.h carries it out.
//
// Each certificate has a CA of its own whose key is thrown away, so a stolen Secret signs nothing.
// Replacement has stages, because API servers read caBundle when they please and several replicas
// serve: the next certificate is made → its CA stands in caBundle beside the old for `overlap` → it
// serves → the old CA leaves caBundle after another `overlap`.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/time.h"
#include "lib/tls/cert.h"
#include "lib/tls/credentials.h"

namespace tulle::control {

struct ServingPair {
  std::string chain;  // PEM: the certificate, its CA
  std::string key;    // PEM
  std::string ca;     // PEM
};

struct ServingState {
  ServingPair current;
  std::optional<ServingPair> next;
  std::string previous_ca;  // still in caBundle; "" if none
  WallTime promoted{};      // when `current` took over from it
};

struct ServingOptions {
  Duration lifetime = 24h * 365;
  double renew_at = 0.7;  // of the lifetime
  Duration overlap = 10min;
};

// A Secret of type kubernetes.io/tls: tls.crt, tls.key, ca.crt, and the stages under other names.
std::map<std::string, std::string> to_secret(const ServingState& state);
// Nullopt if it is no such Secret, or what it holds cannot serve `name` now.
std::optional<ServingState> from_secret(const std::map<std::string, std::string>& data,
                                        std::string_view name);

// What is to be done next. `published_for` is how long the CA of `next` has been in caBundle, as
// far as the caller has seen; 0 if it is not.
struct ServingStep {
  ServingState state;
  bool changed = false;   // write the Secret
  std::string ca_bundle;  // what caBundle must hold, PEM; publish before serving
};
ServingStep next_step(std::optional<ServingState> state, std::string_view name,
                      Duration published_for, WallTime now, const ServingOptions& options);

// For Secrets that others write (cert-manager), too.
Result<tls::CredentialsPtr> credentials_of(const std::map<std::string, std::string>& secret);

}  // namespace tulle::control
