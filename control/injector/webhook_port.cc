// SPDX-License-Identifier: Apache-2.0
#include "control/injector/webhook_port.h"

#include <utility>

#include "lib/base/text.h"
#include "lib/h2/connection.h"
#include "lib/http1/connection.h"
#include "lib/tls/stream.h"

namespace tulle::control {
namespace {

constexpr double kSeconds[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5};

// Bytes that count against a bound for as long as this lives.
class Held {
 public:
  explicit Held(std::size_t& total) : total_(total) {}
  ~Held() { total_ -= mine_; }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  void add(std::size_t n) {
    mine_ += n;
    total_ += n;
  }

 private:
  std::size_t& total_;
  std::size_t mine_ = 0;
};

}  // namespace

WebhookPort::WebhookPort(net::Loop& loop, const log::Logger& log, Webhook& webhook,
                         std::function<tls::CredentialsPtr()> certificate, net::Drain& drain,
                         metrics::Registry& metrics, std::string_view name, Options options)
    : loop_(loop),
      log_(log),
      webhook_(webhook),
      certificate_(std::move(certificate)),
      drain_(drain),
      name_(name),
      options_(options),
      answers_(metrics.counter("tulle_control_webhook_answers",
                               "Answers of the webhooks by HTTP status",
                               metrics::Format::OpenMetrics)),
      latency_(metrics
                   .histogram("tulle_control_webhook_seconds",
                              "From the request's head to the answer", kSeconds,
                              metrics::Format::OpenMetrics)
                   .get({{"webhook", name}})) {}

Result<void> WebhookPort::listen(net::SocketFactory& sockets, net::SocketAddr at) {
  net::TcpOptions tcp;
  tcp.keepalive = 10s;
  tcp.user_timeout = 30s;
  auto listener = net::listen_tcp(loop_, sockets, at, tcp);
  if (!listener) return listener.error();
  listener_ = *std::move(listener);
  return {};
}

net::Task<void> WebhookPort::run() {
  for (;;) {
    Result<net::Accepted> accepted = co_await listener_->accept();
    if (!accepted) co_return;
    if (connections_.size() >= options_.max_connections) {
      accepted->stream->abort();
      continue;
    }
    connections_.spawn(serve(std::move(accepted->stream)));
  }
}

net::Task<void> WebhookPort::serve(std::unique_ptr<net::TcpStream> stream) {
  tls::CredentialsPtr credentials = certificate_();
  if (credentials == nullptr) {
    log_.warn("no certificate to serve with yet", {{"webhook", name_}});
    stream->abort();
    co_return;
  }
  const tls::ServerOptions options{.alpn = true, .request_client = false};
  const Deadline by = loop_.after(options_.handshake_timeout);
  net::StreamPtr inner = std::move(stream);
  tls::TlsResult session =
      co_await tls::accept_tls(std::move(inner), std::move(credentials), options, by);
  if (!session) {
    log_.debug("a handshake has failed", {{"webhook", name_}, {"reason", session.error().where}});
    co_return;
  }
  const bool http2 = (*session)->alpn() == "h2";
  net::StreamPtr secured = *std::move(session);
  if (http2) {
    h2::ServerOptions http;
    http.max_concurrent_streams = 100;
    co_await h2::serve(std::move(secured), handler_, http, drain_);
  } else {
    const http1::ServerOptions http;
    co_await http1::serve(std::move(secured), handler_, http, drain_);
  }
}

http::Response WebhookPort::refuse(std::uint16_t status, std::string_view text) {
  http::Response response = http::make_text_response(loop_, status, concat(text, "\n"));
  // What is left of the body is not read.
  response.close_connection = status == 413 || status == 408;
  return response;
}

net::Task<Result<http::Response>> WebhookPort::Handler::handle(http::Request request) {
  const TimePoint begun = monotonic_now();
  Result<http::Response> response = co_await port_.respond(std::move(request));
  if (response) {
    port_.answers_.get({{"webhook", port_.name_}, {"status", std::to_string(response->status)}})
        ->add();
  }
  port_.latency_->observe(std::chrono::duration<double>(monotonic_now() - begun).count());
  co_return response;
}

net::Task<Result<http::Response>> WebhookPort::respond(http::Request request) {
  const std::string_view path = request.path;
  if (request.method != "POST") co_return refuse(405, "only POST is answered here");
  if (!options_.any_path && path.substr(0, path.find('?')) != "/")
    co_return refuse(404, "only / is answered here");
  if (request.body_length && *request.body_length > options_.max_body) {
    co_return refuse(413, "the review is too large");
  }
  std::string body;
  Held held(held_);
  const Deadline by = loop_.after(options_.body_timeout);
  while (!request.body.ended()) {
    if (const Error* const failure = request.body.failure()) co_return *failure;
    const Bytes data = request.body.data();
    if (data.empty()) {
      const bool in_time = co_await request.body.changed(by);
      if (!in_time) co_return refuse(408, "the review did not come in time");
      continue;
    }
    if (body.size() + data.size() > options_.max_body)
      co_return refuse(413, "the review is too large");
    if (held_ + data.size() > options_.max_bodies)
      co_return refuse(503, "too many reviews at a time");
    held.add(data.size());
    body += as_text(data);
    request.body.consume(data.size());
  }
  if (body.empty()) co_return http::make_response(200);
  std::string problem;
  std::optional<Review> review = parse_review(body, problem);
  if (!review) {
    log_.warn("a review cannot be read", {{"webhook", name_}, {"reason", problem}});
    co_return refuse(400, concat("this is no AdmissionReview: ", problem));
  }
  std::string().swap(body);
  Review question = *std::move(review);
  review.reset();
  // What the answer is addressed with; the object goes to whoever answers.
  Review head;
  head.api_version = question.api_version;
  head.uid = question.uid;
  const Answer answer = co_await webhook_.answer(std::move(question));
  co_return http::make_text_response(loop_, 200, to_json(head, answer), "application/json");
}

Result<tls::CredentialsPtr> serving_credentials(std::vector<tls::Certificate> chain,
                                                tls::PrivateKey key) {
  tls::Credentials::Options options;
  options.own = tls::Credentials::Own{std::move(key), std::move(chain)};
  options.alpn = {"h2", "http/1.1"};
  options.verify_peers = false;
  return tls::Credentials::make(std::move(options));
}

}  // namespace tulle::control
