// SPDX-License-Identifier: Apache-2.0
// Header compression of HTTP/2 (RFC 7541). Dynamic tables take memory only once something is in
// them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tulle::h2 {

// Appends the Huffman form of `text` (RFC 7541 §5.2).
void huffman_encode(std::string_view text, ByteQueue& out);
std::size_t huffman_size(std::string_view text) noexcept;
// Appends the decoded text; Protocol for bad padding or EOS, TooLarge beyond `limit` bytes.
Result<void> huffman_decode(Bytes bytes, std::size_t limit, std::string& out);

// The entries that either side may refer to. Their texts lie one behind the other in one block:
// taking an entry and dropping an old one moves nothing and allocates nothing once the table has
// its size.
class DynamicTable {
 public:
  struct Entry {
    std::string_view name;
    std::string_view value;
    std::uint32_t hash = 0;
  };
  explicit DynamicTable(std::size_t max_size = 4096) : max_size_(max_size) {}
  DynamicTable(const DynamicTable&) = delete;
  DynamicTable& operator=(const DynamicTable&) = delete;
  ~DynamicTable() { forget(); }
  // `name` and `value` must not point into the table.
  void add(std::string_view name, std::string_view value, std::uint32_t hash = 0);
  void set_max_size(std::size_t size);
  std::size_t max_size() const noexcept { return max_size_; }
  std::size_t count() const noexcept { return last_ - first_; }
  // 0 is the newest. Valid until the table changes.
  Entry at(std::size_t index) const noexcept {
    const Slot& slot = slots_[last_ - 1 - index];
    const char* const text = text_ + slot.offset;
    return {{text, slot.name_size}, {text + slot.name_size, slot.value_size}, slot.hash};
  }
  std::uint32_t hash_at(std::size_t index) const noexcept { return slots_[last_ - 1 - index].hash; }

 private:
  struct Slot {
    std::uint32_t offset;
    std::uint32_t name_size;
    std::uint32_t value_size;
    std::uint32_t hash;
  };
  void evict(std::size_t room);
  void forget() noexcept;
  void make_room(std::size_t text);
  Slot* slots_ = nullptr;  // [first_, last_) are live, oldest first
  char* text_ = nullptr;
  std::uint32_t first_ = 0, last_ = 0, slot_capacity_ = 0;
  std::uint32_t text_end_ = 0, text_capacity_ = 0;
  std::size_t size_ = 0;
  std::size_t max_size_;
};

// Takes header blocks apart. Views given to the sink are valid during the call.
class HpackSink {
 public:
  // An error ends the decoding (the rest of the block must still be decoded: return success and
  // note it).
  virtual void on_field(std::string_view name, std::string_view value) = 0;

 protected:
  ~HpackSink() = default;
};

class HpackDecoder {
 public:
  // `table_limit`: our SETTINGS_HEADER_TABLE_SIZE. `string_limit`: longest name or value taken.
  explicit HpackDecoder(std::size_t table_limit = 4096,
                        std::size_t string_limit = std::size_t{64} * 1024)
      : table_(table_limit), table_limit_(table_limit), string_limit_(string_limit) {}
  // A whole header block. Any error is a COMPRESSION_ERROR of the connection.
  Result<void> decode(Bytes block, HpackSink& sink);

 private:
  Result<std::string_view> read_string(Bytes& in, std::string& scratch) const;
  Result<std::string_view> name_at(std::uint64_t index, std::string& scratch) const;
  DynamicTable table_;
  std::size_t table_limit_;
  std::size_t string_limit_;
};

class HpackEncoder {
 public:
  // The peer's SETTINGS_HEADER_TABLE_SIZE; at most 4096 of it is used. The next block begins with
  // what changed, the smallest size since the last block first (RFC 7541 §4.2).
  void set_table_limit(std::size_t size);
  // Call before the first field of each block.
  void begin(ByteQueue& out);
  // `name` must be lower case. Values that differ from request to request are not indexed,
  // sensitive ones never (RFC 7541 §7.1.3).
  void encode(std::string_view name, std::string_view value, ByteQueue& out);

 private:
  DynamicTable table_;
  std::size_t pending_size_ = SIZE_MAX;  // an update to announce
  std::size_t pending_min_ = SIZE_MAX;   // the smallest of those since the last block
};

}  // namespace tulle::h2
