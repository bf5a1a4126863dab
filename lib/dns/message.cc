// SPDX-License-Identifier: Apache-2.0
#include "lib/dns/message.h"

#include <algorithm>

#include "lib/base/text.h"

namespace tulle::dns {
namespace {

constexpr std::uint16_t kClassIn = 1;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxName = 253;  // as text; 255 on the wire
constexpr std::uint32_t kMaxTtl = 0x7FFF'FFFF;
constexpr std::uint16_t kQuestionOffset = 12;

// Bytes that have a meaning in text or none in names of hosts and services make a name foreign.
bool plain(std::uint8_t c) noexcept { return c > 0x20 && c < 0x7F && c != '.' && c != '\\'; }

class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}
  bool failed() const noexcept { return failed_; }
  std::size_t at() const noexcept { return at_; }

  std::uint16_t u16() noexcept {
    if (!need(2)) return 0;
    const auto value = static_cast<std::uint16_t>(bytes_[at_] << 8 | bytes_[at_ + 1]);
    at_ += 2;
    return value;
  }
  std::uint32_t u32() noexcept {
    const std::uint32_t high = u16();
    return high << 16 | u16();
  }
  Bytes take(std::size_t size) noexcept {
    if (!need(size)) return {};
    const Bytes taken = bytes_.subspan(at_, size);
    at_ += size;
    return taken;
  }
  // Reads a name, which may continue elsewhere by pointers (RFC 1035 §4.1.4). Nullopt for a foreign
  // one; a malformed one fails the reader.
  std::optional<std::string> name() {
    std::string text;
    bool foreign = false;
    std::size_t at = at_;
    std::size_t limit = at_;  // pointers must go below where this part of the name began
    bool jumped = false;
    std::size_t wire = 1;
    for (;;) {
      if (at >= bytes_.size()) return fail();
      const std::uint8_t length = bytes_[at];
      if (length >= 0xC0) {
        if (at + 1 >= bytes_.size()) return fail();
        const std::size_t target = static_cast<std::size_t>(length & 0x3F) << 8 | bytes_[at + 1];
        if (!jumped) at_ = at + 2;
        jumped = true;
        if (target >= limit) return fail();
        limit = target;
        at = target;
        continue;
      }
      if (length > kMaxLabel || at + 1 + length > bytes_.size()) return fail();
      if (length == 0) {
        if (!jumped) at_ = at + 1;
        break;
      }
      wire += std::size_t{1} + length;
      if (wire > kMaxName + 2) return fail();
      if (!text.empty()) text += '.';
      for (const std::uint8_t c : bytes_.subspan(at + 1, length)) {
        foreign = foreign || !plain(c);
        text += ascii_lower(static_cast<char>(c));
      }
      at += std::size_t{1} + length;
    }
    if (foreign) return std::nullopt;
    return text;
  }
  void seek(std::size_t at) noexcept { at_ = at; }
  std::nullopt_t fail() noexcept {
    failed_ = true;
    return std::nullopt;
  }

 private:
  bool need(std::size_t size) noexcept {
    if (failed_ || bytes_.size() - at_ < size) failed_ = true;
    return !failed_;
  }
  Bytes bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

net::IpAddr read_v4(Bytes data) {
  return net::IpAddr::v4(std::uint32_t{data[0]} << 24 | std::uint32_t{data[1]} << 16 |
                         std::uint32_t{data[2]} << 8 | data[3]);
}
net::IpAddr read_v6(Bytes data) {
  std::array<std::uint8_t, 16> octets;
  std::copy_n(data.begin(), 16, octets.begin());
  return net::IpAddr::v6(octets);
}

// Reads the data of one record of a known type; false if the record is not one we keep.
bool read_data(Reader& in, Record& record, std::size_t size) {
  const std::size_t begin = in.at();
  bool keep = true;
  switch (record.type) {
    case Type::A: {
      const Bytes data = in.take(4);
      if (!in.failed()) record.address = read_v4(data);
      break;
    }
    case Type::Aaaa: {
      const Bytes data = in.take(16);
      if (!in.failed()) record.address = read_v6(data);
      break;
    }
    case Type::Cname: {
      auto target = in.name();
      keep = target.has_value();
      record.target = std::move(target).value_or("");
      break;
    }
    case Type::Srv: {
      record.srv.priority = in.u16();
      record.srv.weight = in.u16();
      record.srv.port = in.u16();
      if (in.failed()) break;
      auto target = in.name();
      keep = target.has_value();
      record.srv.target = std::move(target).value_or("");
      break;
    }
    default: return false;
  }
  // The data must be as long as it says.
  if (in.at() != begin + size) in.fail();
  return keep;
}

enum class Section : std::uint8_t { Answer, Authority, Additional };

void read_record(Reader& in, Section section, Message& message) {
  auto name = in.name();
  if (in.failed()) return;
  const std::uint16_t type = in.u16();
  const std::uint16_t record_class = in.u16();
  const std::uint32_t ttl = in.u32();
  const std::uint16_t size = in.u16();
  const std::size_t begin = in.at();
  if (in.take(size).size() != size || in.failed()) return;
  if (type == static_cast<std::uint16_t>(Type::Opt)) {
    message.edns = message.edns || section == Section::Additional;
    return;
  }
  if (record_class != kClassIn) return;
  const std::uint32_t kept_ttl = ttl > kMaxTtl ? 0 : ttl;  // RFC 2181 §8
  if (section == Section::Authority && type == static_cast<std::uint16_t>(Type::Soa)) {
    in.seek(begin);
    in.name();
    if (in.failed()) return;
    in.name();
    if (in.failed()) return;
    in.take(16);
    const std::uint32_t minimum = std::min(in.u32(), kMaxTtl);
    if (in.failed() || in.at() != begin + size) {
      in.fail();
      return;
    }
    const std::uint32_t negative = std::min(kept_ttl, minimum);
    message.negative_ttl = std::min(message.negative_ttl.value_or(negative), negative);
    return;
  }
  if (section != Section::Answer || !name || message.answers.size() >= kMaxAnswers) return;
  Record record{.name = std::move(*name), .type = static_cast<Type>(type), .ttl = kept_ttl};
  in.seek(begin);
  const bool keep = read_data(in, record, size);
  if (in.failed()) return;
  in.seek(begin + size);
  if (keep) message.answers.push_back(std::move(record));
}

class Writer {
 public:
  explicit Writer(const std::string& question) : question_(question) {}
  std::string take() { return std::move(out_); }
  std::size_t size() const noexcept { return out_.size(); }
  void cut(std::size_t size) { out_.resize(size); }

  void u16(std::uint16_t value) {
    out_ += static_cast<char>(value >> 8);
    out_ += static_cast<char>(value & 0xFF);
  }
  void u32(std::uint32_t value) {
    u16(static_cast<std::uint16_t>(value >> 16));
    u16(static_cast<std::uint16_t>(value & 0xFFFF));
  }
  void name(std::string_view name) {
    if (out_.size() > kQuestionOffset && !name.empty() && name == question_) {
      u16(0xC000 | kQuestionOffset);
      return;
    }
    while (!name.empty()) {
      const std::string_view label = name.substr(0, name.find('.'));
      out_ += static_cast<char>(label.size());
      out_ += label;
      name.remove_prefix(std::min(label.size() + 1, name.size()));
    }
    out_ += '\0';
  }
  void octets(Bytes bytes) { out_ += as_text(bytes); }
  void patch_u16(std::size_t at, std::size_t value) {
    out_[at] = static_cast<char>(value >> 8);
    out_[at + 1] = static_cast<char>(value & 0xFF);
  }
  void record_head(std::string_view owner, Type type, std::uint32_t ttl) {
    name(owner);
    u16(static_cast<std::uint16_t>(type));
    u16(kClassIn);
    u32(ttl);
  }

 private:
  const std::string& question_;
  std::string out_;
};

void write_data(Writer& out, const Record& record) {
  switch (record.type) {
    case Type::A: out.octets(record.address.octets().first(4)); return;
    case Type::Aaaa:
      if (record.address.is_v4()) {  // it came v4-mapped
        static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
        out.octets(kMapped);
      }
      out.octets(record.address.octets());
      return;
    case Type::Cname: out.name(record.target); return;
    case Type::Srv:
      out.u16(record.srv.priority);
      out.u16(record.srv.weight);
      out.u16(record.srv.port);
      out.name(record.srv.target);
      return;
    default: return;
  }
}

}  // namespace

std::string_view to_string(Type type) noexcept {
  switch (type) {
    case Type::A: return "A";
    case Type::Cname: return "CNAME";
    case Type::Soa: return "SOA";
    case Type::Aaaa: return "AAAA";
    case Type::Srv: return "SRV";
    case Type::Opt: return "OPT";
  }
  return "other";
}

std::optional<std::string> canonical_name(std::string_view text) {
  if (text == ".") return std::string();
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > kMaxName) return std::nullopt;
  std::string name;
  name.reserve(text.size());
  std::size_t label = 0;
  for (const char c : text) {
    if (c == '.') {
      if (label == 0) return std::nullopt;
      label = 0;
    } else if (!plain(static_cast<std::uint8_t>(c)) || ++label > kMaxLabel) {
      return std::nullopt;
    }
    name += ascii_lower(c);
  }
  if (label == 0) return std::nullopt;
  return name;
}

Result<Message> decode(Bytes bytes) {
  if (bytes.size() > kMaxMessage) return Error{Errc::TooLarge, "read a DNS message"};
  Reader in(bytes);
  Message message;
  message.id = in.u16();
  const std::uint16_t flags = in.u16();
  const std::uint16_t questions = in.u16();
  const std::uint16_t counts[] = {in.u16(), in.u16(), in.u16()};
  message.response = (flags & 0x8000) != 0;
  message.truncated = (flags & 0x0200) != 0;
  message.rcode = static_cast<Rcode>(flags & 0xF);
  if (in.failed() || (flags & 0x7800) != 0 || questions != 1) {
    return Error{Errc::Invalid, "read the head of a DNS message"};
  }
  auto name = in.name();
  if (in.failed() || !name) return Error{Errc::Invalid, "read a DNS question"};
  message.question.name = std::move(*name);
  message.question.type = static_cast<Type>(in.u16());
  if (in.u16() != kClassIn || in.failed()) return Error{Errc::Invalid, "read a DNS question"};
  // What follows may be cut anywhere and is not used.
  if (message.truncated) return message;
  constexpr Section kSections[] = {Section::Answer, Section::Authority, Section::Additional};
  for (const Section section : kSections) {
    for (unsigned i = 0; i < counts[static_cast<std::size_t>(section)]; ++i) {
      read_record(in, section, message);
      if (in.failed()) return Error{Errc::Invalid, "read a DNS record"};
    }
  }
  return message;
}

std::string encode(const Message& message, std::size_t limit) {
  Writer out(message.question.name);
  out.u16(message.id);
  std::uint16_t flags = 0x0100 | static_cast<std::uint16_t>(message.rcode);  // recursion desired
  if (message.response) flags |= 0x8080;                                     // and available
  if (message.truncated) flags |= 0x0200;
  out.u16(flags);
  out.u16(1);
  for (int i = 0; i < 3; ++i) out.u16(0);
  out.name(message.question.name);
  out.u16(static_cast<std::uint16_t>(message.question.type));
  out.u16(kClassIn);

  const std::size_t tail = message.edns ? 11 : 0;
  std::size_t answers = 0;
  bool cut = false;
  for (const Record& record : message.answers) {
    if (message.truncated || cut) break;
    const std::size_t before = out.size();
    out.record_head(record.name, record.type, record.ttl);
    const std::size_t length_at = out.size();
    out.u16(0);
    write_data(out, record);
    out.patch_u16(length_at, out.size() - length_at - 2);
    if (out.size() + tail > limit) {
      out.cut(before);
      cut = true;
    } else {
      ++answers;
    }
  }
  if (cut) out.patch_u16(2, flags | 0x0200U);
  out.patch_u16(6, answers);
  if (message.negative_ttl && !message.truncated && !cut) {
    out.record_head(message.question.name, Type::Soa, *message.negative_ttl);
    out.u16(2 + 20);
    out.name("");
    out.name("");
    for (int i = 0; i < 4; ++i) out.u32(0);  // serial, refresh, retry, expire
    out.u32(*message.negative_ttl);
    out.patch_u16(8, 1);
  }
  if (message.edns) {  // RFC 6891 §6.1.2
    out.name("");
    out.u16(static_cast<std::uint16_t>(Type::Opt));
    out.u16(kEdnsSize);
    out.u32(0);
    out.u16(0);
    out.patch_u16(10, 1);
  }
  return out.take();
}

}  // namespace tulle::dns
