// SPDX-License-Identifier: Apache-2.0
// Requests to the API server over our own HTTP: one HTTP/2 connection that all share and that is
// made anew when it is gone (HTTP/1.1, one connection a request, where a server has nothing else).
// Nothing is retried here but what the server certainly has not processed. Lists and watches are in
// reflector.h, typed helpers in write.h and reviews.h.
//
// One per cluster, on one loop. No call blocks; to cancel one, destroy it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/time.h"
#include "lib/dns/files.h"
#include "lib/h2/connection.h"
#include "lib/http/message.h"
#include "lib/k8s/access.h"
#include "lib/k8s/dialer.h"
#include "lib/k8s/resource.h"
#include "lib/log/log.h"

namespace tulle::k8s {

struct ApiRequest {
  std::string method = "GET";
  std::string path;          // with query: path_of(…) + "?…"
  std::string body;          // sent if content_type is not ""
  std::string content_type;  // application/json, application/merge-patch+json, …
  std::string accept = "application/json";
};

// The server's account of a failure (meta/v1 Status).
struct ApiStatus {
  std::int32_t code = 0;  // the HTTP status; 0 if there was no answer (see error)
  std::string reason;     // "NotFound", "Conflict", "Expired", …
  std::string message;
  std::optional<Duration> retry_after;
  Error error{Errc::Internal, ""};  // if code is 0
  // One line for the log.
  std::string to_string() const;
};

// A whole answer.
struct ApiResponse {
  ApiStatus status;
  std::string body;  // of a success
  bool ok() const noexcept { return status.code >= 200 && status.code < 300; }
};

// The connection under an answer, which must live as long as its body is read.
class ApiConnection;
using ApiConnectionPtr = std::shared_ptr<ApiConnection>;

// An answer whose body comes piece by piece; only of status 200.
struct ApiStream {
  ApiConnectionPtr connection;
  http::BodyReader body;
  std::uint64_t epoch = 0;  // see ApiClient::epoch()
};

class ApiClient {
 public:
  struct Options {
    std::string user_agent = "tulle";
    // Sent with every request: who the user wants to be taken for (Impersonate-User,
    // Impersonate-Group).
    std::vector<std::pair<std::string, std::string>> headers;
    Duration dial_timeout = 10s;
    std::size_t max_body = std::size_t{8} * 1024 * 1024;  // of a whole answer
    // Ask each new connection whether it leads to the same cluster at a later time (see epoch()).
    // Costs one small list of Namespaces; without the right to that it is left out.
    bool check_continuity = true;
  };

  // `access` is used for names and the token; all must outlive the client, and it every task.
  ApiClient(net::Loop& loop, Dialer& dialer, ClusterAccess access, const log::Logger& log,
            Options options);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  // One request, one whole answer. Never fails otherwise than by its status.
  net::Task<ApiResponse> call(ApiRequest request, Deadline by);
  // The same for a stream: the body of a 200, or the status.
  net::Task<std::variant<ApiStream, ApiStatus>> open(ApiRequest request, Deadline by);

  // Leaves HTTP with a request that has these headers besides those of every request, on a
  // connection of its own (HTTP/1.1). The status says why not, as for open(); an answer other than
  // 101 is one.
  struct Upgraded {
    http::HeaderMap headers;  // of the answer 101
    net::StreamPtr stream;
  };
  net::Task<std::variant<Upgraded, ApiStatus>> upgrade(
      std::string path, std::vector<std::pair<std::string, std::string>> headers, Deadline by);

  net::Loop& loop() noexcept { return loop_; }
  const ClusterAccess& access() const noexcept { return access_; }

  // Changes when the server turned out to be another one, or an older state of the same (restored
  // from a backup): versions of objects known before mean nothing to it, and who watches must list
  // anew. Known before the first answer of a connection is given out.
  std::uint64_t epoch() const noexcept { return epoch_; }
  // An object of this version was seen. Text that is not a number is ignored.
  void saw_version(std::string_view resource_version) noexcept;

  struct Stats {
    std::uint64_t requests = 0;
    std::uint64_t failures = 0;  // requests without an answer
    std::uint64_t dials = 0;
    std::uint64_t failed_dials = 0;
  };
  const Stats& stats() const noexcept { return stats_; }
  // A connection is there and in use.
  bool connected() const noexcept;

 private:
  struct Sent {
    ApiConnectionPtr connection;
    http::Response response;
  };
  net::Task<Result<Sent>> send(ApiRequest request, Deadline by);
  net::Task<Result<ApiConnectionPtr>> connection(Deadline by);
  net::Task<void> dial();
  net::Task<Result<ApiConnectionPtr>> dial_once(Deadline by);
  net::Task<void> check(ApiConnection& connection, Deadline by);
  http::Request encode(const ApiRequest& request, bool http2);
  net::Task<Result<std::string>> read_body(http::BodyReader& body, Deadline by);
  void report(const Result<ApiConnectionPtr>& dialed);

  net::Loop& loop_;
  Dialer& dialer_;
  const ClusterAccess access_;
  log::Logger log_;
  const Options options_;
  std::unique_ptr<dns::WatchedFile> token_;  // null if it is no file
  Stats stats_;

  ApiConnectionPtr current_;
  bool http1_ = false;  // what the server spoke last
  bool dialing_ = false;
  std::optional<Error> dial_error_;
  net::Signal dialed_;
  std::string reported_;  // the failure that was logged last; "" after a success

  std::uint64_t epoch_ = 1;
  std::uint64_t highest_seen_ = 0;
  std::string cluster_;   // the uid of the namespace kube-system
  net::TaskScope scope_;  // destroyed first
};

// Reads a Status; only what is there.
ApiStatus parse_status(std::string_view json);

}  // namespace tulle::k8s
