// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/engine.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "lib/net/address.h"
#include "lib/tls/session.h"

namespace tulle::tls {

struct Engine::Setup {
  CredentialsPtr credentials;
  ChooseCredentials choose;
  std::string expected;  // client: who the server must be
  NameRule names = NameRule::Workload;
  bool alpn = false;
  std::string_view prefer;  // server
  bool is_client = false;
  std::optional<Error> refused;  // why verification failed
};

// BoringSSL's callbacks. A session finds its engine through its BIO.
struct EngineHooks {
  static Engine& engine_of(const SSL* ssl) {
    return *static_cast<Engine*>(BIO_get_data(SSL_get_rbio(ssl)));
  }
  static int bio_read(BIO* bio, char* out, int size);
  static int bio_write(BIO* bio, const char* data, int size);
  static ssl_verify_result_t verify(SSL* ssl, std::uint8_t* alert);
  static ssl_select_cert_result_t choose(const SSL_CLIENT_HELLO* hello);
  static int select_alpn(SSL* ssl, const std::uint8_t** out, std::uint8_t* out_size,
                         const std::uint8_t* in, unsigned in_size, void* context);
  static void info(const SSL* ssl, int where, int value);
};

namespace {

constexpr std::uint16_t kHybrid = SSL_GROUP_X25519_MLKEM768;
constexpr std::uint32_t kRecordsPerKey = 1U << 23;

// What a record adds to its plaintext: header, content type, tag.
constexpr std::size_t kRecordOverhead = SSL3_RT_HEADER_LENGTH + 1 + 16;

const BIO_METHOD* bio_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tulle");
    TULLE_CHECK(made != nullptr);
    BIO_meth_set_read(made, EngineHooks::bio_read);
    BIO_meth_set_write(made, EngineHooks::bio_write);
    BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) -> long {
      return command == BIO_CTRL_FLUSH ? 1 : 0;
    });
    BIO_meth_set_create(made, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return made;
  }();
  return method;
}

void add_protocol(std::string_view protocol, std::string& list) {
  TULLE_CHECK(!protocol.empty() && protocol.size() <= 255);
  list += static_cast<char>(protocol.size());
  list += protocol;
}

std::uint8_t alert_for(const Error& error) {
  if (error.where.ends_with("expired")) return SSL_AD_CERTIFICATE_EXPIRED;
  if (error.where.ends_with("trusted anchor")) return SSL_AD_UNKNOWN_CA;
  if (error.where.ends_with("for this use")) return SSL_AD_UNSUPPORTED_CERTIFICATE;
  return SSL_AD_BAD_CERTIFICATE;
}

}  // namespace

int EngineHooks::bio_read(BIO* bio, char* out, int size) {
  Engine& engine = *static_cast<Engine*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const bool from_held = !engine.held_.empty();
  const Bytes from = from_held ? engine.held_.data() : engine.incoming_;
  if (from.empty()) {
    if (engine.ended_) return 0;
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t n = std::min(from.size(), static_cast<std::size_t>(size));
  std::memcpy(out, from.data(), n);
  if (from_held) {
    engine.held_.consume(n);
  } else {
    engine.incoming_ = engine.incoming_.subspan(n);
  }
  return static_cast<int>(n);
}

int EngineHooks::bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  static_cast<Engine*>(BIO_get_data(bio))
      ->outgoing_.append(std::string_view(data, static_cast<std::size_t>(size)));
  return size;
}

ssl_verify_result_t EngineHooks::verify(SSL* ssl, std::uint8_t* alert) {
  Engine& engine = engine_of(ssl);
  Engine::Setup& setup = *engine.setup_;
  Result<std::string> identity =
      setup.is_client ? setup.credentials->verify_server(ssl, setup.expected, setup.names)
                      : setup.credentials->verify_client(ssl);
  if (identity) {
    engine.peer_ = std::move(*identity);
    return ssl_verify_ok;
  }
  setup.refused = identity.error();
  *alert = alert_for(identity.error());
  return ssl_verify_invalid;
}

ssl_select_cert_result_t EngineHooks::choose(const SSL_CLIENT_HELLO* hello) {
  Engine::Setup& setup = *engine_of(hello->ssl).setup_;
  if (!setup.choose) return ssl_select_cert_success;
  const char* const sni = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
  CredentialsPtr chosen = setup.choose(sni != nullptr ? std::string_view(sni) : std::string_view());
  if (!chosen || !chosen->has_own()) return ssl_select_cert_error;
  if (SSL_set_SSL_CTX(hello->ssl, chosen->native()) == nullptr) return ssl_select_cert_error;
  if (!chosen->verifies_peers()) SSL_set_custom_verify(hello->ssl, SSL_VERIFY_NONE, verify);
  setup.credentials = std::move(chosen);
  return ssl_select_cert_success;
}

int EngineHooks::select_alpn(SSL* ssl, const std::uint8_t** out, std::uint8_t* out_size,
                             const std::uint8_t* in, unsigned in_size, void* /*context*/) {
  const Engine::Setup& setup = *engine_of(ssl).setup_;
  // BoringSSL has checked the list's form.
  const auto take = [&](std::string_view protocol) {
    for (unsigned at = 0; at < in_size; at += 1U + in[at]) {
      const Bytes offered(in + at + 1, in[at]);
      if (as_text(offered) != protocol) continue;
      *out = offered.data();
      *out_size = in[at];
      return true;
    }
    return false;
  };
  if (!setup.prefer.empty() && take(setup.prefer)) return SSL_TLSEXT_ERR_OK;
  if (!setup.alpn) return SSL_TLSEXT_ERR_NOACK;
  for (const std::string& protocol : setup.credentials->alpn()) {
    if (take(protocol)) return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void EngineHooks::info(const SSL* ssl, int where, int value) {
  // The upper byte is the alert's level.
  if ((where & SSL_CB_ALERT) != 0 && value >> 8 == SSL3_AL_FATAL) {
    engine_of(ssl).alert_ = static_cast<std::uint8_t>(value);
  }
}

namespace session {

void configure(ssl_ctx_st* context) {
  SSL_CTX_set_custom_verify(context, SSL_VERIFY_PEER, EngineHooks::verify);
  SSL_CTX_set_select_certificate_cb(context, EngineHooks::choose);
  SSL_CTX_set_alpn_select_cb(context, EngineHooks::select_alpn, nullptr);
  SSL_CTX_set_info_callback(context, EngineHooks::info);
}

}  // namespace session

Engine::Engine(std::unique_ptr<Setup> setup) : setup_(std::move(setup)) {
  ssl_ = SSL_new(setup_->credentials->native());
  TULLE_CHECK(ssl_ != nullptr);
  BIO* const bio = BIO_new(bio_method());
  TULLE_CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_shed_handshake_config(ssl_, 1);
}

Engine::~Engine() { SSL_free(ssl_); }

Result<std::unique_ptr<Engine>> Engine::connect(CredentialsPtr credentials,
                                                const ClientOptions& options) {
  if (!credentials) return Error{Errc::Tls, "connect TLS without anchors"};
  if (options.identity.empty()) return Error{Errc::Invalid, "connect TLS to nobody in particular"};
  auto setup = std::make_unique<Setup>();
  setup->credentials = std::move(credentials);
  setup->expected = options.identity;
  setup->names = options.names;
  setup->is_client = true;
  const Setup& made = *setup;
  std::unique_ptr<Engine> engine(new Engine(std::move(setup)));
  SSL_set_connect_state(engine->ssl_);
  if (!made.credentials->met_classic_server()) {
    TULLE_CHECK(SSL_set1_client_key_shares(engine->ssl_, &kHybrid, 1) == 1);
  }
  // RFC 6066 §3: addresses are no server names.
  if (!options.server_name.empty() && !net::IpAddr::parse(options.server_name) &&
      SSL_set_tlsext_host_name(engine->ssl_, options.server_name.c_str()) != 1) {
    return Error{Errc::Invalid, "use a server name"};
  }
  std::string list;
  if (!options.prefer.empty()) add_protocol(options.prefer, list);
  if (options.alpn) {
    for (const std::string& protocol : made.credentials->alpn()) add_protocol(protocol, list);
  }
  if (!list.empty()) {
    TULLE_CHECK(SSL_set_alpn_protos(engine->ssl_, as_bytes(list).data(), list.size()) == 0);
  }
  return engine;
}

void Engine::start_server(const ServerOptions& options) {
  setup_->alpn = options.alpn;
  setup_->prefer = options.prefer;
  SSL_set_accept_state(ssl_);
  if (!options.request_client || !setup_->credentials->verifies_peers()) {
    SSL_set_custom_verify(ssl_, SSL_VERIFY_NONE, EngineHooks::verify);
  }
}

Result<std::unique_ptr<Engine>> Engine::accept(CredentialsPtr credentials,
                                               const ServerOptions& options) {
  // Before the first certificate nothing can be proven.
  if (!credentials || !credentials->has_own()) {
    return Error{Errc::Tls, "accept TLS without a certificate"};
  }
  auto setup = std::make_unique<Setup>();
  setup->credentials = std::move(credentials);
  std::unique_ptr<Engine> engine(new Engine(std::move(setup)));
  engine->start_server(options);
  return engine;
}

Result<std::unique_ptr<Engine>> Engine::accept(ChooseCredentials choose,
                                               const ServerOptions& options) {
  // A session needs some context to begin with; the ClientHello replaces it.
  static const CredentialsPtr* const none =
      new CredentialsPtr(*Credentials::make(Credentials::Options{}));
  auto setup = std::make_unique<Setup>();
  setup->choose = std::move(choose);
  setup->credentials = *none;
  std::unique_ptr<Engine> engine(new Engine(std::move(setup)));
  engine->start_server(options);
  return engine;
}

void Engine::feed(Bytes ciphertext) {
  keep();
  incoming_ = ciphertext;
}

void Engine::keep() {
  held_.append(incoming_);
  incoming_ = {};
}

bool Engine::has_input() const noexcept {
  return !incoming_.empty() || !held_.empty() || SSL_has_pending(ssl_) == 1;
}

Error Engine::failure(int ssl_error, const char* where) {
  ERR_clear_error();
  if (setup_ && setup_->refused) {
    Error refused = *setup_->refused;
    refused.detail = alert_;
    return refused;
  }
  if (ssl_error == SSL_ERROR_SYSCALL && ended_) return {Errc::Reset, where};
  return {Errc::Tls, where, 0, alert_};
}

Result<void> Engine::handshake() {
  const int done = SSL_do_handshake(ssl_);
  if (done == 1) {
    if (setup_->is_client && SSL_get_group_id(ssl_) != kHybrid)
      setup_->credentials->meet_classic_server();
    setup_.reset();
    return {};
  }
  const int code = SSL_get_error(ssl_, done);
  if (code == SSL_ERROR_WANT_READ) return Error{Errc::WouldBlock, "TLS handshake"};
  return failure(code, "TLS handshake");
}

Result<std::size_t> Engine::read(MutableBytes into) {
  std::size_t total = 0;
  while (total < into.size()) {
    const std::size_t want = std::min<std::size_t>(into.size() - total, INT32_MAX);
    const int n = SSL_read(ssl_, into.data() + total, static_cast<int>(want));
    if (n > 0) {
      total += static_cast<std::size_t>(n);
      // One call gives one record: with room left and nothing to decrypt the next would find
      // nothing.
      if (static_cast<std::size_t>(n) < want && incoming_.empty() && held_.empty()) break;
      continue;
    }
    if (total != 0) break;  // the next call says what happened
    const int code = SSL_get_error(ssl_, n);
    if (code == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
    if (code == SSL_ERROR_WANT_READ) return Error{Errc::WouldBlock, "read TLS"};
    return failure(code, "read TLS");
  }
  return total;
}

Result<std::size_t> Engine::write(Bytes plaintext) {
  plaintext = plaintext.first(std::min(plaintext.size(), kMaxWrite));
  const std::size_t records =
      (plaintext.size() + SSL3_RT_MAX_PLAIN_LENGTH - 1) / SSL3_RT_MAX_PLAIN_LENGTH;
  if (records > 1) (void)outgoing_.prepare(plaintext.size() + records * kRecordOverhead);
  std::size_t taken = 0;
  while (taken < plaintext.size()) {
    const int n =
        SSL_write(ssl_, plaintext.data() + taken, static_cast<int>(plaintext.size() - taken));
    if (n <= 0) return failure(SSL_get_error(ssl_, n), "write TLS");
    taken += static_cast<std::size_t>(n);
    if (++records_ < kRecordsPerKey) continue;
    if (const Result<void> updated = update_key(); !updated) return updated.error();
  }
  return taken;
}

Result<void> Engine::update_key() {
  records_ = 0;
  if (SSL_key_update(ssl_, SSL_KEY_UPDATE_NOT_REQUESTED) != 1) {
    return failure(SSL_ERROR_SSL, "update a TLS key");
  }
  return {};
}

void Engine::close() {
  if (closed_) return;
  closed_ = true;
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

std::vector<std::string> Engine::peer_chain() const {
  std::vector<std::string> out;
  const STACK_OF(CRYPTO_BUFFER)* const chain = SSL_get0_peer_certificates(ssl_);
  for (std::size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    const CRYPTO_BUFFER* const one = sk_CRYPTO_BUFFER_value(chain, i);
    out.emplace_back(as_text({CRYPTO_BUFFER_data(one), CRYPTO_BUFFER_len(one)}));
  }
  return out;
}
std::string Engine::alpn() const {
  const std::uint8_t* data = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &data, &size);
  return std::string(as_text(Bytes(data, size)));
}

std::string Engine::group() const {
  const char* const name = SSL_get_group_name(SSL_get_group_id(ssl_));
  return name != nullptr ? name : "";
}

}  // namespace tulle::tls

// BoringSSL takes the buffer of a record from malloc for each read and gives it back at once;
// third_party/CMakeLists.txt leads these calls here, so that steady traffic reaches no allocator. A
// prefix keeps the size.
extern "C" {

void* tulle_record_alloc(std::size_t size) {
  constexpr std::size_t kPrefix = 16;  // keeps what follows aligned for any type
  if (size > SIZE_MAX - kPrefix) return nullptr;
  void* const whole = tulle::slab_alloc(size + kPrefix);
  *static_cast<std::size_t*>(whole) = size + kPrefix;
  return static_cast<char*>(whole) + kPrefix;
}

void tulle_record_free(void* block) {
  if (block == nullptr) return;
  void* const whole = static_cast<char*>(block) - 16;
  tulle::slab_free(whole, *static_cast<std::size_t*>(whole));
}

}  // extern "C"
