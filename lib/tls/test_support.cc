// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/test_support.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>

#include <algorithm>

#include "lib/tls/native.h"

namespace tulle::tls::test {

using native::Ptr;

Certificate Ca::leaf(std::string_view name, const PrivateKey& key,
                     const LeafOptions& options) const {
  const Result<Csr> csr = Csr::from_der(as_bytes(make_csr(key, name)));
  TULLE_CHECK(csr.has_value());
  Result<Certificate> made = sign_leaf(issuer, *csr, options);
  TULLE_CHECK(made.has_value());
  return *std::move(made);
}

CredentialsPtr Ca::for_name(std::string_view name, const LeafOptions& options,
                            std::vector<std::string> alpn, const Issuer* trusted) const {
  const PrivateKey key = PrivateKey::generate();
  Credentials::Options made;
  made.anchors = {trusted != nullptr ? trusted->certificate : anchor.certificate};
  made.own = Credentials::Own{key, {leaf(name, key, options), issuer.certificate}};
  made.alpn = std::move(alpn);
  Result<CredentialsPtr> credentials = Credentials::make(std::move(made));
  TULLE_CHECK(credentials.has_value());
  return *credentials;
}

CredentialsPtr Ca::for_leaf(Certificate leaf, const PrivateKey& key) const {
  Credentials::Options made;
  made.anchors = {anchor.certificate};
  made.own = Credentials::Own{key, {std::move(leaf), issuer.certificate}};
  Result<CredentialsPtr> credentials = Credentials::make(std::move(made));
  TULLE_CHECK(credentials.has_value());
  return *credentials;
}

CredentialsPtr Ca::anchors_only() const {
  return *Credentials::make({.anchors = {anchor.certificate}});
}

const Ca& ca() {
  static const Ca made;
  return made;
}

namespace {

Ptr<X509_EXTENSION> extension(int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, nullptr, nullptr, nullptr, nullptr, 0);
  Ptr<X509_EXTENSION> made(X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  TULLE_CHECK(made != nullptr);
  return made;
}

std::string der_of(std::uint8_t* data, int size) {
  TULLE_CHECK(size > 0);
  std::string out(native::text_of(data), static_cast<std::size_t>(size));
  OPENSSL_free(data);
  return out;
}

}  // namespace

Certificate odd_certificate(const Issuer& issuer, const PrivateKey& key, const Odd& odd) {
  const Ptr<X509> cert(X509_new());
  const std::int64_t now = native::unix_seconds(wall_now());
  X509_set_version(cert.get(), X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert.get()), 7);
  ASN1_TIME_set_posix(X509_getm_notBefore(cert.get()), now - 60);
  ASN1_TIME_set_posix(X509_getm_notAfter(cert.get()), now + 3600);
  const Ptr<X509> above = native::parse(as_bytes(issuer.certificate.der));
  X509_set_issuer_name(cert.get(), X509_get_subject_name(above.get()));
  X509_set_pubkey(cert.get(), key.native());
  const std::pair<int, const std::string*> extensions[] = {
      {NID_subject_alt_name, &odd.san},
      {NID_ext_key_usage, &odd.extended_usage},
      {NID_key_usage, &odd.usage},
      {NID_basic_constraints, &odd.constraints}};
  for (const auto& [nid, value] : extensions) {
    if (!value->empty()) X509_add_ext(cert.get(), extension(nid, *value).get(), -1);
  }
  TULLE_CHECK(X509_sign(cert.get(), issuer.key.native(), EVP_sha256()) > 0);
  std::uint8_t* data = nullptr;
  const int size = i2d_X509(cert.get(), &data);
  return *Certificate::from_der(as_bytes(der_of(data, size)));
}

std::string odd_csr(const PrivateKey& key, const std::vector<std::string>& common_names,
                    const std::string& san) {
  const Ptr<X509_REQ> req(X509_REQ_new());
  for (const std::string& name : common_names) {
    X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(req.get()), NID_commonName, MBSTRING_UTF8,
                               as_bytes(name).data(), static_cast<ossl_ssize_t>(name.size()), -1,
                               0);
  }
  X509_REQ_set_pubkey(req.get(), key.native());
  if (!san.empty()) {
    const Ptr<STACK_OF(X509_EXTENSION)> list(sk_X509_EXTENSION_new_null());
    TULLE_CHECK(bssl::PushToStack(list.get(), extension(NID_subject_alt_name, san)));
    X509_REQ_add_extensions(req.get(), list.get());
  }
  const EVP_MD* const digest =
      EVP_PKEY_id(key.native()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  TULLE_CHECK(X509_REQ_sign(req.get(), key.native(), digest) > 0);
  std::uint8_t* data = nullptr;
  const int size = i2d_X509_REQ(req.get(), &data);
  return der_of(data, size);
}

void deliver(Engine& from, Engine& to, std::size_t slice) {
  const Bytes all = from.outgoing().data();
  const std::size_t n = slice == 0 ? all.size() : std::min(slice, all.size());
  if (n == 0) return;
  to.feed(all.first(n));
  to.keep();
  from.outgoing().consume(n);
}

Pair handshake(Result<std::unique_ptr<Engine>> client, Result<std::unique_ptr<Engine>> server,
               std::size_t slice) {
  TULLE_CHECK(client.has_value() && server.has_value());
  Pair pair{*std::move(client), *std::move(server), Error{Errc::WouldBlock, ""},
            Error{Errc::WouldBlock, ""}};
  const auto step = [](Engine& engine, Result<void>& result) {
    if (!result && result.error().code == Errc::WouldBlock) result = engine.handshake();
  };
  for (int turn = 0; turn < 20'000; ++turn) {
    step(*pair.client, pair.client_result);
    deliver(*pair.client, *pair.server, slice);
    step(*pair.server, pair.server_result);
    deliver(*pair.server, *pair.client, slice);
  }
  return pair;
}

Pair handshake(CredentialsPtr client, CredentialsPtr server, const ClientOptions& options,
               const ServerOptions& server_options, std::size_t slice) {
  return handshake(Engine::connect(std::move(client), options),
                   Engine::accept(std::move(server), server_options), slice);
}

std::string read_all(Engine& engine, std::size_t buffer) {
  std::string out;
  std::vector<std::uint8_t> room(buffer);
  for (;;) {
    const Result<std::size_t> n = engine.read(room);
    if (!n || *n == 0) return out;
    out += as_text(Bytes(room.data(), *n));
  }
}

}  // namespace tulle::tls::test
