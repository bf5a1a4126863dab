// SPDX-License-Identifier: Apache-2.0
#include "control/injector/serving_certificate.h"

#include <algorithm>

#include "control/injector/webhook_port.h"
#include "lib/base/text.h"
#include "lib/tls/key.h"

namespace tulle::control {
namespace {

constexpr std::string_view kNextChain = "next.tls.crt";
constexpr std::string_view kNextKey = "next.tls.key";
constexpr std::string_view kNextCa = "next.ca.crt";
constexpr std::string_view kPreviousCa = "previous.ca.crt";
constexpr std::string_view kPromoted = "promoted";

ServingPair make_pair(std::string_view name, const ServingOptions& options) {
  const tls::Issuer ca = tls::make_anchor(concat(name, ".ca"), options.lifetime + 24h);
  const tls::PrivateKey key = tls::PrivateKey::generate();
  const auto csr = tls::Csr::from_der(as_bytes(tls::make_csr(key, name)));
  TULLE_CHECK(csr.has_value());
  const auto leaf = tls::sign_leaf(ca, *csr, {.lifetime = options.lifetime, .skew = 1h});
  TULLE_CHECK(leaf.has_value());
  return {leaf->to_pem() + ca.certificate.to_pem(), key.to_pem(), ca.certificate.to_pem()};
}

std::int64_t seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// Serves `name` now: the key fits, it is valid, its CA vouches for it.
bool can_serve(const ServingPair& pair, std::string_view name) {
  const auto chain = tls::Certificate::from_pem(pair.chain);
  const auto ca = tls::Certificate::from_pem(pair.ca);
  const auto key = tls::PrivateKey::from_pem(pair.key);
  if (!chain || !ca || !key || !chain->front().matches_key(*key)) return false;
  const auto& names = chain->front().dns_names;
  if (std::find(names.begin(), names.end(), name) == names.end()) return false;
  return tls::verify_chain(chain->front(), {chain->begin() + 1, chain->end()}, *ca,
                           tls::Usage::Server)
      .has_value();
}

bool is_due(const ServingPair& pair, WallTime now, const ServingOptions& options) {
  const auto chain = tls::Certificate::from_pem(pair.chain);
  if (!chain) return true;
  const tls::Certificate& leaf = chain->front();
  const auto life = std::chrono::duration<double, std::nano>(leaf.not_after - leaf.not_before);
  return now >= leaf.not_before + std::chrono::duration_cast<Duration>(life * options.renew_at);
}

}  // namespace

std::map<std::string, std::string> to_secret(const ServingState& state) {
  std::map<std::string, std::string> out{{"tls.crt", state.current.chain},
                                         {"tls.key", state.current.key},
                                         {"ca.crt", state.current.ca}};
  const auto set = [&](std::string_view key, std::string value) {
    out[std::string(key)] = std::move(value);
  };
  if (state.next) {
    set(kNextChain, state.next->chain);
    set(kNextKey, state.next->key);
    set(kNextCa, state.next->ca);
  }
  if (!state.previous_ca.empty()) {
    set(kPreviousCa, state.previous_ca);
    set(kPromoted, std::to_string(seconds(state.promoted)));
  }
  return out;
}

std::optional<ServingState> from_secret(const std::map<std::string, std::string>& data,
                                        std::string_view name) {
  const auto get = [&](std::string_view key) {
    const auto found = data.find(std::string(key));
    return found != data.end() ? found->second : std::string();
  };
  const auto time = [&](std::string_view key) {
    return WallTime(std::chrono::seconds(parse_number<std::int64_t>(get(key)).value_or(0)));
  };
  ServingState state;
  state.current = {get("tls.crt"), get("tls.key"), get("ca.crt")};
  if (!can_serve(state.current, name)) return std::nullopt;
  ServingPair next{get(kNextChain), get(kNextKey), get(kNextCa)};
  if (!next.chain.empty() && can_serve(next, name)) state.next = std::move(next);
  state.previous_ca = get(kPreviousCa);
  state.promoted = time(kPromoted);
  return state;
}

ServingStep next_step(std::optional<ServingState> state, std::string_view name,
                      Duration published_for, WallTime now, const ServingOptions& options) {
  ServingStep step;
  if (!state || !can_serve(state->current, name)) {
    // Nothing serves: there is nothing to overlap with.
    step.state.current = make_pair(name, options);
    step.changed = true;
  } else {
    step.state = *std::move(state);
    ServingState& at = step.state;
    if (!at.previous_ca.empty() && now >= at.promoted + options.overlap) {
      at.previous_ca.clear();
      step.changed = true;
    }
    if (at.next && published_for >= options.overlap) {
      at.previous_ca = at.current.ca;
      at.promoted = now;
      at.current = *std::move(at.next);
      at.next.reset();
      step.changed = true;
    } else if (!at.next && is_due(at.current, now, options)) {
      at.next = make_pair(name, options);
      step.changed = true;
    }
  }
  step.ca_bundle = step.state.previous_ca + step.state.current.ca;
  if (step.state.next) step.ca_bundle += step.state.next->ca;
  return step;
}

Result<tls::CredentialsPtr> credentials_of(const std::map<std::string, std::string>& secret) {
  const auto chain_text = secret.find("tls.crt");
  const auto key_text = secret.find("tls.key");
  if (chain_text == secret.end() || key_text == secret.end())
    return Error{Errc::NotFound, "find tls.crt and tls.key"};
  auto chain = tls::Certificate::from_pem(chain_text->second);
  if (!chain) return chain.error();
  auto key = tls::PrivateKey::from_pem(key_text->second);
  if (!key) return key.error();
  return serving_credentials(*std::move(chain), *std::move(key));
}

}  // namespace tulle::control
