// SPDX-License-Identifier: Apache-2.0
#include "control/digest.h"

#include <sys/random.h>

#include <algorithm>
#include <string>

#include "lib/base/check.h"
#include "lib/tls/cert.h"

namespace tulle::control {
namespace {

std::string make_key() {
  std::string key(32, '\0');
  TULLE_CHECK(::getrandom(key.data(), key.size(), 0) == static_cast<ssize_t>(key.size()));
  return key;
}

}  // namespace

Digest digest_of(std::string_view bytes) {
  static const std::string key = make_key();
  // One buffer for all calls: the control plane has one thread, and states are looked at often.
  static thread_local std::string text;
  text = key;
  text += bytes;
  const auto whole = tls::sha256(text);
  if (text.capacity() > 65536) text = {};
  Digest out;
  std::copy_n(whole.begin(), out.size(), out.begin());
  return out;
}

}  // namespace tulle::control
