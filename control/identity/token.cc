// SPDX-License-Identifier: Apache-2.0
#include "control/identity/token.h"

#include <fcntl.h>
#include <unistd.h>

#include "control/config.h"
#include "lib/base/text.h"
#include "lib/net/socket.h"
#include "lib/tls/jwt.h"

namespace tulle::control {
namespace {

bool is_label(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (const char c : text) {
    if (!ascii_digit(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '.') return false;
  }
  return text.front() != '-' && text.back() != '-' && text.front() != '.' && text.back() != '.';
}

std::string read_key(const std::string& path) {
  const net::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char block[8192];
  const ssize_t n = fd ? ::read(fd.get(), block, sizeof block) : -1;
  return n > 0 ? std::string(block, static_cast<std::size_t>(n)) : std::string();
}

// False if the index contradicts what the token says of its pod.
bool is_bound(const TokenHolder& holder, const std::map<std::string, std::string>& claims,
              const Index& index) {
  const auto name = claims.find("pod"), uid = claims.find("pod_uid");
  if (name == claims.end()) return true;
  const k8s::Pod* const pod = View(index).pod(holder.ns, name->second);
  if (pod == nullptr) return true;
  if (service_account_of(*pod) != holder.name) return false;
  return uid == claims.end() || pod->meta.uid.empty() || pod->meta.uid == uid->second;
}

}  // namespace

grpc::StatusOr<TokenHolder> parse_subject(std::string_view subject) {
  const auto parts = split(subject, ':');
  // A dot in a namespace would let one workload take the name of another.
  const auto plain = [](std::string_view text) {
    return is_label(text) && text.find('.') == std::string_view::npos;
  };
  if (parts.size() != 4 || parts[0] != "system" || !plain(parts[1]) || !plain(parts[2]) ||
      !is_label(parts[3])) {
    return grpc::Status{grpc::Code::InvalidArgument, "the token is not a service account's"};
  }
  return TokenHolder{std::string(parts[1]), std::string(parts[2]), std::string(parts[3])};
}

net::Task<grpc::StatusOr<TokenHolder>> SignedTokens::review(std::string token) {
  const std::string key = read_key(key_file_);
  if (key.empty()) {
    co_return grpc::Status{grpc::Code::Internal, "the key of tokens cannot be read"};
  }
  const auto verified = tls::verify_token(token, key, kTokenAudience);
  if (!verified) {
    const auto code = verified.error().code == Errc::Invalid ? grpc::Code::InvalidArgument
                      : verified.error().code == Errc::Unauthenticated
                          ? grpc::Code::FailedPrecondition
                          : grpc::Code::Internal;
    co_return grpc::Status{code, std::string(verified.error().where)};
  }
  auto holder = parse_subject(verified->subject);
  if (holder && !is_bound(*holder, verified->claims, index_)) {
    co_return grpc::Status{grpc::Code::FailedPrecondition, "the token is of a pod that is gone"};
  }
  co_return holder;
}

}  // namespace tulle::control
