// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/anchors.h"

#include <openssl/evp.h>

#include <algorithm>

#include "lib/tls/native.h"

namespace tulle::tls {
namespace {

bool contains(const std::vector<Certificate>& list, const Certificate& wanted) {
  return std::any_of(list.begin(), list.end(),
                     [&](const Certificate& one) { return one.der == wanted.der; });
}

// Do both certify the same authority: one name, one key?
bool same_holder(const Certificate& a, const Certificate& b) {
  const native::Ptr<X509> one = native::parse(as_bytes(a.der));
  const native::Ptr<X509> other = native::parse(as_bytes(b.der));
  if (!one || !other) return false;
  const native::Ptr<EVP_PKEY> key(X509_get_pubkey(one.get()));
  const native::Ptr<EVP_PKEY> other_key(X509_get_pubkey(other.get()));
  return key && other_key && EVP_PKEY_cmp(key.get(), other_key.get()) == 1 &&
         X509_NAME_cmp(X509_get_subject_name(one.get()), X509_get_subject_name(other.get())) == 0;
}

}  // namespace

bool is_self_issued(const Certificate& anchor) {
  const native::Ptr<X509> cert = native::parse(as_bytes(anchor.der));
  return cert &&
         X509_NAME_cmp(X509_get_subject_name(cert.get()), X509_get_issuer_name(cert.get())) == 0;
}

std::vector<Certificate> vouched_anchors(const std::vector<Certificate>& offered,
                                         const std::vector<Certificate>& bridges,
                                         const std::vector<Certificate>& trusted) {
  std::vector<Certificate> believed = trusted;  // and what is found
  const auto vouches = [&](const Certificate& bridge, const Certificate& anchor) {
    return bridge.is_ca && bridge.der != anchor.der && same_holder(bridge, anchor) &&
           verify_chain(bridge, {}, believed, Usage::Any).has_value();
  };
  for (bool more = true; more;) {
    more = false;
    for (const Certificate& anchor : offered) {
      if (contains(believed, anchor) || !is_self_issued(anchor)) continue;
      const auto by = [&](const Certificate& bridge) { return vouches(bridge, anchor); };
      if (std::none_of(bridges.begin(), bridges.end(), by) &&
          std::none_of(offered.begin(), offered.end(), by)) {
        continue;
      }
      believed.push_back(anchor);
      more = true;
    }
  }
  std::vector<Certificate> out;
  for (const Certificate& anchor : offered) {
    if (contains(believed, anchor) && !contains(out, anchor)) out.push_back(anchor);
  }
  return out.empty() ? trusted : out;
}

}  // namespace tulle::tls
