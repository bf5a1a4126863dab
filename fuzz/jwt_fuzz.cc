// SPDX-License-Identifier: Apache-2.0
// Tokens as they come, and well-signed tokens with any claims. The first byte chooses.
#include "lib/base/check.h"
#include "lib/tls/jwt.h"

using namespace tulle;  // NOLINT: a program of one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const tls::PrivateKey key = tls::PrivateKey::generate();
  static const std::string pem = key.public_to_pem();
  if (size == 0) return 0;
  const std::string_view text = as_text({data + 1, size - 1});
  if (data[0] % 2 == 0) {
    TULLE_CHECK(!tls::verify_token(text, pem, "a"));  // nobody guesses a signature
    return 0;
  }
  const Result<tls::Token> token = tls::verify_token(tls::sign_claims(text, key), pem, "a");
  if (!token) return 0;
  TULLE_CHECK(!token->subject.empty() && token->expires > wall_now());
  // What was understood can be said again.
  tls::Token again = *token;
  const Result<tls::Token> reread = tls::verify_token(tls::sign_token(again, key), pem, "a");
  TULLE_CHECK(!reread ||
              (reread->subject == token->subject && reread->audience == token->audience));
  return 0;
}
