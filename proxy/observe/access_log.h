// SPDX-License-Identifier: Apache-2.0
// The access log of inbound requests (docs/reference/proxy.md §8.1): one line for each on stderr,
// as Apache writes them or as JSON. An entry takes what it needs of the request before anything
// changes it.
#pragma once

#include <string>

#include "lib/http/message.h"
#include "lib/log/log.h"
#include "proxy/config/config.h"
#include "proxy/route/authorization.h"

namespace tulle::proxy {

// For one request: made when its head has come, written when the answer's has. Copies the texts
// that it needs.
class AccessEntry {
 public:
  AccessEntry(Config::AccessLog format, const Peer& peer, const http::RequestHead& request,
              TimePoint now);
  // The head of the answer is known. `waited`: how long the application took of it.
  void write(log::Sink& sink, const http::ResponseHead& response, TimePoint now,
             Duration waited) const;

 private:
  bool json_;
  TimePoint started_;
  std::string timestamp_;
  std::string client_;
  std::string identity_;  // "-" if there is none
  std::string method_;
  std::string uri_;
  std::string version_;
  // JSON only.
  std::string host_;
  std::string user_agent_;
  std::string trace_id_;
  std::string request_bytes_;
};

}  // namespace tulle::proxy
