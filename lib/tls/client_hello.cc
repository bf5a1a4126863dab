// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/client_hello.h"

#include <algorithm>

namespace tulle::tls {
namespace {

constexpr std::size_t kMaxHello = 8192;
constexpr std::size_t kMaxRecord = 16'384;
constexpr std::size_t kRecordHeader = 5;
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kClientHello = 1;
constexpr std::size_t kServerName = 0;
constexpr std::size_t kHostName = 0;

// A bounded cursor: every read says whether the bytes were there.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : left_(bytes) {}
  bool number(std::size_t width, std::size_t& value) {
    if (left_.size() < width) return false;
    value = 0;
    for (std::size_t i = 0; i < width; ++i) value = value << 8 | left_[i];
    left_ = left_.subspan(width);
    return true;
  }
  bool take(std::size_t size, Bytes& out) {
    if (left_.size() < size) return false;
    out = left_.first(size);
    left_ = left_.subspan(size);
    return true;
  }
  // A vector with a length of `width` bytes in front.
  bool vector(std::size_t width, Bytes& out) {
    std::size_t size = 0;
    return number(width, size) && take(size, out);
  }
  bool empty() const { return left_.empty(); }

 private:
  Bytes left_;
};

// What is known of the handshake message so far.
enum class Found : std::uint8_t { NeedMore, Not, Hello };

// Reads the SNI of a whole ClientHello body; false if it is malformed.
bool read_sni(Bytes body, std::string& sni) {
  Cursor in(body);
  std::size_t version = 0;
  Bytes skipped;
  // legacy_version, random, legacy_session_id, cipher_suites, legacy_compression_methods
  if (!in.number(2, version) || !in.take(32, skipped) || !in.vector(1, skipped) ||
      !in.vector(2, skipped) || !in.vector(1, skipped)) {
    return false;
  }
  if (in.empty()) return true;  // no extensions
  Bytes extensions;
  if (!in.vector(2, extensions) || !in.empty()) return false;
  Cursor list(extensions);
  while (!list.empty()) {
    std::size_t type = 0;
    Bytes data;
    if (!list.number(2, type) || !list.vector(2, data)) return false;
    if (type != kServerName) continue;
    Cursor outer(data);
    Bytes names;
    if (!outer.vector(2, names)) return false;
    Cursor each(names);
    while (!each.empty()) {
      std::size_t kind = 0;
      Bytes name;
      if (!each.number(1, kind) || !each.vector(2, name)) return false;
      if (kind == kHostName && sni.empty()) sni = as_text(name);
    }
  }
  return true;
}

// `message` is the beginning of the handshake stream: the payloads of the records so far.
Found read_message(Bytes message, std::string& sni) {
  if (!message.empty() && message[0] != kClientHello) return Found::Not;
  if (message.size() < 4) return Found::NeedMore;
  const std::size_t length = static_cast<std::size_t>(message[1]) << 16 |
                             static_cast<std::size_t>(message[2]) << 8 | message[3];
  if (length > kMaxHello) return Found::Not;
  // legacy_version is 0x0303; what is there of it is checked at once.
  for (std::size_t i = 4; i < std::min<std::size_t>(message.size(), 6); ++i) {
    if (message[i] != 3) return Found::Not;
  }
  if (message.size() < 4 + length) return Found::NeedMore;
  return read_sni(message.subspan(4, length), sni) ? Found::Hello : Found::Not;
}

// The record's header as far as it is there; false if it is no TLS handshake record.
bool may_be_record(Bytes record) {
  if (!record.empty() && record[0] != kHandshake) return false;
  if (record.size() > 1 && record[1] != 3) return false;
  return record.size() <= 2 || record[2] == 1 || record[2] == 3;
}

}  // namespace

ClientHello parse_client_hello(Bytes bytes) {
  ClientHello hello;
  ByteQueue joined;  // the payloads, once there is more than one record
  for (Bytes left = bytes;;) {
    if (!may_be_record(left)) break;
    if (left.size() < kRecordHeader) return hello;
    const std::size_t size = static_cast<std::size_t>(left[3]) << 8 | left[4];
    if (size == 0 || size > kMaxRecord) break;
    const Bytes rest = left.subspan(kRecordHeader);
    const Bytes payload = rest.first(std::min(size, rest.size()));
    Bytes message = payload;
    if (left.data() != bytes.data() || rest.size() > size) {
      joined.append(payload);
      message = joined.data();
    }
    switch (read_message(message, hello.sni)) {
      case Found::Hello: hello.state = ClientHello::State::Found; return hello;
      case Found::Not:
        hello.sni.clear();
        hello.state = ClientHello::State::NotTls;
        return hello;
      case Found::NeedMore: break;
    }
    if (rest.size() < size) return hello;
    left = rest.subspan(size);
  }
  hello.state = ClientHello::State::NotTls;
  return hello;
}

}  // namespace tulle::tls
