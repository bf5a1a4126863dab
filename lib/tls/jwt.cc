// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/jwt.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <algorithm>
#include <optional>

#include "lib/base/text.h"

namespace tulle::tls {
namespace {

constexpr std::size_t kMaxToken = 16'384;

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out += hex(as_bytes(std::string_view(&c, 1)));
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

// One JSON object, read strictly: its members that are strings, integers or arrays of strings are
// told, others are skipped. No member may stand twice.
class Json {
 public:
  explicit Json(std::string_view text) : left_(text) {}

  template <typename OnString, typename OnNumber, typename OnArray>
  bool object(OnString on_string, OnNumber on_number, OnArray on_array) {
    if (!eat('{')) return false;
    if (eat('}')) return at_end();
    std::vector<std::string> seen;
    do {
      std::string key;
      if (!string(key) || !eat(':')) return false;
      if (std::find(seen.begin(), seen.end(), key) != seen.end()) return false;
      seen.push_back(key);
      space();
      const std::string_view start = left_;
      std::string text;
      std::vector<std::string> texts;
      if (!start.empty() && start.front() == '"') {
        if (!string(text)) return false;
        on_string(key, text);
      } else if (strings(texts)) {
        on_array(key, texts);
      } else {
        left_ = start;
        if (!skip(0)) return false;
        const auto number =
            parse_number<std::int64_t>(start.substr(0, start.size() - left_.size()));
        if (number) on_number(key, *number);
      }
    } while (eat(','));
    return eat('}') && at_end();
  }

 private:
  static constexpr int kMaxDepth = 8;
  void space() {
    const auto end = left_.find_first_not_of(" \t\r\n");
    left_.remove_prefix(std::min(end, left_.size()));
  }
  bool eat(char c) {
    space();
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  bool at_end() {
    space();
    return left_.empty();
  }
  bool string(std::string& out) {
    if (!eat('"')) return false;
    while (!left_.empty()) {
      const char c = left_.front();
      left_.remove_prefix(1);
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return false;
      }
    }
    return false;
  }
  bool escape(std::string& out) {
    if (left_.empty()) return false;
    const char c = left_.front();
    left_.remove_prefix(1);
    switch (c) {
      case '"':
      case '\\':
      case '/': out += c; return true;
      case 'b': out += '\b'; return true;
      case 'f': out += '\f'; return true;
      case 'n': out += '\n'; return true;
      case 'r': out += '\r'; return true;
      case 't': out += '\t'; return true;
      case 'u': break;
      default: return false;
    }
    const auto code = parse_number<std::uint16_t>(left_.substr(0, 4), 16);
    if (!code || left_.size() < 4 || *code >= 0x80) return false;  // what we name is ASCII
    left_.remove_prefix(4);
    out += static_cast<char>(*code);
    return true;
  }
  bool strings(std::vector<std::string>& out) {
    if (!eat('[')) return false;
    if (eat(']')) return true;
    do {
      if (!string(out.emplace_back())) return false;
    } while (eat(','));
    return eat(']');
  }
  bool skip(int depth) {
    if (depth > kMaxDepth) return false;
    space();
    if (left_.empty()) return false;
    const char c = left_.front();
    std::string ignored;
    if (c == '"') return string(ignored);
    if (c == '{' || c == '[') {
      const char close = c == '{' ? '}' : ']';
      left_.remove_prefix(1);
      if (eat(close)) return true;
      do {
        if (c == '{' && (!string(ignored) || !eat(':'))) return false;
        if (!skip(depth + 1)) return false;
      } while (eat(','));
      return eat(close);
    }
    for (const std::string_view word : {"true", "false", "null"}) {
      if (!left_.starts_with(word)) continue;
      left_.remove_prefix(word.size());
      return true;
    }
    const auto end = std::min(left_.find_first_not_of("0123456789+-.eE"), left_.size());
    left_.remove_prefix(end);
    return end != 0;
  }
  std::string_view left_;
};

std::string digest_of(std::string_view text) {
  std::uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof digest);
}

std::int64_t unix_seconds(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

// Dates beyond what nanoseconds hold (2262) mean "for ever".
WallTime to_wall(std::int64_t seconds) {
  return WallTime{std::chrono::seconds{std::clamp<std::int64_t>(seconds, 0, 9'000'000'000)}};
}

bool is_p256(const EC_KEY* key) {
  return key != nullptr && EC_GROUP_get_curve_name(EC_KEY_get0_group(key)) == NID_X9_62_prime256v1;
}

}  // namespace

std::string sign_token(const Token& token, const PrivateKey& key) {
  std::string body = "{\"sub\":";
  append_json(body, token.subject);
  body += ",\"aud\":[";
  for (std::size_t i = 0; i < token.audience.size(); ++i) {
    if (i != 0) body += ',';
    append_json(body, token.audience[i]);
  }
  body += "],\"nbf\":";
  append_number(body, unix_seconds(token.not_before));
  body += ",\"iat\":";
  append_number(body, unix_seconds(token.not_before));
  body += ",\"exp\":";
  append_number(body, unix_seconds(token.expires));
  for (const auto& [name, value] : token.claims) {
    body += ',';
    append_json(body, name);
    body += ':';
    append_json(body, value);
  }
  body += '}';
  return sign_claims(body, key);
}

std::string sign_claims(std::string_view json, const PrivateKey& key) {
  static constexpr std::string_view kHead = R"({"alg":"ES256","typ":"JWT"})";
  const std::string text =
      concat(base64url_encode(as_bytes(kHead)), ".", base64url_encode(as_bytes(json)));
  const std::string digest = digest_of(text);
  const EC_KEY* const ec = EVP_PKEY_get0_EC_KEY(key.native());
  TULLE_CHECK(is_p256(ec));
  const bssl::UniquePtr<ECDSA_SIG> signature(
      ECDSA_do_sign(as_bytes(digest).data(), digest.size(), ec));
  TULLE_CHECK(signature != nullptr);
  std::uint8_t raw[64];
  TULLE_CHECK(BN_bn2bin_padded(raw, 32, ECDSA_SIG_get0_r(signature.get())) == 1);
  TULLE_CHECK(BN_bn2bin_padded(raw + 32, 32, ECDSA_SIG_get0_s(signature.get())) == 1);
  return concat(text, ".", base64url_encode(Bytes(raw, sizeof raw)));
}

Result<Token> verify_token(std::string_view text, std::string_view public_key_pem,
                           std::string_view audience) {
  text = trim(text);
  if (text.size() > kMaxToken) return Error{Errc::Invalid, "read a token: too large"};
  const auto first = text.find('.');
  const auto last = text.rfind('.');
  if (first == std::string_view::npos || first == last)
    return Error{Errc::Invalid, "read a token: not three parts"};
  const auto head = base64_decode(text.substr(0, first));
  const auto body = base64_decode(text.substr(first + 1, last - first - 1));
  const auto raw = base64_decode(text.substr(last + 1));
  if (!head || !body || !raw) return Error{Errc::Invalid, "read a token: not base64url"};
  std::string algorithm;
  bool extended = false;  // RFC 7515 §4.1.11: extensions that must be understood; we know none
  const auto ignore_number = [](const std::string&, std::int64_t) {};
  const auto on_array = [&](const std::string& key, const std::vector<std::string>&) {
    extended = extended || key == "crit";
  };
  const bool head_ok = Json(*head).object(
      [&](const std::string& key, const std::string& value) {
        if (key == "alg") algorithm = value;
      },
      ignore_number, on_array);
  if (!head_ok || extended || algorithm != "ES256")
    return Error{Errc::Invalid, "read a token: not signed with ES256"};

  const bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(public_key_pem.data(), static_cast<ossl_ssize_t>(public_key_pem.size())));
  const bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  const EC_KEY* const ec = key ? EVP_PKEY_get0_EC_KEY(key.get()) : nullptr;
  ERR_clear_error();
  if (!is_p256(ec)) return Error{Errc::Internal, "read the token key"};
  if (raw->size() != 64) return Error{Errc::Unauthenticated, "check a token: bad signature"};
  const bssl::UniquePtr<ECDSA_SIG> signature(ECDSA_SIG_new());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(raw->data());
  ECDSA_SIG_set0(signature.get(), BN_bin2bn(bytes, 32, nullptr),
                 BN_bin2bn(bytes + 32, 32, nullptr));
  const std::string digest = digest_of(text.substr(0, last));
  const bool good =
      ECDSA_do_verify(as_bytes(digest).data(), digest.size(), signature.get(), ec) == 1;
  ERR_clear_error();
  if (!good) {
    return Error{Errc::Unauthenticated, "check a token: bad signature"};
  }

  Token token;
  std::optional<std::int64_t> expires;
  std::int64_t not_before = 0;
  const bool body_ok = Json(*body).object(
      [&](const std::string& name, const std::string& value) {
        if (name == "sub") {
          token.subject = value;
        } else if (name == "aud") {
          token.audience.push_back(value);
        } else {
          token.claims[name] = value;
        }
      },
      [&](const std::string& name, std::int64_t value) {
        if (name == "exp") expires = value;
        if (name == "nbf") not_before = value;
      },
      [&](const std::string& name, const std::vector<std::string>& values) {
        if (name == "aud") token.audience = values;
      });
  if (!body_ok || token.subject.empty() || !expires)
    return Error{Errc::Invalid, "read a token: malformed claims"};
  const std::int64_t now = unix_seconds(wall_now());
  if (now >= *expires) return Error{Errc::Unauthenticated, "check a token: expired"};
  if (now + 30 < not_before) return Error{Errc::Unauthenticated, "check a token: not valid yet"};
  if (std::find(token.audience.begin(), token.audience.end(), audience) == token.audience.end()) {
    return Error{Errc::Unauthenticated, "check a token: wrong audience"};
  }
  token.not_before = to_wall(not_before);
  token.expires = to_wall(*expires);
  return token;
}

}  // namespace tulle::tls
