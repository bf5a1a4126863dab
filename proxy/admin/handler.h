// SPDX-License-Identifier: Apache-2.0
// The answers of the admin port (docs/reference/proxy.md §1.6). Requests that change anything are
// answered to loopback only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/http/message.h"
#include "lib/log/log.h"
#include "proxy/config/config.h"
#include "proxy/observe/metrics.h"
#include "proxy/snapshot/server_policy.h"

namespace tulle::proxy {

// The process that the answers are about.
class AdminHost {
 public:
  virtual const Config& config() const noexcept = 0;
  virtual Metrics& metrics() noexcept = 0;
  virtual log::Sink& sink() noexcept = 0;
  virtual net::Loop& loop() noexcept = 0;
  // The current policy of a port of the pod; null while it is not known.
  virtual ServerPolicyPtr server_policy(std::uint16_t port) const = 0;
  // The first certificate is there, and the policy of every declared port.
  virtual bool ready() const noexcept = 0;
  // All metrics as text. Asks every worker for the bytes of its live connections first.
  virtual net::Task<std::string> scrape() = 0;
  // Begins to drain, returns at once.
  virtual void shut_down() = 0;

 protected:
  ~AdminHost() = default;
};

// Answers the requests of one connection from `peer`.
class AdminHandler final : public http::Handler {
 public:
  AdminHandler(AdminHost& host, Peer peer) : host_(host), peer_(std::move(peer)) {}
  net::Task<Result<http::Response>> handle(http::Request request) override;

 private:
  http::Response text(std::uint16_t status, std::string_view body) {
    return http::make_text_response(host_.loop(), status, body);
  }
  // The refusal, when policy does not admit the request; otherwise `metrics` is set.
  std::optional<http::Response> refused(const http::RequestHead& request,
                                        std::shared_ptr<EndpointMetrics>& metrics);
  std::optional<http::Response> refused_unknown(const http::RequestHead& request,
                                                const ServerPolicy& policy,
                                                std::shared_ptr<EndpointMetrics>& metrics);
  net::Task<http::Response> answer(http::Request request);
  // /env.json: variables of the process, all or those that the query names.
  http::Response environment(const http::RequestHead& request, std::string_view query);
  // /proxy-log-level: GET tells the filter, PUT changes it; an unreadable one is 400 with the
  // reason.
  net::Task<http::Response> log_level(http::Request& request);

  AdminHost& host_;
  Peer peer_;
};

}  // namespace tulle::proxy
