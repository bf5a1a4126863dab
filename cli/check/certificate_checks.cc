// SPDX-License-Identifier: Apache-2.0
// Anchors, issuer, and the certificates of the webhooks: are they there, do they fit, how long yet.
#include <algorithm>

#include "cli/certificates.h"
#include "cli/check/checks.h"
#include "lib/base/text.h"

namespace tulle::cli {
namespace {

using tls::Certificate;

// Entries of a Secret, decoded; "" if there is none or it is no base64.
std::string entry(const Answer& secret, std::string_view key) {
  return base64_decode(secret.value["data"][key].string()).value_or("");
}

Chain anchors_of(ClusterView& view) {
  const std::string where =
      concat("ConfigMap ", view.ns(), "/linkerd-identity-trust-roots, ca-bundle.crt");
  const Answer& roots =
      view.object(k8s::path_of(k8s::kConfigMaps, view.ns(), "linkerd-identity-trust-roots"));
  if (roots.missing())
    return {{},
            concat(where,
                   ": is not there; the control plane makes it, or with identity.externalCA "
                   "whoever brings the anchors (trust-manager): see their logs")};
  if (!roots.ok()) return {{}, concat(where, ": ", roots.problem)};
  return read_chain(roots.value["data"]["ca-bundle.crt"].string(), where);
}

struct IssuerView {
  std::string where;
  Chain chain;
  std::string key;
  bool by_cert_manager = false;
};

IssuerView issuer_of(ClusterView& view) {
  IssuerView out;
  const std::string& where = out.where = concat("Secret ", view.ns(), "/linkerd-identity-issuer");
  const Answer& secret =
      view.object(k8s::path_of(k8s::kSecrets, view.ns(), "linkerd-identity-issuer"));
  if (secret.missing()) {
    const bool brought =
        view.values()["identity"]["issuer"]["scheme"].string() == "kubernetes.io/tls";
    out.chain.problem = concat(
        where, " is not there; ",
        brought ? "cert-manager or whoever brings it has not written it: kubectl describe "
                  "certificate -n " +
                      view.ns()
                : std::string(
                      "the control plane makes it unless the chart was given one: see its logs"));
    return out;
  }
  if (!secret.ok()) {
    out.chain.problem = concat(where, ": ", secret.problem);
    return out;
  }
  out.by_cert_manager =
      secret.value["metadata"]["annotations"]["cert-manager.io/certificate-name"].is_string();
  std::string pem = entry(secret, "tls.crt");
  out.key = entry(secret, "tls.key");
  if (pem.empty()) {
    pem = entry(secret, "crt.pem");
    out.key = entry(secret, "key.pem");
  }
  out.chain = read_chain(pem, concat(where, " (tls.crt or crt.pem)"));
  return out;
}

template <typename Test>
Outcome each_anchor(ClusterView& view, Test test) {
  const Chain anchors = anchors_of(view);
  if (!anchors.problem.empty()) return fail(anchors.problem);
  std::vector<std::string> wrong;
  for (const Certificate& anchor : anchors.certificates) {
    std::string why = test(anchor, concat("the trust anchor ", anchor.fingerprint().substr(0, 16)));
    if (!why.empty()) wrong.push_back(std::move(why));
  }
  // With several in a bundle, one that serves is enough while another is leaving.
  return unless(lines_of("not all trust anchors are in order", wrong));
}

Outcome issuer_loads(ClusterView& view) {
  const IssuerView issuer = issuer_of(view);
  if (!issuer.chain.problem.empty()) return fail(issuer.chain.problem);
  const Chain anchors = anchors_of(view);
  if (!anchors.problem.empty()) return fail(anchors.problem);
  return unless(
      read_issuer_key(issuer.chain.first(), issuer.where, issuer.key, concat(issuer.where, ", key"))
          .problem);
}

// Does what it signs lead to an anchor, as proxies see it?
Outcome issuer_is_trusted(ClusterView& view) {
  const IssuerView issuer = issuer_of(view);
  if (!issuer.chain.problem.empty()) return fail(issuer.chain.problem);
  const Chain anchors = anchors_of(view);
  if (!anchors.problem.empty()) return fail(anchors.problem);
  const IssuerKey key =
      read_issuer_key(issuer.chain.first(), issuer.where, issuer.key, issuer.where);
  if (!key.key) return fail(key.problem);
  const std::string why = not_accepted(issuer.chain, *key.key, anchors.certificates);
  return unless(why.empty() ? ""
                            : concat("the issuer in ", issuer.where, " ", why, " ConfigMap ",
                                     view.ns(), "/linkerd-identity-trust-roots"));
}

Outcome issuer_is(ClusterView& view, const std::function<std::string(const IssuerView&)>& test) {
  const IssuerView issuer = issuer_of(view);
  return issuer.chain.problem.empty() ? unless(test(issuer)) : fail(issuer.chain.problem);
}

constexpr std::string_view kRenewIssuer =
    "renew it (cert-manager: kubectl describe certificate; its own one tulle renews: see the "
    "control plane's log)";

struct Webhook {
  const char* part;
  const char* collection;
};
constexpr Webhook kWebhooks[] = {{"proxy-injector", "mutatingwebhookconfigurations"},
                                 {"sp-validator", "validatingwebhookconfigurations"},
                                 {"policy-validator", "validatingwebhookconfigurations"}};

Chain webhook_chain(ClusterView& view, const Webhook& webhook) {
  const std::string name = concat("linkerd-", webhook.part, "-k8s-tls");
  const Answer& secret = view.object(k8s::path_of(k8s::kSecrets, view.ns(), name));
  if (secret.missing())
    return {{},
            concat("Secret ", view.ns(), "/", name,
                   " is not there; the control plane makes it, unless externalSecret is set: see "
                   "its log")};
  if (!secret.ok()) return {{}, concat("Secret ", view.ns(), "/", name, ": ", secret.problem)};
  return read_chain(entry(secret, "tls.crt"), concat("Secret ", view.ns(), "/", name, ", tls.crt"));
}

Outcome webhook_valid(ClusterView& view, const Webhook& webhook) {
  const Chain chain = webhook_chain(view, webhook);
  if (!chain.problem.empty()) return fail(chain.problem);
  const std::string what = concat("the certificate of linkerd-", webhook.part);
  if (std::string why = outside_validity(what, chain.first(),
                                         "see the control plane's log why it is not replaced, or "
                                         "renew it if externalSecret is set");
      !why.empty())
    return fail(why);
  const std::string host = concat("linkerd-", webhook.part, ".", view.ns(), ".svc");
  const auto& names = chain.first().dns_names;
  if (std::find(names.begin(), names.end(), host) == names.end())
    return fail(concat(what, " is not for ", host, " but for ", some_of(names)));
  const std::string name = concat("linkerd-", webhook.part, "-webhook-config");
  const Answer& configuration =
      view.object(concat("/apis/admissionregistration.k8s.io/v1/", webhook.collection, "/", name));
  if (!configuration.ok()) return fail(configuration.problem);
  for (const Value& each : configuration.value["webhooks"].items()) {
    const std::string bundle =
        base64_decode(each["clientConfig"]["caBundle"].string()).value_or("");
    const Chain cas = read_chain(bundle, concat(name, ", ", each["name"].string(), ": caBundle"));
    if (!cas.problem.empty())
      return fail(concat(cas.problem, "; the control plane writes it within 30 s: see its log"));
    if (!tls::verify_chain(chain.first(), chain.rest(), cas.certificates, tls::Usage::Server)) {
      return fail(concat(name, ", ", each["name"].string(),
                         ": caBundle does not lead to the certificate in Secret linkerd-",
                         webhook.part,
                         "-k8s-tls, so the API server will not believe the webhook; the control "
                         "plane mends that within 30 s, unless something else writes one of both"));
    }
  }
  return pass();
}

}  // namespace

Category identity_checks(ClusterView& view) {
  Category out{"linkerd-identity", {}};
  out.checks = {
      {"certificate config is valid", "l5d-identity-cert-config-valid", kFatal,
       [&view] { return issuer_loads(view); }},
      {"trust anchors are using supported crypto algorithm",
       "l5d-identity-trustAnchors-use-supported-crypto", kFatal,
       [&view] {
         return each_anchor(view, [](const Certificate& anchor, const std::string& what) {
           return unusable_anchor_key(what, anchor);
         });
       }},
      {"trust anchors are within their validity period", "l5d-identity-trustAnchors-are-time-valid",
       kFatal,
       [&view] {
         return each_anchor(view, [](const Certificate& anchor, const std::string& what) {
           return outside_validity(what, anchor, "replace it, or take it out of the bundle");
         });
       }},
      {"trust anchors are valid for at least 60 days",
       "l5d-identity-trustAnchors-not-expiring-soon", kWarning,
       [&view] {
         return each_anchor(view, [](const Certificate& anchor, const std::string& what) {
           return ends_soon(what, anchor, ": add its successor to the bundle now");
         });
       }},
      {"issuer cert is using supported crypto algorithm",
       "l5d-identity-issuer-cert-uses-supported-crypto", kFatal,
       [&view] {
         return issuer_is(view, [](const IssuerView& issuer) {
           return unusable_issuer_key("the issuer", issuer.chain.first());
         });
       }},
      {"issuer cert is within its validity period", "l5d-identity-issuer-cert-is-time-valid",
       kFatal,
       [&view] {
         return issuer_is(view, [](const IssuerView& issuer) {
           return outside_validity("the issuer's certificate", issuer.chain.first(), kRenewIssuer);
         });
       }},
      {"issuer cert is valid for at least 60 days", "l5d-identity-issuer-cert-not-expiring-soon",
       kWarning,
       [&view] {
         return issuer_is(view, [](const IssuerView& issuer) {
           return ends_soon("issuer certificate", issuer.chain.first(),
                            issuer.by_cert_manager ? "; cert-manager renews it, so a short life is "
                                                     "in order as long as its Certificate is Ready"
                                                   : ": renew it");
         });
       }},
      {"issuer cert is issued by the trust anchor",
       "l5d-identity-issuer-cert-issued-by-trust-anchor", kNone,
       [&view] { return issuer_is_trusted(view); }},
  };
  return out;
}

Category webhook_checks(ClusterView& view) {
  Category out{"linkerd-webhooks-and-apisvc-tls", {}};
  for (const Webhook& webhook : kWebhooks) {
    const std::string part = webhook.part;
    out.checks.push_back({concat(part, " webhook has valid cert"),
                          concat("l5d-", part, "-webhook-cert-valid"), kFatal | kRetry,
                          [&view, &webhook] { return webhook_valid(view, webhook); }});
    out.checks.push_back(
        {concat(part, " cert is valid for at least 60 days"),
         concat("l5d-", part, "-webhook-cert-not-expiring-soon"), kWarning, [&view, &webhook] {
           const Chain chain = webhook_chain(view, webhook);
           return unless(!chain.problem.empty()
                             ? chain.problem
                             : ends_soon(concat("certificate of linkerd-", webhook.part),
                                         chain.first(),
                                         ": see the control plane's log why it is not replaced"));
         }});
  }
  return out;
}

Category data_plane_identity_checks(ClusterView& view, const CheckFlags& flags) {
  const auto match = [&view, &flags] {
    const Chain now = anchors_of(view);
    if (!now.problem.empty()) return fail(now.problem);
    if (!view.pods().problem.empty()) return fail(view.pods().problem);
    Restarts restarts;
    std::map<std::string, bool>
        known;  // bundles that proxies started with: do they share an anchor?
    for (const PodView& pod : view.pods().items) {
      if (!pod.has_proxy || pod.ended() || pod.anchors.empty() ||
          (!flags.ns.empty() && pod.ns != flags.ns))
        continue;
      const auto [at, fresh] = known.try_emplace(pod.anchors, false);
      if (fresh) {
        for (const Certificate& anchor : read_chain(pod.anchors, "").certificates) {
          at->second |= std::any_of(now.certificates.begin(), now.certificates.end(),
                                    [&](const Certificate& each) {
                                      return each.der == anchor.der && each.not_after > wall_now();
                                    });
        }
      }
      if (!at->second) restarts.add(pod);
    }
    return unless(
        lines_of("pods were started with trust anchors of which none is valid and in use any more; "
                 "what runs has followed, a container that starts again may not. Restart them:",
                 restarts.commands()));
  };
  return {"linkerd-identity-data-plane",
          {{"data plane proxies certificate match CA",
            "l5d-identity-data-plane-proxies-certs-match-ca", kWarning, match}}};
}

}  // namespace tulle::cli
