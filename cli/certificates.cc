// SPDX-License-Identifier: Apache-2.0
#include "cli/certificates.h"

#include <algorithm>

#include "lib/base/text.h"
#include "lib/tls/inspect.h"

namespace tulle::cli {
namespace {

using tls::Certificate;

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string date(WallTime time) { return format_rfc3339(time); }

// What kinds of key the verifying code takes of everybody.
bool usable_anywhere(std::string_view key) {
  return key == "ECDSA P-256" || key == "ECDSA P-384" || key == "ECDSA P-521" || key == "Ed25519";
}

// One leaf for one end of a connection.
Result<void> try_leaf(const tls::Issuer& issuer, const std::vector<Certificate>& anchors) {
  const tls::PrivateKey key = tls::PrivateKey::generate();
  const auto csr =
      tls::Csr::from_der(as_bytes(tls::make_csr(key, "trial.serviceaccount.identity.invalid")));
  if (!csr) return csr.error();
  const auto leaf = tls::sign_leaf(issuer, *csr, {});
  if (!leaf) return leaf.error();
  std::vector<Certificate> between = issuer.chain;
  between.insert(between.begin(), issuer.certificate);
  for (const tls::Usage usage : {tls::Usage::Server, tls::Usage::Client}) {
    if (auto good = tls::verify_chain(*leaf, between, anchors, usage); !good) return good;
  }
  return {};
}

// Its number, if there are several: bundles are long and their certificates look alike.
std::string anchor_title(const GivenIssuer::Part& part, std::size_t index, std::size_t count) {
  if (count == 1) return part.name;
  return concat(part.name, ", certificate ", std::to_string(index + 1), " of ",
                std::to_string(count));
}

class Judge {
 public:
  explicit Judge(const GivenIssuer& given) : given_(given) {}

  IssuerVerdict run() {
    const Chain anchors = judge_anchors();
    const Chain issuer = judge_issuer();
    if (issuer.certificates.empty() || given_.key.pem.empty()) return std::move(out_);
    const IssuerKey key =
        read_issuer_key(issuer.first(), given_.certificate.name, given_.key.pem, given_.key.name);
    refuse(key.problem);
    // Of what is wrong by itself, the chain says nothing more.
    if (!key.key || !out_.problems.empty() || anchors.certificates.empty()) return std::move(out_);
    if (const std::string why = not_accepted(issuer, *key.key, anchors.certificates); !why.empty())
      refuse(concat(given_.certificate.name, " ", why, " ", given_.anchors.name));
    return std::move(out_);
  }

 private:
  void refuse(std::string problem) {
    if (!problem.empty()) out_.problems.push_back(std::move(problem));
  }
  void warn(std::string warning) {
    if (!warning.empty()) out_.warnings.push_back(std::move(warning));
  }

  Chain judge_anchors() {
    if (given_.anchors.pem.empty()) return {};
    Chain anchors = read_chain(given_.anchors.pem, given_.anchors.name);
    refuse(anchors.problem);
    const std::size_t count = anchors.certificates.size();
    for (std::size_t i = 0; i < count; ++i) {
      const Certificate& anchor = anchors.certificates[i];
      const std::string what = anchor_title(given_.anchors, i, count);
      if (!anchor.is_ca)
        refuse(concat(
            what,
            " is not of a CA that may sign certificates: give the root that signed the issuer"));
      refuse(unusable_anchor_key(what, anchor));
      refuse(outside_validity(what, anchor,
                              count == 1 ? "replace it, and have the issuer signed by the new one"
                                         : "take it out of the bundle"));
      if (anchor.not_after > wall_now())
        warn(ends_soon(what, anchor, ": add its successor to the bundle soon"));
    }
    return anchors;
  }

  Chain judge_issuer() {
    if (given_.certificate.pem.empty()) return {};
    Chain issuer = read_chain(given_.certificate.pem, given_.certificate.name);
    refuse(issuer.problem);
    if (issuer.certificates.empty()) return issuer;
    const Certificate& certificate = issuer.first();
    refuse(unusable_issuer_key(given_.certificate.name, certificate));
    refuse(outside_validity(given_.certificate.name, certificate, "renew it"));
    if (certificate.not_after > wall_now())
      warn(ends_soon(given_.certificate.name, certificate,
                     ": whoever made it must renew it before"));
    const auto& names = certificate.dns_names;
    if (std::find(names.begin(), names.end(), given_.identity) == names.end()) {
      std::string has;
      for (const std::string& name : names) has += concat(has.empty() ? "" : ", ", name);
      warn(concat(given_.certificate.name, " is for ", has.empty() ? "no DNS name" : has,
                  ", not for ", given_.identity,
                  ": if the trust domain or the namespace is wrong, correct it; the mesh works, "
                  "but Linkerd's own control plane would "
                  "refuse this issuer"));
    }
    return issuer;
  }

  const GivenIssuer& given_;
  IssuerVerdict out_;
};

}  // namespace

Chain read_chain(std::string_view pem, std::string_view where) {
  Chain out;
  if (trim(pem).empty()) {
    out.problem = concat(where, " holds no certificate");
    return out;
  }
  auto read = Certificate::from_pem(pem);
  if (read) {
    out.certificates = *std::move(read);
  } else {
    out.problem = concat(
        where, " cannot be read as PEM certificates",
        holds(pem, "PRIVATE KEY-----") && !holds(pem, "BEGIN CERTIFICATE-----")
            ? ": it is a private key; are the two swapped?"
        : holds(pem, "-----BEGIN ")
            ? ""
            : ": give text that begins with -----BEGIN CERTIFICATE----- (openssl x509 -inform "
              "der -in FILE makes it of DER)");
  }
  return out;
}

std::string outside_validity(std::string_view what, const Certificate& certificate,
                             std::string_view todo) {
  const WallTime now = wall_now();
  if (now < certificate.not_before)
    return concat(what, " is not valid before ", date(certificate.not_before),
                  ": are the clocks right? Else ", todo);
  if (now > certificate.not_after)
    return concat(what, " ended on ", date(certificate.not_after), ": ", todo);
  return "";
}

std::string ends_soon(std::string_view what, const Certificate& certificate,
                      std::string_view todo) {
  if (certificate.not_after - wall_now() >= kSoon) return "";
  return concat(what, " will expire on ", date(certificate.not_after), todo);
}

std::string unusable_anchor_key(std::string_view what, const Certificate& certificate) {
  const std::string key = tls::kind_of(certificate).key;
  if (usable_anywhere(key) || key == "RSA 2048" || key == "RSA 3072" || key == "RSA 4096")
    return "";
  return concat(what, " has a key of ", key, ": use ECDSA P-256 or RSA 2048 or 4096");
}

std::string unusable_issuer_key(std::string_view what, const Certificate& certificate) {
  const std::string key = tls::kind_of(certificate).key;
  return usable_anywhere(key) ? "" : concat(what, " has a key of ", key, ": use ECDSA P-256");
}

IssuerKey read_issuer_key(const Certificate& issuer, std::string_view certificate_where,
                          std::string_view key_pem, std::string_view key_where) {
  if (!issuer.is_ca) {
    return {std::nullopt,
            concat(certificate_where,
                   ": the certificate is none of a CA that may sign: make it with isCA: true and "
                   "the key usage cert sign")};
  }
  const auto key = tls::PrivateKey::from_pem(key_pem);
  if (!key) {
    return {std::nullopt,
            concat(key_where, ": the private key cannot be read",
                   holds(key_pem, "ENCRYPTED")
                       ? ", for it has a password: openssl pkey -in FILE takes it off"
                   : holds(key_pem, "BEGIN CERTIFICATE-----")
                       ? ": it is a certificate; are the two swapped?"
                       : ": bring one of PEM (PKCS#8, EC or RSA), without a password")};
  }
  if (!issuer.matches_key(*key)) {
    return {std::nullopt, concat(key_where, " and ", certificate_where,
                                 ": key and certificate do not belong together: give the key that "
                                 "the certificate was made for")};
  }
  return {*key, ""};
}

std::string not_accepted(const Chain& issuer, const tls::PrivateKey& key,
                         const std::vector<Certificate>& anchors) {
  if (!tls::verify_chain(issuer.first(), issuer.rest(), anchors, tls::Usage::Any))
    return "is not signed by any trust anchor: bring an issuer of that root (with what is between "
           "them in the same text), or put its root into";
  const auto good = try_leaf({issuer.first(), key, issuer.rest()}, anchors);
  if (good) return "";
  return concat("leads to a trust anchor, but proxies would not accept what it signs (",
                good.error().where,
                "): see path lengths, name constraints and extended key usages (server auth, "
                "client auth) of it and of");
}

IssuerVerdict judge(const GivenIssuer& given) { return Judge(given).run(); }

}  // namespace tulle::cli
