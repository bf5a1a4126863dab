// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/client.h"

#include <algorithm>
#include <variant>

#include "lib/base/text.h"
#include "lib/http1/connection.h"
#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"

namespace tulle::k8s {
namespace {

// A silent API server is asked whether it lives, and given up if it does not answer.
constexpr Duration kPingInterval = 10s;
constexpr Duration kPingTimeout = 5s;
constexpr std::size_t kMaxRetryAfter = 300;

struct StatusBody {
  std::int32_t code = 0;
  std::string reason;
  std::string message;
};
template <typename V>
void describe(V& v, StatusBody& x) {
  v.field("code", x.code);
  v.field("reason", x.reason);
  v.field("message", x.message);
}

// What a list of the namespace kube-system says about the server.
struct Meta {
  std::string uid;
  std::string resource_version;
};
struct Item {
  Meta meta;
};
struct OneNamespace {
  Meta meta;
  std::vector<Item> items;
};
template <typename V>
void describe(V& v, Meta& x) {
  v.field("uid", x.uid);
  v.field("resourceVersion", x.resource_version);
}
template <typename V>
void describe(V& v, Item& x) {
  v.field("metadata", x.meta);
}
template <typename V>
void describe(V& v, OneNamespace& x) {
  v.field("metadata", x.meta);
  v.field("items", x.items);
}

template <typename T>
bool read_json(std::string_view json, T& into) {
  JsonSource source(json, JsonSource::Skipping::Unparsed);
  if (!source.next_document()) return false;
  Decoder decoder(source);
  decoder.read(into);
  return !decoder.failed();
}

ApiStatus no_answer(const Error& error) {
  ApiStatus status;
  status.error = error;
  return status;
}

ApiStatus status_of(const http::Response& response, std::string_view body) {
  ApiStatus status = parse_status(body);
  status.code = response.status;
  if (const auto after = response.headers.get("retry-after")) {
    if (const auto seconds = parse_number<std::uint32_t>(*after)) {
      status.retry_after = std::chrono::seconds(std::min<std::size_t>(*seconds, kMaxRetryAfter));
    }
  }
  return status;
}

}  // namespace

class ApiConnection {
 public:
  ApiConnection(std::unique_ptr<http::Client> client, h2::ClientConnection* http2)
      : client_(std::move(client)), http2_(http2) {}
  http::Client& client() noexcept { return *client_; }
  bool is_http2() const noexcept { return http2_ != nullptr; }
  // May begin another request.
  bool usable() const noexcept {
    return http2_ != nullptr && http2_->accepting() && http2_->available() != 0;
  }

 private:
  std::unique_ptr<http::Client> client_;
  h2::ClientConnection* http2_;
};

std::string ApiStatus::to_string() const {
  if (code == 0) {
    std::string out(error.where);
    if (error.os_errno != 0) out += concat(": errno ", std::to_string(error.os_errno));
    return concat(tulle::to_string(error.code), ": ", out);
  }
  std::string out = std::to_string(code);
  if (!reason.empty()) out += concat(" ", reason);
  if (!message.empty()) out += concat(": ", message);
  return out;
}

ApiStatus parse_status(std::string_view json) {
  StatusBody body;
  ApiStatus status;
  if (!read_json(json, body)) return status;
  status.code = body.code;
  status.reason = std::move(body.reason);
  status.message = std::move(body.message);
  return status;
}

ApiClient::ApiClient(net::Loop& loop, Dialer& dialer, ClusterAccess access, const log::Logger& log,
                     Options options)
    : loop_(loop),
      dialer_(dialer),
      access_(std::move(access)),
      log_(log),
      options_(std::move(options)),
      dialed_(loop) {
  if (!access_.token.file.empty()) {
    token_ = std::make_unique<dns::WatchedFile>(access_.token.file);
  }
}

ApiClient::~ApiClient() = default;

bool ApiClient::connected() const noexcept { return current_ != nullptr && current_->usable(); }

http::Request ApiClient::encode(const ApiRequest& request, bool http2) {
  http::Request out;
  out.method = request.method;
  out.path = concat(access_.prefix, request.path);
  const std::string authority = access_.authority();
  if (http2) {
    out.version = http::Version::Http2;
    out.scheme = "https";
    out.authority = authority;
  } else {
    out.headers.add("host", authority);
  }
  out.headers.add("accept", request.accept);
  out.headers.add("user-agent", options_.user_agent);
  for (const auto& [name, value] : options_.headers) {
    if (http::is_field_value(value)) out.headers.add(name, value);
  }
  std::string_view token = access_.token.text;
  if (token_ != nullptr) {
    token_->refresh();
    token = token_->text();
  }
  token = trim(token);
  if (http::is_field_value(token) && !token.empty()) {
    out.headers.add("authorization", concat("Bearer ", token));
  }
  if (!request.content_type.empty()) {
    out.headers.add("content-type", request.content_type);
    out.headers.add("content-length", std::to_string(request.body.size()));
    out.body = http::make_full_body(loop_, as_bytes(request.body));
    out.body_length = request.body.size();
  }
  return out;
}

net::Task<Result<ApiClient::Sent>> ApiClient::send(ApiRequest request, Deadline by) {
  ++stats_.requests;
  // A connection that goes away as we begin has processed nothing: once more, on another.
  Error last{Errc::Internal, ""};
  for (int attempt = 0; attempt < 2; ++attempt) {
    Result<ApiConnectionPtr> got = co_await connection(by);
    if (!got) {
      ++stats_.failures;
      co_return got.error();
    }
    ApiConnectionPtr connection = *std::move(got);
    http::Request encoded = encode(request, connection->is_http2());
    Result<http::Response> response = co_await connection->client().send(std::move(encoded), by);
    if (response) {
      Sent sent{std::move(connection), *std::move(response)};
      co_return std::move(sent);
    }
    last = response.error();
    if (last.code != Errc::Refused) break;
    if (current_ == connection) current_.reset();
  }
  ++stats_.failures;
  co_return last;
}

net::Task<Result<std::string>> ApiClient::read_body(http::BodyReader& body, Deadline by) {
  std::string out;
  for (;;) {
    const Bytes data = body.data();
    if (out.size() + data.size() > options_.max_body) {
      co_return Error{Errc::TooLarge, "read an answer of the API server"};
    }
    out += as_text(data);
    body.consume(data.size());
    if (body.ended()) co_return std::move(out);
    if (body.failure() != nullptr && body.data().empty()) co_return *body.failure();
    if (body.ready()) continue;
    const bool in_time = co_await body.changed(by);
    if (!in_time) co_return Error{Errc::Timeout, "read an answer of the API server"};
  }
}

net::Task<ApiResponse> ApiClient::call(ApiRequest request, Deadline by) {
  Result<Sent> sent = co_await send(std::move(request), by);
  if (!sent) {
    ApiResponse failed{no_answer(sent.error()), {}};
    co_return failed;
  }
  Result<std::string> body = co_await read_body(sent->response.body, by);
  if (!body) {
    ++stats_.failures;
    ApiResponse failed{no_answer(body.error()), {}};
    co_return failed;
  }
  ApiResponse out;
  if (sent->response.status >= 200 && sent->response.status < 300) {
    out.status.code = sent->response.status;
    out.body = *std::move(body);
  } else {
    out.status = status_of(sent->response, *body);
  }
  co_return out;
}

net::Task<std::variant<ApiStream, ApiStatus>> ApiClient::open(ApiRequest request, Deadline by) {
  using Out = std::variant<ApiStream, ApiStatus>;
  Result<Sent> sent = co_await send(std::move(request), by);
  if (!sent) {
    Out failed(no_answer(sent.error()));
    co_return failed;
  }
  if (sent->response.status == 200) {
    Out out(ApiStream{std::move(sent->connection), std::move(sent->response.body), epoch_});
    co_return out;
  }
  Result<std::string> body = co_await read_body(sent->response.body, by);
  Out out(status_of(sent->response, body ? std::string_view(*body) : std::string_view()));
  co_return out;
}

net::Task<std::variant<ApiClient::Upgraded, ApiStatus>> ApiClient::upgrade(
    std::string path, std::vector<std::pair<std::string, std::string>> headers, Deadline by) {
  using Out = std::variant<Upgraded, ApiStatus>;
  ++stats_.requests;
  ++stats_.dials;
  Result<Dialed> dialed = co_await dialer_.dial(Speak::Http1, by);
  if (!dialed) {
    ++stats_.failed_dials;
    ++stats_.failures;
    Out failed(no_answer(dialed.error()));
    co_return failed;
  }
  const auto connection = http1::ClientConnection::make(std::move(dialed->stream));
  ApiRequest request;
  request.path = std::move(path);
  request.accept = "*/*";
  http::Request encoded = encode(request, false);
  for (const auto& [name, value] : headers) encoded.headers.add(name, value);
  encoded.wants_upgrade = true;
  Result<http::Response> response = co_await connection->send(std::move(encoded), by);
  if (!response) {
    ++stats_.failures;
    Out failed(no_answer(response.error()));
    co_return failed;
  }
  if (response->upgraded != nullptr) {
    Out out(Upgraded{std::move(response->headers), std::move(response->upgraded)});
    co_return out;
  }
  Result<std::string> body = co_await read_body(response->body, by);
  Out out(status_of(*response, body ? std::string_view(*body) : std::string_view()));
  co_return out;
}

net::Task<Result<ApiConnectionPtr>> ApiClient::connection(Deadline by) {
  if (http1_) co_return co_await dial_once(by);
  for (;;) {
    if (current_ != nullptr && current_->usable()) co_return current_;
    if (!dialing_) {
      dialing_ = true;
      dial_error_.reset();
      scope_.spawn(dial());  // not ours: others wait for it, too
    }
    while (dialing_) {
      const bool told = co_await dialed_.wait(by);
      if (!told && by.passed(loop_.now())) {
        co_return Error{Errc::Timeout, "connect to the API server"};
      }
    }
    if (dial_error_) co_return *dial_error_;
    if (http1_) co_return co_await dial_once(by);
  }
}

net::Task<void> ApiClient::dial() {
  const Deadline by = loop_.after(options_.dial_timeout);
  Result<ApiConnectionPtr> dialed = co_await dial_once(by);
  if (dialed) {
    http1_ = !(*dialed)->is_http2();
    if (http1_) {
      current_.reset();
    } else {
      current_ = *std::move(dialed);
    }
  } else {
    dial_error_ = dialed.error();
  }
  dialing_ = false;
  dialed_.notify_all();
}

net::Task<Result<ApiConnectionPtr>> ApiClient::dial_once(Deadline by) {
  ++stats_.dials;
  Result<Dialed> dialed = co_await dialer_.dial(Speak::Http, by);
  if (!dialed) {
    ++stats_.failed_dials;
    http1_ = false;  // whoever answers next may speak HTTP/2
    const Result<ApiConnectionPtr> failed = dialed.error();
    report(failed);
    co_return failed;
  }
  ApiConnectionPtr made;
  if (dialed->http2) {
    h2::ClientOptions options;
    options.ping_interval = kPingInterval;
    options.ping_timeout = kPingTimeout;
    options.ping_while_idle = true;
    auto client = h2::ClientConnection::make(std::move(dialed->stream), options);
    h2::ClientConnection* const http2 = client.get();
    made = std::make_shared<ApiConnection>(std::move(client), http2);
    if (options_.check_continuity) co_await check(*made, by);
  } else {
    made = std::make_shared<ApiConnection>(http1::ClientConnection::make(std::move(dialed->stream)),
                                           nullptr);
  }
  report(made);
  co_return std::move(made);
}

void ApiClient::report(const Result<ApiConnectionPtr>& dialed) {
  if (dialed) {
    if (!reported_.empty()) log_.info("the API server answers again", {{"server", access_.url()}});
    reported_.clear();
    return;
  }
  std::string why = no_answer(dialed.error()).to_string();
  if (why == reported_) return;
  reported_ = std::move(why);
  log_.warn("the API server cannot be reached", {{"server", access_.url()}, {"reason", reported_}});
}

net::Task<void> ApiClient::check(ApiConnection& connection, Deadline by) {
  ApiRequest request;
  request.path = concat(path_of(kNamespaces), "?fieldSelector=metadata.name%3Dkube-system&limit=1");
  http::Request encoded = encode(request, true);
  Result<http::Response> response = co_await connection.client().send(std::move(encoded), by);
  if (!response || response->status != 200) co_return;
  Result<std::string> body = co_await read_body(response->body, by);
  OneNamespace found;
  if (!body || !read_json(*body, found)) co_return;
  const auto version = parse_number<std::uint64_t>(found.meta.resource_version);
  const std::string uid = found.items.empty() ? std::string() : found.items.front().meta.uid;
  const bool other = !cluster_.empty() && !uid.empty() && uid != cluster_;
  const bool older = version && *version < highest_seen_;
  if (other || older) {
    log_.warn(other ? "the API server is of another cluster now; everything is listed anew"
                    : "the API server went back in time; everything is listed anew",
              {{"server", access_.url()}});
    ++epoch_;
    highest_seen_ = 0;
  }
  if (!uid.empty()) cluster_ = uid;
  saw_version(found.meta.resource_version);
}

void ApiClient::saw_version(std::string_view resource_version) noexcept {
  const auto version = parse_number<std::uint64_t>(resource_version);
  if (version) highest_seen_ = std::max(highest_seen_, *version);
}

}  // namespace tulle::k8s
