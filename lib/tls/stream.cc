// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>

#include "lib/tls/session.h"

namespace tulle::tls {

// What a session keeps only until its handshake is over; the SSL points to it.
struct Handshake {
  TlsStream* stream = nullptr;
  CredentialsPtr credentials;
  ChooseCredentials choose;
  bool alpn = false;

  static net::Task<Result<std::unique_ptr<TlsStream>>> run(std::unique_ptr<TlsStream> stream,
                                                           std::unique_ptr<Handshake> state, Deadline by);
  static std::unique_ptr<TlsStream> make(net::StreamPtr inner, Handshake& state, bool client);
  static TlsStream& stream_of(SSL* ssl);
  static SSL* native(TlsStream& stream) { return stream.ssl_; }
  static void expect(TlsStream& stream, std::string identity) { stream.expected_ = std::move(identity); }
  static Result<std::string> check(TlsStream& stream, const Certificate& leaf);
  static int bio_read(BIO* bio, char* out, int size);
  static int bio_write(BIO* bio, const char* data, int size);
  static enum ssl_verify_result_t verify(SSL* ssl, std::uint8_t* alert);
  static int select_alpn(SSL* ssl, const std::uint8_t** out, std::uint8_t* out_size, const std::uint8_t* in,
                         unsigned in_size);
};

namespace {

Handshake* state_of(SSL* ssl) { return static_cast<Handshake*>(SSL_get_app_data(ssl)); }

long bio_ctrl(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD* bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tulle stream");
    BIO_meth_set_read(made, Handshake::bio_read);
    BIO_meth_set_write(made, Handshake::bio_write);
    BIO_meth_set_ctrl(made, bio_ctrl);
    BIO_meth_set_create(made, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return made;
  }();
  return method;
}

std::string wire_alpn(const std::vector<std::string>& protocols) {
  std::string out;
  for (const std::string& protocol : protocols) {
    out += static_cast<char>(protocol.size());
    out += protocol;
  }
  return out;
}

std::uint32_t last_alert() {
  const std::uint32_t error = ERR_peek_last_error();
  const int reason = ERR_GET_REASON(error);
  return reason >= SSL_AD_REASON_OFFSET ? static_cast<std::uint32_t>(reason - SSL_AD_REASON_OFFSET) : 0;
}

}  // namespace

int Handshake::bio_read(BIO* bio, char* out, int size) {
  auto& stream = *static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (stream.incoming_.empty()) {
    if (stream.inner_ended_) return 0;
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t n = std::min(stream.incoming_.size(), static_cast<std::size_t>(size));
  std::memcpy(out, stream.incoming_.data(), n);
  stream.incoming_ = stream.incoming_.subspan(n);
  return static_cast<int>(n);
}

int Handshake::bio_write(BIO* bio, const char* data, int size) {
  auto& stream = *static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  stream.outgoing_.append(std::string_view(data, static_cast<std::size_t>(size)));
  return size;
}

TlsStream& Handshake::stream_of(SSL* ssl) { return *static_cast<TlsStream*>(BIO_get_data(SSL_get_rbio(ssl))); }

Result<std::string> Handshake::check(TlsStream& stream, const Certificate& leaf) {
  if (stream.expected_.empty()) return leaf.identity();
  const auto same = [&](std::string_view name) {
    if (name.ends_with('.')) name.remove_suffix(1);
    return name == stream.expected_;
  };
  if (std::any_of(leaf.dns_names.begin(), leaf.dns_names.end(), same) ||
      std::find(leaf.uris.begin(), leaf.uris.end(), stream.expected_) != leaf.uris.end()) {
    return stream.expected_;
  }
  return Error{Errc::Unauthenticated, "certificate does not match TLS identity"};
}

enum ssl_verify_result_t Handshake::verify(SSL* ssl, std::uint8_t* alert) {
  TlsStream& stream = stream_of(ssl);
  const Handshake& state = *state_of(ssl);
  Result<std::string> identity = state.credentials->verify(ssl, stream.is_client_);
  if (identity) {
    stream.peer_ = std::move(*identity);
    return ssl_verify_ok;
  }
  stream.verify_failed_ = true;
  stream.verify_error_ = identity.error();
  *alert = SSL_AD_BAD_CERTIFICATE;
  return ssl_verify_invalid;
}

int Handshake::select_alpn(SSL* ssl, const std::uint8_t** out, std::uint8_t* out_size, const std::uint8_t* in,
                           unsigned in_size) {
  const Handshake& state = *state_of(ssl);
  if (!state.alpn) return SSL_TLSEXT_ERR_NOACK;
  for (unsigned at = 0; at < in_size; at += 1U + in[at]) {
    const std::string_view offered(reinterpret_cast<const char*>(in + at + 1), in[at]);
    for (const std::string& protocol : state.credentials->alpn()) {
      if (offered != protocol) continue;
      *out = in + at + 1;
      *out_size = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

namespace session {

void configure(ssl_ctx_st* context) {
  SSL_CTX_set_custom_verify(context, SSL_VERIFY_PEER, Handshake::verify);
  SSL_CTX_set_alpn_select_cb(
      context,
      [](SSL* ssl, const std::uint8_t** out, std::uint8_t* out_size, const std::uint8_t* in, unsigned in_size, void*) {
        return Handshake::select_alpn(ssl, out, out_size, in, in_size);
      },
      nullptr);
  SSL_CTX_set_select_certificate_cb(context, [](const SSL_CLIENT_HELLO* hello) {
    Handshake* const state = state_of(hello->ssl);
    if (!state->choose) return ssl_select_cert_success;
    const char* const sni = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
    state->credentials = state->choose(sni != nullptr ? std::string_view(sni) : std::string_view());
    if (!state->credentials || !state->credentials->has_own()) return ssl_select_cert_error;
    SSL_set_SSL_CTX(hello->ssl, state->credentials->native());
    return ssl_select_cert_success;
  });
}

Result<std::string> identity_for(ssl_st* ssl, const Certificate& leaf) {
  return Handshake::check(Handshake::stream_of(ssl), leaf);
}

}  // namespace session

TlsStream::~TlsStream() {
  if (ssl_ != nullptr) SSL_free(ssl_);
}

std::string TlsStream::alpn() const {
  const std::uint8_t* data = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &data, &size);
  return std::string(as_text(Bytes(data, size)));
}

std::string TlsStream::group() const {
  const char* const name = SSL_get_group_name(SSL_get_group_id(ssl_));
  return name != nullptr ? name : "";
}

Error TlsStream::tls_error(int code, const char* where) {
  if (verify_failed_) return verify_error_;
  if (inner_ended_ && code != SSL_ERROR_SSL) return {Errc::Reset, where};
  const Error error{Errc::Tls, where, 0, last_alert()};
  ERR_clear_error();
  return error;
}

// More ciphertext; WouldBlock, or 0 at the end of the inner stream.
Result<std::size_t> TlsStream::refill() {
  const MutableBytes room = loop().scratch2();
  Result<std::size_t> n = inner_->try_read(room);
  if (!n) return n;
  if (*n == 0) inner_ended_ = true;
  incoming_ = Bytes(room.data(), *n);
  return n;
}

Result<std::size_t> TlsStream::try_read(MutableBytes into) {
  std::size_t total = 0;
  for (;;) {
    while (total < into.size()) {
      const std::size_t want = std::min<std::size_t>(into.size() - total, INT32_MAX);
      const int n = SSL_read(ssl_, into.data() + total, static_cast<int>(want));
      if (n > 0) {
        total += static_cast<std::size_t>(n);
        continue;
      }
      const int code = SSL_get_error(ssl_, n);
      if (code == SSL_ERROR_WANT_READ) break;
      if (total != 0) return total;  // told at the next call
      if (code == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
      return tls_error(code, "read TLS");
    }
    // A key update is answered at once, so that the peer is not left waiting.
    if (!outgoing_.empty()) {
      const Result<void> flushed = try_flush();
      if (!flushed && flushed.error().code != Errc::WouldBlock) return flushed.error();
    }
    if (total == into.size() || (total != 0 && !io().readable)) return total;
    const Result<std::size_t> more = refill();
    if (!more) {
      if (total != 0 && more.error().code == Errc::WouldBlock) return total;
      return more.error();
    }
    if (total != 0 && *more == 0) return total;
  }
}

Result<std::size_t> TlsStream::try_write(Bytes bytes) {
  if (!outgoing_.empty()) {
    const Result<void> flushed = try_flush();
    if (!flushed) return flushed.error();
  }
  if (bytes.empty()) return std::size_t{0};
  // Up to four full records per write to the inner stream.
  const std::size_t most = std::min<std::size_t>(bytes.size(), 4 * SSL3_RT_MAX_PLAIN_LENGTH);
  std::size_t taken = 0;
  while (taken < most) {
    const int n = SSL_write(ssl_, bytes.data() + taken, static_cast<int>(most - taken));
    if (n <= 0) return tls_error(SSL_get_error(ssl_, n), "write TLS");
    taken += static_cast<std::size_t>(n);
  }
  const Result<void> flushed = try_flush();
  if (!flushed && flushed.error().code != Errc::WouldBlock) return flushed.error();
  return taken;
}

Result<void> TlsStream::try_flush() {
  while (!outgoing_.empty()) {
    const Result<std::size_t> n = inner_->try_write(outgoing_.data());
    if (!n) return n.error();
    outgoing_.consume(*n);
  }
  return inner_->try_flush();
}

Result<void> TlsStream::try_shutdown() {
  if (!sent_close_) {
    sent_close_ = true;
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  const Result<void> flushed = try_flush();
  if (!flushed) return flushed;
  return inner_->try_shutdown();
}

std::unique_ptr<TlsStream> Handshake::make(net::StreamPtr inner, Handshake& state, bool client) {
  SSL* const ssl = SSL_new(state.credentials->native());
  TULLE_CHECK(ssl != nullptr);
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(inner), ssl, state.credentials));
  stream->is_client_ = client;
  state.stream = stream.get();
  SSL_set_app_data(ssl, &state);
  BIO* const bio = BIO_new(bio_method());
  TULLE_CHECK(bio != nullptr);
  BIO_set_data(bio, stream.get());
  SSL_set_bio(ssl, bio, bio);
  SSL_set_shed_handshake_config(ssl, 1);
  return stream;
}

net::Task<Result<std::unique_ptr<TlsStream>>> Handshake::run(std::unique_ptr<TlsStream> stream,
                                                             std::unique_ptr<Handshake> state, Deadline by) {
  for (;;) {
    const int done = SSL_do_handshake(stream->ssl_);
    const int code = done == 1 ? SSL_ERROR_NONE : SSL_get_error(stream->ssl_, done);
    // An alert goes out also when the handshake has failed.
    Result<void> flushed = stream->try_flush();
    if (done != 1 && code != SSL_ERROR_WANT_READ) co_return stream->tls_error(code, "TLS handshake");
    while (!flushed) {
      if (flushed.error().code != Errc::WouldBlock) co_return flushed.error();
      const bool in_time = co_await net::writable(stream->io(), by);
      if (!in_time) co_return Error{Errc::Timeout, "TLS handshake"};
      flushed = stream->try_flush();
    }
    if (done == 1) break;
    Result<std::size_t> more = stream->refill();
    while (!more) {
      if (more.error().code != Errc::WouldBlock) co_return more.error();
      const bool in_time = co_await net::readable(stream->io(), by);
      if (!in_time) co_return Error{Errc::Timeout, "TLS handshake"};
      more = stream->refill();
    }
    if (*more == 0) co_return Error{Errc::Reset, "TLS handshake"};
  }
  // Application bytes may have come with the last handshake message: keep them for the first read.
  if (!stream->incoming_.empty()) {
    ByteQueue held;
    held.append(stream->incoming_);
    stream->incoming_ = {};
    stream->inner_ = std::make_unique<net::ReplayStream>(std::move(stream->inner_), std::move(held));
  }
  SSL_set_app_data(stream->ssl_, nullptr);
  stream->credentials_.reset();
  co_return std::move(stream);
}

net::Task<Result<std::unique_ptr<TlsStream>>> accept_tls(net::StreamPtr inner, CredentialsPtr credentials,
                                                         ServerOptions options, Deadline by) {
  if (!credentials || !credentials->has_own()) {
    // Before the first certificate nothing can be proven.
    co_return Error{Errc::Tls, "accept TLS without a certificate"};
  }
  auto state = std::make_unique<Handshake>();
  state->credentials = std::move(credentials);
  state->alpn = options.alpn;
  auto stream = Handshake::make(std::move(inner), *state, false);
  SSL* const ssl = Handshake::native(*stream);
  SSL_set_accept_state(ssl);
  if (!options.request_client) SSL_set_custom_verify(ssl, SSL_VERIFY_NONE, Handshake::verify);
  co_return co_await Handshake::run(std::move(stream), std::move(state), by);
}

net::Task<Result<std::unique_ptr<TlsStream>>> accept_tls(net::StreamPtr inner, ChooseCredentials choose,
                                                         ServerOptions options, Deadline by) {
  auto state = std::make_unique<Handshake>();
  state->choose = std::move(choose);
  // Any credentials start the session; the SNI replaces them.
  state->credentials = state->choose("");
  if (!state->credentials) {
    Result<CredentialsPtr> none = Credentials::make({});
    if (!none) co_return none.error();
    state->credentials = std::move(*none);
  }
  state->alpn = options.alpn;
  auto stream = Handshake::make(std::move(inner), *state, false);
  SSL* const ssl = Handshake::native(*stream);
  SSL_set_accept_state(ssl);
  if (!options.request_client) SSL_set_custom_verify(ssl, SSL_VERIFY_NONE, Handshake::verify);
  co_return co_await Handshake::run(std::move(stream), std::move(state), by);
}

net::Task<Result<std::unique_ptr<TlsStream>>> connect_tls(net::StreamPtr inner, CredentialsPtr credentials,
                                                          ClientOptions options, Deadline by) {
  if (!credentials) co_return Error{Errc::Tls, "connect TLS without anchors"};
  auto state = std::make_unique<Handshake>();
  state->credentials = std::move(credentials);
  auto stream = Handshake::make(std::move(inner), *state, true);
  SSL* const ssl = Handshake::native(*stream);
  SSL_set_connect_state(ssl);
  Handshake::expect(*stream, options.identity);
  if (!options.server_name.empty() && SSL_set_tlsext_host_name(ssl, options.server_name.c_str()) != 1) {
    co_return Error{Errc::Invalid, "use a server name"};
  }
  if (options.alpn) {
    const std::string protocols = wire_alpn(state->credentials->alpn());
    SSL_set_alpn_protos(ssl, reinterpret_cast<const std::uint8_t*>(protocols.data()), protocols.size());
  }
  co_return co_await Handshake::run(std::move(stream), std::move(state), by);
}

}  // namespace tulle::tls
