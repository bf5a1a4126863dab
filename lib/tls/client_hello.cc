// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/client_hello.h"

namespace tulle::tls {
namespace {

constexpr std::size_t kMaxHandshake = 8192;

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

// The SNI of a whole ClientHello body; false if it is malformed.
bool read_sni(Bytes body, std::string& sni) {
  Cursor in(body);
  std::size_t version = 0;
  Bytes skipped;
  if (!in.number(2, version) || version != 0x0303 || !in.take(32, skipped) ||
      !in.vector(1, skipped) || !in.vector(2, skipped) || !in.vector(1, skipped)) {
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
    if (type != 0) continue;
    Cursor names_in(data);
    Bytes names;
    if (!names_in.vector(2, names)) return false;
    Cursor each(names);
    while (!each.empty()) {
      std::size_t kind = 0;
      Bytes name;
      if (!each.number(1, kind) || !each.vector(2, name)) return false;
      if (kind == 0 && sni.empty()) sni = as_text(name);
    }
  }
  return true;
}

}  // namespace

ClientHello parse_client_hello(Bytes bytes) {
  ClientHello hello;
  ByteQueue handshake;  // record payloads joined
  std::size_t at = 0;
  for (;;) {
    const Bytes record = bytes.subspan(at);
    const auto not_tls = [&] {
      hello.state = ClientHello::State::NotTls;
      return hello;
    };
    if (record.size() >= 1 && record[0] != 22) return not_tls();
    if (record.size() >= 2 && record[1] != 3) return not_tls();
    if (record.size() >= 3 && record[2] != 1 && record[2] != 3) return not_tls();
    if (record.size() < 5) return hello;
    const std::size_t size = static_cast<std::size_t>(record[3]) << 8 | record[4];
    if (size == 0 || size > 16'384) return not_tls();
    handshake.append(record.subspan(5, std::min(size, record.size() - 5)));
    const Bytes have = handshake.data();
    if (!have.empty() && have[0] != 1) return not_tls();
    if (have.size() >= 4) {
      const std::size_t length = static_cast<std::size_t>(have[1]) << 16 |
                                 static_cast<std::size_t>(have[2]) << 8 | have[3];
      if (length > kMaxHandshake) return not_tls();
      if (have.size() >= 6 && (have[4] != 3 || have[5] != 3)) return not_tls();
      if (have.size() >= 4 + length) {
        if (!read_sni(have.subspan(4, length), hello.sni)) return not_tls();
        hello.state = ClientHello::State::Found;
        return hello;
      }
    }
    if (record.size() < 5 + size) return hello;
    at += 5 + size;
  }
}

}  // namespace tulle::tls
