// SPDX-License-Identifier: Apache-2.0
// DNS messages as far as name resolution needs them: one question; A, AAAA, CNAME and SRV answers;
// the SOA of negative answers (RFC 1035 §4, RFC 2308, RFC 2782, RFC 6891). Bytes in, values out, no
// sockets. Records of other types and classes are skipped. Not a zone library, and no DNSSEC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/net/address.h"

namespace tulle::dns {

enum class Type : std::uint16_t { A = 1, Cname = 5, Soa = 6, Aaaa = 28, Srv = 33, Opt = 41 };
std::string_view to_string(Type type) noexcept;

// RFC 1035 §4.1.1; other values occur and mean failure.
enum class Rcode : std::uint8_t {
  NoError = 0,
  FormErr = 1,
  ServFail = 2,
  NxDomain = 3,
  NotImp = 4,
  Refused = 5,
};

// The size of answers that we offer to take over UDP: fits an IPv6 packet that no path needs to
// fragment.
inline constexpr std::uint16_t kEdnsSize = 1232;
inline constexpr std::size_t kMaxMessage = 65'535;
// More answers than this are ignored.
inline constexpr std::size_t kMaxAnswers = 1024;

// RFC 2782.
struct Srv {
  std::uint16_t priority = 0;
  std::uint16_t weight = 0;
  std::uint16_t port = 0;
  std::string target;
  friend bool operator==(const Srv&, const Srv&) = default;
};

// Names are lower-case text without a trailing dot; the root is "".
struct Record {
  std::string name;
  Type type = Type::A;
  std::uint32_t ttl = 0;  // seconds
  net::IpAddr address;    // A, AAAA
  std::string target;     // CNAME
  Srv srv;                // SRV
  friend bool operator==(const Record&, const Record&) = default;
};

struct Question {
  std::string name;
  Type type = Type::A;
  friend bool operator==(const Question&, const Question&) = default;
};

struct Message {
  std::uint16_t id = 0;
  bool response = false;
  bool truncated = false;  // ask again over TCP; the answers are empty
  Rcode rcode = Rcode::NoError;
  Question question;
  std::vector<Record> answers;
  // How long the absence of an answer may be believed: min(TTL, MINIMUM) of the authority's SOA
  // (RFC 2308 §5). Unset without one.
  std::optional<std::uint32_t> negative_ttl;
  bool edns = false;
  friend bool operator==(const Message&, const Message&) = default;
};

// The canonical form of a name given by a person or a file: lower case, without the trailing dot.
// Nullopt if it is longer than 253, has an empty or too long label, or bytes that host and service
// names do not have. The root (".") gives "".
std::optional<std::string> canonical_name(std::string_view text);

// Fails with Invalid for bytes that are not one message with one IN question. Compression pointers
// must point backward, so decoding ends; its cost is bounded by the size times 128.
Result<Message> decode(Bytes bytes);

// Queries (recursion desired) and responses (recursion available). Names must be canonical. Answers
// that would take the message beyond `limit` are left out and the message says truncated.
std::string encode(const Message& message, std::size_t limit = kMaxMessage);

}  // namespace tulle::dns
