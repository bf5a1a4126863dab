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

// Reviews are answered in moments: a connection that holds one for long is no API server's.
constexpr net::Admission::Limits kLimits{.total = 512, .per_source = 128, .busy_gives_way = true};
constexpr Duration kIdleTime = 5min;

// Bytes of a review that is being answered.
class Answering {
 public:
  Answering(PortBounds& bounds, std::size_t bytes) : bounds_(bounds), bytes_(bytes) {
    bounds_.answering += bytes_;
  }
  ~Answering() { bounds_.answering -= bytes_; }
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

 private:
  PortBounds& bounds_;
  const std::size_t bytes_;
};

}  // namespace

// A review that is on its way. When it gives way, what came is freed at once; whoever waits for the
// rest sees it with the next piece, or when the time is over.
struct WebhookPort::Body final : public net::HeldBytes::Holder {
  Body(PortBounds& bounds, const net::IpAddr& client) : Holder(&bounds.reviews, client) {}
  void append(Bytes data) {
    text += as_text(data);
    hold(text.capacity());
  }
  std::string text;
  bool gone = false;

 private:
  void give_way() override {
    gone = true;
    std::string().swap(text);
  }
};

WebhookPort::WebhookPort(net::Loop& loop, const log::Logger& log, Webhook& webhook,
                         std::function<tls::CredentialsPtr()> certificate, net::Drain& drain,
                         metrics::Registry& metrics, PortBounds& bounds, std::string_view name,
                         Options options)
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
                   .get({{"webhook", name}})),
      bounds_(bounds),
      admission_(kLimits, bounds.counters(name)) {}

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
    const net::IpAddr client = accepted->client.ip;
    auto guest = net::GuestStream::make(admission_, &bounds_.unfinished, *std::move(accepted));
    if (guest != nullptr) connections_.spawn(serve(std::move(guest), client));
  }
}

net::Task<void> WebhookPort::serve(std::unique_ptr<net::GuestStream> stream, net::IpAddr client) {
  net::GuestStream& guest = *stream;
  tls::CredentialsPtr credentials = certificate_();
  if (credentials == nullptr) {
    log_.warn("no certificate to serve with yet", {{"webhook", name_}});
    stream->abort();
    co_return;
  }
  const tls::ServerOptions options{.alpn = true, .request_client = false};
  const Deadline by = loop_.after(kHeadTime);
  net::StreamPtr inner = std::move(stream);
  tls::TlsResult session =
      co_await tls::accept_tls(std::move(inner), std::move(credentials), options, by);
  if (!session) {
    log_.debug("a handshake has failed", {{"webhook", name_}, {"reason", session.error().where}});
    co_return;
  }
  const bool http2 = (*session)->alpn() == "h2";
  net::StreamPtr secured = *std::move(session);
  guest.arrival().over();
  net::Guard guard;
  guard.heads = &bounds_.unfinished;
  guard.client = client;
  guard.place = &guest;
  guard.head_time = kHeadTime;
  guard.idle_time = kIdleTime;
  Handler handler(*this, client);
  if (http2) {
    h2::ServerOptions http;
    http.max_concurrent_streams = 100;
    http.guard = guard;
    co_await h2::serve(std::move(secured), handler, http, drain_);
  } else {
    http1::ServerOptions http;
    http.guard = guard;
    co_await http1::serve(std::move(secured), handler, http, drain_);
  }
}

http::Response WebhookPort::refuse(std::uint16_t status) {
  const std::string_view text = status == 400   ? "the review broke off"
                                : status == 404 ? "only / is answered here"
                                : status == 405 ? "only POST is answered here"
                                : status == 408 ? "the review did not come in time"
                                : status == 413 ? "the review is too large"
                                                : "too many reviews at a time";
  http::Response response = http::make_text_response(loop_, status, concat(text, "\n"));
  // What is left of the body is not read.
  response.close_connection = status == 413 || status == 408;
  return response;
}

net::Task<Result<http::Response>> WebhookPort::Handler::handle(http::Request request) {
  const TimePoint begun = monotonic_now();
  Result<http::Response> response = co_await port_.respond(std::move(request), client_);
  if (response) {
    port_.answers_.get({{"webhook", port_.name_}, {"status", std::to_string(response->status)}})
        ->add();
  }
  port_.latency_->observe(std::chrono::duration<double>(monotonic_now() - begun).count());
  co_return response;
}

// 0 when all of it has come.
net::Task<std::uint16_t> WebhookPort::read_body(http::BodyReader body, Body* into) {
  const Deadline by = loop_.after(options_.body_timeout);
  while (!body.ended()) {
    if (into->gone) co_return 503;
    if (body.failure() != nullptr) co_return 400;
    const Bytes data = body.data();
    if (data.empty()) {
      const bool in_time = co_await body.changed(by);
      if (!in_time) co_return 408;
      continue;
    }
    if (into->text.size() + data.size() > options_.max_body) co_return 413;
    into->append(data);
    body.consume(data.size());
  }
  if (into->gone) co_return 503;
  into->hold(0);
  if (bounds_.answering + into->text.size() > bounds_.max_answering) co_return 503;
  co_return 0;
}

net::Task<Result<http::Response>> WebhookPort::respond(http::Request request, net::IpAddr client) {
  const std::string_view path = request.path;
  if (request.method != "POST") co_return refuse(405);
  if (!options_.any_path && path.substr(0, path.find('?')) != "/") co_return refuse(404);
  if (request.body_length && *request.body_length > options_.max_body) co_return refuse(413);
  Body body(bounds_, client);
  http::BodyReader reader = std::move(request.body);
  const std::uint16_t refused = co_await read_body(std::move(reader), &body);
  if (refused != 0) co_return refuse(refused);
  if (body.text.empty()) co_return http::make_response(200);
  const Answering answering(bounds_, body.text.size());
  std::string problem;
  std::optional<Review> review = parse_review(body.text, problem);
  if (!review) {
    log_.warn("a review cannot be read", {{"webhook", name_}, {"reason", problem}});
    co_return http::make_text_response(loop_, 400,
                                       concat("this is no AdmissionReview: ", problem, "\n"));
  }
  std::string().swap(body.text);
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
