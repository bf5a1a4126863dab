// SPDX-License-Identifier: Apache-2.0
#include "control/identity/issuer_store.h"

#include <random>

#include "control/source/watch.h"
#include "lib/base/text.h"

namespace tulle::control {
namespace {

// Renewal of a generated issuer and whatever events were lost.
constexpr Duration kLookAgain = 30s;
// A certificate and its key are two files: who changes one is about to change the other.
constexpr Duration kSettle = 50ms;

std::string fingerprint_of(const IssuerState& state) {
  std::string out = state.issuer.certificate.der + state.issuer.key.to_pem();
  for (const tls::Certificate& certificate : state.issuer.chain) out += certificate.der;
  for (const tls::Certificate& anchor : state.anchors) out += anchor.der;
  return tls::sha256_hex(out);
}

// A reason may tell what time it is; it is the same one a second later.
std::string_view without_time(std::string_view reason) {
  return reason.substr(0, reason.find(" (it is now "));
}

// Random, so that serials of restarts and replicas do not meet; positive as X.509 wants it.
std::uint64_t first_serial() {
  std::random_device device;
  return (std::uint64_t{device()} << 30 ^ device()) & 0x3FFF'FFFF'FFFF'FFFFULL;
}

}  // namespace

IssuerStore::IssuerStore(const log::Logger& log) : log_(log), serial_(first_serial()) {}

void IssuerStore::use(IssuerState state, std::string_view origin) {
  std::string fingerprint = fingerprint_of(state);
  problem_.clear();
  if (fingerprint == fingerprint_) return;
  fingerprint_ = std::move(fingerprint);
  log_.info("the issuer is loaded", {{"from", origin},
                                     {"until", format_rfc3339(state.issuer.certificate.not_after)},
                                     {"anchors", state.anchors.size()}});
  current_ = std::make_shared<const IssuerState>(std::move(state));
  for (const auto& call : on_change_) call();
}

void IssuerStore::refuse(std::string reason, std::string_view origin) {
  const bool told = broken() && without_time(reason) == without_time(problem_);
  problem_ = std::move(reason);
  if (told) return;
  log_.error(
      current_ ? "the issuer cannot be read; the last good one stays" : "the issuer cannot be read",
      {{"from", origin}, {"reason", problem_}});
  for (const auto& call : on_refuse_) call(problem_);
}

bool FolderIssuer::load() {
  std::string problem;
  if (options_.generate) problem = generate_issuer(options_.folder, options_.name);
  auto loaded = load_issuer(options_.folder, options_.anchors_file);
  if (auto* const refused = std::get_if<IssuerProblem>(&loaded)) {
    // What could not be made is the reason that it cannot be read.
    store_.refuse(problem.empty() ? std::move(refused->reason) : std::move(problem),
                  options_.folder);
    return store_.current() != nullptr;
  }
  store_.use(std::get<IssuerState>(std::move(loaded)), options_.folder);
  return true;
}

net::Task<void> FolderIssuer::run() {
  FolderWatch watch(loop_, options_.folder);
  for (;;) {
    const Duration pause = store_.broken() ? Duration{2s} : kLookAgain;
    co_await watch.changed(pause);
    co_await net::sleep_for(loop_, kSettle);
    load();
  }
}

}  // namespace tulle::control
