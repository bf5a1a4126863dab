// SPDX-License-Identifier: Apache-2.0
#include "lib/h2/hpack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

namespace tulle::h2 {
namespace {

// RFC 7541 Appendix B: the code is canonical, so lengths alone tell it (codes of one length are
// consecutive in the order of their symbols). The end-of-string symbol is thirty ones.
constexpr std::array<std::uint8_t, 256> kLengths = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,
    7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26};
constexpr unsigned kMaxBits = 30;

struct Huffman {
  std::array<std::uint32_t, 256> codes{};
  std::array<std::uint8_t, 256> symbols{};               // in canonical order
  std::array<std::uint32_t, kMaxBits + 2> first_code{};  // of each length
  std::array<std::uint16_t, kMaxBits + 2> first_symbol{};
  std::array<std::uint16_t, kMaxBits + 2> count{};
  std::array<std::uint16_t, 256> quick{};  // by the next 8 bits: symbol << 4 | length, 0 if longer
};

constexpr Huffman make_huffman() {
  Huffman h;
  std::uint32_t code = 0;
  std::uint16_t at = 0;
  for (unsigned length = 1; length <= kMaxBits; ++length) {
    code <<= 1;
    h.first_code[length] = code;
    h.first_symbol[length] = at;
    for (unsigned symbol = 0; symbol < 256; ++symbol) {
      if (kLengths[symbol] != length) continue;
      h.codes[symbol] = code++;
      h.symbols[at++] = static_cast<std::uint8_t>(symbol);
      ++h.count[length];
    }
  }
  for (unsigned symbol = 0; symbol < 256; ++symbol) {
    const unsigned length = kLengths[symbol];
    if (length > 8) continue;
    const unsigned first = h.codes[symbol] << (8 - length);
    for (unsigned i = 0; i < (1U << (8 - length)); ++i) {
      h.quick[first + i] = static_cast<std::uint16_t>(symbol << 4 | length);
    }
  }
  return h;
}
constexpr Huffman kHuffman = make_huffman();

struct StaticEntry {
  std::string_view name;
  std::string_view value;
};
constexpr std::array<StaticEntry, 61> kStatic = {{
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""},
}};

// Eight bytes a step. It only picks candidates: the texts are compared then.
constexpr std::uint32_t hash_of(std::string_view text, std::uint32_t seed = 2166136261U) noexcept {
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15ULL;
  std::uint64_t hash = seed;
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * kFactor;
    hash ^= hash >> 29;
  };
  std::size_t at = 0;
  if (!std::is_constant_evaluated() && std::endian::native == std::endian::little) {
    for (; text.size() - at >= 8; at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + at, 8);
      mix(word);
    }
  }
  std::uint64_t word = 0;
  for (unsigned shift = 0; at < text.size(); ++at) {
    word |= std::uint64_t{static_cast<std::uint8_t>(text[at])} << shift;
    shift += 8;
    if (shift < 64) continue;
    mix(word);
    word = shift = 0;
  }
  mix(word ^ text.size());
  return static_cast<std::uint32_t>(hash >> 32);
}

// First static index (from 1) by name, as an open table.
constexpr std::size_t kNameSlots = 128;
constexpr std::array<std::uint8_t, kNameSlots> make_name_slots() {
  std::array<std::uint8_t, kNameSlots> slots{};
  for (std::size_t i = 0; i < kStatic.size(); ++i) {
    if (i > 0 && kStatic[i].name == kStatic[i - 1].name) continue;
    std::size_t slot = hash_of(kStatic[i].name) % kNameSlots;
    while (slots[slot] != 0) slot = (slot + 1) % kNameSlots;
    slots[slot] = static_cast<std::uint8_t>(i + 1);
  }
  return slots;
}
constexpr auto kNames = make_name_slots();

std::size_t static_name(std::string_view name, std::uint32_t hash) noexcept {
  for (std::size_t slot = hash % kNameSlots; kNames[slot] != 0; slot = (slot + 1) % kNameSlots) {
    if (kStatic[kNames[slot] - 1U].name == name) return kNames[slot];
  }
  return 0;
}

void put_integer(std::uint8_t first, unsigned bits, std::uint64_t value, ByteQueue& out) {
  const std::uint64_t limit = (std::uint64_t{1} << bits) - 1;
  if (value < limit) {
    out.push_back(static_cast<std::uint8_t>(first | value));
    return;
  }
  out.push_back(static_cast<std::uint8_t>(first | limit));
  value -= limit;
  while (value >= 128) {
    out.push_back(static_cast<std::uint8_t>(value | 128));
    value >>= 7;
  }
  out.push_back(static_cast<std::uint8_t>(value));
}

Result<std::uint64_t> take_integer(Bytes& in, unsigned bits) {
  const Error truncated{Errc::Protocol, "read an HPACK integer"};
  if (in.empty()) return truncated;
  const std::uint64_t limit = (std::uint64_t{1} << bits) - 1;
  std::uint64_t value = in[0] & limit;
  in = in.subspan(1);
  if (value < limit) return value;
  for (unsigned shift = 0; shift <= 28; shift += 7) {
    if (in.empty()) return truncated;
    const std::uint8_t byte = in[0];
    in = in.subspan(1);
    value += static_cast<std::uint64_t>(byte & 127) << shift;
    if ((byte & 128) == 0) return value;
  }
  return truncated;
}

void put_string(std::string_view text, ByteQueue& out) {
  const std::size_t packed = huffman_size(text);
  if (packed < text.size()) {
    put_integer(0x80, 7, packed, out);
    huffman_encode(text, out);
  } else {
    put_integer(0, 7, text.size(), out);
    out.append(text);
  }
}

enum class Indexing : std::uint8_t { Yes, No, Never };

// By the name's first static index. What differs from message to message is not indexed: an entry
// would only push others out.
constexpr std::array<Indexing, kStatic.size() + 1> make_indexing() {
  std::array<Indexing, kStatic.size() + 1> out{};
  for (std::size_t i = 0; i < kStatic.size(); ++i) {
    for (const std::string_view name : {":path", "content-length", "date", "etag", "if-none-match",
                                        "last-modified", "if-modified-since", "location"}) {
      if (kStatic[i].name == name) out[i + 1] = Indexing::No;
    }
    for (const std::string_view name : {"authorization", "proxy-authorization", "set-cookie"}) {
      if (kStatic[i].name == name) out[i + 1] = Indexing::Never;
    }
  }
  return out;
}
constexpr auto kIndexing = make_indexing();
constexpr std::size_t kCookie = 32;
static_assert(kStatic[kCookie - 1].name == "cookie");

Indexing indexing_for(std::size_t name_index, std::string_view name, std::string_view value) {
  if (name_index == kCookie && value.size() < 20) return Indexing::Never;
  if (kIndexing[name_index] != Indexing::Yes) return kIndexing[name_index];
  if (value.size() > 512) return Indexing::No;
  if (name_index == 0 &&
      (name == "x-request-id" || name == "traceparent" || name == "grpc-timeout"))
    return Indexing::No;
  return Indexing::Yes;
}

}  // namespace

std::size_t huffman_size(std::string_view text) noexcept {
  std::size_t bits = 0;
  for (const char c : text) bits += kLengths[static_cast<std::uint8_t>(c)];
  return (bits + 7) / 8;
}

void huffman_encode(std::string_view text, ByteQueue& out) {
  std::uint64_t window = 0;
  unsigned bits = 0;
  const MutableBytes room = out.prepare(huffman_size(text));
  std::uint8_t* at = room.data();
  for (const char c : text) {
    const auto symbol = static_cast<std::uint8_t>(c);
    window = window << kLengths[symbol] | kHuffman.codes[symbol];
    bits += kLengths[symbol];
    while (bits >= 8) {
      bits -= 8;
      *at++ = static_cast<std::uint8_t>(window >> bits);
    }
  }
  if (bits != 0) *at++ = static_cast<std::uint8_t>(window << (8 - bits) | 0xFFU >> bits);
  out.commit(room.size());
}

Result<void> huffman_decode(Bytes bytes, std::size_t limit, std::string& out) {
  std::uint64_t window = 0;
  unsigned bits = 0;
  std::size_t next = 0;
  const Error bad{Errc::Protocol, "read a Huffman string"};
  // The shortest code has five bits; the text is cut to what came at the end.
  const std::size_t before = out.size();
  out.resize(before + std::min(bytes.size() * 8 / 5 + 1, limit > before ? limit - before : 0));
  char* at = out.data() + before;
  const char* const end = out.data() + out.size();
  const auto cut = [&] { out.resize(static_cast<std::size_t>(at - out.data())); };
  for (;;) {
    while (bits <= 56 && next < bytes.size()) {
      window = window << 8 | bytes[next++];
      bits += 8;
    }
    if (bits == 0) {
      cut();
      return {};
    }
    if (at == end && (next < bytes.size() || bits >= 8)) {
      cut();
      return Error{Errc::TooLarge, "read a Huffman string"};
    }
    if (bits >= 8 && at != end) {
      const std::uint16_t quick = kHuffman.quick[window >> (bits - 8) & 0xFF];
      if (quick != 0) {
        *at++ = static_cast<char>(quick >> 4);
        bits -= quick & 15U;
        continue;
      }
    }
    unsigned length = 1;
    for (; length <= kMaxBits && length <= bits; ++length) {
      const auto code = static_cast<std::uint32_t>(window >> (bits - length) &
                                                   ((std::uint64_t{1} << length) - 1));
      if (code < kHuffman.first_code[length] ||
          code - kHuffman.first_code[length] >= kHuffman.count[length])
        continue;
      break;
    }
    if (length <= kMaxBits && length <= bits) {
      if (at == end) {
        cut();
        return Error{Errc::TooLarge, "read a Huffman string"};
      }
      const auto code = static_cast<std::uint32_t>(window >> (bits - length) &
                                                   ((std::uint64_t{1} << length) - 1));
      *at++ = static_cast<char>(
          kHuffman.symbols[kHuffman.first_symbol[length] + code - kHuffman.first_code[length]]);
      bits -= length;
      continue;
    }
    cut();
    // What is left must be padding: fewer than eight ones.
    if (next < bytes.size() || bits >= 8) return bad;
    if ((window & ((1U << bits) - 1)) != (1U << bits) - 1) return bad;
    return {};
  }
}

void DynamicTable::forget() noexcept {
  if (slots_ != nullptr) slab_free(slots_, slot_capacity_ * sizeof(Slot));
  if (text_ != nullptr) slab_free(text_, text_capacity_);
  slots_ = nullptr;
  text_ = nullptr;
  first_ = last_ = slot_capacity_ = text_end_ = text_capacity_ = 0;
}

void DynamicTable::evict(std::size_t room) {
  while (first_ != last_ && size_ + room > max_size_) {
    size_ -= std::size_t{slots_[first_].name_size} + slots_[first_].value_size + 32;
    ++first_;
  }
  if (first_ == last_) first_ = last_ = text_end_ = 0;
}

// Room for one more entry with that much text: what was dropped at the front is used again before
// more is taken.
void DynamicTable::make_room(std::size_t text) {
  const std::uint32_t live = last_ - first_;
  if (last_ == slot_capacity_) {
    Slot* to = slots_;
    std::uint32_t capacity = slot_capacity_;
    if (first_ * 2 <= slot_capacity_) {
      const std::size_t bytes =
          slab_capacity(std::max<std::size_t>(std::size_t{slot_capacity_} * 2, 8) * sizeof(Slot));
      capacity = static_cast<std::uint32_t>(bytes / sizeof(Slot));
      to = static_cast<Slot*>(slab_alloc(capacity * sizeof(Slot)));
    }
    if (live != 0) std::memmove(to, slots_ + first_, live * sizeof(Slot));
    if (to != slots_ && slots_ != nullptr) slab_free(slots_, slot_capacity_ * sizeof(Slot));
    slots_ = to;
    slot_capacity_ = capacity;
    first_ = 0;
    last_ = live;
  }
  if (text_capacity_ - text_end_ >= text) return;
  const std::uint32_t begin = live == 0 ? text_end_ : slots_[first_].offset;
  const std::size_t kept = text_end_ - begin;
  char* to = text_;
  std::size_t capacity = text_capacity_;
  // Grown while moving would be frequent; the table's bound is always enough.
  if (kept + text > text_capacity_ ||
      (text_capacity_ < max_size_ && kept + text > text_capacity_ - text_capacity_ / 4)) {
    const std::size_t twice = std::max<std::size_t>(std::size_t{text_capacity_} * 2, 256);
    capacity = slab_capacity(std::max(kept + text, std::min(twice, max_size_)));
    to = static_cast<char*>(slab_alloc(capacity));
  }
  if (kept != 0) std::memmove(to, text_ + begin, kept);
  if (to != text_ && text_ != nullptr) slab_free(text_, text_capacity_);
  text_ = to;
  text_capacity_ = static_cast<std::uint32_t>(capacity);
  text_end_ = static_cast<std::uint32_t>(kept);
  for (std::uint32_t i = first_; i != last_; ++i) slots_[i].offset -= begin;
}

void DynamicTable::add(std::string_view name, std::string_view value, std::uint32_t hash) {
  const std::size_t text = name.size() + value.size();
  evict(text + 32);
  if (text + 32 > max_size_) return;  // RFC 7541 §4.4: it empties the table
  make_room(text);
  slots_[last_++] = {text_end_, static_cast<std::uint32_t>(name.size()),
                     static_cast<std::uint32_t>(value.size()), hash};
  if (!name.empty()) std::memcpy(text_ + text_end_, name.data(), name.size());
  if (!value.empty()) std::memcpy(text_ + text_end_ + name.size(), value.data(), value.size());
  text_end_ += static_cast<std::uint32_t>(text);
  size_ += text + 32;
}

void DynamicTable::set_max_size(std::size_t size) {
  max_size_ = size;
  evict(0);
  if (first_ == last_) forget();
}

Result<std::string_view> HpackDecoder::read_string(Bytes& in, std::string& scratch) const {
  const Error bad{Errc::Protocol, "read an HPACK string"};
  if (in.empty()) return bad;
  const bool packed = (in[0] & 0x80) != 0;
  const Result<std::uint64_t> size = take_integer(in, 7);
  if (!size) return size.error();
  if (*size > in.size()) return bad;
  if (*size > string_limit_) return Error{Errc::TooLarge, "read an HPACK string"};
  const Bytes raw = in.first(static_cast<std::size_t>(*size));
  in = in.subspan(raw.size());
  if (!packed) return as_text(raw);
  scratch.clear();
  const Result<void> decoded = huffman_decode(raw, string_limit_, scratch);
  if (!decoded) return decoded.error();
  return std::string_view(scratch);
}

Result<std::string_view> HpackDecoder::name_at(std::uint64_t index, std::string& scratch) const {
  if (index >= 1 && index <= kStatic.size())
    return kStatic[static_cast<std::size_t>(index) - 1].name;
  const std::uint64_t dynamic = index - kStatic.size() - 1;
  if (index == 0 || dynamic >= table_.count()) return Error{Errc::Protocol, "use an HPACK index"};
  scratch = table_.at(static_cast<std::size_t>(dynamic)).name;
  return std::string_view(scratch);
}

Result<void> HpackDecoder::decode(Bytes block, HpackSink& sink) {
  thread_local std::string name_scratch;
  thread_local std::string value_scratch;
  bool fields_seen = false;
  while (!block.empty()) {
    const std::uint8_t first = block[0];
    if ((first & 0x80) != 0) {  // indexed
      const Result<std::uint64_t> index = take_integer(block, 7);
      if (!index) return index.error();
      fields_seen = true;
      if (*index >= 1 && *index <= kStatic.size()) {
        const StaticEntry& entry = kStatic[static_cast<std::size_t>(*index) - 1];
        sink.on_field(entry.name, entry.value);
        continue;
      }
      const std::uint64_t dynamic = *index - kStatic.size() - 1;
      if (*index == 0 || dynamic >= table_.count())
        return Error{Errc::Protocol, "use an HPACK index"};
      const DynamicTable::Entry entry = table_.at(static_cast<std::size_t>(dynamic));
      sink.on_field(entry.name, entry.value);
      continue;
    }
    if ((first & 0xE0) == 0x20) {  // table size update
      const Result<std::uint64_t> size = take_integer(block, 5);
      if (!size) return size.error();
      if (fields_seen || *size > table_limit_)
        return Error{Errc::Protocol, "change the HPACK table size"};
      table_.set_max_size(static_cast<std::size_t>(*size));
      continue;
    }
    const bool indexed = (first & 0xC0) == 0x40;
    const Result<std::uint64_t> index = take_integer(block, indexed ? 6 : 4);
    if (!index) return index.error();
    fields_seen = true;
    const Result<std::string_view> name =
        *index != 0 ? name_at(*index, name_scratch) : read_string(block, name_scratch);
    if (!name) return name.error();
    const Result<std::string_view> value = read_string(block, value_scratch);
    if (!value) return value.error();
    sink.on_field(*name, *value);
    if (indexed) table_.add(*name, *value);
  }
  return {};
}

void HpackEncoder::set_table_limit(std::size_t size) {
  size = std::min<std::size_t>(size, 4096);
  if (size == table_.max_size()) return;
  table_.set_max_size(size);
  pending_size_ = size;
  pending_min_ = std::min(pending_min_, size);
}

void HpackEncoder::begin(ByteQueue& out) {
  if (pending_size_ == SIZE_MAX) return;
  if (pending_min_ < pending_size_) put_integer(0x20, 5, pending_min_, out);
  put_integer(0x20, 5, pending_size_, out);
  pending_size_ = pending_min_ = SIZE_MAX;
}

void HpackEncoder::encode(std::string_view name, std::string_view value, ByteQueue& out) {
  const std::uint32_t name_hash = hash_of(name);
  std::size_t name_index = static_name(name, name_hash);
  for (std::size_t i = name_index; i != 0 && i <= kStatic.size() && kStatic[i - 1].name == name;
       ++i) {
    if (!kStatic[i - 1].value.empty() && kStatic[i - 1].value == value) {
      put_integer(0x80, 7, i, out);
      return;
    }
  }
  const Indexing indexing = indexing_for(name_index, name, value);
  std::uint32_t hash = 0;
  if (indexing == Indexing::Yes) {
    hash = hash_of(value, name_hash);
    for (std::size_t i = 0; i < table_.count(); ++i) {
      if (table_.hash_at(i) != hash) continue;
      const DynamicTable::Entry entry = table_.at(i);
      if (entry.name == name && entry.value == value) {
        put_integer(0x80, 7, kStatic.size() + 1 + i, out);
        return;
      }
    }
  }
  if (indexing == Indexing::Yes) {
    put_integer(0x40, 6, name_index, out);
  } else {
    put_integer(indexing == Indexing::Never ? 0x10 : 0x00, 4, name_index, out);
  }
  if (name_index == 0) put_string(name, out);
  put_string(value, out);
  if (indexing == Indexing::Yes) table_.add(name, value, hash);
}

}  // namespace tulle::h2
